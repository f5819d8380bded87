//! `rowhook status`: how far everything has come, from the tables alone; the daemon need not run.

use std::time::{Duration, Instant};

use bytesize::ByteSize;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deliveries::until;
use super::{backfill, print, replay};
use crate::event_log::backfills::Backfill;
use crate::event_log::replays::ReplayRow;
use crate::event_log::{Checkpoint, backfills, migrate, replays};
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::ops::upkeep::QUIET;
use crate::ops::wal_budget::{Forecast, Growth};
use crate::wal::{Connection, server_error::sql_fault, slot};

/// Between two looks at what the slot holds back.
const BETWEEN_MEASUREMENTS: Duration = Duration::from_secs(2);

/// The state of a webhook of which only the log knows.
pub(super) const NOT_IN_SETTINGS: &str = "not in the settings";

/// Prints the status.
///
/// # Errors
/// If source or log cannot be asked, or setup was never run.
pub async fn status(settings: &Settings, output: Output) -> Result<()> {
    let source = Connection::open(&settings.source.target, "rowhook status").await?;
    let log = Connection::open(&settings.log.target, "rowhook status").await?;
    let status = Status::ask(settings, &source, &log).await?;
    if output.json {
        return print::json(&status.as_json());
    }
    status.show()
}

/// How far everything has come.
pub(crate) struct Status {
    capture: Value,
    webhooks: Vec<Value>,
    /// Those that are open.
    backfills: Vec<Backfill>,
    /// Those that have work.
    replays: Vec<ReplayRow>,
}

impl Status {
    /// Asks source and log.
    ///
    /// # Errors
    /// If one of them cannot be asked, or setup was never run.
    pub(crate) async fn ask(
        settings: &Settings,
        source: &Connection,
        log: &Connection,
    ) -> Result<Self> {
        let capture = capture(settings, source, log).await?;
        let mut backfills = backfills::list(log).await?;
        backfills.retain(|it| it.state.is_open());
        let mut replays = replays::kept(log).await?;
        replays.retain(ReplayRow::has_work);
        Ok(Self {
            capture,
            webhooks: webhooks(log, settings).await?,
            backfills,
            replays,
        })
    }

    /// For programs.
    pub(crate) fn as_json(&self) -> Value {
        let backfills: Vec<Value> = self.backfills.iter().map(backfill::as_json).collect();
        let replays: Vec<Value> = self.replays.iter().map(replay::as_json).collect();
        json!({
            "capture": self.capture, "webhooks": self.webhooks, "backfills": backfills, "replays": replays,
        })
    }

    fn show(&self) -> Result<()> {
        show(&self.capture, &self.webhooks)?;
        for backfill in &self.backfills {
            print::line(format!(
                "\nbackfill of {}: {} ({} events{})",
                backfill.label(),
                backfill
                    .reason
                    .as_deref()
                    .unwrap_or(backfill.state.as_str()),
                backfill.rows_logged,
                backfill
                    .rows_expected
                    .map_or_else(String::new, |rows| format!(" of about {rows}"))
            ))?;
        }
        for replay in &self.replays {
            print::line(format!(
                "\nreplay {} to {}: {} (event {} of {} to {}, {} delivered)",
                replay.id,
                replay.request.webhook,
                replay.reason.as_deref().unwrap_or(replay.state.as_str()),
                replay.cursor,
                replay.request.after + 1,
                replay.request.up_to,
                replay.delivered
            ))?;
        }
        Ok(())
    }
}

async fn capture(settings: &Settings, source: &Connection, log: &Connection) -> Result<Value> {
    if migrate::version(log).await?.is_none() {
        return Err(
            Fault::permanent("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        );
    }
    let state = slot::Slot::look_up(source, &settings.source.slot).await?;
    let retained = slot::retained(source, &settings.source.slot).await?;
    let growth = match retained {
        Some(retained) if retained.held_bytes >= settings.source.wal_budget / 2 => {
            growth(source, settings, retained).await?
        }
        _ => None,
    };
    let holding = match retained {
        Some(retained) if retained.held_bytes > retained.lag_bytes + QUIET => {
            slot::oldest_transaction(source).await?
        }
        _ => None,
    };
    let checkpoint = Checkpoint::read(log).await?;
    let newest = newest_change_seconds(log).await?;
    let lag_bytes = retained.map(|retained| retained.lag_bytes);
    Ok(json!({
        "slot": settings.source.slot,
        "slot_state": slot_state(state.as_ref()),
        "wal_held_bytes": retained.map(|retained| retained.held_bytes),
        "wal_budget_bytes": settings.source.wal_budget,
        "wal_bytes_per_second": growth.and_then(|forecast| forecast.bytes_per_second),
        "wal_seconds_left": growth.and_then(|forecast| forecast.left()).map(|left| left.as_secs()),
        "wal_forecast": growth.map(|forecast| forecast.to_string()),
        "wal_held_by": holding.as_ref().map(|held| json!({
            "xid": held.xid, "pid": held.pid, "role": held.role,
            "seconds": held.seconds, "prepared": held.prepared,
        })),
        "lag_bytes": lag_bytes,
        "lag_seconds": lag_seconds(newest, lag_bytes),
        "newest_change_seconds": newest,
        "logged_up_to": checkpoint.as_ref().map(|checkpoint| checkpoint.acknowledged_lsn.to_string()),
        "newest_sequence_id": checkpoint.as_ref().map(|checkpoint| checkpoint.next_sequence_id - 1),
        "epoch": checkpoint.as_ref().map(|checkpoint| checkpoint.epoch),
    }))
}

fn slot_state(slot: Option<&slot::Slot>) -> String {
    match slot {
        None => "missing: run `rowhook check`".to_owned(),
        Some(slot) => match (slot.loss(), slot.active_pid) {
            (Some(why), _) => format!("lost: {why}; run `rowhook check`"),
            (None, Some(pid)) => format!("streaming (server process {pid})"),
            (None, None) => match &slot.inactive_since {
                Some(since) => format!("idle: no daemon reads from it since {since}"),
                None => "idle: no daemon reads from it".to_owned(),
            },
        },
    }
}

/// How fast what the slot holds back grows at this moment. The daemon measures over minutes; this is
/// for when it may not be running, and only from half of the budget on.
async fn growth(
    source: &Connection,
    settings: &Settings,
    first: slot::Retained,
) -> Result<Option<Forecast>> {
    let mut growth = Growth::default();
    let began = Instant::now();
    growth.add(Duration::ZERO, first.held_bytes);
    tokio::time::sleep(BETWEEN_MEASUREMENTS).await;
    let last = slot::retained(source, &settings.source.slot).await?;
    Ok(last.map(|last| {
        growth.add(began.elapsed(), last.held_bytes);
        Forecast {
            held: last.held_bytes,
            budget: settings.source.wal_budget,
            bytes_per_second: growth.bytes_per_second(),
        }
    }))
}

/// The transaction in whose way the WAL's release is, in words.
fn held_by(transaction: &Value) -> Option<String> {
    let xid = transaction["xid"].as_str()?;
    let whose = transaction["role"].as_str().unwrap_or("another role");
    let which = match (&transaction["prepared"], &transaction["pid"]) {
        (Value::String(name), _) => format!("prepared transaction '{name}' ({xid}) of {whose}"),
        (_, pid) => format!("transaction {xid} of {whose}, server process {pid}"),
    };
    Some(match transaction["seconds"].as_f64() {
        Some(seconds) => format!("{which}, open for {seconds:.0} s"),
        None => which,
    })
}

/// Age of the newest logged transaction, where more waits to be read than a quiet server writes.
fn lag_seconds(newest: Option<f64>, lag_bytes: Option<u64>) -> Option<f64> {
    if lag_bytes? <= QUIET {
        Some(0.0)
    } else {
        newest
    }
}

/// Age of the newest logged transaction.
async fn newest_change_seconds(log: &Connection) -> Result<Option<f64>> {
    let fault = |error| sql_fault("cannot read the checkpoint", error);
    let sql = "select extract(epoch from now() - committed_at)::float8 from rowhook.checkpoint";
    let row = log.query_opt(sql, &[]).await.map_err(fault)?;
    Ok(row
        .map(|row| row.try_get::<_, Option<f64>>(0))
        .transpose()
        .map_err(fault)?
        .flatten())
}

/// The webhooks as the tables know them.
pub(crate) async fn webhooks(log: &Connection, settings: &Settings) -> Result<Vec<Value>> {
    let fault = |error| sql_fault("cannot read the webhooks", error);
    let rows = log
        .query(include_str!("../../../sql/webhook_states.sql"), &[])
        .await
        .map_err(fault)?;
    let read = |row: &tokio_postgres::Row| -> Result<Value, tokio_postgres::Error> {
        let name: String = row.try_get(0)?;
        let configured = settings.webhooks.iter().any(|webhook| webhook.name == name);
        Ok(json!({
            "name": name,
            "state": if configured { row.try_get::<_, String>(1)? } else { NOT_IN_SETTINGS.to_owned() },
            "reason": row.try_get::<_, Option<String>>(2)?,
            "cursor": row.try_get::<_, i64>(3)?,
            "lag_events": row.try_get::<_, i64>(4)?,
            "parked": row.try_get::<_, i64>(5)?,
            "dead": row.try_get::<_, i64>(6)?,
            "last_error": row.try_get::<_, Option<String>>(7)?,
            "breaker": breaker(row)?,
            "skipped": row.try_get::<_, i64>(11)?,
            "skipped_from": row.try_get::<_, Option<i64>>(12)?,
            "skipped_to": row.try_get::<_, Option<i64>>(13)?,
            "skipped_at": row.try_get::<_, Option<jiff::Timestamp>>(14)?.map(|at| at.to_string()),
        }))
    };
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

/// Since when an endpoint counts as down, what it said last, and when the next probe goes out; null
/// while it does not.
fn breaker(row: &tokio_postgres::Row) -> Result<Value, tokio_postgres::Error> {
    let Some(since) = row.try_get::<_, Option<Timestamp>>(8)? else {
        return Ok(Value::Null);
    };
    Ok(json!({
        "since": since.to_string(),
        "last_error": row.try_get::<_, Option<String>>(9)?,
        "next_probe_at": row.try_get::<_, Option<Timestamp>>(10)?.map(|at| at.to_string()),
    }))
}

/// State and reason as people read them: an endpoint that is down is what matters of one that is active.
fn state_and_reason(webhook: &Value, now: Timestamp) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let breaker = &webhook["breaker"];
    if webhook["state"] != "active" || breaker.is_null() {
        let reason = if webhook["reason"].is_null() {
            &webhook["last_error"]
        } else {
            &webhook["reason"]
        };
        return (text(&webhook["state"]), text(reason));
    }
    let probe = breaker["next_probe_at"].as_str();
    let probe = probe.and_then(|at| at.parse().ok()).unwrap_or(now);
    let reason = format!(
        "since {}, next probe {}; last: {}",
        breaker["since"].as_str().unwrap_or_default(),
        until(probe, now),
        breaker["last_error"].as_str().unwrap_or_default()
    );
    ("endpoint down".to_owned(), reason)
}

fn show(capture: &Value, webhooks: &[Value]) -> Result<()> {
    let bytes = |key: &str| {
        capture[key]
            .as_u64()
            .map_or_else(|| "unknown".to_owned(), |bytes| ByteSize(bytes).to_string())
    };
    let text = |key: &str| match &capture[key] {
        Value::Null => "never".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    print::line(format!(
        "slot            {}: {}",
        text("slot"),
        text("slot_state")
    ))?;
    print::line(format!(
        "wal held        {} of {}",
        bytes("wal_held_bytes"),
        bytes("wal_budget_bytes")
    ))?;
    if let Some(forecast) = capture["wal_forecast"].as_str() {
        print::line(format!("wal left        {forecast}"))?;
    }
    if let Some(held_by) = held_by(&capture["wal_held_by"]) {
        print::line(format!("wal held by     {held_by}"))?;
    }
    print::line(format!("lag             {}", bytes("lag_bytes")))?;
    print::line(format!(
        "logged up to    {} (event {})",
        text("logged_up_to"),
        text("newest_sequence_id")
    ))?;
    if let Some(seconds) = capture["newest_change_seconds"].as_f64() {
        print::line(format!("newest change   {seconds:.1} s ago"))?;
    }
    print::line("")?;
    show_webhooks(webhooks)
}

/// The webhooks as a table.
pub(super) fn show_webhooks(webhooks: &[Value]) -> Result<()> {
    if webhooks.is_empty() {
        return print::line("no webhook has been served yet");
    }
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let keys = ["cursor", "lag_events", "parked", "dead"];
    let now = Timestamp::now();
    let row = |webhook: &Value| {
        let (state, reason) = state_and_reason(webhook, now);
        let mut row = vec![cell(&webhook["name"]), state];
        row.extend(keys.iter().map(|key| cell(&webhook[*key])));
        row.push(reason);
        row
    };
    let head = [
        "WEBHOOK", "STATE", "CURSOR", "BEHIND", "PARKED", "DEAD", "REASON",
    ];
    print::table(&head, webhooks.iter().map(row).collect())?;
    for webhook in webhooks.iter().filter(|it| it["skipped"] != 0) {
        let at = |key: &str| cell(&webhook[key]);
        print::line(format!(
            "\n{}: the retention took events {} to {} before they could be sent ({}; {} in all)",
            at("name"),
            at("skipped_from"),
            at("skipped_to"),
            at("skipped_at"),
            at("skipped")
        ))?;
    }
    Ok(())
}
