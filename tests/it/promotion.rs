//! The source fails over to a standby.

use std::sync::Arc;

use tokio_postgres::Client;

use crate::capture::types;
use crate::cluster::{Cluster, Database, Stop};
use crate::daemon::Rowhook;
use crate::logged::{count, events, wait_for, wait_for_logged};
use crate::outages::{assert_every_row_once, through};
use crate::proxy::Proxy;

const TABLE: &str = "create table t (id bigint generated always as identity primary key, v text)";
const INSERT: &str = "insert into t (v) values ('x')";
/// The standby's physical slot.
const STANDBY: &str = "standby";

/// A primary with a standby that follows it, and a database.
async fn pair(primary: &[&str], standby: &[&str]) -> (Cluster, Database) {
    let primary = Arc::new(Cluster::start(primary).await);
    let client = primary.client("postgres").await;
    client
        .execute(
            "select pg_create_physical_replication_slot($1)",
            &[&STANDBY],
        )
        .await
        .unwrap();
    drop(client);
    primary.stop(Stop::Fast).await;
    let standby = primary.standby(STANDBY, standby).await;
    primary.launch().await;
    standby.launch().await;
    let database = Database::create_in(&primary).await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    (standby, database)
}

/// Waits until the standby has replayed all that the primary has written.
async fn caught_up(primary: &Client, standby: &Cluster) {
    let row = primary.query_one("select pg_current_wal_lsn()::text", &[]);
    let written: String = row.await.unwrap().get(0);
    let standby = standby.client("postgres").await;
    let sql = "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
    wait_for(primary, "the standby", async || {
        standby.query_one(sql, &[&written]).await.unwrap().get(0)
    })
    .await;
}

async fn promote(standby: &Cluster) {
    let client = standby.client("postgres").await;
    let row = client.query_one("select pg_promote(true, 240)", &[]);
    assert!(row.await.unwrap().get::<_, bool>(0));
}

/// The slot is on the standby, ready to be used after a promotion.
async fn slot_is_synced(primary: &Client, standby: &Cluster, slot: &str) {
    let standby = standby.client("postgres").await;
    let sql =
        "select 1 from pg_replication_slots where slot_name = $1 and synced and not temporary";
    wait_for(primary, "a synced slot", async || {
        standby.query(sql, &[&slot]).await.unwrap().len() == 1
    })
    .await;
}

#[tokio::test]
async fn a_running_daemon_follows_a_failover_with_the_log_in_the_source() {
    if let Some((standby, database)) = pair_with_failover_slots().await {
        fail_over(&standby, &database, None).await;
    }
}

#[tokio::test]
async fn a_running_daemon_follows_a_failover_with_the_log_elsewhere() {
    if let Some((standby, database)) = pair_with_failover_slots().await {
        let log = Database::create().await;
        fail_over(&standby, &database, Some(&log)).await;
    }
}

async fn pair_with_failover_slots() -> Option<(Cluster, Database)> {
    if Cluster::version() < 17 {
        println!("skipped: servers before 17 have no failover slots");
        return None;
    }
    // A change is sent when the standby has it: the log never runs ahead of it.
    let primary = ["synchronized_standby_slots='standby'"];
    let standby = ["sync_replication_slots=on", "synchronized_standby_slots=''"];
    Some(pair(&primary, &standby).await)
}

async fn fail_over(standby: &Cluster, database: &Database, log: Option<&Database>) {
    let primary = database.client().await;
    let proxy = Proxy::start(database.cluster.port()).await;
    let mut rowhook = Rowhook::new(database).set("source.url", through(&proxy, database));
    if let Some(log) = log {
        rowhook = rowhook.set("log.url", log.url());
    }
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    // Only a slot that moves gets in step: where nothing happens, the standby waits.
    let writer = database.client().await;
    let writer = tokio::spawn(async move {
        let mut written = 0;
        while writer.batch_execute(INSERT).await.is_ok() {
            written += 1;
        }
        written
    });
    let logged = match log {
        Some(log) => log.client().await,
        None => database.client().await,
    };
    wait_for(&logged, "events under load", async || {
        count(&logged).await > 100
    })
    .await;
    slot_is_synced(&primary, standby, &database.slot()).await;
    // With the log in the source, its last commits have to be on the standby, too.
    caught_up(&primary, standby).await;
    database.cluster.stop(Stop::Immediate).await;
    assert!(writer.await.unwrap() > 100);

    proxy.redirect(standby.port());
    daemon.wait_for_log("waits for its promotion").await;
    promote(standby).await;
    let source = standby.client(&database.name).await;
    source.batch_execute(INSERT).await.unwrap();
    let logged = match log {
        Some(log) => log.client().await,
        None => standby.client(&database.name).await,
    };
    assert_every_row_once(&source, &logged).await;
    daemon.wait_ready().await;
    let noted = logged.query_one("select timeline from rowhook.checkpoint", &[]);
    assert_eq!(noted.await.unwrap().get::<_, i64>(0), 2);
    assert_eq!(daemon.stop().await, Some(0));
    let said = rowhook.succeed(&["check"]).await;
    assert!(
        said.contains("failover: standbys may keep it in step"),
        "{said}"
    );
}

#[tokio::test]
async fn a_promoted_standby_without_the_slot_stops_the_daemon_until_the_gap_is_accepted() {
    let (standby, database) = pair(&[], &[]).await;
    let primary = database.client().await;
    let proxy = Proxy::start(database.cluster.port()).await;
    let rowhook = Rowhook::new(&database).set("source.url", through(&proxy, &database));
    let rowhook = match Cluster::version() {
        ..17 => rowhook,
        _ => rowhook.set("source.failover", "off"),
    };
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    primary.batch_execute(INSERT).await.unwrap();
    assert_every_row_once(&primary, &primary).await;
    caught_up(&primary, &standby).await;
    database.cluster.stop(Stop::Immediate).await;
    promote(&standby).await;
    proxy.redirect(standby.port());

    assert_eq!(daemon.wait_exit().await, Some(70));
    let line = daemon.wait_for_log("exit_code").await;
    for part in [&database.slot(), "is gone", "rowhook setup --accept-gap"] {
        assert!(line.contains(part), "not said: {part}\n{line}");
    }
    let client = standby.client(&database.name).await;
    client.batch_execute(INSERT).await.unwrap();
    accept_gap(&rowhook, &client, &client, (1, 2), "is gone").await;
}

#[tokio::test]
async fn a_standby_that_was_promoted_without_the_end_of_our_log_is_refused() {
    let (standby, database) = pair(&[], &[]).await;
    let primary = database.client().await;
    let log = Database::create().await;
    let proxy = Proxy::start(database.cluster.port()).await;
    let mut rowhook = Rowhook::new(&database)
        .set("source.url", through(&proxy, &database))
        .set("log.url", log.url());
    if Cluster::version() >= 17 {
        rowhook = rowhook.set("source.failover", "off");
    }
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    caught_up(&primary, &standby).await;
    // What comes now is in the log and never on the standby.
    standby.stop(Stop::Fast).await;
    primary.batch_execute(INSERT).await.unwrap();
    let log_client = log.client().await;
    wait_for_logged(&log_client, 1).await;
    database.cluster.stop(Stop::Immediate).await;
    standby.launch().await;
    promote(&standby).await;
    let client = standby.client(&database.name).await;
    let same_name = "select pg_create_logical_replication_slot($1, 'pgoutput')";
    client
        .execute(same_name, &[&database.slot()])
        .await
        .unwrap();
    proxy.redirect(standby.port());

    assert_eq!(daemon.wait_exit().await, Some(70));
    let line = daemon.wait_for_log("exit_code").await;
    for part in [
        "timeline 2",
        "left timeline 1",
        "rowhook setup --accept-gap",
    ] {
        assert!(line.contains(part), "not said: {part}\n{line}");
    }
    client.batch_execute(INSERT).await.unwrap();
    assert_eq!(count(&log_client).await, 1);
    accept_gap(&rowhook, &client, &log_client, (1, 2), "left timeline 1").await;
}

/// The gap is the second event, with both timelines and positions; the daemon goes on behind it.
async fn accept_gap(
    rowhook: &Rowhook,
    source: &Client,
    log: &Client,
    (before, after): (u32, u32),
    cause: &str,
) {
    rowhook.succeed(&["setup", "--accept-gap"]).await;
    let mut daemon = rowhook.spawn_ready().await;
    source.batch_execute(INSERT).await.unwrap();
    wait_for_logged(log, 3).await;
    let events = events(log).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
    let gap = &events[1].record;
    assert_eq!(gap["timeline"]["before"], before);
    assert_eq!(gap["timeline"]["after"], after);
    assert!(gap["logged_up_to"].is_string() && gap["goes_on_from"].is_string());
    assert!(gap["cause"].as_str().unwrap().contains(cause), "{gap}");
    assert_eq!(daemon.stop().await, Some(0));
}
