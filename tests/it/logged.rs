//! Reading the event log with plain SQL, as an application would.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_postgres::Client;

use crate::cluster::Database;
use crate::patience::PATIENCE;

/// The log has no notification: conditions on it are polled.
const POLL: Duration = Duration::from_millis(50);

/// One row of `rowhook.events`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logged {
    pub(crate) sequence_id: i64,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) resource: String,
    pub(crate) resource_id: Option<String>,
    pub(crate) action: String,
    pub(crate) created_at: String,
    pub(crate) record: Value,
    pub(crate) previous: Value,
    pub(crate) context: Value,
    pub(crate) old_row: String,
    pub(crate) unknown: Vec<String>,
    pub(crate) as_text: Vec<String>,
    pub(crate) table: String,
    pub(crate) xid: i64,
    pub(crate) commit_lsn: String,
    pub(crate) commit_index: i64,
}

const EVENTS: &str = "
    select sequence_id, event_id::text, event_type, resource, resource_id, action,
           created_at::text, record::text, previous::text, context::text, old_row,
           coalesce(unknown, '{}') as unknown, coalesce(as_text, '{}') as as_text,
           table_schema || '.' || table_name as table_full, xid, commit_lsn::text, commit_index
      from rowhook.events
     where sequence_id > $1
     order by sequence_id";

/// Every event of the log, in order.
pub(crate) async fn events(client: &Client) -> Vec<Logged> {
    events_after(client, 0).await
}

/// The events after a sequence id, in order.
pub(crate) async fn events_after(client: &Client, after: i64) -> Vec<Logged> {
    let rows = client.query(EVENTS, &[&after]).await.unwrap();
    let json =
        |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    rows.iter()
        .map(|row| Logged {
            sequence_id: row.get("sequence_id"),
            event_id: row.get("event_id"),
            event_type: row.get("event_type"),
            resource: row.get("resource"),
            resource_id: row.get("resource_id"),
            action: row.get("action"),
            created_at: row.get("created_at"),
            record: json(row.get("record")),
            previous: json(row.get("previous")),
            context: json(row.get("context")),
            old_row: row.get("old_row"),
            unknown: row.get("unknown"),
            as_text: row.get("as_text"),
            table: row
                .get::<_, Option<String>>("table_full")
                .unwrap_or_default(),
            xid: row.get::<_, Option<i64>>("xid").unwrap_or_default(),
            commit_lsn: row
                .get::<_, Option<String>>("commit_lsn")
                .unwrap_or_default(),
            commit_index: row
                .get::<_, Option<i64>>("commit_index")
                .unwrap_or_default(),
        })
        .collect()
}

/// How many events the log holds.
pub(crate) async fn count(client: &Client) -> i64 {
    let row = client.query_one("select count(*) from rowhook.events", &[]);
    row.await.unwrap().get(0)
}

/// Waits until the log holds at least so many events; gives them all. Panics if it holds more.
pub(crate) async fn wait_for_logged(client: &Client, wanted: i64) -> Vec<Logged> {
    wait_for(client, &format!("{wanted} logged events"), async || {
        count(client).await >= wanted
    })
    .await;
    let events = events(client).await;
    assert_eq!(
        events.len() as i64,
        wanted,
        "more than expected: {}",
        tail(&events)
    );
    assert_dense(&events);
    events
}

/// Waits until an event fits; gives the first that does.
pub(crate) async fn wait_for_event(
    client: &Client,
    what: &str,
    fits: impl Fn(&Logged) -> bool,
) -> Logged {
    let began = Instant::now();
    loop {
        let all = events(client).await;
        if let Some(found) = all.iter().find(|event| fits(event)) {
            return found.clone();
        }
        assert!(
            began.elapsed() < PATIENCE,
            "no {what} in the log: {}",
            tail(&all)
        );
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until a condition on a database holds.
pub(crate) async fn wait_for(client: &Client, what: &str, holds: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !holds().await {
        if began.elapsed() > PATIENCE {
            let logged = tail(&events(client).await);
            panic!("waited in vain for {what}; the log holds {logged}");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until nobody serves the slot: where a daemon has ended, the server notices a moment later.
pub(crate) async fn wait_for_free_slot(client: &Client, database: &Database) {
    let slot = database.slot();
    let served = "select 1 from pg_replication_slots where slot_name = $1 and active";
    wait_for(client, "a free slot", async || {
        client.query(served, &[&slot]).await.unwrap().is_empty()
    })
    .await;
}

/// The last events, for messages of failed tests.
fn tail(events: &[Logged]) -> String {
    let last = &events[events.len().saturating_sub(20)..];
    format!("{} events, the last of them {last:#?}", events.len())
}

/// Sequence ids have no gaps and no repeats.
pub(crate) fn assert_dense(events: &[Logged]) {
    for pair in events.windows(2) {
        assert_eq!(
            pair[0].sequence_id + 1,
            pair[1].sequence_id,
            "a gap in the sequence ids"
        );
    }
}
