//! `rowhook backfill`: rows from before capture, consistent with the stream.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio_postgres::Client;
use toml::Table;

use crate::cluster::{Cluster, Database, Stop};
use crate::daemon::Rowhook;
use crate::logged::{Logged, count, events, wait_for, wait_for_event, wait_for_logged};
use crate::patience::PATIENCE;

/// A database with rows from before capture.
async fn prepared(sql: &str) -> (Database, Client) {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(sql).await.unwrap();
    (database, client)
}

async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn state(client: &Client) -> String {
    let sql = "select coalesce((select state || ': ' || coalesce(reason, '') from rowhook.backfills), 'none')";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

async fn wait_for_state(client: &Client, wanted: &str) {
    wait_for(
        client,
        &format!("a backfill that is {wanted}"),
        async || state(client).await.starts_with(wanted),
    )
    .await;
}

#[tokio::test]
async fn rows_from_before_capture_become_snapshot_events() {
    let (database, client) = prepared(
        "create type mood as enum ('sad', 'ok');
         create table posts (a text, b int, title text, tags text[], at timestamptz, feeling mood,
                             twice int generated always as (b * 2) stored, primary key (a, b));
         insert into posts select E'k\\t' || n % 3 || ',', n, case when n % 5 > 0 then 'tab\tnew\nline\\' end,
                                  array['x y', null], '2024-01-01', 'ok' from generate_series(1, 2500) n;
         create table child () inherits (posts); insert into child values ('child', 1)",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    let said = rowhook.succeed(&["backfill", "posts"]).await;
    assert!(said.contains("public.posts: 2500 events logged"), "{said}");
    let events = events(&client).await;
    assert_eq!(events.len(), 2500);
    let first = &events[0];
    assert_eq!(
        (first.event_type.as_str(), first.action.as_str()),
        ("posts.snapshot", "snapshot")
    );
    assert_eq!(
        (first.old_row.as_str(), &first.previous),
        ("absent", &Value::Null)
    );
    assert_eq!(first.resource_id.as_deref(), Some("k\t0\\,,3"));
    // Byte for byte what the table has, and nothing twice.
    let wrong = number(
        &client,
        "select count(*) from only posts p full join rowhook.events e
            on e.record::jsonb = to_jsonb(p) - 'twice' where p.a is null or e.event_id is null",
    )
    .await;
    assert_eq!(wrong, 0);
    assert_eq!(
        number(
            &client,
            "select count(distinct event_id) from rowhook.events"
        )
        .await,
        2500
    );

    // Live events go on behind it; asking again begins anew.
    client
        .batch_execute("insert into posts values ('live', 1)")
        .await
        .unwrap();
    wait_for_event(&client, "live event", |event| {
        event.event_type == "posts.created"
    })
    .await;
    let done = rowhook.json(&["backfill", "posts"]).await;
    assert_eq!(
        (&done["state"], &done["rows_logged"]),
        (&json!("done"), &json!(2501))
    );
    assert_eq!(count(&client).await, 2500 + 1 + 2501);
    let list = rowhook.succeed(&["backfill"]).await;
    assert!(
        list.contains("public.posts") && list.contains("done"),
        "{list}"
    );
}

#[tokio::test]
async fn a_partitioned_table_is_read_by_its_root_and_an_empty_one_is_done_at_once() {
    let (database, client) = prepared(
        "create table logs (id int primary key, note text) partition by range (id);
         create table logs_1 partition of logs for values from (0) to (100);
         create table logs_2 partition of logs for values from (100) to (1000);
         insert into logs select n, 'x' from generate_series(1, 300) n;
         create table empty (id int primary key)",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    rowhook.succeed(&["backfill", "public.logs"]).await;
    rowhook.succeed(&["backfill", "public.empty"]).await;
    let events = events(&client).await;
    assert_eq!(events.len(), 300);
    assert!(events.iter().all(|event| event.resource == "logs"));
    let refused = rowhook.fail(&["backfill", "logs_1"], 78).await;
    assert!(
        refused.contains("is a partition") && refused.contains("partitioned table"),
        "{refused}"
    );
}

/// Writes until it is told to stop: every row carries how often it was written.
async fn write(client: Client, seed: u64, going: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut random = seed;
    let mut next = |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    while going.load(Ordering::Relaxed) {
        let (id, other) = (next(ROWS), ROWS + 10 + next(1_000_000_000));
        let sql = match next(10) {
            0 => format!("delete from items where id = {id}"),
            1 => format!(
                "insert into items values ({id}, 1) on conflict (id) do update set version = items.version + 1"
            ),
            2 => format!("update items set id = {other}, version = version + 1 where id = {id}"),
            3 => format!("begin; update items set version = version + 1 where id = {id}; rollback"),
            4 => format!(
                "begin; update items set version = version + 1 where id = {id};
                 select pg_sleep(0.02);
                 update items set version = version + 1 where id = {id}; commit"
            ),
            _ => {
                format!("update items set version = version + 1 where id between {id} and {id} + 3")
            }
        };
        // Two writers may meet in a deadlock: one of them has written nothing.
        if client.batch_execute(&sql).await.is_err() {
            let _ = client.batch_execute("rollback").await;
        }
        written.fetch_add(1, Ordering::Relaxed);
    }
}

const ROWS: u64 = 20_000;

/// Every row's events continue one another, and the last ones are the table.
fn assert_continuous(events: &[Logged], table: &BTreeMap<i64, i64>) {
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    for event in events {
        let version = |row: &Value| {
            (
                row["id"].as_i64().unwrap(),
                row["version"].as_i64().unwrap(),
            )
        };
        let (id, now) = version(&event.record);
        match event.action.as_str() {
            "snapshot" => {
                let known = rows.insert(id, now);
                assert!(
                    known.is_none_or(|known| known == now),
                    "stale: {known:?} {event:?}"
                );
            }
            "created" => {
                assert_eq!(rows.insert(id, now), None, "it was there: {event:?}");
            }
            "updated" => {
                let mut old = event.record.clone();
                for (key, value) in event.previous.as_object().unwrap() {
                    old[key] = value.clone();
                }
                let (old_id, before) = version(&old);
                let known = rows.remove(&old_id);
                assert!(
                    known.is_none_or(|known| known == before),
                    "{known:?} {event:?}"
                );
                rows.insert(id, now);
            }
            "deleted" => {
                let known = rows.remove(&id);
                assert!(
                    known.is_none_or(|known| known == now),
                    "{known:?} {event:?}"
                );
            }
            other => panic!("{other}"),
        }
    }
    assert!(rows == *table, "the log tells of another table");
}

#[tokio::test]
async fn rows_that_change_meanwhile_are_never_logged_stale() {
    let (database, client) = prepared(&format!(
        "create table items (id bigint primary key, version bigint not null, filler text default repeat('x', 200));
         insert into items select n, 0 from generate_series(0, {ROWS} - 1) n"
    ))
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;
    let (going, written) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let mut writers = Vec::new();
    for seed in 1..=4 {
        let client = database.client().await;
        writers.push(tokio::spawn(write(
            client,
            seed,
            Arc::clone(&going),
            Arc::clone(&written),
        )));
    }
    rowhook
        .succeed(&["backfill", "items", "--chunk-rows", "500", "--detach"])
        .await;
    // Killed again and again in the middle of it.
    for part in [1, 2, 3] {
        let logged = format!(
            "select count(*) from rowhook.backfills where rows_logged > {}",
            4000 * part
        );
        wait_for(&client, "a part of the backfill", async || {
            number(&client, &logged).await > 0
        })
        .await;
        daemon.kill9().await;
        daemon = rowhook.spawn_ready().await;
    }
    wait_for_state(&client, "done").await;
    going.store(false, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    client
        .batch_execute("create table mark (id int primary key)")
        .await
        .unwrap();
    wait_for(&client, "mark is captured", async || {
        number(
            &client,
            "select count(*) from pg_publication_tables where tablename = 'mark'",
        )
        .await
            > 0
    })
    .await;
    client
        .batch_execute("insert into mark values (1)")
        .await
        .unwrap();
    wait_for_event(&client, "mark", |event| event.resource == "mark").await;

    let table: BTreeMap<i64, i64> = client
        .query("select id, version from items", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let mut events = events(&client).await;
    events.retain(|event| event.resource == "items");
    let snapshots = events
        .iter()
        .filter(|event| event.action == "snapshot")
        .count();
    println!(
        "{} writes, {} events, {snapshots} of them snapshots",
        written.load(Ordering::Relaxed),
        events.len()
    );
    assert_continuous(&events, &table);
    assert!(written.load(Ordering::Relaxed) > 100);
}

#[tokio::test]
async fn a_backfill_goes_on_after_the_servers_end_and_logs_each_row_once() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client
        .batch_execute("create table items (id int primary key); insert into items select generate_series(1, 30000)")
        .await
        .unwrap();
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    rowhook
        .succeed(&["backfill", "items", "--chunk-rows", "300", "--detach"])
        .await;
    for (how, part) in [(Stop::Immediate, 3000), (Stop::Fast, 9000)] {
        let client = database.client().await;
        let sql = format!("select count(*) from rowhook.backfills where rows_logged > {part}");
        wait_for(&client, "a part of the backfill", async || {
            number(&client, &sql).await > 0
        })
        .await;
        cluster.restart(how).await;
    }
    let client = database.client().await;
    wait_for_state(&client, "done").await;
    assert_eq!(
        number(&client, "select count(*) from rowhook.events").await,
        30_000
    );
    assert_eq!(
        number(
            &client,
            "select count(distinct resource_id) from rowhook.events"
        )
        .await,
        30_000
    );
    assert_eq!(
        number(&client, "select rows_logged from rowhook.backfills").await,
        30_000
    );
}

#[tokio::test]
async fn a_backfill_waits_for_writers_is_throttled_and_can_be_cancelled() {
    let (database, client) = prepared(
        "create table items (id int primary key, note text);
         insert into items select n, 'old' from generate_series(1, 1000) n",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    // Its change could stand in the WAL and not be visible yet: nobody can tell from outside.
    let writer = database.client().await;
    writer
        .batch_execute("begin; update items set note = 'new' where id = 1")
        .await
        .unwrap();
    let asked = rowhook
        .succeed(&["backfill", "items", "--rate", "20", "--detach"])
        .await;
    assert!(asked.contains("asked for"), "{asked}");
    wait_for_state(
        &client,
        "running: waits for the transaction of server process",
    )
    .await;
    assert_eq!(count(&client).await, 0);
    writer.batch_execute("commit").await.unwrap();
    wait_for(&client, "the first rows", async || {
        count(&client).await > 20
    })
    .await;
    assert!(
        state(&client).await.starts_with("running"),
        "20 rows of 1000 a second"
    );
    rowhook.succeed(&["backfill", "items", "--cancel"]).await;
    let told = rowhook.fail(&["backfill", "items", "--cancel"], 78).await;
    assert!(told.contains("no backfill that is open"), "{told}");
    assert!(state(&client).await.starts_with("cancelled"));
    // It goes on where it stopped.
    rowhook.succeed(&["backfill", "items"]).await;
    let snapshots = "select count(*) - count(distinct resource_id) from rowhook.events where action = 'snapshot'";
    wait_for_state(&client, "done").await;
    assert_eq!(number(&client, snapshots).await, 0);
    let rows = "select count(distinct resource_id) from rowhook.events";
    assert_eq!(number(&client, rows).await, 1000);
    let first = events(&client)
        .await
        .into_iter()
        .find(|event| event.resource_id.as_deref() == Some("1"));
    assert_eq!(first.unwrap().record["note"], "new");
}

#[tokio::test]
async fn what_cannot_be_backfilled_is_refused_with_a_reason() {
    let (database, _client) = prepared(
        "create table keyless (id int); create table hidden (id int primary key);
         create table secret (id int primary key)",
    )
    .await;
    let rowhook = Rowhook::new(&database).set("capture.tables", vec!["public.*", "!public.hidden"]);
    let told = rowhook.fail(&["backfill", "secret"], 70).await;
    assert!(told.contains("never set up"), "{told}");
    rowhook.setup().await;
    for (table, words) in [
        ("keyless", "has no primary key"),
        ("nowhere", "there is no table public.nowhere"),
        ("hidden", "is not captured"),
    ] {
        let told = rowhook.fail(&["backfill", table], 78).await;
        assert!(told.contains(words), "{told}");
    }
    // Without a daemon it waits and says so.
    let mut waiting = rowhook.command(&["backfill", "secret"]);
    let mut waiting = waiting
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = tokio::io::BufReader::new(waiting.stderr.take().unwrap());
    let read = tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line);
    tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(line.contains("no daemon reads from the slot"), "{line}");
    waiting.kill().await.unwrap();
}

#[tokio::test]
async fn policies_never_hide_rows_from_a_backfill() {
    let (database, client) = prepared(
        "create table secret (id int primary key); insert into secret values (1), (2);
         alter table secret enable row level security; create policy one on secret using (id = 1)",
    )
    .await;
    let role = format!("reader_{}", database.name);
    client
        .batch_execute(&format!(
            "create role {role} login replication password 'reader';
             grant create on database {} to {role}; grant create on schema public to {role}",
            database.name
        ))
        .await
        .unwrap();
    let owner = Rowhook::new(&database);
    let publication = database.publication();
    client
        .batch_execute(&format!(
            "create publication {publication} for table secret"
        ))
        .await
        .unwrap();
    let url = format!(
        "postgres://{role}:reader@127.0.0.1:{}/{}",
        database.cluster.port(),
        database.name
    );
    let rowhook = owner
        .set("source.url", url)
        .set("source.replica_identity", "keep");
    rowhook.setup().await;
    let daemon = rowhook.spawn_ready().await;
    let told = rowhook.fail(&["backfill", "secret"], 70).await;
    assert!(
        told.contains("permission denied") && told.contains("secret"),
        "{told}"
    );
    client
        .batch_execute(&format!("grant select on secret to {role}"))
        .await
        .unwrap();
    let told = rowhook.fail(&["backfill", "secret"], 70).await;
    assert!(told.contains("row-level security"), "{told}");
    client
        .batch_execute(&format!("alter role {role} bypassrls"))
        .await
        .unwrap();
    rowhook.succeed(&["backfill", "secret"]).await;
    assert_eq!(wait_for_logged(&client, 2).await.len(), 2);
    drop(daemon);
    client
        .batch_execute(&format!("drop owned by {role} cascade; drop role {role}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_backfill_gives_the_log_the_old_rows_that_it_lacks() {
    let (database, client) = prepared(
        "create table documents (id int primary key, title text, body text);
         alter table documents alter body set storage external;
         insert into documents select n, 'old', repeat('x', 5000) from generate_series(1, 50) n",
    )
    .await;
    let mut resource = Table::new();
    resource.insert("table".into(), "public.documents".into());
    resource.insert("previous".into(), "log".into());
    let rowhook = Rowhook::new(&database).resource(resource);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    rowhook.succeed(&["backfill", "documents"]).await;
    client
        .batch_execute("update documents set title = 'new' where id = 7")
        .await
        .unwrap();
    let event = wait_for_logged(&client, 51).await.remove(50);
    assert_eq!(
        (event.old_row.as_str(), &event.previous),
        ("full", &json!({"title": "old"}))
    );
    assert_eq!(event.record["body"].as_str().unwrap().len(), 5000);
}

#[tokio::test]
async fn keys_of_every_sort_are_walked_in_their_own_order() {
    let (database, client) = prepared(
        "create schema extensions; create extension citext schema extensions;
         create type extensions.size as enum ('small', 'Large', 'huge');
         create domain extensions.code as varchar(5);
         create table named (id extensions.citext primary key);
         insert into named select case when n % 2 = 0 then upper(md5(n::text)) else md5(n::text) end
                             from generate_series(1, 60) n;
         create table sized (s extensions.size, c extensions.code, b char(4), n numeric(9, 2), at timestamptz,
                             primary key (s, c, b, n, at));
         insert into sized select (enum_range(null::extensions.size))[1 + n % 3], 'c' || n % 4, 'b', n / 7.0, 'epoch'
                             from generate_series(1, 60) n;
         create table \"Odd \"\"Table\"\"\" (\"The Id\" uuid primary key, \"a.b\" text);
         insert into \"Odd \"\"Table\"\"\" select md5(n::text)::uuid, 'x' from generate_series(1, 60) n",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    for table in ["named", "sized", "public.Odd \"Table\""] {
        let said = rowhook
            .succeed(&["backfill", table, "--chunk-rows", "7"])
            .await;
        assert!(said.contains("60 events logged"), "{said}");
    }
    let sql = "select count(distinct (resource, resource_id)) from rowhook.events";
    assert_eq!(number(&client, sql).await, 180);
    assert_eq!(count(&client).await, 180);
}

#[tokio::test]
async fn messages_of_others_mean_nothing() {
    let (database, client) = prepared(
        "create table items (id int primary key, version int); insert into items select n, 0 from generate_series(1, 3000) n",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    let going = Arc::new(AtomicBool::new(true));
    let (noise, stop) = (database.client().await, Arc::clone(&going));
    let forger = tokio::spawn(async move {
        let mut number = 0;
        while stop.load(Ordering::Relaxed) {
            number += 1;
            let sql = format!(
                "begin; update items set version = version + 1 where id = 1 + {number} % 3000;
                 select pg_logical_emit_message(true, 'rowhook.backfill', 'low 1 1 ' || {number} / 10);
                 select pg_logical_emit_message(true, 'rowhook.backfill', 'high 1 1 ' || {number} / 10);
                 select pg_logical_emit_message(false, 'rowhook.backfill', 'high'); commit"
            );
            noise.batch_execute(&sql).await.unwrap();
        }
    });
    rowhook
        .succeed(&["backfill", "items", "--chunk-rows", "50"])
        .await;
    going.store(false, Ordering::Relaxed);
    forger.await.unwrap();
    let twice = "select count(*) - count(distinct resource_id) from rowhook.events where action = 'snapshot'";
    assert_eq!(number(&client, twice).await, 0);
    assert_eq!(
        number(
            &client,
            "select count(distinct resource_id) from rowhook.events"
        )
        .await,
        3000
    );
}

#[tokio::test]
async fn a_key_that_changes_ends_a_backfill_and_a_column_list_keeps_it_from_beginning() {
    let (database, client) = prepared(
        "create table items (id int primary key, no int not null, secret text);
         insert into items select n, 1000 - n, 's' from generate_series(1, 600) n;
         create table listed (id int primary key, secret text); insert into listed values (1, 's')",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    rowhook
        .succeed(&["backfill", "items", "--rate", "20", "--detach"])
        .await;
    wait_for(&client, "the first rows", async || {
        count(&client).await >= 20
    })
    .await;
    client
        .batch_execute("alter table items drop constraint items_pkey, add primary key (no)")
        .await
        .unwrap();
    wait_for_state(&client, "failed").await;
    assert!(
        state(&client).await.contains("another primary key"),
        "{}",
        state(&client).await
    );
    let again = rowhook.fail(&["backfill", "items"], 70).await;
    assert!(again.contains("--from-start"), "{again}");
    rowhook
        .succeed(&["backfill", "items", "--from-start"])
        .await;
    assert_eq!(
        number(
            &client,
            "select count(distinct record ->> 'id') from rowhook.events"
        )
        .await,
        600
    );

    let publication = database.publication();
    let server = number(
        &client,
        "select current_setting('server_version_num')::bigint",
    )
    .await;
    if server >= 150_000 {
        // There before the first setup, so it is the operator's choice.
        let (database, client) = prepared("create table listed (id int primary key, secret text); insert into listed values (1, 's')").await;
        let listed = database.publication();
        client
            .batch_execute(&format!(
                "create publication {listed} for table listed (id)"
            ))
            .await
            .unwrap();
        let rowhook = Rowhook::new(&database).set("source.replica_identity", "keep");
        rowhook.setup().await;
        let _daemon = rowhook.spawn_ready().await;
        let told = rowhook.fail(&["backfill", "listed"], 70).await;
        assert!(
            told.contains("column list") && told.contains("listed"),
            "{told}"
        );
        assert_eq!(count(&client).await, 0);
    }
    drop(publication);
}

#[tokio::test]
async fn large_rows_behind_small_ones_need_little_memory() {
    let (database, client) = prepared(
        "create table items (id int primary key, body text);
         insert into items select n, 'small' from generate_series(1, 20000) n;
         insert into items select n, repeat('large ', 170000) from generate_series(20001, 20200) n",
    )
    .await;
    let rowhook = Rowhook::new(&database);
    rowhook.setup().await;
    let daemon = rowhook.spawn_ready().await;
    rowhook.succeed(&["backfill", "items"]).await;
    assert_eq!(count(&client).await, 20_200);
    let peak = daemon.peak_memory() >> 20;
    println!("peak memory {peak} MiB");
    assert!(peak < 400, "{peak} MiB for 200 rows of 1 MB");
}
