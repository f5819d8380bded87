//! An event → the body of a request.
//!
//! One format, one file. The text is written straight into one buffer: records are copied as they
//! stand in the log.

mod data;
mod snaapi;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::json::Json;
use super::{Delivery, Endpoint, Format};
use crate::event::Event;

/// Room for everything but the record: names, ids, times, lists of columns.
const ENVELOPE_BYTES: usize = 1024;

/// 0000-01-01T00:00:00Z in microseconds: RFC 3339 has four digits for the year and no sign.
const YEAR_ZERO: i64 = -62_167_219_200_000_000;

/// What a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its media type.
    pub content_type: &'static str,
    /// Headers that belong to it: names in lower case, values as they are meant. The sender encodes
    /// what no header can hold.
    pub headers: Vec<(&'static str, String)>,
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
        let mut json = Json::with_capacity(capacity(event));
        self.payload(&mut json, event, delivery);
        Ok(Body {
            content_type: "application/json",
            headers: Vec::new(),
            bytes: json.into_bytes().into(),
        })
    }

    /// Writes the body of one attempt at several events: a JSON array of what each would be alone.
    ///
    /// # Errors
    /// Why these events cannot be rendered.
    pub fn render_batch(&self, batch: &[(&Event, Delivery)]) -> Result<Body, String> {
        let room = batch.iter().map(|(event, _)| capacity(event)).sum();
        let mut json = Json::with_capacity(room);
        json.open_list();
        for (event, delivery) in batch {
            json.next_item();
            self.payload(&mut json, event, delivery);
        }
        json.close_list();
        Ok(Body {
            content_type: "application/json",
            headers: Vec::new(),
            bytes: json.into_bytes().into(),
        })
    }

    /// What stands for one event in a body.
    fn payload(&self, json: &mut Json, event: &Event, delivery: &Delivery) {
        match self.format {
            Format::Rowhook | Format::Snaapi => self.snaapi(json, event, delivery),
        }
    }
}

/// An estimate that spares most bodies a second allocation: the record may stand in both `old` and
/// `new`, the previous values in `previousValues` too.
fn capacity(event: &Event) -> usize {
    let len = |text: &Option<_>| text.as_deref().map_or(0, str::len);
    ENVELOPE_BYTES + 2 * (len(&event.record) + len(&event.previous)) + len(&event.context)
}

/// Microseconds since 1970 as an RFC 3339 time in UTC, its fraction without trailing zeros. Before
/// the year 0 and after 9999 it is the nearest time that can be written.
fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds.max(YEAR_ZERO)).unwrap_or(Timestamp::MAX)
}
