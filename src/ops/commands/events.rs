//! `rowhook events`: the log, read directly.

use std::time::Duration;

use comfy_table::Table;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::print;
use crate::event::{Action, Event, OldRow, rfc3339};
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
            .try_for_each(|event| print::line(as_json(event).to_string()));
    }
    if events.is_empty() {
        return print::line("no events");
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
                as_json(&event).to_string()
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
        (Action::Updated, Some(previous)) => {
            let new = fields(event.record.as_deref());
            let changes = fields(Some(previous)).into_iter().map(|(name, old)| {
                let new = new
                    .get(&name)
                    .map_or_else(|| "?".to_owned(), ToString::to_string);
                format!("{name}: {old} → {new}")
            });
            changes.collect::<Vec<_>>().join(", ")
        }
        (Action::Updated, None) => "old values not known".to_owned(),
        _ => event.record.as_deref().unwrap_or_default().to_owned(),
    };
    if text.chars().count() <= WIDTH {
        text
    } else {
        text.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}

fn fields(object: Option<&str>) -> Map<String, Value> {
    object
        .and_then(|object| serde_json::from_str(object).ok())
        .unwrap_or_default()
}

/// Shows one event.
///
/// # Errors
/// If there is no such event, or the log cannot be asked.
pub async fn show(settings: &Settings, which: &str, output: Output) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let found = match (which.parse::<i64>(), which.parse::<Uuid>()) {
        (Ok(sequence_id), _) => read::by_sequence_id(&log, sequence_id).await?,
        (_, Ok(event_id)) => read::by_event_id(&log, event_id).await?,
        _ => {
            return Err(Fault::settings(format!(
                "{which:?} is neither an event id nor a sequence id"
            )));
        }
    };
    let Some(event) = found else {
        return Err(Fault::settings(format!("the log holds no event {which}"))
            .next_step("`rowhook events list` shows what it holds"));
    };
    if output.json {
        return print::json(&as_json(&event));
    }
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
    print::line("")?;
    side_by_side(&event)
}

/// Old and new in two columns; a `*` marks what changed.
fn side_by_side(event: &Event) -> Result<()> {
    let record = fields(event.record.as_deref());
    let previous = fields(event.previous.as_deref());
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(["", "FIELD", "OLD", "NEW"]);
    for (name, value) in &record {
        let value = value.to_string();
        let old = previous.get(name).map(ToString::to_string);
        let (mark, old, new) = match (event.action, old) {
            (Action::Created | Action::Truncated | Action::Noted, _) => ("+", String::new(), value),
            (Action::Deleted, _) => ("-", value, String::new()),
            (Action::Updated, Some(old)) => ("*", old, value),
            (Action::Updated, None) if event.old_row == OldRow::Full => ("", value.clone(), value),
            (Action::Updated, None) => ("", "(not known)".to_owned(), value),
        };
        table.add_row([mark.to_owned(), name.clone(), old, new]);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    print::line(lines.join("\n"))
}

/// An event for programs: the names of the webhook payload.
fn as_json(event: &Event) -> Value {
    let raw = |text: Option<&str>| -> Value {
        text.and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
            .and_then(|raw| serde_json::to_value(raw).ok())
            .unwrap_or(Value::Null)
    };
    json!({
        "sequenceId": event.sequence_id,
        "id": event.event_id.to_string(),
        "type": &*event.event_type,
        "resource": &*event.resource,
        "resourceId": event.resource_id.as_deref(),
        "action": event.action.as_str(),
        "createdAt": rfc3339(event.created_at),
        "record": raw(event.record.as_deref()),
        "previousValues": raw(event.previous.as_deref()),
        "context": raw(event.context.as_deref()),
        "oldRow": event.old_row.as_str(),
        "unknown": event.unknown,
        "source": {
            "schema": &*event.origin.schema,
            "table": &*event.origin.table,
            "xid": event.origin.xid,
            "lsn": event.origin.commit_lsn.to_string(),
            "index": event.origin.index,
        },
    })
}
