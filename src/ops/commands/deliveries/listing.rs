//! `rowhook deliveries list`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::List;
use crate::event_log::requests::{Chosen, Shown};
use crate::fault::Result;
use crate::ops::commands::print;
use crate::wal::Connection;

/// Lists them.
///
/// # Errors
/// If the log cannot be asked.
pub(super) async fn list(log: &Connection, chosen: &Chosen, options: &List) -> Result<()> {
    let found = chosen.list(log, options.limit).await?;
    if options.output.json {
        let found: Vec<Value> = found.iter().map(as_json).collect();
        return print::json(&json!(found));
    }
    if found.is_empty() {
        return print::line("no deliveries");
    }
    let now = Timestamp::now();
    let rows = found.iter().map(|shown| as_row(shown, now)).collect();
    let head = [
        "WEBHOOK", "EVENT", "TYPE", "RESOURCE", "STATE", "ATTEMPTS", "DUE", "REASON",
    ];
    print::table(&head, rows)?;
    let all: i64 = chosen
        .count(log)
        .await?
        .iter()
        .map(|(.., count)| count)
        .sum();
    let shown = i64::try_from(found.len()).unwrap_or(i64::MAX);
    if all > shown {
        print::line(format!(
            "… and {} more; --limit shows more of them",
            all - shown
        ))?;
    }
    Ok(())
}

pub(crate) fn as_json(shown: &Shown) -> Value {
    let row = &shown.row;
    let event = shown.event.as_ref();
    json!({
        "webhook": shown.webhook,
        "sequence_id": row.sequence_id,
        "event_id": row.event_id.to_string(),
        "type": event.map(|(event_type, ..)| event_type),
        "resource": event.map(|(_, resource, _)| resource),
        "resource_id": event.and_then(|(.., id)| id.as_ref()),
        "state": if row.dead { "dead" } else { "waiting" },
        "request": shown.request,
        "attempts": row.attempts,
        "due_at": row.due_at.map(|due| due.to_string()),
        "reason": row.reason,
        "since": shown.since.to_string(),
        "updated_at": shown.updated_at.to_string(),
    })
}

fn as_row(shown: &Shown, now: Timestamp) -> Vec<String> {
    let row = &shown.row;
    let state = if row.dead { "dead" } else { "waiting" };
    let (event_type, resource) = match &shown.event {
        Some((event_type, resource, id)) => (
            event_type.clone(),
            format!("{resource} {}", id.as_deref().unwrap_or("-")),
        ),
        None => ("(not in the log)".to_owned(), String::new()),
    };
    vec![
        shown.webhook.clone(),
        row.sequence_id.to_string(),
        event_type,
        resource,
        match &shown.request {
            Some(request) => format!("{state}, {request} asked"),
            None => state.to_owned(),
        },
        row.attempts.to_string(),
        match row.due_at {
            _ if row.dead => String::new(),
            Some(due) => until(due, now),
            None => "behind another".to_owned(),
        },
        row.reason.clone().unwrap_or_default(),
    ]
}

/// `in 5m`, or `now`.
pub(in crate::ops::commands) fn until(due: Timestamp, now: Timestamp) -> String {
    match u64::try_from(due.as_second().saturating_sub(now.as_second())) {
        Ok(0) | Err(_) => "now".to_owned(),
        Ok(seconds) => {
            let wait = std::time::Duration::from_secs(seconds);
            format!("in {}", humantime::format_duration(wait))
        }
    }
}
