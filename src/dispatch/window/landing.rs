//! What becomes of an event after its attempt: settled, dead, tried again, or parked as a row.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Fate, QUICK_DELAY, QUICK_TRIES, Row, Window};
use crate::dispatch::Order;
use crate::dispatch::lane::{Item, LaneKey, Progress};
use crate::dispatch::retry::Step;
use crate::event_log::deliveries::DeliveryRow;

impl Window {
    /// Takes the fate of an attempt. `now` and `clock` are one instant.
    pub(in crate::dispatch) fn finished(
        &mut self,
        key: &LaneKey,
        fate: Fate,
        now: Instant,
        clock: Timestamp,
    ) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.land(key, fate, now, clock);
        self.advance();
    }

    /// The first event of a lane in flight has its fate.
    pub(super) fn land(&mut self, key: &LaneKey, fate: Fate, now: Instant, clock: Timestamp) {
        match fate {
            Fate::Decided(Step::Settle, _) => {
                self.done(key, None);
                self.release(key);
            }
            Fate::Decided(Step::Dead { reason }, said) => {
                self.done(key, Some(format!("{reason}; last: {said}")));
                self.release(key);
            }
            Fate::Decided(Step::Retry { after }, said) => self.retry(key, after, &said, now, clock),
            Fate::Decided(Step::Pause { .. }, _) => {
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.progress = Progress::Ready;
                    self.ready.push_front(key.clone());
                }
            }
            // The next probe is another event: a few that the receiver cannot digest must not
            // make it look down for ever.
            Fate::NotCounted => self.release(key),
            Fate::Apart => {
                if let Some(item) = self.head(key) {
                    item.alone = true;
                }
                self.release(key);
            }
            Fate::Postponed(after) => {
                if let Some(lane) = self.lanes.get_mut(key) {
                    lane.progress = Progress::Waiting;
                    lane.due = Some(now + after);
                    self.retries.push(now + after, key.clone());
                }
            }
        }
    }

    fn head(&mut self, key: &LaneKey) -> Option<&mut Item> {
        self.lanes.get_mut(key)?.items.front_mut()
    }

    /// A lane is no longer in flight: what it holds may be sent when its turn comes, and when its wait
    /// from before is over.
    pub(super) fn release(&mut self, key: &LaneKey) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        let Some(head) = lane.items.front_mut() else {
            self.lanes.remove(key);
            return;
        };
        let Some(due) = head.not_before.take() else {
            lane.progress = Progress::Ready;
            self.ready.push_back(key.clone());
            return;
        };
        lane.due = Some(due);
        self.retries.push(due, key.clone());
        if head.has_row {
            self.park(key, None);
        } else {
            lane.progress = Progress::Waiting;
        }
    }

    /// The head of a lane is settled for good; `dead` says why it was given up.
    pub(super) fn done(&mut self, key: &LaneKey, dead: Option<String>) {
        let lane = self.lanes.get_mut(key);
        let Some(item) = lane.and_then(|lane| lane.items.pop_front()) else {
            return;
        };
        self.held_bytes = self.held_bytes.saturating_sub(item.bytes());
        if item.has_row {
            self.parked = self.parked.saturating_sub(1);
        }
        if let Some(reason) = dead {
            let row = DeliveryRow {
                dead: true,
                ..item.counted().row(key, None, Some(reason))
            };
            self.rows.insert(item.sequence_id, Row::Keep(row));
        } else if item.has_row {
            self.rows.insert(item.sequence_id, Row::Delete);
        }
        self.settled_since_flush += 1;
        self.done_to = self.done_to.max(item.sequence_id);
        self.mark(item.sequence_id);
    }

    fn retry(
        &mut self,
        key: &LaneKey,
        after: Duration,
        said: &str,
        now: Instant,
        clock: Timestamp,
    ) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        let Some(head) = lane.items.front_mut() else {
            return;
        };
        head.attempts += 1;
        lane.due = Some(now + after);
        self.retries.push(now + after, key.clone());
        if head.attempts < QUICK_TRIES && after <= QUICK_DELAY && head.event.is_some() {
            lane.progress = Progress::Waiting;
            return;
        }
        let due = clock.checked_add(after).unwrap_or(Timestamp::MAX);
        let row = head.row(key, Some(due), Some(said.to_owned()));
        self.park(key, Some(row));
    }

    /// The first event of a lane waits as a row, which is new or is there, and so do those behind it.
    fn park(&mut self, key: &LaneKey, row: Option<DeliveryRow>) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        let Some(head) = lane.items.front_mut() else {
            return;
        };
        lane.progress = Progress::Parked;
        let mut rows = Vec::from_iter(row);
        let mut freed = head.park();
        // In strict order nobody could overtake those behind it: they wait in the log instead.
        if self.ordering.order != Order::Strict {
            let from = lane.parked_to();
            for item in lane.items.range_mut(from..) {
                if !item.has_row {
                    rows.push(item.row(key, None, None));
                }
                freed += item.park();
            }
        }
        self.held_bytes = self.held_bytes.saturating_sub(freed.bytes);
        self.parked += freed.rows;
        self.settled_since_flush += rows.len();
        for row in rows {
            self.mark(row.sequence_id);
            self.rows.insert(row.sequence_id, Row::Keep(row));
        }
    }
}
