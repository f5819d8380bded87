//! The headers of a request.

use std::fmt::Write;

use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::event::Event;
use crate::fault::Fault;
use crate::webhook::sign::{SigningKey, signature_header};
use crate::webhook::{Batch, Body, Delivery, Endpoint};

/// Headers that rowhook sets itself: `webhook-*` as the Standard Webhooks specification has them,
/// `x-rowhook-*` for receivers that route before they parse.
const OWN_PREFIXES: [&str; 2] = ["webhook-", "x-rowhook-"];

/// Headers that describe the body or the connection, which no setting can know better.
const OWN_NAMES: [&str; 5] = [
    "host",
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
];

/// The headers of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// What the headers of an endpoint's requests are made from.
#[derive(Debug)]
pub(super) struct Headers {
    /// The same for every request. Custom values are marked sensitive.
    fixed: HeaderMap,
    /// Whether one of those of the trace is among them.
    traced: bool,
    keys: Vec<SigningKey>,
}

impl Headers {
    /// Reads the endpoint's headers.
    ///
    /// # Errors
    /// [`Fault::settings`] that names the header, never its value.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, Fault> {
        let mut fixed = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            let wrong = |why: &str| {
                Fault::settings(format!(
                    "webhook {:?}: header {name:?} {why}",
                    endpoint.name
                ))
            };
            let name = HeaderName::try_from(name).map_err(|_| wrong("is not a header name"))?;
            if is_own_header(name.as_str()) {
                return Err(wrong("is set by rowhook").next_step("remove it from the settings"));
            }
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_| wrong("has a value that no header can hold"))?;
            value.set_sensitive(true);
            fixed.append(name, value);
        }
        put(
            &mut fixed,
            "x-rowhook-subscription",
            &encoded(&endpoint.name),
        );
        Ok(Self {
            traced: fixed.contains_key(TRACEPARENT) || fixed.contains_key(TRACESTATE),
            fixed,
            keys: endpoint.keys.clone(),
        })
    }

    /// The headers of one attempt at `now`.
    pub(super) fn of(
        &self,
        event: &Event,
        delivery: &Delivery,
        now: Timestamp,
        body: &Body,
    ) -> HeaderMap {
        let event_id = event.event_id.to_string();
        let mut headers = self.signed(&event_id, delivery, now, body);
        put(&mut headers, "x-rowhook-event", &encoded(&event.event_type));
        put(&mut headers, "x-rowhook-event-id", &event_id);
        headers
    }

    /// The headers of one attempt of several events.
    pub(super) fn of_batch(&self, batch: &Batch, now: Timestamp, body: &Body) -> HeaderMap {
        let mut headers = self.signed(&batch.id.to_string(), &batch.delivery, now, body);
        put(&mut headers, "x-rowhook-event", "batch");
        put(&mut headers, "x-rowhook-events", &batch.events.to_string());
        headers
    }

    /// The headers that every attempt has.
    fn signed(&self, id: &str, delivery: &Delivery, now: Timestamp, body: &Body) -> HeaderMap {
        // A clock before 1970 signs for 1970: the receiver refuses it, and says so.
        let timestamp = u64::try_from(now.as_second()).unwrap_or(0);
        let mut headers = self.fixed.clone();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
        put(&mut headers, "webhook-id", id);
        put(&mut headers, "webhook-timestamp", &timestamp.to_string());
        if !self.keys.is_empty() {
            let signature = signature_header(&self.keys, id, timestamp, &body.bytes);
            put(&mut headers, "webhook-signature", &signature);
        }
        put(&mut headers, "x-rowhook-delivery", &delivery.id.to_string());
        put(
            &mut headers,
            "x-rowhook-attempt",
            &delivery.attempt.to_string(),
        );
        if let Some(replay) = delivery.replay {
            put(&mut headers, "x-rowhook-replay", &replay.to_string());
        }
        for (name, value) in &body.headers {
            put(&mut headers, name, &encoded(value));
        }
        // What the settings say wins; a state of another trace must not stand beside it.
        if let Some(trace) = body.trace.as_ref().filter(|_| !self.traced) {
            put(&mut headers, TRACEPARENT, trace.parent());
            if let Some(state) = trace.state() {
                put(&mut headers, TRACESTATE, state);
            }
        }
        headers
    }
}

/// Whether a header, its name in lower case, is rowhook's to set.
#[must_use]
pub fn is_own_header(name: &str) -> bool {
    OWN_NAMES.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Sets a header whose value is printable ASCII, as [`encoded`] makes it; nothing else would be a
/// header value.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Percent-encodes what no header should hold: space, `"`, `%` and everything outside U+0021 to
/// U+007E, by the rule of the CloudEvents HTTP binding (section 3.1.3.2). Table names may hold any
/// character.
fn encoded(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            value.push(char::from(byte));
        } else {
            let _infallible = write!(value, "%{byte:02X}");
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_fits_a_header() {
        assert_eq!(encoded("sales.orders.created"), "sales.orders.created");
        assert_eq!(encoded("100% \"käse\"\n"), "100%25%20%22k%C3%A4se%22%0A");
    }
}
