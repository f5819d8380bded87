//! JSON text → a value of CEL.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
};
use cel::common::value::Val;
use serde::de::{Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::event::Fields;

/// Levels of arrays and objects that are read: copying and comparing go down by recursion.
const DEEPEST: usize = 64;

/// What is too much for an expression.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Items of one list or object.
    pub(super) items: usize,
}

/// A value that borrows its texts from the event.
pub(super) type Boxed<'v> = Box<dyn Val + 'v>;

/// Reads JSON text. Numbers without fraction and exponent are int where they fit, others double.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read(json: &str, limits: Limits) -> Result<Boxed<'_>, String> {
    read_at(json, limits, 0)
}

fn read_at(json: &str, limits: Limits, depth: usize) -> Result<Boxed<'_>, String> {
    if depth > DEEPEST {
        return Err(format!("it is nested deeper than {DEEPEST} levels"));
    }
    let json = json.trim_ascii();
    match json.as_bytes().first() {
        Some(b'"') => Ok(Box::new(string(json))),
        Some(b'{') => object(json, limits, depth),
        Some(b'[') => list(json, limits, depth),
        Some(b't') => Ok(Box::new(CelBool::from(true))),
        Some(b'f') => Ok(Box::new(CelBool::from(false))),
        Some(b'n') => Ok(Box::new(CelNull)),
        _ => number(json),
    }
}

fn object(json: &str, limits: Limits, depth: usize) -> Result<Boxed<'_>, String> {
    let fields = Fields::read(json).ok_or("it is no JSON object")?;
    let mut map: HashMap<CelMapKey<'_>, Boxed<'_>> = HashMap::new();
    for member in fields.iter() {
        bounded(map.len(), limits)?;
        let value = read_at(member.value, limits, depth + 1)?;
        map.insert(key(member.name()), value);
    }
    Ok(Box::new(CelMap::from(map)))
}

/// A text as the key of a map.
pub(super) fn key<'v>(name: impl Into<CelString<'v>>) -> CelMapKey<'v> {
    CelMapKey::String(name.into())
}

fn list(json: &str, limits: Limits, depth: usize) -> Result<Boxed<'_>, String> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    bounded(items.len().saturating_sub(1), limits)?;
    let items: Result<Vec<_>, _> = items
        .into_iter()
        .map(|item| read_at(item.get(), limits, depth + 1))
        .collect();
    Ok(Box::new(CelList::from(items?)))
}

fn bounded(items: usize, limits: Limits) -> Result<(), String> {
    if items < limits.items {
        return Ok(());
    }
    Err(format!(
        "it has more than {} items, and the expression has a loop in a loop",
        limits.items
    ))
}

fn number<'v>(json: &str) -> Result<Boxed<'v>, String> {
    if let Ok(integer) = json.parse::<i64>() {
        return Ok(Box::new(CelInt::from(integer)));
    }
    match json.parse::<f64>() {
        Ok(number) => Ok(Box::new(CelDouble::from(number))),
        Err(_) => Err("it is no JSON value".to_owned()),
    }
}

/// Half of a surrogate pair is no character: it is read as U+FFFD.
fn string(json: &str) -> CelString<'_> {
    if let Ok(text) = serde_json::from_str::<&str>(json) {
        return text.into();
    }
    if let Ok(text) = serde_json::from_str::<String>(json) {
        return text.into();
    }
    let text = serde_json::Deserializer::from_str(json).deserialize_bytes(Lossy);
    text.unwrap_or_default().into()
}

struct Lossy;

impl Visitor<'_> for Lossy {
    type Value = String;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}
