//! Events of the application's own, by SQL: logged if and when their transaction commits, at their
//! place, with the object that they are about.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::capture::Captured;
use crate::logged::{assert_dense, events, wait_for_logged};

const TABLE: &str = "create table posts (id int primary key, title text, secret text)";

/// What this is about of an event: type, resource, resource id, record, data, context.
type Said = (String, String, Option<String>, Value, Value, Value);

/// All events, once there are so many.
pub(crate) async fn said(client: &Client, wanted: i64) -> Vec<Said> {
    wait_for_logged(client, wanted).await;
    let query = "select event_type, resource, resource_id, record::text, data::text, context::text \
                   from rowhook.events order by sequence_id";
    let rows = client.query(query, &[]).await.unwrap();
    let read =
        |text: Option<&str>| text.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
    rows.iter()
        .map(|row| {
            (
                row.get(0),
                row.get(1),
                row.get(2),
                read(row.get(3)),
                read(row.get(4)),
                read(row.get(5)),
            )
        })
        .collect()
}

/// The types and records of all events.
fn records(said: &[Said]) -> Vec<(&str, Value)> {
    said.iter()
        .map(|event| (event.0.as_str(), event.3.clone()))
        .collect()
}

#[tokio::test]
async fn a_custom_event_stands_at_its_place_among_the_changes_of_its_transaction() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(
            r#"begin;
            insert into posts values (1, 'one');
            select rowhook.emit('mail.queued', '{"to": ["ä@b"], "n": 1.50}');
            select rowhook.set_context('{"user_id": 7}');
            update posts set title = 'two';
            select rowhook.emit(type => 'newsletter.sent', resource => 'letters', data => '[1, "x"]');
            commit"#,
        )
        .await;
    let said = said(&captured.client, 4).await;
    let types: Vec<_> = said.iter().map(|event| event.0.as_str()).collect();
    assert_eq!(
        types,
        [
            "posts.created",
            "mail.queued",
            "posts.updated",
            "newsletter.sent"
        ]
    );
    let (_, resource, id, record, data, context) = &said[1];
    assert_eq!(
        (resource.as_str(), id, record),
        ("mail", &None, &Value::Null)
    );
    assert_eq!(data, &json!({"to": ["ä@b"], "n": 1.50}));
    assert_eq!(context, &Value::Null);
    let (_, resource, _, _, data, context) = &said[3];
    assert_eq!((resource.as_str(), data), ("letters", &json!([1, "x"])));
    assert_eq!(context, &json!({"sessionVariables": {"user_id": 7}}));
    let logged = events(&captured.client).await;
    assert!(logged.iter().all(|event| event.xid == logged[0].xid));
    let places: Vec<_> = logged.iter().map(|event| event.commit_index).collect();
    assert_eq!(places, [0, 1, 2, 3]);
    assert_eq!(logged[1].action, "custom");
}

#[tokio::test]
async fn what_is_rolled_back_was_never_emitted() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute("begin; select rowhook.emit('a.gone'); rollback")
        .await;
    captured
        .execute(
            "begin;
             select rowhook.emit('a.first');
             savepoint s; select rowhook.emit('a.gone'); insert into posts values (1); rollback to s;
             select rowhook.emit('a.second');
             savepoint s; select rowhook.emit('a.third'); release s;
             commit",
        )
        .await;
    let said = said(&captured.client, 3).await;
    let types: Vec<_> = said.iter().map(|event| event.0.as_str()).collect();
    assert_eq!(types, ["a.first", "a.second", "a.third"]);
}

/// Emits about rows before, between and after their changes, in one transaction and over several.
const ABOUT_ROWS: &str = "
    select rowhook.emit('posts.seen', null, 'posts', '1');
    insert into posts values (1, 'one', 'x'), (2, 'two', 'x');
    select rowhook.emit('posts.seen', null, 'posts', '1');
    update posts set title = 'one!' where id = 1;
    select rowhook.emit('posts.seen', null, 'posts', '1');
    select rowhook.emit('posts.seen', null, 'posts', '2');
    delete from posts where id = 2;
    select rowhook.emit('posts.seen', null, 'posts', '2');";

#[tokio::test]
async fn the_object_is_the_row_as_it_was_at_that_place() {
    let mut captured = Captured::tables(TABLE).await;
    captured
        .execute(&format!("begin; {ABOUT_ROWS} commit"))
        .await;
    captured
        .execute("select rowhook.emit('posts.seen', null, 'posts', '1')")
        .await;
    let one = |title: &str| json!({"id": 1, "title": title, "secret": "x"});
    let two = json!({"id": 2, "title": "two", "secret": "x"});
    let expected = [
        ("posts.seen", Value::Null),
        ("posts.created", one("one")),
        ("posts.created", two.clone()),
        ("posts.seen", one("one")),
        ("posts.updated", one("one!")),
        ("posts.seen", one("one!")),
        ("posts.seen", two.clone()),
        ("posts.deleted", two),
        ("posts.seen", Value::Null),
        ("posts.seen", one("one!")),
    ];
    assert_eq!(records(&said(&captured.client, 10).await), expected);

    // What was in memory is gone: the log is asked. What is excluded by now is seen no more.
    assert_eq!(captured.daemon.stop().await, Some(0));
    let mut resource = toml::Table::new();
    resource.insert("table".into(), "public.posts".into());
    resource.insert("exclude".into(), vec!["secret"].into());
    captured.rowhook = captured.rowhook.resource(resource);
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute("select rowhook.emit('posts.seen', null, 'posts', '1')")
        .await;
    captured
        .execute(
            "begin; truncate posts; select rowhook.emit('posts.seen', null, 'posts', '1'); commit",
        )
        .await;
    captured
        .execute("select rowhook.emit('posts.seen', null, 'posts', '1')")
        .await;
    let all = said(&captured.client, 14).await;
    assert_eq!(
        records(&all)[10..],
        [
            ("posts.seen", json!({"id": 1, "title": "one!"})),
            ("posts.truncated", Value::Null),
            ("posts.seen", Value::Null),
            ("posts.seen", Value::Null),
        ]
    );
}

#[tokio::test]
async fn a_transaction_larger_than_memory_finds_its_own_objects() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(
            "begin;
             insert into posts select n, 'one', repeat('x', 5000) from generate_series(1, 3000) n;
             select rowhook.emit('posts.seen', to_jsonb(n), 'posts', n::text) from generate_series(1, 3000) n;
             update posts set title = 'two', secret = null;
             select rowhook.emit('posts.seen', to_jsonb(n), 'posts', n::text) from generate_series(1, 3000, 100) n;
             commit",
        )
        .await;
    let said = said(&captured.client, 9030).await;
    let seen = said.iter().filter(|event| event.0 == "posts.seen");
    for (place, (_, _, id, record, data, _)) in seen.enumerate() {
        assert_eq!(id.as_deref(), Some(&*data.to_string()));
        assert_eq!(&record["id"], data);
        let title = if place < 3000 { "one" } else { "two" };
        assert_eq!(record["title"], title, "{place}");
    }
}

#[tokio::test]
async fn old_rows_from_the_log_are_found_behind_custom_events() {
    let mut captured = Captured::with(TABLE, |rowhook| {
        let mut resource = toml::Table::new();
        resource.insert("table".into(), "public.posts".into());
        resource.insert("previous".into(), "log".into());
        rowhook.resource(resource)
    })
    .await;
    captured
        .execute("insert into posts values (1, 'one', 'x'); select rowhook.emit('posts.seen', null, 'posts', '1')")
        .await;
    captured.logged(2).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured
        .execute(
            "begin; update posts set title = 'two'; select rowhook.emit('posts.seen', null, 'posts', '1');
             update posts set title = 'three'; commit",
        )
        .await;
    let events = captured.logged(5).await;
    assert_eq!(events[2].previous, json!({"title": "one"}));
    assert_eq!(events[3].record["title"], "two");
    assert_eq!(events[4].previous, json!({"title": "two"}));
    assert_eq!(events[4].old_row, "full");
}

#[tokio::test]
async fn what_is_no_event_is_refused_where_it_is_emitted() {
    let captured = Captured::tables(TABLE).await;
    let role = format!("app_{}", captured.database.name);
    captured
        .execute(&format!("create role {role}; set role {role}"))
        .await;
    captured
        .execute("select rowhook.emit('order.changed', 'null', 'x y', repeat('k', 8192))")
        .await;
    for (call, code) in [
        ("null", "22023"),
        ("''", "22023"),
        ("'sent'", "22023"),
        ("'a b.c'", "22023"),
        ("E'a.b\\n'", "22023"),
        ("'a.b;drop table posts'", "22023"),
        ("'a.' || repeat('b', 200)", "22023"),
        ("'posts.created'", "42939"),
        ("'any.deleted'", "42939"),
        ("'deal.stage.changed'", "42939"),
        ("'rowhook.gap'", "42939"),
        ("'a.b', null, null, '1'", "22023"),
        ("'a.b', null, '', '1'", "22023"),
        ("'a.b', null, 'rowhook', '1'", "22023"),
        ("'a.b', null, E'a\\tb'", "22023"),
        ("'a.b', null, repeat('x', 256)", "22023"),
        ("'a.b', null, 'x', ''", "22023"),
        ("'a.b', null, 'x', repeat('x', 8193)", "22023"),
        ("'a.b', to_jsonb(repeat('x', 1048576))", "54000"),
        (
            "'a.b', (repeat('[', 101) || repeat(']', 101))::jsonb",
            "54000",
        ),
        ("'a.b', '{no json'", "22P02"),
    ] {
        let call = format!("select rowhook.emit({call})");
        let error = captured.client.batch_execute(&call).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), code, "{call}: {error}");
        if code != "22P02" {
            assert!(error.message().starts_with("rowhook.emit takes"), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
    }
    captured
        .execute("select rowhook.emit('a.b', (repeat('[', 100) || repeat(']', 100))::jsonb)")
        .await;
    captured
        .execute(&format!(
            "reset role; drop owned by {role}; drop role {role}"
        ))
        .await;
    let said = said(&captured.client, 2).await;
    assert_eq!(said[0].0, "order.changed");
    assert_eq!(said[0].4, Value::Null);
    // As a row's, a long key is cut and ends in a hash.
    assert!(said[0].2.as_ref().unwrap().contains("~sha256:"));
}

#[tokio::test]
async fn a_message_by_hand_that_is_no_event_is_left_out_and_stops_nothing() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(
            r#"begin;
            select pg_logical_emit_message(true, 'rowhook.emit', message) from (values
              ('no json'), (''), ('{}'), ('[]'), ('{"type": 7}'), ('{"type": "posts.created"}'),
              ('{"type": "a.b", "resource_id": "1"}'), ('{"type": "a.b", "resource": "a\u0000"}'),
              ('{"type": "a.b", "resource": "a", "resource_id": "\u0000"}'),
              ('{"type": "a.b", "data": ' || repeat('[', 100000) || repeat(']', 100000) || '}'),
              ('{"type": "a.b", "data": "' || repeat('x', 2000000) || '"}')) as m (message);
            select pg_logical_emit_message(true, 'rowhook.emit', '\xff00'::bytea);
            select pg_logical_emit_message(false, 'rowhook.emit', '{"type": "a.outside"}');
            insert into posts values (1);
            select pg_logical_emit_message(true, 'rowhook.emit', '{"type": "a.b", "data": {"s": "\u0000\ud800"}}');
            commit"#,
        )
        .await;
    let events = captured.logged(2).await;
    assert_eq!(events[0].event_type, "posts.created");
    assert_eq!(events[1].event_type, "a.b");
    // Each message has its place, whatever it says.
    assert_eq!((events[0].commit_index, events[1].commit_index), (12, 13));
    let data = "select data::text from rowhook.events where event_type = 'a.b'";
    let data: String = captured.client.query_one(data, &[]).await.unwrap().get(0);
    assert_eq!(data, r#"{"s":"\u0000\ud800"}"#);
    captured
        .daemon
        .wait_for_log("a custom event is left out")
        .await;
}

#[tokio::test]
async fn killed_at_any_step_each_custom_event_is_logged_once_under_its_id() {
    let mut captured = Captured::tables(TABLE).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    let mut wanted = 0;
    for place in ["log.part", "log.rows", "log.checkpointed", "log.committed"] {
        captured.daemon = captured.rowhook.spawn_with(|command| {
            command.env("FAILPOINTS", format!("{place}=return"));
        });
        captured.daemon.wait_for_log("streaming").await;
        // What the batch holds of a table that nobody has emitted about goes to the log in parts.
        captured
            .execute(&format!(
                "begin; insert into posts values (3); {ABOUT_ROWS} delete from posts; commit"
            ))
            .await;
        captured.daemon.wait_exit().await;
        captured.daemon = captured.rowhook.spawn_ready().await;
        wanted += 12;
        captured.logged(wanted).await;
        assert_eq!(captured.daemon.stop().await, Some(0));
    }
    let events = events(&captured.client).await;
    assert_dense(&events);
    let mut ids: Vec<_> = events.iter().map(|event| &event.event_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    let seen = events
        .iter()
        .filter(|event| event.event_type == "posts.seen");
    let titles: Vec<_> = seen.map(|event| event.record["title"].clone()).collect();
    let each = [
        json!(null),
        json!("one"),
        json!("one!"),
        json!("two"),
        json!(null),
    ];
    assert_eq!(titles, [&each[..]; 4].concat());
}
