//! What a replay does otherwise: it reads a range, goes behind live traffic, and comes to an end.

use tokio::time::Instant;
use tokio_postgres::Client;

use super::State;
use super::feeding::{PAGE, PAGE_BYTES, beside, next_page};
use crate::dispatch::Subscription;
use crate::dispatch::replay::{Hold, Replay};
use crate::dispatch::replays::hold_of;
use crate::event::Event;
use crate::event_log::deliveries::{self, Settlement};
use crate::event_log::{Section, read, replays};
use crate::fault::Result;
use crate::ops::metrics::WebhookLabel;

/// Sequence ids that one query looks through at the most, where few of them are wanted.
const SPAN: i64 = 1_000_000;

/// A replay at work.
pub(super) struct Replaying {
    replay: Replay,
    /// Its webhook, whose live traffic goes first.
    live: WebhookLabel,
    /// How far the reading under way goes, and how many events it asks for.
    asked: (i64, i64),
    /// Delivered in all: written as it is, so that a flush whose answer was lost can be made again.
    delivered: i64,
}

impl Replaying {
    /// `None` for a webhook's own deliveries.
    pub(super) async fn of(client: &Client, subscription: &Subscription) -> Result<Option<Self>> {
        let Some(replay) = subscription.replay.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            live: WebhookLabel {
                webhook: replay.webhook.clone(),
            },
            asked: (0, 0),
            delivered: replays::delivered(client, replay.id).await?,
            replay,
        }))
    }
}

impl State {
    /// Where it ends, for now: at the head of the log, or at a replay's last event.
    pub(super) fn end(&self) -> i64 {
        match &self.replaying {
            Some(replaying) => replaying.replay.up_to,
            None => *self.head.borrow(),
        }
    }

    /// Why a replay has to wait for its webhook, if it does.
    fn held(&self) -> Option<Hold> {
        let replaying = self.replaying.as_ref()?;
        hold_of(&self.runner.metrics, &replaying.live, self.paused())
    }

    /// How many requests may be in flight now.
    pub(super) fn limit(&self, now: Instant) -> usize {
        if self.held().is_some() {
            return 0;
        }
        let concurrency = self.runner.subscription.concurrency.get();
        self.breaker.limit(now, concurrency)
    }

    /// Begins to read the next part of a replay's range.
    pub(super) fn read_range(&mut self, now: Instant) {
        let (after, room) = (self.window.read_to(), self.window.room());
        if self.reading.is_some()
            || room == 0
            || self.resting_until.is_some_and(|until| until > now)
            || self.held().is_some()
        {
            return;
        }
        let room = i64::try_from(room).unwrap_or(PAGE);
        // Ids of no interest cost a place each behind one that is held, and none before the first.
        let is_empty = after == self.window.cursor();
        let span = if is_empty { SPAN } else { room };
        let limit = self.page.min(room);
        let Some(replaying) = &mut self.replaying else {
            return;
        };
        let replay = &replaying.replay;
        let to = after.saturating_add(span).min(replay.up_to);
        if to <= after {
            return;
        }
        replaying.asked = (to, limit);
        let filter = read::Filter {
            limit,
            bytes: Some(PAGE_BYTES),
            ..replay.filter.within(after, to)
        };
        let (link, id) = (self.runner.link.clone(), replay.id);
        self.reading = Some(beside(async move {
            let connection = link.connection().await?;
            let events = read::page(&connection, &filter).await?;
            // Asked for after the reading, so that nothing goes in between unseen.
            let gone_to = deliveries::before_oldest(&connection).await?.min(to);
            let first = events.first().map_or(i64::MAX, |event| event.sequence_id);
            if gone_to > after && first > gone_to {
                replays::skip(&connection, id, after, gone_to).await?;
            }
            Ok(Section::whole(events))
        }));
    }

    /// Takes in what was read of a replay's range: it is all that there is up to where it was asked
    /// for, unless it was cut off.
    pub(super) fn take_range(&mut self, section: &Section) {
        let (to, limit) = self.replaying.as_ref().map_or((0, 0), |it| it.asked);
        let bytes: usize = section.events().map(Event::bytes).sum();
        let got = self.offer(section.events());
        let is_whole = usize::try_from(limit).is_ok_and(|limit| got < limit) && bytes < PAGE_BYTES;
        if is_whole {
            self.window.skip_to(to);
        } else {
            self.page = next_page(limit, got, bytes);
        }
    }

    /// One was delivered.
    pub(super) fn count_replayed(&mut self) {
        if let Some(replaying) = &mut self.replaying {
            replaying.delivered += 1;
        }
    }

    /// What the next flush has to write.
    pub(super) fn settlement(&mut self) -> Settlement {
        let replaying = self.replaying.as_ref();
        let replayed = replaying.map(|it| (it.replay.id, it.delivered));
        Settlement {
            replayed,
            ..self.window.settlement()
        }
    }

    /// Whether a replay has nothing left to do, and that is saved.
    pub(super) fn is_over(&self) -> bool {
        self.replaying.is_some()
            && self.window.cursor() >= self.end()
            && self.window.parked() == 0
            && self.window.in_flight() == 0
            && !self.window.has_unflushed()
            && self.flushing.is_none()
            && self.asking.has_looked()
            && !self
                .runner
                .states
                .borrow()
                .has_requests(&self.runner.subscription.name)
    }
}
