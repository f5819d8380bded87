//! The WAL that the slot holds back: released while it can be, told where it cannot.

use std::sync::Arc;

use serde_json::Value;
use tokio_postgres::Client;

use crate::capture::types;
use crate::cluster::{Cluster, Database, Stop};
use crate::daemon::{Daemon, Rowhook};
use crate::logged::{Logged, assert_dense, events, wait_for, wait_for_event};
use crate::receiver::Receiver;

/// A cluster of one's own: open transactions of other tests would hold back WAL, too.
struct Own {
    daemon: Daemon,
    rowhook: Rowhook,
    client: Client,
    database: Database,
    cluster: Arc<Cluster>,
}

impl Own {
    async fn with(settings: impl FnOnce(Rowhook) -> Rowhook) -> Self {
        let cluster = Arc::new(Cluster::start(&["max_prepared_transactions=5"]).await);
        let database = Database::create_in(&cluster).await;
        let client = database.client().await;
        client
            .batch_execute(
                "create table t (id int primary key, v text); create table other (v text)",
            )
            .await
            .unwrap();
        let rowhook = Rowhook::new(&database)
            .set("capture.tables", vec!["public.t"])
            .set("source.wal_budget", "16MiB");
        let rowhook = settings(rowhook);
        rowhook.setup().await;
        let daemon = rowhook.spawn_ready().await;
        Self {
            daemon,
            rowhook,
            client,
            database,
            cluster,
        }
    }

    /// Writes about 12 MB of WAL into a table of no interest.
    async fn noise(&self) {
        let sql =
            "insert into other select repeat(md5(i::text), 30) from generate_series(1, 12000) i";
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn behind(&self, column: &str) -> i64 {
        let sql = format!(
            "select (pg_current_wal_lsn() - {column})::bigint from pg_replication_slots where slot_name = $1"
        );
        let row = self
            .client
            .query_one(&sql, &[&self.database.slot()])
            .await
            .unwrap();
        row.get(0)
    }
}

fn is_level(event: &Logged, level: &str) -> bool {
    event.event_type == "rowhook.wal_budget" && event.record["level"] == level
}

#[tokio::test]
async fn a_long_transaction_holds_wal_back_and_is_named() {
    let receiver = Receiver::start().await;
    let mut own = Own::with(|rowhook| {
        rowhook.webhook_to("alarm", &receiver, toml::toml! { events = ["rowhook.*"] })
    })
    .await;
    own.client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    let long = own.database.client().await;
    long.batch_execute("begin; insert into t values (2)")
        .await
        .unwrap();
    let pid: i32 = long
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);

    // What is read is confirmed all the same; the server keeps the WAL for the transaction.
    own.noise().await;
    wait_for(&own.client, "the confirmed position", async || {
        own.behind("confirmed_flush_lsn").await < 2 << 20
    })
    .await;
    let half = wait_for_event(&own.client, "half", |event| is_level(event, "half")).await;
    assert!(own.behind("restart_lsn").await > 8 << 20);
    assert_eq!(
        (half.resource.as_str(), half.action.as_str()),
        ("rowhook", "noted")
    );
    let record = &half.record;
    assert_eq!(record["slot"], own.database.slot());
    assert_eq!(record["budget_bytes"], 16 << 20);
    assert!(
        record["held_bytes"].as_i64().unwrap() >= 8 << 20,
        "{record}"
    );
    if let Some(rate) = record["bytes_per_second"].as_u64() {
        let left = record["seconds_left"].as_u64().unwrap();
        let held = record["held_bytes"].as_u64().unwrap();
        assert_eq!(left, ((16 << 20) - held) / rate, "{record}");
    }
    let status = own.rowhook.json(&["status"]).await;
    assert_eq!(status["capture"]["wal_held_by"]["pid"], pid, "{status}");
    let text = own.rowhook.succeed(&["status"]).await;
    assert!(
        text.contains(&format!("server process {pid}, open for")),
        "{text}"
    );

    own.noise().await;
    wait_for_event(&own.client, "over", |event| is_level(event, "over")).await;
    let line = own.daemon.wait_for_log("disk is at risk").await;
    assert!(line.contains("left"), "{line}");
    let (_, metrics) = own.daemon.get("/metrics").await;
    for name in [
        "rowhook_wal_budget_left_seconds",
        "rowhook_wal_budget_bytes 16777216",
        "rowhook_slot_wal_growth_bytes_per_second",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    // What was noted is a position to go on from, and not noted again.
    own.daemon.kill9().await;
    own.daemon = own.rowhook.spawn_ready().await;
    long.batch_execute("commit").await.unwrap();
    wait_for(&own.client, "the release", async || {
        let sql = "checkpoint; update t set v = clock_timestamp()::text where id = 1";
        for statement in sql.split(';') {
            own.client.batch_execute(statement).await.unwrap();
        }
        events(&own.client)
            .await
            .iter()
            .any(|event| is_level(event, "fine"))
    })
    .await;
    let events = events(&own.client).await;
    assert_dense(&events);
    let types = types(&events);
    assert_eq!(types.iter().filter(|kind| **kind == "t.created").count(), 2);
    let levels: Vec<&Value> = events
        .iter()
        .filter(|event| event.event_type == "rowhook.wal_budget")
        .map(|event| &event.record["level"])
        .collect();
    assert!(
        levels == ["half", "over", "fine"] || levels == ["half", "over", "half", "fine"],
        "{levels:?}"
    );
    receiver
        .wait_for(|requests| requests.len() >= levels.len())
        .await;
    let sent: Vec<Value> = receiver
        .requests()
        .iter()
        .map(|request| {
            serde_json::from_slice::<Value>(&request.body).unwrap()["event"]["type"].clone()
        })
        .collect();
    assert!(
        sent.iter().all(|kind| kind == "rowhook.wal_budget"),
        "{sent:?}"
    );
}

#[tokio::test]
async fn a_log_that_is_away_makes_wal_grow_and_says_so_when_it_is_back() {
    let logs = Arc::new(Cluster::start(&[]).await);
    let log = Database::create_in(&logs).await;
    let mut own = Own::with(|rowhook| rowhook.set("log.url", log.url())).await;
    logs.stop(Stop::Fast).await;
    own.client
        .batch_execute(
            "insert into t select i, repeat(md5(i::text), 30) from generate_series(1, 12000) i",
        )
        .await
        .unwrap();
    own.daemon
        .wait_for_log("more than half of its WAL budget")
        .await;
    logs.launch().await;
    let reader = log.client().await;
    wait_for_event(&reader, "half", |event| is_level(event, "half")).await;
    wait_for(&reader, "the release", async || {
        for statement in ["checkpoint", "update t set v = clock_timestamp()::text where id = 1"] {
            own.client.batch_execute(statement).await.unwrap();
        }
        let fine = "select from rowhook.events where event_type = 'rowhook.wal_budget' and record->>'level' = 'fine'";
        !reader.query(fine, &[]).await.unwrap().is_empty()
    })
    .await;
    let row = reader
        .query_one("select count(*), count(distinct resource_id), max(sequence_id) - count(*) from rowhook.events where action = 'created'", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (12000, 12000));
    assert_eq!(own.daemon.stop().await, Some(0));
    drop(own.cluster);
}

#[tokio::test]
async fn a_prepared_transaction_is_named_too() {
    let own = Own::with(|rowhook| rowhook).await;
    let sql = "begin; insert into t values (1); prepare transaction 'forgotten'";
    own.client.batch_execute(sql).await.unwrap();
    own.noise().await;
    wait_for(&own.client, "the confirmed position", async || {
        own.behind("confirmed_flush_lsn").await < 2 << 20
    })
    .await;
    let text = own.rowhook.succeed(&["status"]).await;
    assert!(text.contains("prepared transaction 'forgotten'"), "{text}");
    own.client
        .batch_execute("rollback prepared 'forgotten'")
        .await
        .unwrap();
}
