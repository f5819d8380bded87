//! How a subscription orders its events, as its row says, and the lanes of its deliveries.

use tokio_postgres::Client;

use crate::fault::{Fault, Result};
use crate::wal::server_error::sql_fault;

/// How the subscription's lanes were made; `None` if nobody has noted it yet.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn noted(client: &Client, name: &str) -> Result<Option<String>> {
    let fault = |error| {
        sql_fault(
            format!("cannot read how webhook \"{name}\" is ordered"),
            error,
        )
    };
    let row = client
        .query_opt(
            "select ordering from rowhook.subscriptions where name = $1",
            &[&name],
        )
        .await
        .map_err(fault)?;
    let ordering = row.map(|row| row.try_get(0)).transpose().map_err(fault)?;
    Ok(ordering.flatten())
}

/// The deliveries that keep their rows under another ordering, in ascending order: dead ones, and those
/// up to the cursor.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn kept(client: &Client, name: &str, cursor: i64) -> Result<Vec<i64>> {
    let fault = |error| {
        sql_fault(
            format!("cannot read the deliveries of webhook \"{name}\""),
            error,
        )
    };
    let rows = client
        .query(
            "select sequence_id from rowhook.deliveries \
              where subscription = $1 and (state = 'dead' or sequence_id <= $2) order by 1",
            &[&name, &cursor],
        )
        .await
        .map_err(fault)?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(fault))
        .collect()
}

/// Notes another ordering and gives deliveries their lanes by it, in one statement: all of it or
/// nothing.
///
/// # Errors
/// Fenced if the epoch has passed or the subscription's row is gone; otherwise by the SQLSTATE.
pub async fn change(
    client: &Client,
    name: &str,
    epoch: i64,
    ordering: &str,
    lanes: &[(i64, String)],
) -> Result<()> {
    let ids: Vec<i64> = lanes.iter().map(|(id, _)| *id).collect();
    let keys: Vec<&str> = lanes.iter().map(|(_, lane)| lane.as_str()).collect();
    let fault = |error| sql_fault(format!("cannot reorder webhook \"{name}\""), error);
    let row = client
        .query_one(
            include_str!("../../sql/reorder.sql"),
            &[&name, &epoch, &ordering, &ids, &keys],
        )
        .await
        .map_err(fault)?;
    if row.try_get::<_, i64>(0).map_err(fault)? == 0 {
        return Err(Fault::fenced(format!(
            "webhook \"{name}\" is served by another rowhook instance, or its row was removed"
        )));
    }
    Ok(())
}
