//! Values that have to go from the log: what was asked for, what was done, and what is left of it in
//! other tables.
//!
//! The command that erases works on the log itself, so that no daemon is needed; one at a time. The
//! daemon, when it runs, forgets what it holds in memory and logs the erasure as `rowhook.erased`.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Row;

use crate::event::Erasure;
use crate::event::Remains;
use crate::fault::{Fault, Result};
use crate::wal::{Connection, server_error::sql_fault};

/// Only who holds this lock erases.
const LOCK: i64 = 0x726f_7768_6f6f_6b01;

/// The event that tells of an erasure.
pub const ERASED: &str = "rowhook.erased";

/// Events whose attempts are looked at in one statement.
const SILENCED_AT_ONCE: usize = 1000;

/// Those of events $1 that have a delivery with a reason.
const FAILED: &str = "select distinct sequence_id from rowhook.deliveries \
     where sequence_id = any ($1) and reason is not null";

/// What an endpoint said when it began to count as down may be any event's.
const SILENCE_BREAKERS: &str = "update rowhook.subscriptions set breaker_reason = 'erased' \
     where breaker_reason is not null and breaker_reason <> 'erased'";

const CANNOT_ERASE: &str = "cannot erase values from the log";
const CANNOT_READ: &str = "cannot read what was erased from the log";

/// Takes the lock, for as long as the connection lives. What another one was cut off at counts as
/// done, as far as it came.
///
/// # Errors
/// Transient, if another one erases now; otherwise by the server's SQLSTATE.
pub async fn lock(log: &Connection) -> Result<()> {
    let fault = |error| sql_fault(CANNOT_ERASE, error);
    let row = log
        .query_one("select pg_catalog.pg_try_advisory_lock($1)", &[&LOCK])
        .await;
    let locked: bool = row.and_then(|row| row.try_get(0)).map_err(fault)?;
    if !locked {
        return Err(
            Fault::transient("another `rowhook events erase` is at work in this log")
                .next_step("run this one again when that is done"),
        );
    }
    log.batch_execute(
        "delete from rowhook.erasures where state = 'running' and events = 0; \
         update rowhook.erasures set state = 'done', updated_at = now() where state = 'running'",
    )
    .await
    .map_err(fault)
}

/// Notes that an erasure begins; gives its number.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn begin(
    log: &Connection,
    (resource, resource_id): (&str, &str),
    erasure: &Erasure,
    up_to: i64,
) -> Result<i64> {
    let fields: Option<Vec<&String>> = match erasure {
        Erasure::All => None,
        Erasure::Fields(fields) => Some(fields.iter().collect()),
    };
    let sql = "insert into rowhook.erasures (resource, resource_id, fields, up_to_id) \
               values ($1, $2, $3, $4) returning erasure_id";
    let row = log
        .query_one(sql, &[&resource, &resource_id, &fields, &up_to])
        .await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| sql_fault(CANNOT_ERASE, error))
}

/// Leaves of each of these events what is given; all of them or none.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn leave(log: &Connection, id: i64, events: &[(i64, Remains)]) -> Result<()> {
    leave_each(log, id, events)
        .await
        .map_err(|error| sql_fault(CANNOT_ERASE, error))
}

async fn leave_each(
    log: &Connection,
    id: i64,
    events: &[(i64, Remains)],
) -> Result<(), tokio_postgres::Error> {
    let erase = log
        .prepare(include_str!("../../sql/erase_event.sql"))
        .await?;
    log.batch_execute("begin").await?;
    let mut changed = 0_i64;
    for (sequence_id, left) in events {
        let list = |names: &[String]| (!names.is_empty()).then(|| names.to_vec());
        let count = log
            .execute(
                &erase,
                &[
                    sequence_id,
                    &left.record.as_deref(),
                    &left.previous.as_deref(),
                    &left.context.as_deref(),
                    &left.data.as_deref(),
                    &left.related.as_deref(),
                    &left.old_row.as_str(),
                    &list(&left.unknown),
                    &list(&left.as_text),
                ],
            )
            .await?;
        changed += i64::try_from(count).unwrap_or(0);
    }
    let sql = "update rowhook.erasures set events = events + $2, updated_at = now() where erasure_id = $1";
    log.execute(sql, &[&id, &changed]).await?;
    log.batch_execute("commit").await
}

/// Takes away what receivers answered to these events, and why their deliveries failed: both may
/// repeat what was sent. Gives how many rows of either kind held something.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn silence(log: &Connection, sequence_ids: &[i64]) -> Result<(u64, u64)> {
    let fault = |error| sql_fault("cannot erase what receivers answered", error);
    let (mut attempts, mut deliveries) = (0, 0);
    let silence_attempts = include_str!("../../sql/silence_attempts.sql");
    let silence_deliveries = include_str!("../../sql/silence_deliveries.sql");
    for page in sequence_ids.chunks(SILENCED_AT_ONCE) {
        attempts += log
            .execute(silence_attempts, &[&page])
            .await
            .map_err(fault)?;
        let parked = log.query(FAILED, &[&page]).await.map_err(fault)?;
        // One by one: a flush of the daemon locks several rows, in its own order.
        for row in parked {
            let sequence_id: i64 = row.try_get(0).map_err(fault)?;
            let silenced = log.execute(silence_deliveries, &[&sequence_id]).await;
            deliveries += silenced.map_err(fault)?;
        }
    }
    log.batch_execute(SILENCE_BREAKERS).await.map_err(fault)?;
    Ok((attempts, deliveries))
}

/// Notes that an erasure is done: the daemon logs it.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn finish(log: &Connection, id: i64) -> Result<()> {
    set_state(log, id, "done").await
}

/// Notes that the log holds the event about it.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_logged(log: &Connection, id: i64) -> Result<()> {
    set_state(log, id, "logged").await
}

async fn set_state(log: &Connection, id: i64, state: &str) -> Result<()> {
    let sql = "update rowhook.erasures set state = $2, updated_at = now() where erasure_id = $1";
    let done = log.execute(sql, &[&id, &state]).await;
    done.map(|_| ())
        .map_err(|error| sql_fault("cannot note what was erased", error))
}

/// Whether the log holds the event about an erasure.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn is_logged(log: &Connection, id: i64) -> Result<bool> {
    let sql = "select exists (select from rowhook.events \
                where resource = 'rowhook' and resource_id is null and event_type = 'rowhook.erased' \
                  and record ->> 'erasure' = $1::bigint::text)";
    let row = log.query_one(sql, &[&id]).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| sql_fault(CANNOT_READ, error))
}

/// An erasure that the log does not tell of yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlogged {
    /// Its number.
    pub id: i64,
    /// What its event says.
    pub record: Value,
}

/// Erasures that are done, or were cut off long ago, and not logged.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn unlogged(log: &Connection) -> Result<Vec<Unlogged>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = include_str!("../../sql/unlogged_erasures.sql");
    let rows = log.query_typed(sql, &[]).await.map_err(fault)?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

fn read(row: &Row) -> Result<Unlogged, tokio_postgres::Error> {
    let id: i64 = row.try_get(0)?;
    let requested_at: Timestamp = row.try_get(7)?;
    let record = json!({
        "erasure": id,
        "resource": row.try_get::<_, String>(1)?,
        "resource_id": row.try_get::<_, String>(2)?,
        "fields": row.try_get::<_, Option<Vec<String>>>(3)?,
        "events": row.try_get::<_, i64>(4)?,
        "up_to": row.try_get::<_, i64>(5)?,
        "requested_by": row.try_get::<_, String>(6)?,
        "requested_at": requested_at.to_string(),
        "complete": row.try_get::<_, bool>(8)?,
    });
    Ok(Unlogged { id, record })
}
