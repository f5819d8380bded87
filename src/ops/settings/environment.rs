//! `ROWHOOK__SOURCE__URL` and the like: keys from the environment.
//!
//! The schema says what a variable's text becomes. `config::Environment` would guess from the text
//! alone, and the password `0123` would reach Postgres as `123`.

use std::collections::BTreeMap;

use config::{Value, ValueKind};

use super::document::{join, unknown};
use super::problem::{Problems, near_miss};
use super::schema::Shape;

const PREFIX: &str = "ROWHOOK__";
const SEPARATOR: &str = "__";

/// The keys that the environment sets, and their values. Lists are separated by commas;
/// `ROWHOOK__WEBHOOK__0__URL` is a key of the first webhook.
pub(crate) fn overrides(
    environment: &BTreeMap<String, String>,
    shape: Shape<'_>,
    problems: &mut Problems,
) -> Vec<(String, Value)> {
    let mut overrides = Vec::new();
    for (variable, text) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        match resolve(name, shape, problems) {
            Err(what) => problems.refuse_variable(variable, what),
            Ok((key, shape)) => {
                problems.written_in_variable(&key, variable);
                if let Some(value) = problems.take(&key, read(text, shape)) {
                    overrides.push((key, Value::new(None, value)));
                }
            }
        }
    }
    overrides
}

/// Walks the schema along the parts of a variable's name.
fn resolve<'a>(
    name: &str,
    whole: Shape<'a>,
    problems: &Problems,
) -> Result<(String, Shape<'a>), String> {
    let mut key = String::new();
    let mut shape = whole;
    let mut read = PREFIX.to_owned();
    for part in name.split(SEPARATOR) {
        if let (Some(entry), Ok(index)) = (shape.entry(), part.parse()) {
            key = entry_key(&key, index, problems)?;
            shape = entry;
        } else {
            let name = part.to_lowercase();
            shape = shape
                .member(&name)
                .filter(|_| !name.is_empty())
                .ok_or_else(|| {
                    let hint = near_miss(&name, shape.member_names());
                    let hint = hint.map(|hint| format!("{read}{}", hint.to_uppercase()));
                    unknown(hint.as_deref())
                })?;
            key = join(&key, &name);
        }
        read = format!("{read}{part}{SEPARATOR}");
    }
    Ok((key, shape))
}

/// Entries can be added at a list's end only: a gap would be an entry that nobody wrote.
fn entry_key(list: &str, index: usize, problems: &Problems) -> Result<String, String> {
    match index.checked_sub(1) {
        Some(before) if !problems.knows(&format!("{list}[{before}]")) => Err(format!(
            "there is no {list}[{before}] before {list}[{index}]"
        )),
        _ => Ok(format!("{list}[{index}]")),
    }
}

/// A text as the first of integer, number, text and list that may stand here and that it is.
fn read(text: &str, shape: Shape<'_>) -> Result<ValueKind, String> {
    if let (true, Ok(number)) = (shape.takes("integer"), text.parse::<i64>()) {
        text.parse()
            .map_or(Ok(()), |number| shape.check_number(number))?;
        return Ok(ValueKind::I64(number));
    }
    if let (true, Ok(number)) = (shape.takes("number"), text.parse::<f64>()) {
        shape.check_number(number)?;
        return Ok(ValueKind::Float(number));
    }
    if shape.takes("string") {
        shape.check_word(text)?;
        return Ok(ValueKind::String(text.into()));
    }
    if shape.entry().is_some_and(|entry| entry.takes("string")) {
        let entries = text.split(',').map(str::trim);
        let entries = entries.filter(|entry| !entry.is_empty());
        return Ok(ValueKind::Array(entries.map(Value::from).collect()));
    }
    Err(format!("must be {}", shape.expected()))
}
