//! The file's text against the schema: wrong keys and wrong types, each with its line.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problems, near_miss};
use super::schema::Shape;
use crate::fault::{Fault, Result};

/// Parses the text and notes every key that the schema does not have or that has a wrong type.
///
/// # Errors
/// The text is not TOML: nothing more can be said about it.
pub(crate) fn check(text: &str, name: &str, schema: &Value, problems: &mut Problems) -> Result<()> {
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column) = position(text, start);
        let cause = error.message().trim_end().replace('\n', ", ");
        Fault::settings(format!("{name}:{line}:{column}: not valid TOML: {cause}"))
    })?;
    Check { text, problems }.table(Shape::of(schema), table.get_ref(), "");
    Ok(())
}

/// Notes every key that must be there and is not. Looks at the merged settings, since a key that
/// the file lacks may come from the environment.
pub(crate) fn check_missing(merged: &Value, shape: Shape<'_>, at: &str, problems: &mut Problems) {
    match merged {
        Value::Object(table) => {
            for name in shape.required() {
                let key = join(at, name);
                match (table.get(name), shape.member(name)) {
                    (Some(_), _) => {}
                    (None, Some(child)) if !child.required().is_empty() => {
                        check_missing(&Value::Object(Default::default()), child, &key, problems);
                    }
                    (None, _) => problems.refuse(&key, "is missing and has no default"),
                }
            }
            for (name, value) in table {
                if let Some(child) = shape.member(name) {
                    check_missing(value, child, &join(at, name), problems);
                }
            }
        }
        Value::Array(entries) => {
            for (index, value) in entries.iter().enumerate() {
                if let Some(child) = shape.entry() {
                    check_missing(value, child, &format!("{at}[{index}]"), problems);
                }
            }
        }
        _ => {}
    }
}

struct Check<'a> {
    text: &'a str,
    problems: &'a mut Problems,
}

impl Check<'_> {
    fn table(&mut self, shape: Shape<'_>, table: &DeTable<'_>, at: &str) {
        for (name, value) in table {
            let key = join(at, name.get_ref());
            let (line, _) = position(self.text, name.span().start);
            self.problems.written_in_line(&key, line);
            match shape.member(name.get_ref()) {
                Some(child) => self.value(child, value, &key),
                None => {
                    let hint = near_miss(name.get_ref(), shape.member_names());
                    self.problems.refuse(&key, unknown(hint));
                }
            }
        }
    }

    fn value(&mut self, shape: Shape<'_>, value: &Spanned<DeValue<'_>>, key: &str) {
        let value = value.get_ref();
        let kind = json_type(value);
        if !(shape.takes(kind) || kind == "integer" && shape.takes("number")) {
            let what = format!("must be {}, found {}", shape.expected(), value.type_str());
            return self.problems.refuse(key, what);
        }
        let verdict = match value {
            DeValue::String(text) => shape.check_word(text),
            DeValue::Integer(number) => check_digits(shape, number.as_str(), number.radix()),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or(Ok(()), |number| shape.check_number(number)),
            _ => Ok(()),
        };
        self.problems.take(key, verdict);
        match value {
            DeValue::Table(table) => self.table(shape, table, key),
            DeValue::Array(entries) => self.entries(shape, entries, key),
            _ => {}
        }
    }

    fn entries(&mut self, shape: Shape<'_>, entries: &toml::de::DeArray<'_>, key: &str) {
        let Some(child) = shape.entry() else { return };
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let (line, _) = position(self.text, entry.span().start);
            self.problems.written_in_line(&key, line);
            self.value(child, entry, &key);
        }
    }
}

/// The path of a key inside the table at `at`.
pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.into()
    } else {
        format!("{at}.{name}")
    }
}

/// What is said about a key that the schema does not have.
pub(crate) fn unknown(hint: Option<&str>) -> String {
    match hint {
        Some(hint) => format!("unknown key; did you mean `{hint}`?"),
        None => "unknown key".into(),
    }
}

fn check_digits(shape: Shape<'_>, digits: &str, radix: u32) -> Result<(), String> {
    let number =
        i64::from_str_radix(digits, radix).map_err(|_| "is too large a number".to_owned())?;
    // Bounds are far below where a double loses integers; the rounding cannot cross one.
    number
        .to_string()
        .parse()
        .map_or(Ok(()), |number| shape.check_number(number))
}

fn json_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "string",
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Array(_) => "array",
        DeValue::Table(_) => "object",
        // JSON has no such type, so no shape takes it.
        DeValue::Datetime(_) => "datetime",
    }
}

/// Line and column of a byte, both from one.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}
