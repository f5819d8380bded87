//! The headers of a request.

use std::fmt::{self, Display, Write as _};

use bytes::BytesMut;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IntoHeaderName};
use uuid::Uuid;

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

/// How many headers rowhook sets itself, and the bytes of their values, roughly.
const OWN_HEADERS: usize = 12;
const VALUE_BYTES: usize = 384;

/// Names that every request has are made ready once: read anew, each one would be an allocation.
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SUBSCRIPTION: HeaderName = HeaderName::from_static("x-rowhook-subscription");
const DELIVERY: HeaderName = HeaderName::from_static("x-rowhook-delivery");
const ATTEMPT: HeaderName = HeaderName::from_static("x-rowhook-attempt");
const EVENT: HeaderName = HeaderName::from_static("x-rowhook-event");
const EVENT_ID: HeaderName = HeaderName::from_static("x-rowhook-event-id");

/// The headers of W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

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
        let mut request = Written::beside(&fixed);
        request.put(SUBSCRIPTION, Encoded(&endpoint.name));
        Ok(Self {
            traced: fixed.contains_key(TRACEPARENT) || fixed.contains_key(TRACESTATE),
            fixed: request.headers,
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
        let mut buffer = Uuid::encode_buffer();
        let event_id = event.event_id.hyphenated().encode_lower(&mut buffer);
        let mut request = self.signed(event_id, delivery, now, body);
        request.put(EVENT, Encoded(&event.event_type));
        request.put(EVENT_ID, event_id);
        request.headers
    }

    /// The headers of one attempt of several events.
    pub(super) fn of_batch(&self, batch: &Batch, now: Timestamp, body: &Body) -> HeaderMap {
        let mut request = self.signed(&batch.id.to_string(), &batch.delivery, now, body);
        request.put(EVENT, "batch");
        request.put("x-rowhook-events", batch.events);
        request.headers
    }

    /// The headers that every attempt has.
    fn signed(&self, id: &str, delivery: &Delivery, now: Timestamp, body: &Body) -> Written {
        // A clock before 1970 signs for 1970: the receiver refuses it, and says so.
        let timestamp = u64::try_from(now.as_second()).unwrap_or(0);
        let mut request = Written::beside(&self.fixed);
        let content_type = HeaderValue::from_static(body.content_type);
        request.headers.insert(CONTENT_TYPE, content_type);
        request.put(WEBHOOK_ID, id);
        request.put(WEBHOOK_TIMESTAMP, timestamp);
        if !self.keys.is_empty() {
            let signature = signature_header(&self.keys, id, timestamp, &body.bytes);
            request.put(WEBHOOK_SIGNATURE, signature);
        }
        request.put(DELIVERY, delivery.id);
        request.put(ATTEMPT, delivery.attempt);
        if let Some(replay) = delivery.replay {
            request.put("x-rowhook-replay", replay);
        }
        for (name, value) in &body.headers {
            request.put(*name, Encoded(value));
        }
        // What the settings say wins; a state of another trace must not stand beside it.
        if let Some(trace) = body.trace.as_ref().filter(|_| !self.traced) {
            request.put(TRACEPARENT, trace.parent());
            if let Some(state) = trace.state() {
                request.put(TRACESTATE, state);
            }
        }
        request
    }
}

/// Headers whose values share one buffer: they are many, and short.
struct Written {
    headers: HeaderMap,
    values: BytesMut,
}

impl Written {
    fn beside(fixed: &HeaderMap) -> Self {
        let mut headers = HeaderMap::with_capacity(fixed.len() + OWN_HEADERS);
        for (name, value) in fixed {
            headers.append(name.clone(), value.clone());
        }
        Self {
            headers,
            values: BytesMut::with_capacity(VALUE_BYTES),
        }
    }

    /// Sets a header whose value is printable ASCII, as [`Encoded`] makes it; nothing else would be a
    /// header value.
    fn put(&mut self, name: impl IntoHeaderName, value: impl Display) {
        // Memory takes every byte.
        let _infallible = write!(self.values, "{value}");
        if let Ok(value) = HeaderValue::from_maybe_shared(self.values.split().freeze()) {
            self.headers.insert(name, value);
        }
    }
}

/// Whether a header, its name in lower case, is rowhook's to set.
#[must_use]
pub fn is_own_header(name: &str) -> bool {
    OWN_NAMES.contains(&name) || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Percent-encodes what no header should hold: space, `"`, `%` and everything outside U+0021 to
/// U+007E, by the rule of the CloudEvents HTTP binding (section 3.1.3.2). Table names may hold any
/// character.
struct Encoded<'a>(&'a str);

impl Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'%';
        if self.0.bytes().all(plain) {
            return f.write_str(self.0);
        }
        self.0.bytes().try_for_each(|byte| match plain(byte) {
            true => f.write_char(char::from(byte)),
            false => write!(f, "%{byte:02X}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_fits_a_header() {
        assert_eq!(
            Encoded("sales.orders.created").to_string(),
            "sales.orders.created"
        );
        assert_eq!(
            Encoded("100% \"käse\"\n").to_string(),
            "100%25%20%22k%C3%A4se%22%0A"
        );
    }
}
