//! How many requests go out, and how many events go in each.

use tokio::time::Instant;

use super::{Runner, State};
use crate::dispatch::rate::Bucket;
use crate::dispatch::window::Job;

impl Runner {
    pub(super) fn bucket(&self) -> Option<Bucket> {
        let rate = self.subscription.rate?;
        Some(Bucket::new(rate, Instant::now()))
    }
}

impl State {
    /// The events of the next request.
    pub(super) fn next_jobs(&mut self, now: Instant, limit: usize) -> Option<Vec<Job>> {
        match &self.runner.subscription.batch {
            None => self.window.next(now, limit).map(|job| vec![job]),
            Some(batching) => self.window.gather(now, limit, batching),
        }
    }

    /// Whether the rate lets one more request out.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        self.bucket.is_none_or(|bucket| bucket.has_one(now))
    }

    /// A request goes out.
    pub(super) fn spend(&mut self, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(now);
        }
    }

    /// It was not made after all.
    pub(super) fn refund(&mut self) {
        if let Some(bucket) = &mut self.bucket {
            bucket.give_back();
        }
    }
}
