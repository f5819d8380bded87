//! Backfills that were asked for: requests, progress, and their end.

use tokio_postgres::Row;

use crate::fault::{Fault, Result};
use crate::wal::{Connection, server_error::sql_fault};

/// How far a backfill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asked for; no daemon has begun it.
    Waiting,
    /// Under way; goes on where it was after a restart.
    Running,
    /// Every row is in the log.
    Done,
    /// Ended by a fault that needs an operator.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl State {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "waiting" => Self::Waiting,
            "running" => Self::Running,
            "done" => Self::Done,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    /// Whether there is more to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }
}

/// A backfill of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Differs from request to request.
    pub id: i64,
    /// Schema of the table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// How far it is.
    pub state: State,
    /// Rows that are read at once, at the most.
    pub chunk_rows: i32,
    /// Bound on its speed.
    pub rows_per_second: Option<i32>,
    /// The table and the primary key that it goes along.
    pub walks: Option<String>,
    /// Every row up to this primary key is in the log; `None` before the first one.
    pub last_key: Option<Vec<String>>,
    /// Events that it has logged.
    pub rows_logged: i64,
    /// Rows of the table by the server's estimate, when it began.
    pub rows_expected: Option<i64>,
    /// What it waits for, or why it ended.
    pub reason: Option<String>,
}

impl Backfill {
    /// The table as messages say it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }
}

/// What the log's append of a chunk adds to a backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which backfill.
    pub backfill: i64,
    /// Which chunk of it.
    pub chunk: String,
    /// The key that the chunk was read behind.
    pub after: Option<Vec<String>>,
    /// The last row's primary key.
    pub last_key: Vec<String>,
    /// Events that were logged; rows that changed meanwhile are none.
    pub rows: i64,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Schema of the table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// Rows that are read at once, at the most.
    pub chunk_rows: i32,
    /// Bound on its speed.
    pub rows_per_second: Option<i32>,
    /// Begins anew where an earlier one was cut off.
    pub from_start: bool,
}

const COLUMNS: &str = "backfill_id, table_schema, table_name, state, chunk_rows, rows_per_second, last_key, \
     rows_logged, rows_expected, reason, walks";

const CANNOT_READ: &str = "cannot read the backfills";

/// Asks for a backfill. One that is open is left as it is; one that failed or was cancelled goes on
/// where it stopped, unless it is to begin anew.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn request(connection: &Connection, request: &Request) -> Result<()> {
    connection
        .execute(
            include_str!("../../sql/request_backfill.sql"),
            &[
                &request.schema,
                &request.table,
                &request.chunk_rows,
                &request.rows_per_second,
                &request.from_start,
            ],
        )
        .await
        .map_err(|error| {
            let table = format!("{}.{}", request.schema, request.table);
            sql_fault(format!("cannot ask for a backfill of {table}"), error)
        })?;
    Ok(())
}

/// All of them, the newest request last.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn list(connection: &Connection) -> Result<Vec<Backfill>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!("select {COLUMNS} from rowhook.backfills order by backfill_id");
    let rows = connection.query(&sql, &[]).await.map_err(fault)?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

/// The backfill of a table.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_table(
    connection: &Connection,
    schema: &str,
    table: &str,
) -> Result<Option<Backfill>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!(
        "select {COLUMNS} from rowhook.backfills where table_schema = $1 and table_name = $2"
    );
    let row = connection
        .query_opt(&sql, &[&schema, &table])
        .await
        .map_err(fault)?;
    row.map(|row| read(&row).map_err(fault)).transpose()
}

/// The one to work on: the oldest request that is open.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn next(connection: &Connection) -> Result<Option<Backfill>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!(
        "select {COLUMNS} from rowhook.backfills where state in ('waiting', 'running') \
         order by backfill_id limit 1"
    );
    let row = connection.query_typed_opt(&sql, &[]).await.map_err(fault)?;
    row.map(|row| read(&row).map_err(fault)).transpose()
}

/// Notes that a backfill is under way.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn begin(
    connection: &Connection,
    id: i64,
    rows_expected: Option<i64>,
    walks: &str,
) -> Result<()> {
    let sql = "update rowhook.backfills set state = 'running', reason = null, updated_at = now(), \
               rows_expected = $2, walks = $3 where backfill_id = $1 and state = 'waiting'";
    note(connection, sql, &[&id, &rows_expected, &walks]).await?;
    Ok(())
}

/// Notes what a running backfill waits for, or that it waits no more. `false` if it was ended.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn wait(connection: &Connection, id: i64, reason: Option<&str>) -> Result<bool> {
    let sql = "update rowhook.backfills set reason = $2, updated_at = now() \
               where backfill_id = $1 and state = 'running'";
    note(connection, sql, &[&id, &reason]).await
}

/// Ends an open backfill.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn end(
    connection: &Connection,
    id: i64,
    state: State,
    reason: Option<&str>,
) -> Result<()> {
    let sql = "update rowhook.backfills set state = $2, reason = $3, updated_at = now() \
               where backfill_id = $1 and state in ('waiting', 'running')";
    note(connection, sql, &[&id, &state.as_str(), &reason]).await?;
    Ok(())
}

/// Adds what a chunk brought; goes with the chunk's events in one transaction.
/// Not where it went on meanwhile, by another chunk or a new request: then the chunk is no part of it.
///
/// # Errors
/// Transient in that case; else by the server's SQLSTATE.
pub(super) async fn advance(connection: &Connection, progress: &Progress) -> Result<()> {
    let sql = "update rowhook.backfills set last_key = $2, rows_logged = rows_logged + $3, reason = null, \
               updated_at = now() where backfill_id = $1 and last_key is not distinct from $4";
    let advanced = connection
        .execute(
            sql,
            &[
                &progress.backfill,
                &progress.last_key,
                &progress.rows,
                &progress.after,
            ],
        )
        .await
        .map_err(|error| sql_fault("cannot note a backfill's progress", error))?;
    if advanced == 0 {
        return Err(Fault::transient(
            "a backfill was asked for anew while a chunk of it was on its way",
        ));
    }
    Ok(())
}

async fn note(
    connection: &Connection,
    sql: &str,
    values: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<bool> {
    let rows = connection
        .execute(sql, values)
        .await
        .map_err(|error| sql_fault("cannot note a backfill's state", error))?;
    Ok(rows > 0)
}

fn read(row: &Row) -> Result<Backfill, tokio_postgres::Error> {
    Ok(Backfill {
        id: row.try_get(0)?,
        schema: row.try_get(1)?,
        table: row.try_get(2)?,
        state: State::parse(row.try_get(3)?),
        chunk_rows: row.try_get(4)?,
        rows_per_second: row.try_get(5)?,
        last_key: row.try_get(6)?,
        rows_logged: row.try_get(7)?,
        rows_expected: row.try_get(8)?,
        reason: row.try_get(9)?,
        walks: row.try_get(10)?,
    })
}
