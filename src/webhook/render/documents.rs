//! Documents: columns that are JSON objects, whose previous values are told key by key. Sharetribe
//! has it so for extended data.

use std::collections::BTreeSet;

use crate::event::{Fields, Member};
use crate::webhook::json::Json;

/// Writes the old value of a column that changed: of a document, the top-level keys that differ.
pub(super) fn write_previous(
    json: &mut Json,
    old: &Member<'_>,
    new: Option<&Member<'_>>,
    is_document: bool,
) {
    let both = new.filter(|_| is_document);
    match both.and_then(|new| objects(old.value, new.value)) {
        Some((old_keys, new_keys)) => differing(json, old.key, &old_keys, &new_keys),
        None => json.member(old.key, old.value),
    }
}

/// Writes the previous values of an event, those of these columns key by key.
pub(super) fn write_all(
    json: &mut Json,
    previous: &str,
    record: Option<&str>,
    columns: &BTreeSet<String>,
) {
    let Some(old) = Fields::read(previous) else {
        return json.raw(previous);
    };
    let new = record.and_then(Fields::read).unwrap_or_default();
    json.open();
    for member in old.iter() {
        let is_document = columns.contains(&*member.name());
        write_previous(json, member, new.get(member.key), is_document);
    }
    json.close();
}

/// Both sides of a changed column, if both are documents.
fn objects<'a>(old: &'a str, new: &'a str) -> Option<(Fields<'a>, Fields<'a>)> {
    let objects = old.starts_with('{') && new.starts_with('{');
    objects.then(|| Fields::read(old).zip(Fields::read(new)))?
}

/// Writes a member with the top-level keys that differ: those that were there with their whole
/// previous value, those that were not with null.
fn differing(json: &mut Json, key: &str, old: &Fields<'_>, new: &Fields<'_>) {
    json.written_key(key);
    json.open();
    for member in old.iter() {
        let now = new.get(member.key);
        if now.is_none_or(|now| now.value != member.value) {
            json.member(member.key, member.value);
        }
    }
    for added in new.iter().filter(|member| old.get(member.key).is_none()) {
        json.member(added.key, "null");
    }
    json.close();
}
