//! Room for more events: the partitions of the log.
//!
//! A statement learns which partitions there are when it is planned, and which rows there are a
//! moment later. Rows of one transaction in a partition that was there and in one that was not would
//! look like a part of that transaction. So a segment is there, and every statement that was planned
//! without it is done, before a transaction with rows in it commits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

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

/// The next segment that has not all its indexes.
const NOT_INDEXED: &str = "
    select s.table_name, s.end_id <= c.next_sequence_id from rowhook.segments s, rowhook.checkpoint c
     where not s.indexed order by s.first_id limit 1";
const INDEX: &str = "select rowhook.index_segment($1)";

/// A segment that has not all its indexes: readers find an event in it by its id or its type only by
/// reading all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unindexed {
    table: String,
    /// Whether nothing is appended to it any more.
    pub full: bool,
}

impl Unindexed {
    /// The oldest one there is.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn oldest(connection: &Connection) -> Result<Option<Self>> {
        let row = connection.query_opt(NOT_INDEXED, &[]).await;
        row.and_then(|row| {
            row.map(|row| {
                Ok(Self {
                    table: row.try_get(0)?,
                    full: row.try_get(1)?,
                })
            })
            .transpose()
        })
        .map_err(|error| sql_fault("cannot look for segments of the log to index", error))
    }

    /// Gives it its indexes. Nothing is appended to it meanwhile: some second for a million events.
    ///
    /// # Errors
    /// By the server's SQLSTATE; transient if somebody holds a lock on it.
    pub async fn index(&self, connection: &Connection) -> Result<()> {
        let indexed = connection.execute(INDEX, &[&self.table]).await;
        indexed.map_err(|error| {
            sql_fault(
                format!("cannot index segment {} of the log", self.table),
                error,
            )
        })?;
        Ok(())
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
