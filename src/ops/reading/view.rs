//! An event for programs: the one JSON of the command line and the API.

use bytestring::ByteString;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::{Event, rfc3339};

type Object = serde_json::Map<String, serde_json::Value>;

/// An event for programs: the names of the webhook payload. Values are passed on as they stand in
/// the log; a number keeps all of its digits.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Event")]
pub(crate) struct View<'a> {
    /// Its place in the log: dense, in the order of commits.
    sequence_id: i64,
    /// Its id, on every attempt and after a crash.
    id: String,
    /// `posts.updated`
    r#type: &'a str,
    /// `posts`
    resource: &'a str,
    /// The row's key as text.
    resource_id: Option<&'a str>,
    /// The word after the dot.
    action: &'static str,
    /// When the source committed it.
    created_at: String,
    /// The row after the change; for a delete, the row that was deleted.
    #[schemars(with = "Option<Object>")]
    record: Option<&'a RawValue>,
    /// Old values of the fields that changed; null where not known.
    #[schemars(with = "Option<Object>")]
    previous_values: Option<&'a RawValue>,
    /// Session variables and trace context.
    #[schemars(with = "Option<Object>")]
    context: Option<&'a RawValue>,
    /// What the application says with an event of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    data: Option<&'a RawValue>,
    /// Whose it is, where the resource tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    /// Ids of the rows that its foreign keys name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Object>")]
    related_ids: Option<&'a RawValue>,
    /// How much of the old row is known: absent, key, partial or full.
    old_row: &'static str,
    /// Columns that the stream did not carry; they are missing from `record`.
    unknown: &'a [String],
    /// Columns of which a value stands as text.
    as_text: &'a [String],
    /// When its values were erased, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
    /// Where it comes from.
    source: ViewSource<'a>,
}

/// Where an event comes from in the source.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EventSource")]
struct ViewSource<'a> {
    /// The table's schema.
    schema: &'a str,
    /// The table.
    table: &'a str,
    /// The transaction's id.
    xid: u32,
    /// Where its commit record is.
    lsn: String,
    /// Which change of the transaction, from 0.
    index: u64,
}

impl<'a> From<&'a Event> for View<'a> {
    fn from(event: &'a Event) -> Self {
        let raw = |text: &'a Option<ByteString>| {
            text.as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
        };
        Self {
            sequence_id: event.sequence_id,
            id: event.event_id.to_string(),
            r#type: &event.event_type,
            resource: &event.resource,
            resource_id: event.resource_id.as_deref(),
            action: event.action.as_str(),
            created_at: rfc3339(event.created_at),
            record: raw(&event.record),
            previous_values: raw(&event.previous),
            context: raw(&event.context),
            data: raw(&event.data),
            tenant: event.tenant.as_deref(),
            related_ids: raw(&event.related),
            old_row: event.old_row.as_str(),
            unknown: &event.unknown,
            as_text: &event.as_text,
            erased_at: event.erased_at.map(rfc3339),
            source: ViewSource {
                schema: &event.origin.schema,
                table: &event.origin.table,
                xid: event.origin.xid,
                lsn: event.origin.commit_lsn.to_string(),
                index: event.origin.index,
            },
        }
    }
}
