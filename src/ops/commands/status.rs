//! `rowhook status`: how far everything has come, from the tables alone; the daemon need not run.

use bytesize::ByteSize;
use serde_json::{Value, json};

use super::print;
use crate::event_log::{Checkpoint, migrate};
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::ops::upkeep::QUIET;
use crate::wal::{Connection, server_error::sql_fault, slot};

/// Prints the status.
///
/// # Errors
/// If source or log cannot be asked, or setup was never run.
pub async fn status(settings: &Settings, output: Output) -> Result<()> {
    let source = Connection::open(&settings.source.target, "rowhook status").await?;
    let log = Connection::open(&settings.log.target, "rowhook status").await?;
    if migrate::version(&log).await?.is_none() {
        return Err(
            Fault::permanent("rowhook was never set up for this database")
                .next_step("run `rowhook setup`"),
        );
    }
    let state = slot::Slot::look_up(&source, &settings.source.slot).await?;
    let retained = slot::retained(&source, &settings.source.slot).await?;
    let checkpoint = Checkpoint::read(&log).await?;
    let newest = newest_change_seconds(&log).await?;
    let lag_bytes = retained.map(|retained| retained.lag_bytes);
    let capture = json!({
        "slot": settings.source.slot,
        "slot_state": slot_state(state.as_ref()),
        "wal_held_bytes": retained.map(|retained| retained.held_bytes),
        "wal_budget_bytes": settings.source.wal_budget,
        "lag_bytes": lag_bytes,
        "lag_seconds": lag_seconds(newest, lag_bytes),
        "newest_change_seconds": newest,
        "logged_up_to": checkpoint.as_ref().map(|checkpoint| checkpoint.acknowledged_lsn.to_string()),
        "newest_sequence_id": checkpoint.as_ref().map(|checkpoint| checkpoint.next_sequence_id - 1),
        "epoch": checkpoint.as_ref().map(|checkpoint| checkpoint.epoch),
    });
    let webhooks = webhooks(&log, settings).await?;
    if output.json {
        return print::json(&json!({ "capture": capture, "webhooks": webhooks }));
    }
    show(&capture, &webhooks)
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
pub(super) async fn webhooks(log: &Connection, settings: &Settings) -> Result<Vec<Value>> {
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
            "state": if configured { row.try_get::<_, String>(1)? } else { "not in the settings".to_owned() },
            "reason": row.try_get::<_, Option<String>>(2)?,
            "cursor": row.try_get::<_, i64>(3)?,
            "lag_events": row.try_get::<_, i64>(4)?,
            "parked": row.try_get::<_, i64>(5)?,
            "dead": row.try_get::<_, i64>(6)?,
            "last_error": row.try_get::<_, Option<String>>(7)?,
        }))
    };
    rows.iter().map(|row| read(row).map_err(fault)).collect()
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
    let keys = ["name", "state", "cursor", "lag_events", "parked", "dead"];
    let row = |webhook: &Value| {
        let mut row: Vec<String> = keys.iter().map(|key| cell(&webhook[*key])).collect();
        row.push(cell(if webhook["reason"].is_null() {
            &webhook["last_error"]
        } else {
            &webhook["reason"]
        }));
        row
    };
    let head = [
        "WEBHOOK", "STATE", "CURSOR", "BEHIND", "PARKED", "DEAD", "REASON",
    ];
    print::table(&head, webhooks.iter().map(row).collect())
}
