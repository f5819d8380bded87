//! What the log knows of rows that changed before: their last events, and from where on it has all
//! changes of a table, so that a last event can be trusted to be the row as it stood.

use std::collections::HashMap;
use std::pin::pin;

use bytestring::ByteString;
use futures_util::TryStreamExt as _;
use tokio_postgres::Row;
use tokio_postgres::types::{PgLsn, ToSql};

use super::checkpoint::{from_pg, to_pg};
use super::read::JsonText;
use crate::fault::Result;
use crate::wal::{Connection, Lsn, publication::Fingerprint, server_error::sql_fault};

/// Bytes of records that one answer brings, roughly.
pub(super) const ANSWER_BYTES: usize = 4 << 20;

/// From where on the log has every change of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// First sequence id.
    pub since: i64,
    /// First position of a commit record.
    pub trusted_from: Lsn,
}

/// A history, and what it holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    fingerprint: i64,
    columns: Vec<String>,
    /// From where on.
    pub history: History,
}

/// Histories by schema and table.
pub type Histories = HashMap<(String, String), Noted>;

/// A row whose last event is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEvent {
    /// Resource.
    pub resource: String,
    /// Resource id.
    pub resource_id: String,
    /// Schema of the table.
    pub schema: String,
    /// Table.
    pub table: String,
    /// What may be trusted.
    pub history: History,
}

impl Noted {
    /// The history of a table with this fingerprint: the one `before`, if that was the same; else one
    /// that begins here, because what came before may not have been published, or meant something else.
    /// A new column ends it, too: it may have had another type before anyone looked.
    #[must_use]
    pub fn of(before: Option<&Self>, found: Fingerprint, next_sequence_id: i64) -> Self {
        let same =
            |before: &&Self| before.fingerprint == found.mark && before.columns == found.columns;
        let history = match before.filter(same) {
            Some(before) => before.history,
            None => History {
                since: next_sequence_id,
                trusted_from: found.wal_end,
            },
        };
        Self {
            fingerprint: found.mark,
            columns: found.columns,
            history,
        }
    }
}

impl History {
    /// Whether it covers an event.
    #[must_use]
    pub fn covers(&self, commit_lsn: Lsn, sequence_id: i64) -> bool {
        commit_lsn >= self.trusted_from && sequence_id >= self.since
    }
}

/// Reads what is noted, and forgets tables that are not recalled any more: their changes may go
/// missing from here on.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn load(
    connection: &Connection,
    recalled: impl Fn(&str, &str) -> bool,
) -> Result<Histories> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!("select {COLUMNS} from rowhook.histories");
    let mut histories = Histories::new();
    for row in connection.query(&sql, &[]).await.map_err(fault)? {
        let ((schema, table), history) = read_row(&row).map_err(fault)?;
        if recalled(&schema, &table) {
            histories.insert((schema, table), history);
            continue;
        }
        let sql = "delete from rowhook.histories where table_schema = $1 and table_name = $2";
        connection
            .execute(sql, &[&schema, &table])
            .await
            .map_err(fault)?;
    }
    Ok(histories)
}

/// Reads what is noted of one table.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_table(connection: &Connection, schema: &str, table: &str) -> Result<Option<Noted>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!(
        "select {COLUMNS} from rowhook.histories where table_schema = $1 and table_name = $2"
    );
    let row = connection
        .query_opt(&sql, &[&schema, &table])
        .await
        .map_err(fault)?;
    row.map(|row| Ok(read_row(&row).map_err(fault)?.1))
        .transpose()
}

const CANNOT_READ: &str = "cannot read from where on tables are in the log";

const COLUMNS: &str = "table_schema, table_name, fingerprint, columns, since, trusted_from";

fn read_row(row: &Row) -> Result<((String, String), Noted), tokio_postgres::Error> {
    let noted = Noted {
        fingerprint: row.try_get(2)?,
        columns: row.try_get(3)?,
        history: History {
            since: row.try_get(4)?,
            trusted_from: from_pg(row.try_get(5)?),
        },
    };
    Ok(((row.try_get(0)?, row.try_get(1)?), noted))
}

/// Notes the history of a table.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(connection: &Connection, schema: &str, table: &str, noted: &Noted) -> Result<()> {
    connection
        .execute(
            "insert into rowhook.histories (table_schema, table_name, fingerprint, columns, since, trusted_from) \
             values ($1, $2, $3, $4, $5, $6) \
             on conflict (table_schema, table_name) do update \
               set fingerprint = excluded.fingerprint, columns = excluded.columns, since = excluded.since, trusted_from = excluded.trusted_from",
            &[
                &schema,
                &table,
                &noted.fingerprint,
                &noted.columns,
                &noted.history.since,
                &to_pg(noted.history.trusted_from),
            ],
        )
        .await
        .map_err(|error| {
            sql_fault(
                format!("cannot note from where on {schema}.{table} is in the log"),
                error,
            )
        })?;
    Ok(())
}

/// The records of the rows' last events, in the order of `rows`; `None` where the log does not know
/// the row. Shorter than `rows` where the records so far are large: the others are to be asked for
/// again. Sees what this very connection has written and not committed.
///
/// # Errors
/// By the server's SQLSTATE.
pub(super) async fn last_events(
    connection: &Connection,
    rows: &[LastEvent],
) -> Result<Vec<Option<ByteString>>> {
    let fault = |error| sql_fault("cannot read the last events of rows", error);
    let texts = |text: fn(&LastEvent) -> &str| rows.iter().map(text).collect::<Vec<_>>();
    let columns = (
        texts(|row| &row.resource),
        texts(|row| &row.resource_id),
        texts(|row| &row.schema),
        texts(|row| &row.table),
    );
    let since: Vec<i64> = rows.iter().map(|row| row.history.since).collect();
    let trusted_from: Vec<PgLsn> = rows
        .iter()
        .map(|row| to_pg(row.history.trusted_from))
        .collect();
    let values: [&(dyn ToSql + Sync); 6] = [
        &columns.0,
        &columns.1,
        &columns.2,
        &columns.3,
        &since,
        &trusted_from,
    ];
    let found = connection.query_raw(include_str!("../../sql/last_events.sql"), values);
    let mut found = pin!(found.await.map_err(fault)?);
    let (mut records, mut bytes) = (vec![None; rows.len()], 0);
    while let Some(row) = found.try_next().await.map_err(fault)? {
        let place: i64 = row.try_get(0).map_err(fault)?;
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let record: Option<JsonText> = row.try_get(1).map_err(fault)?;
        bytes += record.as_ref().map_or(0, |record| record.0.len());
        if let Some(slot) = records.get_mut(place.saturating_sub(1)) {
            *slot = record.map(|record| record.0);
        }
        if bytes > ANSWER_BYTES {
            records.truncate(place);
            break;
        }
    }
    Ok(records)
}
