//! Several events in one request: which ones go together, and what becomes of them.
//!
//! The first events of lanes that are ready go together, and those behind them in their lanes; all
//! these lanes are in flight until the answer. An event that has failed goes alone.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Fate, Job, Row, Window};
use crate::dispatch::Batching;
use crate::dispatch::lane::{Lane, LaneKey, Progress};
use crate::dispatch::retry::Step;

/// Bytes of events in one request at the most, unless one event alone has more.
const BATCH_BYTES: usize = 4 << 20;

/// What was found among the lanes that are ready.
#[derive(Default)]
struct Found {
    /// Lanes, and how many of their events could go together.
    sociable: Vec<(LaneKey, usize)>,
    /// Lanes whose first event goes alone.
    alone: Vec<LaneKey>,
    events: usize,
    bytes: usize,
}

impl Found {
    fn is_full(&self, batching: &Batching) -> bool {
        self.events >= batching.max_events.get() || self.bytes >= BATCH_BYTES
    }

    /// Counts in what a lane has; `false` if not even its first event has room.
    fn add(&mut self, key: &LaneKey, lane: &Lane, batching: &Batching) -> bool {
        let mut count = 0;
        for item in lane.items.iter().take_while(|item| item.is_sociable()) {
            let bytes = self.bytes.saturating_add(item.bytes());
            if self.events >= batching.max_events.get() || bytes > BATCH_BYTES && self.events > 0 {
                // Whatever is still to come, the request goes out now.
                self.bytes = self.bytes.max(BATCH_BYTES);
                break;
            }
            self.bytes = bytes;
            self.events += 1;
            count += 1;
        }
        if count > 0 {
            self.sociable.push((key.clone(), count));
        }
        count > 0
    }
}

impl Window {
    /// The events of the next request, in the order of the log, if fewer than `limit` requests are in
    /// flight.
    pub(in crate::dispatch) fn gather(
        &mut self,
        now: Instant,
        limit: usize,
        batching: &Batching,
    ) -> Option<Vec<Job>> {
        self.wake_retries(now);
        if self.ready.is_empty() {
            self.gathers_at = None;
            return None;
        }
        let due = *self.gathers_at.get_or_insert(now + batching.max_wait) <= now;
        if self.in_flight >= limit {
            return None;
        }
        let mut found = self.look_through(batching);
        let together = !found.sociable.is_empty() && (due || found.is_full(batching));
        let mut chosen = Vec::new();
        if together {
            chosen = std::mem::take(&mut found.sociable);
        } else if !found.alone.is_empty() {
            chosen.push((found.alone.remove(0), 1));
        }
        if together || found.sociable.is_empty() && self.ready.is_empty() {
            self.gathers_at = None;
        }
        // What was looked at and does not go keeps its turn.
        let left = found.sociable.into_iter().map(|(key, _)| key);
        for key in left.chain(found.alone).rev() {
            self.ready.push_front(key);
        }
        self.depart_together(chosen)
    }

    fn depart_together(&mut self, chosen: Vec<(LaneKey, usize)>) -> Option<Vec<Job>> {
        let mut jobs = Vec::new();
        for (key, count) in chosen {
            jobs.extend(self.depart(key, count));
        }
        if jobs.is_empty() {
            return None;
        }
        self.in_flight += 1;
        jobs.sort_unstable_by_key(|job| job.sequence_id);
        Some(jobs)
    }

    /// Takes lanes out of those that are ready until a request is full. One at the very front that
    /// goes alone is not kept waiting by a look at the others.
    fn look_through(&mut self, batching: &Batching) -> Found {
        let mut found = Found::default();
        while !found.is_full(batching)
            && found.alone.len() < batching.max_events.get()
            && let Some(key) = self.ready.pop_front()
        {
            let Some(lane) = self.lanes.get(&key) else {
                continue;
            };
            let Some(first) = lane.items.front() else {
                continue;
            };
            if lane.progress != Progress::Ready {
                continue;
            }
            if first.is_sociable() {
                if !found.add(&key, lane, batching) {
                    self.ready.push_front(key);
                    break;
                }
            } else {
                found.alone.push(key);
                if found.sociable.is_empty() {
                    break;
                }
            }
        }
        found
    }

    /// When a request goes out though it is not full.
    pub(in crate::dispatch) fn gathers_at(&self) -> Option<Instant> {
        self.gathers_at
    }

    /// Takes the fates of the events that went together, in their order. `now` and `clock` are one
    /// instant.
    pub(in crate::dispatch) fn finished_together(
        &mut self,
        fates: Vec<(LaneKey, Fate)>,
        now: Instant,
        clock: Timestamp,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let mut lanes: HashMap<LaneKey, Vec<Fate>> = HashMap::new();
        let mut order = Vec::new();
        for (key, fate) in fates {
            let of_lane = lanes.entry(key.clone()).or_default();
            if of_lane.is_empty() {
                order.push(key);
            }
            of_lane.push(fate);
        }
        for key in order {
            let fates = lanes.remove(&key).unwrap_or_default();
            self.land_together(&key, fates, now, clock);
        }
        self.advance();
    }

    /// The first events of one lane have their fates. Behind one that is not done none is done either.
    fn land_together(&mut self, key: &LaneKey, fates: Vec<Fate>, now: Instant, clock: Timestamp) {
        let mut fates = fates.into_iter();
        let undone = loop {
            match fates.next() {
                Some(Fate::Decided(Step::Settle, _)) => self.done(key, None),
                Some(Fate::Decided(Step::Dead { reason }, said)) => {
                    self.done(key, Some(format!("{reason}; last: {said}")));
                }
                Some(fate) => break fate,
                None => return self.release(key),
            }
        };
        self.count_behind(key, fates);
        self.land(key, undone, now, clock);
    }

    /// Those behind the first one of a lane were in the same request: it was an attempt of theirs too.
    fn count_behind(&mut self, key: &LaneKey, fates: impl Iterator<Item = Fate>) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        for (item, fate) in lane.items.iter_mut().skip(1).zip(fates) {
            match fate {
                Fate::Decided(Step::Retry { .. }, _) => item.attempts += 1,
                Fate::Apart => item.alone = true,
                _ => continue,
            }
            if item.has_row {
                let row = item.row(key, None, None);
                self.rows.insert(item.sequence_id, Row::Keep(row));
                self.settled_since_flush += 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "gathering_tests.rs"]
mod tests;
