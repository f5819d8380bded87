//! An event → the body of a request.
//!
//! Both formats follow Snaapi's webhook request, in its order of keys; `rowhook` adds to it. The
//! text is written straight into one buffer: records are copied as they stand in the log.

mod data;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::json::Json;
use super::{Delivery, Endpoint, Format};
use crate::event::{Event, Origin};

/// Room for everything but the record: names, ids, times, lists of columns.
const ENVELOPE_BYTES: usize = 1024;

/// 0000-01-01T00:00:00Z in microseconds: RFC 3339 has four digits for the year and no sign.
const YEAR_ZERO: i64 = -62_167_219_200_000_000;

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Renders the events of one subscription.
#[derive(Debug, Clone)]
pub struct Renderer {
    source: Arc<str>,
    subscription: String,
    format: Format,
}

impl Renderer {
    /// For an endpoint. `source` is the source's name (its database).
    #[must_use]
    pub fn new(source: Arc<str>, endpoint: &Endpoint) -> Self {
        Self {
            source,
            subscription: endpoint.name.clone(),
            format: endpoint.format,
        }
    }

    /// Writes the body of one attempt.
    ///
    /// A value that is not known is left out, never shown as null: an update whose old row the
    /// stream did not carry has no `data.old` and no `data.changes`.
    ///
    /// # Errors
    /// Why this event cannot be rendered. Another one may.
    pub fn render(&self, event: &Event, delivery: &Delivery) -> Result<Body, String> {
        Ok(Body {
            content_type: "application/json",
            bytes: self.snaapi(event, delivery),
        })
    }

    /// Snaapi's request, and what our own format adds to it.
    fn snaapi(&self, event: &Event, delivery: &Delivery) -> Bytes {
        let format = self.format;
        let mut json = Json::with_capacity(capacity(event));
        json.open();
        json.key("id");
        json.quoted(event.event_id);
        json.key("event");
        json.open();
        write_event(&mut json, event, format);
        if format == Format::Rowhook {
            write_additions(&mut json, event, &self.source);
        }
        json.close();
        if format == Format::Rowhook {
            json.key("subscription");
            json.string(&self.subscription);
        }
        json.key("delivery");
        json.open();
        json.key("id");
        json.quoted(delivery.id);
        json.key("attempt");
        json.number(delivery.attempt);
        if let (Format::Rowhook, Some(replay)) = (format, delivery.replay) {
            json.key("replay");
            json.number(replay);
        }
        json.close();
        json.close();
        json.into_bytes().into()
    }
}

/// An estimate that spares most bodies a second allocation: the record may stand in both `old` and
/// `new`, the previous values in `previousValues` too.
fn capacity(event: &Event) -> usize {
    let len = |text: &Option<_>| text.as_deref().map_or(0, str::len);
    ENVELOPE_BYTES + 2 * (len(&event.record) + len(&event.previous)) + len(&event.context)
}

/// The members that both formats have.
fn write_event(json: &mut Json, event: &Event, format: Format) {
    json.key("type");
    json.string(&event.event_type);
    json.key("resource");
    json.string(&event.resource);
    json.key("resourceId");
    match &event.resource_id {
        Some(id) => json.string(id),
        None => json.raw("null"),
    }
    if format == Format::Rowhook {
        json.key("sequenceId");
        json.number(event.sequence_id);
    }
    json.key("createdAt");
    json.quoted(time(event.created_at));
    json.key("data");
    data::write(json, event);
}

/// The members that only our own format has.
fn write_additions(json: &mut Json, event: &Event, source: &str) {
    if let Some(previous) = &event.previous {
        json.key("previousValues");
        json.raw(previous);
    }
    if !event.unknown.is_empty() {
        json.key("unknown");
        json.strings(&event.unknown);
    }
    if !event.as_text.is_empty() {
        json.key("asText");
        json.strings(&event.as_text);
    }
    json.key("source");
    write_source(json, &event.origin, source);
    json.key("context");
    json.raw(event.context.as_deref().unwrap_or("null"));
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

/// Microseconds since 1970 as an RFC 3339 time in UTC, its fraction without trailing zeros. Before
/// the year 0 and after 9999 it is the nearest time that can be written.
fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds.max(YEAR_ZERO)).unwrap_or(Timestamp::MAX)
}
