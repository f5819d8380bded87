//! A webhook gets the events that it chooses, and of them what it chooses.

use serde_json::Value;
use toml::{Table, toml};

use crate::daemon::Rowhook;
use crate::receiver::{Received, Receiver};
use crate::served::{Prepared, Served, accepted, accepted_by_row};

/// Served, with a table of orders beside `t`.
async fn orders(settings: impl FnOnce(Rowhook) -> Rowhook) -> Served {
    let prepared = Prepared::with(settings).await;
    let table = "create table orders
        (id int primary key, total numeric(10, 2), status text, note text)";
    prepared.client.batch_execute(table).await.unwrap();
    prepared.rowhook.setup().await;
    prepared.served().await
}

/// A table of the settings with one key.
fn with(key: &str, value: &str) -> Table {
    let mut table = Table::new();
    table.insert(key.into(), value.into());
    table
}

fn body(request: &Received) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

#[tokio::test]
async fn changed_restricts_updates_and_nothing_else() {
    let receiver = Receiver::start().await;
    let changed = toml! { changed = ["status", "total"] };
    let served = orders(|rowhook| rowhook.webhook_to("hook", &receiver, changed)).await;
    for change in [
        "insert into orders values (1, 10, 'new', 'a')",
        "update orders set note = 'b'",
        "update orders set status = 'new'",
        "update orders set status = 'paid', note = 'c'",
        "update orders set total = 10.00",
        "update orders set total = 11",
        "delete from orders",
    ] {
        served.execute(change).await;
    }
    served.wait_for_cursor("hook", 7).await;
    let requests = receiver.requests();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| (request.sequence_id, request.event_type.as_str()))
        .collect();
    assert_eq!(
        sent,
        [
            (1, "orders.created"),
            (4, "orders.updated"),
            (6, "orders.updated"),
            (7, "orders.deleted"),
        ]
    );
    assert_eq!(served.deliveries().await, [""; 0]);
}

#[tokio::test]
async fn a_condition_sees_both_sides_of_a_change() {
    let receiver = Receiver::start().await;
    let when = "event.action == 'deleted' ? old.status == 'void'
        : new.total > 100 && (old == null || old.status != new.status)";
    let served = orders(|rowhook| rowhook.webhook_to("hook", &receiver, with("when", when))).await;
    for change in [
        "insert into orders values (1, 100.00, 'new')",
        "insert into orders values (2, 100.01, 'new')",
        "update orders set status = 'paid'",
        "update orders set note = 'x'",
        "update orders set status = 'void' where id = 1",
        "update orders set total = 200, status = 'late' where id = 1",
        "update orders set status = 'void' where id = 1",
        "delete from orders where id = 1",
        "delete from orders where id = 2",
    ] {
        served.execute(change).await;
    }
    served.wait_for_cursor("hook", 11).await;
    let requests = receiver.requests();
    let mut sent: Vec<_> = requests
        .iter()
        .map(|request| {
            let new = &request.json()["event"]["data"]["new"];
            let status = new["status"].as_str().unwrap_or("-");
            format!("{} {} {status}", request.resource_id, request.event_type)
        })
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            "1 orders.deleted -",
            "1 orders.updated late",
            "1 orders.updated void",
            "2 orders.created new",
            "2 orders.updated paid",
        ]
    );
    assert_eq!(served.deliveries().await, [""; 0]);
}

#[tokio::test]
async fn an_event_of_which_a_condition_cannot_tell_is_parked_and_its_row_waits() {
    let receiver = Receiver::start().await;
    let mut more = with("when", "100 / new.v >= 2");
    let patient = toml! { attempts = 1000 };
    more.insert("retry".into(), patient.into());
    let mut served = Served::to(&receiver, more).await;
    for change in [
        "insert into t values (1, 0)",
        "insert into t values (2, 50)",
        "update t set v = 20 where id = 1",
        "insert into t values (3, 10), (4, 100)",
        "insert into t values (5, 0)",
    ] {
        served.execute(change).await;
    }
    served.wait_for_cursor("hook", 6).await;
    let by_row = accepted_by_row(&receiver.requests());
    assert_eq!(by_row.len(), 2, "{by_row:?}");
    assert_eq!((&by_row["2"], &by_row["3"]), (&vec![2], &vec![4]));
    let parked = "
        select string_agg(sequence_id || ':' || coalesce(reason, ''), ', ' order by sequence_id)
          from rowhook.deliveries where state = 'waiting'";
    let parked: String = served.client.query_one(parked, &[]).await.unwrap().get(0);
    for part in ["1:", "when: it divides by zero, 3:, 6:"] {
        assert!(parked.contains(part), "{part} in {parked}");
    }

    // With a condition that can tell, what waited is judged again, in its order.
    assert_eq!(served.daemon.stop().await, Some(0));
    let now = "update rowhook.deliveries set due_at = now()";
    served.execute(now).await;
    let when = "new.v != 0 ? 100 / new.v >= 2 : new.id == 1";
    served.rowhook = served.rowhook.env("ROWHOOK__WEBHOOK__0__WHEN", when);
    served.restart().await;
    served.wait_for_deliveries(&[]).await;
    let by_row = accepted_by_row(&receiver.requests());
    assert_eq!(by_row["1"], [1, 3]);
    assert!(!by_row.contains_key("5"), "{by_row:?}");
}

#[tokio::test]
async fn fields_cut_columns_out_of_every_part_of_every_format() {
    let (own, snaapi) = (Receiver::start().await, Receiver::start().await);
    let served = orders(|rowhook| {
        let fields = || toml! { fields = ["status", "total"] };
        let mut other = fields();
        other.insert("format".into(), "snaapi".into());
        rowhook
            .webhook_to("own", &own, fields())
            .webhook_to("snaapi", &snaapi, other)
    })
    .await;
    for change in [
        "insert into orders values (1, 10, 'new', 'secret')",
        "update orders set status = 'paid', note = 'also secret'",
        "update orders set note = 'third secret'",
        "delete from orders",
    ] {
        served.execute(change).await;
    }
    let expected = [
        r#""data":{"old":null,"new":{"total":10.00,"status":"new"},"changes":{"added":["total","status"],"updated":[],"removed":[]}}"#,
        r#""data":{"old":{"total":10.00,"status":"new"},"new":{"total":10.00,"status":"paid"},"changes":{"added":[],"updated":["status"],"removed":[]}}"#,
        r#""data":{"old":{"total":10.00,"status":"paid"},"new":{"total":10.00,"status":"paid"},"changes":{"added":[],"updated":[],"removed":[]}}"#,
        r#""data":{"old":{"total":10.00,"status":"paid"},"new":null,"changes":{"added":[],"updated":[],"removed":["total","status"]}}"#,
    ];
    for receiver in [&own, &snaapi] {
        let requests = accepted(receiver, 4).await;
        for (request, expected) in requests.iter().zip(expected) {
            let body = body(request);
            assert!(body.contains(expected), "{expected}\nin {body}");
            assert_eq!(request.resource_id, "1");
            assert!(!body.contains("secret") && !body.contains("note"), "{body}");
        }
        receiver.assert_all_signed();
    }
}

#[tokio::test]
async fn a_body_is_what_its_expression_says_such_as_a_slack_message() {
    let receiver = Receiver::start().await;
    let expression = r#"{
        "text": "order " + string(new.id) + " is " + new.status.upperAscii(),
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*" + event.type + "*"}}],
        "metadata": {"event_type": event.type, "event_payload": {"total": new.total, "old": old}}
    }"#;
    let served =
        orders(|rowhook| rowhook.webhook_to("slack", &receiver, with("body", expression))).await;
    for change in [
        "insert into orders values (1, 10, 'new', null)",
        "insert into orders values (2, 20, null, null)",
        "update orders set status = 'päid' where id = 1",
    ] {
        served.execute(change).await;
    }
    let requests = receiver.wait_for_count(2).await;
    let bodies: Vec<_> = requests.iter().map(body).collect();
    assert_eq!(
        bodies,
        [
            r#"{"text":"order 1 is NEW","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*orders.created*"}}],"metadata":{"event_type":"orders.created","event_payload":{"total":10.00,"old":null}}}"#,
            r#"{"text":"order 1 is PäID","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*orders.updated*"}}],"metadata":{"event_type":"orders.updated","event_payload":{"total":10.00,"old":{"id":1,"total":10.00,"status":"new","note":null}}}}"#,
        ]
    );
    for request in &requests {
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("x-rowhook-subscription"), Some("slack"));
    }
    receiver.assert_all_signed();
    served.wait_for_cursor("slack", 3).await;
    let row = "select sequence_id, reason from rowhook.deliveries";
    let row = served.client.query_one(row, &[]).await.unwrap();
    let reason: String = row.get(1);
    assert_eq!(row.get::<_, i64>(0), 2);
    assert!(
        reason.contains("body: `upperAscii` does not go with null"),
        "{reason}"
    );
}

#[tokio::test]
async fn check_finds_columns_that_no_table_has_and_rows_that_are_not_there() {
    let receiver = Receiver::start().await;
    let prepared = Prepared::with(|rowhook| {
        let to = |rowhook: Rowhook, name: &str, events: &str, mut more: Table| {
            more.insert("events".into(), vec![events].into());
            rowhook.webhook_to(name, &receiver, more)
        };
        let rowhook = to(rowhook, "a", "t.*", toml! { changed = ["vv", "id"] });
        let rowhook = to(
            rowhook,
            "b",
            "t.*",
            with("when", "new.w > 1 || old.id == 1"),
        );
        let rowhook = to(rowhook, "c", "*", toml! { fields = ["idd"] });
        let rowhook = to(rowhook, "d", "t.*", with("body", "{'v': new.v}"));
        let rowhook = to(rowhook, "e", "t.updated", with("when", "new.v > old.v"));
        let rowhook = to(
            rowhook,
            "f",
            "*.updated",
            with("when", "has(new.v) && new.v > 1"),
        );
        to(rowhook, "g", "*.updated", with("when", "new.v > 1"))
    })
    .await;
    let table = "create table u (id int primary key, w int)";
    prepared.client.batch_execute(table).await.unwrap();
    prepared.rowhook.setup().await;
    let report = prepared.rowhook.fail(&["check", "--json"], 1).await;
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut found: Vec<String> = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        let [level, about, message, fix] = ["level", "about", "message", "fix"]
            .map(|key| finding[key].as_str().unwrap_or_default());
        if let Some(about) = about
            .strip_prefix("webhook ")
            .filter(|about| about.contains(", "))
        {
            found.push(format!("{level} {about}: {message} ({fix})"));
        }
    }
    let lacks = "no captured table that it takes events of has a column";
    let null = |key: &str, side: &str, column: &str, actions: &str| {
        format!(
            "warning {key}: it reads `{side}.{column}`, and `{side}` is null for what was {actions}: \
             such an event would fail and be parked (write `{side} != null && …` or \
             `{side} == null || …`, or narrow `events`)"
        )
    };
    assert_eq!(
        found,
        [
            format!("error \"a\", changed: {lacks} `vv` (did you mean `v`?)"),
            format!(
                "error \"b\", when: {lacks} `w` (correct the name, or see that the column is not in `exclude`)"
            ),
            null("\"b\", when", "old", "id", "created or snapshot"),
            null("\"b\", when", "new", "w", "deleted or truncated"),
            format!("error \"c\", fields: {lacks} `idd` (did you mean `id`?)"),
            null("\"d\", body", "new", "v", "deleted or truncated"),
            "warning \"g\", when: table public.u has no column `v`: its events would fail and be \
             parked (has(new.v) && …, or leave the table out of `events`)"
                .to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_wrong_expression_is_refused_with_its_place() {
    let receiver = Receiver::start().await;
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("a", &receiver, Table::new())).await;
    let wrong = with("when", "nw.total > 100");
    let rowhook = prepared.rowhook.webhook_to("b", &receiver, wrong);
    for command in ["check", "run"] {
        let said = rowhook.fail(&[command], 78).await;
        for part in [
            "webhook[1].when: column 1: unknown variable `nw`; did you mean `new`?",
            "nw.total > 100",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }
}
