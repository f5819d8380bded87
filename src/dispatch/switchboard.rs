//! Which subscriptions are paused, and how many of their deliveries are dead: one look at the
//! tables for all of them. The other way round, they learn which subscriptions are served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use crate::beat::beat;
use crate::event_log::Link;
use crate::failpoint::between_looks;
use crate::fault::{Fault, Result};
use crate::ops::metrics::{Metrics, WebhookLabel};
use crate::wal::{Connection, server_error::sql_fault};

/// How often the tables are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// What the tables say of the subscriptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(Arc<HashMap<String, State>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    paused: bool,
    since: Timestamp,
    dead: i64,
    requests: bool,
    skipped: i64,
}

impl States {
    /// Whether a subscription is paused.
    #[must_use]
    pub fn is_paused(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|state| state.paused)
    }

    /// Whether operators want something done with its deliveries.
    #[must_use]
    pub fn has_requests(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|state| state.requests)
    }

    /// Since when a subscription is paused or active.
    #[must_use]
    pub fn since(&self, name: &str) -> Option<Timestamp> {
        self.0.get(name).map(|state| state.since)
    }
}

/// Follows the tables until asked to stop. A log that cannot be asked leaves the last answer.
pub async fn follow(
    link: Link,
    states: watch::Sender<States>,
    metrics: Arc<Metrics>,
    served: impl Fn() -> Vec<String>,
    stop: CancellationToken,
) {
    loop {
        let looked = async {
            let (connection, names) = (link.connection().await?, served());
            let (seen, is_noted) = look(&connection, &names).await?;
            if !is_noted {
                note_served(&connection, &names).await?;
            }
            Ok::<_, Fault>(seen)
        };
        match looked.await {
            Ok(seen) => {
                for (name, state) in seen.0.iter() {
                    let label = WebhookLabel {
                        webhook: name.clone(),
                    };
                    metrics.dead.get_or_create(&label).set(state.dead);
                    let paused = metrics.paused.get_or_create(&label);
                    paused.set(i64::from(state.paused));
                    metrics.skipped.get_or_create(&label).set(state.skipped);
                }
                states.send_if_modified(|known| {
                    // Whoever had a row and has none now was forgotten, or is a replay that is over.
                    let gone = known.0.keys().filter(|name| !seen.0.contains_key(*name));
                    gone.for_each(|name| metrics.forget(name));
                    let changed = *known != seen;
                    *known = seen;
                    changed
                });
            }
            Err(fault) => {
                tracing::debug!(error = %fault.cause(), "cannot look at the subscriptions")
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = beat(between_looks(INTERVAL)) => {}
        }
    }
}

async fn note_served(connection: &Connection, names: &[String]) -> Result<()> {
    let sql = "update rowhook.subscriptions set served = (name = any ($1)) \
                where served <> (name = any ($1))";
    let noted = connection.execute(sql, &[&names]).await;
    noted.map_err(|error| sql_fault("cannot note which webhooks are served", error))?;
    Ok(())
}

/// What the tables say, and whether they say rightly which of the subscriptions are served.
async fn look(connection: &Connection, served: &[String]) -> Result<(States, bool)> {
    let fault = |error| sql_fault("cannot look at the subscriptions", error);
    let rows = connection
        .query_typed(
            "select s.name, s.state = 'paused', s.since, \
                    (select count(*) from rowhook.deliveries d where d.subscription = s.name and d.state = 'dead'), \
                    exists (select from rowhook.deliveries d where d.subscription = s.name and d.request is not null), \
                    s.skipped, s.served = (s.name = any ($1)) \
               from rowhook.subscriptions s",
            &[(&served, Type::TEXT_ARRAY)],
        )
        .await
        .map_err(fault)?;
    let mut is_noted = true;
    let mut read = |row: &tokio_postgres::Row| -> Result<_, tokio_postgres::Error> {
        is_noted &= row.try_get::<_, bool>(6)?;
        Ok((
            row.try_get(0)?,
            State {
                paused: row.try_get(1)?,
                since: row.try_get(2)?,
                dead: row.try_get(3)?,
                requests: row.try_get(4)?,
                skipped: row.try_get(5)?,
            },
        ))
    };
    let states: Result<HashMap<_, _>, _> = rows.iter().map(&mut read).collect();
    let states = States(Arc::new(states.map_err(fault)?));
    Ok((states, is_noted))
}
