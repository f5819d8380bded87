//! The checker itself: a log that is wrong in any way has to be told from one that is right.

use super::blows::Deck;
use super::memory::Memory;
use super::plan::{Altering, Writing};
use super::verdict::{Event, Judge, Truth, Values};
use tokio_postgres::types::PgLsn;
use uuid::Uuid;

fn row(fields: &[(&str, &str)]) -> Values {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    fields.iter().map(pair).collect()
}

/// A transaction that inserts, updates and deletes row 7 of a table with full replica identity, and
/// the events that tell of it.
fn life() -> (Vec<Event>, Vec<Truth>) {
    let (one, two) = (
        row(&[("id", "7"), ("v", "1")]),
        row(&[("id", "7"), ("v", "2")]),
    );
    let truth = |seq, action: &str, old: Option<&Values>, new: Option<&Values>| Truth {
        seq,
        xid: 900,
        writer: "writer_1".into(),
        table: "full_rows".into(),
        action: action.into(),
        identity: b'f',
        told_as: b'f',
        old: old.cloned(),
        new: new.cloned(),
    };
    let event =
        |number: i64, action: &str, record: &Values, previous: Option<Values>, old_row: &str| {
            Event {
                sequence_id: number,
                event_id: Uuid::from_u128(number as u128),
                event_type: format!("full_rows.{action}"),
                table: "full_rows".into(),
                action: action.into(),
                resource_id: Some("7".into()),
                record: Some(record.clone()),
                previous,
                old_row: old_row.into(),
                unknown: Vec::new(),
                xid: 900,
                commit_lsn: PgLsn::from(5000),
                commit_index: number - 1,
                created_at: 1_000_000,
            }
        };
    let events = vec![
        event(1, "created", &one, None, "absent"),
        event(2, "updated", &two, Some(row(&[("v", "1")])), "full"),
        event(3, "deleted", &two, None, "full"),
    ];
    let truths = vec![
        truth(10, "created", None, Some(&one)),
        truth(11, "updated", Some(&one), Some(&two)),
        truth(12, "deleted", Some(&two), None),
    ];
    (events, truths)
}

fn judged(change: impl FnOnce(&mut Vec<Event>, &mut Vec<Truth>)) -> Result<(), String> {
    let (mut events, mut truth) = life();
    change(&mut events, &mut truth);
    Judge::default().transaction(&events, &truth, Some(1_000_000))
}

#[test]
fn a_right_transaction_is_right() {
    assert_eq!(judged(|_, _| ()), Ok(()));
}

#[test]
fn every_single_thing_that_can_be_wrong_is_found() {
    type Wrong = fn(&mut Vec<Event>, &mut Vec<Truth>);
    let wrongs: &[(&str, Wrong)] = &[
        ("the last one skipped", |events, _| drop(events.pop())),
        ("the first one skipped", |events, _| drop(events.remove(0))),
        ("one doubled", |events, _| {
            events.insert(1, events[0].clone())
        }),
        ("two swapped", |events, _| events.swap(1, 2)),
        ("one that never happened", |_, truth| drop(truth.pop())),
        ("another value", |events, _| {
            set(&mut events[0].record, "v", "9")
        }),
        ("a value that is missing", |events, _| {
            unset(&mut events[0].record, "v")
        }),
        ("null instead of a value", |events, _| {
            set(&mut events[1].record, "v", "null")
        }),
        ("another old value", |events, _| {
            set(&mut events[1].previous, "v", "9")
        }),
        ("an old value too few", |events, _| {
            unset(&mut events[1].previous, "v")
        }),
        ("an old value too many", |events, _| {
            set(&mut events[1].previous, "id", "7")
        }),
        ("no old values", |events, _| events[1].previous = None),
        ("an old row that is not said to be known", |events, _| {
            events[1].old_row = "key".into()
        }),
        ("a value that is not said to be known", |events, _| {
            events[0].unknown.push("v".into())
        }),
        ("another row's id", |events, _| {
            events[1].resource_id = Some("8".into())
        }),
        ("no id", |events, _| events[1].resource_id = None),
        ("another action", |events, _| {
            events[0].action = "updated".into()
        }),
        ("another type", |events, _| {
            events[0].event_type = "full_rows.updated".into()
        }),
        ("another table", |events, _| {
            events[0].table = "children".into()
        }),
        ("a gap in the sequence ids", |events, _| {
            events[2].sequence_id = 4
        }),
        ("an event id twice", |events, _| {
            events[2].event_id = events[0].event_id
        }),
        ("an index twice", |events, _| events[2].commit_index = 1),
        ("two commit times", |events, _| events[2].created_at += 1),
        ("another commit time", |events, _| {
            for event in events {
                event.created_at += 1;
            }
        }),
    ];
    for (what, wrong) in wrongs {
        assert!(judged(*wrong).is_err(), "{what} was not found");
    }
}

fn set(row: &mut Option<Values>, column: &str, value: &str) {
    row.as_mut().unwrap().insert(column.into(), value.into());
}

fn unset(row: &mut Option<Values>, column: &str) {
    row.as_mut().unwrap().remove(column);
}

/// Judges two transactions that touch row 7, the second as `change` leaves it.
fn judged_twice(change: impl FnOnce(&mut Vec<Event>, &mut Vec<Truth>)) -> Result<(), String> {
    let (events, truth) = life();
    let mut judge = Judge::default();
    judge.transaction(&events, &truth, Some(1_000_000)).unwrap();
    let (mut events, mut truth) = life();
    for event in &mut events {
        event.xid = 901;
        event.sequence_id += 3;
        event.event_id = Uuid::from_u128(event.sequence_id as u128);
        event.commit_lsn = PgLsn::from(6000);
    }
    for change in &mut truth {
        change.seq += 10;
        change.writer = "writer_2".into();
    }
    change(&mut events, &mut truth);
    judge.transaction(&events, &truth, Some(1_000_000))
}

#[test]
fn transactions_in_the_wrong_order_are_found() {
    assert_eq!(judged_twice(|_, _| ()), Ok(()));
    type Wrong = fn(&mut Vec<Event>, &mut Vec<Truth>);
    let wrongs: &[(&str, Wrong)] = &[
        ("a row's changes against its order", |_, truth| {
            for change in truth {
                change.seq -= 19;
            }
        }),
        (
            "a session's transactions against their order",
            |_, truth| {
                for change in truth {
                    change.seq -= 19;
                    change.writer = "writer_1".into();
                    change.table = "full_rows".into();
                }
            },
        ),
        ("a transaction twice", |events, _| {
            for event in events {
                event.xid = 900;
            }
        }),
        ("a commit record twice", |events, _| {
            for event in events {
                event.commit_lsn = PgLsn::from(5000);
            }
        }),
        ("a TRUNCATE before what it removed", |events, truth| {
            events.truncate(1);
            truth.truncate(1);
            let (event, change) = (&mut events[0], &mut truth[0]);
            event.action = "truncated".into();
            event.event_type = "full_rows.truncated".into();
            (event.record, event.resource_id) = (None, None);
            change.action = "truncated".into();
            (change.new, change.seq) = (None, 9);
        }),
    ];
    for (what, wrong) in wrongs {
        assert!(judged_twice(*wrong).is_err(), "{what} was not found");
    }
}

#[test]
fn what_the_identity_does_not_carry_must_be_unknown_and_nothing_else() {
    let long = format!("\"{}\"", "x".repeat(5000));
    let (old, new) = (
        row(&[
            ("body", &long),
            ("id", "7"),
            ("tenant", "\"a,b\""),
            ("v", "1"),
        ]),
        row(&[
            ("body", &long),
            ("id", "7"),
            ("tenant", "\"a,b\""),
            ("v", "2"),
        ]),
    );
    let judged = |change: fn(&mut Event)| {
        let (mut events, mut truth) = life();
        let (mut event, mut happened) = (events.remove(0), truth.remove(1));
        (happened.identity, happened.told_as) = (b'd', b'd');
        happened.table = "default_rows".into();
        (happened.old, happened.new) = (Some(old.clone()), Some(new.clone()));
        event.table = "default_rows".into();
        event.action = "updated".into();
        event.event_type = "default_rows.updated".into();
        event.resource_id = Some("a\\,b,7".into());
        event.record = Some(new.clone());
        unset(&mut event.record, "body");
        event.unknown = vec!["body".into()];
        change(&mut event);
        Judge::default().transaction(&[event], &[happened], Some(1_000_000))
    };
    assert_eq!(judged(|_| ()), Ok(()));
    let wrongs: &[fn(&mut Event)] = &[
        |event| set(&mut event.record, "body", "null"),
        |event| event.unknown.clear(),
        |event| {
            event.unknown.push("v".into());
            unset(&mut event.record, "v");
        },
        |event| event.previous = Some(row(&[("v", "1")])),
        |event| event.previous = Some(row(&[])),
        |event| event.old_row = "full".into(),
    ];
    for wrong in wrongs {
        assert!(judged(*wrong).is_err());
    }
}

/// Judges a snapshot of row 7, which stood there from before capture with `v` 1.
fn judged_snapshot(change: fn(&mut Event)) -> Result<(), String> {
    let (mut events, _) = life();
    let mut event = events.remove(0);
    event.action = "snapshot".into();
    event.event_type = "full_rows.snapshot".into();
    change(&mut event);
    let mut judge = Judge::default();
    let before = row(&[("id", "7"), ("v", "1")]);
    judge.memory.was_there("full_rows", before);
    judge.transaction(&[event], &[], Some(1_000_000))
}

#[test]
fn a_snapshot_is_the_row_as_it_stands_at_its_place() {
    assert_eq!(judged_snapshot(|_| ()), Ok(()));
    let wrongs: &[fn(&mut Event)] = &[
        |event| set(&mut event.record, "v", "2"),
        |event| unset(&mut event.record, "v"),
        |event| set(&mut event.record, "id", "8"),
        |event| event.resource_id = Some("8".into()),
        |event| event.previous = Some(row(&[])),
        |event| event.unknown = vec!["v".into()],
        |event| event.table = "bulk_rows".into(),
    ];
    for wrong in wrongs {
        assert!(judged_snapshot(*wrong).is_err());
    }
}

#[test]
fn what_the_log_has_said_must_be_recalled() {
    let judged = |change: fn(&mut Event)| {
        let (mut events, mut truth) = life();
        for (event, change) in events.iter_mut().zip(&mut truth) {
            change.table = "parents".into();
            (change.identity, change.told_as) = (b'd', b'd');
            event.table = "parents".into();
            event.event_type = format!("parents.{}", event.action);
        }
        change(&mut events[1]);
        let mut judge = Judge::default();
        judge.memory = Memory::new(&["parents".to_owned()]);
        judge.transaction(&events, &truth, Some(1_000_000))
    };
    assert_eq!(judged(|_| ()), Ok(()));
    let wrongs: &[fn(&mut Event)] = &[
        |event| event.old_row = "partial".into(),
        |event| (event.old_row, event.previous) = ("absent".into(), None),
        |event| set(&mut event.previous, "v", "9"),
        |event| event.unknown = vec!["v".into()],
    ];
    for wrong in wrongs {
        assert!(judged(*wrong).is_err());
    }
}

#[test]
fn plans_are_functions_of_the_seed() {
    let written = |seed| {
        let mut plan = Writing::new(seed, 1, &[], false);
        (0..500).map(|_| plan.next()).collect::<Vec<_>>()
    };
    let altered = |seed| {
        let mut plan = Altering::new(seed, &[], true, true);
        (0..100).map(|_| plan.next()).collect::<Vec<_>>()
    };
    let struck = |seed| {
        let mut deck = Deck::new(seed, true);
        (0..100).map(|_| deck.next()).collect::<Vec<_>>()
    };
    assert!(written(7) == written(7) && written(7) != written(8));
    assert!(altered(7) == altered(7) && altered(7) != altered(8));
    assert!(struck(7) == struck(7) && struck(7) != struck(8));
}
