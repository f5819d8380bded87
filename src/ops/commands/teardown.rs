//! `rowhook teardown`: the slot first, because it holds back the source's WAL.

use super::setup::is_ours;
use super::{context_triggers, print};
use crate::event_log::Checkpoint;
use crate::fault::{Fault, Result};
use crate::ops::cli::Teardown;
use crate::ops::settings::Settings;
use crate::wal::{Connection, publication::quote, server_error::sql_fault, slot};

/// Shows what will go, asks, and removes it.
///
/// # Errors
/// What could not be removed.
pub async fn teardown(settings: &Settings, options: Teardown) -> Result<()> {
    let source = &settings.source;
    let connection = Connection::open(&source.target, "rowhook teardown").await?;
    let slot = slot::Slot::look_up(&connection, &source.slot).await?;
    if let Some(pid) = slot.as_ref().and_then(|slot| slot.active_pid) {
        return Err(Fault::transient(format!(
            "slot \"{}\" is in use by server process {pid}",
            source.slot
        ))
        .next_step("stop the daemon first"));
    }
    if let Some(slot) = &slot {
        belongs(settings, slot).await?;
    }
    print::line(format!(
        "slot \"{}\" on {}",
        source.slot,
        source.target.label()
    ))?;
    print::line(format!("publication \"{}\"", source.publication))?;
    let triggers = context_triggers::find(&connection).await?;
    for trigger in &triggers {
        let whose = if trigger.owned {
            ""
        } else {
            " (another role's: its owner has to)"
        };
        print::line(format!(
            "trigger rowhook_context on {}{whose}",
            trigger.table
        ))?;
    }
    if options.drop_log {
        print::line(format!(
            "schema rowhook with the whole event log on {}",
            settings.log.target.label()
        ))?;
    } else {
        print::line(
            "the event log stays: a later setup goes on in it, and records the time between as a gap",
        )?;
    }
    if !options.yes && !confirmed("teardown", "Remove these?")? {
        return print::line("nothing was removed");
    }
    slot::drop(&connection, &source.slot).await?;
    print::line(format!("slot \"{}\": removed", source.slot))?;
    context_triggers::drop_all(&connection, &triggers).await?;
    let left = drop_publication(&connection, &source.publication).await;
    forget(settings, options.drop_log).await?;
    left
}

/// Somebody else's slot is not dropped, whatever its name.
async fn belongs(settings: &Settings, slot: &slot::Slot) -> Result<()> {
    let name = &settings.source.slot;
    let by_hand = format!("select pg_drop_replication_slot('{name}')");
    let log = Connection::open(&settings.log.target, "rowhook teardown").await?;
    match Checkpoint::read(&log).await? {
        Some(checkpoint) if is_ours(&checkpoint, slot, settings) => Ok(()),
        Some(checkpoint) if !checkpoint.slot.is_empty() && checkpoint.slot != *name => {
            Err(Fault::permanent(format!(
                "slot \"{name}\" is not the one that this log is written from (\"{}\")",
                checkpoint.slot
            ))
            .next_step(format!(
                "set source.slot back; if the slot is nobody's, drop it yourself: {by_hand}"
            )))
        }
        Some(_) => Err(Fault::permanent(format!(
            "slot \"{name}\" is not ours: plugin {}, database {}",
            slot.plugin.as_deref().unwrap_or("none"),
            slot.database.as_deref().unwrap_or("none")
        ))
        .next_step(format!(
            "set source.slot right; if the slot is nobody's, drop it yourself: {by_hand}"
        ))),
        None => Err(Fault::permanent(format!(
            "slot \"{name}\" exists, but this log knows nothing of it"
        ))
        .next_step(format!("if it is nobody's, drop it yourself: {by_hand}"))),
    }
}

/// A publication that another role owns stays, and keeps nothing else from going.
async fn drop_publication(connection: &Connection, name: &str) -> Result<()> {
    let sql = format!("drop publication if exists {}", quote(name));
    connection.batch_execute(&sql).await.map_err(|error| {
        sql_fault(format!("cannot drop publication \"{name}\""), error)
            .next_step(format!("its owner runs: {sql}"))
    })?;
    print::line(format!("publication \"{name}\": removed"))
}

async fn forget(settings: &Settings, drop_log: bool) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook teardown").await?;
    let (sql, done) = if drop_log {
        (
            "drop schema if exists rowhook cascade",
            "event log: removed",
        )
    } else {
        (
            "do $$ begin if to_regclass('rowhook.checkpoint') is not null then \
            update rowhook.checkpoint set slot = '' ; end if; end $$",
            "checkpoint: detached",
        )
    };
    log.batch_execute(sql)
        .await
        .map_err(|error| sql_fault("cannot clean up the log", error))?;
    print::line(done)
}

/// Asks whoever sits at the terminal.
///
/// # Errors
/// If nobody does.
pub(super) fn confirmed(command: &str, question: &str) -> Result<bool> {
    print::confirmed(question, || {
        Fault::settings(format!(
            "{command} asks before it removes anything, and there is no terminal to ask on"
        ))
        .next_step("run it with --yes")
    })
}
