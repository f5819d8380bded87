//! `rowhook deliveries`: what waits and what is dead; sent again or given up, one by one or in bulk.
//!
//! The command writes its request beside each row; the daemon does what is asked, at once or when it
//! runs again. So neither is in the other's way.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{print, webhooks};
use crate::event_log::deliveries::look_up;
use crate::event_log::requests::{Chosen, Request, Shown};
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::wal::{Connection, server_error::sql_fault};

/// `rowhook deliveries`
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// Lists deliveries that wait for a retry and dead ones.
    List(List),
    /// Sends deliveries again: dead ones with fresh attempts, waiting ones at once.
    Retry(Retry),
    /// Gives deliveries up for good.
    Discard(Discard),
}

/// Which deliveries.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Only of this webhook.
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Only in this state.
    #[arg(long)]
    pub state: Option<DeliveryState>,
    /// Only of events of this type, such as `orders.updated`.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only of this resource.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only of the resource with this key.
    #[arg(long, value_name = "KEY", requires = "resource")]
    pub resource_id: Option<String>,
    /// Only where the reason holds these words.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// A delivery's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryState {
    /// It is tried again.
    Waiting,
    /// It was given up.
    Dead,
}

/// `rowhook deliveries list`
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// How many at the most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    pub limit: i64,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `rowhook deliveries retry`
#[derive(Debug, Clone, Args)]
pub struct Retry {
    /// Event ids or sequence ids.
    #[arg(value_name = "EVENT")]
    pub events: Vec<String>,
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// Every delivery, where nothing else says which.
    #[arg(long)]
    pub all: bool,
    /// Shows how many it would be, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `rowhook deliveries discard`
#[derive(Debug, Clone, Args)]
pub struct Discard {
    /// Which ones.
    #[command(flatten)]
    pub chosen: Retry,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Does what was asked.
///
/// # Errors
/// If the log cannot be asked, or nothing says which deliveries are meant.
pub async fn deliveries(settings: &Settings, command: &Deliveries) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook deliveries").await?;
    match command {
        Deliveries::List(options) => list(settings, &log, options).await,
        Deliveries::Retry(options) => {
            let chosen = chosen(settings, &log, options).await?;
            let sure = |_| Ok(true);
            request(settings, &log, options, &chosen, Request::Retry, sure).await
        }
        Deliveries::Discard(Discard {
            chosen: options,
            yes,
        }) => {
            let chosen = chosen(settings, &log, options).await?;
            let sure = |count| Ok(*yes || confirmed(count)?);
            request(settings, &log, options, &chosen, Request::Discard, sure).await
        }
    }
}

/// What is meant; everything only if it is said so.
async fn chosen(settings: &Settings, log: &Connection, options: &Retry) -> Result<Chosen> {
    let mut chosen = by_filter(settings, log, &options.which).await?;
    let (mut sequence_ids, mut event_ids) = (Vec::new(), Vec::new());
    for event in &options.events {
        match (event.parse::<i64>(), event.parse::<Uuid>()) {
            (Ok(sequence_id), _) => sequence_ids.push(sequence_id),
            (_, Ok(event_id)) => event_ids.push(event_id),
            _ => {
                return Err(Fault::settings(format!(
                    "{event:?} is neither an event id nor a sequence id"
                )));
            }
        }
    }
    let which = &options.which;
    let filtered = [
        &which.webhook,
        &which.event_type,
        &which.resource,
        &which.reason,
    ];
    let anything = !options.events.is_empty()
        || which.state.is_some()
        || filtered.iter().any(|given| given.is_some());
    if !anything && !options.all {
        return Err(
            Fault::settings("nothing says which deliveries are meant").next_step(
                "name events or give a filter, such as --webhook; --all means every delivery",
            ),
        );
    }
    if !options.events.is_empty() {
        chosen.sequence_ids = Some(sequence_ids);
        chosen.event_ids = Some(event_ids);
    }
    Ok(chosen)
}

async fn by_filter(settings: &Settings, log: &Connection, which: &Which) -> Result<Chosen> {
    if let Some(name) = &which.webhook
        && look_up(log, name).await?.is_none()
    {
        webhooks::named(settings, name)?;
    }
    Ok(Chosen {
        webhook: which.webhook.clone(),
        state: which.state.map(|state| match state {
            DeliveryState::Waiting => "waiting".to_owned(),
            DeliveryState::Dead => "dead".to_owned(),
        }),
        event_type: which.event_type.clone(),
        resource: which.resource.clone(),
        resource_id: which.resource_id.clone(),
        reason: which.reason.clone(),
        ..Chosen::default()
    })
}

async fn list(settings: &Settings, log: &Connection, options: &List) -> Result<()> {
    let chosen = by_filter(settings, log, &options.which).await?;
    let found = chosen.list(log, options.limit).await?;
    if options.output.json {
        let found: Vec<Value> = found.iter().map(as_json).collect();
        return print::json(&json!(found));
    }
    if found.is_empty() {
        return print::line("no delivery waits or is dead, as far as was asked");
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

fn as_json(shown: &Shown) -> Value {
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
pub(super) fn until(due: Timestamp, now: Timestamp) -> String {
    match u64::try_from(due.as_second().saturating_sub(now.as_second())) {
        Ok(0) | Err(_) => "now".to_owned(),
        Ok(seconds) => {
            let wait = std::time::Duration::from_secs(seconds);
            format!("in {}", humantime::format_duration(wait))
        }
    }
}

/// Counts, asks where that is wanted, and hands the request to the daemon.
async fn request(
    settings: &Settings,
    log: &Connection,
    options: &Retry,
    chosen: &Chosen,
    request: Request,
    sure: impl FnOnce(i64) -> Result<bool>,
) -> Result<()> {
    let counts = chosen.count(log).await?;
    let count = counts.iter().map(|(.., count)| count).sum();
    let json = options.output.json;
    if !json {
        for (webhook, state, count) in &counts {
            print::line(format!("{webhook}: {count} {state}"))?;
        }
    }
    if count == 0 || options.dry_run || !sure(count)? {
        let said = match count {
            0 => "no delivery fits",
            _ => "nothing was changed",
        };
        return if json {
            print::json(&outcome(request, &counts, 0, false))
        } else {
            print::line(said)
        };
    }
    let asked = chosen.request(log, request).await?;
    let total: i64 = asked.iter().map(|(_, count)| count).sum();
    let running = daemon_runs(log).await?;
    if json {
        return print::json(&outcome(request, &counts, total, running));
    }
    let what = match request {
        Request::Retry => "to be sent again",
        Request::Discard => "to be discarded",
    };
    let when = match running {
        true => "the daemon does it within seconds",
        false => "no daemon runs: it is done when one starts",
    };
    print::line(format!("{total} {what}; {when}"))?;
    for (webhook, _) in &asked {
        if !settings.webhooks.iter().any(|known| known.name == *webhook) {
            print::line(format!(
                "{webhook}: not in the settings, so it is not done before it is there again"
            ))?;
        }
    }
    Ok(())
}

fn outcome(
    request: Request,
    counts: &[(String, String, i64)],
    requested: i64,
    running: bool,
) -> Value {
    let found: Vec<Value> = counts
        .iter()
        .map(|(webhook, state, count)| json!({"webhook": webhook, "state": state, "count": count}))
        .collect();
    json!({
        "request": request.as_str(), "found": found, "requested": requested, "daemon_runs": running,
    })
}

/// Whether a daemon serves this log: the name of its session is in the server's list.
async fn daemon_runs(log: &Connection) -> Result<bool> {
    let fault = |error| sql_fault("cannot look for the daemon", error);
    let sql = "select exists (select from pg_catalog.pg_stat_activity \
                where datname = current_database() and application_name = 'rowhook dispatch')";
    let row = log.query_one(sql, &[]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
}

fn confirmed(count: i64) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(Fault::settings(
            "discard asks before it gives deliveries up, and there is no terminal to ask on",
        )
        .next_step("run it with --yes, or --dry-run to see what it would be"));
    }
    print!("Give {count} up for good? [y/N] ");
    // A prompt that cannot be shown is answered blindly, which the default covers.
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Fault::permanent("cannot read the answer").because(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
