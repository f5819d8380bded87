//! What is committed is logged, whole and once; what is not, is not: savepoints, prepared
//! transactions, TRUNCATE, transactions of any size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio_postgres::Client;

use crate::capture::{Captured, types};
use crate::cluster::{Cluster, Database};
use crate::daemon::Rowhook;
use crate::logged::{count, events, wait_for, wait_for_logged};

/// Memory that a daemon may take, whatever the size of a transaction.
const FLAT: u64 = 200 << 20;

#[tokio::test]
async fn of_nested_savepoints_only_what_was_kept_is_logged() {
    let captured = Captured::tables("create table t (id int primary key, v text)").await;
    captured
        .execute(
            "begin;
             insert into t values (1);
             savepoint a;
                 insert into t values (2);
                 savepoint b; insert into t values (3); update t set v = 'no' where id = 1; rollback to b;
                 insert into t values (4);
                 savepoint c; savepoint d; insert into t values (5); release d; rollback to c;
                 savepoint e; insert into t values (6); release e;
             release a;
             savepoint f; truncate t; rollback to f;
             update t set v = 'yes' where id = 4;
             commit;
             begin; insert into t values (7); savepoint g; insert into t values (8); release g; rollback;
             do $$ begin
                 begin insert into t values (9); raise 'no'; exception when others then null; end;
                 insert into t values (10);
             end $$",
        )
        .await;
    let events = captured.logged(6).await;
    let ids: Vec<_> = events
        .iter()
        .map(|e| (e.event_type.as_str(), e.record["id"].as_i64().unwrap()))
        .collect();
    let created = |id| ("t.created", id);
    assert_eq!(
        ids,
        [
            created(1),
            created(2),
            created(4),
            created(6),
            ("t.updated", 4),
            created(10)
        ]
    );
    assert_eq!(events[4].previous, json!({"v": null}));
    assert!(
        events[..5]
            .iter()
            .all(|event| event.commit_lsn == events[0].commit_lsn)
    );
}

#[tokio::test]
async fn a_prepared_transaction_is_logged_when_it_is_committed() {
    let cluster = Arc::new(Cluster::start(&["max_prepared_transactions=5"]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key)")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    for (id, name) in [(1, "elsewhere"), (2, "undone"), (3, "long")] {
        let sql = format!("begin; insert into t values ({id}); prepare transaction '{name}'");
        client.batch_execute(&sql).await.unwrap();
    }
    client
        .batch_execute("insert into t values (4)")
        .await
        .unwrap();
    wait_for_logged(&client, 1).await;
    // It lives over a crash of the daemon, and of the server.
    daemon.kill9().await;
    cluster.restart(crate::cluster::Stop::Immediate).await;
    daemon = rowhook.spawn_ready().await;
    let other = database.client().await;
    for statement in [
        "commit prepared 'elsewhere'",
        "rollback prepared 'undone'",
        "insert into t values (5)",
    ] {
        other.batch_execute(statement).await.unwrap();
    }
    wait_for_logged(&other, 3).await;
    assert_eq!(daemon.stop().await, Some(0));
    other.batch_execute("commit prepared 'long'").await.unwrap();
    let _daemon = rowhook.spawn_ready().await;
    let events = wait_for_logged(&other, 4).await;
    let ids: Vec<_> = events
        .iter()
        .map(|e| e.record["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [4, 1, 5, 3]);
}

#[tokio::test]
async fn a_truncate_of_several_tables_is_one_event_of_each() {
    let captured = Captured::with(
        "create table a (id int generated always as identity primary key);
         create table b (id int primary key, a int references a);
         create table c (id int primary key);
         create table silent (id int primary key, a int references a);
         create table p (id int primary key) partition by range (id);
         create table p1 partition of p for values from (0) to (10);
         create table p2 partition of p for values from (10) to (20)",
        |rowhook| rowhook.set("capture.tables", vec!["public.*", "!public.silent"]),
    )
    .await;
    captured
        .execute("insert into a default values; insert into b values (1, 1)")
        .await;
    captured
        .execute(
            "begin; truncate a, c restart identity cascade; insert into a default values; commit",
        )
        .await;
    captured
        .execute("insert into p values (1), (11); truncate p1")
        .await;
    captured.execute("truncate p").await;
    let events = captured.logged(9).await;
    let mut types = types(&events);
    types[2..5].sort_unstable();
    assert_eq!(
        types,
        [
            "a.created",
            "b.created",
            "a.truncated",
            "b.truncated",
            "c.truncated",
            "a.created",
            "p.created",
            "p.created",
            "p.truncated",
        ]
    );
    assert_eq!(events[5].record, json!({"id": 1}));
    for event in events.iter().filter(|event| event.action == "truncated") {
        assert_eq!(
            (event.resource_id.as_deref(), event.record.is_null()),
            (None, true)
        );
    }
    let indexes: Vec<_> = events[2..6]
        .iter()
        .map(|event| event.commit_index)
        .collect();
    assert!(
        indexes.is_sorted() && indexes[0] < indexes[3],
        "{indexes:?}"
    );
}

/// What a reader that polls has seen of a transaction: nothing, or all.
async fn seen_until(reader: Client, wanted: i64) -> Vec<i64> {
    let mut seen = vec![0];
    while *seen.last().unwrap() < wanted {
        let row = reader
            .query_one(
                "select coalesce(max(sequence_id), 0) from rowhook.events",
                &[],
            )
            .await
            .unwrap();
        let newest = row.get(0);
        if seen.last() != Some(&newest) {
            seen.push(newest);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// COPY of so many rows in one transaction, while others write: peak memory, and how long it took
/// from the commit to the log's.
async fn one_transaction(rows: i64) -> (u64, Duration) {
    let captured = Captured::tables("create table t (id bigint primary key)").await;
    let reader = captured.database.client().await;
    let reading = tokio::spawn(async move { seen_until(reader, rows).await });
    let copy = format!("copy t from program 'seq 1 {rows}'");
    let client = &captured.client;
    client.batch_execute(&copy).await.unwrap();
    let began = Instant::now();
    let seen = tokio::time::timeout(Duration::from_secs(1800), reading).await;
    let took = began.elapsed();
    assert_eq!(seen.unwrap().unwrap(), [0, rows]);
    assert_eq!(count(client).await, rows);
    // Row n is event n: so none is missing and none is there twice.
    let sql =
        "select bool_and((record->>'id')::bigint = sequence_id), min(commit_lsn) = max(commit_lsn)
                 from rowhook.events";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert!(row.get::<_, bool>(0) && row.get::<_, bool>(1));
    (captured.daemon.peak_memory(), took)
}

#[tokio::test]
async fn a_copy_of_a_million_rows_is_seen_whole_or_not_at_all() {
    let (memory, took) = one_transaction(1_000_000).await;
    println!(
        "1,000,000 rows in one transaction: {} MiB, {took:?}",
        memory >> 20
    );
    assert!(memory < FLAT, "{} MiB", memory >> 20);
}

/// `cargo test --release --test it ten_million -- --ignored --nocapture`
#[tokio::test]
#[ignore = "takes minutes and gigabytes of disk"]
async fn a_copy_of_ten_million_rows_takes_no_more_memory() {
    let (memory, took) = one_transaction(10_000_000).await;
    println!(
        "10,000,000 rows in one transaction: {} MiB, {took:?}",
        memory >> 20
    );
    assert!(memory < FLAT, "{} MiB", memory >> 20);
}

#[tokio::test]
async fn what_a_long_transaction_wrote_comes_in_its_place_of_the_order() {
    let captured = Captured::tables("create table t (id int primary key)").await;
    let long = captured.database.client().await;
    long.batch_execute("begin; insert into t values (1)")
        .await
        .unwrap();
    captured.execute("insert into t values (2)").await;
    captured.logged(1).await;
    long.batch_execute("insert into t values (3)")
        .await
        .unwrap();
    captured.execute("insert into t values (4)").await;
    captured.logged(2).await;
    long.batch_execute("commit").await.unwrap();
    wait_for(&captured.client, "the long one", async || {
        count(&captured.client).await == 4
    })
    .await;
    let ids: Vec<_> = events(&captured.client)
        .await
        .iter()
        .map(|e| e.record["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [2, 4, 1, 3]);
}
