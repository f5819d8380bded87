//! Subscriptions' cursors and the deliveries that did not go well, as rows.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Client;
use uuid::Uuid;

use super::encoding::{lacks_a_character, plain};
use crate::failpoint;
use crate::fault::{Fault, Result};
use crate::wal::Connection;
use crate::wal::server_error::sql_fault;

/// One row of `rowhook.subscriptions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Name.
    pub name: String,
    /// Every event up to it is settled.
    pub cursor: i64,
    /// Why it is paused; `None` while it is active.
    pub paused: Option<String>,
    /// Since when it is paused or active.
    pub since: Timestamp,
}

/// One row of `rowhook.deliveries`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Which event.
    pub sequence_id: i64,
    /// Its id.
    pub event_id: Uuid,
    /// What it waits in.
    pub lane: String,
    /// Waiting, or given up.
    pub dead: bool,
    /// Attempts so far.
    pub attempts: i32,
    /// When it may be tried again; `None` behind another one of its lane.
    pub due_at: Option<Timestamp>,
    /// What the last attempt said.
    pub reason: Option<String>,
}

/// What one flush moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Every event up to it is settled.
    pub cursor: i64,
    /// Rows of deliveries that are done.
    pub done: Vec<i64>,
    /// Rows to insert or to bring up to date.
    pub kept: Vec<DeliveryRow>,
    /// Operators' requests that those rows answer: sequence ids, and when they were made.
    pub answered: HashMap<i64, Timestamp>,
    /// The replay whose cursor it is, and how many events were delivered for it in all.
    pub replayed: Option<(i64, i64)>,
}

/// Makes sure that the subscription has a row, starting after `cursor` if it is new.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn register(client: &Client, name: &str, cursor: i64) -> Result<SubscriptionRow> {
    let fault = |error| sql_fault(format!("cannot register webhook \"{name}\""), error);
    client
        .execute(
            "insert into rowhook.subscriptions (name, cursor, start_after) values ($1, $2, $2) on conflict (name) do nothing",
            &[&name, &cursor],
        )
        .await
        .map_err(fault)?;
    look_up(client, name)
        .await?
        .ok_or_else(|| Fault::transient(format!("webhook \"{name}\" was removed just now")))
}

/// The subscription's row; `None` if it was never registered.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn look_up(client: &Client, name: &str) -> Result<Option<SubscriptionRow>> {
    let fault = |error| sql_fault(format!("cannot read webhook \"{name}\""), error);
    let row = client
        .query_opt(
            "select name, cursor, state, reason, since from rowhook.subscriptions where name = $1",
            &[&name],
        )
        .await
        .map_err(fault)?;
    let read = |row: tokio_postgres::Row| -> Result<SubscriptionRow, tokio_postgres::Error> {
        let paused = (row.try_get::<_, &str>(2)? == "paused")
            .then(|| row.try_get::<_, Option<String>>(3))
            .transpose()?
            .map(|reason| reason.unwrap_or_default());
        Ok(SubscriptionRow {
            name: row.try_get(0)?,
            cursor: row.try_get(1)?,
            paused,
            since: row.try_get(4)?,
        })
    };
    row.map(read).transpose().map_err(fault)
}

/// Sequence id before the oldest event that the log still holds.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn before_oldest(client: &Client) -> Result<i64> {
    let fault = |error| sql_fault("cannot read the log's oldest event", error);
    let row = client
        .query_one("select coalesce((select first_id from rowhook.segments order by first_id limit 1), 1) - 1", &[])
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Rows that a restarted subscription has to know: all that wait, and dead ones after its cursor. One
/// that an operator discarded counts as dead.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn unfinished(client: &Client, name: &str) -> Result<Vec<DeliveryRow>> {
    let fault = |error| {
        sql_fault(
            format!("cannot read the deliveries of webhook \"{name}\""),
            error,
        )
    };
    let rows = client
        .query(
            "select d.sequence_id, d.event_id, d.lane, case d.request when 'discard' then 'dead' else d.state end, d.attempts, d.due_at, d.reason \
               from rowhook.deliveries d join rowhook.subscriptions s on s.name = d.subscription \
              where d.subscription = $1 and (d.state = 'waiting' or d.sequence_id > s.cursor) \
              order by d.sequence_id",
            &[&name],
        )
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| delivery(row).map_err(fault))
        .collect()
}

pub(super) fn delivery(row: &tokio_postgres::Row) -> Result<DeliveryRow, tokio_postgres::Error> {
    Ok(DeliveryRow {
        sequence_id: row.try_get(0)?,
        event_id: row.try_get(1)?,
        lane: row.try_get(2)?,
        dead: row.try_get::<_, &str>(3)? == "dead",
        attempts: row.try_get(4)?,
        due_at: row.try_get(5)?,
        reason: row.try_get(6)?,
    })
}

/// One flush, in one statement: all of it or nothing.
///
/// # Errors
/// Fenced if the epoch has passed or the subscription's row is gone; otherwise by the SQLSTATE.
pub async fn settle(
    connection: &Connection,
    name: &str,
    epoch: i64,
    settlement: &Settlement,
) -> Result<()> {
    let fault = |error| {
        sql_fault(
            format!("cannot save the cursor of webhook \"{name}\""),
            error,
        )
    };
    failpoint::pass("dispatch.flush")?;
    if !settlement.kept.is_empty() {
        failpoint::pass("dispatch.park")?;
    }
    let moved = match try_settle(connection, name, epoch, settlement).await {
        // A receiver may answer in any characters.
        Err(error) if lacks_a_character(&error) => {
            let settlement = in_plain_words(settlement);
            try_settle(connection, name, epoch, &settlement).await
        }
        settled => settled,
    };
    let moved = moved.map_err(fault)?;
    failpoint::pass("dispatch.flushed")?;
    if moved == 0 {
        return Err(Fault::fenced(format!(
            "webhook \"{name}\" is served by another rowhook instance, or its row was removed"
        )));
    }
    Ok(())
}

fn in_plain_words(settlement: &Settlement) -> Settlement {
    let mut settlement = settlement.clone();
    for row in &mut settlement.kept {
        row.reason = row.reason.as_deref().map(plain);
    }
    settlement
}

/// Gives how many cursors were moved.
async fn try_settle(
    connection: &Connection,
    name: &str,
    epoch: i64,
    settlement: &Settlement,
) -> Result<i64, tokio_postgres::Error> {
    let kept = &settlement.kept;
    let settle = connection
        .prepared(include_str!("../../sql/settle.sql"))
        .await?;
    let row = connection
        .query_one(
            &settle,
            &[
                &name,
                &epoch,
                &settlement.cursor,
                &settlement.done,
                &kept.iter().map(|row| row.sequence_id).collect::<Vec<_>>(),
                &kept.iter().map(|row| row.event_id).collect::<Vec<_>>(),
                &kept.iter().map(|row| row.lane.as_str()).collect::<Vec<_>>(),
                &kept
                    .iter()
                    .map(|row| if row.dead { "dead" } else { "waiting" })
                    .collect::<Vec<_>>(),
                &kept.iter().map(|row| row.attempts).collect::<Vec<_>>(),
                &kept.iter().map(|row| row.due_at).collect::<Vec<_>>(),
                &kept
                    .iter()
                    .map(|row| row.reason.as_deref())
                    .collect::<Vec<_>>(),
                &kept
                    .iter()
                    .map(|row| settlement.answered.get(&row.sequence_id))
                    .collect::<Vec<_>>(),
                &settlement.replayed.map(|(replay, _)| replay),
                &settlement.replayed.map_or(0, |(_, delivered)| delivered),
            ],
        )
        .await?;
    row.try_get(0)
}

/// Pauses or resumes a subscription; gives since when it is. `None` if there is none of that name.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn set_paused(
    client: &Client,
    name: &str,
    reason: Option<&str>,
) -> Result<Option<Timestamp>> {
    const SQL: &str = "update rowhook.subscriptions \
        set state = case when $2::text is null then 'active' else 'paused' end, \
            reason = $2, since = clock_timestamp(), updated_at = now() \
      where name = $1 returning since";
    let fault = |error| sql_fault(format!("cannot change webhook \"{name}\""), error);
    let row = match client.query_opt(SQL, &[&name, &reason]).await {
        Err(error) if lacks_a_character(&error) => {
            let reason = reason.map(plain);
            client.query_opt(SQL, &[&name, &reason]).await
        }
        row => row,
    };
    let row = row.map_err(fault)?;
    row.map(|row| row.try_get(0)).transpose().map_err(fault)
}
