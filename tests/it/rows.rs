//! What `[[resource]]` adds to row events: soft deletion.

use serde_json::{Value, json};
use toml::{Table, toml};

use crate::capture::{Captured, types};
use crate::cluster::Database;
use crate::daemon::Rowhook;

const POSTS: &str =
    "create table posts (id int primary key, title text, body text, deleted_at date, deleted_by int);
     alter table posts alter body set storage external";

/// A row's life; each statement is a transaction.
const LIFE: [&str; 8] = [
    "insert into posts values (1, 'one', repeat('x', 5000))",
    "update posts set deleted_at = '2026-01-31', deleted_by = 7",
    "update posts set title = 'two'",
    "update posts set deleted_at = '2026-02-01'",
    "update posts set deleted_at = null",
    "update posts set deleted_at = null, title = 'three'",
    "update posts set deleted_at = '2026-03-01'",
    "delete from posts",
];

fn soft() -> Table {
    toml! {
        table = "public.posts"
        deleted_at = "deleted_at"
    }
}

async fn live(captured: &Captured) {
    for statement in LIFE {
        captured.execute(statement).await;
    }
}

/// The log as `rowhook.event_feed` shows it: old, new and what is removed.
async fn feed(captured: &Captured) -> Vec<(Value, Value, Value)> {
    let sql = "select old::text, new::text, (changes -> 'removed')::text from rowhook.event_feed
                order by sequence_id";
    let rows = captured.client.query(sql, &[]).await.unwrap();
    let json =
        |text: Option<&str>| text.map_or(Value::Null, |it| serde_json::from_str(it).unwrap());
    rows.iter()
        .map(|row| (json(row.get(0)), json(row.get(1)), json(row.get(2))))
        .collect()
}

const WITH_OLD_VALUES: [&str; 8] = [
    "posts.created",
    "posts.deleted",
    "posts.updated",
    "posts.updated",
    "posts.restored",
    "posts.updated",
    "posts.deleted",
    "posts.deleted",
];

#[tokio::test]
async fn setting_the_mark_deletes_and_taking_it_away_restores() {
    let captured = Captured::with(POSTS, |rowhook| rowhook.resource(soft())).await;
    live(&captured).await;
    let events = captured.logged(8).await;
    assert_eq!(types(&events), WITH_OLD_VALUES);
    assert_eq!(events[1].action, "deleted");
    assert_eq!(
        events[1].previous,
        json!({"deleted_at": null, "deleted_by": null})
    );
    assert_eq!(events[1].record["deleted_at"], "2026-01-31");
    assert_eq!(events[4].previous, json!({"deleted_at": "2026-02-01"}));
    // The row is gone: nothing was changed by it.
    assert_eq!(events[7].previous, Value::Null);
    assert_eq!(events[7].record["deleted_at"], "2026-03-01");

    let feed = feed(&captured).await;
    let (old, new, removed) = &feed[1];
    assert_eq!(old["deleted_at"], Value::Null);
    assert_eq!((&old["title"], new), (&json!("one"), &Value::Null));
    let columns = json!(["id", "title", "body", "deleted_at", "deleted_by"]);
    assert_eq!(*removed, columns);
    assert_eq!(feed[4].0["deleted_at"], "2026-02-01");
    assert_eq!(feed[4].1["deleted_at"], Value::Null);
    assert_eq!(feed[7].0["deleted_at"], "2026-03-01");

    let shown = captured.rowhook.succeed(&["events", "show", "2"]).await;
    let line = shown.lines().find(|line| line.contains("deleted_by"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(words, ["*", "deleted_by", "null", "7"]);
}

#[tokio::test]
async fn without_old_values_no_deletion_is_claimed() {
    let captured = Captured::with(POSTS, |rowhook| {
        let rowhook = rowhook.resource(soft());
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    live(&captured).await;
    captured
        .execute("insert into posts values (2, 'n', 'n', '2026-01-01')")
        .await;
    captured
        .execute("update posts set id = 3, deleted_at = null")
        .await;
    let events = captured.logged(10).await;
    let mut expected = vec!["posts.updated"; 10];
    expected[0] = "posts.created";
    expected[7] = "posts.deleted";
    expected[8] = "posts.created";
    assert_eq!(types(&events), expected);
    let report = captured.rowhook.succeed(&["check"]).await;
    assert!(report.contains("deleted_at has no effect"), "{report}");
}

#[tokio::test]
async fn the_log_tells_whether_a_row_was_deleted() {
    let mut captured = Captured::with(POSTS, |rowhook| {
        let mut resource = soft();
        resource.insert("previous".into(), "log".into());
        rowhook.resource(resource)
    })
    .await;
    for (place, statement) in (1..).zip(LIFE) {
        captured.execute(statement).await;
        captured.logged(place).await;
        // What was in memory is gone: the log is asked. After a deletion, and after a restoration.
        if place == 2 || place == 5 {
            captured.daemon.kill9().await;
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
    }
    let events = captured.logged(8).await;
    assert_eq!(types(&events), WITH_OLD_VALUES);
    for event in &events[1..] {
        assert_eq!(event.old_row, "full", "{event:?}");
        assert_eq!(event.record["body"].as_str().unwrap().len(), 5000);
    }
    assert_eq!(events[4].previous, json!({"deleted_at": "2026-02-01"}));
    assert_eq!(events[7].record["title"], "three");
}

#[tokio::test]
async fn check_compares_what_a_resource_says_with_its_table() {
    let database = Database::create().await;
    let client = database.client().await;
    let table = "create table posts (id int primary key, deleted_at date, gone boolean not null)";
    client.batch_execute(table).await.unwrap();
    let report = async |resource: Table| {
        let rowhook = Rowhook::new(&database).resource(resource);
        let output = rowhook.run_command(&["check"]).await;
        String::from_utf8(output.stdout).unwrap()
    };
    let typo = report(toml! {
        table = "public.posts"
        deleted_at = "delted_at"
    });
    let said = typo.await;
    assert!(said.contains("no column `delted_at`"), "{said}");
    assert!(said.contains("did you mean `deleted_at`?"), "{said}");
    let never_null = report(toml! {
        table = "public.posts"
        deleted_at = "gone"
    });
    let said = never_null.await;
    assert!(said.contains("column `gone` is never null"), "{said}");
    let good = report(soft()).await;
    assert!(!good.contains("WRONG  [[resource]]"), "{good}");
}
