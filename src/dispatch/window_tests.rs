use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use uuid::Uuid;

use super::bench::{Bench, again, event};
use super::*;
use crate::dispatch::Rule;

const UNWANTED: Choice = Choice::Filtered(Rule::Events);

fn choice(wanted: bool) -> Choice {
    if wanted { Choice::Wanted } else { UNWANTED }
}

#[tokio::test]
async fn the_cursor_passes_what_is_settled_and_stops_before_what_is_not() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.window.offer(&event(2, "b"), &Choice::Wanted);
    bench.window.offer(&event(3, "c"), &UNWANTED);
    assert_eq!(
        (bench.next(), bench.next(), bench.next()),
        (Some(1), Some(2), None)
    );
    bench.settle("posts/b");
    assert_eq!(bench.window.cursor(), 0);
    bench.settle("posts/a");
    assert_eq!(bench.flush(), "cursor 3 done [] kept []");
}

#[tokio::test]
async fn a_resource_waits_for_itself_and_for_no_other() {
    let mut bench = Bench::new(Order::Resource);
    for (sequence_id, resource) in [(1, "a"), (2, "a"), (3, "b")] {
        bench
            .window
            .offer(&event(sequence_id, resource), &Choice::Wanted);
    }
    assert_eq!(
        (bench.next(), bench.next(), bench.next()),
        (Some(1), Some(3), None)
    );
    bench.settle("posts/a");
    assert_eq!(bench.next(), Some(2));
}

#[tokio::test]
async fn strict_sends_one_at_a_time_and_none_all_at_once() {
    for (order, expected) in [
        (Order::Strict, [Some(1), None]),
        (Order::None, [Some(1), Some(2)]),
    ] {
        let mut bench = Bench::new(order);
        bench.window.offer(&event(1, "a"), &Choice::Wanted);
        bench.window.offer(&event(2, "a"), &Choice::Wanted);
        assert_eq!([bench.next(), bench.next()], expected);
    }
}

#[tokio::test]
async fn a_quick_retry_stays_in_memory() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.next();
    bench.retry("posts/a", 2);
    assert_eq!(bench.next(), None);
    assert_eq!(
        bench.window.wakes_at(),
        Some(bench.now + Duration::from_secs(2))
    );
    bench.pass(2);
    let job = bench.take().unwrap();
    assert_eq!((job.attempt, job.event.is_some()), (2, true));
    assert_eq!(bench.flush(), "cursor 0 done [] kept []");
}

#[tokio::test]
async fn a_slow_retry_becomes_rows_for_its_whole_lane_and_frees_the_cursor() {
    let mut bench = Bench::new(Order::Resource);
    for (sequence_id, resource) in [(1, "a"), (2, "a"), (3, "b")] {
        bench
            .window
            .offer(&event(sequence_id, resource), &Choice::Wanted);
    }
    bench.next();
    bench.retry("posts/a", 60);
    assert_eq!(bench.next(), Some(3));
    bench.settle("posts/b");
    assert_eq!(
        bench.flush(),
        r#"cursor 3 done [] kept ["1 waiting 1 60", "2 waiting 0 -"]"#
    );
    // What comes for the lane later waits behind them.
    bench.window.offer(&event(4, "a"), &Choice::Wanted);
    assert_eq!(bench.next(), None);
    assert_eq!(bench.flush(), r#"cursor 4 done [] kept ["4 waiting 0 -"]"#);
    assert_eq!(bench.window.parked(), 3);
    // When its time comes the lane is worked off in order, from the log.
    bench.pass(60);
    let job = bench.take().unwrap();
    assert_eq!(
        (job.sequence_id, job.attempt, job.event.is_none()),
        (1, 2, true)
    );
    bench.settle("posts/a");
    assert_eq!(bench.next(), Some(2));
    // What comes while it is worked off need not become a row.
    bench.window.offer(&event(5, "a"), &Choice::Wanted);
    bench.settle("posts/a");
    assert_eq!(bench.next(), Some(4));
    bench.settle("posts/a");
    let job = bench.take().unwrap();
    assert_eq!((job.sequence_id, job.event.is_some()), (5, true));
    bench.settle("posts/a");
    assert_eq!(bench.flush(), "cursor 5 done [1, 2, 4] kept []");
    assert_eq!(bench.window.parked(), 0);
}

#[tokio::test]
async fn a_dead_delivery_is_a_row_and_its_lane_goes_on() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.window.offer(&event(2, "a"), &Choice::Wanted);
    bench.next();
    bench.end(
        "posts/a",
        Fate::Decided(
            Step::Dead {
                reason: "413".into(),
            },
            "413 Payload Too Large".into(),
        ),
    );
    assert_eq!(bench.next(), Some(2));
    assert_eq!(bench.flush(), r#"cursor 1 done [] kept ["1 dead 1 -"]"#);
}

#[tokio::test]
async fn an_attempt_that_does_not_count_is_made_again_and_leaves_no_row() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    for _ in 0..50 {
        assert_eq!(bench.take().map(|job| job.attempt), Some(1));
        bench.end("posts/a", Fate::NotCounted);
    }
    assert_eq!(bench.flush(), "cursor 0 done [] kept []");
}

#[tokio::test]
async fn rows_from_before_a_restart_are_neither_forgotten_nor_sent_twice() {
    let row = |sequence_id: i64, dead: bool, due: Option<i64>| DeliveryRow {
        sequence_id,
        event_id: Uuid::nil(),
        lane: "posts/a".into(),
        dead,
        attempts: 3,
        due_at: due.map(|due| Timestamp::from_second(due).unwrap()),
        reason: None,
    };
    let rows = vec![
        row(4, false, Some(30)),
        row(12, true, None),
        row(13, false, None),
    ];
    let mut bench = Bench::restored(Order::Resource, 10, rows);
    for sequence_id in 11..=13 {
        bench
            .window
            .offer(&event(sequence_id, "b"), &Choice::Wanted);
    }
    assert_eq!((bench.next(), bench.next()), (Some(11), None));
    bench.settle("posts/b");
    assert_eq!(bench.window.cursor(), 13);
    bench.pass(30);
    assert_eq!(
        bench.take().map(|job| (job.sequence_id, job.attempt)),
        Some((4, 4))
    );
    bench.settle("posts/a");
    assert_eq!(bench.next(), Some(13));
}

#[tokio::test]
async fn slow_events_get_rows_when_the_window_is_full_and_stay_in_flight() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "slow"), &Choice::Wanted);
    bench.next();
    for sequence_id in 2..=i64::try_from(SPAN).unwrap() {
        bench.window.offer(&event(sequence_id, "b"), &UNWANTED);
    }
    assert_eq!(bench.window.room(), 0);
    bench.window.relieve(16);
    assert_eq!(bench.window.room(), SPAN);
    assert_eq!(
        bench.flush(),
        format!(r#"cursor {SPAN} done [] kept ["1 waiting 0 -"]"#)
    );
    bench.settle("posts/slow");
    assert_eq!(bench.flush(), format!("cursor {SPAN} done [1] kept []"));
}

#[tokio::test]
async fn an_ordinary_backlog_needs_no_rows() {
    let mut bench = Bench::new(Order::Resource);
    for sequence_id in 1..=i64::try_from(SPAN).unwrap() {
        bench.window.offer(
            &event(sequence_id, &sequence_id.to_string()),
            &Choice::Wanted,
        );
    }
    bench.next();
    bench.window.relieve(16);
    assert_eq!(bench.window.room(), 0);
    assert_eq!(bench.flush(), "cursor 0 done [] kept []");
}

#[tokio::test]
async fn in_strict_order_only_the_first_one_is_parked() {
    let mut bench = Bench::new(Order::Strict);
    for sequence_id in 1..=3 {
        bench
            .window
            .offer(&event(sequence_id, "a"), &Choice::Wanted);
    }
    bench.next();
    bench.retry("*", 60);
    bench.window.offer(&event(4, "b"), &Choice::Wanted);
    assert_eq!(bench.flush(), r#"cursor 1 done [] kept ["1 waiting 1 60"]"#);
    bench.pass(60);
    for sequence_id in 1..=4 {
        assert_eq!(bench.next(), Some(sequence_id));
        bench.settle("*");
    }
    assert_eq!(bench.flush(), "cursor 4 done [1] kept []");
}

#[tokio::test]
async fn what_is_forgotten_is_read_again_in_its_turn_and_gets_its_row() {
    let mut bench = Bench::new(Order::Resource);
    for sequence_id in 1..=3 {
        bench
            .window
            .offer(&event(sequence_id, "a"), &Choice::Wanted);
    }
    bench.window.forget_events();
    let job = bench.take().unwrap();
    assert!(job.event.is_none());
    bench.retry("posts/a", 60);
    let rows = r#"["1 waiting 1 60", "2 waiting 0 -", "3 waiting 0 -"]"#;
    assert_eq!(bench.flush(), format!("cursor 3 done [] kept {rows}"));
}

#[tokio::test]
async fn the_probe_after_a_failed_one_is_another_event() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.window.offer(&event(2, "b"), &Choice::Wanted);
    assert_eq!(bench.next(), Some(1));
    bench.end("posts/a", Fate::NotCounted);
    assert_eq!(bench.next(), Some(2));
}

#[tokio::test]
async fn a_postponed_attempt_waits_and_does_not_count() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.next();
    bench.end("posts/a", Fate::Postponed(Duration::from_secs(1)));
    assert_eq!(bench.next(), None);
    bench.pass(1);
    assert_eq!(bench.take().map(|job| job.attempt), Some(1));
    assert_eq!(bench.flush(), "cursor 0 done [] kept []");
}

#[tokio::test]
async fn a_restart_repeats_nothing_that_was_delivered_behind_a_waiting_one() {
    let mut bench = Bench::new(Order::Resource);
    for sequence_id in 1..=9 {
        let resource = if sequence_id == 1 { "slow" } else { "other" };
        bench
            .window
            .offer(&event(sequence_id, resource), &Choice::Wanted);
    }
    bench.next();
    bench.retry("posts/slow", 2);
    for _ in 2..=8 {
        bench.next();
        bench.settle("posts/other");
    }
    bench.window.prepare_restart();
    assert_eq!(bench.flush(), r#"cursor 8 done [] kept ["1 waiting 1 -"]"#);
}

#[tokio::test]
async fn a_log_that_begins_far_behind_the_cursor_costs_no_memory() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1 << 40, "a"), &Choice::Wanted);
    assert_eq!(bench.window.cursor(), (1 << 40) - 1);
    assert!(bench.window.settled.capacity() < 100);
}

#[tokio::test]
async fn ids_that_are_gone_from_the_log_count_as_settled() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(100, "a"), &Choice::Wanted);
    assert_eq!((bench.window.cursor(), bench.window.read_to()), (99, 100));
}

/// What may happen to the attempt that has been in flight for the longest time.
#[derive(Debug, Clone)]
enum Turn {
    Offer(u8, bool),
    Take,
    Settle,
    Retry(u64),
    Dead,
    NotCounted,
    /// Take several together.
    Gather(usize),
    /// They were refused together, and go alone.
    Apart,
    /// Of several, so many were not wanted any more and the others failed.
    Partly(usize),
    Pass,
    Relieve,
    /// Values were erased from the log.
    Forget,
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        6 => (0..4u8, prop::bool::weighted(0.8)).prop_map(|(resource, wanted)| Turn::Offer(resource, wanted)),
        6 => Just(Turn::Take),
        4 => Just(Turn::Settle),
        2 => prop_oneof![Just(1), Just(60)].prop_map(Turn::Retry),
        1 => Just(Turn::Dead),
        1 => Just(Turn::NotCounted),
        4 => (2..6usize).prop_map(Turn::Gather),
        1 => Just(Turn::Apart),
        1 => (0..4usize).prop_map(Turn::Partly),
        2 => Just(Turn::Pass),
        1 => Just(Turn::Relieve),
        1 => Just(Turn::Forget),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 0..200)
}

proptest! {
    /// Whatever happens and whenever the process ends: per resource, no event is settled before an
    /// earlier one is, and none is forgotten.
    #[test]
    fn order_holds_and_nothing_is_forgotten(turns in turns()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _in_runtime = runtime.enter();
        let mut bench = Bench::new(Order::Resource);
        let mut log: Vec<(i64, String, bool)> = Vec::new();
        let mut flying: VecDeque<Vec<Job>> = VecDeque::new();
        let mut settled: BTreeSet<i64> = BTreeSet::new();
        // The tables, as flushes leave them.
        let mut cursor = 0;
        let mut rows: BTreeMap<i64, DeliveryRow> = BTreeMap::new();
        let flush = |bench: &mut Bench, cursor: &mut i64, rows: &mut BTreeMap<i64, DeliveryRow>| {
            let settlement = bench.window.settlement();
            *cursor = settlement.cursor;
            for id in settlement.done { rows.remove(&id); }
            for row in settlement.kept { rows.insert(row.sequence_id, row); }
        };
        let mut all = turns;
        // At the end everything is worked off.
        all.push(Turn::Restart);
        for _ in 0..600 { all.extend([Turn::Pass, Turn::Take, Turn::Settle]); }
        for turn in all {
            match turn {
                Turn::Offer(resource, wanted) => {
                    let id = i64::try_from(log.len()).unwrap() + 1;
                    log.push((id, resource.to_string(), wanted));
                    if bench.window.read_to() + 1 == id {
                        bench.window.offer(&event(id, &resource.to_string()), &choice(wanted));
                    }
                }
                Turn::Take => flying.extend(bench.window.next(bench.now, 3).map(|job| vec![job])),
                Turn::Gather(max) => {
                    let jobs = bench.gather(max, 0, 3);
                    if let Some(jobs) = &jobs {
                        prop_assert!(jobs.len() <= max);
                        prop_assert!(jobs.is_sorted_by_key(|job| job.sequence_id));
                        prop_assert!(jobs.len() == 1 || jobs.iter().all(|job| job.attempt == 1));
                    }
                    flying.extend(jobs);
                }
                Turn::Settle => if let Some(jobs) = flying.pop_front() {
                    for job in &jobs {
                        let (_, resource, _) = &log[usize::try_from(job.sequence_id).unwrap() - 1];
                        for (id, other, wanted) in &log[..usize::try_from(job.sequence_id).unwrap() - 1] {
                            prop_assert!(other != resource || !wanted || settled.contains(id), "{id} was overtaken by {}", job.sequence_id);
                        }
                        settled.insert(job.sequence_id);
                    }
                    bench.end_all(jobs, |_| Fate::Decided(Step::Settle, String::new()));
                },
                Turn::Dead => if let Some(jobs) = flying.pop_front() {
                    settled.extend(jobs.iter().map(|job| job.sequence_id));
                    bench.end_all(jobs, |_| Fate::Decided(Step::Dead { reason: "no".into() }, String::new()));
                },
                Turn::Partly(done) => if let Some(jobs) = flying.pop_front() {
                    settled.extend(jobs.iter().take(done).map(|job| job.sequence_id));
                    bench.end_all(jobs, |place| if place < done { Fate::Decided(Step::Settle, String::new()) } else { again(1) });
                },
                Turn::Retry(after) => if let Some(jobs) = flying.pop_front() { bench.end_all(jobs, |_| again(after)) },
                Turn::NotCounted => if let Some(jobs) = flying.pop_front() { bench.end_all(jobs, |_| Fate::NotCounted) },
                Turn::Apart => if let Some(jobs) = flying.pop_front() { bench.end_all(jobs, |_| Fate::Apart) },
                Turn::Pass => {
                    bench.pass(30);
                    flush(&mut bench, &mut cursor, &mut rows);
                }
                Turn::Relieve => bench.window.prepare_restart(),
                Turn::Forget => bench.window.forget_events(),
                Turn::Restart => {
                    let unfinished = rows.values().filter(|row| !row.dead || row.sequence_id > cursor).cloned().collect();
                    let clock = bench.clock;
                    let now = bench.now;
                    bench = Bench::restored(Order::Resource, cursor, unfinished);
                    (bench.clock, bench.now) = (clock, now);
                    flying.clear();
                    for (id, resource, wanted) in log.iter().filter(|(id, ..)| *id > cursor) {
                        bench.window.offer(&event(*id, resource), &choice(*wanted));
                    }
                }
            }
        }
        flush(&mut bench, &mut cursor, &mut rows);
        prop_assert_eq!(cursor, i64::try_from(log.len()).unwrap());
        prop_assert!(rows.values().all(|row| row.dead), "rows are left: {:?}", rows);
        for (id, _, wanted) in &log {
            prop_assert!(!wanted || settled.contains(id), "{id} was forgotten");
        }
    }
}

#[tokio::test]
async fn what_is_skipped_is_settled_behind_what_is_held() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.skip_to(1_000_000);
    assert_eq!(bench.window.cursor(), 1_000_000);
    assert_eq!(bench.window.settled_unflushed(), 1);
    bench.window.offer(&event(1_000_003, "a"), &choice(true));
    bench.window.skip_to(1_000_001);
    bench.window.skip_to(1_000_010);
    let window = &bench.window;
    assert_eq!((window.cursor(), window.read_to()), (1_000_002, 1_000_010));
    let job = bench.window.next(bench.now, 1).unwrap();
    let fate = Fate::Decided(Step::Settle, String::new());
    bench
        .window
        .finished(&job.lane, fate, bench.now, bench.clock);
    assert_eq!(bench.window.cursor(), 1_000_010);
}

#[tokio::test]
async fn what_is_not_wanted_is_saved_but_hurries_no_flush() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &UNWANTED);
    assert_eq!(
        (
            bench.window.has_unflushed(),
            bench.window.settled_unflushed()
        ),
        (true, 0)
    );
    assert_eq!(bench.window.settlement().cursor, 1);
    assert!(!bench.window.has_unflushed());
    bench.window.skip_to(2);
    assert_eq!(
        (
            bench.window.has_unflushed(),
            bench.window.settled_unflushed()
        ),
        (true, 1)
    );
}
