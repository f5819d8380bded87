//! What `[[resource]]` adds to row events: soft deletion, field events, tenants, related ids.

use serde_json::{Value, json};
use toml::{Table, toml};

use crate::capture::{Captured, types};
use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::logged::count;
use crate::receiver::{Gate, Received, Receiver, Reply};
use crate::served::accepted;

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
    assert!(report.contains("deleted_at can tell nothing"), "{report}");
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
    let table = "create table posts (id int primary key, deleted_at date, gone boolean not null,
                                     data jsonb)";
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
    let others = report(toml! {
        table = "public.posts"
        fields = ["gonne"]
        tenant = "org"
        documents = ["gone", "dat"]
    });
    let said = others.await;
    for part in [
        "fields: table public.posts has no column `gonne`",
        "did you mean `gone`?",
        "tenant: table public.posts has no column `org`",
        "documents: column `gone` holds no objects",
        "documents: table public.posts has no column `dat`",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let never_null = report(toml! {
        table = "public.posts"
        deleted_at = "gone"
    });
    let said = never_null.await;
    assert!(said.contains("column `gone` is never null"), "{said}");
    let good = report(soft()).await;
    assert!(!good.contains("WRONG  [[resource]]"), "{good}");
}

const DEALS: &str = "
    create table accounts (org_id uuid, no int, name text, primary key (no, org_id));
    create table users (id bigint primary key);
    create table deals (id int primary key, org_id uuid, stage text, value int, owner_id bigint references users,
                        account int, foreign key (org_id, account) references accounts (org_id, no),
                        approved_by bigint references users, secret_id bigint references users);
    insert into users values (7), (8), (9);
    insert into accounts values ('00000000-0000-0000-0000-000000000001', 4), ('00000000-0000-0000-0000-000000000002', 4)";

const ORG: &str = "00000000-0000-0000-0000-00000000000";

fn deals(more: Table) -> Table {
    let mut resource = toml! {
        table = "public.deals"
        name = "deal"
        fields = ["stage", "value"]
        tenant = "org_id"
        exclude = ["secret_id"]
    };
    resource.extend(more);
    resource
}

/// Type, tenant and related ids of every event, in order.
async fn envelopes(captured: &Captured, wanted: i64) -> Vec<String> {
    captured.logged(wanted).await;
    let sql = "select event_type || coalesce(' of ' || right(tenant, 1), '') || coalesce(' ' || related, '')
                 from rowhook.events order by sequence_id";
    let rows = captured.client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

const DEAL: [&str; 5] = [
    "insert into deals values (1, 'ORG1', 'new', 10, 7, 4, null, 9)",
    "update deals set stage = 'won', value = 20, approved_by = 8",
    "update deals set stage = 'won', org_id = 'ORG2', owner_id = null",
    "update deals set value = null, account = null",
    "delete from deals",
];

async fn deal(captured: &Captured) {
    for statement in DEAL {
        captured.execute(&statement.replace("ORG", ORG)).await;
    }
}

#[tokio::test]
async fn whose_a_row_is_what_it_names_and_which_field_changed() {
    let captured = Captured::with(DEALS, |rowhook| rowhook.resource(deals(Table::new()))).await;
    deal(&captured).await;
    let account = |org: u32| format!(r#""accountOrgId":"4,{ORG}{org}""#);
    let told = envelopes(&captured, 8).await;
    assert_eq!(
        told,
        [
            format!(r#"deal.created of 1 {{"ownerId":"7",{}}}"#, account(1)),
            format!(
                r#"deal.updated of 1 {{"ownerId":"7",{},"approvedById":"8"}}"#,
                account(1)
            ),
            format!(
                r#"deal.stage.changed of 1 {{"ownerId":"7",{},"approvedById":"8"}}"#,
                account(1)
            ),
            format!(
                r#"deal.value.changed of 1 {{"ownerId":"7",{},"approvedById":"8"}}"#,
                account(1)
            ),
            format!(r#"deal.updated of 2 {{{},"approvedById":"8"}}"#, account(2)),
            r#"deal.updated of 2 {"approvedById":"8"}"#.to_owned(),
            r#"deal.value.changed of 2 {"approvedById":"8"}"#.to_owned(),
            r#"deal.deleted of 2 {"approvedById":"8"}"#.to_owned(),
        ]
    );
    let events = captured.logged(8).await;
    let places = |range: std::ops::Range<usize>| -> Vec<i64> {
        events[range]
            .iter()
            .map(|event| event.commit_index)
            .collect()
    };
    assert_eq!(places(1..4), [0, 1, 2]);
    assert_eq!(
        places(5..7),
        [0, 2],
        "a field has its place whether it changed or not"
    );
    assert_eq!(events[2].previous["stage"], "new");
    assert_eq!(events[2].record["stage"], "won");
    assert_eq!(events[2].resource_id, events[1].resource_id);
    assert_ne!(events[2].event_id, events[1].event_id);
    assert_eq!(events[2].action, "changed");
}

#[tokio::test]
async fn with_the_key_alone_only_what_is_known_is_told() {
    let captured = Captured::with(DEALS, |rowhook| {
        let rowhook = rowhook.resource(deals(Table::new()));
        rowhook.set("source.replica_identity", "keep")
    })
    .await;
    deal(&captured).await;
    let told = envelopes(&captured, 5).await;
    let types: Vec<&str> = told.iter().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(
        types,
        [
            "deal.created",
            "deal.updated",
            "deal.updated",
            "deal.updated",
            "deal.deleted"
        ]
    );
    assert!(told[2].starts_with("deal.updated of 2 {"), "{}", told[2]);
    assert_eq!(told[4], "deal.deleted");
    let report = captured.rowhook.succeed(&["check"]).await;
    assert!(report.contains("fields can tell nothing"), "{report}");
}

#[tokio::test]
async fn the_log_tells_which_field_changed_and_whose_a_deleted_row_was() {
    let mut captured = Captured::with(DEALS, |rowhook| {
        rowhook.resource(deals(toml! { previous = "log" }))
    })
    .await;
    for (wanted, statement) in [1, 4, 5, 7, 8].into_iter().zip(DEAL) {
        captured.execute(&statement.replace("ORG", ORG)).await;
        captured.logged(wanted).await;
        // The last event that the log knows of the row is that of a field.
        if wanted == 4 {
            captured.daemon.kill9().await;
            captured.daemon = captured.rowhook.spawn_ready().await;
        }
    }
    let told = envelopes(&captured, 8).await;
    assert!(told[3].starts_with("deal.value.changed of 1"), "{told:?}");
    assert!(told[6].starts_with("deal.value.changed of 2"), "{told:?}");
    assert_eq!(told[7], r#"deal.deleted of 2 {"approvedById":"8"}"#);
    let events = captured.logged(8).await;
    assert_eq!(events[4].old_row, "full");
    assert_eq!(
        events[4].previous,
        json!({"org_id": format!("{ORG}1"), "owner_id": 7})
    );
}

#[tokio::test]
async fn field_events_are_logged_once_over_crashes() {
    let mut captured = Captured::with(DEALS, |rowhook| rowhook.resource(deals(Table::new()))).await;
    captured
        .execute("insert into deals (id, stage) select n, 'new' from generate_series(1, 50) n")
        .await;
    captured.logged(50).await;
    captured.daemon.stop().await;
    captured
        .execute(
            "begin; update deals set stage = 'won'; update deals set value = 1 where id <= 25;
             insert into deals (id) values (51); commit",
        )
        .await;
    for (place, logged) in [
        ("log.copied", 50),
        ("log.checkpointed", 50),
        ("log.committed", 201),
    ] {
        let mut daemon = captured.rowhook.spawn_with(|command| {
            command.env("FAILPOINTS", format!("{place}=return"));
        });
        assert_eq!(daemon.wait_exit().await, None, "it is killed at {place}");
        assert_eq!(count(&captured.client).await, logged, "{place}");
    }
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("update deals set stage = 'lost' where id = 51")
        .await;
    let events = captured.logged(50 + 100 + 50 + 1 + 2).await;
    let distinct: std::collections::HashSet<_> = events.iter().map(|it| &it.event_id).collect();
    assert_eq!(distinct.len(), events.len());
    let transaction = &events[50..201];
    for pair in transaction.windows(2) {
        assert!(pair[0].commit_index < pair[1].commit_index);
        if pair[1].action == "changed" {
            assert_eq!(pair[1].resource_id, pair[0].resource_id);
            assert_eq!(pair[0].action, "updated");
        }
    }
    assert_eq!(transaction[150].commit_index, 50 * 3 + 25 * 3);
}

#[tokio::test]
async fn foreign_keys_that_come_and_go_are_followed() {
    let captured = Captured::with(
        "create table users (id int primary key); create table notes (id int primary key, author_id int, editor int);
         insert into users values (7)",
        |rowhook| rowhook,
    )
    .await;
    // The catalogs tell what is, not what was: the next change waits for the event of the last one.
    for (place, statements) in (1..).zip([
        ["insert into notes values (1, 7, 7)", ""],
        [
            "alter table notes add foreign key (author_id) references users",
            "update notes set editor = 7",
        ],
        [
            "alter table notes add foreign key (editor) references users not valid",
            "update notes set editor = 7",
        ],
        [
            "alter table notes drop constraint notes_author_id_fkey; alter table notes rename editor to reviewer",
            "update notes set id = 2",
        ],
    ]) {
        for statement in statements {
            captured.execute(statement).await;
        }
        captured.logged(place).await;
    }
    assert_eq!(
        envelopes(&captured, 4).await,
        [
            "notes.created",
            r#"notes.updated {"authorId":"7"}"#,
            r#"notes.updated {"authorId":"7","editorId":"7"}"#,
            r#"notes.updated {"reviewerId":"7"}"#,
        ]
    );
}

#[tokio::test]
async fn webhooks_choose_and_order_by_tenant_and_tell_documents_key_by_key() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = Reply::Held(gate.clone(), Box::new(Reply::Status(200)));
    receiver.on_request(move |request| match request.sequence_id {
        1 => held.clone(),
        _ => Reply::Status(200),
    });
    let tables = "create table deals (id int primary key, org int, data jsonb);
                  create table notes (id int primary key, owner text)";
    let captured = Captured::with(tables, |rowhook| {
        let webhook = toml! {
            order_by = "event.tenant"
            when = "event.tenant != '9'"
        };
        let deals = toml! {
            table = "public.deals"
            tenant = "org"
            documents = ["data"]
        };
        let notes = toml! {
            table = "public.notes"
            tenant = "owner"
        };
        let rowhook = rowhook.resource(deals).resource(notes);
        rowhook.webhook_to("hook", &receiver, webhook)
    })
    .await;
    captured
        .execute(
            r#"insert into deals values (1, 7, '{"city": "Oslo", "price": 5, "old": 1}');
               insert into notes values (1, '7'), (2, '9'), (3, null), (4, '8');
               update deals set data = '{"city": "Oslo", "price": 6, "new": 1}'"#,
        )
        .await;
    let ids = |requests: &[Received]| -> Vec<i64> {
        let mut ids: Vec<i64> = requests.iter().map(|it| it.sequence_id).collect();
        ids.sort_unstable();
        ids
    };
    // What is of the same tenant waits, of whatever table; what is of 9 is not sent.
    receiver
        .wait_for(|requests| ids(requests) == [1, 4, 5])
        .await;
    gate.open();
    let requests = accepted(&receiver, 5).await;
    assert_eq!(ids(&requests), [1, 2, 4, 5, 6]);
    let update = requests
        .iter()
        .find(|it| it.sequence_id == 6)
        .unwrap()
        .json();
    assert_eq!(update["event"]["tenant"], "7");
    assert_eq!(
        update["event"]["previousValues"],
        json!({"data": {"price": 5, "old": 1, "new": null}})
    );
    let report = captured.rowhook.run_command(&["check"]).await;
    let report = String::from_utf8(report.stdout).unwrap();
    assert!(
        report.contains("captured tables with a tenant: 2 of 2"),
        "{report}"
    );
}

#[tokio::test]
async fn a_tenant_that_no_text_can_hold_is_not_told() {
    let captured = Captured::with(
        "create table notes (id int primary key, owner json)",
        |rowhook| {
            let rule = toml! {
                table = "public.notes"
                tenant = "owner"
            };
            rowhook.set("resource", vec![rule])
        },
    )
    .await;
    captured
        .execute(r#"insert into notes values (1, '"a\u0000b"'), (2, '"a\u0020b"')"#)
        .await;
    captured.logged(2).await;
    let tenants = "select tenant from rowhook.events order by sequence_id";
    let rows = captured.client.query(tenants, &[]).await.unwrap();
    let tenants: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(tenants, [None, Some("a b".to_owned())]);
}
