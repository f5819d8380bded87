//! The event log as a whole: what enters it, what does not, and how it reads.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::capture::{Captured, types};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{wait_for_free_slot, wait_for_logged};

const TABLE: &str = "create table t (id int primary key, v text)";

#[tokio::test]
async fn a_new_table_that_matches_is_captured_and_one_that_does_not_is_not() {
    let captured = Captured::with(TABLE, |rowhook| {
        rowhook
            .set("source.table_refresh", "100ms")
            .set("capture.tables", vec!["public.*", "!public.hidden"])
    })
    .await;
    captured
        .execute("create table hidden (id int primary key); create table late (id int primary key)")
        .await;
    captured.daemon.wait_for_log("public.late").await;
    captured
        .execute("insert into hidden values (1); insert into late values (7)")
        .await;
    captured.execute("update late set id = 8").await;
    let events = captured.logged(2).await;
    assert_eq!(types(&events), ["late.created", "late.updated"]);
    assert_eq!(events[1].previous, json!({"id": 7}));
}

#[tokio::test]
async fn values_that_are_excluded_or_redacted_leave_no_trace() {
    let users =
        "create table users (id int primary key, name text, password text, mail text, pin text)";
    let captured = Captured::with(users, |rowhook| {
        rowhook.resource(toml::toml! {
            table = "public.users"
            name = "person"
            exclude = ["password"]
            redact = { mail = "hash", pin = "mask" }
        })
    })
    .await;
    let statements = [
        "insert into users values (1, 'Ann', 'hunter2', 'ann@home', '4711')",
        "update users set password = 'hunter3', mail = 'ann@work', pin = '0815'",
        "update users set name = 'Anna'",
        "delete from users",
    ];
    for statement in statements {
        captured.execute(statement).await;
    }
    let events = captured.logged(4).await;
    assert_eq!(
        types(&events),
        [
            "person.created",
            "person.updated",
            "person.updated",
            "person.deleted"
        ]
    );
    let everything = "select string_agg(e::text, ' ') from rowhook.events e";
    let row = captured.client.query_one(everything, &[]).await.unwrap();
    let everything: String = row.get(0);
    for value in ["hunter", "ann@", "4711", "0815", "password"] {
        assert!(!everything.contains(value), "{value} is in\n{everything}");
    }
    assert_eq!(events[0].record["pin"], "***");
    let hash = events[0].record["mail"].as_str().unwrap();
    assert_eq!(hash.len(), "sha256:".len() + 64, "{hash}");
    assert_ne!(events[1].record["mail"], hash);
    assert_eq!(events[1].previous["mail"], hash);
    assert_eq!(events[2].previous, json!({"name": "Ann"}));
}

#[tokio::test]
async fn the_feed_tells_old_new_and_changes() {
    let sql = format!("{TABLE}; create table kept (id int primary key, v text)");
    let captured = Captured::tables(&sql).await;
    // Whoever owns the table may have set another identity since.
    captured
        .execute("alter table kept replica identity default")
        .await;
    for table in ["t", "kept"] {
        captured
            .execute(&format!("insert into {table} values (1, 'a')"))
            .await;
        captured
            .execute(&format!("update {table} set v = null"))
            .await;
        captured.execute(&format!("delete from {table}")).await;
    }
    captured.logged(6).await;
    let feed = feed(&captured.client).await;
    let (a, b) = (json!({"id": 1, "v": "a"}), json!({"id": 1, "v": null}));
    let changes = |added: Value, updated: Value, removed: Value| json!({"added": added, "updated": updated, "removed": removed});
    let none = || json!([]);
    assert_eq!(
        feed,
        [
            (
                Value::Null,
                a.clone(),
                changes(json!(["id", "v"]), none(), none())
            ),
            (a.clone(), b.clone(), changes(none(), json!(["v"]), none())),
            (
                b.clone(),
                Value::Null,
                changes(none(), none(), json!(["id", "v"]))
            ),
            (Value::Null, a, changes(json!(["id", "v"]), none(), none())),
            (Value::Null, b, Value::Null),
            (
                json!({"id": 1}),
                Value::Null,
                changes(none(), none(), json!(["id"]))
            ),
        ]
    );
}

async fn feed(client: &Client) -> Vec<(Value, Value, Value)> {
    let sql = "select old, new, changes from rowhook.event_feed order by sequence_id";
    let rows = client.query(sql, &[]).await.unwrap();
    let json =
        |row: &tokio_postgres::Row, index| row.get::<_, Option<Value>>(index).unwrap_or_default();
    rows.iter()
        .map(|row| (json(row, 0), json(row, 1), json(row, 2)))
        .collect()
}

#[tokio::test]
async fn what_is_read_again_is_not_logged_again_and_has_the_same_ids() {
    let mut captured = Captured::tables(TABLE).await;
    let slot = captured.database.slot();
    // A copy of the slot stays where it is: confirmations that were lost with the daemon.
    let copy =
        |from: &str, to: &str| format!("select pg_copy_logical_replication_slot('{from}', '{to}')");
    let kept = format!("{slot}_kept");
    captured.execute(&copy(&slot, &kept)).await;
    let put_back = format!(
        "select pg_drop_replication_slot('{slot}'); {}",
        copy(&kept, &slot)
    );
    captured
        .execute("insert into t values (1), (2); update t set v = 'x'")
        .await;
    captured.logged(4).await;
    captured.daemon.kill9().await;
    end_stream(&captured).await;
    captured.execute(&put_back).await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    let first = captured.logged(5).await;

    captured.daemon.kill9().await;
    end_stream(&captured).await;
    captured.execute(&put_back).await;
    captured
        .execute(
            "delete from rowhook.events;
             update rowhook.checkpoint set next_sequence_id = 1, commit_lsn = '0/0'",
        )
        .await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    assert_eq!(captured.logged(5).await, first);
}

/// Waits until the server has noticed that the daemon is gone.
async fn end_stream(captured: &Captured) {
    let sql = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
                where slot_name = $1 and active_pid is not null";
    let slot = captured.database.slot();
    captured.client.query(sql, &[&slot]).await.unwrap();
    wait_for_free_slot(&captured.client, &captured.database).await;
}

#[tokio::test]
async fn the_log_never_captures_itself() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(TABLE).await.unwrap();
    for (all, publication) in [(false, "by_table"), (true, "for_all")] {
        let rowhook = Rowhook::new(&database)
            .set("capture.tables", vec!["*.*"])
            .set("source.publication", publication);
        if all {
            let sql = format!("create publication {publication} for all tables");
            client.batch_execute(&sql).await.unwrap();
            let sql = format!("select pg_drop_replication_slot('{}')", database.slot());
            client.batch_execute(&sql).await.unwrap();
            client
                .batch_execute("drop schema rowhook cascade")
                .await
                .unwrap();
        }
        rowhook.setup().await;
        let mut daemon = rowhook.spawn_ready().await;
        for id in 1..=3 {
            let sql = format!("insert into t values ({}{id})", i32::from(all));
            client.batch_execute(&sql).await.unwrap();
        }
        let logged = wait_for_logged(&client, 3).await;
        assert!(logged.iter().all(|event| event.table == "public.t"));
        // Another turn: were the log captured, the first events would be followed by more.
        client.batch_execute("update t set v = 'x'").await.unwrap();
        let rows = if all { 6 } else { 3 };
        let logged = wait_for_logged(&client, 3 + rows).await;
        assert!(logged.iter().all(|event| event.table == "public.t"));
        assert_eq!(daemon.stop().await, Some(0));
        wait_for_free_slot(&client, &database).await;
    }
}

#[tokio::test]
async fn wide_rows_are_compressed_by_lz4_unless_the_operator_chose_otherwise() {
    for chosen in [None, Some("pglz")] {
        let database = Database::create().await;
        let client = database.client().await;
        client.batch_execute(TABLE).await.unwrap();
        if let Some(method) = chosen {
            let sql = format!(
                "do $$ begin execute format('alter database %I set default_toast_compression = {method}',
                    current_database()); end $$"
            );
            client.batch_execute(&sql).await.unwrap();
        }
        let rowhook = Rowhook::new(&database);
        rowhook.setup().await;
        let mut daemon = rowhook.spawn_ready().await;
        let wide =
            "insert into t select 1, string_agg(i::text, ' ') from generate_series(1, 5000) i";
        client.batch_execute(wide).await.unwrap();
        wait_for_logged(&client, 1).await;
        let sql = "select pg_column_compression(record), 'lz4' = any(enumvals)
                     from rowhook.events, pg_settings where name = 'default_toast_compression'";
        let row = client.query_one(sql, &[]).await.unwrap();
        let (used, has_lz4): (String, bool) = (row.get(0), row.get(1));
        let expected = chosen.unwrap_or(if has_lz4 { "lz4" } else { "pglz" });
        assert_eq!(used, expected);
        assert_eq!(daemon.stop().await, Some(0));
    }
}
