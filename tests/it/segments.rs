//! The log over time: how it is cut, when its parts go, and when the source may release its WAL.

use std::cell::Cell;
use std::sync::Arc;

use tokio_postgres::Client;

use crate::capture::Captured;
use crate::cluster::{Cluster, Database};
use crate::logged::{assert_dense, count, events, wait_for, wait_for_event};
use crate::receiver::{Receiver, Reply};

const TABLE: &str = "create table t (id int primary key, v text)";

async fn segments(client: &Client) -> Vec<(i64, i64)> {
    let sql = "select first_id, end_id from rowhook.segments order by first_id";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn segments_follow_each_other_without_a_gap_within_and_between_transactions() {
    let mut captured = Captured::with(TABLE, |rowhook| rowhook.set("log.segment_size", 100)).await;
    captured
        .execute("insert into t select i, 'one' from generate_series(1, 1000) i")
        .await;
    captured.logged(1000).await;
    for id in 1001..=1150 {
        captured
            .execute(&format!("insert into t values ({id}, 'many')"))
            .await;
    }
    captured.logged(1150).await;
    captured.daemon.kill9().await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("insert into t select i, 'again' from generate_series(1151, 2000) i")
        .await;
    let events = captured.logged(2000).await;
    for (event, id) in events.iter().zip(1..) {
        assert_eq!(event.record["id"], id);
    }
    let segments = segments(&captured.client).await;
    assert!(segments.len() >= 20, "{segments:?}");
    assert!(
        segments.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "{segments:?}"
    );
}

const ALL_INDEXED: &str = "select coalesce(bool_and(indexed), false) from rowhook.segments";

pub(crate) async fn wait_until_indexed(client: &Client) {
    wait_for(client, "the segments' indexes", async || {
        client.query_one(ALL_INDEXED, &[]).await.unwrap().get(0)
    })
    .await;
}

#[tokio::test]
async fn full_segments_and_the_last_one_find_events_by_id_and_by_type() {
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("log.segment_size", 100)).await;
    captured
        .execute("insert into t select i, 'one' from generate_series(1, 250) i")
        .await;
    captured.logged(250).await;
    wait_until_indexed(&captured.client).await;
    captured.execute("set enable_seqscan = off").await;
    for (condition, ends) in [
        (
            "event_id = '00000000-0000-8000-8000-000000000000'",
            "_by_id",
        ),
        ("event_type = 't.none'", "_by_type"),
    ] {
        let sql = format!("explain select * from rowhook.events where {condition}");
        let plan = captured.client.query(&sql, &[]).await.unwrap();
        let lines: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        for segment in [1, 101, 201] {
            let index = format!("events_{segment:012}{ends}");
            assert!(
                lines.iter().any(|line| line.contains(&index)),
                "{index}: {lines:#?}"
            );
        }
    }
}

#[tokio::test]
async fn types_are_found_in_segments_with_their_index_and_without() {
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("log.segment_size", 10)).await;
    captured
        .execute(
            "insert into t select i, 'one' from generate_series(1, 15) i;
             update t set v = 'two' where id <= 10; delete from t where id = 15",
        )
        .await;
    captured.logged(26).await;
    wait_until_indexed(&captured.client).await;
    let list = async |more: &[&str]| {
        let arguments = [&["events", "list", "--type", "t.*ed", "--json"], more].concat();
        let lines = captured.rowhook.succeed(&arguments).await;
        let ids = lines.lines().map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            event["sequenceId"].as_i64().unwrap()
        });
        ids.collect::<Vec<_>>()
    };
    let all = list(&["--limit", "100"]).await;
    assert_eq!(all, (1..=26).collect::<Vec<_>>());
    for (first, from) in [(21, "000000000021"), (11, "000000000011")] {
        captured
            .execute(&format!(
                "drop index rowhook.events_{from}_by_type, rowhook.events_{from}_by_id;
                 update rowhook.segments set indexed = false where first_id = {first}"
            ))
            .await;
        assert_eq!(list(&["--limit", "100"]).await, all);
        assert_eq!(list(&["--limit", "12"]).await, all[14..]);
        assert_eq!(list(&["--after", "3", "--limit", "12"]).await, all[3..15]);
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_indexed_is_told_and_holds_up_no_other() {
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("log.segment_size", 10)).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    wait_until_indexed(&captured.client).await;
    captured
        .execute(
            "update rowhook.segments set indexed = false;
             alter table rowhook.events_000000000001 rename to elsewhere;
             insert into t select generate_series(2, 15)",
        )
        .await;
    captured.logged(15).await;
    wait_for(
        &captured.client,
        "the second segment's indexes",
        async || {
            let sql = "select indexed from rowhook.segments where first_id = 11";
            captured.client.query_one(sql, &[]).await.unwrap().get(0)
        },
    )
    .await;
    let told = "a segment of the log has no index of ids and types";
    captured.daemon.wait_for_log(told).await;
}

#[tokio::test]
async fn a_log_that_catches_up_is_indexed_when_it_has() {
    // Of its own: how far it is behind is measured by the WAL of the whole cluster.
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    let mut captured = Captured::of(database, TABLE, |rowhook| rowhook).await;
    captured.stop().await;
    for first in (1..=80_000).step_by(2_000) {
        captured
            .execute(&format!(
                "insert into t select i, repeat(md5(i::text), 40) from generate_series({first}, {first} + 1999) i"
            ))
            .await;
    }
    captured.daemon = captured.rowhook.spawn_with(|command| {
        command.env("FAILPOINTS", "log.begin=sleep(200)");
    });
    let sql = format!(
        "select exists (select from rowhook.segments), ({ALL_INDEXED}),
                (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint
           from pg_replication_slots where slot_name = $1"
    );
    let (client, slot) = (&captured.client, captured.database.slot());
    let without = Cell::new(false);
    wait_for(client, "the indexes", async || {
        let row = client.query_one(&sql, &[&slot]).await.unwrap();
        let (begun, indexed, behind): (bool, bool, i64) = (row.get(0), row.get(1), row.get(2));
        let far = behind > 64 << 20;
        assert!(!(far && indexed), "{behind} bytes behind");
        without.set(without.get() || begun && far);
        indexed
    })
    .await;
    assert!(without.get(), "nobody saw it catch up");
    captured.logged(80_000).await;
}

#[tokio::test]
async fn a_lock_on_a_segment_holds_up_its_indexes_and_not_the_log() {
    let captured = Captured::tables(TABLE).await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    wait_until_indexed(&captured.client).await;
    let holder = captured.database.client().await;
    holder
        .batch_execute(
            "drop index rowhook.events_000000000001_by_id, rowhook.events_000000000001_by_type",
        )
        .await
        .unwrap();
    holder
        .batch_execute("begin; lock table rowhook.events_000000000001 in row exclusive mode")
        .await
        .unwrap();
    captured
        .execute("update rowhook.segments set indexed = false; insert into t values (2)")
        .await;
    wait_for(&captured.client, "indexing that waits", async || {
        let sql = "select exists (select from pg_locks where mode = 'ShareLock' and not granted
                    and database = (select oid from pg_database where datname = current_database()))";
        captured.client.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    captured.execute("insert into t values (3)").await;
    captured.logged(3).await;
    holder.batch_execute("commit").await.unwrap();
    wait_until_indexed(&captured.client).await;
}

/// Makes the first events old, as if they had been logged long ago.
async fn age(client: &Client, up_to: i64) {
    let sql = "update rowhook.events set created_at = now() - interval '2 days'
                where sequence_id <= $1";
    client.execute(sql, &[&up_to]).await.unwrap();
}

#[tokio::test]
async fn retention_drops_whole_segments_that_are_old_and_settled() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| Reply::Status(if request.sequence_id > 250 { 503 } else { 200 }));
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook
            .set("log.segment_size", 100)
            .set("log.retention", "1d")
            .webhook_to("slow", &receiver, toml::toml! { order = "strict" })
    })
    .await;
    captured
        .execute("insert into t select i from generate_series(1, 550) i")
        .await;
    captured.logged(550).await;
    let client = &captured.client;
    wait_for(client, "the cursor", async || {
        let sql = "select coalesce(max(cursor), 0) from rowhook.subscriptions";
        client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) >= 250
    })
    .await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    age(&captured.client, 420).await;

    // Event 251 is not settled: its segment stays, and everything behind it.
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.daemon.wait_for_log("dropped old segments").await;
    let left = events(&captured.client).await;
    assert_eq!(left.len(), 350);
    assert_eq!(left[0].sequence_id, 201);
    assert_dense(&left);

    receiver.on_request(|_| Reply::Status(200));
    receiver
        .wait_for(|requests| {
            requests
                .iter()
                .any(|r| r.sequence_id == 550 && r.accepted())
        })
        .await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.daemon.wait_for_log("dropped old segments").await;
    let left = events(&captured.client).await;
    assert_eq!((left.len(), left[0].sequence_id), (150, 401));
    captured.execute("insert into t values (551)").await;
    wait_for_event(&captured.client, "next event", |e| e.sequence_id == 551).await;
}

#[tokio::test]
async fn a_long_reader_of_the_log_holds_up_retention_and_nothing_else() {
    let receiver = Receiver::start().await;
    let mut captured = Captured::with(TABLE, |rowhook| {
        rowhook
            .set("log.segment_size", 10)
            .set("log.retention", "1d")
            .webhook_to("all", &receiver, toml::Table::new())
    })
    .await;
    captured
        .execute("insert into t select i from generate_series(1, 25) i")
        .await;
    receiver.wait_for_count(25).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    age(&captured.client, 25).await;
    let reader = captured.database.client().await;
    reader
        .batch_execute("begin; select count(*) from rowhook.events")
        .await
        .unwrap();

    captured.daemon = captured.rowhook.spawn_ready().await;
    wait_for(&reader, "retention that waits", async || {
        let sql = "select 1 from pg_stat_activity where wait_event_type = 'Lock'
                     and datname = current_database() and query like '%detach%'";
        !captured.client.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;
    captured.execute("insert into t values (26)").await;
    receiver.wait_for_count(26).await;
    let cursor = "select cursor from rowhook.subscriptions";
    wait_for(&captured.client, "the cursor", async || {
        let row = captured.client.query_one(cursor, &[]).await.unwrap();
        row.get::<_, i64>(0) == 26
    })
    .await;
    // The reader goes on reading.
    assert_eq!(captured.daemon.stop().await, Some(0));
    assert!(!captured.daemon.logs().contains("cut off"));
    reader.batch_execute("commit").await.unwrap();
    wait_for(&captured.client, "the session that waited", async || {
        let sql = "select 1 from pg_stat_activity where datname = current_database()
                      and application_name = 'rowhook retention'";
        captured.client.query(sql, &[]).await.unwrap().is_empty()
    })
    .await;

    // What was cut off in the middle is finished.
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.daemon.wait_for_log("dropped old segments").await;
    assert_eq!(events(&captured.client).await[0].sequence_id, 21);
}

async fn confirmed(client: &Client, database: &Database) -> i64 {
    let sql = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots
                where slot_name = $1";
    let row = client.query_one(sql, &[&database.slot()]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn wal_is_released_while_only_tables_of_no_interest_change() {
    let captured = Captured::with(TABLE, |rowhook| {
        rowhook.set("capture.tables", vec!["public.t"])
    })
    .await;
    let noise = captured.database.client().await;
    released_behind(captured, &noise).await;
}

#[tokio::test]
async fn wal_is_released_while_nothing_changes_but_other_databases() {
    let other = Database::create().await;
    let noise = other.client().await;
    released_behind(Captured::tables(TABLE).await, &noise).await;
}

/// Writes several megabytes elsewhere; the slot follows, and the daemon goes on from there.
async fn released_behind(mut captured: Captured, noise: &Client) {
    let (client, database) = (&captured.client, &captured.database);
    let sql = "create table noise as
               select repeat(md5(i::text), 30) as v from generate_series(1, 6000) i";
    noise.batch_execute(sql).await.unwrap();
    let sql = "select (pg_current_wal_lsn() - '0/0')::bigint";
    let row = noise.query_one(sql, &[]).await.unwrap();
    let written: i64 = row.get(0);
    wait_for(client, "the slot", async || {
        confirmed(client, database).await >= written - (1 << 20)
    })
    .await;
    assert_eq!(count(client).await, 0);
    // A position that was only skipped to is one to go on from.
    captured.daemon.kill9().await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
}

/// Called while a statement is planned, which learns the partitions first; waits the first time until lock 1
/// is free, and a little longer: not so long as the log waits for a reader.
const SLOW_PLAN: &str = "
    create sequence public.calls;
    create function public.slow() returns bigint language plpgsql stable as $$
    begin
      if nextval('public.calls') = 1 then
        perform pg_advisory_lock_shared(1);
        perform pg_sleep(0.3);
      end if;
      return 0;
    end $$";

#[tokio::test]
async fn a_reader_never_sees_the_part_of_a_transaction_that_fits_into_the_older_segment() {
    let captured = Captured::with(TABLE, |rowhook| rowhook.set("log.segment_size", 50)).await;
    let client = &captured.client;
    captured.execute(SLOW_PLAN).await;
    captured
        .execute("insert into t select i from generate_series(1, 45) i")
        .await;
    captured.logged(45).await;
    captured.execute("select pg_advisory_lock(1)").await;
    let reader = captured.database.client().await;
    let read = tokio::spawn(async move {
        let sql = "select count(*) from rowhook.events where sequence_id > public.slow()";
        reader.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    });
    wait_for(client, "a statement that is being planned", async || {
        let sql = "select exists (select from pg_stat_activity
                                   where wait_event = 'advisory' and datname = current_database())";
        client.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    // The first five have room in the segment that is there.
    captured
        .execute(
            "begin; insert into t select i from generate_series(46, 65) i; commit;
             select pg_advisory_unlock(1)",
        )
        .await;
    captured.logged(65).await;
    let seen = read.await.unwrap();
    assert!(
        seen == 45 || seen == 65,
        "a reader saw {seen} of 45 events and 20 more"
    );
}
