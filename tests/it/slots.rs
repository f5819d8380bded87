//! The slot's bad days: each one stops the daemon with one clear error, and an accepted gap goes on.

use std::process::Stdio;
use std::sync::Arc;

use tokio_postgres::Client;

use crate::capture::{Captured, types};
use crate::cluster::{Cluster, Database, Stop};
use crate::daemon::Rowhook;
use crate::logged::{events, wait_for, wait_for_free_slot, wait_for_logged};

const TABLE: &str = "create table t (id int primary key)";

/// A server that gives a slot up as soon as it holds back a segment or two.
async fn strict(settings: &[&str]) -> Database {
    let cluster = Arc::new(Cluster::start(settings).await);
    let database = Database::create_in(&cluster).await;
    database.client().await.batch_execute(TABLE).await.unwrap();
    database
}

async fn is_lost(client: &Client, database: &Database) -> bool {
    let sql = "select wal_status = 'lost' from pg_replication_slots where slot_name = $1";
    let row = client.query_one(sql, &[&database.slot()]).await.unwrap();
    row.get(0)
}

/// Writes WAL that nobody reads until the server has given the slot up.
async fn lose(database: &Database) {
    let client = database.client().await;
    for _ in 0..20 {
        client
            .batch_execute("create table w (); drop table w; select pg_switch_wal()")
            .await
            .unwrap();
        client.batch_execute("checkpoint").await.unwrap();
        if is_lost(&client, database).await {
            return;
        }
    }
    panic!("the server keeps the slot");
}

/// `run`, `check` and `status` say it, and an accepted gap goes on behind it.
async fn is_told_and_accepted(rowhook: &Rowhook, database: &Database, log: &Database, cause: &str) {
    let said = rowhook.fail(&["run"], 70).await;
    for part in [
        &database.slot(),
        "is lost",
        cause,
        "rowhook setup --accept-gap",
    ] {
        assert!(said.contains(part), "not said: {part}\n{said}");
    }
    let said = rowhook.fail(&["check"], 1).await;
    assert!(
        said.contains("it is lost") && said.contains(cause),
        "{said}"
    );
    let said = rowhook.succeed(&["status"]).await;
    assert!(said.contains("lost") && said.contains(cause), "{said}");
    rowhook.succeed(&["setup", "--accept-gap"]).await;
    let mut daemon = rowhook.spawn_ready().await;
    let client = database.client().await;
    client
        .batch_execute("insert into t values (9)")
        .await
        .unwrap();
    let log = log.client().await;
    wait_for_logged(&log, 3).await;
    let events = events(&log).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
    let recorded = events[1].record["cause"].as_str().unwrap();
    assert!(recorded.contains(cause), "{recorded}");
    assert_eq!(daemon.stop().await, Some(0));
}

#[tokio::test]
async fn a_slot_that_is_lost_while_the_daemon_is_stopped() {
    let database = strict(&["max_slot_wal_keep_size=1MB"]).await;
    let client = database.client().await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    wait_for_logged(&client, 1).await;
    assert_eq!(daemon.stop().await, Some(0));
    lose(&database).await;
    is_told_and_accepted(&rowhook, &database, &database, "max_slot_wal_keep_size").await;
}

#[tokio::test]
async fn a_slot_that_is_lost_while_the_daemon_cannot_log() {
    let database = strict(&["max_slot_wal_keep_size=1MB"]).await;
    let client = database.client().await;
    let log_cluster = Arc::new(Cluster::start(&[]).await);
    let log = Database::create_in(&log_cluster).await;
    let rowhook = Rowhook::new(&database).set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    wait_for_logged(&log.client().await, 1).await;
    log_cluster.stop(Stop::Fast).await;
    client
        .batch_execute("insert into t values (2)")
        .await
        .unwrap();
    lose(&database).await;
    assert!(daemon.ended().is_none());
    log_cluster.launch().await;
    assert_eq!(daemon.wait_exit().await, Some(70));
    let line = daemon.wait_for_log("exit_code").await;
    assert!(line.contains("is lost"), "{line}");
    is_told_and_accepted(&rowhook, &database, &log, "max_slot_wal_keep_size").await;
}

#[tokio::test]
async fn a_slot_that_nobody_read_from_for_too_long() {
    if Cluster::version() < 18 {
        println!("skipped: servers before 18 have no idle_replication_slot_timeout");
        return;
    }
    let database = strict(&["idle_replication_slot_timeout=1s"]).await;
    let client = database.client().await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    wait_for_logged(&client, 1).await;
    assert_eq!(daemon.stop().await, Some(0));
    wait_for(&client, "a slot that is given up", async || {
        client.batch_execute("checkpoint").await.unwrap();
        is_lost(&client, &database).await
    })
    .await;
    is_told_and_accepted(
        &rowhook,
        &database,
        &database,
        "idle_replication_slot_timeout",
    )
    .await;
}

/// Ends the stream, and does this to the slot before the daemon is back.
async fn meddle(captured: &Captured, sql: &str) {
    let slot = captured.database.slot();
    let end = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = $1";
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured.daemon.signal("STOP").await;
    captured.client.execute(end, &[&slot]).await.unwrap();
    wait_for_free_slot(&captured.client, &captured.database).await;
    let sql = sql.replace("$slot", &format!("'{slot}'"));
    captured
        .execute(&format!("insert into t values (2); {sql}"))
        .await;
    captured.daemon.signal("CONT").await;
}

#[tokio::test]
async fn a_slot_that_somebody_drops_or_advances_under_a_running_daemon() {
    for (sql, cause) in [
        ("select pg_drop_replication_slot($slot)", "is gone"),
        (
            "select pg_replication_slot_advance($slot, pg_current_wal_insert_lsn())",
            "something else has advanced it",
        ),
    ] {
        let mut captured = Captured::tables(TABLE).await;
        meddle(&captured, sql).await;
        assert_eq!(captured.daemon.wait_exit().await, Some(70), "{sql}");
        let line = captured.daemon.wait_for_log("exit_code").await;
        assert!(line.contains(cause), "{line}");
        captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
        captured.daemon = captured.rowhook.spawn_ready().await;
        captured.execute("insert into t values (3)").await;
        let events = captured.logged(3).await;
        assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
        assert!(events[1].record["cause"].as_str().unwrap().contains(cause));
    }
}

#[tokio::test]
async fn a_first_setup_that_is_cut_off_leaves_a_slot_that_the_next_one_names() {
    let mut captured = Captured::tables(TABLE).await;
    captured.stop().await;
    let slot = captured.database.slot();
    captured
        .execute(&format!(
            "select pg_drop_replication_slot('{slot}'); delete from rowhook.checkpoint"
        ))
        .await;
    let other = captured.database.client().await;
    // The slot gets made, and its checkpoint does not.
    let lock = "begin; lock table rowhook.checkpoint in share mode";
    other.batch_execute(lock).await.unwrap();
    let mut setup = captured.rowhook.command(&["setup"]);
    let mut setup = setup.stdout(Stdio::null()).spawn().unwrap();
    let made = "select 1 from pg_replication_slots
                 where slot_name = $1 and confirmed_flush_lsn is not null and not active";
    wait_for(&captured.client, "a slot", async || {
        captured.client.query(made, &[&slot]).await.unwrap().len() == 1
    })
    .await;
    setup.kill().await.unwrap();
    // The server still waits for the lock, on behalf of nobody.
    let waiting = "select pg_terminate_backend(pid, 5000) from pg_stat_activity
                    where datname = current_database() and application_name = 'rowhook setup'";
    captured.client.query(waiting, &[]).await.unwrap();
    other.batch_execute("rollback").await.unwrap();

    let said = captured.rowhook.fail(&["setup"], 70).await;
    let drop = format!("select pg_drop_replication_slot('{slot}')");
    assert!(said.contains(&drop), "{said}");
    let said = captured.rowhook.fail(&["teardown", "--yes"], 70).await;
    assert!(said.contains(&drop), "{said}");
    captured.execute(&drop).await;
    captured.rowhook.setup().await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
}

#[tokio::test]
async fn teardown_leaves_the_slots_of_others_alone() {
    let mut captured = Captured::tables(TABLE).await;
    captured.stop().await;
    let (ours, other) = (
        captured.database.slot(),
        captured.database.slot() + "_other",
    );
    captured
        .execute(&format!(
            "select pg_create_logical_replication_slot('{other}', 'pgoutput')"
        ))
        .await;
    captured.rowhook = captured.rowhook.set("source.slot", other.as_str());
    let said = captured.rowhook.fail(&["teardown", "--yes"], 70).await;
    assert!(said.contains(&other) && said.contains(&ours), "{said}");
    captured.rowhook = captured.rowhook.set("source.slot", ours.as_str());
    captured
        .execute(&format!(
            "select pg_drop_replication_slot('{ours}'); \
             select pg_create_logical_replication_slot('{ours}', 'test_decoding')"
        ))
        .await;
    let said = captured.rowhook.fail(&["teardown", "--yes"], 70).await;
    assert!(said.contains("plugin test_decoding"), "{said}");
    let left = "select 1 from pg_replication_slots where slot_name in ($1, $2)";
    let left = captured.client.query(left, &[&ours, &other]).await.unwrap();
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn a_slot_becomes_a_failover_slot_where_the_server_has_them() {
    let mut captured = Captured::with(TABLE, |rowhook| rowhook.set("source.failover", "off")).await;
    let slot = captured.database.slot();
    let state =
        "select to_jsonb(s) ->> 'failover' from pg_replication_slots s where slot_name = $1";
    let failover = async |captured: &Captured| -> Option<String> {
        let row = captured.client.query_one(state, &[&slot]).await.unwrap();
        row.get(0)
    };
    if Cluster::version() < 17 {
        assert_eq!(failover(&captured).await, None);
        assert_eq!(captured.daemon.stop().await, Some(0));
        captured.rowhook = captured.rowhook.set("source.failover", "on");
        let said = captured.rowhook.fail(&["setup"], 78).await;
        assert!(said.contains("needs PostgreSQL 17"), "{said}");
        let said = captured.rowhook.fail(&["check"], 1).await;
        assert!(said.contains("needs PostgreSQL 17"), "{said}");
        captured.rowhook = captured.rowhook.set("source.failover", "auto");
        captured.rowhook.setup().await;
        captured.rowhook.succeed(&["check"]).await;
        return;
    }
    assert_eq!(failover(&captured).await.as_deref(), Some("false"));
    captured.rowhook = captured.rowhook.unset("source.failover");
    let said = captured.rowhook.succeed(&["check"]).await;
    assert!(said.contains("it is not a failover slot"), "{said}");
    assert!(said.contains("ALTER_REPLICATION_SLOT"), "{said}");
    let said = captured.rowhook.succeed(&["setup"]).await;
    assert!(said.contains("stop the daemon"), "{said}");
    captured.stop().await;
    let said = captured.rowhook.succeed(&["setup"]).await;
    assert!(said.contains("now a failover slot"), "{said}");
    assert_eq!(failover(&captured).await.as_deref(), Some("true"));
    let said = captured.rowhook.succeed(&["setup", "--print-sql"]).await;
    assert!(said.contains("failover => true"), "{said}");
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
}
