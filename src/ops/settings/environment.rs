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
                    overrides.push((key, value));
                }
            }
        }
    }
    overrides
}

/// Walks the schema along the parts of a variable's name.
fn resolve<'a>(
    name: &str,
    shape: Shape<'a>,
    problems: &Problems,
) -> Result<(String, Shape<'a>), String> {
    let mut key = String::new();
    let mut shape = shape;
    for part in name.split(SEPARATOR) {
        let entry = shape.entry().zip(part.parse::<usize>().ok());
        if let Some((child, index)) = entry {
            let before = index
                .checked_sub(1)
                .map(|before| format!("{key}[{before}]"));
            if before.is_some_and(|before| !problems.knows(&before)) {
                return Err(format!(
                    "there is no {key}[{}] before {key}[{index}]",
                    index - 1
                ));
            }
            key = format!("{key}[{index}]");
            shape = child;
            continue;
        }
        let part = part.to_lowercase();
        let Some(child) = shape.member(&part).filter(|_| !part.is_empty()) else {
            let hint = near_miss(&part, shape.member_names()).map(str::to_uppercase);
            return Err(format!(
                "{}: {}",
                join(&key, &part),
                unknown(hint.as_deref())
            ));
        };
        key = join(&key, &part);
        shape = child;
    }
    Ok((key, shape))
}

fn read(text: &str, shape: Shape<'_>) -> Result<Value, String> {
    let value = |kind: ValueKind| Ok(Value::new(Some(&"the environment".to_owned()), kind));
    if let (true, Ok(number)) = (shape.takes("integer"), text.parse::<i64>()) {
        text.parse()
            .map_or(Ok(()), |number| shape.check_number(number))?;
        return value(ValueKind::I64(number));
    }
    if let (true, Ok(number)) = (shape.takes("number"), text.parse::<f64>()) {
        shape.check_number(number)?;
        return value(ValueKind::Float(number));
    }
    if shape.takes("string") {
        shape.check_word(text)?;
        return value(ValueKind::String(text.into()));
    }
    if shape.entry().is_some_and(|entry| entry.takes("string")) {
        let entries = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty());
        return value(ValueKind::Array(entries.map(Value::from).collect()));
    }
    Err(format!("must be {}", shape.expected()))
}
