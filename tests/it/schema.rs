//! Schema changes in the middle of the stream: each row is decoded with the shape that it had, with
//! the daemon running and with the daemon stopped meanwhile. The oracle is `to_jsonb` at the time
//! of each change, taken by a trigger.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::audit;
use crate::capture::Captured;
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{Logged, assert_dense, count, events, wait_for};

/// Puts the oracle on a table.
fn audited(table: &str) -> String {
    format!(
        "create trigger audit after insert or update or delete on {table}
         for each row execute function audit.note();"
    )
}

/// Whether the daemon runs while the schema changes, or reads it all later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Daemon {
    Running,
    Stopped,
}

/// What happens, and what should be told of it.
struct Story {
    /// Makes the tables.
    setup: &'static str,
    /// Those of them that are under audit.
    tables: &'static [&'static str],
    /// `capture.tables`.
    capture: &'static [&'static str],
    /// Run one after the other.
    steps: &'static [&'static str],
    /// Event type and resource id of every event.
    told: &'static [&'static str],
}

async fn audited_changes(client: &Client, capture: &[&str]) -> Vec<audit::Change> {
    let mut changes = audit::changes(client).await;
    changes.retain(|change| capture.contains(&change.table.as_str()));
    changes
}

fn told(events: &[Logged]) -> Vec<String> {
    let id = |event: &Logged| event.resource_id.clone().unwrap_or_else(|| "-".into());
    let line = |event: &Logged| format!("{} {}", event.event_type, id(event));
    events.iter().map(line).collect()
}

impl Story {
    /// Plays it with the daemon running and with the daemon stopped.
    async fn play(&self) {
        tokio::join!(
            self.play_with(Daemon::Running),
            self.play_with(Daemon::Stopped)
        );
    }

    async fn play_with(&self, mode: Daemon) {
        let database = Database::create().await;
        let client = database.client().await;
        client.batch_execute(self.setup).await.unwrap();
        audit::install(&client, &[]).await;
        for table in self.tables {
            client.batch_execute(&audited(table)).await.unwrap();
        }
        let rowhook = Rowhook::new(&database).set("capture.tables", self.capture.to_vec());
        rowhook.setup().await;
        let mut daemon = rowhook.spawn_ready().await;
        if mode == Daemon::Stopped {
            assert_eq!(daemon.stop().await, Some(0));
        }
        for step in self.steps {
            client
                .batch_execute(step)
                .await
                .unwrap_or_else(|error| panic!("{step}: {error:?}"));
            if mode == Daemon::Running {
                self.caught_up(&client).await;
            }
        }
        if mode == Daemon::Stopped {
            daemon = rowhook.spawn_ready().await;
        }
        self.caught_up(&client).await;
        let events = events(&client).await;
        assert_dense(&events);
        assert_eq!(told(&events), self.told, "{mode:?}");
        let happened = audited_changes(&client, self.capture).await;
        let logged = audit::logged(&client).await;
        assert_eq!(logged, happened, "{mode:?}");
        drop(daemon);
    }

    async fn caught_up(&self, client: &Client) {
        let happened = audited_changes(client, self.capture).await.len();
        let happened = i64::try_from(happened).unwrap();
        wait_for(
            client,
            &format!("{happened} changes in the log"),
            async || count(client).await >= happened,
        )
        .await;
    }
}

#[tokio::test]
async fn columns_come_go_and_change_their_names_and_types() {
    let story = Story {
        setup: "create table t (id int primary key, a text, n int, v varchar(20))",
        tables: &["t"],
        capture: &["public.t"],
        steps: &[
            "insert into t values (1, 'a', 1, 'one'), (2, 'b', 2, 'two')",
            "alter table t add column b int",
            "update t set b = 1 where id = 1",
            "alter table t add column c text not null default 'standing'",
            "update t set n = 11 where id = 1",
            "insert into t values (3, 'c', 3, 'three', 3)",
            "alter table t alter column n set default 99",
            "insert into t (id) values (4)",
            "alter table t drop column a",
            "update t set n = 12 where id = 2",
            "alter table t rename column v to w",
            "update t set w = 'uno' where id = 1",
            "alter table t alter column n drop default, alter column n type text using 'n' || n",
            "update t set n = 'x' where id = 1",
            "alter table t alter column w type int using length(w)",
            "update t set w = w + 1 where id = 2",
            "delete from t where id = 3",
        ],
        told: &[
            "t.created 1",
            "t.created 2",
            "t.updated 1",
            "t.updated 1",
            "t.created 3",
            "t.created 4",
            "t.updated 2",
            "t.updated 1",
            "t.updated 1",
            "t.updated 2",
            "t.deleted 3",
        ],
    };
    story.play().await;
}

#[tokio::test]
async fn several_changes_within_one_transaction_have_rows_of_several_shapes() {
    let story = Story {
        setup: "create table t (id int primary key, a text)",
        tables: &["t"],
        capture: &["public.t"],
        steps: &[
            "begin;
             insert into t values (1, 'a');
             alter table t add column b int default 5;
             insert into t values (2, 'b', 6);
             update t set a = 'aa' where id = 1;
             alter table t drop column a;
             alter table t rename column b to a;
             insert into t values (3, 7);
             delete from t where id = 1;
             commit",
            "update t set a = 8 where id = 2",
            "begin; alter table t add column gone int; insert into t values (4, 1, 1); rollback",
            "insert into t values (5, 2)",
        ],
        told: &[
            "t.created 1",
            "t.created 2",
            "t.updated 1",
            "t.created 3",
            "t.deleted 1",
            "t.updated 2",
            "t.created 5",
        ],
    };
    story.play().await;
}

#[tokio::test]
async fn an_enum_gets_new_values_and_other_names_for_old_ones() {
    let story = Story {
        setup: "create type mood as enum ('sad', 'ok');
                create table t (id int primary key, m mood, ms mood[])",
        tables: &["t"],
        capture: &["public.t"],
        steps: &[
            "insert into t values (1, 'sad', '{sad,ok}')",
            "alter type mood add value 'happy' before 'ok'",
            "insert into t values (2, 'happy', '{happy}')",
            "alter type mood rename value 'sad' to 'blue'",
            "update t set m = 'ok' where id = 1",
            "alter type mood rename to feeling",
            "update t set m = 'blue' where id = 2",
        ],
        told: &["t.created 1", "t.created 2", "t.updated 1", "t.updated 2"],
    };
    story.play().await;
}

#[tokio::test]
async fn a_renamed_table_is_another_resource_or_none() {
    let story = Story {
        setup: "create table t (id int primary key); create schema other",
        tables: &["t"],
        capture: &["public.t", "public.u", "other.u"],
        steps: &[
            "insert into t values (1)",
            "alter table t rename to u",
            "insert into u values (2)",
            "alter table u rename to hidden",
            "insert into hidden values (3)",
            "alter table hidden rename to u",
            "insert into u values (4)",
            "alter table u set schema other",
            "insert into other.u values (5)",
        ],
        told: &[
            "t.created 1",
            "u.created 2",
            "u.created 4",
            "other.u.created 5",
        ],
    };
    story.play().await;
}

#[tokio::test]
async fn rows_keep_the_resource_id_that_they_had_when_the_key_changes() {
    let story = Story {
        setup: "create table t (id int primary key, tenant int not null default 7, v text);
                create table renamed (id int primary key, v text);
                create table swapped (a int, b int, v text, primary key (b, a))",
        tables: &["t", "renamed", "swapped"],
        capture: &["public.t", "public.renamed", "public.swapped"],
        steps: &[
            "insert into t values (1)",
            "insert into renamed values (1)",
            "insert into swapped values (1, 2)",
            "begin; alter table t drop constraint t_pkey; alter table t add primary key (tenant, id); commit",
            "insert into t values (2)",
            "delete from t where id = 1",
            "alter table renamed rename column id to no",
            "update renamed set v = 'x'",
            "alter table swapped drop constraint swapped_pkey, add primary key (a)",
            "update swapped set v = 'x'",
        ],
        told: &[
            "t.created 1",
            "renamed.created 1",
            "swapped.created 2,1",
            "t.created 7,2",
            "t.deleted 7,1",
            "renamed.updated 1",
            "swapped.updated 1",
        ],
    };
    story.play().await;
}

#[tokio::test]
async fn a_key_that_is_made_under_a_savepoint_holds_for_what_follows() {
    let story = Story {
        setup: "create table t (id int primary key, tenant int not null default 7)",
        tables: &["t"],
        capture: &["public.t"],
        steps: &[
            "insert into t values (1)",
            "begin; insert into t values (2); savepoint s;
             alter table t drop constraint t_pkey, add primary key (tenant, id); release s;
             insert into t values (3); commit",
            "insert into t values (4)",
        ],
        told: &["t.created 1", "t.created 2", "t.created 3", "t.created 7,4"],
    };
    story.play().await;
}

/// The limit of what can be told: a transaction that began before the key changed and wrote after it
/// counts as one from before. Those that follow do not.
#[tokio::test]
async fn a_transaction_that_is_older_than_the_key_does_not_stand_for_those_that_follow() {
    for mode in [Daemon::Running, Daemon::Stopped] {
        let mut captured = Captured::tables(
            "create table t (id int primary key, tenant int not null default 7);
             create table other (id int primary key)",
        )
        .await;
        if mode == Daemon::Stopped {
            captured.daemon.stop().await;
        }
        let older = captured.database.client().await;
        let begin = "begin; insert into other values (1)";
        older.batch_execute(begin).await.unwrap();
        captured
            .execute("alter table t drop constraint t_pkey, add primary key (tenant, id)")
            .await;
        let end = "insert into t values (1); commit";
        older.batch_execute(end).await.unwrap();
        captured.execute("insert into t values (2)").await;
        captured.execute("insert into t values (3)").await;
        if mode == Daemon::Stopped {
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
        let events = captured.logged(4).await;
        let expected = [
            "other.created 1",
            "t.created 1",
            "t.created 7,2",
            "t.created 7,3",
        ];
        assert_eq!(told(&events), expected, "{mode:?}");
    }
}

/// A table made anew is another one, which has to join: what was written before it did is not
/// captured.
#[tokio::test]
async fn a_table_that_is_dropped_and_made_anew_joins_again() {
    for mode in [Daemon::Running, Daemon::Stopped] {
        let mut captured = Captured::with(
            "create table t (b int, a int, v text, primary key (b, a))",
            |rowhook| rowhook.set("source.table_refresh", "100ms"),
        )
        .await;
        if mode == Daemon::Stopped {
            captured.daemon.stop().await;
        }
        captured.execute("insert into t values (1, 2, 'x')").await;
        captured.execute("update t set v = 'y'").await;
        if mode == Daemon::Running {
            captured.logged(2).await;
        }
        captured
            .execute("drop table t; create table t (name text primary key, n int)")
            .await;
        if mode == Daemon::Stopped {
            captured.execute("insert into t values ('unseen', 0)").await;
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
        captured.daemon.wait_for_log("a new table matches").await;
        captured.execute("insert into t values ('seen', 1)").await;
        let events = captured.logged(3).await;
        assert_eq!(
            told(&events),
            ["t.created 1,2", "t.updated 1,2", "t.created seen"],
            "{mode:?}"
        );
        assert_eq!(events[1].previous, json!({"v": "x"}));
        assert_eq!(events[2].record, json!({"name": "seen", "n": 1}));
    }
}

async fn rows(client: &Client, counting: &str) -> i64 {
    client.query_one(counting, &[]).await.unwrap().get(0)
}

/// Under REPLICA IDENTITY FULL the catalogs alone tell a key, and those of a table that is dropped
/// tell it no more.
#[tokio::test]
async fn a_tables_key_is_noted_before_its_rows_are_captured() {
    let captured = Captured::with("create table t (id int primary key)", |rowhook| {
        rowhook.set("source.table_refresh", "100ms")
    })
    .await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    let holder = captured.database.client().await;
    holder
        .batch_execute("begin; lock table rowhook.relation_keys in access exclusive mode")
        .await
        .unwrap();
    captured
        .execute("create table u (id int primary key)")
        .await;
    let client = &captured.client;
    let waits = async || {
        let waiting = "select count(*) from pg_stat_activity
             where application_name = 'rowhook tables' and wait_event_type = 'Lock'
               and datname = current_database()";
        rows(client, waiting).await > 0
    };
    wait_for(client, "the daemon to wait for the lock", waits).await;
    let published = format!(
        "select count(*) from pg_publication_tables where pubname = '{}' and tablename = 'u'",
        captured.database.publication()
    );
    assert_eq!(rows(client, &published).await, 0);
    holder.batch_execute("rollback").await.unwrap();
    captured.daemon.wait_for_log("a new table matches").await;
    captured
        .execute("begin; insert into u values (7); drop table u; commit")
        .await;
    let events = captured.logged(2).await;
    assert_eq!(told(&events), ["t.created 1", "u.created 7"]);
}

/// Inserts a row with a large value, changes another column, changes the key, deletes it.
async fn life_of_a_row(identity: &str) -> Vec<Logged> {
    let captured = Captured::with(
        "create table t (id int primary key, email text not null unique, n int, big text);
         alter table t alter column big set storage external",
        |rowhook| rowhook.set("source.replica_identity", "keep"),
    )
    .await;
    captured
        .execute(&format!("alter table t replica identity {identity}"))
        .await;
    for step in [
        "insert into t values (1, 'a@b.c', null, repeat('x', 10000))",
        "update t set n = 1",
        "update t set id = 2",
        "update t set email = 'd@e.f'",
        "delete from t",
    ] {
        captured.execute(step).await;
    }
    captured.logged(5).await
}

fn without_big(event: &Logged) -> Value {
    let mut record = event.record.clone();
    record.as_object_mut().unwrap().remove("big");
    record
}

fn previous(events: &[Logged]) -> Vec<Value> {
    events.iter().map(|event| event.previous.clone()).collect()
}

#[tokio::test]
async fn every_identity_says_what_it_knows_of_the_old_row_and_no_more() {
    let (full, default, index) = tokio::join!(
        life_of_a_row("full"),
        life_of_a_row("default"),
        life_of_a_row("using index t_email_key")
    );
    let ids = ["t.created 1", "t.updated 1", "t.updated 2", "t.updated 2"];
    for events in [&full, &default, &index] {
        assert_eq!(told(&events[..4]), ids);
        let last = json!({"id": 2, "email": "d@e.f", "n": 1});
        assert_eq!(without_big(&events[3]), last);
    }

    // Whole old rows: a value that was not touched is taken from there.
    for event in &full {
        assert!(event.unknown.is_empty(), "{event:?}");
        assert_eq!(event.record["big"].as_str().map(str::len), Some(10000));
    }
    let email = json!({"email": "a@b.c"});
    let old = [
        json!({"n": null}),
        json!({"id": 1}),
        email.clone(),
        Value::Null,
    ];
    assert_eq!(previous(&full[1..]), old);
    assert_eq!(told(&full[4..]), ["t.deleted 2"]);
    assert_eq!(full[4].old_row, "full");

    // The key alone, and where it changed.
    let old = [Value::Null, json!({"id": 1}), Value::Null, Value::Null];
    assert_eq!(previous(&default[1..]), old);
    let old_rows: Vec<_> = default.iter().map(|e| e.old_row.as_str()).collect();
    assert_eq!(old_rows, ["absent", "absent", "key", "absent", "key"]);
    assert_eq!(told(&default[4..]), ["t.deleted 2"]);
    assert_eq!(default[4].record, json!({"id": 2}));
    assert_eq!(default[4].unknown, ["email", "n", "big"]);

    // The index's columns; the primary key is not among them.
    let old = [Value::Null, Value::Null, email, Value::Null];
    assert_eq!(previous(&index[1..]), old);
    assert_eq!(told(&index[4..]), ["t.deleted -"]);
    assert_eq!(index[4].record, json!({"email": "d@e.f"}));
    assert_eq!(index[4].unknown, ["id", "n", "big"]);
    for event in default[1..4].iter().chain(&index[1..4]) {
        assert_eq!(event.unknown, ["big"]);
        assert!(event.record.get("big").is_none());
    }
}

#[tokio::test]
async fn check_says_where_a_delete_will_not_say_which_row_it_was() {
    let captured = Captured::with(
        "create table good (id int primary key, email text not null unique);
         create table bad (id int primary key, email text not null unique);
         alter table bad replica identity using index bad_email_key;
         create table ruled (id int primary key, email text)",
        |rowhook| {
            rowhook
                .set("source.replica_identity", "keep")
                .resource(toml::toml! { table = "public.ruled" key = ["email"] })
        },
    )
    .await;
    let report = captured.rowhook.succeed(&["check"]).await;
    for (table, remarked) in [("good", false), ("bad", true), ("ruled", true)] {
        let remark = format!("table public.{table}: its replica identity does not hold the key");
        assert_eq!(report.contains(&remark), remarked, "{report}");
    }
}

/// The server refuses updates and deletes of a published table that has no identity; rows that are
/// only written are captured.
#[tokio::test]
async fn inserts_need_no_identity() {
    let captured = Captured::with("create table t (id int primary key, v text)", |rowhook| {
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    captured
        .execute("alter table t replica identity nothing")
        .await;
    captured.execute("insert into t values (1, 'x')").await;
    let refused = captured.client.batch_execute("update t set v = 'y'").await;
    assert_eq!(refused.unwrap_err().code().unwrap().code(), "55000");
    let events = captured.logged(1).await;
    assert_eq!(told(&events), ["t.created 1"]);
    assert_eq!(events[0].record, json!({"id": 1, "v": "x"}));
}

#[tokio::test]
async fn an_identity_that_is_changed_by_hand_holds_from_then_on() {
    for mode in [Daemon::Running, Daemon::Stopped] {
        let mut captured =
            Captured::tables("create table t (id int primary key, v text, w text)").await;
        if mode == Daemon::Stopped {
            captured.daemon.stop().await;
        }
        for (logged, step) in (1..).zip([
            "insert into t values (1, 'a', 'a')",
            "update t set v = 'b'",
            "alter table t replica identity default; update t set v = 'c'",
            "alter table t replica identity full; update t set v = 'd'",
        ]) {
            captured.execute(step).await;
            if mode == Daemon::Running {
                captured.logged(logged).await;
            }
        }
        if mode == Daemon::Stopped {
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
        let events = captured.logged(4).await;
        let old: Vec<_> = events
            .iter()
            .map(|e| (e.old_row.as_str(), e.previous.clone()))
            .collect();
        let expected = [
            ("absent", Value::Null),
            ("full", json!({"v": "a"})),
            ("absent", Value::Null),
            ("full", json!({"v": "c"})),
        ];
        assert_eq!(old, expected, "{mode:?}");
    }
}
