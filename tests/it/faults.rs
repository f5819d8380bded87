//! What cannot work is refused: with the right exit code, and with the object, the cause and the
//! next step.

use std::sync::Arc;

use tokio_postgres::Client;

use crate::capture::{Captured, types};
use crate::cluster::{Cluster, Database};
use crate::daemon::Rowhook;
use crate::logged::{assert_dense, count, events, wait_for_logged};

const TABLE: &str = "create table t (id int primary key)";

/// Panics unless everything was said.
#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "not said: {part}\n{text}");
    }
}

async fn database_with(sql: &str) -> (Database, Client) {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

#[tokio::test]
async fn a_wrong_password_is_refused_by_every_command_and_not_shown() {
    let (database, _client) = database_with(TABLE).await;
    let url = database.cluster.url_without_password(&database.name);
    let url = url.replace("postgres@", "postgres:not-the-password@");
    let rowhook = Rowhook::new(&database).set("source.url", url);
    for (command, code) in [("check", 1), ("setup", 70), ("run", 70), ("status", 70)] {
        let said = rowhook.fail(&[command], code).await;
        says(
            &said,
            &[
                "postgres@127.0.0.1",
                "password authentication failed",
                "pg_hba.conf",
            ],
        );
        assert!(!said.contains("not-the-password"), "{said}");
    }
}

#[tokio::test]
async fn a_role_needs_no_more_than_replication_and_its_own_tables() {
    let (database, client) = database_with(TABLE).await;
    let role = format!("role_{}", database.name);
    client
        .batch_execute(&format!(
            "create role {role} login replication password 'secret';
             grant create on database {} to {role};
             alter table t owner to {role}",
            database.name
        ))
        .await
        .unwrap();
    let url = database.cluster.url_without_password(&database.name);
    let url = url.replace("postgres@", &format!("{role}:secret@"));
    let rowhook = Rowhook::new(&database).set("source.url", url);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    wait_for_logged(&client, 1).await;

    client
        .batch_execute(&format!("alter role {role} noreplication"))
        .await
        .unwrap();
    end_stream(&client, &database).await;
    assert_eq!(daemon.wait_exit().await, Some(70));
    let line = daemon.wait_for_log("exit_code").await;
    says(&line, &[&role, "replication", "next_step"]);
    let said = rowhook.fail(&["check"], 1).await;
    says(&said, &[&format!("alter role \"{role}\" with replication")]);
    let said = rowhook.fail(&["setup"], 70).await;
    says(&said, &[&role, "next step"]);

    client
        .batch_execute(&format!(
            "alter role {role} replication; insert into t values (2)"
        ))
        .await
        .unwrap();
    daemon = rowhook.spawn_ready().await;
    wait_for_logged(&client, 2).await;
    assert_eq!(daemon.stop().await, Some(0));
    drop(daemon);
    client
        .batch_execute(&format!("drop owned by {role} cascade; drop role {role}"))
        .await
        .unwrap();
}

/// Ends the server process that serves the slot.
async fn end_stream(client: &Client, database: &Database) {
    let sql = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
                where slot_name = $1 and active_pid is not null";
    client.execute(sql, &[&database.slot()]).await.unwrap();
}

#[tokio::test]
async fn a_server_without_logical_decoding_is_refused() {
    let cluster = Arc::new(Cluster::start(&["wal_level=replica"]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    let rowhook = Rowhook::new(&database);
    let said = rowhook.fail(&["setup"], 70).await;
    says(
        &said,
        &[
            "wal_level = replica",
            "alter system set wal_level = logical",
        ],
    );
    let said = rowhook.fail(&["check"], 1).await;
    says(&said, &["WRONG  wal_level: replica", "restart"]);
    let left = "select 1 from pg_publication union all select 1 from pg_namespace
                 where nspname = 'rowhook'";
    assert!(client.query(left, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_table_without_a_key_is_an_error_if_it_is_named_and_a_remark_if_not() {
    let sql = format!("{TABLE}; create table heap (v int)");
    let (database, _client) = database_with(&sql).await;
    let rowhook = Rowhook::new(&database).set("capture.tables", vec!["t", "heap"]);
    let said = rowhook.fail(&["setup"], 78).await;
    says(&said, &["public.heap", "no primary key", "add primary key"]);
    let rowhook = rowhook.set("capture.tables", vec!["public.*"]);
    let said = rowhook.succeed(&["setup"]).await;
    says(&said, &["public.heap: not captured", "no primary key"]);
}

#[tokio::test]
async fn a_log_of_a_newer_version_is_left_alone() {
    let mut captured = Captured::tables(TABLE).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured
        .execute("insert into rowhook.schema_version (version) values (99)")
        .await;
    for (command, code) in [("run", 70), ("setup", 70), ("check", 1)] {
        let said = captured.rowhook.fail(&[command], code).await;
        says(&said, &["version 99", "newer rowhook"]);
    }
}

#[tokio::test]
async fn settings_are_refused_with_their_line_and_what_was_meant() {
    let (database, _client) = database_with(TABLE).await;
    let rowhook = Rowhook::new(&database).set("source.silence_timeot", "2s");
    let text = std::fs::read_to_string(rowhook.config()).unwrap();
    let line = 1 + text
        .lines()
        .position(|line| line.contains("timeot"))
        .unwrap();
    for command in ["run", "check", "setup", "status"] {
        let said = rowhook.fail(&[command], 78).await;
        says(
            &said,
            &[&format!("rowhook.toml:{line}:"), "silence_timeout"],
        );
    }
    let rowhook = rowhook
        .unset("source.silence_timeot")
        .set("source.silence_timeout", "soon");
    let said = rowhook.fail(&["run"], 78).await;
    says(&said, &["source.silence_timeout", "soon"]);
    std::fs::remove_file(rowhook.config()).unwrap();
    says(&rowhook.fail(&["run"], 78).await, &["rowhook.toml"]);
}

#[tokio::test]
async fn a_database_that_was_never_set_up_says_so() {
    let (database, _client) = database_with(TABLE).await;
    let rowhook = Rowhook::new(&database);
    for command in ["run", "status"] {
        let said = rowhook.fail(&[command], 70).await;
        says(&said, &["never set up", "rowhook setup"]);
    }
}

#[tokio::test]
async fn a_slot_of_someone_else_is_not_touched() {
    let (database, client) = database_with(TABLE).await;
    let sql = "select pg_create_logical_replication_slot($1, 'test_decoding')";
    client.execute(sql, &[&database.slot()]).await.unwrap();
    let rowhook = Rowhook::new(&database);
    let said = rowhook.fail(&["setup"], 70).await;
    says(&said, &[&database.slot(), "exists", "another source.slot"]);
    let sql = "select 1 from pg_replication_slots where slot_name = $1";
    assert_eq!(
        client.query(sql, &[&database.slot()]).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn a_slot_that_is_gone_stops_the_daemon_until_the_gap_is_accepted() {
    let mut captured = Captured::tables(TABLE).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured.stop().await;
    let slot = captured.database.slot();
    captured
        .execute(&format!("select pg_drop_replication_slot('{slot}')"))
        .await;
    captured.execute("insert into t values (2)").await;
    for command in ["run", "setup"] {
        let said = captured.rowhook.fail(&[command], 70).await;
        says(&said, &[&slot, "gone", "rowhook setup --accept-gap"]);
    }
    says(
        &captured.rowhook.fail(&["check"], 1).await,
        &[&slot, "gone"],
    );
    accept_gap(&mut captured, &slot).await;
}

#[tokio::test]
async fn a_slot_that_someone_else_advanced_stops_the_daemon_until_the_gap_is_accepted() {
    let mut captured = Captured::tables(TABLE).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured.stop().await;
    captured.execute("insert into t values (2)").await;
    let slot = captured.database.slot();
    captured
        .execute(&format!(
            "select pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"
        ))
        .await;
    let said = captured.rowhook.fail(&["run"], 70).await;
    says(&said, &[&slot, "advanced", "rowhook setup --accept-gap"]);
    assert_eq!(count(&captured.client).await, 1);
    accept_gap(&mut captured, &slot).await;
}

/// The gap becomes the second event, and the daemon goes on behind it.
async fn accept_gap(captured: &mut Captured, slot: &str) {
    let rowhook = &captured.rowhook;
    rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured.daemon = rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    let events = captured.logged(3).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
    assert_eq!(events[1].action, "noted");
    assert_eq!(events[1].record["slot"], slot);
    assert_eq!(events[2].record["id"], 3);
}

#[tokio::test]
async fn a_publication_that_is_dropped_stops_the_daemon_and_a_gap_brings_it_back() {
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook.set("source.table_refresh", "200ms")
    })
    .await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    let publication = captured.database.publication();
    captured
        .execute(&format!("drop publication {publication}"))
        .await;
    assert_eq!(captured.daemon.wait_exit().await, Some(70));
    let line = captured.daemon.wait_for_log("exit_code").await;
    says(&line, &[&publication, "next_step"]);
    says(
        &captured.rowhook.fail(&["check"], 1).await,
        &[&publication, "does not exist"],
    );
    // The server cannot decode what was written while there was no publication.
    captured.execute("insert into t values (2)").await;
    let said = captured.rowhook.fail(&["setup"], 70).await;
    says(&said, &[&publication, "rowhook setup --accept-gap"]);
    let slot = captured.database.slot();
    accept_gap(&mut captured, &slot).await;
    assert_dense(&events(&captured.client).await);
}

#[tokio::test]
async fn another_server_behind_the_address_stops_the_daemon_until_the_gap_is_accepted() {
    let (database, client) = database_with(TABLE).await;
    let log = Database::create().await;
    let rowhook = Rowhook::new(&database).set("log.url", log.url());
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into t values (1)")
        .await
        .unwrap();
    let log_client = log.client().await;
    wait_for_logged(&log_client, 1).await;
    assert_eq!(daemon.stop().await, Some(0));

    let cluster = Arc::new(Cluster::start(&[]).await);
    let other = cluster.client("postgres").await;
    let create = format!("create database {}", database.name);
    other.batch_execute(&create).await.unwrap();
    let other = cluster.client(&database.name).await;
    other.batch_execute(TABLE).await.unwrap();
    let rowhook = rowhook.set("source.url", cluster.url(&database.name));
    let said = rowhook.fail(&["run"], 70).await;
    says(
        &said,
        &[
            "not the one",
            "system identifier",
            "rowhook setup --accept-gap",
        ],
    );
    rowhook.fail(&["setup"], 70).await;
    rowhook.succeed(&["setup", "--accept-gap"]).await;
    let _daemon = rowhook.spawn_ready().await;
    other
        .batch_execute("insert into t values (3)")
        .await
        .unwrap();
    let events = wait_for_logged(&log_client, 3).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
    let system = &events[1].record["system_identifier"];
    assert_ne!(system["before"], system["after"]);
}
