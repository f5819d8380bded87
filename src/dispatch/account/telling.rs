//! An account in the words of people.

use std::fmt;

use super::{Account, Forgotten, Hold};
use crate::event_log::attempts::AttemptRow;

/// What came of an attempt, in words.
#[must_use]
pub fn said(attempt: &AttemptRow) -> String {
    let mut words = match attempt.status {
        Some(status) => format!("answered {status}"),
        None => attempt.outcome.replace('_', " "),
    };
    if let Some(more) = attempt.answer.as_ref().or(attempt.error.as_ref()) {
        words = format!("{words}: {more}");
    }
    words
}

/// The sentence for people.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered {
                at,
                status,
                attempt,
            } => {
                write!(f, "at {at}")?;
                if let Some(status) = status {
                    write!(f, ", answered {status}")?;
                }
                write!(f, ", attempt {attempt}")
            }
            Self::Waiting {
                attempts,
                due_at,
                behind,
                because,
                hold,
                request,
            } => {
                match (due_at, behind) {
                    (_, Some(behind)) => write!(f, "behind event {behind} in its lane")?,
                    (Some(due), None) => write!(f, "until {due}")?,
                    (None, None) => write!(f, "for its turn")?,
                }
                write!(f, ", attempts so far: {attempts}")?;
                if let Some(because) = because {
                    write!(f, "; last: {because}")?;
                }
                asked(f, request.as_deref())?;
                held(f, hold.as_ref())
            }
            Self::Dead {
                at,
                attempts,
                because,
                request,
            } => {
                write!(f, "since {at}, attempts: {attempts}")?;
                if let Some(because) = because {
                    write!(f, "; {because}")?;
                }
                asked(f, request.as_deref())
            }
            Self::Discarded { at } => write!(f, "by an operator at {at}"),
            Self::Filtered { rule } => {
                write!(f, "`{rule}` in the settings of now leaves it out")
            }
            Self::BeforeStart { start_after } => {
                write!(f, "it began after event {start_after}, which was later")
            }
            Self::NeverServed => f.write_str("no daemon has served it yet"),
            Self::NotReached {
                cursor,
                tried,
                hold,
                doubt,
            } => {
                write!(f, "everything up to event {cursor} is settled")?;
                if let Some((attempts, last)) = tried {
                    write!(f, "; attempts so far: {attempts}, last: {last}")?;
                }
                if let Some(doubt) = doubt {
                    write!(f, "; whether it is wanted cannot be told: {doubt}")?;
                }
                held(f, hold.as_ref())
            }
            Self::NotKnown { because, failures } => {
                f.write_str("settled; how is not known: ")?;
                f.write_str(match because {
                    Forgotten::OnlyFailuresAreKept => {
                        "its attempt log keeps failures alone, so it was probably delivered"
                    }
                    Forgotten::TooLongAgo => "the attempt log no longer reaches back so far",
                    Forgotten::NotRecorded => {
                        "the attempt log has no success; it may have been left out by earlier \
                         settings, or the record was lost"
                    }
                })?;
                match failures {
                    0 => Ok(()),
                    failures => write!(f, " (failed attempts on record: {failures})"),
                }
            }
            Self::Removed { cursor } => write!(
                f,
                "not in the settings; its cursor stands at event {cursor}"
            ),
        }
    }
}

fn asked(f: &mut fmt::Formatter<'_>, request: Option<&str>) -> fmt::Result {
    match request {
        Some("discard") => f.write_str("; an operator discarded it, which is under way"),
        Some(_) => f.write_str("; an operator wants it sent again, which is under way"),
        None => Ok(()),
    }
}

fn held(f: &mut fmt::Formatter<'_>, hold: Option<&Hold>) -> fmt::Result {
    match hold {
        None => Ok(()),
        Some(Hold::NotInSettings) => f.write_str("; the webhook is not in the settings"),
        Some(Hold::Paused { since, reason }) => {
            write!(f, "; the webhook is paused since {since}: {reason}")
        }
        Some(Hold::Down(open)) => write!(
            f,
            "; the endpoint is down since {}, next probe {}; it said: {}",
            open.since, open.probe_at, open.reason
        ),
    }
}
