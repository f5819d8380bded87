//! Documents: columns that are JSON objects, whose previous values are told key by key. Sharetribe
//! has it so for extended data.

use crate::event::Fields;
use crate::webhook::json::Json;

/// Both sides of a changed column, if both are documents.
pub(super) fn both<'a>(old: &'a str, new: &'a str) -> Option<(Fields<'a>, Fields<'a>)> {
    let objects = old.starts_with('{') && new.starts_with('{');
    objects.then(|| Fields::read(old).zip(Fields::read(new)))?
}

/// Writes a member with the top-level keys that differ: those that were there with their whole
/// previous value, those that were not with null.
pub(super) fn previous(json: &mut Json, key: &str, old: &Fields<'_>, new: &Fields<'_>) {
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
