//! The attempt log: what came of each HTTP request, as rows of `rowhook.attempts`.
//!
//! Written by binary COPY, many rows at a time, and never changed. There is one partition for each day
//! in UTC; those of days that are long over are dropped whole.

mod rows;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::SinkExt as _;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tokio_postgres::{Client, error::SqlState};
use uuid::Uuid;

use self::rows::encode;
use super::encoding::{lacks_a_character, plain};
use crate::fault::Result;
use crate::wal::{Connection, publication::quote, server_error::sql_fault};

const COPY_ATTEMPTS: &str = "copy rowhook.attempts (at, subscription, sequence_id, event_id, attempt, status, outcome, \
     duration_us, error, answer, replay) from stdin (format binary)";

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    /// When it ended.
    pub at: Timestamp,
    /// The webhook.
    pub subscription: Arc<str>,
    /// Which event.
    pub sequence_id: i64,
    /// Its id.
    pub event_id: Uuid,
    /// Number of the attempt, from 1; 0 where there was none.
    pub attempt: u32,
    /// The answer's HTTP status.
    pub status: Option<u16>,
    /// What came of it, in a word.
    pub outcome: Cow<'static, str>,
    /// How long it took.
    pub duration: Duration,
    /// Why no answer came.
    pub error: Option<String>,
    /// How the answer of a refusal begins.
    pub answer: Option<String>,
    /// The replay that it was a part of.
    pub replay: Option<i64>,
}

/// The days that are known to have a partition.
#[derive(Debug, Default)]
pub struct Days(BTreeSet<Date>);

/// Appends rows, all of them or none. Partitions that are missing are made, and the next day's with
/// them.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn append(client: &Client, rows: &[AttemptRow], days: &mut Days) -> Result<()> {
    let fault = |error| sql_fault("cannot write the attempt log", error);
    days.make_ready(client, rows).await.map_err(fault)?;
    match copy(client, encode(rows, str::to_owned)).await {
        // A receiver may answer in any characters.
        Err(error) if lacks_a_character(&error) => {
            copy(client, encode(rows, plain)).await.map_err(fault)
        }
        // Someone dropped a partition.
        Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => {
            days.0.clear();
            days.make_ready(client, rows).await.map_err(fault)?;
            copy(client, encode(rows, str::to_owned))
                .await
                .map_err(fault)
        }
        copied => copied.map_err(fault),
    }
}

impl Days {
    async fn make_ready(
        &mut self,
        client: &Client,
        rows: &[AttemptRow],
    ) -> Result<(), tokio_postgres::Error> {
        let of_rows: BTreeSet<Date> = rows.iter().map(|row| day(row.at)).collect();
        for day in of_rows {
            if self.0.contains(&day) {
                continue;
            }
            let next = day.tomorrow().unwrap_or(day);
            client
                .execute(
                    "select rowhook.add_attempt_days($1::text::date, $2::text::date)",
                    &[&day.to_string(), &next.to_string()],
                )
                .await?;
            self.0.insert(day);
        }
        Ok(())
    }
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

async fn copy(client: &Client, rows: Bytes) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(COPY_ATTEMPTS).await?;
    let mut sink = std::pin::pin!(sink);
    sink.send(rows).await?;
    sink.finish().await.map(|_| ())
}

/// Drops the partitions of days that are over for longer than `age`, and returns their names. One is
/// detached before it is dropped, so neither readers nor the writer are locked out.
///
/// # Errors
/// By the server's SQLSTATE. One that was detached and not dropped is dropped the next time.
pub async fn drop_old_days(connection: &Connection, age: Duration) -> Result<Vec<String>> {
    let fault = |error| sql_fault("cannot drop an old day of the attempt log", error);
    let seconds = i64::try_from(age.as_secs())
        .unwrap_or(i64::MAX)
        .min(1_000_000_000_000);
    let expired = connection
        .query(include_str!("../../sql/attempt_days.sql"), &[&seconds])
        .await
        .map_err(fault)?;
    let mut dropped = Vec::new();
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
            let detach = format!("alter table rowhook.attempts detach partition {table} {how}");
            connection.batch_execute(&detach).await.map_err(fault)?;
        }
        let drop = format!("drop table if exists {table}");
        connection.batch_execute(&drop).await.map_err(fault)?;
        dropped.push(name);
    }
    Ok(dropped)
}

/// What came of an event's attempts at one subscription, oldest first.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_event(client: &Client, sequence_id: i64) -> Result<Vec<AttemptRow>> {
    let fault = |error| sql_fault("cannot read the attempt log", error);
    let rows = client
        .query(
            "select at, subscription, sequence_id, event_id, attempt, status, outcome, duration_us, error, answer, replay \
               from rowhook.attempts where sequence_id = $1 order by at",
            &[&sequence_id],
        )
        .await
        .map_err(fault)?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

fn read(row: &tokio_postgres::Row) -> Result<AttemptRow, tokio_postgres::Error> {
    let micros: i64 = row.try_get(7)?;
    Ok(AttemptRow {
        at: row.try_get(0)?,
        subscription: Arc::from(row.try_get::<_, &str>(1)?),
        sequence_id: row.try_get(2)?,
        event_id: row.try_get(3)?,
        attempt: u32::try_from(row.try_get::<_, i32>(4)?).unwrap_or_default(),
        status: row
            .try_get::<_, Option<i32>>(5)?
            .and_then(|status| u16::try_from(status).ok()),
        outcome: Cow::Owned(row.try_get(6)?),
        duration: Duration::from_micros(micros.unsigned_abs()),
        error: row.try_get(8)?,
        answer: row.try_get(9)?,
        replay: row.try_get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_one_of_utc() {
        assert_eq!(day(Timestamp::UNIX_EPOCH).to_string(), "1970-01-01");
        assert_eq!(
            day("2026-11-21T23:59:59.9Z".parse().unwrap()).to_string(),
            "2026-11-21"
        );
        assert_eq!(
            day("2026-11-21T23:30:00-01:00".parse().unwrap()).to_string(),
            "2026-11-22"
        );
    }
}
