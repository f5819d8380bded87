//! What the tables say of endpoints that count as down. The state is the daemon's; it notes it when it
//! changes, for whoever looks.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::encoding::{lacks_a_character, plain};
use crate::fault::Result;
use crate::wal::server_error::sql_fault;

/// An endpoint that counts as down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBreaker {
    /// Since when.
    pub since: Timestamp,
    /// What the last attempt said.
    pub reason: String,
    /// When the next probe goes out.
    pub probe_at: Timestamp,
}

const NOTE: &str = "update rowhook.subscriptions \
    set breaker_since = $3, breaker_reason = $4, breaker_probe_at = $5 \
  where name = $1 and exists (select from rowhook.checkpoint where epoch = $2) \
    and (breaker_since is not null or $3::timestamptz is not null)";

/// Notes that a subscription's endpoint counts as down, or (`None`) that it does not.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(
    client: &Client,
    name: &str,
    epoch: i64,
    open: Option<&OpenBreaker>,
) -> Result<()> {
    let fault = |error| {
        sql_fault(
            format!("cannot note the endpoint's state of webhook \"{name}\""),
            error,
        )
    };
    let since = open.map(|open| open.since);
    let probe_at = open.map(|open| open.probe_at);
    let reason = open.map(|open| open.reason.clone());
    let noted = match client
        .execute(NOTE, &[&name, &epoch, &since, &reason, &probe_at])
        .await
    {
        Err(error) if lacks_a_character(&error) => {
            let reason = reason.as_deref().map(plain);
            client
                .execute(NOTE, &[&name, &epoch, &since, &reason, &probe_at])
                .await
        }
        noted => noted,
    };
    noted.map(|_| ()).map_err(fault)
}
