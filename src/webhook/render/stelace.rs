//! Format `stelace`: Stelace's event object. Its documentation: "Events".

use super::change;
use super::names::{camel_case, verb};
use super::{milliseconds, resource_id};
use crate::event::{Action, Event, Fields};
use crate::webhook::json::Json;

/// The version of Stelace's API whose events have this form.
const API_VERSION: &str = "2019-05-04";

/// Writes the event object.
pub(super) fn write(json: &mut Json, event: &Event) {
    let core = !matches!(event.action, Action::Custom | Action::Noted);
    json.open();
    json.key("id");
    json.uuid(event.event_id);
    json.key("createdDate");
    json.quoted(milliseconds(event.created_at));
    json.key("type");
    if core {
        json.string(&format!("{}__{}", event.resource, verb(event)));
    } else {
        // Two underscores are of events of objects alone.
        json.string(&event.event_type);
    }
    json.key("apiVersion");
    json.quoted(API_VERSION);
    json.key("objectType");
    json.string(&camel_case(&event.resource));
    json.key("objectId");
    resource_id(json, event);
    json.key("object");
    let object = event.record.as_deref();
    let is_object = event.action != Action::Noted;
    json.raw(object.filter(|_| is_object).unwrap_or("null"));
    changes_requested(json, event);
    json.key("relatedObjectsIds");
    json.raw(event.related.as_deref().unwrap_or("{}"));
    json.key("emitter");
    json.quoted(if core { "core" } else { "custom" });
    json.key("metadata");
    let metadata = if is_object {
        event.data.as_deref()
    } else {
        object
    };
    json.raw(metadata.unwrap_or("{}"));
    json.close();
}

/// The columns that an update changed, with their new values.
fn changes_requested(json: &mut Json, event: &Event) {
    if !event.action.is_update() {
        json.key("changesRequested");
        json.raw("null");
        return;
    }
    let row = event.record.as_deref().and_then(Fields::read);
    let Some((row, previous)) = row.zip(change::previous(event)) else {
        return;
    };
    json.key("changesRequested");
    json.open();
    for key in previous.keys() {
        if let Some(member) = row.get(key) {
            json.member(member.key, member.value);
        }
    }
    json.close();
}
