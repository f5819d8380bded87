//! What became of an event at one subscription, and why. Pure: facts in, an account out.
//!
//! It says no more than the facts do. What an event went through is forgotten once it is settled, but
//! for the attempt log; and what a subscription wants is judged by the settings of now.

mod telling;

use std::time::Duration;

use jiff::Timestamp;

pub use self::telling::said;
use super::{Choice, Keeps};
use crate::event_log::attempts::AttemptRow;
use crate::event_log::breakers::OpenBreaker;
use crate::event_log::facts::{DeliveryFacts, SubscriptionFacts};

/// What is known of an event and a subscription.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// Which event.
    pub sequence_id: i64,
    /// How long ago it was committed.
    pub age: Duration,
    /// What the settings of now make of it, and what the attempt log keeps; `None` if they do not know
    /// the subscription.
    pub settings: Option<(Choice, Keeps)>,
    /// How long attempts are kept; `None` for ever.
    pub attempts_kept: Option<Duration>,
    /// The subscription's row, if it was ever served.
    pub subscription: Option<&'a SubscriptionFacts>,
    /// The delivery's row, if there is one.
    pub delivery: Option<&'a DeliveryFacts>,
    /// Its attempts that are in the attempt log, oldest first, without those of replays.
    pub attempts: Vec<&'a AttemptRow>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// The receiver has it.
    Delivered {
        /// When it said so.
        at: Timestamp,
        /// Its status.
        status: Option<u16>,
        /// At which attempt.
        attempt: u32,
    },
    /// It is tried again.
    Waiting {
        /// Attempts so far.
        attempts: i32,
        /// When.
        due_at: Option<Timestamp>,
        /// The event of its lane that goes first.
        behind: Option<i64>,
        /// What the last attempt said.
        because: Option<String>,
        /// What holds the whole subscription.
        hold: Option<Hold>,
        /// What an operator wants done with it.
        request: Option<String>,
    },
    /// It was given up.
    Dead {
        /// When.
        at: Timestamp,
        /// After so many attempts.
        attempts: i32,
        /// Why.
        because: Option<String>,
        /// What an operator wants done with it.
        request: Option<String>,
    },
    /// An operator gave it up.
    Discarded {
        /// When.
        at: Timestamp,
    },
    /// The settings leave it out.
    Filtered {
        /// The key that does.
        rule: &'static str,
    },
    /// It is older than the subscription.
    BeforeStart {
        /// Where that began.
        start_after: i64,
    },
    /// The subscription has not begun.
    NeverServed,
    /// Its turn has not come.
    NotReached {
        /// How far the subscription is.
        cursor: i64,
        /// Attempts so far, and what the last one said.
        tried: Option<(usize, String)>,
        /// What holds the whole subscription.
        hold: Option<Hold>,
        /// Why nobody can tell whether it is wanted.
        doubt: Option<String>,
    },
    /// It is settled, and nothing says how.
    NotKnown {
        /// Why not.
        because: Forgotten,
        /// Attempts that failed before.
        failures: usize,
    },
    /// The subscription is not in the settings.
    Removed {
        /// How far it was.
        cursor: i64,
    },
}

/// What holds a whole subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It is paused.
    Paused {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// Its endpoint counts as down.
    Down(OpenBreaker),
    /// The settings do not know it.
    NotInSettings,
}

/// Why nobody knows how an event was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forgotten {
    /// The attempt log keeps failures alone.
    OnlyFailuresAreKept,
    /// The attempt log has dropped what is so old.
    TooLongAgo,
    /// It should be there.
    NotRecorded,
}

/// Gives the account.
#[must_use]
pub fn account(facts: &Facts<'_>) -> Account {
    let hold = match facts.settings {
        Some(_) => facts.subscription.and_then(hold),
        None => Some(Hold::NotInSettings),
    };
    if let Some(account) = by_traces(facts.delivery, &facts.attempts, hold.as_ref()) {
        return account;
    }
    match (&facts.settings, facts.subscription) {
        (Some((Choice::Filtered(rule), _)), _) => Account::Filtered {
            rule: rule.as_str(),
        },
        (_, None) => Account::NeverServed,
        (None, Some(subscription)) => Account::Removed {
            cursor: subscription.cursor,
        },
        (Some((choice, keeps)), Some(subscription)) => {
            without_trace(facts, choice, *keeps, subscription, hold)
        }
    }
}

/// Gives the account as far as there is a row or a record of success, without the event itself.
/// `attempts` come oldest first.
#[must_use]
pub fn by_traces(
    delivery: Option<&DeliveryFacts>,
    attempts: &[&AttemptRow],
    hold: Option<&Hold>,
) -> Option<Account> {
    if let Some(delivery) = delivery {
        return Some(of_row(delivery, hold.cloned()));
    }
    let last = |outcome: &str| {
        let mut latest = attempts.iter().rev();
        latest.find(|attempt| attempt.outcome == outcome)
    };
    if let Some(attempt) = last("delivered") {
        return Some(Account::Delivered {
            at: attempt.at,
            status: attempt.status,
            attempt: attempt.attempt,
        });
    }
    last("discarded").map(|discarded| Account::Discarded { at: discarded.at })
}

fn hold(subscription: &SubscriptionFacts) -> Option<Hold> {
    if let Some((since, reason)) = &subscription.paused {
        return Some(Hold::Paused {
            since: *since,
            reason: reason.clone(),
        });
    }
    subscription.breaker.clone().map(Hold::Down)
}

fn of_row(delivery: &DeliveryFacts, hold: Option<Hold>) -> Account {
    let row = &delivery.row;
    let (because, request) = (row.reason.clone(), delivery.request.clone());
    if row.dead {
        return Account::Dead {
            at: delivery.updated_at,
            attempts: row.attempts,
            because,
            request,
        };
    }
    Account::Waiting {
        attempts: row.attempts,
        due_at: row.due_at,
        behind: delivery.behind,
        because,
        hold,
        request,
    }
}

/// There is neither a row nor a success on record.
fn without_trace(
    facts: &Facts<'_>,
    choice: &Choice,
    keeps: Keeps,
    subscription: &SubscriptionFacts,
    hold: Option<Hold>,
) -> Account {
    if let Some(start_after) = subscription.start_after
        && facts.sequence_id <= start_after
    {
        return Account::BeforeStart { start_after };
    }
    if facts.sequence_id > subscription.cursor {
        let last = facts.attempts.last();
        return Account::NotReached {
            cursor: subscription.cursor,
            tried: last.map(|last| (facts.attempts.len(), said(last))),
            hold,
            doubt: match choice {
                Choice::Failed(reason) => Some(reason.clone()),
                Choice::Wanted | Choice::Filtered(_) => None,
            },
        };
    }
    let because = match facts.attempts_kept {
        _ if keeps == Keeps::Failures => Forgotten::OnlyFailuresAreKept,
        Some(kept) if facts.age >= kept => Forgotten::TooLongAgo,
        _ => Forgotten::NotRecorded,
    };
    Account::NotKnown {
        because,
        failures: facts.attempts.len(),
    }
}

impl Account {
    /// The word for programs.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Waiting { .. } => "waiting",
            Self::Dead { .. } => "dead",
            Self::Discarded { .. } => "discarded",
            Self::Filtered { .. } => "filtered",
            Self::BeforeStart { .. } => "before_start",
            Self::NeverServed => "never_served",
            Self::NotReached { .. } => "not_reached",
            Self::NotKnown { .. } => "not_known",
            Self::Removed { .. } => "removed",
        }
    }
}

#[cfg(test)]
mod tests;
