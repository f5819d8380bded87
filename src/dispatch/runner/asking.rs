//! What operators ask for: read beside the flushes, never during one, so that the rows are as the
//! window knows them.

use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::State;
use crate::event_log::requests::{self, Requested};
use crate::failpoint::between_looks;
use crate::fault::Result;

/// Requests that are read at once.
const PAGE: i64 = 5_000;
/// Time from one look to the next while there are requests: some wait for an attempt's end, or for the
/// cursor.
const INTERVAL: Duration = Duration::from_secs(1);

type Reading = Pin<Box<dyn Future<Output = Result<Vec<Requested>>> + Send>>;

/// Requests on their way here, and when to look for more.
#[derive(Default)]
pub(super) struct Asking {
    pub(super) under_way: Option<Reading>,
    next: Option<Instant>,
    has_looked: bool,
}

impl Asking {
    /// Whether no look is under way, and there was one.
    pub(super) fn has_looked(&self) -> bool {
        self.has_looked && self.under_way.is_none()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.under_way.is_none() && self.next.is_none_or(|next| next <= now)
    }

    /// A look ended. The next one comes a while after its end and not after its beginning: however long
    /// it took, there is a flush in between.
    fn ended(&mut self, now: Instant, has_looked: bool) {
        self.under_way = None;
        self.has_looked |= has_looked;
        self.next = Some(now + between_looks(INTERVAL));
    }
}

impl State {
    /// Looks for requests where the tables were seen to hold some, and a replay once in any case: it may
    /// have been taken up again for one that came after they were seen.
    pub(super) fn ask_if_due(&mut self, now: Instant) {
        let name = &self.runner.subscription.name;
        let may_have_some = self.replaying.is_some() && !self.asking.has_looked;
        if !(may_have_some || self.runner.states.borrow().has_requests(name))
            || self.flushing.is_some()
            || !self.asking.is_due(now)
            || self.resting_until.is_some_and(|until| until > now)
        {
            return;
        }
        let (link, name) = (self.runner.link.clone(), name.clone());
        self.asking.under_way = Some(Box::pin(async move {
            requests::of(&*link.connection().await?, &name, PAGE).await
        }));
    }

    /// Does what was asked for.
    pub(super) fn take_requests(&mut self, asked: Result<Vec<Requested>>) -> Result<()> {
        let (now, clock) = (Instant::now(), Timestamp::now());
        self.asking.ended(now, asked.is_ok());
        let asked = match asked {
            Ok(asked) => asked,
            Err(fault) => return self.survive(fault),
        };
        let mut discarded = 0_usize;
        for one in &asked {
            if self.window.obey(one, now, clock) {
                self.desk.witness.discarded(&one.row);
                discarded += 1;
            }
        }
        if discarded > 0 {
            tracing::info!(webhook = %self.runner.subscription.name, deliveries = discarded, "discarded, as an operator asked");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn looks_that_take_long_leave_room_for_flushes() {
        let began = Instant::now();
        let mut asking = Asking::default();
        assert!(asking.is_due(began));
        asking.under_way = Some(Box::pin(async { Ok(Vec::new()) }));
        let ended = began + 5 * INTERVAL;
        assert!(!asking.is_due(ended));
        asking.ended(ended, true);
        assert!(!asking.is_due(ended));
        assert!(asking.is_due(ended + INTERVAL));
    }
}
