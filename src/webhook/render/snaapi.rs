//! Formats `rowhook` and `snaapi`: Snaapi's webhook request, in its order of keys, and what our own
//! format adds to it.

use super::field::FieldChange;
use super::{Renderer, data, documents, resource_id, time};
use crate::event::{Event, Fields, Origin};
use crate::webhook::json::Json;
use crate::webhook::{Delivery, Format};

impl Renderer {
    /// Snaapi's request, and what our own format adds to it.
    pub(super) fn snaapi(&self, json: &mut Json, event: &Event, delivery: &Delivery) {
        let format = self.format;
        json.open();
        json.key("id");
        json.uuid(event.event_id);
        json.key("event");
        json.open();
        write_event(json, event, format);
        if format == Format::Rowhook {
            self.write_additions(json, event);
        }
        json.close();
        if format == Format::Rowhook {
            json.key("subscription");
            json.string(&self.subscription);
        }
        json.key("delivery");
        json.open();
        json.key("id");
        json.uuid(delivery.id);
        json.key("attempt");
        json.number(delivery.attempt);
        if let (Format::Rowhook, Some(replay)) = (format, delivery.replay) {
            json.key("replay");
            json.number(replay);
        }
        json.close();
        json.close();
    }

    /// The members that only our own format has.
    fn write_additions(&self, json: &mut Json, event: &Event) {
        if let Some(previous) = &event.previous {
            json.key("previousValues");
            match self.payload.documents.columns(&event.resource) {
                Some(columns) => {
                    documents::write_all(json, previous, event.record.as_deref(), columns);
                }
                None => json.raw(previous),
            }
            new_values(json, event, previous);
        }
        if let Some(change) = FieldChange::of(event) {
            json.key("fieldChange");
            change.write(json, None);
        }
        if let Some(tenant) = &event.tenant {
            json.key("tenant");
            json.string(tenant);
        }
        if let Some(related) = &event.related {
            json.key("relatedIds");
            json.raw(related);
        }
        if !event.unknown.is_empty() {
            json.key("unknown");
            json.strings(&event.unknown);
        }
        if !event.as_text.is_empty() {
            json.key("asText");
            json.strings(&event.as_text);
        }
        if let Some(erased_at) = event.erased_at {
            json.key("erasedAt");
            json.quoted(time(erased_at));
        }
        json.key("source");
        write_source(json, &event.origin, &self.source);
        json.key("context");
        json.raw(event.context.as_deref().unwrap_or("null"));
    }
}

/// The members that both formats have.
fn write_event(json: &mut Json, event: &Event, format: Format) {
    json.key("type");
    json.string(&event.event_type);
    json.key("resource");
    json.string(&event.resource);
    json.key("resourceId");
    resource_id(json, event);
    if format == Format::Rowhook {
        json.key("sequenceId");
        json.number(event.sequence_id);
    }
    json.key("createdAt");
    json.quoted(time(event.created_at));
    json.key("data");
    data::write(json, event);
}

fn write_source(json: &mut Json, origin: &Origin, source: &str) {
    json.open();
    json.key("database");
    json.string(source);
    json.key("schema");
    json.string(&origin.schema);
    json.key("table");
    json.string(&origin.table);
    json.key("xid");
    json.number(origin.xid);
    json.key("lsn");
    json.quoted(origin.commit_lsn);
    json.close();
}

/// What the mark of a softly deleted row changed: `data.new` is null there.
fn new_values(json: &mut Json, event: &Event, previous: &str) {
    if !event.is_soft_delete() {
        return;
    }
    let row = event.record.as_deref().and_then(Fields::read);
    let Some((row, previous)) = row.zip(Fields::read(previous)) else {
        return;
    };
    json.key("newValues");
    json.open();
    for member in previous.keys().filter_map(|key| row.get(key)) {
        json.member(member.key, member.value);
    }
    json.close();
}
