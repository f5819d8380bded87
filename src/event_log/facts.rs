//! What the tables know of an event's deliveries, for whoever asks why.

use jiff::Timestamp;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::breakers::OpenBreaker;
use super::deliveries::{DeliveryRow, delivery};
use crate::fault::Result;
use crate::wal::server_error::sql_fault;

/// A subscription's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionFacts {
    /// Name.
    pub name: String,
    /// Every event up to it is settled.
    pub cursor: i64,
    /// It was never offered an event up to this one; `None` where that was not noted.
    pub start_after: Option<i64>,
    /// Since when and why it is paused, if it is.
    pub paused: Option<(Timestamp, String)>,
    /// Since when its endpoint counts as down, if it does.
    pub breaker: Option<OpenBreaker>,
}

/// A delivery's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFacts {
    /// The subscription.
    pub subscription: String,
    /// The row.
    pub row: DeliveryRow,
    /// What an operator wants done with it.
    pub request: Option<String>,
    /// When the row was written last.
    pub updated_at: Timestamp,
    /// The event of its lane that goes first, if it is not this one.
    pub behind: Option<i64>,
}

/// Every subscription that was ever served.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn subscriptions(client: &Client) -> Result<Vec<SubscriptionFacts>> {
    let fault = |error| sql_fault("cannot read the webhooks", error);
    let sql = "select name, cursor, start_after, state = 'paused', since, coalesce(reason, ''), \
                      breaker_since, coalesce(breaker_reason, ''), coalesce(breaker_probe_at, breaker_since) \
                 from rowhook.subscriptions order by name";
    let rows = client.query(sql, &[]).await.map_err(fault)?;
    rows.iter()
        .map(|row| subscription(row).map_err(fault))
        .collect()
}

fn subscription(row: &Row) -> Result<SubscriptionFacts, tokio_postgres::Error> {
    let paused = match row.try_get(3)? {
        true => Some((row.try_get(4)?, row.try_get(5)?)),
        false => None,
    };
    let breaker = match row.try_get::<_, Option<Timestamp>>(6)? {
        Some(since) => Some(OpenBreaker {
            since,
            reason: row.try_get(7)?,
            probe_at: row.try_get(8)?,
        }),
        None => None,
    };
    Ok(SubscriptionFacts {
        name: row.try_get(0)?,
        cursor: row.try_get(1)?,
        start_after: row.try_get(2)?,
        paused,
        breaker,
    })
}

/// The rows of an event's deliveries.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn deliveries(client: &Client, sequence_id: i64) -> Result<Vec<DeliveryFacts>> {
    let fault = |error| sql_fault("cannot read the deliveries", error);
    let sql = "select d.sequence_id, d.event_id, d.lane, d.state, d.attempts, d.due_at, d.reason, \
                      d.subscription, d.request, d.updated_at, \
                      (select min(f.sequence_id) from rowhook.deliveries f \
                        where f.subscription = d.subscription and f.lane = d.lane and f.state = 'waiting' \
                          and d.state = 'waiting' and f.sequence_id < d.sequence_id) \
                 from rowhook.deliveries d join rowhook.subscriptions s on s.name = d.subscription \
                where d.sequence_id = $1";
    let rows = client.query(sql, &[&sequence_id]).await.map_err(fault)?;
    let read = |row: &Row| -> Result<DeliveryFacts, tokio_postgres::Error> {
        Ok(DeliveryFacts {
            row: delivery(row)?,
            subscription: row.try_get(7)?,
            request: row.try_get(8)?,
            updated_at: row.try_get(9)?,
            behind: row.try_get(10)?,
        })
    };
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

/// The sequence id of an event that may be gone from the log: of its deliveries and attempts.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn sequence_id(client: &Client, event_id: Uuid) -> Result<Option<i64>> {
    let fault = |error| sql_fault("cannot look for an event's deliveries", error);
    let sql = "select sequence_id from rowhook.deliveries where event_id = $1 \
               union all select sequence_id from rowhook.attempts where event_id = $1 limit 1";
    let row = client.query_opt(sql, &[&event_id]).await.map_err(fault)?;
    row.map(|row| row.try_get(0)).transpose().map_err(fault)
}
