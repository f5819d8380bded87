//! Formats `cloudevents`, `cloudevents-binary` and `cloudevents-batch`: CloudEvents 1.0.2, its JSON
//! format and its HTTP protocol binding.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Body, Renderer, capacity, data, time};
use crate::event::{Action, Event};
use crate::webhook::json::Json;
use crate::webhook::trace::Trace;

/// Media type of one event in structured mode.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of several.
pub(super) const BATCH: &str = "application/cloudevents-batch+json";

/// What the header of every attribute begins with.
const PREFIX: &str = "ce-";

/// What a name in a URI's path is encoded by: RFC 3986 has four marks that stand for themselves.
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whether a binary CloudEvent of ours has this header, or none may have it.
pub(crate) fn is_attribute_header(name: &str) -> bool {
    let attribute = name.strip_prefix(PREFIX).unwrap_or_default();
    matches!(
        attribute,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "subject"
            | "time"
            | "sequence"
            | "partitionkey"
            | "tenant"
            | "traceparent"
            | "tracestate"
            | "datacontenttype"
    )
}

impl Renderer {
    /// Writes an event in structured mode.
    pub(super) fn cloudevent(&self, json: &mut Json, event: &Event) {
        json.open();
        for (header, value) in self.attributes(event) {
            json.key(header.strip_prefix(PREFIX).unwrap_or(header));
            json.string(&value);
        }
        json.key("datacontenttype");
        json.quoted("application/json");
        json.key("data");
        write_data(json, event);
        json.close();
    }

    /// An event in binary mode: its attributes are headers, its data is the body.
    pub(super) fn binary_cloudevent(&self, event: &Event) -> Body {
        let mut json = Json::with_capacity(capacity(event));
        write_data(&mut json, event);
        let attributes = self.attributes(event).into_iter();
        Body {
            content_type: "application/json",
            trace: Trace::of(event),
            headers: attributes
                .map(|(header, value)| (header, value.into_owned()))
                .collect(),
            bytes: json.into_bytes().into(),
        }
    }

    /// The attributes, by their headers' names. None is empty: the specification forbids it.
    fn attributes<'a>(&self, event: &'a Event) -> Vec<(&'static str, Cow<'a, str>)> {
        let id = event.resource_id.as_deref().filter(|id| !id.is_empty());
        let mut attributes = vec![
            ("ce-specversion", Cow::Borrowed("1.0")),
            ("ce-id", event.event_id.to_string().into()),
            ("ce-source", self.event_source(event).into()),
            ("ce-type", allowed(&event.event_type)),
        ];
        attributes.extend(id.map(|id| ("ce-subject", allowed(id))));
        attributes.push(("ce-time", time(event.created_at).to_string().into()));
        // Padded to what a bigint may need, so that texts sort as the numbers do.
        let sequence = format!("{:019}", event.sequence_id);
        attributes.push(("ce-sequence", sequence.into()));
        let key = match id {
            Some(id) => allowed(&format!("{}/{id}", event.resource))
                .into_owned()
                .into(),
            None => allowed(&event.resource),
        };
        attributes.push(("ce-partitionkey", key));
        let tenant = event.tenant.as_deref().filter(|it| !it.is_empty());
        attributes.extend(tenant.map(|tenant| ("ce-tenant", allowed(tenant))));
        // The extension "Distributed Tracing": where the event was made, whoever carries it.
        if let Some(trace) = Trace::of(event) {
            attributes.push(("ce-traceparent", trace.parent().to_owned().into()));
            let state = trace.state().map(|state| state.to_owned().into());
            attributes.extend(state.map(|state| ("ce-tracestate", state)));
        }
        attributes
    }

    /// `/rowhook/shop/public.posts`; what is of no table has `/rowhook/shop`.
    fn event_source(&self, event: &Event) -> String {
        let name = |name| utf8_percent_encode(name, NAME);
        let (schema, table) = (&event.origin.schema, &event.origin.table);
        if table.is_empty() {
            format!("/rowhook/{}", name(&self.source))
        } else {
            format!(
                "/rowhook/{}/{}.{}",
                name(&self.source),
                name(schema),
                name(table)
            )
        }
    }
}

/// What a custom event says is its data, and nothing else, as wherever CloudEvents are made by hand.
fn write_data(json: &mut Json, event: &Event) {
    if event.action == Action::Custom {
        json.raw(event.data.as_deref().unwrap_or("null"));
    } else {
        data::write(json, event);
    }
}

/// A text as an attribute may hold it: control characters and what Unicode calls noncharacters are
/// percent-encoded (CloudEvents, "Type System").
fn allowed(text: &str) -> Cow<'_, str> {
    if !text.contains(is_forbidden) {
        return text.into();
    }
    let mut value = String::with_capacity(text.len());
    for char in text.chars() {
        if is_forbidden(char) {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                let _infallible = write!(value, "%{byte:02X}");
            }
        } else {
            value.push(char);
        }
    }
    value.into()
}

fn is_forbidden(char: char) -> bool {
    let noncharacter =
        matches!(char, '\u{FDD0}'..='\u{FDEF}') || u32::from(char) & 0xFFFE == 0xFFFE;
    char.is_control() || noncharacter
}
