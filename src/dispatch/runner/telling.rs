//! Tells the tables when the endpoint counts as down, and when it does not any more.

use std::pin::Pin;

use jiff::Timestamp;
use tokio::time::Instant;

use super::State;
use crate::event_log::breakers::{self, OpenBreaker};
use crate::fault::Result;
use crate::webhook::Outcome;

type Noting = Pin<Box<dyn Future<Output = (Standing, Result<()>)> + Send>>;

/// When the next probe goes out; `None` while the endpoint works.
type Standing = Option<Instant>;

/// What was told, and what is to be told.
#[derive(Default)]
pub(super) struct Telling {
    pub(super) under_way: Option<Noting>,
    /// `None`: nothing yet, and what stands there is from before the start.
    told: Option<Standing>,
    since: Option<Timestamp>,
    last: String,
}

impl State {
    /// Remembers what an attempt said, if the endpoint counts as down.
    pub(super) fn note_breaker(&mut self, outcome: &Outcome) {
        if self.breaker.is_open() {
            self.telling.since.get_or_insert_with(Timestamp::now);
            self.telling.last = outcome.to_string();
        } else {
            self.telling.since = None;
        }
    }

    /// Forgets what was said: it may repeat values that were erased.
    pub(super) fn forget_said(&mut self) {
        self.telling.last = "erased".to_owned();
    }

    pub(super) fn tell_if_due(&mut self, now: Instant) {
        let standing = self.breaker.wakes_at();
        if self.telling.told == Some(standing)
            || self.telling.under_way.is_some()
            || self.resting_until.is_some_and(|until| until > now)
        {
            return;
        }
        let open = standing.map(|probe| OpenBreaker {
            since: self.telling.since.unwrap_or_else(Timestamp::now),
            reason: self.telling.last.clone(),
            probe_at: Timestamp::now()
                .checked_add(probe.saturating_duration_since(now))
                .unwrap_or(Timestamp::MAX),
        });
        let (link, epoch) = (self.runner.link.clone(), self.runner.epoch);
        let name = self.runner.subscription.name.clone();
        self.telling.under_way = Some(Box::pin(async move {
            let noting = async {
                let connection = link.connection().await?;
                breakers::note(&connection, &name, epoch, open.as_ref()).await
            };
            (standing, noting.await)
        }));
    }

    pub(super) fn take_told(&mut self, standing: Standing, noted: Result<()>) -> Result<()> {
        self.telling.under_way = None;
        match noted {
            Ok(()) => {
                self.telling.told = Some(standing);
                Ok(())
            }
            Err(fault) => self.survive(fault),
        }
    }
}
