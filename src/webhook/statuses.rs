//! What a subscription's settings make of single answers. Pure.

use std::collections::BTreeMap;

use super::{Outcome, Verdict, verdict};

/// Statuses that a class does not speak of: they say "later" (408, 425, 429), "never again" (410) or
/// "not this one" (413), whatever else is wrong with a request of their class.
const OF_THEIR_OWN: [u16; 5] = [408, 410, 413, 425, 429];

/// What an answer means for its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusAction {
    /// It is tried again.
    Retry,
    /// It is given up.
    Dead,
    /// It counts as delivered.
    Settle,
    /// The subscription stops.
    Pause,
}

/// Which answers mean something else than [`verdict`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses {
    exact: BTreeMap<u16, StatusAction>,
    /// By the first digit.
    classes: BTreeMap<u16, StatusAction>,
}

impl Statuses {
    /// Adds what a key (`404`, `4xx`) means.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the key.
    pub fn insert(&mut self, key: &str, action: StatusAction) -> Result<(), String> {
        let digits = match key.as_bytes() {
            [class @ b'3'..=b'5', b'x', b'x'] => {
                self.classes.insert(u16::from(class - b'0'), action);
                return Ok(());
            }
            [b'2', _, _] => {
                return Err("2xx is success, and nothing else can be made of it".into());
            }
            [b'3'..=b'5', b'0'..=b'9', b'0'..=b'9'] => key,
            _ => "",
        };
        let status = digits.parse().map_err(|_| not_a_status(key))?;
        self.exact.insert(status, action);
        Ok(())
    }

    /// Judges an outcome: by its status, then by its class, then as [`verdict`] does.
    #[must_use]
    pub fn verdict(&self, outcome: &Outcome) -> Verdict {
        let Outcome::Refused {
            status,
            retry_after,
            ..
        } = outcome
        else {
            return verdict(outcome);
        };
        let of_class = (!OF_THEIR_OWN.contains(status)).then(|| self.classes.get(&(status / 100)));
        let Some(action) = self.exact.get(status).or(of_class.flatten()) else {
            return verdict(outcome);
        };
        let reason = || format!("the receiver answered {status} (retry.statuses)");
        match action {
            StatusAction::Retry => Verdict::Retry {
                retry_after: *retry_after,
            },
            StatusAction::Dead => Verdict::Dead { reason: reason() },
            StatusAction::Settle => Verdict::Settled,
            StatusAction::Pause => Verdict::PauseSubscription { reason: reason() },
        }
    }
}

fn not_a_status(key: &str) -> String {
    let hint = match key.to_ascii_lowercase().as_bytes() {
        [class @ b'3'..=b'5', ..] => format!("; did you mean `{}xx`?", char::from(*class)),
        _ => String::new(),
    };
    format!(
        "{key:?} is neither a status from 300 to 599, such as \"404\", nor one of \"3xx\", \"4xx\", \"5xx\"{hint}"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn statuses(pairs: &[(&str, StatusAction)]) -> Statuses {
        let mut statuses = Statuses::default();
        for (key, action) in pairs {
            statuses.insert(key, *action).unwrap();
        }
        statuses
    }

    fn refused(status: u16) -> Outcome {
        Outcome::Refused {
            status,
            retry_after: Some(Duration::from_secs(7)),
            excerpt: String::new(),
        }
    }

    #[test]
    fn a_status_goes_before_its_class_and_a_class_before_the_default() {
        let statuses = statuses(&[
            ("4xx", StatusAction::Dead),
            ("401", StatusAction::Retry),
            ("409", StatusAction::Settle),
            ("503", StatusAction::Pause),
            ("410", StatusAction::Retry),
        ]);
        let again = Verdict::Retry {
            retry_after: Some(Duration::from_secs(7)),
        };
        let reason = |status| format!("the receiver answered {status} (retry.statuses)");
        for (status, expected) in [
            (401, again.clone()),
            (
                404,
                Verdict::Dead {
                    reason: reason(404),
                },
            ),
            (409, Verdict::Settled),
            (410, again.clone()),
            (
                418,
                Verdict::Dead {
                    reason: reason(418),
                },
            ),
            (408, again.clone()),
            (425, again.clone()),
            (429, again.clone()),
            (413, verdict(&refused(413))),
            (500, again.clone()),
            (302, again),
            (
                503,
                Verdict::PauseSubscription {
                    reason: reason(503),
                },
            ),
        ] {
            assert_eq!(statuses.verdict(&refused(status)), expected, "{status}");
        }
        let delivered = Outcome::Delivered { status: 200 };
        assert_eq!(statuses.verdict(&delivered), Verdict::Settled);
    }

    #[test]
    fn without_an_entry_the_defaults_hold() {
        for status in [301, 404, 410, 413, 429, 500] {
            let outcome = refused(status);
            assert_eq!(Statuses::default().verdict(&outcome), verdict(&outcome));
        }
    }

    #[test]
    fn what_is_no_status_is_refused_with_a_near_miss() {
        for (key, part) in [
            ("200", "2xx is success"),
            ("2xx", "2xx is success"),
            ("40x", "did you mean `4xx`?"),
            ("4XX", "did you mean `4xx`?"),
            ("4", "did you mean `4xx`?"),
            ("600", "neither a status from 300 to 599"),
            ("1xx", "neither a status"),
            ("", "neither a status"),
            ("4é", "did you mean `4xx`?"),
            ("+404", "neither a status"),
        ] {
            let error = Statuses::default()
                .insert(key, StatusAction::Dead)
                .unwrap_err();
            assert!(error.contains(part), "{key:?}: {error}");
        }
    }
}
