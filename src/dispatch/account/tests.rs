use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::dispatch::Rule;
use crate::event_log::deliveries::DeliveryRow;

const DAY: Duration = Duration::from_secs(86_400);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn attempt(number: u32, outcome: &str, status: Option<u16>) -> AttemptRow {
    AttemptRow {
        at: at(i64::from(number)),
        subscription: Arc::from("hook"),
        sequence_id: 7,
        event_id: Uuid::nil(),
        attempt: number,
        status,
        outcome: outcome.to_owned().into(),
        duration: Duration::ZERO,
        error: None,
        answer: (outcome == "refused").then(|| "no".to_owned()),
        replay: None,
    }
}

fn row(dead: bool, due: Option<i64>) -> DeliveryFacts {
    DeliveryFacts {
        subscription: "hook".into(),
        row: DeliveryRow {
            sequence_id: 7,
            event_id: Uuid::nil(),
            lane: "posts/1".into(),
            dead,
            attempts: 3,
            due_at: due.map(at),
            reason: Some("answered 500".into()),
        },
        request: None,
        updated_at: at(5),
        behind: None,
    }
}

fn served(cursor: i64) -> SubscriptionFacts {
    SubscriptionFacts {
        name: "hook".into(),
        cursor,
        start_after: Some(2),
        paused: None,
        breaker: None,
    }
}

/// An event that is wanted and settled without a trace.
fn facts(subscription: &SubscriptionFacts) -> Facts<'_> {
    Facts {
        sequence_id: 7,
        age: Duration::from_secs(60),
        settings: Some((Choice::Wanted, Keeps::All)),
        attempts_kept: Some(7 * DAY),
        subscription: Some(subscription),
        delivery: None,
        attempts: Vec::new(),
    }
}

fn told(facts: &Facts<'_>) -> String {
    let account = account(facts);
    format!("{}: {account}", account.word())
}

#[test]
fn what_is_on_record_is_told() {
    let (ahead, behind) = (served(9), served(6));
    let refused = attempt(1, "refused", Some(503));
    let delivered = attempt(2, "delivered", Some(204));
    let discarded = attempt(0, "discarded", None);
    let mut facts = facts(&ahead);
    facts.attempts = vec![&refused, &delivered];
    assert_eq!(
        told(&facts),
        "delivered: at 1970-01-01T00:00:02Z, answered 204, attempt 2"
    );
    facts.attempts = vec![&refused, &discarded];
    assert_eq!(
        told(&facts),
        "discarded: by an operator at 1970-01-01T00:00:00Z"
    );
    // What was delivered is told even while the cursor stands before it, and by an unknown webhook.
    facts.subscription = Some(&behind);
    facts.settings = None;
    facts.attempts = vec![&delivered];
    assert_eq!(account(&facts).word(), "delivered");
}

#[test]
fn a_row_says_more_than_the_attempts() {
    let subscription = SubscriptionFacts {
        paused: Some((at(1), "410".into())),
        ..served(9)
    };
    let failed = attempt(3, "refused", Some(500));
    let mut facts = facts(&subscription);
    facts.attempts = vec![&failed];
    let dead = row(true, None);
    facts.delivery = Some(&dead);
    assert_eq!(
        told(&facts),
        "dead: since 1970-01-01T00:00:05Z, attempts: 3; answered 500"
    );
    let waiting = row(false, Some(90));
    facts.delivery = Some(&waiting);
    assert_eq!(
        told(&facts),
        "waiting: until 1970-01-01T00:01:30Z, attempts so far: 3; last: answered 500; the webhook is \
         paused since 1970-01-01T00:00:01Z: 410"
    );
    facts.settings = None;
    assert!(told(&facts).ends_with("answered 500; the webhook is not in the settings"));
    facts.settings = Some((Choice::Wanted, Keeps::All));
    let behind = DeliveryFacts {
        behind: Some(4),
        request: Some("discard".into()),
        ..row(false, None)
    };
    facts.delivery = Some(&behind);
    assert_eq!(
        told(&facts).split("; the webhook").next().unwrap(),
        "waiting: behind event 4 in its lane, attempts so far: 3; last: answered 500; an operator \
         discarded it, which is under way"
    );
}

#[test]
fn what_was_not_sent_has_a_reason() {
    let ahead = served(9);
    let mut filtered = facts(&ahead);
    filtered.settings = Some((Choice::Filtered(Rule::Events), Keeps::All));
    assert_eq!(
        told(&filtered),
        "filtered: `events` in the settings of now leaves it out"
    );
    let mut removed = facts(&ahead);
    removed.settings = None;
    assert_eq!(
        told(&removed),
        "removed: not in the settings; its cursor stands at event 9"
    );
    let mut new = facts(&ahead);
    new.subscription = None;
    assert_eq!(told(&new), "never_served: no daemon has served it yet");
    let mut early = facts(&ahead);
    early.sequence_id = 2;
    assert_eq!(
        told(&early),
        "before_start: it began after event 2, which was later"
    );
    early.sequence_id = 3;
    assert_eq!(account(&early).word(), "not_known");
}

#[test]
fn what_was_not_reached_says_what_holds_it() {
    let down = SubscriptionFacts {
        breaker: Some(OpenBreaker {
            since: at(1),
            reason: "connect: refused".into(),
            probe_at: at(60),
        }),
        ..served(6)
    };
    let failed = attempt(1, "connect", None);
    let mut waiting = facts(&down);
    waiting.attempts = vec![&failed];
    assert_eq!(
        told(&waiting),
        "not_reached: everything up to event 6 is settled; attempts so far: 1, last: connect; the endpoint \
         is down since 1970-01-01T00:00:01Z, next probe 1970-01-01T00:01:00Z; it said: connect: refused"
    );
    let behind = served(6);
    let mut doubtful = facts(&behind);
    doubtful.settings = Some((Choice::Failed("no such column".into()), Keeps::All));
    assert_eq!(
        told(&doubtful),
        "not_reached: everything up to event 6 is settled; whether it is wanted cannot be told: no \
         such column"
    );
}

#[test]
fn what_is_forgotten_is_not_invented() {
    let ahead = served(9);
    let failed = attempt(1, "refused", Some(500));
    for (keeps, age, because) in [
        (Keeps::Failures, DAY, Forgotten::OnlyFailuresAreKept),
        (Keeps::All, 7 * DAY, Forgotten::TooLongAgo),
        (Keeps::All, DAY, Forgotten::NotRecorded),
    ] {
        let mut facts = facts(&ahead);
        facts.settings = Some((Choice::Wanted, keeps));
        facts.age = age;
        facts.attempts = vec![&failed];
        let expected = Account::NotKnown {
            because,
            failures: 1,
        };
        assert_eq!(account(&facts), expected);
    }
    let mut kept_for_ever = facts(&ahead);
    (kept_for_ever.age, kept_for_ever.attempts_kept) = (900 * DAY, None);
    assert!(told(&kept_for_ever).contains("no success"));
}
