//! Two readers of one slot: one serves it, the other one waits and takes over.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::capture::Captured;
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{wait_for, wait_for_free_slot, wait_for_logged};

const TABLE: &str = "create table t (id int primary key)";
/// From a free slot to a stream.
const TAKEOVER: Duration = Duration::from_secs(20);

/// The server process that serves the slot.
async fn active_pid(client: &Client, database: &Database) -> Option<i32> {
    let sql = "select active_pid from pg_replication_slots where slot_name = $1";
    let row = client.query_one(sql, &[&database.slot()]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_slot_in_use_by_another_program_is_waited_for() {
    let mut captured = Captured::tables(TABLE).await;
    let (client, database) = (&captured.client, &captured.database);
    assert_eq!(captured.daemon.stop().await, Some(0));
    wait_for_free_slot(client, database).await;
    let mut reader = database
        .cluster
        .program("pg_recvlogical", &database.name)
        .args(["--start", "--no-loop", "--status-interval=0", "--file=-"])
        .args(["--dbname", &database.name, "--slot", &database.slot()])
        .args(["-o", "proto_version=1", "-o"])
        .arg(format!("publication_names={}", database.publication()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for(client, "the other reader", async || {
        active_pid(client, database).await.is_some()
    })
    .await;
    let pid = active_pid(client, database).await.unwrap();

    captured.daemon = captured.rowhook.spawn();
    let line = captured.daemon.wait_for_log("standby").await;
    assert!(line.contains(&format!("\"pid\":{pid}")), "{line}");
    wait_for(client, "a standby that says so", async || {
        let (status, why) = captured.daemon.get("/readyz").await;
        status == 503 && why.contains("standby") && why.contains(&pid.to_string())
    })
    .await;
    assert_eq!(captured.daemon.get("/healthz").await.0, 200);

    reader.kill().await.unwrap();
    wait_for(client, "a free slot", async || {
        active_pid(client, database).await != Some(pid)
    })
    .await;
    let free = Instant::now();
    captured.daemon.wait_ready().await;
    assert!(free.elapsed() < TAKEOVER, "took {:?}", free.elapsed());
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
}

#[tokio::test]
async fn a_second_daemon_takes_over_when_the_first_is_killed() {
    let mut captured = Captured::tables(TABLE).await;
    let standby = Rowhook::new(&captured.database);
    let mut second = standby.spawn();
    second.wait_for_log("standby").await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured.daemon.kill9().await;
    let killed = Instant::now();
    captured.execute("insert into t values (2)").await;
    second.wait_ready().await;
    assert!(killed.elapsed() < TAKEOVER, "took {:?}", killed.elapsed());
    let events = captured.logged(2).await;
    assert_eq!(events[1].record["id"], 2);

    // A standby leaves as readily as it came.
    captured.daemon = captured.rowhook.spawn();
    captured.daemon.wait_for_log("standby").await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    assert_eq!(second.stop().await, Some(0));
}

#[tokio::test]
async fn a_daemon_that_wakes_up_after_another_took_over_writes_nothing() {
    let mut captured = Captured::tables(TABLE).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured.daemon.signal("STOP").await;
    captured.execute("insert into t values (2)").await;
    let end = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
                where slot_name = $1";
    let slot = captured.database.slot();
    captured.client.execute(end, &[&slot]).await.unwrap();
    let standby = Rowhook::new(&captured.database);
    let mut second = standby.spawn_ready().await;
    let logged = captured.logged(2).await;
    captured.daemon.signal("CONT").await;

    assert_eq!(captured.daemon.wait_exit().await, Some(75));
    let said = captured.daemon.wait_for_log("exit_code").await;
    assert!(said.contains("has taken over this log"), "{said}");
    captured.execute("insert into t values (3)").await;
    let events = wait_for_logged(&captured.client, 3).await;
    assert_eq!(events[..2], logged);
    assert_eq!(second.stop().await, Some(0));
}
