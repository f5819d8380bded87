//! Whatever an operator asks for and whenever, among turns that nobody chose.

use std::collections::{BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::dispatch::window::Job;

#[derive(Debug, Clone)]
enum Turn {
    Offer(u8),
    Take,
    /// Take several together.
    Gather(usize),
    Settle,
    Retry(u64),
    Dead,
    /// Of those that went together, so many were settled and the others failed.
    Partly(usize),
    /// It does not count: the endpoint is down, it goes alone, or it is made again later.
    Void(Fate),
    /// Held ones get rows.
    Relieve,
    Ask(u8, bool),
    Look,
    Pass,
    Flush,
    Restart,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let void = prop_oneof![
        Just(Fate::NotCounted),
        Just(Fate::Apart),
        Just(Fate::Postponed(Duration::from_secs(1))),
    ];
    let turn = prop_oneof![
        6 => (0..3u8).prop_map(Turn::Offer),
        4 => Just(Turn::Take),
        4 => (2..6usize).prop_map(Turn::Gather),
        3 => Just(Turn::Settle),
        3 => prop_oneof![Just(1), Just(60)].prop_map(Turn::Retry),
        3 => Just(Turn::Dead),
        1 => (0..4usize).prop_map(Turn::Partly),
        1 => void.prop_map(Turn::Void),
        1 => Just(Turn::Relieve),
        4 => (0..20u8, any::<bool>()).prop_map(|(which, again)| Turn::Ask(which, again)),
        3 => Just(Turn::Look),
        2 => Just(Turn::Pass),
        4 => Just(Turn::Flush),
        1 => Just(Turn::Restart),
    ];
    prop::collection::vec(turn, 0..200)
}

proptest! {
    /// Whatever an operator asks for and whenever, of events that go alone or together: none is sent
    /// twice at once, nothing is forgotten, every request is done in the end, what was discarded leaves
    /// no row, and what was never dead comes in its order.
    #[test]
    fn requests_lose_nothing_and_send_nothing_twice(
        order in prop_oneof![Just(Order::Resource), Just(Order::None), Just(Order::Strict)],
        turns in turns(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _in_runtime = runtime.enter();
        let mut bench = Bench::new(order);
        let mut log: Vec<(i64, String)> = Vec::new();
        let mut flying: VecDeque<Vec<Job>> = VecDeque::new();
        let mut given_up = BTreeSet::new();
        let mut delivered = BTreeSet::new();
        let mut died = BTreeSet::new();
        let mut all = turns;
        // At the end everything is worked off.
        for _ in 0..400 { all.extend([Turn::Flush, Turn::Look, Turn::Pass, Turn::Take, Turn::Settle]); }
        all.extend([Turn::Flush, Turn::Look, Turn::Flush]);
        for turn in all {
            match turn {
                Turn::Offer(resource) => {
                    let id = i64::try_from(log.len()).unwrap() + 1;
                    log.push((id, resource.to_string()));
                    if bench.window.read_to() + 1 == id {
                        bench.window.offer(&event(id, &resource.to_string()), &Choice::Wanted);
                    }
                }
                Turn::Take | Turn::Gather(_) => {
                    let jobs = match turn {
                        Turn::Gather(max) => bench.gather(max, 0, 3),
                        _ => bench.bench.window.next(bench.bench.now, 3).map(|job| vec![job]),
                    };
                    for job in jobs.iter().flatten() {
                        let at_once = flying.iter().flatten().any(|other| other.lane == job.lane);
                        prop_assert!(!at_once, "a lane sends two at once");
                        let twice = jobs.iter().flatten().filter(|other| other.sequence_id == job.sequence_id);
                        prop_assert_eq!(twice.count(), 1);
                    }
                    flying.extend(jobs);
                }
                Turn::Settle => if let Some(jobs) = flying.pop_front() {
                    for job in &jobs {
                        let id = job.sequence_id;
                        let place = usize::try_from(id).unwrap() - 1;
                        for (earlier, resource) in &log[..place] {
                            let ordered = match order {
                                Order::None => false,
                                Order::Strict => true,
                                Order::Resource => *resource == log[place].1,
                            };
                            let done = |id: &i64| delivered.contains(id) || died.contains(id) || given_up.contains(id);
                            prop_assert!(!ordered || died.contains(&id) || done(earlier), "{earlier} was overtaken by {id}");
                        }
                        delivered.insert(id);
                    }
                    bench.end_all(jobs, |_| Fate::Decided(Step::Settle, String::new()));
                },
                Turn::Partly(done) => if let Some(jobs) = flying.pop_front() {
                    delivered.extend(jobs.iter().take(done).map(|job| job.sequence_id));
                    let after = Duration::from_secs(1);
                    bench.end_all(jobs, |place| match place < done {
                        true => Fate::Decided(Step::Settle, String::new()),
                        false => Fate::Decided(Step::Retry { after }, "500".into()),
                    });
                },
                Turn::Retry(after) => if let Some(jobs) = flying.pop_front() {
                    let after = Duration::from_secs(after);
                    bench.end_all(jobs, |_| Fate::Decided(Step::Retry { after }, "500".into()));
                },
                Turn::Dead => if let Some(jobs) = flying.pop_front() {
                    died.extend(jobs.iter().map(|job| job.sequence_id));
                    bench.end_all(jobs, |_| Fate::Decided(Step::Dead { reason: "no".into() }, String::new()));
                },
                Turn::Void(fate) => if let Some(jobs) = flying.pop_front() { bench.end_all(jobs, |_| fate.clone()) },
                Turn::Relieve => bench.window.prepare_restart(),
                Turn::Ask(which, again) => {
                    let id = bench.rows.keys().nth(usize::from(which)).copied();
                    if let Some(id) = id {
                        bench.pass(1);
                        if !again { given_up.insert(id); }
                        bench.ask(id, if again { Request::Retry } else { Request::Discard });
                    }
                }
                Turn::Look => bench.look(),
                Turn::Pass => bench.pass(30),
                Turn::Flush => bench.flush(),
                Turn::Restart => {
                    bench.restart(&log);
                    flying.clear();
                }
            }
        }
        prop_assert_eq!(bench.cursor, i64::try_from(log.len()).unwrap());
        prop_assert!(bench.requests.is_empty(), "requests are left: {:?}", bench.requests);
        prop_assert!(bench.rows.values().all(|row| row.dead), "rows are left: {:?}", bench.shown());
        prop_assert_eq!((bench.window.parked(), bench.window.held_bytes, bench.window.in_flight()), (0, 0, 0));
        for (id, _) in &log {
            let known = delivered.contains(id) || given_up.contains(id) || bench.rows.contains_key(id);
            prop_assert!(known, "{id} was forgotten");
        }
    }
}
