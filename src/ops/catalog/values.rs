//! A form as JSON Schema. Only what drafts 7 and 2020-12 both know is used, so that AsyncAPI can take the
//! same schemas.

use serde_json::{Map, Value, json};

use super::{Attribute, Column, Form, NamedType, Text, TypeBody, examples::Examples, names};
use crate::event::Redaction;

/// Writes schemas whose references begin with `prefix`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schemas<'a> {
    pub(super) prefix: &'static str,
    pub(super) examples: Examples<'a>,
}

impl Schemas<'_> {
    /// A reference to the definition `kind.name`.
    pub(super) fn reference(&self, kind: &str, name: &str) -> Value {
        self.refer(&format!("{kind}.{}", names::key(name)))
    }

    /// A reference to a definition.
    pub(super) fn refer(&self, definition: &str) -> Value {
        json!({ "$ref": format!("{}{definition}", self.prefix) })
    }

    /// A column's values.
    pub(super) fn column(&self, column: &Column) -> Value {
        let schema = self.form(&column.form);
        let schema = if column.nullable {
            nullable(schema)
        } else {
            schema
        };
        let mut schema = annotated(schema, column.comment.as_deref(), &column.sql);
        if let Some(members) = schema.as_object_mut() {
            members.insert(
                "examples".into(),
                json!([self.examples.value(&column.form)]),
            );
        }
        schema
    }

    /// A type with a name.
    pub(super) fn named(&self, kind: &NamedType) -> Value {
        let mut schema = match &kind.body {
            TypeBody::Enum(labels) if labels.is_empty() => json!({ "type": "string" }),
            TypeBody::Enum(labels) => json!({ "type": "string", "enum": labels }),
            TypeBody::Composite(attributes) => self.composite(attributes),
        };
        if let (Some(comment), Some(members)) = (&kind.comment, schema.as_object_mut()) {
            members.insert("description".into(), comment.as_str().into());
        }
        schema
    }

    fn composite(&self, attributes: &[Attribute]) -> Value {
        let properties: Map<String, Value> = attributes
            .iter()
            .map(|attribute| {
                let schema = nullable(self.form(&attribute.form));
                (
                    attribute.name.clone(),
                    annotated(schema, None, &attribute.sql),
                )
            })
            .collect();
        let names: Vec<&str> = attributes.iter().map(|it| it.name.as_str()).collect();
        json!({ "type": "object", "required": names, "properties": properties })
    }

    fn form(&self, form: &Form) -> Value {
        match form {
            Form::Boolean => json!({ "type": "boolean" }),
            Form::Integer(None) => json!({ "type": "integer" }),
            Form::Integer(Some((least, most))) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Form::Number => json!({ "anyOf": [
                { "type": "number" },
                { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] },
            ] }),
            Form::Text(text) => string(text),
            Form::Json => json!({}),
            Form::Named(name) => self.reference("type", name),
            // The server takes an array of any dimensions, whatever the column was declared with.
            Form::Array(element, _) if **element == Form::Json => json!({ "type": "array" }),
            Form::Array(element, _) => {
                let element = nullable(self.form(element));
                json!({ "type": "array", "items": { "anyOf": [element, { "type": "array" }] } })
            }
            Form::Vector(element) => json!({ "type": "array", "items": self.form(element) }),
            Form::Hstore => json!({
                "type": "object",
                "additionalProperties": { "type": ["string", "null"] },
            }),
            Form::Redacted(Redaction::Hash) => json!({
                "type": "string",
                "pattern": "^sha256:[0-9a-f]{64}$",
            }),
            Form::Redacted(Redaction::Mask) => json!({ "type": "string", "const": "***" }),
        }
    }
}

fn string(text: &Text) -> Value {
    let mut schema = Map::new();
    schema.insert("type".into(), "string".into());
    if let Some(format) = text.format {
        schema.insert("format".into(), format.into());
    }
    if let Some(pattern) = text.pattern {
        schema.insert("pattern".into(), pattern.into());
    }
    if let Some(longest) = text.longest {
        schema.insert("maxLength".into(), longest.into());
    }
    schema.into()
}

/// The same, or null.
pub(super) fn nullable(schema: Value) -> Value {
    let Value::Object(mut members) = schema else {
        return schema;
    };
    let lists_values = members.contains_key("enum") || members.contains_key("const");
    if members.is_empty() {
        // Anything: null as well.
    } else if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
        choices.push(json!({ "type": "null" }));
    } else if let Some(kind) = members.get_mut("type").filter(|_| !lists_values) {
        *kind = json!([kind.take(), "null"]);
    } else {
        return json!({ "anyOf": [members, { "type": "null" }] });
    }
    members.into()
}

/// With what people say of it, and its type in SQL.
fn annotated(schema: Value, comment: Option<&str>, sql: &str) -> Value {
    let mut annotated = Map::new();
    if let Some(comment) = comment {
        annotated.insert("description".into(), comment.into());
    }
    annotated.insert("$comment".into(), sql.into());
    match schema {
        // Draft 7 does not look at what stands beside a reference.
        Value::Object(members) if members.contains_key("$ref") => {
            annotated.insert("allOf".into(), json!([members]));
        }
        Value::Object(members) => annotated.extend(members),
        _ => {}
    }
    annotated.into()
}
