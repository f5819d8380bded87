//! `previous = "log"`: full old and new rows without REPLICA IDENTITY FULL.

use serde_json::json;
use toml::Table;

use crate::audit::{self, Audited};
use crate::capture::Captured;
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::{Logged, wait_for, wait_for_logged};

const DOCUMENTS: &str =
    "create table documents (id bigint, part text, title text, body text, likes int default 0,
                             primary key (id, part));
     alter table documents alter body set storage external";

const AUDITED: &[Audited] = &[Audited {
    table: "public.documents",
    key: &["id", "part"],
}];

fn from_log(table: &str) -> Table {
    let mut resource = Table::new();
    resource.insert("table".into(), table.into());
    resource.insert("previous".into(), "log".into());
    resource
}

fn recalled(rowhook: Rowhook) -> Rowhook {
    rowhook.resource(from_log("public.documents"))
}

async fn identity(captured: &Captured, table: &str) -> String {
    let sql = format!("select relreplident::text from pg_class where oid = '{table}'::regclass");
    captured.client.query_one(&sql, &[]).await.unwrap().get(0)
}

/// The events as they should be: complete.
fn assert_complete(events: &[Logged]) {
    for event in events.iter().filter(|event| event.action != "created") {
        assert_eq!(event.old_row, "full", "{event:?}");
        assert!(event.unknown.is_empty(), "{event:?}");
    }
}

/// Writes of all sorts: unchanged and changed TOAST, changed keys, keys that are used again, no-ops.
fn writes(round: u32) -> String {
    let body = |n: u32| format!("repeat('{n} long ', 1000)");
    format!(
        "insert into documents select n, 'a, b', 'title ' || n, {b1} from generate_series({lo}, {hi}) n;
         update documents set title = title || '!' where id % 2 = 0;
         update documents set likes = likes where id % 3 = 0;
         update documents set body = {b2} where id % 5 = 0;
         begin; update documents set likes = likes + 1; update documents set likes = likes + 1; commit;
         update documents set part = 'c\\,d' where id % 7 = 0 and part = 'a, b';
         update documents set id = id + 1000000 where id = {lo};
         delete from documents where id % 11 = 0;
         insert into documents values ({lo}, 'a, b', null, null);
         update documents set title = 'again' where id = {lo};",
        b1 = body(round),
        b2 = body(round + 100),
        lo = round * 100 + 1,
        hi = round * 100 + 99,
    )
}

#[tokio::test]
async fn old_rows_and_unchanged_toast_come_from_the_log() {
    let mut captured = Captured::with(DOCUMENTS, recalled).await;
    assert_eq!(
        identity(&captured, "documents").await,
        "d",
        "setup leaves it alone"
    );
    audit::install(&captured.client, AUDITED).await;
    for round in 1..5 {
        captured.execute(&writes(round)).await;
        if round == 2 {
            // What was in memory is gone: the log is asked.
            captured.daemon.kill9().await;
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
    }
    let wanted = audit::count(&captured.client).await;
    let events = captured.logged(wanted).await;
    assert_complete(&events);
    audit::assert_log_equals_audit(&captured.client, AUDITED).await;
}

#[tokio::test]
async fn a_transaction_larger_than_memory_finds_its_own_rows() {
    let captured = Captured::with(DOCUMENTS, recalled).await;
    audit::install(&captured.client, AUDITED).await;
    // Three passes over 20 MB each: rows are long handed over to the log, and not committed, when
    // they are needed again.
    captured
        .execute(
            "begin;
             insert into documents select n, 'p', 'one', repeat('x', 5000) from generate_series(1, 4000) n;
             update documents set title = 'two', body = repeat('y', 5000);
             update documents set title = 'three';
             delete from documents where id % 2 = 0;
             commit;",
        )
        .await;
    let events = captured.logged(14_000).await;
    assert_complete(&events);
    audit::assert_log_equals_audit(&captured.client, AUDITED).await;
}

#[tokio::test]
async fn what_the_log_cannot_know_stays_unknown() {
    let database = Database::create().await;
    let client = database.client().await;
    client.batch_execute(DOCUMENTS).await.unwrap();
    // Before capture: the log has nothing of it.
    client
        .batch_execute("insert into documents values (1, 'p', 'old', repeat('x', 5000)), (2, 'p', 'old', 'short')")
        .await
        .unwrap();
    let rowhook = recalled(Rowhook::new(&database));
    rowhook.setup().await;
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("update documents set title = 'new' where id = 1; update documents set likes = 1 where id = 1")
        .await
        .unwrap();
    client
        .batch_execute(
            "update documents set likes = 1 where id = 2; delete from documents where id = 2",
        )
        .await
        .unwrap();
    let events = wait_for_logged(&client, 4).await;
    assert_eq!(events[0].old_row, "absent");
    assert_eq!(events[0].unknown, ["body"]);
    assert_eq!(events[0].previous, json!(null));
    // The second one knows what the first one said, and no more.
    assert_eq!(events[1].old_row, "partial");
    assert_eq!(events[1].previous, json!({"likes": 0}));
    assert_eq!(events[1].unknown, ["body"]);
    assert_eq!(events[3].old_row, "full");
    assert_eq!(
        events[3].record,
        json!({"id": 2, "part": "p", "title": "old", "body": "short", "likes": 1})
    );

    // A column that is added ends what is known, until the row's next event.
    client
        .batch_execute("alter table documents add column extra int default 5")
        .await
        .unwrap();
    // The first event after it shows the change to rowhook, and is itself from before that.
    for (wanted, likes) in [(5, 2), (6, 3), (7, 4)] {
        let sql = format!("update documents set extra = {likes}, likes = {likes} where id = 1");
        client.batch_execute(&sql).await.unwrap();
        wait_for_logged(&client, wanted).await;
    }
    let events = wait_for_logged(&client, 7).await;
    assert_eq!(events[4].old_row, "absent");
    assert_eq!(events[6].old_row, "partial");
    assert_eq!(events[6].previous, json!({"likes": 3, "extra": 3}));
}

#[tokio::test]
async fn changes_that_may_have_been_missed_are_not_covered_up() {
    let mut captured = Captured::with(DOCUMENTS, recalled).await;
    let publication = captured.database.publication();
    captured
        .execute("insert into documents values (1, 'p', 'one', 'b'), (2, 'p', 'one', 'b')")
        .await;
    captured.logged(2).await;
    // Taken out of the publication, changed, taken in again: the log's last event is not the row.
    captured
        .execute(&format!(
            "alter publication {publication} drop table documents"
        ))
        .await;
    captured
        .execute("update documents set title = 'unseen' where id = 1")
        .await;
    captured
        .execute(&format!(
            "alter publication {publication} add table documents"
        ))
        .await;
    assert_eq!(captured.daemon.wait_exit().await, Some(70));
    captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update documents set likes = 1 where id = 1")
        .await;
    captured
        .execute("update documents set likes = 2 where id = 1")
        .await;
    let events = captured.logged(5).await;
    assert_eq!(events[2].event_type, "rowhook.gap");
    assert_eq!(events[3].old_row, "absent", "{:?}", events[3]);
    assert_eq!(events[4].old_row, "full");
    assert_eq!(events[4].previous, json!({"likes": 1}));

    // The same with the settings.
    captured.daemon.stop().await;
    let rowhook = std::mem::replace(&mut captured.rowhook, Rowhook::new(&captured.database));
    captured.rowhook = rowhook.set("capture.tables", vec!["public.*", "!public.documents"]);
    captured
        .execute("create table other (id int primary key)")
        .await;
    captured.rowhook.setup().await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute(
            "update documents set title = 'unseen too' where id = 2; insert into other values (1)",
        )
        .await;
    captured.logged(6).await;
    captured.daemon.stop().await;
    let rowhook = std::mem::replace(&mut captured.rowhook, Rowhook::new(&captured.database));
    captured.rowhook = rowhook.unset("capture.tables");
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update documents set likes = 1 where id = 2")
        .await;
    let event = captured.logged(7).await.remove(6);
    assert_eq!(event.old_row, "absent", "{event:?}");
}

#[tokio::test]
async fn a_key_that_the_stream_does_not_carry_is_told_by_check() {
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute("create table documents (id int primary key, slug text not null)")
        .await
        .unwrap();
    let mut resource = from_log("public.documents");
    resource.insert("key".into(), vec!["slug"].into());
    let rowhook = Rowhook::new(&database).resource(resource);
    rowhook.setup().await;
    let report = rowhook.run_command(&["check"]).await;
    let text = String::from_utf8_lossy(&report.stdout).into_owned();
    assert!(
        text.contains("documents") && text.contains("previous = \"log\"") && text.contains("slug"),
        "{text}"
    );
    let _daemon = rowhook.spawn_ready().await;
    client
        .batch_execute("insert into documents values (1, 'a'); update documents set slug = 'b'")
        .await
        .unwrap();
    wait_for(&client, "two events", async || {
        crate::logged::count(&client).await == 2
    })
    .await;
    let events = crate::logged::events(&client).await;
    assert_eq!(events[1].old_row, "absent");
}

/// Changes of the table, or of its settings, after which an earlier event does not tell the old row.
#[tokio::test]
async fn an_event_from_before_a_change_of_the_table_does_not_tell_the_old_row() {
    for change in [
        "alter table documents alter body type varchar using 'NEW' || substr(body, 4)",
        "alter table documents alter likes type bigint using likes * 100",
        "alter table documents drop column likes; alter table documents add column likes int default 9",
        "alter table documents rename title to t; alter table documents rename body to title;
         alter table documents rename t to body",
        "alter table documents drop constraint documents_pkey; alter table documents add primary key (part)",
        "alter table documents drop constraint documents_pkey; alter table documents add primary key (part, id)",
        "alter table documents rename to elsewhere; update elsewhere set likes = 70;
         alter table elsewhere rename to documents",
    ] {
        let captured = Captured::with(DOCUMENTS, |rowhook| {
            recalled(rowhook).set("capture.tables", vec!["public.documents"])
        })
        .await;
        captured
            .execute("insert into documents values (1, 'p', 'one', repeat('OLD', 2000), 5)")
            .await;
        captured.logged(1).await;
        captured.execute(change).await;
        captured
            .execute("update documents set part = part where id = 1")
            .await;
        let event = captured.logged(2).await.remove(1);
        assert_ne!(event.old_row, "full", "{change}: {event:?}");
        let row: serde_json::Value = captured
            .client
            .query_one("select to_jsonb(d) from documents d", &[])
            .await
            .unwrap()
            .get(0);
        for (name, value) in event.record.as_object().unwrap() {
            assert_eq!(*value, row[name], "{change}: {name}");
        }
        assert!(
            event.previous.as_object().is_none() || event.previous == json!({}),
            "{change}: {event:?}"
        );
    }
}

#[tokio::test]
async fn an_event_from_before_a_change_of_the_settings_does_not_tell_the_old_row() {
    let mut captured = Captured::with(DOCUMENTS, recalled).await;
    captured
        .execute("insert into documents values (1, 'p', 'secret', repeat('secret', 1000), 5)")
        .await;
    captured.logged(1).await;
    captured.daemon.stop().await;
    let mut resource = from_log("public.documents");
    let masked: Table = ["title", "body"]
        .map(|column| (column.to_owned(), "mask".into()))
        .into_iter()
        .collect();
    resource.insert("redact".into(), masked.into());
    captured.rowhook = Rowhook::new(&captured.database).resource(resource);
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update documents set likes = 6 where id = 1")
        .await;
    let event = captured.logged(2).await.remove(1);
    assert!(!format!("{event:?}").contains("secret"), "{event:?}");
    assert_eq!(event.old_row, "absent");
}

#[tokio::test]
async fn what_was_remembered_before_an_accepted_gap_does_not_tell_the_old_row() {
    let mut captured = Captured::with(DOCUMENTS, recalled).await;
    let publication = captured.database.publication();
    captured
        .execute("insert into documents values (1, 'p', 'one', 'b', 5)")
        .await;
    captured.logged(1).await;
    captured.daemon.stop().await;
    captured.execute("update documents set title = 'two'").await;
    captured
        .execute(&format!(
            "alter publication {publication} drop table documents"
        ))
        .await;
    captured
        .execute("update documents set title = 'unseen'")
        .await;
    captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured
        .execute("update documents set title = 'three'")
        .await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update documents set title = 'four'")
        .await;
    wait_for(&captured.client, "the last event", async || {
        let events = crate::logged::events(&captured.client).await;
        events.last().unwrap().record["title"] == "four"
    })
    .await;
    let events = crate::logged::events(&captured.client).await;
    let told = |title: &str| {
        let event = events.iter().find(|event| event.record["title"] == title);
        event.map(|event| (event.old_row.clone(), event.previous.clone()))
    };
    assert_eq!(told("three"), Some(("absent".to_owned(), json!(null))));
    assert_eq!(
        told("four"),
        Some(("full".to_owned(), json!({"title": "three"})))
    );
}
