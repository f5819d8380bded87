//! The JSON Schema of the file: for editors, and for reading the file and the environment by it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::file::File;

/// The JSON Schema (draft 2020-12) of `rowhook.toml`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    adapt_to_toml(&mut schema);
    schema
}

/// TOML has no null, so editors shall not offer one: what `Option` means is told by `required`.
/// And a description is a sentence, not the lines of a doc comment.
fn adapt_to_toml(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(adapt_to_toml),
        Value::Object(members) => {
            if let Some(Value::String(description)) = members.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            for list in ["type", "anyOf"] {
                drop_null(members, list);
            }
            members.values_mut().for_each(adapt_to_toml);
        }
        _ => {}
    }
}

/// Takes null out of a list of alternatives; the last one left stands without the list.
fn drop_null(members: &mut Map<String, Value>, list: &str) {
    let Some(Value::Array(mut alternatives)) = members.get(list).cloned() else {
        return;
    };
    alternatives.retain(|one| one != "null" && one.get("type") != Some(&"null".into()));
    match (alternatives.as_slice(), list) {
        ([Value::Object(only)], "anyOf") => {
            members.remove(list);
            for (name, value) in only {
                members.entry(name).or_insert_with(|| value.clone());
            }
        }
        ([only], _) => {
            members.insert(list.into(), only.clone());
        }
        _ => {
            members.insert(list.into(), alternatives.into());
        }
    }
}

/// A place in the schema: what may stand there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape<'a> {
    root: &'a Value,
    node: &'a Value,
}

impl<'a> Shape<'a> {
    /// The whole file.
    pub(crate) fn of(root: &'a Value) -> Self {
        Self { root, node: root }
    }

    /// The shapes that may stand here, references and `anyOf` resolved.
    pub(crate) fn alternatives(self) -> Vec<Self> {
        if let Some(reference) = self.node.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(reference.trim_start_matches('#'));
            return target.map_or_else(Vec::new, |node| self.at(node).alternatives());
        }
        let choices = self.node.get("anyOf").or_else(|| self.node.get("oneOf"));
        match choices.and_then(Value::as_array) {
            Some(choices) => choices
                .iter()
                .flat_map(|node| self.at(node).alternatives())
                .collect(),
            None => vec![self],
        }
    }

    /// What the alternatives are called: "an integer", "a string".
    pub(crate) fn expected(self) -> String {
        let mut names: Vec<&str> = Vec::new();
        for (kind, name) in [
            ("string", "a string"),
            ("integer", "an integer"),
            ("number", "a number"),
            ("boolean", "true or false"),
            ("array", "a list"),
            ("object", "a table"),
        ] {
            if self.takes(kind) {
                names.push(name);
            }
        }
        names.join(" or ")
    }

    /// Whether a value of this JSON type may stand here.
    pub(crate) fn takes(self, kind: &str) -> bool {
        self.alternatives().into_iter().any(|shape| shape.is(kind))
    }

    /// Checks a text against the words, or the times, that are allowed here, if only some are.
    pub(crate) fn check_word(self, word: &str) -> Result<(), String> {
        let mut allowed: Vec<&str> = Vec::new();
        let mut times = "";
        for shape in self.alternatives() {
            match (shape.node.get("const"), shape.node.get("enum")) {
                (Some(value), _) => allowed.extend(value.as_str()),
                (_, Some(Value::Array(values))) => {
                    allowed.extend(values.iter().filter_map(Value::as_str));
                }
                _ if shape.is_time() && word.parse::<Timestamp>().is_err() => {
                    times = ", and no time such as \"2026-01-31T12:00:00Z\"";
                }
                _ if shape.is("string") => return Ok(()),
                _ => {}
            }
        }
        if allowed.contains(&word) {
            return Ok(());
        }
        let list: Vec<String> = allowed.iter().map(|word| format!("{word:?}")).collect();
        Err(format!("{word:?} is not one of {}{times}", list.join(", ")))
    }

    /// Checks a number against the bounds that hold here.
    pub(crate) fn check_number(self, number: f64) -> Result<(), String> {
        for shape in self.alternatives() {
            let bound = |name| shape.node.get(name).and_then(Value::as_f64);
            if let Some(least) = bound("minimum").filter(|least| number < *least) {
                return Err(format!("must be at least {least}"));
            }
            if let Some(most) = bound("maximum").filter(|most| number > *most) {
                return Err(format!("must be at most {most}"));
            }
        }
        Ok(())
    }

    /// The shape of a table's key.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        self.alternatives().into_iter().find_map(|shape| {
            let named = shape.node.get("properties").and_then(|keys| keys.get(name));
            let other = shape.node.get("additionalProperties");
            named
                .or(other.filter(|node| node.is_object()))
                .map(|node| shape.at(node))
        })
    }

    /// The names of a table's keys.
    pub(crate) fn member_names(self) -> Vec<&'a str> {
        self.alternatives()
            .into_iter()
            .filter_map(|shape| shape.node.get("properties").and_then(Value::as_object))
            .flat_map(|keys| keys.keys().map(String::as_str))
            .collect()
    }

    /// The names of the keys that must be there, if a table stands here.
    pub(crate) fn required(self) -> Vec<&'a str> {
        self.alternatives()
            .into_iter()
            .filter_map(|shape| shape.node.get("required").and_then(Value::as_array))
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }

    /// The shape of a list's entries.
    pub(crate) fn entry(self) -> Option<Self> {
        self.alternatives()
            .into_iter()
            .find_map(|shape| shape.node.get("items").map(|node| shape.at(node)))
    }

    fn at(self, node: &'a Value) -> Self {
        Self { node, ..self }
    }

    fn is_time(self) -> bool {
        self.node
            .get("format")
            .is_some_and(|format| format == "date-time")
    }

    fn is(self, kind: &str) -> bool {
        self.node.get("type").is_some_and(|name| name == kind)
    }
}
