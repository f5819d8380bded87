//! Keys that captured relations were seen to have. Hints for reading old rows; whoever writes one,
//! and however often, does no harm.

use jiff::Timestamp;

use crate::event::NotedKey;
use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

const WHAT: &str = "cannot note a table's primary key";

/// Notes the key that a relation has, if it has one, and gives every one that was noted.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(log: &Connection, relation: u32, key: &[String]) -> Result<Vec<NotedKey>> {
    let fault = |error| sql_fault(WHAT, error);
    let rows = log
        .query(include_str!("../../sql/note_key.sql"), &[&relation, &key])
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| {
            let noted_at: Timestamp = row.try_get(1).map_err(fault)?;
            Ok(NotedKey {
                columns: row.try_get(0).map_err(fault)?,
                noted_at: noted_at.as_microsecond(),
            })
        })
        .collect()
}
