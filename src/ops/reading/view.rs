//! An event for programs: the one JSON of the command line and the API.

use bytestring::ByteString;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::event::{Event, rfc3339};

/// An event for programs: the names of the webhook payload. Values are passed on as they stand in
/// the log; a number keeps all of its digits.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View<'a> {
    sequence_id: i64,
    id: String,
    r#type: &'a str,
    resource: &'a str,
    resource_id: Option<&'a str>,
    action: &'static str,
    created_at: String,
    record: Option<&'a RawValue>,
    previous_values: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related_ids: Option<&'a RawValue>,
    old_row: &'static str,
    unknown: &'a [String],
    as_text: &'a [String],
    source: ViewSource<'a>,
}

#[derive(Serialize)]
struct ViewSource<'a> {
    schema: &'a str,
    table: &'a str,
    xid: u32,
    lsn: String,
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
