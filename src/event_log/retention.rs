//! What is old enough goes, one whole segment at a time.

use std::time::Duration;

use crate::fault::Result;
use crate::wal::{Connection, publication::quote, server_error::sql_fault};

/// Drops the segments whose events are all older than `age` and settled for every subscription in
/// `subscriptions`, and returns their names. A segment is detached before it is dropped, so neither
/// the writer nor a reader is locked out.
///
/// # Errors
/// By the server's SQLSTATE. A segment that was detached and not dropped is dropped the next time.
pub async fn drop_old_segments(
    connection: &Connection,
    age: Duration,
    subscriptions: &[&str],
) -> Result<Vec<String>> {
    let fault = |error| sql_fault("cannot drop an old segment of the log", error);
    let mut dropped = Vec::new();
    let seconds = i64::try_from(age.as_secs())
        .unwrap_or(i64::MAX)
        .min(1_000_000_000_000);
    let expired = connection
        .query(
            include_str!("../../sql/expired_segments.sql"),
            &[&seconds, &subscriptions],
        )
        .await
        .map_err(fault)?;
    for row in expired {
        let (name, state): (String, String) = (
            row.try_get(0).map_err(fault)?,
            row.try_get(1).map_err(fault)?,
        );
        let table = format!("rowhook.{}", quote(&name));
        // A detaching that was cut off in the middle has to be finalized.
        let how = match state.as_str() {
            "attached" => Some("concurrently"),
            "pending" => Some("finalize"),
            _ => None,
        };
        if let Some(how) = how {
            let detach = format!("alter table rowhook.events detach partition {table} {how}");
            connection.batch_execute(&detach).await.map_err(fault)?;
        }
        let drop = format!(
            "begin; drop table if exists {table}; delete from rowhook.segments where table_name = '{}'; commit",
            name.replace('\'', "''")
        );
        connection.batch_execute(&drop).await.map_err(fault)?;
        dropped.push(name);
    }
    Ok(dropped)
}
