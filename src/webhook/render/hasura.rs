//! Format `hasura`: what Hasura's event triggers send. Its documentation: "Event Triggers",
//! "Payload".

use super::change::Change;
use super::said::Said;
use super::{Renderer, hasura_context, own_data, time};
use crate::event::{Action, Event};
use crate::webhook::Delivery;
use crate::webhook::json::Json;

impl Renderer {
    /// Writes Hasura's payload. Attempts are retries and one: `max_retries` is of the settings.
    pub(super) fn hasura(
        &self,
        json: &mut Json,
        event: &Event,
        delivery: &Delivery,
        max_retries: u32,
    ) {
        json.open();
        json.key("id");
        json.uuid(event.event_id);
        json.key("created_at");
        json.quoted(local_time(event.created_at));
        json.key("table");
        json.open();
        json.key("schema");
        json.string(&event.origin.schema);
        json.key("name");
        json.string(&event.origin.table);
        json.close();
        json.key("trigger");
        json.open();
        json.key("name");
        json.string(&self.subscription);
        json.close();
        json.key("delivery_info");
        json.open();
        json.key("current_retry");
        json.number(delivery.attempt.saturating_sub(1));
        json.key("max_retries");
        json.number(max_retries);
        json.close();
        json.key("event");
        write_event(json, event);
        json.close();
    }
}

fn write_event(json: &mut Json, event: &Event) {
    let change = Change::of(event);
    json.open();
    json.key("op");
    json.quoted(operation(event.action));
    json.key("data");
    json.open();
    change.old.member(json, "old");
    change.new.member(json, "new");
    own_data(json, event);
    json.close();
    hasura_context::write(json, &Said::of(event));
    json.close();
}

/// Hasura's word, where it has one: its `MANUAL` is a row that was sent without having changed. So is
/// what a custom event is about.
fn operation(action: Action) -> &'static str {
    match action {
        Action::Created => "INSERT",
        Action::Updated | Action::Restored | Action::Changed => "UPDATE",
        Action::Deleted => "DELETE",
        Action::Snapshot => "MANUAL",
        Action::Truncated => "TRUNCATE",
        Action::Custom => "MANUAL",
        Action::Noted => "NOTE",
    }
}

/// UTC without saying so, as Hasura 2 does, and always with six digits: Python before 3.11 reads
/// three or six only.
fn local_time(microseconds: i64) -> String {
    let mut text = format!("{:.6}", time(microseconds));
    text.pop();
    text
}
