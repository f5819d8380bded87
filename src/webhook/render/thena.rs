//! Format `thena`: Thena's platform events. Its documentation: "Custom object events".

use super::change::Change;
use super::field::FieldChange;
use super::names::{camel_case, pascal_case, verb};
use super::said::Said;
use super::{Renderer, own_data, time};
use crate::event::{Action, Event, Fields};
use crate::webhook::json::Json;

impl Renderer {
    /// Writes the event with its envelope.
    pub(super) fn thena(&self, json: &mut Json, event: &Event) {
        json.open();
        json.key("eventId");
        json.uuid(event.event_id);
        json.key("eventType");
        json.string(&event_type(event));
        json.key("timestamp");
        json.number(event.created_at.div_euclid(1_000_000));
        json.key("orgId");
        json.string(event.tenant.as_deref().unwrap_or(&self.source));
        json.key("actor");
        write_actor(json, event);
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

fn event_type(event: &Event) -> String {
    let resource = &event.resource;
    if event.action == Action::Custom {
        return event.event_type.to_string();
    }
    match event.field() {
        Some(field) => format!("custom-object:{resource}:field:{field}:changed"),
        None => format!("custom-object:{resource}:{}", verb(event)),
    }
}

/// Who did it, as far as the application said. Of a user whose kind it did not say, only that it is one
/// is known; nobody is the system.
fn write_actor(json: &mut Json, event: &Event) {
    let said = Said::of(event);
    let user = said.user();
    let unsaid = if user.is_some() { "USER" } else { "SYSTEM" };
    json.open();
    json.key("id");
    json.string(user.as_deref().unwrap_or_default());
    json.key("type");
    json.string(said.user_type().as_deref().unwrap_or(unsaid));
    json.key("email");
    json.string(said.email().as_deref().unwrap_or_default());
    json.close();
}

fn write_data(json: &mut Json, event: &Event) {
    let change = Change::of(event);
    json.open();
    change.new.named(json, &camel_case(&event.resource));
    if let Some(field) = FieldChange::of(event) {
        json.key("fieldChange");
        field.write(json, Some(time(event.created_at)));
        json.close();
        return;
    }
    let previous = format!("previous{}", pascal_case(&event.resource));
    change.old.named(json, &previous);
    if let Some(changed) = &change.previous {
        json.key("changedFields");
        json.array(Fields::keys(changed));
    }
    own_data(json, event);
    json.close();
}
