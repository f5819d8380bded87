//! What the attempt log keeps, and for how long.

use std::time::Duration;

use super::{Written, cause, source_and};
use crate::dispatch::Keeps;

const WEBHOOK: &str = "[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n";

#[test]
fn it_keeps_everything_for_a_week_unless_told_otherwise() {
    let settings = Written::new(&source_and(WEBHOOK)).load(&[]).unwrap();
    assert_eq!(settings.webhooks[0].keeps, Keeps::All);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(settings.log.attempts_retention, Some(week));
    let text =
        format!("{WEBHOOK}attempts = \"failures\"\n[log]\nattempts_retention = \"forever\"\n");
    let settings = Written::new(&source_and(&text)).load(&[]).unwrap();
    assert_eq!(settings.webhooks[0].keeps, Keeps::Failures);
    assert_eq!(settings.log.attempts_retention, None);
}

#[test]
fn what_means_nothing_is_refused_with_its_path() {
    let text = format!("{WEBHOOK}attempts = \"failure\"\n");
    let cause_of_word = cause(&source_and(&text));
    assert!(
        cause_of_word.contains("webhook[0].attempts"),
        "{cause_of_word}"
    );
    assert!(cause_of_word.contains("failures"), "{cause_of_word}");
    let cause = cause(&source_and("[log]\nattempts_retention = \"some\"\n"));
    assert!(
        cause.contains("log.attempts_retention: \"some\" is not a duration"),
        "{cause}"
    );
}
