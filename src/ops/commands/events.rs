//! `rowhook events`: the log, read directly.

use std::process::ExitCode;
use std::time::Duration;

use bytestring::ByteString;
use comfy_table::Table;
use serde::Serialize;
use serde_json::{Value, value::RawValue};
use uuid::Uuid;

use super::{print, story};
use crate::event::{Action, Event, Fields, Member, OldRow, rfc3339};
use crate::event_log::read::{self, Filter};
use crate::fault::{Fault, Result};
use crate::ops::cli::{List, Output};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// How often `tail` looks for new events.
const FOLLOW: Duration = Duration::from_millis(250);

fn filter(list: &List) -> Filter {
    Filter {
        after: list.after,
        before: list.before,
        event_type: list.event_type.clone(),
        resource: list.resource.clone(),
        resource_id: list.id.clone(),
        newest: list.after.is_none(),
        limit: list.limit,
        ..Filter::default()
    }
}

/// Lists events in ascending order: the newest ones, or those after a sequence id.
///
/// # Errors
/// If the log cannot be asked.
pub async fn list(settings: &Settings, list: &List) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let events = read::page(&log, &filter(list)).await?;
    if list.output.json {
        return events
            .iter()
            .try_for_each(|event| print::line(compact(event)?));
    }
    if events.is_empty() {
        return print::line("no events");
    }
    if list.id.is_some() {
        return story::tell(&events);
    }
    let rows = events.iter().map(|event| {
        vec![
            event.sequence_id.to_string(),
            rfc3339(event.created_at),
            event.event_type.to_string(),
            event.resource_id.as_deref().unwrap_or("-").to_owned(),
            summary(event),
        ]
    });
    print::table(
        &["ID", "COMMITTED", "TYPE", "RESOURCE", "CHANGED"],
        rows.collect(),
    )
}

/// Prints new events as they are logged, after the newest ones that are there, for as long as
/// someone reads them.
///
/// # Errors
/// If the log cannot be asked.
pub async fn tail(settings: &Settings, list: &List) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let mut filter = filter(list);
    loop {
        for event in read::page(&log, &filter).await? {
            filter.after = Some(event.sequence_id);
            let line = if list.output.json {
                compact(&event)?
            } else {
                one_line(&event)
            };
            if !print::line_is_read(&line)? {
                return Ok(());
            }
        }
        filter.newest = false;
        filter.after = filter.after.or(Some(0));
        tokio::time::sleep(FOLLOW).await;
    }
}

fn one_line(event: &Event) -> String {
    format!(
        "{:>8}  {}  {} {}  {}",
        event.sequence_id,
        rfc3339(event.created_at),
        event.event_type,
        event.resource_id.as_deref().unwrap_or("-"),
        summary(event)
    )
}

/// `status: "new" → "paid"`, for what changed.
fn summary(event: &Event) -> String {
    const WIDTH: usize = 120;
    let text = match (event.action, &event.previous) {
        (action, Some(previous)) if action.is_update() => {
            let changes = fields(Some(previous));
            let new = fields(event.record.as_deref());
            let change = |old: &Member<'_>| {
                let new = new.get(old.key).map_or("?", |new| new.value);
                format!("{}: {} → {new}", old.key.trim_matches('"'), old.value)
            };
            changes.iter().map(change).collect::<Vec<_>>().join(", ")
        }
        (action, None) if action.is_update() => "old values not known".to_owned(),
        _ => event.record.as_deref().unwrap_or_default().to_owned(),
    };
    if text.chars().count() <= WIDTH {
        text
    } else {
        text.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}

fn fields(object: Option<&str>) -> Fields<'_> {
    object.and_then(Fields::read).unwrap_or_default()
}

/// Shows one event.
///
/// # Errors
/// If the log cannot be asked. An event that it does not hold is exit code 1.
pub async fn show(settings: &Settings, which: &str, output: Output) -> Result<ExitCode> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let Some(event) = find(&log, which).await? else {
        return Ok(ExitCode::FAILURE);
    };
    if output.json {
        print::line(serde_json::to_string_pretty(&View::from(&event)).map_err(unprintable)?)?;
    } else {
        describe_head(&event)?;
        story::describe_beside(&event)?;
        side_by_side(&event)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The event with this event id or sequence id. If the log does not hold it, that is told.
///
/// # Errors
/// If the log cannot be asked.
pub(super) async fn find(log: &Connection, which: &str) -> Result<Option<Event>> {
    let found = match (which.parse::<i64>(), which.parse::<Uuid>()) {
        (Ok(sequence_id), _) => read::by_sequence_id(log, sequence_id).await?,
        (_, Ok(event_id)) => read::by_event_id(log, event_id).await?,
        _ => {
            return Err(Fault::settings(format!(
                "{which:?} is neither an event id nor a sequence id"
            )));
        }
    };
    if found.is_none() {
        eprintln!(
            "rowhook: the log holds no event {which}; `rowhook events list` shows what it holds"
        );
    }
    Ok(found)
}

/// What an event is and where it came from, without its values.
pub(super) fn describe_head(event: &Event) -> Result<()> {
    print::line(format!(
        "event      {} ({})",
        event.sequence_id, event.event_id
    ))?;
    print::line(format!("type       {}", event.event_type))?;
    print::line(format!(
        "resource   {} {}",
        event.resource,
        event.resource_id.as_deref().unwrap_or("-")
    ))?;
    print::line(format!("committed  {}", rfc3339(event.created_at)))?;
    let origin = &event.origin;
    print::line(format!(
        "origin     {}.{}, transaction {}, commit {}, change {}",
        origin.schema, origin.table, origin.xid, origin.commit_lsn, origin.index
    ))?;
    if !event.unknown.is_empty() {
        print::line(format!("not known  {}", event.unknown.join(", ")))?;
    }
    if !event.as_text.is_empty() {
        print::line(format!("as text    {}", event.as_text.join(", ")))?;
    }
    print::line("")
}

/// The same for programs.
pub(super) fn gist(event: &Event) -> Result<Value> {
    let event = Event {
        record: None,
        previous: None,
        ..event.clone()
    };
    let mut gist = serde_json::to_value(View::from(&event)).map_err(unprintable)?;
    if let Some(members) = gist.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "record" | "previousValues"));
    }
    Ok(gist)
}

/// Old and new in two columns; a `*` marks what changed.
fn side_by_side(event: &Event) -> Result<()> {
    let record = fields(event.record.as_deref());
    let previous = fields(event.previous.as_deref());
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["", "FIELD", "OLD", "NEW"]);
    for Member { key, value } in record.iter() {
        let old = previous.get(key).map(|old| old.value);
        let (mark, old, new) = match (event.action, old) {
            (
                Action::Created
                | Action::Snapshot
                | Action::Truncated
                | Action::Custom
                | Action::Noted,
                _,
            ) => ("+", "", *value),
            (Action::Deleted, _) => ("-", *value, ""),
            (_, Some(old)) => ("*", old, *value),
            (_, None) if event.old_row == OldRow::Full => ("", *value, *value),
            (_, None) => ("", "(not known)", *value),
        };
        let [old, new] = [old, new].map(story::short);
        table.add_row([mark, key.trim_matches('"'), &old, &new]);
    }
    for column in &event.unknown {
        let old = previous.named(column).map(|old| story::short(old.value));
        let old = old.unwrap_or_else(|| "(not known)".to_owned());
        let (old, new) = match event.action {
            Action::Deleted => (&*old, ""),
            action if action.is_update() => (&*old, "(not known)"),
            _ => ("", "(not known)"),
        };
        table.add_row(["?", column, old, new]);
    }
    if table.row_count() == 0 {
        return Ok(());
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    print::line(lines.join("\n"))
}

/// An event for programs: the names of the webhook payload. Values are passed on as they stand in
/// the log; a number keeps all of its digits.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<String>,
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

/// One line of JSON.
fn compact(event: &Event) -> Result<String> {
    serde_json::to_string(&View::from(event)).map_err(unprintable)
}

fn unprintable(error: serde_json::Error) -> Fault {
    Fault::permanent("an event of the log cannot be printed").because(error)
}
