//! Events of the application's own, by command: logged once, when they are due, whatever is killed.

use serde_json::{Value, json};

use crate::capture::{Captured, types};
use crate::emit::said;
use crate::logged::{assert_dense, count, events, wait_for};

const TABLE: &str = "create table posts (id int primary key, title text)";

/// Of what waits only what is due is read, however much there is.
#[tokio::test]
async fn due_events_are_found_by_their_time() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute(&format!(
            "set enable_seqscan = off; prepare claim (bigint) as {}",
            include_str!("../../sql/claim_due_events.sql")
        ))
        .await;
    let plan = captured.client.query("explain execute claim (10)", &[]);
    let plan: Vec<String> = plan.await.unwrap().iter().map(|row| row.get(0)).collect();
    let by_time = |line: &String| line.contains("Index Cond: (due_at <= ");
    assert!(plan.iter().any(by_time), "{plan:#?}");
}

fn id(accepted: &Value) -> String {
    accepted["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_command_emits_at_once_with_the_object_and_the_context() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute("insert into posts values (1, 'one')")
        .await;
    let file = captured.rowhook.directory().join("data.json");
    std::fs::write(
        &file,
        "{\n  \"to\": [ \"ä\" ],\n  \"n\": 12345678901234567890.10\n}\n",
    )
    .unwrap();
    let accepted = captured
        .rowhook
        .json(&[
            "events",
            "emit",
            "posts.shared",
            "--resource",
            "posts",
            "--id",
            "1",
            "--wait",
            "--data",
            &format!("@{}", file.display()),
            "--context",
            r#"{"user_id": 7, "traceparent": "00-a-b-01"}"#,
        ])
        .await;
    assert_eq!(accepted["new"], true);
    assert_eq!(accepted["sequence_id"], 2);
    let said = said(&captured.client, 2).await;
    let (event_type, resource, resource_id, record, _, context) = &said[1];
    assert_eq!(
        (event_type.as_str(), resource.as_str()),
        ("posts.shared", "posts")
    );
    assert_eq!(resource_id.as_deref(), Some("1"));
    assert_eq!(record, &json!({"id": 1, "title": "one"}));
    let attached =
        json!({"sessionVariables": {"user_id": 7}, "traceContext": {"traceparent": "00-a-b-01"}});
    assert_eq!(context, &attached);
    let data = "select data::text from rowhook.events where sequence_id = 2";
    let data: String = captured.client.query_one(data, &[]).await.unwrap().get(0);
    assert_eq!(data, r#"{"to":["ä"],"n":12345678901234567890.10}"#);
    assert_eq!(events(&captured.client).await[1].event_id, id(&accepted));
}

#[tokio::test]
async fn what_is_scheduled_survives_a_restart_and_comes_once_in_due_order() {
    let mut captured = Captured::tables(TABLE).await;
    let emit = async |event_type: &str, when: &[&str]| {
        let mut arguments = vec!["events", "emit", event_type];
        arguments.extend(when);
        id(&captured.rowhook.json(&arguments).await)
    };
    let far = emit("a.far", &["--delay", "3000d"]).await;
    let third = emit("a.third", &["--delay", "30m"]).await;
    let when = ["--at", "2026-01-01T00:00:00Z", "--delay", "3600d"];
    let second = emit("a.second", &when).await;
    let cancelled = emit("a.cancelled", &["--delay", "1h"]).await;
    let listed = captured.rowhook.json(&["events", "scheduled"]).await;
    let order: Vec<_> = listed.as_array().unwrap().iter().map(id).collect();
    assert_eq!(
        order,
        [&third, &cancelled, &far, &second].map(String::clone)
    );
    assert_eq!(listed[0]["state"], "waiting");
    captured
        .rowhook
        .succeed(&["events", "cancel", &cancelled])
        .await;
    let text = captured.rowhook.succeed(&["events", "scheduled"]).await;
    assert!(
        text.contains("a.far") && !text.contains("a.cancelled"),
        "{text}"
    );

    captured.daemon.kill9().await;
    // Due while no daemon runs, in another order than asked for.
    captured
        .execute(&format!(
            "update rowhook.scheduled_events set due_at = clock_timestamp() - interval '1 minute'
              where event_id = '{third}';
             update rowhook.scheduled_events set due_at = clock_timestamp() - interval '2 minutes'
              where event_id = '{second}'"
        ))
        .await;
    let first =
        captured
            .rowhook
            .json(&["events", "emit", "a.first", "--at", "2000-01-01T00:00:00Z"]);
    let first = id(&first.await);
    captured.daemon = captured.rowhook.spawn_ready().await;
    let logged = captured.logged(3).await;
    assert_eq!(types(&logged), ["a.first", "a.second", "a.third"]);
    let ids: Vec<_> = logged.iter().map(|event| event.event_id.clone()).collect();
    assert_eq!(ids, [first, second, third.clone()]);
    for (which, why) in [
        (third.as_str(), "is logged already"),
        (&cancelled, "is cancelled already"),
        ("00000000-0000-0000-0000-000000000000", "no event"),
    ] {
        let said = captured
            .rowhook
            .fail(&["events", "cancel", which], 78)
            .await;
        assert!(said.contains(why), "{said}");
    }
    // Of the two that are left one is far away, and one will never come. What is due at once does not
    // wait for what is due soon.
    let (fresh, last) = tokio::join!(
        captured
            .rowhook
            .json(&["events", "emit", "a.soon", "--delay", "5s", "--wait"]),
        captured
            .rowhook
            .json(&["events", "emit", "a.now", "--wait"]),
    );
    assert_eq!(
        (&last["sequence_id"], &fresh["sequence_id"]),
        (&json!(4), &json!(5))
    );
    assert_eq!(count(&captured.client).await, 5);
}

#[tokio::test]
async fn a_key_asks_for_an_event_once_and_for_no_other() {
    let captured = Captured::tables(TABLE).await;
    let emit = ["events", "emit", "a.b", "--data", "[1]", "--key", "k-1"];
    let first = captured.rowhook.json(&emit).await;
    let again = captured.rowhook.json(&emit).await;
    assert_eq!(
        (&first["new"], &again["new"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(first["id"], again["id"]);
    let said = captured.rowhook.succeed(&emit).await;
    assert!(said.contains("asked for before"), "{said}");
    for other in [
        ["events", "emit", "a.b", "--data", "[2]", "--key", "k-1"],
        ["events", "emit", "a.c", "--data", "[1]", "--key", "k-1"],
    ] {
        let said = captured.rowhook.fail(&other, 78).await;
        assert!(
            said.contains("\"k-1\" was used for another event"),
            "{said}"
        );
        assert!(said.contains(&id(&first)), "{said}");
    }
    captured.logged(1).await;

    // All at once: one of them is the first.
    let many = ["events", "emit", "a.many", "--key", "k-2"];
    let rowhook = &captured.rowhook;
    let (a, b, c) = tokio::join!(
        rowhook.json(&many),
        rowhook.json(&many),
        rowhook.json(&many)
    );
    assert_eq!((&a["id"], &a["id"]), (&b["id"], &c["id"]));
    let new = [&a, &b, &c].iter().filter(|it| it["new"] == true).count();
    assert_eq!(new, 1);

    // After a day the key is free again.
    captured.logged(2).await;
    captured
        .execute(
            "update rowhook.scheduled_events set requested_at = requested_at - interval '25 hours'",
        )
        .await;
    let later = captured.rowhook.json(&emit).await;
    assert_eq!(later["new"], true);
    assert_ne!(later["id"], first["id"]);
    captured.logged(3).await;
}

#[tokio::test]
async fn what_is_no_event_is_refused_by_name() {
    let captured = Captured::tables(TABLE).await;
    for (arguments, why) in [
        (vec!["posts.created"], "type: posts.created is taken"),
        (vec!["deal.stage.changed"], "is taken"),
        (vec!["rowhook.gap"], "is taken"),
        (vec!["sent"], "no type of an event"),
        (vec!["a.b'; drop table posts; --"], "no type of an event"),
        (vec!["a.b", "--data", "{"], "data: it is not JSON"),
        (vec!["a.b", "--data", "{} {}"], "data: it is not JSON"),
        (
            vec!["a.b", "--data", "@/nowhere"],
            "cannot read the event's data from /nowhere",
        ),
        (vec!["a.b", "--resource", ""], "resource: it is empty"),
        (
            vec!["a.b", "--resource", "x", "--id", ""],
            "resource_id: it is empty",
        ),
        (
            vec!["a.b", "--context", "[1]"],
            "context: it is not a JSON object",
        ),
        (vec!["a.b", "--key", ""], "idempotency key: it has to have"),
        (
            vec!["a.b", "--at", "2999-01-01T00:00:00Z"],
            "more than ten years",
        ),
    ] {
        let mut command = vec!["events", "emit"];
        command.extend(arguments);
        let said = captured.rowhook.fail(&command, 78).await;
        assert!(said.contains(why), "{said}");
    }
    for arguments in [
        vec!["a.b", "--id", "1"],
        vec!["a.b", "--delay", "-5m"],
        vec!["a.b", "--at", "tomorrow"],
        vec![],
    ] {
        let mut command = vec!["events", "emit"];
        command.extend(arguments);
        captured.rowhook.fail(&command, 2).await;
    }
    let asked = "select count(*) from rowhook.scheduled_events";
    let asked: i64 = captured.client.query_one(asked, &[]).await.unwrap().get(0);
    assert_eq!(asked, 0);
}

#[tokio::test]
async fn killed_at_any_step_each_scheduled_event_is_logged_once() {
    let mut captured = Captured::tables(TABLE).await;
    captured
        .execute("insert into posts values (1, 'one')")
        .await;
    captured.logged(1).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    let mut wanted = 1;
    for place in [
        "scheduled.claimed",
        "log.rows",
        "log.scheduled",
        "log.checkpointed",
        "log.committed",
    ] {
        // More than one group, and objects among them.
        captured
            .execute(
                "select rowhook.request_event(gen_random_uuid(), null, '', 'a.b', to_json(n), 'posts',
                                              case when n % 2 = 0 then '1' end, null, null, '0')
                   from generate_series(1, 150) n",
            )
            .await;
        captured.daemon = captured.rowhook.spawn_with(|command| {
            command.env("FAILPOINTS", format!("{place}=1*off->return"));
        });
        captured.daemon.wait_exit().await;
        captured.daemon = captured.rowhook.spawn_ready().await;
        wanted += 150;
        captured.logged(wanted).await;
        assert_eq!(captured.daemon.stop().await, Some(0));
    }
    let events = events(&captured.client).await;
    assert_dense(&events);
    let wrong = "select count(*) from rowhook.scheduled_events s full join
                   (select * from rowhook.events where action = 'custom') e using (event_id)
                  where s.sequence_id is distinct from e.sequence_id or s.logged_at is null
                     or (e.record->>'title' = 'one') is distinct from (case when e.resource_id = '1' then true end)";
    let wrong: i64 = captured.client.query_one(wrong, &[]).await.unwrap().get(0);
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn between_row_changes_the_object_is_that_of_its_place() {
    let captured = Captured::tables(TABLE).await;
    captured.execute("insert into posts values (1, '0')").await;
    let writes = async {
        for round in 1..=100 {
            captured
                .execute(&format!("update posts set title = '{round}'"))
                .await;
        }
    };
    let emits = async {
        for _ in 0..10 {
            let emit = [
                "events",
                "emit",
                "posts.seen",
                "--resource",
                "posts",
                "--id",
                "1",
            ];
            captured.rowhook.succeed(&emit).await;
        }
    };
    tokio::join!(writes, emits);
    captured.logged(111).await;
    let mut row = Value::Null;
    for (event_type, _, _, record, ..) in said(&captured.client, 111).await {
        if event_type == "posts.seen" {
            assert_eq!(record, row);
        } else {
            row = record;
        }
    }
}

#[tokio::test]
async fn what_is_done_for_a_day_is_forgotten() {
    let mut captured = Captured::tables(TABLE).await;
    captured
        .rowhook
        .json(&["events", "emit", "a.old", "--wait"])
        .await;
    let waiting = captured
        .rowhook
        .json(&["events", "emit", "a.later", "--delay", "1h"])
        .await;
    captured
        .execute(
            "update rowhook.scheduled_events set requested_at = requested_at - interval '25 hours',
                                                 logged_at = logged_at - interval '25 hours'",
        )
        .await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = captured.rowhook.spawn_ready().await;
    let left = async || {
        let sql = "select event_id::text from rowhook.scheduled_events";
        let rows = captured.client.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    wait_for(&captured.client, "the old one to go", async || {
        left().await.len() == 1
    })
    .await;
    assert_eq!(left().await, [id(&waiting)]);
}
