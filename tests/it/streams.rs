//! The connection's bad days: cut in the middle of a message, limits that are too short.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use crate::cluster::{Cluster, Database};
use crate::daemon::{Daemon, Rowhook};
use crate::logged::{wait_for, wait_for_logged};
use crate::outages::{assert_every_row_once, through};
use crate::proxy::Proxy;

const TABLE: &str = "create table t (id bigint generated always as identity primary key, v text)";
const INSERT: &str = "insert into t (v) values ('x')";
/// One row of 3 MB, which does not compress.
const LARGE: &str =
    "insert into t (v) select string_agg(md5(i::text), '') from generate_series(1, 100000) i";

/// How often the stream was begun anew.
async fn reconnects(daemon: &Daemon) -> String {
    let (_, metrics) = daemon.get("/metrics").await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("rowhook_reconnects_total "));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_that_is_cut_in_the_middle_of_a_message_loses_and_doubles_nothing() {
    let (database, log) = (Database::create().await, Database::create().await);
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let proxy = Proxy::start(database.cluster.port()).await;
    let rowhook = Rowhook::new(&database)
        .set("source.url", through(&proxy, &database))
        .set("source.table_refresh", "1h")
        .set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    let log = log.client().await;
    // In a header, in a small message, in the large value (three times), behind it.
    for bytes in [3, 150, 70_000, 1_500_000, 2_900_000, 3_300_000] {
        let cuts = proxy.cuts();
        proxy.cut_after(bytes);
        client
            .batch_execute(&format!("begin; {INSERT}; {LARGE}; {INSERT}; commit"))
            .await
            .unwrap();
        wait_for(&log, "a cut", async || {
            if bytes > 3_000_000 {
                client.batch_execute(INSERT).await.unwrap();
            }
            proxy.cuts() > cuts
        })
        .await;
        client.batch_execute(INSERT).await.unwrap();
        assert_every_row_once(&client, &log).await;
        // A new process has no pauses yet.
        assert_eq!(daemon.stop().await, Some(0));
        daemon = rowhook.spawn_ready().await;
    }
    let whole = "select count(*) from rowhook.events where length(record ->> 'v') = 3200000";
    let row = log.query_one(whole, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 6);
    assert_eq!(daemon.stop().await, Some(0));
}

/// Ticks are not events: the time itself is what is tested here.
async fn longer_than_the_limit() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn a_short_wal_sender_timeout_cuts_neither_an_idle_nor_a_busy_nor_a_waiting_stream() {
    let cluster = Arc::new(Cluster::start(&["wal_sender_timeout=4s"]).await);
    let log_cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let log = Database::create_in(&log_cluster).await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rowhook = Rowhook::new(&database)
        .set("source.silence_timeout", "4s")
        .set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client.batch_execute(INSERT).await.unwrap();
    wait_for_logged(&log.client().await, 1).await;
    let began = reconnects(&daemon).await;
    longer_than_the_limit().await;

    // Busy, while the log does not answer, with more than fits into a batch.
    let writer = "select pid from pg_stat_activity where application_name = 'rowhook writer'";
    log_cluster.signal_backends("STOP", writer).await;
    let many = "insert into t (v) select repeat('x', 500) from generate_series(1, 40000)";
    client.batch_execute(many).await.unwrap();
    longer_than_the_limit().await;
    log_cluster.signal_backends("CONT", writer).await;
    assert_every_row_once(&client, &log.client().await).await;
    assert_eq!(reconnects(&daemon).await, began);
    assert_eq!(daemon.stop().await, Some(0));
}

async fn limit(client: &Client, setting: &str) {
    let sql = format!("alter role postgres set {setting}");
    client.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn time_limits_of_the_role_do_not_hold_for_rowhook() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    limit(&client, "statement_timeout = '100ms'").await;
    limit(&client, "idle_in_transaction_session_timeout = '100ms'").await;
    if Cluster::version() >= 17 {
        limit(&client, "transaction_timeout = '100ms'").await;
    }
    let mut daemon = rowhook.spawn_ready().await;
    // Longer to decode, and to write, than any of them allow.
    let many = "insert into t (v) select repeat('x', 100) from generate_series(1, 50000)";
    client.batch_execute(many).await.unwrap();
    assert_every_row_once(&client, &client).await;
    assert_eq!(reconnects(&daemon).await, "rowhook_reconnects_total 0");
    assert_eq!(daemon.stop().await, Some(0));
    limit(&client, "statement_timeout to default").await;
}
