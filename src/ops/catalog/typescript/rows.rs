//! Rows and types of their own.

use super::Writer;
use crate::event::Redaction;
use crate::ops::catalog::names::{property, quoted};
use crate::ops::catalog::{Column, Form, NamedType, TypeBody};

impl Writer<'_> {
    pub(super) fn named(&mut self, name: &str, kind: &NamedType) {
        let comment = kind.comment.clone();
        let comment = comment.unwrap_or_else(|| format!("The type {name}."));
        self.comment("", &comment);
        let identifier = self.types.get(name).cloned().unwrap_or_default();
        match &kind.body {
            TypeBody::Enum(labels) if labels.is_empty() => {
                self.line(&format!("export type {identifier} = never;\n"));
            }
            TypeBody::Enum(labels) => {
                let labels: Vec<String> = labels.iter().map(|label| quoted(label)).collect();
                let labels = labels.join(" | ");
                self.line(&format!("export type {identifier} = {labels};\n"));
            }
            TypeBody::Composite(attributes) => {
                self.line(&format!("export interface {identifier} {{"));
                for attribute in attributes {
                    let (name, kind) = (property(&attribute.name), self.or_null(&attribute.form));
                    self.comment("  ", &attribute.sql);
                    self.line(&format!("  {name}: {kind};"));
                }
                self.line("}\n");
            }
        }
    }

    pub(super) fn column(&mut self, column: &Column) {
        let comment = match &column.comment {
            Some(comment) => format!("{comment} ({})", column.sql),
            None => column.sql.clone(),
        };
        self.comment("  ", &comment);
        let kind = if column.nullable {
            self.or_null(&column.form)
        } else {
            self.form(&column.form)
        };
        self.line(&format!("  {}: {kind};", property(&column.name)));
    }

    fn or_null(&self, form: &Form) -> String {
        match (form, self.form(form)) {
            (Form::Json, kind) => kind,
            (_, kind) => format!("{kind} | null"),
        }
    }

    fn form(&self, form: &Form) -> String {
        match form {
            Form::Boolean => "boolean".to_owned(),
            Form::Integer(_) => "number".to_owned(),
            Form::Number => "PgNumber".to_owned(),
            Form::Text(_) => "string".to_owned(),
            Form::Json => "Json".to_owned(),
            Form::Named(name) => self.types.get(&**name).cloned().unwrap_or_default(),
            Form::Array(element, dimensions) => {
                let element = self.or_null(element);
                (0..*dimensions).fold(element, |element, _| match element.contains(' ') {
                    true => format!("({element})[]"),
                    false => format!("{element}[]"),
                })
            }
            Form::Vector(element) => format!("{}[]", self.form(element)),
            Form::Hstore => "{ [key: string]: string | null }".to_owned(),
            Form::Redacted(Redaction::Hash) => "`sha256:${string}`".to_owned(),
            Form::Redacted(Redaction::Mask) => "\"***\"".to_owned(),
        }
    }
}
