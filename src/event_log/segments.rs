//! Room for more events: the partitions of the log.
//!
//! A statement learns which partitions there are when it is planned, and which rows there are a
//! moment later. Rows of one transaction in a partition that was there and in one that was not would
//! look like a part of that transaction. So a segment is there, and every statement that was planned
//! without it is done, before a transaction with rows in it commits.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;

use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

/// From its plan to its rows a statement takes no time to speak of. What is there for longer is a
/// long transaction or a long query, which has its rows already.
const PLANNING: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(5);

const END: &str = "select coalesce(max(end_id), 0) from rowhook.segments";
const ADD: &str = "select rowhook.add_segments($1, $2)";
const READERS: &str = "
    select coalesce(array_agg(virtualtransaction), '{}') from pg_catalog.pg_locks
     where relation = 'rowhook.events'::regclass and mode = 'AccessShareLock' and granted
       and database = (select oid from pg_catalog.pg_database where datname = current_database())";

/// Makes sure that there is room up to `end`; gives where the last segment ends. `connection` must
/// not be in a transaction: what it adds is there at once. Who is in `outlasting` reads for longer
/// than anyone waits, and is not waited for again.
///
/// # Errors
/// By the server's SQLSTATE.
pub(super) async fn make_room(
    connection: &Connection,
    end: i64,
    size: i64,
    outlasting: &mut Vec<String>,
) -> Result<i64> {
    let fault = |error| sql_fault("cannot add a segment to the log", error);
    let row = connection.query_one(END, &[]).await.map_err(fault)?;
    let there: i64 = row.try_get(0).map_err(fault)?;
    if there >= end {
        return Ok(there);
    }
    let row = connection.query_one(ADD, &[&end, &size]).await;
    let end = row.and_then(|row| row.try_get(0)).map_err(fault)?;
    planned_without(connection, outlasting).await?;
    Ok(end)
}

/// Waits until the statements that read the log now are done.
async fn planned_without(connection: &Connection, outlasting: &mut Vec<String>) -> Result<()> {
    let began = Instant::now();
    let mut readers = those_who_read(connection).await?;
    outlasting.retain(|reader| readers.contains(reader));
    readers.retain(|reader| !outlasting.contains(reader));
    while !readers.is_empty() && began.elapsed() < PLANNING {
        sleep(POLL).await;
        let now = those_who_read(connection).await?;
        readers.retain(|reader| now.contains(reader));
    }
    outlasting.append(&mut readers);
    Ok(())
}

/// The transactions that hold a lock on the log to read it.
async fn those_who_read(connection: &Connection) -> Result<Vec<String>> {
    let row = connection.query_one(READERS, &[]).await;
    row.and_then(|row| row.try_get(0))
        .map_err(|error| sql_fault("cannot look at the readers of the log", error))
}

/// What a segment that still grows may hold when it is indexed: while it is, nothing is logged, some
/// second for a million events. One that holds more waits until it is full.
const MOST_INDEXED_AT_ONCE: i64 = 5_000_000;
/// The writer waits behind whoever waits for a lock on the segment that it appends to. On a full one
/// nobody does, and autovacuum gives way after a second (`deadlock_timeout`).
const INDEX: &str = "select rowhook.index_segment($1, \
                     case when $2 then interval '2 seconds' else interval '20 milliseconds' end)";
const NOT_INDEXED: &str = "
    select s.table_name, s.end_id <= c.next_sequence_id from rowhook.segments s, rowhook.checkpoint c
     where not s.indexed
       and (s.end_id <= c.next_sequence_id or c.next_sequence_id - s.first_id <= $1)
     order by s.first_id";

/// The first sequence id from which on readers have no index of ids and types.
pub(super) const FIRST_NOT_INDEXED: &str = "(select coalesce(min(s.first_id), 9223372036854775807) \
     from rowhook.segments s where not s.indexed)";

/// A segment that has not all its indexes: readers find an event in it by its id or its type only by
/// reading all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unindexed {
    /// Its name.
    pub table: String,
    /// Whether nothing is appended to it any more.
    pub full: bool,
}

impl Unindexed {
    /// Those that can be indexed now, the oldest one first.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn all(connection: &Connection) -> Result<Vec<Self>> {
        let fault = |error| sql_fault("cannot look for segments of the log to index", error);
        let rows = connection.query(NOT_INDEXED, &[&MOST_INDEXED_AT_ONCE]);
        let rows = rows.await.map_err(fault)?;
        let read = |row: &Row| -> Result<Self, tokio_postgres::Error> {
            Ok(Self {
                table: row.try_get(0)?,
                full: row.try_get(1)?,
            })
        };
        rows.iter().map(|row| read(row).map_err(fault)).collect()
    }

    /// Gives it its indexes; `false` if somebody holds a lock on it.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn index(&self, connection: &Connection) -> Result<bool> {
        let indexed = connection.execute(INDEX, &[&self.table, &self.full]).await;
        match indexed {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
            Err(error) => Err(sql_fault(
                format!("cannot index segment {} of the log", self.table),
                error,
            )),
        }
    }
}

/// Names of the segments that hold these events.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn holding(connection: &Connection, sequence_ids: &[i64]) -> Result<Vec<String>> {
    let fault = |error| sql_fault("cannot look for the segments of events", error);
    let sql = "select table_name from rowhook.segments s \
                where exists (select from unnest($1::bigint[]) id where id >= s.first_id and id < s.end_id)";
    let rows = connection
        .query(sql, &[&sequence_ids])
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(fault))
        .collect()
}
