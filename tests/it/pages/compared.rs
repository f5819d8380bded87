//! What is printed against what was sent.

use jiff::Timestamp;
use serde_json::Value;

/// Where they differ, and how. `whole`: nothing but what is printed may have been sent.
pub(super) fn differences(printed: &Value, sent: &Value, whole: bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    compare(&mut found, String::new(), printed, sent, whole);
    found
}

fn compare(
    found: &mut Vec<(String, String)>,
    at: String,
    printed: &Value,
    sent: &Value,
    whole: bool,
) {
    if let (Value::Object(members), Value::Object(others)) = (printed, sent) {
        for (key, value) in members {
            let at = format!("{at}/{key}");
            match others.get(key) {
                Some(other) => compare(found, at, value, other, whole),
                None => found.push((at, format!("{value} is missing"))),
            }
        }
        for (key, value) in others.iter().filter(|_| whole) {
            if !members.contains_key(key) {
                found.push((format!("{at}/{key}"), format!("{value} is not printed")));
            }
        }
    } else if printed != sent && !(same_number(printed, sent) || same_time(printed, sent)) {
        found.push((at, format!("{printed} is printed, {sent} was sent")));
    }
}

/// 10 and 10.0 are one number to every receiver.
fn same_number(one: &Value, other: &Value) -> bool {
    one.as_f64().is_some() && one.as_f64() == other.as_f64()
}

/// A column's time is sent with its offset in digits, `+00:00`, where pages have `Z`.
fn same_time(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    time(one).is_some() && time(one) == time(other)
}
