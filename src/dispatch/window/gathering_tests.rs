use bytestring::ByteString;

use super::super::bench::{Bench, again, event};
use super::*;
use crate::dispatch::ordering::Ordering;
use crate::dispatch::{Choice, Order, OrderBy};

fn ids(jobs: Option<Vec<Job>>) -> Vec<i64> {
    jobs.into_iter()
        .flatten()
        .map(|job| job.sequence_id)
        .collect()
}

fn offered(order: Order, resources: &str) -> Bench {
    let mut bench = Bench::new(order);
    for (sequence_id, resource) in (1..).zip(resources.chars()) {
        let event = event(sequence_id, &resource.to_string());
        bench.window.offer(&event, &Choice::Wanted);
    }
    bench
}

fn settled() -> Fate {
    Fate::Decided(Step::Settle, String::new())
}

#[tokio::test]
async fn first_events_of_lanes_and_those_behind_them_go_together_in_the_log_s_order() {
    let mut bench = offered(Order::Resource, "abacbaddd");
    let first = bench.gather(5, 0, 9).unwrap();
    assert_eq!(ids(Some(first.clone())), [1, 2, 3, 5, 6]);
    // Their lanes are in flight, whatever they hold; others are not.
    assert_eq!(ids(bench.gather(2, 0, 9)), [4, 7]);
    assert_eq!(bench.gather(5, 0, 9).map(|jobs| jobs.len()), None);
    assert_eq!(bench.window.in_flight(), 2);
    bench.end_all(first, |_| settled());
    assert_eq!(bench.window.cursor(), 3);
    assert_eq!(bench.window.in_flight(), 1);
}

#[tokio::test]
async fn strict_order_goes_together_too_one_request_at_a_time() {
    let mut bench = offered(Order::Strict, "abcab");
    let first = bench.gather(3, 0, 9).unwrap();
    assert_eq!(ids(Some(first.clone())), [1, 2, 3]);
    assert!(bench.gather(3, 0, 9).is_none());
    bench.end_all(first, |_| settled());
    assert_eq!(ids(bench.gather(3, 0, 9)), [4, 5]);
}

#[tokio::test]
async fn few_wait_for_others_and_many_do_not() {
    let mut bench = offered(Order::Resource, "ab");
    assert!(bench.gather(3, 10, 9).is_none());
    let due = bench.now + std::time::Duration::from_secs(10);
    assert_eq!(bench.window.gathers_at(), Some(due));
    bench.pass(4);
    bench.window.offer(&event(3, "c"), &Choice::Wanted);
    assert_eq!(ids(bench.gather(3, 10, 9)), [1, 2, 3]);
    assert_eq!(bench.window.gathers_at(), None);

    bench.window.offer(&event(4, "d"), &Choice::Wanted);
    assert!(bench.gather(3, 10, 9).is_none());
    bench.pass(10);
    // Time that passes while there is no room for a request is time all the same.
    assert!(bench.gather(3, 10, 1).is_none());
    assert_eq!(ids(bench.gather(3, 10, 9)), [4]);
}

#[tokio::test]
async fn those_that_failed_together_go_alone_and_wait_for_nobody() {
    let mut bench = offered(Order::Resource, "aab");
    let jobs = bench.gather(9, 0, 9).unwrap();
    bench.end_all(jobs, |_| again(1));
    bench.window.offer(&event(4, "c"), &Choice::Wanted);
    bench.pass(1);
    let alone: Vec<_> = std::iter::from_fn(|| bench.gather(9, 60, 9))
        .map(|jobs| (jobs.len(), jobs[0].sequence_id, jobs[0].attempt))
        .collect();
    assert_eq!(alone.len(), 2, "{alone:?}");
    assert!(
        alone.contains(&(1, 1, 2)) && alone.contains(&(1, 3, 2)),
        "{alone:?}"
    );
    bench.settle("posts/a");
    // The one behind was in the same request: that was its first attempt.
    let jobs = bench.gather(9, 60, 9).unwrap();
    assert_eq!(
        (jobs.len(), jobs[0].sequence_id, jobs[0].attempt),
        (1, 2, 2)
    );
    bench.pass(60);
    assert_eq!(ids(bench.gather(9, 60, 9)), [4]);
}

#[tokio::test]
async fn those_that_are_taken_apart_lose_no_attempt() {
    let mut bench = offered(Order::Resource, "aab");
    let jobs = bench.gather(9, 0, 9).unwrap();
    bench.end_all(jobs, |_| Fate::Apart);
    let jobs = bench.gather(9, 0, 9).unwrap();
    assert_eq!((jobs.len(), jobs[0].attempt), (1, 1));
    bench.settle("posts/a");
    assert_eq!(ids(bench.gather(9, 0, 9)), [3]);
    assert_eq!(ids(bench.gather(9, 0, 9)), [2]);
}

#[tokio::test]
async fn behind_one_that_failed_nothing_is_done() {
    let mut bench = offered(Order::Resource, "aaab");
    let jobs = bench.gather(9, 0, 9).unwrap();
    bench.end_all(jobs, |place| if place == 1 { again(1) } else { settled() });
    assert_eq!(bench.window.cursor(), 1);
    bench.pass(1);
    assert_eq!(ids(bench.gather(9, 0, 9)), [2]);
}

#[tokio::test]
async fn a_request_has_four_mebibytes_at_the_most_but_one_event_in_any_case() {
    let mut bench = Bench::new(Order::Resource);
    let large = |sequence_id, resource, mebibytes: usize| {
        let mut event = event(sequence_id, resource);
        event.record = Some(ByteString::from("x".repeat(mebibytes << 20)));
        event
    };
    for (sequence_id, resource, mebibytes) in [(1, "a", 2), (2, "b", 1), (3, "b", 2), (4, "c", 5)] {
        let event = large(sequence_id, resource, mebibytes);
        bench.window.offer(&event, &Choice::Wanted);
    }
    // Full by their bytes, they do not wait for others.
    let jobs = bench.gather(9, 60, 9).unwrap();
    assert_eq!(ids(Some(jobs.clone())), [1, 2]);
    assert_eq!(ids(bench.gather(9, 60, 9)), [4]);
    bench.end_all(jobs, |_| settled());
    assert!(bench.gather(9, 60, 9).is_none());
    bench.pass(60);
    assert_eq!(ids(bench.gather(9, 60, 9)), [3]);
}

#[tokio::test]
async fn a_probe_after_a_failed_one_is_of_other_events_though_some_go_alone() {
    let mut bench = offered(Order::Resource, "ab");
    let jobs = bench.gather(9, 0, 9).unwrap();
    bench.end_all(jobs, |_| again(0));
    bench.window.offer(&event(3, "c"), &Choice::Wanted);
    let mut probed = Vec::new();
    for _ in 0..3 {
        let jobs = bench.gather(9, 0, 1).unwrap();
        probed.extend(ids(Some(jobs.clone())));
        bench.end_all(jobs, |_| Fate::NotCounted);
    }
    probed.sort_unstable();
    assert_eq!(probed, [1, 2, 3]);
}

fn with_record(sequence_id: i64, resource_id: &str, record: &'static str) -> crate::event::Event {
    let mut event = event(sequence_id, resource_id);
    event.record = Some(ByteString::from_static(record));
    event
}

#[tokio::test]
async fn events_of_one_value_share_a_lane_over_all_resources() {
    let by_tenant = Ordering {
        order: Order::Resource,
        by: Some(OrderBy::new("tenant \"id\"")),
    };
    let lane = |event: crate::event::Event| by_tenant.lane(&event).to_string();
    let mut comment = with_record(2, "9", r#"{"tenant \"id\"":"42"}"#);
    comment.resource = "comments".into();
    assert_eq!(
        lane(with_record(1, "1", r#"{"id":1,"tenant \"id\"":42}"#)),
        "tenant \"id\"=42"
    );
    assert_eq!(lane(comment), "tenant \"id\"=42");
    for record in [r#"{"tenant \"id\"":null}"#, r#"{"id":1}"#, "{}"] {
        assert_eq!(lane(with_record(1, "1", record)), "posts/1", "{record}");
    }
    let mut unknown = event(1, "1");
    unknown.record = None;
    assert_eq!(lane(unknown), "posts/1");
    let mut long = event(1, "1");
    long.record = Some(format!(r#"{{"tenant \"id\"":"{}"}}"#, "x".repeat(100_000)).into());
    assert!(lane(long).len() < 100);
    // Escapes of a json column hold what no text can, or not in every encoding.
    for value in [r"\u0000", r"\u20ac"] {
        let mut escaped = event(1, "1");
        escaped.record = Some(format!(r#"{{"tenant \"id\"":"{value}"}}"#).into());
        let lane = lane(escaped);
        assert!(lane.is_ascii() && !lane.contains('\0'), "{lane:?}");
    }
}

#[tokio::test]
async fn events_of_one_tenant_share_a_lane_whatever_its_column_is_called() {
    let by_tenant = Ordering {
        order: Order::Resource,
        by: Some(OrderBy::new("event.tenant")),
    };
    assert_eq!(by_tenant.to_string(), "resource by event.tenant");
    let mut post = with_record(1, "1", r#"{"event.tenant":"x"}"#);
    assert_eq!(&*by_tenant.lane(&post), "posts/1");
    post.tenant = Some("acme".into());
    assert_eq!(&*by_tenant.lane(&post), "event.tenant=acme");
    post.resource = "comments".into();
    assert_eq!(&*by_tenant.lane(&post), "event.tenant=acme");
    post.tenant = Some("x".repeat(1000).into());
    assert!(by_tenant.lane(&post).len() < 100);
}

/// What is done for one event must not grow with those that wait behind it: this takes a few seconds,
/// or else many minutes.
#[tokio::test]
async fn a_very_long_lane_costs_no_more_for_each_event() {
    const EVENTS: i64 = 100_000;
    let row = |sequence_id| crate::event_log::deliveries::DeliveryRow {
        sequence_id,
        event_id: uuid::Uuid::nil(),
        lane: "posts/a".into(),
        dead: false,
        attempts: 0,
        due_at: None,
        reason: None,
    };
    let rows = (1..=EVENTS).map(row).collect();
    let mut bench = Bench::restored(Order::Resource, EVENTS, rows);
    let began = std::time::Instant::now();
    for sequence_id in 1..=EVENTS {
        assert_eq!(bench.next(), Some(sequence_id));
        bench.retry("posts/a", 1);
        bench.pass(1);
        assert_eq!(bench.next(), Some(sequence_id));
        bench.settle("posts/a");
    }
    assert_eq!(bench.window.parked(), 0);
    assert!(began.elapsed() < std::time::Duration::from_secs(300));
}
