//! Scheduled events whose time has come: on their way from their table into the log.

use std::time::Duration;

use bytestring::ByteString;
use tokio::sync::oneshot;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::event::Emitted;
use crate::event_log::read::JsonText;
use crate::failpoint;
use crate::fault::{Fault, Result};
use crate::wal::{Connection, server_error::sql_fault};

const CANNOT_READ: &str = "cannot read the scheduled events that are due";

/// Done requests that are forgotten in one statement at the most.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

/// Events that are due, in the order in which they are to be logged.
#[derive(Debug)]
pub struct Due {
    /// The events.
    pub events: Vec<DueEvent>,
    /// Told once they are durable; dropped, if they were lost on the way.
    pub done: oneshot::Sender<()>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueEvent {
    /// The id that it was promised.
    pub event_id: Uuid,
    /// What it says.
    pub emitted: Emitted,
    /// JSON object: who did it and in which trace.
    pub context: Option<ByteString>,
}

/// How long it is until something is due; `None` if nothing waits. It reads one entry of an index.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn until_due(log: &Connection) -> Result<Option<Duration>> {
    let sql = "select extract(epoch from due_at - clock_timestamp())::double precision \
                 from rowhook.scheduled_events \
                where logged_at is null and cancelled_at is null order by due_at, request limit 1";
    let looked = async {
        let row = log.query_typed_opt(sql, &[]).await?;
        row.map(|row| row.try_get::<_, f64>(0)).transpose()
    };
    let seconds = looked
        .await
        .map_err(|error| sql_fault(CANNOT_READ, error))?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}

/// Takes in hand what is due, at most so many. From then on none of them can be cancelled; those that
/// are lost on the way are given again.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn claim(client: &Client, limit: i64) -> Result<Vec<DueEvent>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = include_str!("../../../sql/claim_due_events.sql");
    let rows = client.query(sql, &[&limit]).await.map_err(fault)?;
    failpoint::pass("scheduled.claimed")?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

fn read(row: &Row) -> Result<DueEvent, tokio_postgres::Error> {
    let json = |index: usize| -> Result<Option<ByteString>, tokio_postgres::Error> {
        let text: Option<JsonText> = row.try_get(index)?;
        Ok(text.map(|text| text.0))
    };
    Ok(DueEvent {
        event_id: row.try_get(0)?,
        emitted: Emitted {
            event_type: row.try_get(1)?,
            data: json(2)?,
            resource: row.try_get(3)?,
            resource_id: row.try_get(4)?,
        },
        context: json(5)?,
    })
}

/// Notes where events are in the log, which alone has from then on what they say; goes with them in one
/// transaction. An event that is there
/// already, by another writer's hand, is not logged again.
///
/// # Errors
/// Transient in that case; else by the server's SQLSTATE.
pub(in crate::event_log) async fn settle(
    connection: &Connection,
    logged: &[(Uuid, i64)],
) -> Result<()> {
    let (ids, places): (Vec<Uuid>, Vec<i64>) = logged.iter().copied().unzip();
    let sql = "update rowhook.scheduled_events s set logged_at = clock_timestamp(), sequence_id = l.place, \
                      data = null, context = null \
                 from unnest($1::uuid[], $2::bigint[]) l (event_id, place) \
                where s.event_id = l.event_id and s.logged_at is null and s.cancelled_at is null";
    let settled = connection.execute(sql, &[&ids, &places]).await;
    let settled = settled
        .map_err(|error| sql_fault("cannot note that scheduled events are logged", error))?;
    if settled == logged.len() as u64 {
        return Ok(());
    }
    Err(Fault::transient(
        "a scheduled event was logged or cancelled while it was on its way",
    ))
}

/// Forgets what has been logged or cancelled for a day: until then a repeated request finds it.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn drop_old(client: &Client) -> Result<u64> {
    let sql = "delete from rowhook.scheduled_events where event_id in ( \
               select event_id from rowhook.scheduled_events \
                where (logged_at is not null or cancelled_at is not null) \
                  and coalesce(logged_at, cancelled_at) < statement_timestamp() - interval '24 hours' \
                  and requested_at < statement_timestamp() - interval '24 hours' limit $1)";
    client
        .execute(sql, &[&FORGOTTEN_AT_ONCE])
        .await
        .map_err(|error| sql_fault("cannot forget scheduled events that are done", error))
}
