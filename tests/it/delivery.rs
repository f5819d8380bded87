//! Events reach receivers: the right ones, signed, in the order that was asked for.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use hmac::{Hmac, KeyInit, Mac};
use toml::{Table, toml};

use crate::logged::{Logged, count, events, wait_for, wait_for_logged};
use crate::receiver::{Gate, Received, Receiver, Reply};
use crate::served::{
    Prepared, Served, accepted, accepted_by_row, assert_in_order, assert_waits_for_acceptance,
};

/// How long a receiver takes where the order of requests is looked at.
const ANSWER: Duration = Duration::from_millis(15);

fn slowly(status: u16) -> Reply {
    Reply::After(ANSWER, Box::new(Reply::Status(status)))
}

fn created_at(event: &Logged) -> String {
    let time = event.created_at.replace(' ', "T").replace("+00", "Z");
    // Postgres leaves trailing zeros out, as the payload does.
    assert!(time.ends_with('Z'), "{time}");
    time
}

fn body(request: &Received) -> &str {
    std::str::from_utf8(&request.body).unwrap()
}

#[tokio::test]
async fn a_rows_life_arrives_as_documented_in_both_formats() {
    let (own, snaapi) = (Receiver::start().await, Receiver::start().await);
    let served = Served::with(|rowhook| {
        rowhook.webhook_to("hook", &own, Table::new()).webhook_to(
            "other",
            &snaapi,
            toml! { format = "snaapi" },
        )
    })
    .await;
    for change in [
        "insert into t values (7, 1)",
        "update t set v = 2",
        "delete from t",
    ] {
        served.execute(change).await;
    }
    let logged = wait_for_logged(&served.client, 3).await;
    let parts = [
        (
            "created",
            r#"{"old":null,"new":{"id":7,"v":1},"changes":{"added":["id","v"],"updated":[],"removed":[]}}"#,
            "",
        ),
        (
            "updated",
            r#"{"old":{"id":7,"v":1},"new":{"id":7,"v":2},"changes":{"added":[],"updated":["v"],"removed":[]}}"#,
            r#""previousValues":{"v":1},"#,
        ),
        (
            "deleted",
            r#"{"old":{"id":7,"v":2},"new":null,"changes":{"added":[],"updated":[],"removed":["id","v"]}}"#,
            "",
        ),
    ];
    let (own_requests, snaapi_requests) = (accepted(&own, 3).await, accepted(&snaapi, 3).await);
    for (at, (action, data, previous)) in parts.into_iter().enumerate() {
        let event = &logged[at];
        let (id, time, database) = (&event.event_id, created_at(event), &served.database.name);
        let (sequence_id, xid, lsn) = (event.sequence_id, event.xid, &event.commit_lsn);
        let delivery = |request: &Received| {
            request.json()["delivery"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        };

        let request = &own_requests[at];
        let delivery_id = delivery(request);
        let expected = format!(
            r#"{{"id":"{id}","event":{{"type":"t.{action}","resource":"t","resourceId":"7","sequenceId":{sequence_id},"createdAt":"{time}","data":{data},{previous}"source":{{"database":"{database}","schema":"public","table":"t","xid":{xid},"lsn":"{lsn}"}},"context":null}},"subscription":"hook","delivery":{{"id":"{delivery_id}","attempt":1}}}}"#
        );
        assert_eq!(body(request), expected);
        assert_eq!(request.method, "POST");
        for (name, value) in [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("x-rowhook-event", &format!("t.{action}")),
            ("x-rowhook-event-id", id),
            ("x-rowhook-delivery", &delivery_id),
            ("x-rowhook-attempt", "1"),
            ("x-rowhook-subscription", "hook"),
        ] {
            assert_eq!(request.header(name), Some(value), "{name}");
        }

        let request = &snaapi_requests[at];
        let delivery_id = delivery(request);
        let expected = format!(
            r#"{{"id":"{id}","event":{{"type":"t.{action}","resource":"t","resourceId":"7","createdAt":"{time}","data":{data}}},"delivery":{{"id":"{delivery_id}","attempt":1}}}}"#
        );
        assert_eq!(body(request), expected);
    }
    own.assert_all_signed();
    snaapi.assert_all_signed();
}

#[tokio::test]
async fn own_headers_are_sent_and_every_secret_signs_while_they_rotate() {
    let receiver = Receiver::start().await;
    let encoding = base64::engine::general_purpose::STANDARD;
    let old = format!("whsec_{}", encoding.encode([9; 32]));
    let mut more =
        toml! { headers = { Authorization = { env = "TEST_TOKEN" }, X-Plain = "plain" } };
    let secrets = vec![old.clone(), receiver.secret()];
    more.insert("secret".into(), secrets.into());
    let served = Served::with(|rowhook| {
        rowhook
            .env("TEST_TOKEN", "Bearer from-the-environment")
            .webhook_to("hook", &receiver, more)
    })
    .await;
    served.insert(1, 1).await;

    let request = accepted(&receiver, 1).await.remove(0);
    assert_eq!(
        request.header("authorization"),
        Some("Bearer from-the-environment")
    );
    assert_eq!(request.header("x-plain"), Some("plain"));
    let signatures: Vec<_> = request
        .header("webhook-signature")
        .unwrap()
        .split(' ')
        .collect();
    assert_eq!(signatures.len(), 2);
    let timestamp = request.header("webhook-timestamp").unwrap();
    for (signature, secret) in signatures.into_iter().zip([old, receiver.secret()]) {
        let key = encoding
            .decode(secret.strip_prefix("whsec_").unwrap())
            .unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{timestamp}.{}", request.event_id, body(&request)).as_bytes());
        let expected = encoding.encode(mac.finalize().into_bytes());
        assert_eq!(signature, format!("v1,{expected}"));
    }
}

#[tokio::test]
async fn a_retry_has_the_same_id_and_a_higher_attempt() {
    let receiver = Receiver::start().await;
    receiver.answer_next([500, 503, 429].map(Reply::Status));
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 1).await;
    let requests = accepted(&receiver, 1).await;
    let logged = events(&served.client).await;
    assert_eq!(requests.len(), 4);
    for (attempt, request) in (1..).zip(&requests) {
        assert_eq!(request.event_id, logged[0].event_id);
        assert_eq!(request.attempt, attempt);
        let header = request.header("x-rowhook-attempt");
        assert_eq!(header, Some(attempt.to_string().as_str()));
        assert_eq!(
            request.json()["delivery"]["id"],
            requests[0].json()["delivery"]["id"]
        );
    }
    receiver.assert_all_signed();
    served.wait_for_cursor("hook", 1).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn patterns_choose_and_a_new_webhook_starts_where_it_is_told() {
    let [changes, deletes, now, third, all] = [(); 5].map(|()| Receiver::start());
    let (changes, deletes) = (changes.await, deletes.await);
    let (now, third, all) = (now.await, third.await, all.await);
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("all", &all, Table::new())).await;
    let mut served = prepared.served().await;
    served
        .execute("insert into t values (1, 0), (2, 0), (3, 0), (4, 0)")
        .await;
    accepted(&all, 4).await;
    assert_eq!(served.daemon.stop().await, Some(0));

    served.rowhook = served
        .rowhook
        .webhook_to(
            "changes",
            &changes,
            toml! { events = ["t.updated", "t.deleted"] },
        )
        .webhook_to("deletes", &deletes, toml! { events = ["*.deleted"] })
        .webhook_to("now", &now, toml! { start = "now" })
        .webhook_to("third", &third, toml! { start = 3 });
    served.restart().await;
    for name in ["changes", "deletes", "now", "third"] {
        served.wait_for_cursor(name, 4).await;
    }
    served.execute("update t set v = 1 where id = 1").await;
    served.execute("delete from t where id = 1").await;
    for (receiver, expected) in [
        (&changes, [5, 6].as_slice()),
        (&deletes, &[6]),
        (&now, &[5, 6]),
        (&third, &[3, 4, 5, 6]),
        (&all, &[1, 2, 3, 4, 5, 6]),
    ] {
        let requests = accepted(receiver, expected.len() as i64).await;
        let mut ids: Vec<_> = requests.iter().map(|request| request.sequence_id).collect();
        ids.sort_unstable();
        assert_eq!(ids, expected);
    }
    for name in ["changes", "deletes", "now", "third", "all"] {
        served.wait_for_cursor(name, 6).await;
    }
    assert_eq!(deletes.count(), 1);
}

#[tokio::test]
async fn a_rows_next_event_waits_until_the_one_before_was_accepted() {
    let receiver = Receiver::start().await;
    let mut tried = HashSet::new();
    receiver.on_request(move |request| {
        // Every third event fails at first.
        let fails = request.sequence_id % 3 == 0 && tried.insert(request.sequence_id);
        slowly(if fails { 500 } else { 200 })
    });
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 6).await;
    for _ in 0..5 {
        served.execute("update t set v = v + 1").await;
    }
    let requests = accepted(&receiver, 36).await;
    assert_waits_for_acceptance(&requests, ANSWER);
    assert_eq!(accepted_by_row(&requests).len(), 6);
}

#[tokio::test]
async fn a_row_that_is_held_up_holds_up_no_other() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    receiver.on_request(move |request| match request.resource_id.as_str() {
        "1" => Reply::Held(held.clone(), Box::new(Reply::Status(200))),
        _ => Reply::Status(200),
    });
    let served = Served::to(&receiver, Table::new()).await;
    served.insert(1, 50).await;
    served.execute("update t set v = 1").await;
    accepted(&receiver, 98).await;
    assert_eq!(receiver.count(), 99);
    gate.open();
    assert_in_order(&accepted(&receiver, 100).await);
}

#[tokio::test]
async fn strict_order_is_one_at_a_time_in_sequence_order() {
    let receiver = Receiver::start().await;
    let tries = AtomicUsize::new(0);
    receiver.on_request(move |_| {
        let fails = tries.fetch_add(1, Ordering::Relaxed) % 5 == 2;
        slowly(if fails { 500 } else { 200 })
    });
    let served = Served::to(&receiver, toml! { order = "strict" }).await;
    served.insert(1, 20).await;
    let requests = accepted(&receiver, 20).await;
    for pair in requests.windows(2) {
        assert!(pair[1].at >= pair[0].at + ANSWER);
        let next = pair[0].sequence_id + i64::from(pair[0].accepted());
        assert_eq!(pair[1].sequence_id, next);
    }
}

#[tokio::test]
async fn without_order_one_row_is_sent_at_once_but_never_beyond_the_concurrency() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = gate.clone();
    receiver.on_request(move |_| Reply::Held(held.clone(), Box::new(slowly(200))));
    let served = Served::to(&receiver, toml! { order = "none" concurrency = 4 }).await;
    served.execute("insert into t values (1, 0)").await;
    for _ in 0..19 {
        served.execute("update t set v = v + 1").await;
    }
    // All slots are taken by one row before the first answer.
    receiver.wait_for_count(4).await;
    gate.open();
    let requests = accepted(&receiver, 20).await;
    for request in &requests[4..] {
        let open = requests
            .iter()
            .filter(|other| other.at <= request.at && request.at < other.at + ANSWER);
        assert!(open.count() <= 4, "more than 4 requests at once");
    }
}

#[tokio::test]
async fn a_backlog_arrives_completely_and_in_order_without_a_row() {
    const ROWS: i32 = 500;
    let receiver = Receiver::start().await;
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, Table::new())).await;
    let insert = format!("insert into t select i, 0 from generate_series(1, {ROWS}) i");
    prepared.client.batch_execute(&insert).await.unwrap();
    for _ in 0..9 {
        prepared
            .client
            .batch_execute("update t set v = v + 1")
            .await
            .unwrap();
    }
    let served = prepared.served().await;
    let requests = accepted(&receiver, 5_000).await;
    assert_eq!(requests.len(), 5_000);
    assert_in_order(&requests);
    let rows = accepted_by_row(&requests);
    assert_eq!(rows.len(), ROWS as usize);
    assert!(rows.values().all(|events| events.len() == 10));
    receiver.assert_all_signed();
    served.wait_for_cursor("hook", 5_000).await;
    assert!(served.deliveries().await.is_empty());
}

#[tokio::test]
async fn a_backlog_of_large_rows_needs_little_memory() {
    const ROWS: i32 = 240;
    const MEGABYTE: u64 = 1 << 20;
    let receiver = Receiver::start().await;
    receiver.forget_bodies();
    let mut served = Served::to(&receiver, toml! { concurrency = 1 }).await;
    served.wait_for_cursor("hook", 0).await;
    served.rowhook.succeed(&["webhooks", "pause", "hook"]).await;
    served.execute("alter table t add large text").await;
    for id in 1..=ROWS {
        let insert = format!("insert into t values ({id}, 0, repeat('x', {MEGABYTE}))");
        served.execute(&insert).await;
    }
    wait_for(&served.client, "the rows in the log", async || {
        count(&served.client).await == i64::from(ROWS)
    })
    .await;
    // A new process has captured nothing: what it takes, it takes for the backlog.
    served.daemon.kill9().await;
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    served.restart().await;
    accepted(&receiver, i64::from(ROWS)).await;
    let peak = served.daemon.peak_memory() / MEGABYTE;
    assert!(peak < 170, "{peak} MB");
}
