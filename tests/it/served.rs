//! A table `t`, captured by a daemon that delivers its events.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio_postgres::Client;
use toml::Table;

use crate::cluster::Database;
use crate::daemon::{Daemon, Rowhook};
use crate::logged::wait_for;
use crate::receiver::{Received, Receiver};

/// A database with an empty table `t`, set up. Fields are dropped in this order.
pub(crate) struct Prepared {
    pub(crate) rowhook: Rowhook,
    pub(crate) client: Client,
    pub(crate) database: Database,
}

/// The same, with the daemon running. Fields are dropped in this order.
pub(crate) struct Served {
    pub(crate) daemon: Daemon,
    pub(crate) rowhook: Rowhook,
    pub(crate) client: Client,
    pub(crate) database: Database,
}

impl Prepared {
    pub(crate) async fn with(settings: impl FnOnce(Rowhook) -> Rowhook) -> Self {
        let database = Database::create().await;
        let client = database.client().await;
        client
            .batch_execute("create table t (id int primary key, v int)")
            .await
            .unwrap();
        let rowhook = settings(Rowhook::new(&database));
        rowhook.setup().await;
        Self {
            rowhook,
            client,
            database,
        }
    }

    pub(crate) async fn served(self) -> Served {
        Served {
            daemon: self.rowhook.spawn_ready().await,
            rowhook: self.rowhook,
            client: self.client,
            database: self.database,
        }
    }
}

impl Served {
    pub(crate) async fn with(settings: impl FnOnce(Rowhook) -> Rowhook) -> Self {
        Prepared::with(settings).await.served().await
    }

    /// With one webhook named `hook`.
    pub(crate) async fn to(receiver: &Receiver, more: Table) -> Self {
        Self::with(|rowhook| rowhook.webhook_to("hook", receiver, more)).await
    }

    /// Runs SQL; several statements are one transaction.
    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Inserts rows `from` to `to`.
    pub(crate) async fn insert(&self, from: i32, to: i32) {
        self.execute(&format!(
            "insert into t select i, 0 from generate_series({from}, {to}) i"
        ))
        .await;
    }

    /// Starts the daemon again after it ended.
    pub(crate) async fn restart(&mut self) {
        self.daemon = self.rowhook.spawn_ready().await;
    }

    /// Waits until a webhook's cursor stands at this event.
    pub(crate) async fn wait_for_cursor(&self, name: &str, wanted: i64) {
        let what = format!("cursor {wanted} of {name}");
        wait_for(&self.client, &what, async || {
            self.cursor(name).await >= wanted
        })
        .await;
        assert_eq!(self.cursor(name).await, wanted);
    }

    pub(crate) async fn cursor(&self, name: &str) -> i64 {
        let query = "select cursor from rowhook.subscriptions where name = $1";
        let row = self.client.query_opt(query, &[&name]).await.unwrap();
        row.map_or(-1, |row| row.get(0))
    }

    /// The rows of `rowhook.deliveries`: `1 waiting 2` is sequence id, state and attempts.
    pub(crate) async fn deliveries(&self) -> Vec<String> {
        let query = "
            select sequence_id || ' ' || state || ' ' || attempts
              from rowhook.deliveries order by sequence_id";
        let rows = self.client.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until these are the rows of `rowhook.deliveries`.
    pub(crate) async fn wait_for_deliveries(&self, wanted: &[&str]) {
        let what = format!("deliveries {wanted:?}");
        wait_for(&self.client, &what, async || {
            self.deliveries().await == wanted
        })
        .await;
    }

    /// Waits until `webhooks list --json` shows this state; gives the webhook's entry.
    pub(crate) async fn wait_for_state(&self, name: &str, state: &str) -> serde_json::Value {
        let query = "select 1 from rowhook.subscriptions where name = $1 and state = $2";
        wait_for(&self.client, state, async || {
            let row = self.client.query_opt(query, &[&name, &state]).await;
            row.unwrap().is_some()
        })
        .await;
        let list = self.rowhook.json(&["webhooks", "list"]).await;
        let mut entries = list.as_array().unwrap().iter();
        let entry = entries.find(|entry| entry["name"] == name).unwrap();
        assert_eq!(entry["state"], state);
        entry.clone()
    }
}

/// Waits until so many different events were accepted; gives all requests.
pub(crate) async fn accepted(receiver: &Receiver, events: i64) -> Vec<Received> {
    let distinct = |requests: &[Received]| {
        let ids = requests.iter().filter(|request| request.accepted());
        let ids: HashSet<&str> = ids.map(|request| request.event_id.as_str()).collect();
        ids.len() as i64
    };
    receiver
        .wait_for(|requests| distinct(requests) >= events)
        .await
}

/// Sequence ids of the accepted requests, by row, in their order.
pub(crate) fn accepted_by_row(requests: &[Received]) -> HashMap<String, Vec<i64>> {
    let mut rows: HashMap<String, Vec<i64>> = HashMap::new();
    for request in requests.iter().filter(|request| request.accepted()) {
        let row = rows.entry(request.resource_id.clone()).or_default();
        row.push(request.sequence_id);
    }
    rows
}

/// Every row's accepted events came once and in order.
pub(crate) fn assert_in_order(requests: &[Received]) {
    for (row, ids) in accepted_by_row(requests) {
        assert!(
            ids.windows(2).all(|pair| pair[0] < pair[1]),
            "row {row}: {ids:?}"
        );
    }
}

/// No request of a row came before the row's earlier event was accepted; each answer takes `answer`.
pub(crate) fn assert_waits_for_acceptance(requests: &[Received], answer: Duration) {
    assert_in_order(requests);
    for request in requests {
        let before = requests.iter().filter(|other| {
            other.resource_id == request.resource_id && other.sequence_id < request.sequence_id
        });
        for earlier in before.filter(|other| other.accepted()) {
            assert!(
                request.at >= earlier.at + answer,
                "{} was sent before {} was answered",
                request.sequence_id,
                earlier.sequence_id
            );
        }
    }
}
