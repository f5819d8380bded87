//! What operators want done with deliveries: they write it beside the row, and the daemon takes it away
//! together with what it did.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::deliveries::DeliveryRow;
use crate::fault::Result;
use crate::wal::server_error::sql_fault;

/// Rows that one transaction asks for.
const CHUNK: usize = 1_000;
/// How long one attempt waits for the locks of others, and how long until the next one.
const LOCK_PATIENCE: Duration = Duration::from_millis(100);
/// How long it is tried.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Send it again, now.
    Retry,
    /// Give it up for good.
    Discard,
}

impl Request {
    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "discard" => Self::Discard,
            _ => Self::Retry,
        }
    }
}

/// A request, with the delivery's row as the tables have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested {
    /// The row.
    pub row: DeliveryRow,
    /// What is wanted.
    pub request: Request,
    /// When it was asked for: names this request among later ones.
    pub at: Timestamp,
}

/// The requests for one webhook's deliveries.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of(client: &Client, name: &str, limit: i64) -> Result<Vec<Requested>> {
    let fault = |error| {
        sql_fault(
            format!("cannot read the requests for deliveries of webhook \"{name}\""),
            error,
        )
    };
    let rows = client
        .query(
            include_str!("../../sql/requested_deliveries.sql"),
            &[&name, &limit],
        )
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| requested(row).map_err(fault))
        .collect()
}

fn requested(row: &Row) -> Result<Requested, tokio_postgres::Error> {
    Ok(Requested {
        row: super::deliveries::delivery(row)?,
        request: Request::parse(row.try_get(7)?),
        at: row.try_get(8)?,
    })
}

/// Which deliveries are meant. Everything that is set has to hold.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Of this webhook.
    pub webhook: Option<String>,
    /// `waiting` or `dead`.
    pub state: Option<String>,
    /// Of events of this type.
    pub event_type: Option<String>,
    /// Of this resource.
    pub resource: Option<String>,
    /// With this key.
    pub resource_id: Option<String>,
    /// The reason holds these words.
    pub reason: Option<String>,
    /// Of the events with these sequence ids or …
    pub sequence_ids: Option<Vec<i64>>,
    /// … these ids.
    pub event_ids: Option<Vec<Uuid>>,
}

/// A delivery as operators see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The webhook.
    pub webhook: String,
    /// Its row.
    pub row: DeliveryRow,
    /// What is wanted, until it is done.
    pub request: Option<String>,
    /// When it was parked first.
    pub since: Timestamp,
    /// When its row was written last.
    pub updated_at: Timestamp,
    /// Type, resource and key of its event; `None` once the log has dropped it.
    pub event: Option<(String, String, Option<String>)>,
}

const CHOSEN: &str = include_str!("../../sql/chosen_deliveries.sql");

impl Chosen {
    async fn query(&self, client: &Client, sql: &str, limit: i64) -> Result<Vec<Row>> {
        let rows = client
            .query(
                sql,
                &[
                    &self.webhook,
                    &self.state,
                    &self.event_type,
                    &self.resource,
                    &self.resource_id,
                    &self.reason,
                    &self.sequence_ids,
                    &self.event_ids,
                    &limit,
                ],
            )
            .await;
        rows.map_err(|error| sql_fault("cannot read the deliveries", error))
    }

    /// The deliveries, by webhook and sequence id.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn list(&self, client: &Client, limit: i64) -> Result<Vec<Shown>> {
        let sql = format!("{CHOSEN} order by 1, 2 limit $9");
        let rows = self.query(client, &sql, limit).await?;
        rows.iter()
            .map(|row| shown(row).map_err(|error| sql_fault("cannot read a delivery", error)))
            .collect()
    }

    /// How many there are, by webhook and state.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn count(&self, client: &Client) -> Result<Vec<(String, String, i64)>> {
        let sql = format!(
            "select c.subscription, c.state, count(*) from ({CHOSEN}) c where $9::bigint is not null \
              group by 1, 2 order by 1, 2"
        );
        let rows = self.query(client, &sql, 0).await?;
        let count = |row: &Row| -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
        };
        rows.iter()
            .map(|row| count(row).map_err(|error| sql_fault("cannot count deliveries", error)))
            .collect()
    }

    /// Asks for them all, [`CHUNK`] by [`CHUNK`], so that the daemon's own writes wait for no more than
    /// a few; gives for how many, by webhook. `told` hears how many rows were looked at. Nobody sends
    /// again what a replay left that was cut off.
    ///
    /// # Errors
    /// Transient, if somebody else keeps rows locked; otherwise by the server's SQLSTATE.
    pub async fn request(
        &self,
        client: &Client,
        request: Request,
        mut told: impl FnMut(usize),
    ) -> Result<Vec<(String, i64)>> {
        let mut asked = Vec::new();
        for (webhook, ids) in self.ids(client).await? {
            let mut count = 0;
            for chunk in ids.chunks(CHUNK) {
                count += ask(client, request, &webhook, chunk).await?;
                told(chunk.len());
            }
            if count > 0 {
                asked.push((webhook, count));
            }
        }
        Ok(asked)
    }

    /// Their sequence ids, by webhook.
    async fn ids(&self, client: &Client) -> Result<Vec<(String, Vec<i64>)>> {
        let sql = format!(
            "select c.subscription, array_agg(c.sequence_id order by c.sequence_id) from ({CHOSEN}) c \
              where $9::bigint is not null group by 1 order by 1"
        );
        let rows = self.query(client, &sql, 0).await?;
        let ids = |row: &Row| -> Result<_, tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?))
        };
        rows.iter()
            .map(|row| ids(row).map_err(|error| sql_fault("cannot read the deliveries", error)))
            .collect()
    }
}

/// Asks for a few deliveries of one webhook; gives for how many. While somebody else holds one of
/// them it holds none: the daemon must not wait behind both.
async fn ask(client: &Client, request: Request, webhook: &str, ids: &[i64]) -> Result<i64> {
    let began = Instant::now();
    let lock = format!("set lock_timeout = {}", LOCK_PATIENCE.as_millis());
    let fault = |error| sql_fault("cannot ask for deliveries", error);
    client.batch_execute(&lock).await.map_err(fault)?;
    loop {
        let sql = include_str!("../../sql/ask_for_deliveries.sql");
        match client
            .execute(sql, &[&webhook, &ids, &request.as_str()])
            .await
        {
            Ok(count) => return Ok(i64::try_from(count).unwrap_or(i64::MAX)),
            Err(error) if is_in_the_way(&error) && began.elapsed() < PATIENCE => {
                tokio::time::sleep(LOCK_PATIENCE).await;
            }
            Err(error) if is_in_the_way(&error) => {
                return Err(fault(error).next_step(
                    "another session keeps rows of rowhook.deliveries locked: end its transaction, \
                     and run this again",
                ));
            }
            Err(error) => return Err(fault(error)),
        }
    }
}

/// Whether another session's locks kept a statement from its rows.
fn is_in_the_way(error: &tokio_postgres::Error) -> bool {
    let locked = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    error.code().is_some_and(|code| locked.contains(code))
}

fn shown(row: &Row) -> Result<Shown, tokio_postgres::Error> {
    let event_type: Option<String> = row.try_get(10)?;
    let resource: Option<String> = row.try_get(11)?;
    let resource_id: Option<String> = row.try_get(12)?;
    Ok(Shown {
        webhook: row.try_get(0)?,
        row: DeliveryRow {
            sequence_id: row.try_get(1)?,
            event_id: row.try_get(2)?,
            lane: String::new(),
            dead: row.try_get::<_, &str>(3)? == "dead",
            attempts: row.try_get(4)?,
            due_at: row.try_get(5)?,
            reason: row.try_get(6)?,
        },
        request: row.try_get(7)?,
        since: row.try_get(8)?,
        updated_at: row.try_get(9)?,
        event: event_type
            .zip(resource)
            .map(|(event_type, resource)| (event_type, resource, resource_id)),
    })
}
