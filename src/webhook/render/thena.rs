//! Format `thena`: Thena's platform events. Its documentation: "Custom object events".
//!
//! An event is one request: Thena's field events would be several, and are not sent.

use super::change::Change;
use super::names::{camel_case, pascal_case, verb};
use super::{Renderer, said};
use crate::event::{Action, Event, Fields};
use crate::webhook::json::Json;

impl Renderer {
    /// Writes the event with its envelope.
    pub(super) fn thena(&self, json: &mut Json, event: &Event) {
        json.open();
        json.key("eventId");
        json.quoted(event.event_id);
        json.key("eventType");
        if event.action == Action::Custom {
            json.string(&event.event_type);
        } else {
            json.string(&format!("custom-object:{}:{}", event.resource, verb(event)));
        }
        json.key("timestamp");
        json.number(event.created_at.div_euclid(1_000_000));
        json.key("orgId");
        json.string(&self.source);
        json.key("actor");
        json.raw(r#"{"id":"","type":"SYSTEM","email":""}"#);
        json.key("eventData");
        write_data(json, event);
        json.key("metadata");
        json.open();
        json.key("sequenceId");
        json.number(event.sequence_id);
        json.close();
        json.close();
    }
}

fn write_data(json: &mut Json, event: &Event) {
    let change = Change::of(event);
    json.open();
    change.new.named(json, &camel_case(&event.resource));
    let previous = format!("previous{}", pascal_case(&event.resource));
    change.old.named(json, &previous);
    if let Some(changed) = &change.previous {
        json.key("changedFields");
        json.array(Fields::keys(changed));
    }
    said(json, event);
    json.close();
}
