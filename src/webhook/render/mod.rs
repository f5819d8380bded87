//! An event → the body of a request.
//!
//! One format, one file. The text is written straight into one buffer: records are copied as they
//! stand in the log.

mod change;
mod cloudevents;
mod data;
mod documents;
mod field;
mod hasura;
mod hasura_context;
mod names;
mod said;
mod sharetribe;
mod snaapi;
mod stelace;
mod thena;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;

pub(super) use self::cloudevents::is_attribute_header;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::json::Json;
use super::trace::Trace;
use super::{Delivery, Endpoint, Format, Payload};
use crate::event::Event;

/// Room for everything but the record: names, ids, times, lists of columns.
const ENVELOPE_BYTES: usize = 1024;

/// 0000-01-01T00:00:00Z in microseconds: RFC 3339 has four digits for the year and no sign.
const YEAR_ZERO: i64 = -62_167_219_200_000_000;

/// The media type of a body that has none of its own.
const JSON: &str = "application/json";

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Headers that belong to it: names in lower case, values as they are meant. The sender encodes
    /// what no header can hold.
    pub headers: Vec<(&'static str, String)>,
    /// The trace that its events are a part of, if all are of the same one.
    pub(super) trace: Option<Trace>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Renders the events of one subscription.
#[derive(Debug, Clone)]
pub struct Renderer {
    source: Arc<str>,
    subscription: String,
    format: Format,
    payload: Payload,
}

impl Renderer {
    /// For an endpoint. `source` is the source's name (its database).
    #[must_use]
    pub fn new(source: Arc<str>, endpoint: &Endpoint) -> Self {
        Self {
            source,
            subscription: endpoint.name.clone(),
            format: endpoint.format,
            payload: endpoint.payload.clone(),
        }
    }

    /// Writes the body of one attempt.
    ///
    /// A value that is not known is left out, never shown as null: an update whose old row the
    /// stream did not carry has none in any format, and no list of what changed.
    ///
    /// # Errors
    /// Why this event cannot be rendered. Another one may.
    pub fn render(&self, event: &Event, delivery: &Delivery) -> Result<Body, String> {
        let content_type = match self.format {
            Format::CloudeventsBatch => return self.render_batch(&[(event, *delivery)]),
            Format::CloudeventsBinary => {
                return Ok(self.binary_cloudevent(&self.payload.narrowed(event)));
            }
            Format::Cloudevents => cloudevents::STRUCTURED,
            _ => JSON,
        };
        let mut json = Json::with_capacity(capacity(event));
        self.write(&mut json, event, delivery)?;
        Ok(Body::of(content_type, json, Trace::of(event)))
    }

    /// Writes the body of one attempt at several events: a JSON array of what each would be alone.
    ///
    /// # Errors
    /// Why these events cannot be rendered.
    pub fn render_batch(&self, batch: &[(&Event, Delivery)]) -> Result<Body, String> {
        let content_type = match self.format {
            Format::Cloudevents | Format::CloudeventsBatch => cloudevents::BATCH,
            Format::CloudeventsBinary => {
                return Err("the headers of a binary CloudEvent tell of one event".to_owned());
            }
            _ => JSON,
        };
        let room = batch.iter().map(|(event, _)| capacity(event)).sum();
        let mut json = Json::with_capacity(room);
        json.open_list();
        for (event, delivery) in batch {
            json.next_item();
            self.write(&mut json, event, delivery)?;
        }
        json.close_list();
        let trace = Trace::common(batch.iter().map(|(event, _)| *event));
        Ok(Body::of(content_type, json, trace))
    }

    /// What stands for one event in a body.
    fn write(&self, json: &mut Json, event: &Event, delivery: &Delivery) -> Result<(), String> {
        let event = &*self.payload.narrowed(event);
        if let Some(body) = self.payload.body(event) {
            json.raw(body?);
            return Ok(());
        }
        match self.format {
            Format::Rowhook | Format::Snaapi => self.snaapi(json, event, delivery),
            Format::Hasura { max_retries } => self.hasura(json, event, delivery, max_retries),
            Format::Cloudevents | Format::CloudeventsBinary | Format::CloudeventsBatch => {
                self.cloudevent(json, event);
            }
            Format::Sharetribe => self.sharetribe(json, event),
            Format::SharetribeApi => self.sharetribe_api(json, event),
            Format::Stelace => stelace::write(json, event),
            Format::Thena => self.thena(json, event),
        }
        Ok(())
    }
}

impl Body {
    fn of(content_type: &'static str, json: Json, trace: Option<Trace>) -> Self {
        Self {
            content_type,
            headers: Vec::new(),
            trace,
            bytes: json.into_bytes().into(),
        }
    }
}

/// An estimate that spares most bodies a second allocation: the record may stand in both `old` and
/// `new`, the previous values in `previousValues` too.
fn capacity(event: &Event) -> usize {
    let len = |text: &Option<_>| text.as_deref().map_or(0, str::len);
    let rows = 2 * (len(&event.record) + len(&event.previous));
    ENVELOPE_BYTES + rows + len(&event.context) + len(&event.data)
}

/// Microseconds since 1970 as an RFC 3339 time in UTC, its fraction without trailing zeros. Before
/// the year 0 and after 9999 it is the nearest time that can be written.
fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds.max(YEAR_ZERO)).unwrap_or(Timestamp::MAX)
}

/// The same to the millisecond, always with three digits, as JavaScript writes it.
fn milliseconds(microseconds: i64) -> String {
    format!("{:.3}", time(microseconds))
}

/// What a custom event says, as a member `data`; other events have none.
fn own_data(json: &mut Json, event: &Event) {
    if let Some(data) = &event.data {
        json.key("data");
        json.raw(data);
    }
}

/// The resource's id as a string, null for events of a whole table.
fn resource_id(json: &mut Json, event: &Event) {
    match &event.resource_id {
        Some(id) => json.string(id),
        None => json.raw("null"),
    }
}
