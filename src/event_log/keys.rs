//! Keys that captured relations were seen to have. Hints for reading old rows; whoever writes one,
//! and however often, does no harm.

use jiff::Timestamp;

use crate::event::{Capture, NotedKey, Origin, Redaction};
use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

const WHAT: &str = "cannot note a table's primary key";

/// Notes the key that a relation has, if it has one, and gives every one that was noted.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(log: &Connection, relation: u32, key: &[String]) -> Result<Vec<NotedKey>> {
    let fault = |error| sql_fault(WHAT, error);
    let sql = include_str!("../../sql/note_key.sql");
    let sql = log.prepared(sql).await.map_err(fault)?;
    let rows = log.query(&sql, &[&relation, &key]).await.map_err(fault)?;
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

/// The keys that may name rows of an event's table in the log: the settings' own, else those that were
/// noted, the latest first. One with a masked column tells rows apart no more.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_table(
    log: &Connection,
    capture: &Capture,
    origin: &Origin,
) -> Result<Vec<Vec<String>>> {
    let fault = |error| sql_fault("cannot read the keys of a table", error);
    let rule = capture.rule(&origin.schema, &origin.table);
    let mut keys = match rule.and_then(|rule| rule.key.clone()) {
        Some(key) => vec![key],
        None => {
            let sql = "select k.key from rowhook.published p \
                         join rowhook.relation_keys k on k.relation = p.relation \
                        where p.table_name = $1 order by k.noted_at desc";
            let table = format!("{}.{}", origin.schema, origin.table);
            let rows = log.query(sql, &[&table]).await.map_err(fault)?;
            let keys: Result<Vec<_>, _> = rows.iter().map(|row| row.try_get(0)).collect();
            keys.map_err(fault)?
        }
    };
    let masked = |column: &String| {
        let redact = rule.map_or(&[][..], |rule| &rule.redact);
        redact
            .iter()
            .any(|(name, how)| name == column && *how == Redaction::Mask)
    };
    keys.retain(|key| !key.iter().any(masked));
    Ok(keys)
}
