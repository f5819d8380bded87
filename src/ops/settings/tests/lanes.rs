//! Lanes, rate, batches, and what answers mean.

use std::time::Duration;

use super::{Written, cause, source_and};
use crate::dispatch::OrderBy;
use crate::webhook::{Outcome, Verdict};

fn webhook(keys: &str) -> String {
    source_and(&format!(
        "[[webhook]]\nname = \"w\"\nurl = \"http://a\"\n{keys}"
    ))
}

#[test]
fn every_key_of_lanes_means_something() {
    let text = webhook(
        r#"
order_by = "tenant_id"
rate = "90/m"
batch = { max_events = 100, max_wait = "250ms" }
retry = { attempts = 3, statuses = { "4xx" = "dead", "409" = "settle", "429" = "retry", "410" = "pause" } }
"#,
    );
    let webhook = Written::new(&text).load(&[]).unwrap().webhooks.remove(0);
    assert_eq!(webhook.order_by, Some(OrderBy::new("tenant_id")));
    let rate = webhook.rate.unwrap();
    assert_eq!((rate.requests.get(), rate.per.as_secs()), (90, 60));
    let batch = webhook.batch.unwrap();
    assert_eq!(batch.max_events.get(), 100);
    assert_eq!(batch.max_wait, Duration::from_millis(250));
    let conflict = Outcome::Refused {
        status: 409,
        retry_after: None,
        excerpt: String::new(),
    };
    let verdict = webhook.retry.statuses.verdict(&conflict);
    assert_eq!(verdict, Verdict::Settled);
}

#[test]
fn a_batch_of_one_is_none() {
    for batch in ["", "batch = { max_events = 1, max_wait = \"0s\" }"] {
        let settings = Written::new(&webhook(batch)).load(&[]).unwrap();
        assert_eq!(settings.webhooks[0].batch, None);
    }
}

#[test]
fn what_means_nothing_is_refused_with_its_line() {
    let text = webhook(
        r#"order = "strict"
order_by = "tenant_id"
rate = "fast"
batch = { max_wait = "1s" }
retry = { statuses = { "40x" = "dead", "200" = "retry" } }
"#,
    );
    let cause = cause(&text);
    for part in [
        "5 problems",
        ":7: webhook[0].order_by: means nothing with order = \"strict\"",
        ":8: webhook[0].rate: \"fast\" is not a rate; write for example \"200/s\"",
        ":9: webhook[0].batch.max_wait: has nothing to wait for with max_events = 1",
        ":10: webhook[0].retry.statuses.40x: \"40x\" is neither a status from 300 to 599",
        "did you mean `4xx`?",
        ":10: webhook[0].retry.statuses.200: 2xx is success",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}

#[test]
fn wrong_words_and_numbers_are_refused_with_a_near_miss() {
    let text = webhook(
        r#"
batch = { max_event = 5, max_events = 0 }
retry = { status = {}, statuses = { "404" = "ded" } }
"#,
    );
    let cause = cause(&text);
    for part in [
        "webhook[0].batch.max_event: unknown key; did you mean `max_events`?",
        "webhook[0].batch.max_events: must be at least 1",
        "webhook[0].retry.status: unknown key; did you mean `statuses`?",
        "webhook[0].retry.statuses.404: \"ded\" is not one of \"retry\", \"dead\", \"settle\", \"pause\"",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}
