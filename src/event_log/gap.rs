//! A gap that the operator accepted, as an event of the log.

use jiff::Timestamp;
use serde_json::json;

use super::checkpoint::{Checkpoint, to_pg};
use crate::event::EventIds;
use crate::fault::Result;
use crate::wal::{Connection, Lsn, Source, System, server_error::sql_fault};

/// Records event `rowhook.gap` with both positions, and sets the checkpoint to the new slot's
/// position: in one statement, under a new epoch. Returns the event's sequence id.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn record(
    log: &Connection,
    checkpoint: &Checkpoint,
    system: &System,
    source: &Source,
    position: Lsn,
) -> Result<i64> {
    let fault = |error| sql_fault("cannot record the gap", error);
    let now = Timestamp::now();
    let ids = EventIds::new(&system.identifier, system.timeline, &source.target.database);
    let since_2000 = crate::event::postgres_micros(now.as_microsecond());
    let event_id = ids.id(since_2000, position, u64::MAX);
    let record = json!({
        "slot": source.slot,
        "logged_up_to": checkpoint.acknowledged_lsn.to_string(),
        "goes_on_from": position.to_string(),
        "system_identifier": { "before": checkpoint.system_identifier, "after": system.identifier },
        "timeline": { "before": checkpoint.timeline, "after": system.timeline },
    });
    log.execute(
        "select rowhook.add_segments($1, 1000000)",
        &[&(checkpoint.next_sequence_id + 1)],
    )
    .await
    .map_err(fault)?;
    let row = log
        .query_one(
            include_str!("../../sql/record_gap.sql"),
            &[
                &system.identifier,
                &i64::from(system.timeline),
                &source.target.database,
                &source.slot,
                &to_pg(position),
                &event_id,
                &now,
                &record.to_string(),
            ],
        )
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}
