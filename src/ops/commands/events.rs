//! `rowhook events`: the log, read directly.

use std::process::ExitCode;
use std::time::Duration;

use comfy_table::Table;

use super::{print, story};
use crate::event::{Action, Event, Fields, Member, OldRow, rfc3339};
use crate::fault::{Fault, Result};
use crate::ops::cli::{List, Output};
use crate::ops::reading::{self, Question, Types, compact};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// How often `tail` looks for new events.
const FOLLOW: Duration = Duration::from_millis(250);

fn question(settings: &Settings, list: &List) -> Result<Question> {
    let types = Types::read(list.event_type.iter().cloned().collect());
    let webhooks = settings.webhooks.iter();
    let names = || webhooks.map(|webhook| webhook.name.clone()).collect();
    Ok(Question {
        after: list.after,
        before: list.before,
        types: types.map_err(Fault::settings)?,
        resource: list.resource.clone(),
        resource_id: list.id.clone(),
        from: list.from,
        to: list.to,
        owed_to: list.undispatched.then(names),
        limit: list.limit,
        ..Question::default()
    })
}

/// Lists events in ascending order: the newest ones, or those after a sequence id.
///
/// # Errors
/// If the log cannot be asked.
pub async fn list(settings: &Settings, list: &List) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook events").await?;
    let events = question(settings, list)?.ask(&log).await?.events;
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
    let mut question = question(settings, list)?;
    loop {
        let page = question.ask(&log).await?;
        for event in page.events {
            let line = if list.output.json {
                compact(&event)?
            } else {
                one_line(&event)
            };
            if !print::line_is_read(&line)? {
                return Ok(());
            }
        }
        question.after = Some(page.next);
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
        (action, Some(previous)) if action.is_update() || event.is_soft_delete() => {
            let changes = fields(Some(previous));
            let new = fields(event.record.as_deref());
            let change = |old: &Member<'_>| {
                let new = new.get(old.key).map_or("?", |new| new.value);
                format!("{}: {} → {new}", old.key.trim_matches('"'), old.value)
            };
            let is_told = |old: &&Member<'_>| event.field().is_none_or(|it| old.name() == it);
            let told = changes.iter().filter(is_told);
            told.map(change).collect::<Vec<_>>().join(", ")
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
        print::line(reading::pretty(&event)?)?;
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
    let found = look_for(log, which).await?;
    if found.is_none() {
        tell_missing(which);
    }
    Ok(found)
}

pub(super) fn tell_missing(which: &str) {
    eprintln!("rowhook: the log holds no event {which}; `rowhook events list` shows what it holds");
}

/// The event with this id or sequence id; says nothing where there is none.
///
/// # Errors
/// If the log cannot be asked.
pub(super) async fn look_for(log: &Connection, which: &str) -> Result<Option<Event>> {
    let found = reading::one(log, which.parse()?).await?;
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
    if let Some(tenant) = &event.tenant {
        print::line(format!("tenant     {tenant}"))?;
    }
    if let Some(related) = &event.related {
        print::line(format!("related    {related}"))?;
    }
    if !event.unknown.is_empty() {
        print::line(format!("not known  {}", event.unknown.join(", ")))?;
    }
    if !event.as_text.is_empty() {
        print::line(format!("as text    {}", event.as_text.join(", ")))?;
    }
    print::line("")
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
            (Action::Deleted, _) if !event.is_soft_delete() => ("-", *value, ""),
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
