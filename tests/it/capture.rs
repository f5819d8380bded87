//! Committed changes become events: the right ones, in order, once.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::cluster::Database;
use crate::daemon::{Daemon, Rowhook};
use crate::logged::{
    Logged, assert_dense, count, events, wait_for, wait_for_free_slot, wait_for_logged,
};

/// A database with tables, captured by a running daemon. Fields are dropped in this order.
pub(crate) struct Captured {
    pub(crate) daemon: Daemon,
    pub(crate) rowhook: Rowhook,
    pub(crate) client: Client,
    pub(crate) database: Database,
}

impl Captured {
    pub(crate) async fn tables(sql: &str) -> Self {
        Self::with(sql, |rowhook| rowhook).await
    }

    pub(crate) async fn with(sql: &str, settings: impl FnOnce(Rowhook) -> Rowhook) -> Self {
        Self::of(Database::create().await, sql, settings).await
    }

    pub(crate) async fn of(
        database: Database,
        sql: &str,
        settings: impl FnOnce(Rowhook) -> Rowhook,
    ) -> Self {
        let client = database.client().await;
        client.batch_execute(sql).await.unwrap();
        let rowhook = settings(Rowhook::new(&database));
        rowhook.setup().await;
        let daemon = rowhook.spawn_ready().await;
        Self {
            daemon,
            rowhook,
            client,
            database,
        }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// Stops the daemon, and waits until the server knows: what needs the slot may follow.
    pub(crate) async fn stop(&mut self) {
        assert_eq!(self.daemon.stop().await, Some(0));
        wait_for_free_slot(&self.client, &self.database).await;
    }

    pub(crate) async fn logged(&self, wanted: i64) -> Vec<Logged> {
        wait_for_logged(&self.client, wanted).await
    }
}

pub(crate) fn types(events: &[Logged]) -> Vec<&str> {
    events.iter().map(|e| e.event_type.as_str()).collect()
}

#[tokio::test]
async fn a_rows_life_is_logged_with_old_and_new_values() {
    let posts = "create table posts (id bigint primary key, title text, likes int)";
    let captured = Captured::tables(posts).await;
    captured
        .execute("insert into posts values (7, 'first', 0)")
        .await;
    captured
        .execute("update posts set title = 'second' where id = 7")
        .await;
    captured.execute("delete from posts where id = 7").await;

    let events = captured.logged(3).await;
    assert_eq!(
        types(&events),
        ["posts.created", "posts.updated", "posts.deleted"]
    );
    for event in &events {
        assert_eq!(event.resource, "posts");
        assert_eq!(event.resource_id.as_deref(), Some("7"));
        assert_eq!(event.table, "public.posts");
        assert!(event.unknown.is_empty());
    }
    let first = json!({"id": 7, "title": "first", "likes": 0});
    let second = json!({"id": 7, "title": "second", "likes": 0});
    assert_eq!(events[0].record, first);
    assert_eq!(events[0].previous, Value::Null);
    assert_eq!(events[1].record, second);
    assert_eq!(events[1].previous, json!({"title": "first"}));
    assert_eq!(events[1].old_row, "full");
    assert_eq!(events[2].record, second);
    assert_eq!(events[2].action, "deleted");
}

#[tokio::test]
async fn transactions_are_logged_in_commit_order_not_in_the_order_of_their_writes() {
    let captured = Captured::tables("create table t (id int primary key)").await;
    let other = captured.database.client().await;
    captured.execute("begin; insert into t values (1)").await;
    other
        .batch_execute("begin; insert into t values (2); insert into t values (3); commit")
        .await
        .unwrap();
    captured.execute("insert into t values (4); commit").await;

    let events = captured.logged(4).await;
    let ids: Vec<_> = events.iter().map(|e| e.record["id"].as_i64()).collect();
    assert_eq!(ids, [Some(2), Some(3), Some(1), Some(4)]);
    assert_eq!(events[0].xid, events[1].xid);
    assert_eq!(events[0].commit_lsn, events[1].commit_lsn);
    assert!(events[0].commit_index < events[1].commit_index);
}

#[tokio::test]
async fn a_composite_key_names_one_row_and_no_other() {
    let captured =
        Captured::tables("create table t (a text, b text, v int, primary key (a, b))").await;
    captured
        .execute(
            "insert into t values ('x', 'y,z', 1), ('x,y', 'z', 1), ('x', 'y', 1);
             update t set v = 2 where a = 'x' and b = 'y,z'",
        )
        .await;
    let events = captured.logged(4).await;
    let ids: Vec<_> = events.iter().map(|e| e.resource_id.as_deref()).collect();
    assert!(ids.iter().all(Option::is_some));
    assert_eq!(ids[0], ids[3]);
    assert!(
        ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2],
        "{ids:?}"
    );
}

#[tokio::test]
async fn nothing_is_lost_or_repeated_over_a_restart() {
    let mut captured = Captured::tables("create table t (id int primary key)").await;
    captured.execute("insert into t values (1)").await;
    let before = captured.logged(1).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.execute("insert into t values (2)").await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    captured.logged(3).await;
    captured.daemon.kill9().await;
    captured.execute("insert into t values (4)").await;
    captured.daemon = captured.rowhook.spawn_ready().await;

    let events = captured.logged(4).await;
    assert_eq!(events[0], before[0]);
    let ids: Vec<_> = events.iter().map(|e| e.record["id"].as_i64()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4)]);
}

#[tokio::test]
async fn what_the_stream_does_not_carry_is_not_claimed() {
    let captured = Captured::with("create table t (id int primary key, v text)", |rowhook| {
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    captured
        .execute(
            "insert into t values (1, 'a');
             update t set v = 'b';
             delete from t",
        )
        .await;
    let events = captured.logged(3).await;
    assert_eq!(events[1].old_row, "absent");
    assert_eq!(events[1].previous, Value::Null);
    assert_eq!(events[1].record, json!({"id": 1, "v": "b"}));
    assert_eq!(events[2].old_row, "key");
    assert_eq!(events[2].record, json!({"id": 1}));
}

#[tokio::test]
async fn an_unchanged_toasted_value_is_marked_and_not_null() {
    let captured = Captured::with(
        "create table t (id int primary key, v int, large text);
         alter table t alter large set storage external",
        |rowhook| rowhook.set("source.replica_identity", "keep"),
    )
    .await;
    captured
        .execute("insert into t values (1, 1, repeat('x', 100000)); update t set v = 2")
        .await;
    let events = captured.logged(2).await;
    assert_eq!(events[0].record["large"].as_str().unwrap().len(), 100_000);
    assert_eq!(events[1].record, json!({"id": 1, "v": 2}));
    assert_eq!(events[1].unknown, ["large"]);
}

#[tokio::test]
async fn a_truncate_is_one_event_of_the_table() {
    let captured = Captured::tables("create table t (id int primary key)").await;
    captured
        .execute("insert into t values (1), (2); truncate t")
        .await;
    let events = captured.logged(3).await;
    assert_eq!(events[2].event_type, "t.truncated");
    assert_eq!(events[2].action, "truncated");
    assert_eq!(events[2].resource_id, None);
}

#[tokio::test]
async fn what_was_rolled_back_never_happened() {
    let captured = Captured::tables("create table t (id int primary key)").await;
    captured
        .execute("begin; insert into t values (1); rollback")
        .await;
    captured
        .execute(
            "begin;
             insert into t values (2);
             savepoint s; insert into t values (3); rollback to s;
             insert into t values (4);
             commit",
        )
        .await;
    let events = captured.logged(2).await;
    let ids: Vec<_> = events.iter().map(|e| e.record["id"].as_i64()).collect();
    assert_eq!(ids, [Some(2), Some(4)]);
}

#[tokio::test]
async fn a_large_transaction_appears_at_once_and_once() {
    const ROWS: i64 = 200_000;
    let captured = Captured::tables("create table t (id int primary key, v text)").await;
    captured
        .execute(&format!(
            "insert into t select i, repeat('x', 100) from generate_series(1, {ROWS}) i"
        ))
        .await;
    wait_for(&captured.client, "the large transaction", async || {
        let seen = count(&captured.client).await;
        assert!(seen == 0 || seen == ROWS, "a part of it is visible: {seen}");
        seen == ROWS
    })
    .await;
    captured.execute("insert into t values (0, 'after')").await;
    wait_for(&captured.client, "the next change", async || {
        count(&captured.client).await > ROWS
    })
    .await;
    let events = events(&captured.client).await;
    assert_eq!(events.len() as i64, ROWS + 1);
    assert_dense(&events);
    for (event, id) in events.iter().zip(1..=ROWS) {
        assert_eq!(event.record["id"], id);
    }
}

#[tokio::test]
async fn what_came_before_a_large_transaction_does_not_wait_for_it() {
    let mut captured = Captured::tables("create table t (id int primary key, v text)").await;
    captured.stop().await;
    captured.execute("insert into t values (-1, '')").await;
    // While the first one is appended, the second and the beginning of the large one come together. It
    // ends where the first part of the large one is appended.
    let mut daemon = captured.rowhook.spawn_with(|command| {
        command.env("FAILPOINTS", "log.begin=1*sleep(2000);log.part=return");
    });
    daemon.wait_for_log("streaming").await;
    captured.execute("insert into t values (0, '')").await;
    captured
        .execute("insert into t select i, repeat('x', 100) from generate_series(1, 50000) i")
        .await;
    assert_eq!(daemon.wait_exit().await, None);
    assert_eq!(count(&captured.client).await, 2);

    captured.daemon = captured.rowhook.spawn_ready().await;
    assert_dense(&captured.logged(50_002).await);
}

#[tokio::test]
async fn records_equal_what_postgres_itself_makes_of_the_row() {
    let captured = Captured::tables(
        "create table t (
            id int primary key, small smallint, big bigint, exact numeric(30, 10), free numeric,
            single real, double_ double precision, yes boolean, words text, padded char(8),
            short varchar(20), day date, moment timestamptz, wall timestamp, clock time,
            doc json, binary_doc jsonb, ident uuid, raw bytea, numbers int[], texts text[],
            grid int[][], flags boolean[], nothing text, docs jsonb[])",
    )
    .await;
    captured
        .execute(
            r#"insert into t values (
                1, -32768, 9223372036854775807, 12345678901234567890.0123456789, 1e-20,
                1.5, 1e300, true, E'quotes " \' and \\ back\nnew\tline \u00e9 \U0001F600 \x01',
                'ab', 'Straße', '0044-03-15 BC', '2024-02-29 23:59:59.123456+05:30',
                '2024-02-29 12:00:00', '23:59:59.5', '{"b": 1,  "a": [1, 2.50, null]}',
                '{"b": 1, "a": "x"}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff5c22',
                '{1,null,-3}', '{"a b", null, "quote\"s", "NULL", "{x}", ""}',
                '{{1,2},{3,4}}', '{t,f,null}', null, array['{"a": 1}'::jsonb, null]);
            insert into t (id) values (2);
            insert into t (id, numbers, texts, words, free, double_)
                values (3, '{}', '{}', '', 'NaN', 'Infinity');
            insert into t (id, moment, wall, day) values (4, 'infinity', '-infinity', 'infinity');
            insert into t (id, numbers) values (5, '[0:1]={1,2}')"#,
        )
        .await;
    captured.logged(5).await;
    let rows = captured
        .client
        .query(
            "select e.record::jsonb::text as logged, to_jsonb(t)::text as row
               from rowhook.events e join t on t.id::text = e.resource_id
              order by t.id",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row.get::<_, &str>("logged"), row.get::<_, &str>("row"));
    }
}

#[tokio::test]
async fn tables_that_match_no_pattern_are_left_alone() {
    let captured = Captured::with(
        "create table seen (id int primary key);
         create table hidden (id int primary key);
         create schema other; create table other.t (id int primary key)",
        |rowhook| rowhook.set("capture.tables", vec!["public.*", "!public.hidden"]),
    )
    .await;
    captured
        .execute(
            "insert into hidden values (1); insert into other.t values (1);
             insert into seen values (1)",
        )
        .await;
    assert_eq!(types(&captured.logged(1).await), ["seen.created"]);
}

#[tokio::test]
async fn rows_of_a_partitioned_table_are_rows_of_its_root() {
    let captured = Captured::tables(
        "create table parts (id int, day date, note text, primary key (id, day)) partition by range (day);
         create table parts_2025 partition of parts for values from ('2025-01-01') to ('2026-01-01');
         create table parts_2026 partition of parts for values from ('2026-01-01') to ('2027-01-01')",
    )
    .await;
    captured
        .execute("insert into parts values (1, '2025-05-05', 'old')")
        .await;
    captured.execute("update parts set note = 'new'").await;
    captured.execute("delete from parts").await;
    let events = captured.logged(3).await;
    assert_eq!(
        types(&events),
        ["parts.created", "parts.updated", "parts.deleted"]
    );
    assert_eq!(events[1].previous, json!({"note": "old"}));
    assert_eq!(
        events[2].record,
        json!({"id": 1, "day": "2025-05-05", "note": "new"})
    );
}
