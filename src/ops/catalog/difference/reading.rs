//! What a schema of a catalog says, told apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::document::Document;

/// References that are followed one after the other: a catalog has no chains of them.
const HOPS: usize = 8;

/// What stands at one place: a schema for each kind of JSON that may be there.
pub(super) type Choices<'a> = BTreeMap<&'a str, Choice<'a>>;

/// One kind of JSON at a place.
#[derive(Clone, Copy)]
pub(super) struct Choice<'a> {
    pub(super) schema: &'a Map<String, Value>,
    /// The definition that it came from.
    pub(super) origin: Option<&'a str>,
}

/// The kind of a schema that says nothing.
pub(super) const ANY: &str = "any JSON";
/// The kind of null.
pub(super) const NULL: &str = "null";

/// The kinds of JSON that a schema allows.
pub(super) fn choices<'a>(document: &'a Document<'a>, schema: &'a Value, found: &mut Choices<'a>) {
    gather(document, schema, None, HOPS, found);
}

fn gather<'a>(
    document: &'a Document<'a>,
    schema: &'a Value,
    origin: Option<&'a str>,
    hops: usize,
    found: &mut Choices<'a>,
) {
    let (Some(schema), Some(hops)) = (schema.as_object(), hops.checked_sub(1)) else {
        return;
    };
    let member = |key: &str| schema.get(key);
    if let Some(name) = referred(schema) {
        if let Some(definition) = document.definition(name) {
            gather(document, definition, Some(name), hops, found);
        }
    } else if let Some(all) = member("anyOf").and_then(Value::as_array)
        && member("type").is_none()
    {
        for one in all {
            gather(document, one, origin, hops, found);
        }
    } else if let Some(kind) = member("type") {
        let kinds = match kind {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect::<Vec<_>>(),
        };
        for kind in kinds {
            found.entry(kind).or_insert(Choice { schema, origin });
        }
    } else if let Some([one]) = member("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        gather(document, one, origin, hops, found);
    } else {
        found.entry(ANY).or_insert(Choice { schema, origin });
    }
}

/// The name of the definition that a schema refers to.
pub(super) fn referred(schema: &Map<String, Value>) -> Option<&str> {
    let reference = schema.get("$ref")?.as_str()?;
    reference.strip_prefix("#/$defs/")
}

/// The texts that a string may be, where they are listed.
pub(super) fn values(schema: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    if let Some(constant) = schema.get("const").and_then(Value::as_str) {
        return Some(BTreeSet::from([constant]));
    }
    let listed = schema.get("enum")?.as_array()?;
    Some(listed.iter().filter_map(Value::as_str).collect())
}

pub(super) fn required(schema: &Map<String, Value>) -> BTreeSet<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// The names of an object's properties, those of its parts included.
pub(super) fn properties<'a>(
    document: &'a Document<'a>,
    schema: &'a Map<String, Value>,
) -> BTreeSet<&'a str> {
    properties_within(document, schema, HOPS)
}

fn properties_within<'a>(
    document: &'a Document<'a>,
    schema: &'a Map<String, Value>,
    hops: usize,
) -> BTreeSet<&'a str> {
    let own = schema.get("properties").and_then(Value::as_object);
    let mut names: BTreeSet<&str> = own
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .collect();
    let parts = schema.get("allOf").and_then(Value::as_array);
    let refers = referred(schema).and_then(|name| document.definition(name));
    if let Some(hops) = hops.checked_sub(1) {
        for part in parts.into_iter().flatten().chain(refers) {
            if let Some(part) = part.as_object() {
                names.extend(properties_within(document, part, hops));
            }
        }
    }
    names
}

/// How people call a definition.
pub(super) fn label(definition: &str) -> Option<String> {
    let (kind, name) = definition
        .split_once('.')
        .unwrap_or((definition, definition));
    match kind {
        "columns" | "row" | "event" => Some(name.to_owned()),
        "type" => Some(format!("type {name}")),
        "source" | "context" | "delivery" | "changes" => Some(kind.to_owned()),
        _ => None,
    }
}

pub(super) fn listed<T: AsRef<str>>(words: impl Iterator<Item = T>) -> String {
    let words: Vec<String> = words.map(|word| word.as_ref().to_owned()).collect();
    words.join(" or ")
}
