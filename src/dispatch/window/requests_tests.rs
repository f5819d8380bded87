use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::*;
use crate::dispatch::retry::Step;
use crate::dispatch::window::Fate;
use crate::dispatch::window::bench::{self, event};
use crate::dispatch::{Choice, Order};

#[path = "requests_tests/turns.rs"]
mod turns;

/// A bench with the tables as flushes leave them.
struct Bench {
    bench: bench::Bench,
    order: Order,
    cursor: i64,
    rows: BTreeMap<i64, DeliveryRow>,
    requests: BTreeMap<i64, (Request, Timestamp)>,
}

impl Deref for Bench {
    type Target = bench::Bench;

    fn deref(&self) -> &bench::Bench {
        &self.bench
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut bench::Bench {
        &mut self.bench
    }
}

impl Bench {
    fn new(order: Order) -> Self {
        Self {
            bench: bench::Bench::new(order),
            order,
            cursor: 0,
            rows: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// As it is after `kill -9` and a start, with this log.
    fn restart(&mut self, log: &[(i64, String)]) {
        let known = self
            .rows
            .values()
            .map(|row| {
                let given_up = self.asked(row.sequence_id) == Some(Request::Discard);
                DeliveryRow {
                    dead: row.dead || given_up,
                    ..row.clone()
                }
            })
            .filter(|row| !row.dead || row.sequence_id > self.cursor)
            .collect();
        let (now, clock) = (self.now, self.clock);
        self.window = Window::new(self.order.into(), self.cursor, known, now, clock);
        let cursor = self.cursor;
        for (id, resource) in log.iter().filter(|(id, _)| *id > cursor) {
            self.window.offer(&event(*id, resource), &Choice::Wanted);
        }
    }

    fn asked(&self, id: i64) -> Option<Request> {
        self.requests.get(&id).map(|(request, _)| *request)
    }

    fn flush(&mut self) {
        let settlement = self.window.settlement();
        self.cursor = settlement.cursor;
        for id in settlement.done {
            self.rows.remove(&id);
            self.requests.remove(&id);
        }
        for row in settlement.kept {
            let answered = settlement.answered.get(&row.sequence_id);
            if self.requests.get(&row.sequence_id).map(|(_, at)| at) == answered {
                self.requests.remove(&row.sequence_id);
            }
            self.rows.insert(row.sequence_id, row);
        }
    }

    /// The operator asks, if there is a row.
    fn ask(&mut self, id: i64, request: Request) {
        if self.rows.contains_key(&id) {
            self.requests.insert(id, (request, self.clock));
        }
    }

    /// The runner's look: never during a flush.
    fn look(&mut self) {
        let asked: Vec<Requested> = self
            .requests
            .iter()
            .map(|(id, (request, at))| Requested {
                row: self.rows[id].clone(),
                request: *request,
                at: *at,
            })
            .collect();
        for one in asked {
            let (now, clock) = (self.now, self.clock);
            self.window.obey(&one, now, clock);
        }
    }

    fn end(&mut self, lane: &str, step: Step) {
        self.bench.end(lane, Fate::Decided(step, "500".into()));
    }

    fn dead(&mut self, lane: &str) {
        self.end(
            lane,
            Step::Dead {
                reason: "no".into(),
            },
        );
    }

    /// Rows as `1 waiting 2`.
    fn shown(&self) -> Vec<String> {
        let word = |row: &DeliveryRow| if row.dead { "dead" } else { "waiting" };
        let rows = self.rows.values();
        rows.map(|row| format!("{} {} {}", row.sequence_id, word(row), row.attempts))
            .collect()
    }
}

#[tokio::test]
async fn a_dead_one_is_sent_again_with_fresh_attempts_and_its_row_goes() {
    let mut bench = Bench::new(Order::Resource);
    for id in 1..=2 {
        bench.window.offer(&event(id, "a"), &Choice::Wanted);
    }
    bench.take();
    bench.dead("posts/a");
    bench.take();
    bench.end("posts/a", Step::Settle);
    bench.flush();
    assert_eq!((bench.cursor, bench.shown()), (2, vec!["1 dead 1".into()]));
    bench.ask(1, Request::Retry);
    bench.look();
    bench.flush();
    assert_eq!(bench.shown(), ["1 waiting 0"]);
    assert!(bench.requests.is_empty());
    let job = bench.take().unwrap();
    assert_eq!((job.sequence_id, job.attempt, job.doubtful), (1, 1, true));
    bench.end("posts/a", Step::Settle);
    bench.flush();
    assert_eq!(bench.shown(), Vec::<String>::new());
}

#[tokio::test]
async fn a_dead_one_goes_before_what_came_after_it_but_not_into_what_is_being_sent() {
    let mut bench = Bench::new(Order::Resource);
    for id in 1..=3 {
        bench.window.offer(&event(id, "a"), &Choice::Wanted);
    }
    bench.take();
    bench.dead("posts/a");
    bench.flush();
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(2));
    bench.ask(1, Request::Retry);
    bench.look();
    assert_eq!(bench.take().map(|job| job.sequence_id), None);
    bench.end("posts/a", Step::Settle);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(1));
    bench.end("posts/a", Step::Settle);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(3));
}

#[tokio::test]
async fn a_dead_one_that_is_sent_again_leaves_the_one_behind_it_its_wait() {
    for restarts in [false, true] {
        let mut bench = Bench::new(Order::Resource);
        for id in 1..=3 {
            bench.window.offer(&event(id, "a"), &Choice::Wanted);
        }
        bench.take();
        bench.dead("posts/a");
        bench.take();
        bench.retry("posts/a", 600);
        bench.flush();
        bench.ask(1, Request::Retry);
        bench.look();
        bench.flush();
        if restarts {
            bench.restart(&[]);
        }
        assert_eq!(bench.take().map(|job| job.sequence_id), Some(1));
        bench.window.offer(&event(4, "a"), &Choice::Wanted);
        bench.end("posts/a", Step::Settle);
        bench.flush();
        let waiting = ["2 waiting 1", "3 waiting 0", "4 waiting 0"];
        assert_eq!(
            (bench.cursor, bench.shown()),
            (4, waiting.map(str::to_owned).to_vec())
        );
        bench.pass(599);
        assert_eq!(bench.take().map(|job| job.sequence_id), None);
        bench.pass(1);
        assert_eq!(bench.take().map(|job| job.sequence_id), Some(2));
    }
}

#[tokio::test]
async fn a_wait_is_over_when_an_operator_wants_that_one_itself_sent_again() {
    let mut bench = Bench::new(Order::Resource);
    for id in 1..=2 {
        bench.window.offer(&event(id, "a"), &Choice::Wanted);
    }
    bench.take();
    bench.dead("posts/a");
    bench.take();
    bench.retry("posts/a", 600);
    bench.flush();
    bench.ask(1, Request::Retry);
    bench.ask(2, Request::Retry);
    bench.look();
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(1));
    bench.end("posts/a", Step::Settle);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(2));
}

#[tokio::test]
async fn a_waiting_one_is_due_at_once_and_what_it_waits_behind_goes_first() {
    let mut bench = Bench::new(Order::Resource);
    for id in 1..=2 {
        bench.window.offer(&event(id, "a"), &Choice::Wanted);
    }
    bench.take();
    bench.retry("posts/a", 600);
    bench.flush();
    assert_eq!(bench.shown(), ["1 waiting 1", "2 waiting 0"]);
    bench.ask(2, Request::Retry);
    bench.look();
    let job = bench.take().unwrap();
    assert_eq!((job.sequence_id, job.attempt), (1, 2));
    // The time that it waited for before is no longer its time.
    bench.retry("posts/a", 7200);
    bench.pass(600);
    assert_eq!(bench.take().map(|job| job.sequence_id), None);
    bench.pass(6600);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(1));
}

#[tokio::test]
async fn a_discarded_one_is_settled_and_its_lane_goes_on() {
    let mut bench = Bench::new(Order::Resource);
    for id in 1..=2 {
        bench.window.offer(&event(id, "a"), &Choice::Wanted);
    }
    bench.take();
    bench.retry("posts/a", 600);
    bench.flush();
    bench.ask(1, Request::Discard);
    bench.look();
    let job = bench.take().unwrap();
    assert_eq!((job.sequence_id, job.attempt), (2, 1));
    bench.flush();
    assert_eq!(
        (bench.cursor, bench.shown()),
        (2, vec!["2 waiting 0".into()])
    );
    assert_eq!(bench.window.parked(), 1);
}

#[tokio::test]
async fn what_is_being_sent_is_discarded_when_the_attempt_is_over() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.take();
    bench.retry("posts/a", 60);
    bench.flush();
    bench.pass(60);
    assert!(bench.take().is_some());
    bench.ask(1, Request::Discard);
    bench.look();
    bench.flush();
    assert_eq!(bench.shown(), ["1 waiting 1"]);
    bench.retry("posts/a", 600);
    bench.flush();
    bench.look();
    bench.flush();
    assert_eq!((bench.shown(), bench.requests.len()), (Vec::new(), 0));
    bench.pass(600);
    assert!(bench.take().is_none());
}

#[tokio::test]
async fn one_behind_the_cursor_that_is_held_does_not_come_back_after_a_restart() {
    let log = [(1, "slow".to_owned()), (2, "a".to_owned())];
    let mut bench = Bench::new(Order::Resource);
    for (id, resource) in &log {
        bench.window.offer(&event(*id, resource), &Choice::Wanted);
        bench.take();
    }
    bench.dead("posts/a");
    bench.flush();
    assert_eq!((bench.cursor, bench.shown()), (0, vec!["2 dead 1".into()]));
    bench.ask(2, Request::Discard);
    bench.look();
    bench.flush();
    bench.restart(&log);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(1));
    assert_eq!(bench.take().map(|job| job.sequence_id), None);
    bench.end("posts/slow", Step::Settle);
    bench.look();
    bench.flush();
    assert_eq!((bench.cursor, bench.shown()), (2, Vec::new()));
}

#[tokio::test]
async fn a_request_that_comes_while_another_is_done_stays() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.take();
    bench.dead("posts/a");
    bench.flush();
    bench.ask(1, Request::Retry);
    bench.look();
    bench.pass(1);
    bench.ask(1, Request::Discard);
    bench.flush();
    assert_eq!(bench.asked(1), Some(Request::Discard));
    bench.look();
    bench.flush();
    assert_eq!((bench.shown(), bench.window.parked()), (Vec::new(), 0));
}

#[tokio::test]
async fn after_a_restart_a_dead_one_waits_for_those_before_it() {
    let log: Vec<_> = (1..=2).map(|id| (id, "a".to_owned())).collect();
    let mut bench = Bench::new(Order::None);
    for (id, resource) in &log {
        bench.window.offer(&event(*id, resource), &Choice::Wanted);
        bench.take();
    }
    bench.dead("#2");
    bench.flush();
    bench.ask(2, Request::Retry);
    bench.restart(&[]);
    bench.look();
    assert!(bench.take().is_none());
    bench.restart(&log);
    bench.look();
    let ids = [bench.take(), bench.take()].map(|job| job.map(|job| job.sequence_id));
    assert_eq!(ids, [Some(1), Some(2)]);
}

#[tokio::test]
async fn what_was_settled_a_moment_ago_is_not_sent_again() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.take();
    bench.retry("posts/a", 60);
    bench.flush();
    bench.pass(60);
    assert!(bench.take().is_some());
    bench.ask(1, Request::Retry);
    bench.end("posts/a", Step::Settle);
    bench.look();
    bench.flush();
    assert_eq!((bench.shown(), bench.requests.len()), (Vec::new(), 0));
    assert!(bench.take().is_none());
}

#[tokio::test]
async fn a_lane_that_was_emptied_and_filled_again_sends_one_at_a_time() {
    let mut bench = Bench::new(Order::Resource);
    bench.window.offer(&event(1, "a"), &Choice::Wanted);
    bench.take();
    bench.retry("posts/a", 60);
    bench.flush();
    for request in [Request::Retry, Request::Discard] {
        bench.pass(1);
        bench.ask(1, request);
        bench.look();
    }
    bench.window.offer(&event(2, "a"), &Choice::Wanted);
    bench.window.offer(&event(3, "a"), &Choice::Wanted);
    assert_eq!(bench.take().map(|job| job.sequence_id), Some(2));
    assert_eq!(bench.take().map(|job| job.sequence_id), None);
}
