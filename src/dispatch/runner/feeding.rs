//! Events into the window: the newest from memory, older ones from the log.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{Reading, State};
use crate::event::Event;
use crate::event_log::{Section, read};
use crate::fault::{Fault, Result};

/// Events that are read from the log at once, at the most …
pub(super) const PAGE: i64 = 500;
/// … as long as they are not more bytes than this.
pub(super) const PAGE_BYTES: usize = 4 << 20;

impl State {
    /// Offers the newest events from memory, or begins to read older ones from the log.
    pub(super) fn read_more(&mut self, now: Instant) {
        if self.window.room() == 0 && !self.breaker.is_open() && !self.paused() {
            self.window.relieve(self.limit(now));
        }
        if self.replaying.is_some() {
            return self.read_range(now);
        }
        while self.reading.is_none() && self.window.room() > 0 {
            let read_to = self.window.read_to();
            if *self.head.borrow_and_update() <= read_to {
                return;
            }
            let limit = self
                .window
                .room()
                .min(PAGE.unsigned_abs().try_into().unwrap_or(usize::MAX));
            match self.runner.tail.after(read_to, limit) {
                Some(newest) => {
                    self.offer(newest.events());
                }
                None if self.resting_until.is_some_and(|until| until > now) => return,
                None => self.read_from_log(read_to),
            }
        }
    }

    fn read_from_log(&mut self, after: i64) {
        let (link, limit) = (self.runner.link.clone(), self.page);
        let tail = Arc::clone(&self.runner.tail);
        self.reading = Some(beside(async move {
            let page = async {
                let connection = link.connection().await?;
                let filter = read::Filter {
                    after: Some(after),
                    limit,
                    bytes: Some(PAGE_BYTES),
                    ..read::Filter::default()
                };
                read::page(&connection, &filter).await
            };
            tail.behind(after, page).await
        }));
    }

    pub(super) fn take_events(&mut self, section: Result<Section>) -> Result<()> {
        self.reading = None;
        match section {
            Ok(section) if self.replaying.is_some() => {
                self.take_range(&section);
                Ok(())
            }
            Ok(section) => {
                let bytes = section.events().map(Event::bytes).sum();
                let got = self.offer(section.events());
                if got == 0 {
                    // The head was seen and its events are not there yet: ask again a little later.
                    self.rest();
                }
                self.page = next_page(self.page, got, bytes);
                Ok(())
            }
            Err(fault) => self.survive(fault),
        }
    }

    /// Values were erased from the log: what is held, or being read, may have them still.
    pub(super) fn forget(&mut self) {
        self.forgotten.mark_unchanged();
        self.reading = None;
        self.window.forget_events();
        self.forget_said();
    }

    /// Offers them all; how many that were.
    pub(super) fn offer<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> usize {
        let mut count = 0;
        for event in events {
            self.lag.read(event.sequence_id, event.created_at);
            let choice = self.runner.subscription.choose(event);
            self.window.offer(event, &choice);
            count += 1;
        }
        count
    }
}

/// Reads while attempts end and others begin: taking rows apart is work, and the loop has its own.
pub(super) fn beside(reading: impl Future<Output = Result<Section>> + Send + 'static) -> Reading {
    let task = AbortOnDropHandle::new(tokio::spawn(reading));
    Box::pin(async move {
        task.await.unwrap_or_else(|error| {
            Err(Fault::permanent("reading the log ended in the middle").because(error))
        })
    })
}

/// How many events to ask for after `asked` gave `got` with so many bytes: as many, if their bytes were
/// too many, and more, if not.
pub(super) fn next_page(asked: i64, got: usize, bytes: usize) -> i64 {
    if bytes >= PAGE_BYTES {
        i64::try_from(got).map_or(PAGE, |got| got.clamp(1, PAGE))
    } else {
        asked.saturating_mul(2).min(PAGE)
    }
}
