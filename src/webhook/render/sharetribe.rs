//! Formats `sharetribe` and `sharetribe-api`: an event of Sharetribe's, in the native form and in
//! that of the Integration API. Its documentation: "Events", "Event data formats".

use std::collections::BTreeSet;

use super::change;
use super::documents;
use super::names::verb;
use super::said::Said;
use super::{Renderer, milliseconds, own_data, resource_id};
use crate::event::{Action, Event, Fields};
use crate::webhook::json::Json;

/// The key of a column that is the resource's id, as JSON text.
const ID: &str = r#""id""#;

/// What the name of every source begins with.
const SOURCE: &str = "source/";

impl Renderer {
    /// Writes the native form: resource and previous values as plain objects.
    pub(super) fn sharetribe(&self, json: &mut Json, event: &Event) {
        json.open();
        json.key("id");
        json.uuid(event.event_id);
        self.about(json, event);
        json.key("resource");
        json.raw(live(event).unwrap_or("null"));
        if let Some(previous) = Previous::of(event) {
            json.key("previousValues");
            json.open();
            previous.write(json, self.documents(event), |_| true);
            json.close();
        }
        own_data(json, event);
        audit_data(json, event);
        json.close();
    }

    /// Writes the API's form: event, resource and previous values as API resources.
    pub(super) fn sharetribe_api(&self, json: &mut Json, event: &Event) {
        json.open();
        json.key("id");
        json.uuid(event.event_id);
        json.key("type");
        json.quoted("event");
        json.key("attributes");
        json.open();
        self.about(json, event);
        json.key("resource");
        match live(event) {
            Some(record) => api_resource(json, event, record),
            None => json.raw("null"),
        }
        if let Some(previous) = Previous::of(event) {
            json.key("previousValues");
            api_previous(json, event, &previous, self.documents(event));
        }
        own_data(json, event);
        audit_data(json, event);
        json.close();
        json.close();
    }

    /// The columns that are documents; `None` where every column may be one.
    fn documents(&self, event: &Event) -> Option<&BTreeSet<String>> {
        self.payload.documents.columns(&event.resource)
    }

    /// The members that say what the event is about.
    fn about(&self, json: &mut Json, event: &Event) {
        json.key("eventType");
        if event.action == Action::Custom {
            json.string(&event.event_type.replacen('.', "/", 1));
        } else {
            json.string(&format!("{}/{}", event.resource, verb(event)));
        }
        json.key("sequenceId");
        json.number(event.sequence_id);
        json.key("createdAt");
        json.quoted(milliseconds(event.created_at));
        json.key("marketplaceId");
        json.string(event.tenant.as_deref().unwrap_or(&self.source));
        json.key("source");
        source(json, event);
        json.key("resourceId");
        resource_id(json, event);
        json.key("resourceType");
        json.string(&event.resource);
    }
}

/// The row as it is after the event; a deleted one is not.
fn live(event: &Event) -> Option<&str> {
    let record = event.record.as_deref();
    record.filter(|_| event.action != Action::Deleted)
}

/// `source/…`, as the application names the service; else the database itself.
fn source(json: &mut Json, event: &Event) {
    match Said::of(event).source() {
        Some(source) if source.starts_with(SOURCE) => json.string(&source),
        Some(source) => json.string(&format!("{SOURCE}{source}")),
        None => json.quoted("source/database"),
    }
}

/// Who caused it, as far as the application said; null what it did not say.
fn audit_data(json: &mut Json, event: &Event) {
    let said = Said::of(event);
    json.key("auditData");
    json.open();
    for (key, id) in [
        ("userId", said.user()),
        ("adminId", said.admin()),
        ("clientId", said.client()),
        ("requestId", said.request()),
    ] {
        json.key(key);
        match id {
            Some(id) => json.string(&id),
            None => json.raw("null"),
        }
    }
    json.close();
}

/// What `previousValues` tells of the row before the event.
enum Previous<'a> {
    /// Nothing: there was no row.
    Nothing,
    /// The whole row: it is gone.
    Row(Fields<'a>),
    /// The columns that changed, and the row as it is now.
    Changed(Fields<'a>, Fields<'a>),
}

impl<'a> Previous<'a> {
    /// `None` where it is not known.
    fn of(event: &'a Event) -> Option<Self> {
        let record = || event.record.as_deref().and_then(Fields::read);
        match event.action {
            Action::Created
            | Action::Snapshot
            | Action::Truncated
            | Action::Custom
            | Action::Noted => Some(Self::Nothing),
            Action::Deleted if event.is_soft_delete() => {
                let (row, previous) = record().zip(change::previous(event))?;
                Some(Self::Row(row.overlaid_by(&previous)))
            }
            Action::Deleted => record().map(Self::Row),
            Action::Updated | Action::Restored | Action::Changed => {
                Some(Self::Changed(change::previous(event)?, record()?))
            }
        }
    }

    /// Writes the members whose key `wanted` takes.
    fn write(
        &self,
        json: &mut Json,
        columns: Option<&BTreeSet<String>>,
        wanted: impl Fn(&str) -> bool,
    ) {
        let (old, new) = match self {
            Self::Nothing => return,
            Self::Row(row) => (row, None),
            Self::Changed(previous, row) => (previous, Some(row)),
        };
        for member in old.iter().filter(|member| wanted(member.key)) {
            let now = new.and_then(|row| row.get(member.key));
            let is_document = columns.is_none_or(|columns| columns.contains(&*member.name()));
            documents::write_previous(json, member, now, is_document);
        }
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        let (Self::Row(fields) | Self::Changed(fields, _)) = self else {
            return None;
        };
        fields.get(key).map(|member| member.value)
    }
}

/// `{"id":…,"type":…,"attributes":{…}}`.
fn api_resource(json: &mut Json, event: &Event, record: &str) {
    json.open();
    json.key("id");
    resource_id(json, event);
    json.key("type");
    json.string(&event.resource);
    json.key("attributes");
    match Fields::read(record) {
        Some(row) if names_the_row(&row, event) => {
            json.open();
            for member in row.iter().filter(|member| member.key != ID) {
                json.member(member.key, member.value);
            }
            json.close();
        }
        _ => json.raw(record),
    }
    json.close();
}

/// `{"attributes":{…}}`, with the id beside them where a resource has it there.
fn api_previous(
    json: &mut Json,
    event: &Event,
    previous: &Previous<'_>,
    documents: Option<&BTreeSet<String>>,
) {
    let beside = match (previous, event.record.as_deref().and_then(Fields::read)) {
        (Previous::Nothing, _) | (_, None) => false,
        (_, Some(row)) => names_the_row(&row, event),
    };
    json.open();
    if let Some(id) = previous.get(ID).filter(|_| beside) {
        json.key("id");
        if id.starts_with('"') {
            json.raw(id);
        } else {
            json.quoted(id);
        }
    }
    json.key("attributes");
    json.open();
    previous.write(json, documents, |key| !beside || key != ID);
    json.close();
    json.close();
}

/// Whether the row has a column `id` that says the same as the resource's id.
fn names_the_row(row: &Fields<'_>, event: &Event) -> bool {
    let Some((member, id)) = row.get(ID).zip(event.resource_id.as_deref()) else {
        return false;
    };
    if member.value.starts_with('"') {
        serde_json::from_str::<String>(member.value).is_ok_and(|text| text == id)
    } else {
        member.value == id
    }
}
