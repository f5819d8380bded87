//! What is old enough goes, one whole segment at a time.

use std::time::Duration;

use tokio_postgres::{Client, Row};

use crate::fault::Result;
use crate::wal::{Connection, publication::quote, server_error::sql_fault};

/// Events that the retention took before a subscription came to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The subscription.
    pub subscription: String,
    /// The first sequence id.
    pub from: i64,
    /// The last one.
    pub to: i64,
}

impl Skipped {
    /// Says that a webhook will not see events that it should have seen. Those that its runner had in
    /// memory are still sent.
    pub fn tell(&self) {
        tracing::error!(webhook = %self.subscription, from = self.from, to = self.to, "the retention took events that the webhook had not come to: they are not sent any more");
    }
}

/// What went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Names of the segments.
    pub segments: Vec<String>,
    /// Whose events were among them.
    pub skipped: Vec<Skipped>,
}

/// Notes that events up to `gone_to` are gone for those of `subscriptions` that have not come so far.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note_skipped(
    client: &Client,
    subscriptions: &[&str],
    gone_to: i64,
) -> Result<Vec<Skipped>> {
    let fault = |error| sql_fault("cannot note what the retention took", error);
    let sql = include_str!("../../sql/note_skipped.sql");
    let rows = client.query(sql, &[&subscriptions, &gone_to]).await;
    let read = |row: &Row| -> Result<Skipped, tokio_postgres::Error> {
        Ok(Skipped {
            subscription: row.try_get(0)?,
            from: row.try_get(1)?,
            to: row.try_get(2)?,
        })
    };
    let rows = rows.map_err(fault)?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

/// Drops the segments whose events are all older than `age` and settled for every subscription in
/// `subscriptions`, or older than both `age` and `max_lag`. A segment is detached before it is
/// dropped, so neither the writer nor a reader is locked out.
///
/// # Errors
/// By the server's SQLSTATE. A segment that was detached and not dropped is dropped the next time.
pub async fn drop_old_segments(
    connection: &Connection,
    age: Duration,
    max_lag: Option<Duration>,
    subscriptions: &[&str],
) -> Result<Dropped> {
    let fault = |error| sql_fault("cannot drop an old segment of the log", error);
    let mut dropped = Dropped::default();
    let seconds = |age: Duration| {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        seconds.min(1_000_000_000_000)
    };
    let expired = connection
        .query(
            include_str!("../../sql/expired_segments.sql"),
            &[&seconds(age), &subscriptions, &max_lag.map(seconds)],
        )
        .await
        .map_err(fault)?;
    for row in expired {
        let (name, state): (String, String) = (
            row.try_get(0).map_err(fault)?,
            row.try_get(1).map_err(fault)?,
        );
        let last_id: i64 = row.try_get(2).map_err(fault)?;
        // Before they go: what is noted twice is noted once.
        let skipped = note_skipped(connection, subscriptions, last_id).await?;
        dropped.skipped.extend(skipped);
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
        dropped.segments.push(name);
    }
    Ok(dropped)
}
