//! Does a subscription want an event? Pure.

use super::Subscription;
use crate::event::Event;

/// What a subscription makes of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It wants it.
    Wanted,
    /// It does not.
    Filtered(Rule),
    /// It cannot tell, and the reason: the event is parked with it.
    Failed(String),
}

/// What kept an event from a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// None of its patterns has the event's type.
    Events,
    /// The replay is of other events.
    Replay,
}

impl Rule {
    /// The key in the settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Replay => "replay",
        }
    }
}

impl Subscription {
    /// Whether it wants an event.
    #[must_use]
    pub fn choose(&self, event: &Event) -> Choice {
        if self
            .replay
            .as_ref()
            .is_some_and(|replay| !replay.takes(event))
        {
            return Choice::Filtered(Rule::Replay);
        }
        if !self.events.matches(&event.event_type) {
            return Choice::Filtered(Rule::Events);
        }
        Choice::Wanted
    }
}
