//! Tables of every sort: partitioned ones and their partitions, inheritance, and what is no table.

use serde_json::{Value, json};

use crate::capture::Captured;
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{Logged, wait_for};

const PARTITIONED: &str = "
    create table p (tenant int, id int, v text, w text, primary key (tenant, id))
        partition by range (tenant);
    create table p1 partition of p for values from (0) to (10);
    create table p2 partition of p for values from (10) to (20) partition by range (id);
    create table p2a partition of p2 for values from (0) to (100);
    create table p2b partition of p2 for values from (100) to (200)";

fn told(events: &[Logged]) -> Vec<String> {
    let id = |event: &Logged| event.resource_id.clone().unwrap_or_else(|| "-".into());
    let line = |event: &Logged| format!("{} {}", event.event_type, id(event));
    events.iter().map(line).collect()
}

async fn identity_is(captured: &Captured, table: &str, identity: &str) {
    wait_for(&captured.client, "the replica identity", async || {
        let sql = "select relreplident::text from pg_class where oid = $1::text::regclass";
        let row = captured.client.query_one(sql, &[&table]).await.unwrap();
        row.get::<_, String>(0) == identity
    })
    .await;
}

#[tokio::test]
async fn a_row_is_its_roots_whichever_partition_holds_it() {
    let captured = Captured::tables(PARTITIONED).await;
    captured
        .execute("insert into p values (1, 1, 'a', 'w'), (11, 1, 'b', 'w'), (11, 100, 'c', 'w')")
        .await;
    captured
        .execute("update p set v = 'd' where id = 100")
        .await;
    // Within one partition it is an update; between two Postgres deletes it in one partition and inserts it into the other.
    captured
        .execute("update p set tenant = 12, id = 101 where id = 100")
        .await;
    captured
        .execute("update p set tenant = 2 where tenant = 11")
        .await;
    captured.execute("delete from p2b").await;
    captured.execute("truncate p1; truncate p2").await;
    captured.execute("truncate p").await;
    let events = captured.logged(9).await;
    assert_eq!(
        told(&events),
        [
            "p.created 1,1",
            "p.created 11,1",
            "p.created 11,100",
            "p.updated 11,100",
            "p.updated 12,101",
            "p.deleted 11,1",
            "p.created 2,1",
            "p.deleted 12,101",
            // That of a partition alone is not published.
            "p.truncated -",
        ]
    );
    assert_eq!(events[5].xid, events[6].xid);
    assert_eq!(events[5].old_row, "full");
}

#[tokio::test]
async fn a_new_partition_is_captured_at_once_and_its_old_rows_soon() {
    let captured = Captured::with(PARTITIONED, |rowhook| {
        rowhook.set("source.table_refresh", "1h")
    })
    .await;
    // At once: as soon as it can see the partition, the daemon gives it its identity.
    captured
        .execute(
            "begin;
             create table p3 partition of p for values from (20) to (30);
             insert into p values (20, 1, 'a', 'w'), (20, 2, null, null);
             update p set v = 'b' where id = 1;
             update p set id = 3 where id = 1;
             delete from p where id = 2;
             delete from p;
             commit",
        )
        .await;
    let events = captured.logged(6).await;
    // The stream claims whole old rows, with nulls for what it does not carry.
    assert_eq!(
        told(&events[2..]),
        [
            "p.updated 20,1",
            "p.updated 20,3",
            "p.deleted 20,2",
            "p.deleted 20,3"
        ]
    );
    assert_eq!(
        (&events[2].previous, events[2].old_row.as_str()),
        (&Value::Null, "absent")
    );
    assert_eq!(
        (&events[3].previous, events[3].old_row.as_str()),
        (&json!({"id": 1}), "key")
    );
    for event in &events[4..] {
        assert_eq!(event.old_row, "key");
        assert_eq!(event.unknown, ["v", "w"]);
        assert_eq!(event.record.as_object().unwrap().len(), 2);
    }
    // Setup mends it, and so does the daemon.
    captured.rowhook.setup().await;
    identity_is(&captured, "p3", "f").await;
}

#[tokio::test]
async fn partitions_that_come_get_their_identity_and_those_that_go_are_tables_of_their_own() {
    let sql = format!(
        "{PARTITIONED}; create table plain (tenant int, id int, v text, w text, primary key (tenant, id))"
    );
    let captured =
        Captured::with(&sql, |rowhook| rowhook.set("source.table_refresh", "100ms")).await;
    captured
        .execute("create table p3 partition of p for values from (20) to (30)")
        .await;
    captured
        .daemon
        .wait_for_log("a new partition's old rows")
        .await;
    identity_is(&captured, "p3", "f").await;
    captured
        .execute("insert into p values (20, 1, 'a', 'w')")
        .await;
    captured.execute("update p3 set v = 'b'").await;

    // A captured table that becomes a partition speaks as its root from then on.
    captured
        .execute("insert into plain values (31, 1, 'a', 'w')")
        .await;
    captured
        .execute("alter table p attach partition plain for values from (30) to (40)")
        .await;
    captured.execute("update plain set v = 'b'").await;

    // One that is detached joins as a table of its own.
    captured.execute("alter table p detach partition p3").await;
    let line = captured.daemon.wait_for_log("a new table matches").await;
    assert!(line.contains("public.p3"), "{line}");
    captured.execute("update p3 set v = 'c'").await;
    captured.execute("drop table p2").await;
    captured
        .execute("insert into p values (2, 2, 'e', 'w')")
        .await;

    let events = captured.logged(6).await;
    assert_eq!(
        told(&events),
        [
            "p.created 20,1",
            "p.updated 20,1",
            "plain.created 31,1",
            "p.updated 31,1",
            "p3.updated 20,1",
            "p.created 2,2",
        ]
    );
    let old: Vec<_> = events.iter().map(|event| event.previous.clone()).collect();
    let a = json!({"v": "a"});
    assert_eq!(
        old,
        [
            Value::Null,
            a.clone(),
            Value::Null,
            a,
            json!({"v": "b"}),
            Value::Null
        ]
    );
}

/// Whoever waits for a lock on a table holds up everyone behind: not longer than two seconds, and
/// not again and again.
#[tokio::test]
async fn a_busy_partition_is_left_alone_for_a_while() {
    let captured = Captured::with(PARTITIONED, |rowhook| {
        rowhook.set("source.table_refresh", "100ms")
    })
    .await;
    let busy = captured.database.client().await;
    busy.batch_execute("begin; create table p3 partition of p for values from (20) to (30)")
        .await
        .unwrap();
    let reader = captured.database.client().await;
    busy.batch_execute("commit; begin; select count(*) from p3")
        .await
        .unwrap();
    // Either it was first, or it has to wait.
    let row = captured.client.query_one(
        "select relreplident::text from pg_class where relname = 'p3'",
        &[],
    );
    if row.await.unwrap().get::<_, String>(0) == "f" {
        return;
    }
    let line = captured.daemon.wait_for_log("lock timeout").await;
    assert!(line.contains("public.p3"), "{line}");
    // The daemon goes on looking, and whoever reads all the while does not wait behind it.
    let limit = "set lock_timeout = '1500ms'";
    reader.batch_execute(limit).await.unwrap();
    let looking = std::cell::Cell::new(true);
    let looks = async {
        for look in 0..5 {
            let table = format!("create table look_{look} (id int primary key)");
            captured.execute(&table).await;
            let seen = format!("public.look_{look}");
            captured.daemon.wait_for_log(&seen).await;
        }
        looking.set(false);
    };
    let reads = async {
        while looking.get() {
            let read = reader.batch_execute("select count(*) from p").await;
            read.unwrap();
        }
    };
    tokio::join!(looks, reads);
    assert_eq!(captured.daemon.logs().matches("lock timeout").count(), 1);
}

#[tokio::test]
async fn tables_that_inherit_are_tables_of_their_own() {
    let captured = Captured::with(
        "create table parent (id int primary key, v text);
         create table child (primary key (id), extra int) inherits (parent);
         create table silent (primary key (id)) inherits (parent)",
        |rowhook| {
            rowhook
                .set("capture.tables", vec!["public.*", "!public.silent"])
                .set("source.table_refresh", "100ms")
        },
    )
    .await;
    captured.execute("insert into parent values (1, 'a')").await;
    captured
        .execute("insert into child values (2, 'b', 3)")
        .await;
    captured.execute("insert into silent values (4, 'c')").await;
    captured.execute("update parent set v = 'x'").await;
    captured
        .execute("create table later (primary key (id)) inherits (parent)")
        .await;
    captured.daemon.wait_for_log("a new table matches").await;
    captured.execute("insert into later values (5, 'd')").await;
    let events = captured.logged(5).await;
    let mut told = told(&events);
    told[2..4].sort();
    assert_eq!(
        told,
        [
            "parent.created 1",
            "child.created 2",
            "child.updated 2",
            "parent.updated 1",
            "later.created 5"
        ]
    );
    let sql = "select 1 from pg_publication_rel where prrelid = 'silent'::regclass";
    assert!(captured.client.query(sql, &[]).await.unwrap().is_empty());
}

const NO_TABLES: &str = "
    create table t (id int primary key);
    create view looks as select * from t;
    create materialized view kept as select * from t;
    create unlogged table quick (id int primary key);
    create extension file_fdw;
    create server files foreign data wrapper file_fdw;
    create foreign table far (id int) server files options (filename '/dev/null');
    create table p (id int primary key) partition by range (id);
    create table p1 partition of p for values from (0) to (10);
    create unlogged table p2 partition of p for values from (10) to (20);
    create table keyless (v text)";

#[tokio::test]
async fn what_is_no_table_is_refused_by_name_and_passed_over_by_pattern() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(NO_TABLES).await.unwrap();
    for (name, reason, fix) in [
        ("looks", "a view", "the tables that it reads"),
        ("kept", "a materialized view", "the tables that it reads"),
        (
            "quick",
            "unlogged",
            "alter table \\\"public\\\".\\\"quick\\\" set logged",
        ),
        ("far", "a foreign table", "the server that holds it"),
        ("p1", "a partition", "that table"),
        ("keyless", "no primary key", "add primary key"),
    ] {
        let named = Rowhook::new(&database).set(
            "capture.tables",
            vec!["public.t".to_owned(), format!("public.{name}")],
        );
        let said = named.fail(&["check", "--json"], 1).await;
        let report: Value =
            serde_json::from_str(said.lines().collect::<String>().as_str()).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let about = format!("table public.{name}");
        let found = findings
            .iter()
            .find(|finding| finding["about"] == about.as_str());
        let text = found.unwrap().to_string();
        for part in [reason, fix, "\"error\""] {
            assert!(text.contains(part), "{name}: {part} in {text}");
        }
        let said = named.fail(&["setup"], 78).await;
        assert!(
            said.contains(&about[6..]) && said.contains(reason),
            "{said}"
        );
    }

    let all = Rowhook::new(&database);
    let said = all.succeed(&["setup"]).await;
    for (name, remarked) in [
        ("looks", false),
        ("kept", false),
        ("quick", true),
        ("far", true),
        ("keyless", true),
        ("p1", false),
    ] {
        assert_eq!(
            said.contains(&format!("table public.{name}:")),
            remarked,
            "{name}: {said}"
        );
    }
    let report = all.json(&["check"]).await;
    let text = report.to_string();
    assert!(
        text.contains("changes of its partition p2 are not captured"),
        "{text}"
    );
    let sql = "select string_agg(tablename, ' ' order by tablename) from pg_publication_tables where pubname = $1";
    let row = client
        .query_one(sql, &[&database.publication()])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "p t");
}

/// A temporary table is in a schema of its session's.
#[tokio::test]
async fn a_temporary_table_is_nobodys_business() {
    let captured = Captured::with("create table t (id int primary key)", |rowhook| {
        rowhook
            .set("capture.tables", vec!["*.*"])
            .set("source.table_refresh", "100ms")
    })
    .await;
    captured
        .execute(
            "create temporary table scratch (id int primary key); insert into scratch values (1)",
        )
        .await;
    captured
        .execute("create table later (id int primary key)")
        .await;
    let line = captured.daemon.wait_for_log("a new table matches").await;
    assert!(line.contains("public.later"), "{line}");
    captured.execute("insert into later values (1)").await;
    assert_eq!(told(&captured.logged(1).await), ["later.created 1"]);
    let report = captured.rowhook.json(&["check"]).await.to_string();
    assert!(!report.contains("scratch"), "{report}");

    let sql = "select relnamespace::regnamespace::text from pg_class where relname = 'scratch'";
    let schema: String = captured.client.query_one(sql, &[]).await.unwrap().get(0);
    let named = Rowhook::new(&captured.database).set(
        "capture.tables",
        vec!["public.t".to_owned(), format!("{schema}.scratch")],
    );
    let said = named.fail(&["setup"], 78).await;
    assert!(
        said.contains("scratch") && said.contains("temporary"),
        "{said}"
    );
}

/// What the application may see or write is not what the WAL holds: row security, and triggers that
/// are switched off, change nothing.
#[tokio::test]
async fn row_security_and_a_replica_session_hide_nothing() {
    let captured = Captured::tables(
        "create table t (id int primary key, v text);
         alter table t enable row level security;
         alter table t force row level security;
         create policy nothing on t using (false)",
    )
    .await;
    captured.execute("insert into t values (1, 'a')").await;
    captured
        .execute("set session_replication_role = replica; update t set v = 'b'; reset session_replication_role")
        .await;
    let events = captured.logged(2).await;
    assert_eq!(told(&events), ["t.created 1", "t.updated 1"]);
    assert_eq!(events[1].previous, json!({"v": "a"}));
}

#[tokio::test]
async fn a_table_without_a_key_needs_a_rule_for_one() {
    let captured = Captured::with("create table t (code text, v text)", |rowhook| {
        rowhook.resource(toml::toml! { table = "public.t" key = ["code"] })
    })
    .await;
    captured.execute("insert into t values ('x', 'a')").await;
    captured.execute("update t set v = 'b'").await;
    captured.execute("update t set code = 'y'").await;
    captured.execute("delete from t").await;
    let events = captured.logged(4).await;
    assert_eq!(
        told(&events),
        ["t.created x", "t.updated x", "t.updated y", "t.deleted y"]
    );
    assert_eq!(events[2].previous, json!({"code": "x"}));
}

/// PostgreSQL 14 sends null for it where a partition's columns stand in another order.
#[tokio::test]
async fn a_default_that_older_rows_do_not_hold_is_known_or_unknown_and_never_null() {
    let captured = Captured::tables(
        "create table logs (a int, id int, note text, primary key (a, id)) partition by list (a);
         create table logs_1 (note text, id int not null, a int not null);
         alter table logs attach partition logs_1 for values in (1)",
    )
    .await;
    captured
        .execute(
            "insert into logs values (1, 1, 'x'), (1, 2, 'x');
             alter table logs add column extra numeric default 1.50",
        )
        .await;
    captured
        .execute("update logs set extra = 2 where id = 1")
        .await;
    captured.execute("delete from logs where id = 2").await;
    let events = captured.logged(4).await;
    let version = captured
        .client
        .query_one("select current_setting('server_version_num')::int", &[])
        .await
        .unwrap();
    let (updated, deleted) = (&events[2], &events[3]);
    if version.get::<_, i32>(0) >= 150_000 {
        assert_eq!(updated.old_row, "full");
        assert_eq!(updated.previous, json!({"extra": 1.50}));
        assert_eq!(deleted.record["extra"], json!(1.50));
    } else {
        assert_eq!(
            (updated.old_row.as_str(), &updated.previous),
            ("partial", &json!({}))
        );
        assert_eq!(
            (deleted.old_row.as_str(), &deleted.unknown[..]),
            ("partial", &["extra".to_owned()][..])
        );
        assert_eq!(deleted.record.get("extra"), None);
    }
}
