//! Lanes, rate, batches, and what answers mean: as the receiver sees them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use toml::{Table, toml};

use crate::logged::{wait_for, wait_for_logged};
use crate::ports::free_port;
use crate::receiver::{Gate, Received, Receiver, Reply};
use crate::served::{Prepared, Served, accepted, assert_in_order};

/// What one event of a batch says of itself: resource, resource id, sequence id, attempt.
type Item = (String, String, i64, u64);

fn items(request: &Received) -> Vec<Item> {
    let body = request.json();
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let item = |one: &Json| {
        let event = &one["event"];
        (
            text(&event["resource"]),
            text(&event["resourceId"]),
            event["sequenceId"].as_i64().unwrap(),
            one["delivery"]["attempt"].as_u64().unwrap(),
        )
    };
    body.as_array().unwrap().iter().map(item).collect()
}

fn ids(request: &Received) -> Vec<i64> {
    items(request).into_iter().map(|item| item.2).collect()
}

fn accepted_ids(requests: &[Received]) -> Vec<i64> {
    let accepted = requests.iter().filter(|request| request.accepted());
    accepted.flat_map(ids).collect()
}

/// Waits until so many different events were accepted in batches.
async fn accepted_in_batches(receiver: &Receiver, events: usize) -> Vec<Received> {
    let distinct = |requests: &[Received]| {
        let ids: HashSet<i64> = accepted_ids(requests).into_iter().collect();
        ids.len()
    };
    receiver
        .wait_for(|requests| distinct(requests) >= events)
        .await
}

/// Every row's accepted events came in order, over all batches.
fn assert_batches_in_order(requests: &[Received]) {
    let mut rows: HashMap<String, i64> = HashMap::new();
    for request in requests.iter().filter(|request| request.accepted()) {
        for (resource, row, id, _) in items(request) {
            let before = rows.insert(format!("{resource}/{row}"), id).unwrap_or(0);
            assert!(before < id, "{resource}/{row}: {id} came after {before}");
        }
    }
}

/// A daemon that starts with a backlog: ten rows, each changed so many times.
async fn with_backlog(receiver: &Receiver, more: Table, changes: usize) -> Served {
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", receiver, more)).await;
    let (start, insert) = (
        "update t set v = v + 1",
        "insert into t select i, 0 from generate_series(1, 10) i",
    );
    prepared.client.batch_execute(insert).await.unwrap();
    for _ in 0..changes {
        prepared.client.batch_execute(start).await.unwrap();
    }
    prepared.served().await
}

#[tokio::test]
async fn a_batch_is_a_list_in_order_signed_as_a_whole() {
    let receiver = Receiver::start().await;
    let served = with_backlog(
        &receiver,
        toml! { batch = { max_events = 7, max_wait = "1s" } },
        3,
    )
    .await;
    let requests = accepted_in_batches(&receiver, 40).await;
    served.wait_for_cursor("hook", 40).await;
    assert_batches_in_order(&requests);
    receiver.assert_all_signed();
    for request in &requests {
        let ids = ids(request);
        assert!(ids.len() <= 7 && ids.is_sorted(), "{ids:?}");
        let count = ids.len().to_string();
        assert_eq!(request.header("x-rowhook-events"), Some(count.as_str()));
        assert_eq!(request.header("x-rowhook-event"), Some("batch"));
        assert_eq!(request.header("x-rowhook-subscription"), Some("hook"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    let different: HashSet<&str> = requests.iter().map(|r| r.event_id.as_str()).collect();
    assert_eq!(different.len(), requests.len());
    // Forty events in requests of seven: gathering is worth it.
    assert!(requests.len() <= 20, "{}", requests.len());

    // One alone is a list, too, and comes when the wait is over.
    let began = Instant::now();
    served.execute("update t set v = 9 where id = 1").await;
    let requests = accepted_in_batches(&receiver, 41).await;
    let last = requests.last().unwrap();
    assert_eq!(ids(last), [41]);
    assert_eq!(last.event_id, last.json()[0]["id"].as_str().unwrap());
    assert!(began.elapsed() >= Duration::from_millis(990));
}

#[tokio::test]
async fn one_event_that_fails_does_not_hold_up_those_that_went_with_it() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| {
        let bad = items(request).iter().any(|item| item.1 == "3");
        Reply::Status(if bad { 500 } else { 200 })
    });
    let served = with_backlog(
        &receiver,
        toml! {
            batch = { max_events = 10, max_wait = "100ms" }
            retry = { attempts = 4, initial = "20ms", multiplier = 2, max = "50ms" }
        },
        4,
    )
    .await;
    let requests = accepted_in_batches(&receiver, 45).await;
    assert_batches_in_order(&requests);
    let wanted: HashSet<String> = (1..=10)
        .filter(|row| *row != 3)
        .map(|row| row.to_string())
        .collect();
    let rows: HashSet<String> = requests
        .iter()
        .filter(|request| request.accepted())
        .flat_map(|request| items(request).into_iter().map(|item| item.1))
        .collect();
    assert_eq!(rows, wanted);
    // The one in four attempts, in its own order, and then dead; nothing else is.
    served.wait_for_cursor("hook", 50).await;
    // Without others that are taken in between, five that fail make the endpoint look down.
    let row = std::cell::Cell::new(10);
    wait_for(&served.client, "five dead ones", async || {
        row.set(row.get() + 1);
        served.insert(row.get(), row.get()).await;
        let rows = served.deliveries().await;
        rows.len() == 5 && rows.iter().all(|row| row.ends_with("dead 4"))
    })
    .await;
    for request in receiver.requests() {
        let items = items(&request);
        assert!(
            items.len() == 1 || items.iter().all(|item| item.3 == 1),
            "{items:?}"
        );
    }
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_taken_apart_and_nothing_is_lost() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| {
        let items = items(request);
        let too_large = items.len() > 1 || items[0].1 == "5";
        Reply::Status(if too_large { 413 } else { 200 })
    });
    let more = toml! {
        batch = { max_events = 10, max_wait = "50ms" }
        retry = { attempts = 1 }
    };
    let served = with_backlog(&receiver, more, 0).await;
    let requests = accepted_in_batches(&receiver, 9).await;
    assert_batches_in_order(&requests);
    served.wait_for_cursor("hook", 10).await;
    let rows = served.deliveries().await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert!(rows[0].ends_with("dead 1"), "{rows:?}");
}

#[tokio::test]
async fn batches_stay_together_while_nobody_can_be_reached() {
    let address = format!("127.0.0.1:{}", free_port());
    let down = Receiver::start_at(&address).await;
    let more = toml! { batch = { max_events = 10, max_wait = "1s" } };
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", &down, more)).await;
    drop(down);
    let served = prepared.served().await;
    served.insert(1, 40).await;
    served.daemon.wait_for_log("counts as down").await;
    let back = Receiver::start_at(&address).await;
    let requests = accepted_in_batches(&back, 40).await;
    let attempts = requests.iter().flat_map(items).map(|item| item.3);
    assert!(attempts.into_iter().all(|attempt| attempt == 1));
    assert!(requests.len() <= 8, "{} requests", requests.len());
    served.wait_for_cursor("hook", 40).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn what_settles_one_event_does_not_settle_those_that_went_with_it() {
    let receiver = Receiver::start().await;
    // It has the event of row 5 already, and says so to whoever brings it.
    receiver.on_request(|request| {
        let known = items(request).iter().any(|item| item.1 == "5");
        Reply::Status(if known { 409 } else { 200 })
    });
    let more = toml! {
        batch = { max_events = 10, max_wait = "50ms" }
        retry = { statuses = { "409" = "settle" } }
    };
    let served = with_backlog(&receiver, more, 0).await;
    let requests = accepted_in_batches(&receiver, 9).await;
    assert!(!accepted_ids(&requests).contains(&5));
    served.wait_for_cursor("hook", 10).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn order_holds_in_batches_whatever_the_receiver_answers() {
    let receiver = Receiver::start().await;
    let mut turn = 0;
    receiver.on_request(move |_| {
        turn += 1;
        let status = [200, 500, 200, 200, 503, 429, 200][turn % 7];
        Reply::After(Duration::from_millis(5), Box::new(Reply::Status(status)))
    });
    let more = toml! {
        batch = { max_events = 6, max_wait = "20ms" }
        retry = { attempts = 50, initial = "10ms", multiplier = 1, max = "20ms" }
    };
    let served = with_backlog(&receiver, more, 29).await;
    let requests = accepted_in_batches(&receiver, 300).await;
    assert_batches_in_order(&requests);
    served.wait_for_cursor("hook", 300).await;
    served.wait_for_deliveries(&[]).await;
    let mut ids = accepted_ids(&receiver.requests());
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=300), "once each");
}

#[tokio::test]
async fn the_rate_holds_by_the_receivers_own_clock() {
    let receiver = Receiver::start().await;
    // Retries count as well.
    let mut turn = 0;
    receiver.on_request(move |_| {
        turn += 1;
        Reply::Status(if turn % 4 == 0 { 500 } else { 200 })
    });
    let served = with_backlog(&receiver, toml! { rate = "20/s" }, 8).await;
    let requests = accepted(&receiver, 90).await;
    served.wait_for_cursor("hook", 90).await;
    let times: Vec<Instant> = requests.iter().map(|request| request.at).collect();
    // One second's worth at once, and then so many each second; on a busy machine a request may
    // arrive a second late, together with those behind it.
    for (from, first) in times.iter().enumerate() {
        for (to, last) in times.iter().enumerate().skip(from) {
            let seconds = (*last - *first).as_secs_f64();
            let most = 20.0 + 20.0 * (seconds + 1.0) + 1.0;
            assert!(
                ((to - from + 1) as f64) <= most,
                "{from} to {to} in {seconds} s"
            );
        }
    }
    // And it is used: about 120 requests are 100 more than the first burst.
    let took = (times[times.len() - 1] - times[0]).as_secs_f64();
    let least = (times.len() as f64 - 20.0) / 20.0;
    assert!(
        took >= least * 0.9 && took <= least * 10.0,
        "{took} s for {}",
        times.len()
    );
}

/// Posts and comments of tenants.
const TENANTS: &str = "
    create table posts (id int primary key, tenant_id int, v int);
    create table comments (id int primary key, tenant_id text, v int)";

#[tokio::test]
async fn events_of_one_tenant_wait_for_each_other_over_all_tables() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let held = Reply::Held(gate.clone(), Box::new(Reply::Status(200)));
    receiver.on_request(move |request| {
        if request.resource == "posts" && request.resource_id == "1" {
            held.clone()
        } else {
            Reply::Status(200)
        }
    });
    let prepared = Prepared::with(|rowhook| {
        rowhook.webhook_to("hook", &receiver, toml! { order_by = "tenant_id" })
    })
    .await;
    prepared.client.batch_execute(TENANTS).await.unwrap();
    prepared.rowhook.setup().await;
    let served = prepared.served().await;
    served
        .execute(
            "insert into posts values (1, 42, 0);
             insert into comments values (1, '42', 0);
             insert into posts values (2, 42, 0);
             insert into posts values (3, 7, 0);
             insert into comments values (2, null, 0);
             insert into t values (1, 0);
             update posts set v = 1 where id = 3;
             delete from comments where id = 1",
        )
        .await;
    let seen = |requests: &[Received]| -> Vec<i64> {
        let mut ids: Vec<i64> = requests.iter().map(|r| r.sequence_id).collect();
        ids.sort_unstable();
        ids
    };
    // Those of tenant 42 wait behind the first, of whatever table; all others do not.
    let others = receiver
        .wait_for(|requests| seen(requests) == [1, 4, 5, 6, 7])
        .await;
    assert_eq!(seen(&others), [1, 4, 5, 6, 7]);
    gate.open();
    let requests = accepted(&receiver, 8).await;
    let tenant: Vec<i64> = requests
        .iter()
        .map(|request| request.sequence_id)
        .filter(|id| [1, 2, 3, 8].contains(id))
        .collect();
    assert_eq!(tenant, [1, 2, 3, 8]);
}

#[tokio::test]
async fn check_tells_a_column_that_no_table_has_and_deletes_that_do_not_carry_it() {
    let receiver = Receiver::start().await;
    let with = |column: &str| {
        let mut more = Table::new();
        more.insert("order_by".into(), column.into());
        more
    };
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, with("tenat_id"))).await;
    prepared.client.batch_execute(TENANTS).await.unwrap();
    prepared.rowhook.setup().await;
    let said = prepared.rowhook.fail(&["check"], 1).await;
    assert!(
        said.contains("no captured table has a column \"tenat_id\""),
        "{said}"
    );
    assert!(
        said.contains("did you mean order_by = \"tenant_id\"?"),
        "{said}"
    );

    let rowhook = prepared
        .rowhook
        .set("source.replica_identity", "keep")
        .set("webhook", toml::Value::Array(Vec::new()))
        .webhook_to("hook", &receiver, with("tenant_id"));
    let change = "alter table comments replica identity default";
    prepared.client.batch_execute(change).await.unwrap();
    let said = rowhook.succeed(&["check"]).await;
    assert!(said.contains("\"tenant_id\": 2 of 3"), "{said}");
    assert!(
        said.contains("deletes from public.comments do not carry"),
        "{said}"
    );
    assert!(!said.contains("deletes from public.posts"), "{said}");
}

#[tokio::test]
async fn what_an_answer_means_is_as_the_settings_say() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| {
        Reply::Status(match (request.resource_id.as_str(), request.attempt) {
            ("1", _) => 404,
            ("2", _) => 409,
            ("3", 1) => 410,
            ("4", 1) => 422,
            _ => 200,
        })
    });
    let more = toml! {
        retry = { attempts = 5, initial = "10ms", max = "20ms", statuses = { "4xx" = "dead", "409" = "settle", "410" = "retry", "422" = "retry" } }
    };
    let served = Served::to(&receiver, more).await;
    served.insert(1, 5).await;
    served.wait_for_cursor("hook", 5).await;
    assert_eq!(served.deliveries().await, ["1 dead 1"]);
    let query = "select reason from rowhook.deliveries";
    let reason: String = served.client.query_one(query, &[]).await.unwrap().get(0);
    assert!(reason.contains("404 (retry.statuses)"), "{reason}");
    let attempts = |row: &str| {
        let requests = receiver.requests();
        requests.iter().filter(|r| r.resource_id == row).count()
    };
    assert_eq!(["1", "2", "3", "4", "5"].map(attempts), [1, 1, 2, 2, 1]);
}

#[tokio::test]
async fn an_answer_may_pause_the_webhook() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Status(402)]);
    let more = toml! { retry = { statuses = { "402" = "pause" } } };
    let served = Served::to(&receiver, more).await;
    served.insert(1, 1).await;
    let entry = served.wait_for_state("hook", "paused").await;
    let reason = entry["reason"].as_str().unwrap();
    assert!(reason.contains("402 (retry.statuses)"), "{entry}");
    served
        .rowhook
        .succeed(&["webhooks", "resume", "hook"])
        .await;
    accepted(&receiver, 1).await;
}

#[tokio::test]
async fn too_many_requests_rests_the_whole_endpoint() {
    for status in [429, 503] {
        let receiver = Receiver::start().await;
        // One says for how long, the other until when.
        receiver.on_request(move |request| {
            let until = jiff::Timestamp::now() + Duration::from_secs(3);
            let until = until.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            match (request.sequence_id, request.attempt, status) {
                (1, 1, 429) => Reply::with_header(429, "Retry-After", "2"),
                (1, 1, _) => Reply::with_header(status, "Retry-After", &until),
                _ => Reply::Status(200),
            }
        });
        // One at a time: nothing else is under way when it is told.
        let served = Served::to(&receiver, toml! { concurrency = 1 }).await;
        served.insert(1, 30).await;
        let line = served.daemon.wait_for_log("asks for a rest").await;
        assert!(line.contains(&status.to_string()), "{line}");
        let requests = accepted(&receiver, 30).await;
        // A date has no fractions of a second.
        assert!(requests[1].at - requests[0].at >= Duration::from_millis(1_990));
        assert_eq!(requests.len(), 31);
        served.wait_for_cursor("hook", 30).await;
        served.wait_for_deliveries(&[]).await;
    }
}

#[tokio::test]
async fn a_receiver_that_answers_nothing_but_429_for_a_while_loses_no_event() {
    let receiver = Receiver::start().await;
    let refusals = Arc::new(AtomicUsize::new(20));
    let left = Arc::clone(&refusals);
    receiver.on_request(move |_| {
        let refused = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        match refused {
            Ok(_) => Reply::with_header(429, "Retry-After", "1"),
            Err(_) => Reply::Status(200),
        }
    });
    // Two attempts would not be enough, if each refusal counted.
    let more = toml! {
        concurrency = 16
        retry = { attempts = 2, initial = "10ms", max = "20ms" }
    };
    let served = Served::to(&receiver, more).await;
    served.insert(1, 100).await;
    accepted(&receiver, 100).await;
    served.wait_for_cursor("hook", 100).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn an_event_that_alone_makes_the_receiver_too_busy_is_dead_in_the_end() {
    let receiver = Receiver::start().await;
    receiver.on_request(|request| match request.resource_id.as_str() {
        "1" => Reply::with_header(503, "Retry-After", "1"),
        _ => Reply::Status(200),
    });
    let more = toml! { retry = { attempts = 3, initial = "10ms", max = "20ms" } };
    let served = Served::to(&receiver, more).await;
    served.insert(1, 1).await;
    let mut rows = 1;
    while served.deliveries().await != ["1 dead 3"] {
        rows += 1;
        served.insert(rows, rows).await;
        accepted(&receiver, i64::from(rows) - 1).await;
        assert!(rows < 2_000, "{:?}", served.deliveries().await);
    }
}

#[tokio::test]
async fn a_date_in_the_past_or_nonsense_is_no_rest() {
    let receiver = Receiver::start().await;
    receiver.answer_next([
        Reply::with_header(429, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        Reply::with_header(503, "Retry-After", "-1"),
        Reply::with_header(429, "Retry-After", "0"),
    ]);
    let mut served = Served::to(&receiver, toml! { concurrency = 1 }).await;
    served.insert(1, 10).await;
    accepted(&receiver, 10).await;
    assert_eq!(served.daemon.stop().await, Some(0));
    assert!(!served.daemon.logs().contains("asks for a rest"));
}

#[tokio::test]
async fn a_receiver_that_comes_back_is_not_flooded() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let (gated, broken) = (gate.clone(), Arc::new(AtomicUsize::new(1)));
    let is_broken = Arc::clone(&broken);
    receiver.on_request(move |_| match is_broken.load(Ordering::Relaxed) {
        1 => Reply::Status(500),
        // The probe is taken, what comes after it is held.
        2 => {
            is_broken.store(3, Ordering::Relaxed);
            Reply::Status(200)
        }
        _ => Reply::Held(gated.clone(), Box::new(Reply::Status(200))),
    });
    let served = Served::to(&receiver, toml! { concurrency = 64 }).await;
    served.insert(1, 400).await;
    served.daemon.wait_for_log("counts as down").await;
    // What went out before that has its answers; a probe comes later.
    let answered = |requests: &[Received]| requests.iter().all(|r| r.answered.is_some());
    receiver
        .wait_for(|requests| requests.len() > 64 && answered(&requests[..64]))
        .await;
    broken.store(2, Ordering::Relaxed);
    served.daemon.wait_for_log("the endpoint is back").await;
    let in_flight = |requests: &[Received]| {
        let waiting = requests.iter().filter(|r| r.answered.is_none());
        waiting.count()
    };
    receiver.wait_for(|requests| in_flight(requests) == 2).await;
    // The daemon shows how it stands after it has sent what it may.
    for line in [
        "rowhook_breaker_open{webhook=\"hook\"} 0",
        "rowhook_requests_in_flight{webhook=\"hook\"} 2",
    ] {
        served.daemon.wait_for_metric(line).await;
    }
    assert_eq!(in_flight(&receiver.requests()), 2);
    gate.open();
    accepted(&receiver, 400).await;
    served.wait_for_cursor("hook", 400).await;
}

#[tokio::test]
async fn a_receiver_that_refuses_every_other_request_gets_everything_in_order() {
    let receiver = Receiver::start().await;
    let mut turn = 0;
    receiver.on_request(move |_| {
        turn += 1;
        // At first it is down: it has to come back by every other request.
        let taken = turn > 9 && turn % 2 == 0;
        let status = if taken { 200 } else { 500 };
        Reply::After(Duration::from_millis(5), Box::new(Reply::Status(status)))
    });
    let more = toml! {
        concurrency = 8
        retry = { attempts = 100, initial = "10ms", multiplier = 1, max = "20ms" }
    };
    let served = with_backlog(&receiver, more, 39).await;
    served.daemon.wait_for_log("counts as down").await;
    // Twice as many requests, five milliseconds each: a breaker that stays open, with a second or more
    // before each probe, takes longer than any test waits.
    assert_in_order(&accepted(&receiver, 400).await);
    served.wait_for_cursor("hook", 400).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn one_row_that_fails_holds_up_no_other() {
    let receiver = Receiver::start().await;
    receiver.fail_for("1", 500);
    let served = with_backlog(&receiver, Table::new(), 9).await;
    let requests = accepted(&receiver, 90).await;
    assert_in_order(&requests);
    // The first one of the row is tried, and none behind it.
    let first: HashSet<i64> = receiver
        .requests()
        .iter()
        .filter(|request| request.resource_id == "1")
        .map(|request| request.sequence_id)
        .collect();
    assert_eq!(first.len(), 1);
    receiver.on_request(|_| Reply::Status(200));
    assert_in_order(&accepted(&receiver, 100).await);
    served.wait_for_cursor("hook", 100).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn ten_thousand_events_of_one_row_drain_in_order() {
    let receiver = Receiver::start().await;
    receiver.forget_bodies();
    let gate = Gate::closed();
    let held = Reply::Held(gate.clone(), Box::new(Reply::Status(200)));
    receiver.on_request(move |request| match request.sequence_id {
        5_000 => held.clone(),
        _ => Reply::Status(200),
    });
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, Table::new())).await;
    let change = "
        insert into t values (1, 0);
        do $$ begin for i in 1..9999 loop update t set v = i where id = 1; end loop; end $$";
    prepared.client.batch_execute(change).await.unwrap();
    let served = prepared.served().await;
    served.insert(2, 2).await;
    // Another row does not wait for them.
    let other = receiver
        .wait_for(|requests| requests.iter().any(|request| request.resource_id == "2"))
        .await;
    assert!(other.len() <= 5_001);
    gate.open();
    served.wait_for_cursor("hook", 10_001).await;
    let requests = receiver.requests();
    assert_in_order(&requests);
    assert_eq!(requests.len(), 10_001);
}

#[tokio::test]
async fn after_a_change_of_order_what_waits_keeps_to_the_new_one() {
    let receiver = Receiver::start().await;
    let prepared =
        Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, toml! { order = "none" }))
            .await;
    prepared.client.batch_execute(TENANTS).await.unwrap();
    prepared.rowhook.setup().await;
    let mut served = prepared.served().await;
    // Two of one tenant fail and wait as rows, each in a lane of its own; a third one is in flight.
    let gate = Gate::closed();
    let held = Reply::Held(gate.clone(), Box::new(Reply::Status(200)));
    receiver.on_request(
        move |request| match (request.sequence_id, request.attempt) {
            (1 | 2, 1) => Reply::with_header(500, "Retry-After", "3600"),
            (3, 1) => held.clone(),
            _ => Reply::Status(200),
        },
    );
    served
        .execute(
            "insert into posts values (1, 42, 0); insert into comments values (1, '42', 0);
             insert into posts values (3, 7, 0)",
        )
        .await;
    receiver.wait_for_count(3).await;
    served
        .wait_for_deliveries(&["1 waiting 1", "2 waiting 1"])
        .await;
    let lanes = async |served: &Served| -> Vec<String> {
        let query = "
            select lane from rowhook.deliveries order by sequence_id";
        let rows = served.client.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(lanes(&served).await, ["#1", "#2"]);
    // For whoever reads the rows next.
    served
        .execute("update rowhook.deliveries set due_at = now() + make_interval(secs => 6 - 2 * sequence_id)")
        .await;

    served.rowhook = served
        .rowhook
        .set("webhook", toml::Value::Array(Vec::new()))
        .webhook_to("hook", &receiver, toml! { order_by = "tenant_id" });
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("webhooks reloaded").await;
    gate.open();
    served
        .daemon
        .wait_for_log("have their lanes by the new order")
        .await;
    // In the middle of what waits, more of the tenant.
    served.execute("insert into posts values (2, 42, 0)").await;
    wait_for_logged(&served.client, 4).await;
    let noted = "select ordering from rowhook.subscriptions where name = 'hook'";
    let noted: String = served.client.query_one(noted, &[]).await.unwrap().get(0);
    assert_eq!(noted, "resource by tenant_id");
    assert!(
        lanes(&served)
            .await
            .iter()
            .all(|lane| lane == "tenant_id=42")
    );

    let requests = accepted(&receiver, 4).await;
    let tenant: Vec<i64> = requests
        .iter()
        .filter(|request| request.accepted() && request.sequence_id != 3)
        .map(|request| request.sequence_id)
        .collect();
    // The second one was due earlier; now it waits for the first.
    assert_eq!(tenant, [1, 2, 4]);
    served.wait_for_deliveries(&[]).await;
    served.wait_for_cursor("hook", 4).await;
}

#[tokio::test]
async fn after_a_change_of_order_what_has_no_row_yet_is_not_overtaken() {
    let receiver = Receiver::start().await;
    let mut served = Served::to(&receiver, toml! { order = "none" }).await;
    // The first one is in flight when the daemon is killed, the second one waits as a row.
    let held = Reply::Held(Gate::closed(), Box::new(Reply::Status(200)));
    let mut first = true;
    receiver.on_request(
        move |request| match (request.sequence_id, request.attempt) {
            (1, 1) if std::mem::take(&mut first) => held.clone(),
            (2, 1) => Reply::with_header(500, "Retry-After", "3600"),
            _ => Reply::Status(200),
        },
    );
    served.insert(1, 2).await;
    served.wait_for_deliveries(&["2 waiting 1"]).await;
    served.daemon.kill9().await;
    served
        .execute("update rowhook.deliveries set due_at = now()")
        .await;
    receiver.on_request(|_| Reply::Status(200));
    served.rowhook = served
        .rowhook
        .set("webhook", toml::Value::Array(Vec::new()))
        .webhook_to("hook", &receiver, toml! { order = "strict" });
    served.daemon = served.rowhook.spawn_ready().await;
    let requests = accepted(&receiver, 2).await;
    let order: Vec<i64> = requests
        .iter()
        .filter(|request| request.accepted())
        .map(|request| request.sequence_id)
        .collect();
    assert_eq!(order, [1, 2]);
    served.wait_for_cursor("hook", 2).await;
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn a_dead_one_that_is_sent_again_after_a_change_of_order_keeps_to_the_new_one() {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::Status(404)]);
    let dead = |order: &str| {
        toml! { order = order
        retry = { attempts = 10, initial = "50ms", max = "1s", statuses = { "404" = "dead" } } }
    };
    let mut served = Served::to(&receiver, dead("none")).await;
    served.insert(1, 1).await;
    served.wait_for_deliveries(&["1 dead 1"]).await;
    served.rowhook = served
        .rowhook
        .set("webhook", toml::Value::Array(Vec::new()))
        .webhook_to("hook", &receiver, dead("strict"));
    served.daemon.signal("HUP").await;
    served
        .daemon
        .wait_for_log("have their lanes by the new order")
        .await;
    let query = "select lane from rowhook.deliveries";
    let lane: String = served.client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(lane, "*");
    // One in strict order: while it is sent, nothing else is.
    let gate = Gate::closed();
    receiver.answer_next([Reply::Held(gate.clone(), Box::new(Reply::Status(200)))]);
    served
        .rowhook
        .succeed(&["deliveries", "retry", "--all"])
        .await;
    receiver.wait_for_count(2).await;
    served.insert(2, 2).await;
    let line = "rowhook_subscription_lag_events{webhook=\"hook\"} 1";
    served.daemon.wait_for_metric(line).await;
    assert_eq!(receiver.requests().len(), 2);
    gate.open();
    let requests = accepted(&receiver, 2).await;
    let sent: Vec<i64> = requests.iter().map(|r| r.sequence_id).collect();
    assert_eq!(sent, [1, 1, 2]);
    served.wait_for_deliveries(&[]).await;
}

#[tokio::test]
async fn a_batch_that_is_told_to_rest_leaves_no_rows() {
    a_batch_leaves_no_rows(429).await;
}

#[tokio::test]
async fn a_batch_that_fails_and_is_told_when_to_come_back_leaves_no_rows() {
    a_batch_leaves_no_rows(500).await;
}

async fn a_batch_leaves_no_rows(status: u16) {
    let receiver = Receiver::start().await;
    receiver.answer_next([Reply::with_header(status, "Retry-After", "6")]);
    let more = toml! {
        concurrency = 1
        batch = { max_events = 10, max_wait = "50ms" }
    };
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, more)).await;
    let noting = "
        create schema noted;
        create table noted.deliveries (sequence_id bigint);
        create function noted.one() returns trigger language plpgsql as $$
        begin insert into noted.deliveries values (new.sequence_id); return null; end $$;
        create trigger noted after insert on rowhook.deliveries for each row execute function noted.one();
        insert into t select i, 0 from generate_series(1, 40) i";
    prepared.client.batch_execute(noting).await.unwrap();
    let served = prepared.served().await;
    served.daemon.wait_for_log("asks for a rest").await;
    let requests = accepted_in_batches(&receiver, 40).await;
    assert!(requests[1].at - requests[0].at >= Duration::from_millis(5_990));
    served.wait_for_cursor("hook", 40).await;
    let query = "select count(*) from noted.deliveries";
    let rows: i64 = served.client.query_one(query, &[]).await.unwrap().get(0);
    assert_eq!(rows, 0);
}
