//! A gap that the operator accepted, as an event of the log.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::checkpoint::{Checkpoint, to_pg};
use crate::event::EventIds;
use crate::fault::Result;
use crate::wal::{Connection, Lsn, Source, System, Timelines, server_error::sql_fault};

/// Why and from where to where changes may be missing, as the event tells it.
#[derive(Debug, Clone, Copy)]
pub struct Gap<'a> {
    /// The log as it ends now.
    pub checkpoint: &'a Checkpoint,
    /// The server that it goes on from.
    pub system: &'a System,
    /// Its slot and publication.
    pub source: &'a Source,
    /// What happened, as far as it is known.
    pub cause: &'a str,
}

/// Records event `rowhook.gap` and leaves the positions as they are: the slot is whole, and the
/// publication left something out. Under a new epoch. Returns the event's sequence id.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(log: &Connection, gap: Gap<'_>) -> Result<i64> {
    let fault = |error| sql_fault("cannot record the gap", error);
    let (event_id, now, record) = gap.event(gap.checkpoint.acknowledged_lsn);
    make_room(log, gap.checkpoint).await?;
    let row = log
        .query_one(
            include_str!("../../sql/note_gap.sql"),
            &[&event_id, &now, &record],
        )
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

impl Gap<'_> {
    fn event(&self, position: Lsn) -> (Uuid, Timestamp, String) {
        let Self {
            checkpoint,
            system,
            source,
            cause,
        } = self;
        let now = Timestamp::now();
        let ids = EventIds::new(
            &system.identifier,
            &Timelines::read(system.timeline, ""),
            &source.target.database,
        );
        let since_2000 = crate::event::postgres_micros(now.as_microsecond());
        let record = json!({
            "slot": source.slot,
            "cause": cause,
            "logged_up_to": checkpoint.acknowledged_lsn.to_string(),
            "goes_on_from": position.to_string(),
            "system_identifier": { "before": checkpoint.system_identifier, "after": system.identifier },
            "timeline": { "before": checkpoint.timeline, "after": system.timeline },
        });
        (
            ids.id(since_2000, position, u64::MAX),
            now,
            record.to_string(),
        )
    }
}

async fn make_room(log: &Connection, checkpoint: &Checkpoint) -> Result<()> {
    log.execute(
        "select rowhook.add_segments($1, 1000000)",
        &[&(checkpoint.next_sequence_id + 1)],
    )
    .await
    .map_err(|error| sql_fault("cannot record the gap", error))?;
    Ok(())
}

/// Records event `rowhook.gap` with both positions, and sets the checkpoint to the new slot's
/// position: in one statement, under a new epoch. Returns the event's sequence id.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn record(log: &Connection, gap: Gap<'_>, position: Lsn) -> Result<i64> {
    let fault = |error| sql_fault("cannot record the gap", error);
    let (event_id, now, record) = gap.event(position);
    make_room(log, gap.checkpoint).await?;
    let row = log
        .query_one(
            include_str!("../../sql/record_gap.sql"),
            &[
                &gap.system.identifier,
                &i64::from(gap.system.timeline),
                &gap.source.target.database,
                &gap.source.slot,
                &to_pg(position),
                &event_id,
                &now,
                &record,
            ],
        )
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}
