//! What operators want done with deliveries that have a row.
//!
//! A request is answered with the very flush that carries what it led to; a process that ends before
//! finds it there again. The rows of the requests must be as the last flush that ended left them, with
//! no other under way.

use jiff::Timestamp;
use tokio::time::Instant;

use super::{LaneKey, Row, Window};
use crate::dispatch::lane::{Item, Progress};
use crate::event_log::deliveries::DeliveryRow;
use crate::event_log::requests::{Request, Requested};

impl Window {
    /// Does what is asked for; `true` if that gave a delivery up. `now` and `clock` are one instant.
    pub(in crate::dispatch) fn obey(
        &mut self,
        asked: &Requested,
        now: Instant,
        clock: Timestamp,
    ) -> bool {
        let discarded = match asked.request {
            Request::Retry => {
                self.send_again(asked, now, clock);
                false
            }
            Request::Discard => self.discard(&asked.row),
        };
        self.advance();
        discarded
    }

    /// Where a delivery stands in its lane.
    fn place(&self, key: &LaneKey, sequence_id: i64) -> Option<usize> {
        let items = &self.lanes.get(key)?.items;
        items
            .iter()
            .position(|item| item.sequence_id == sequence_id)
    }

    fn send_again(&mut self, asked: &Requested, now: Instant, clock: Timestamp) {
        let row = &asked.row;
        let id = row.sequence_id;
        // It was settled a moment ago; its row goes with the next flush.
        if matches!(self.rows.get(&id), Some(Row::Delete)) {
            return;
        }
        let key = LaneKey::from(row.lane.as_str());
        let place = match self.place(&key, id) {
            Some(place) => place,
            // After a restart earlier ones of its lane may not have been read yet: it waits for them.
            None if id > self.read_to() => return,
            None => self.admit_again(&key, row),
        };
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        // Whatever stands before it goes first, and now.
        let before = lane.items.iter_mut().take(place + 1);
        before.for_each(|item| item.not_before = None);
        if matches!(lane.progress, Progress::Waiting | Progress::Parked) {
            lane.progress = Progress::Ready;
            lane.due = Some(now);
            self.ready.push_back(key.clone());
        }
        if let Some(item) = lane.items.get(place) {
            let due = (place == 0).then_some(clock);
            let row = item.row(&key, due, row.reason.clone());
            self.rows.insert(id, Row::Keep(row));
            self.answered.insert(id, asked.at);
            self.settled_since_flush += 1;
        }
    }

    /// A dead one comes back: before what came after it, but not before what is being sent. Its
    /// attempts begin anew.
    fn admit_again(&mut self, key: &LaneKey, row: &DeliveryRow) -> usize {
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.items.is_empty() {
            self.ready.push_back(key.clone());
        }
        let sent = lane.in_flight();
        let later = |item: &Item| item.sequence_id > row.sequence_id;
        let place = lane.items.iter().position(later);
        let place = place.unwrap_or(lane.items.len()).max(sent);
        // It comes before one that waits for a retry, which goes on waiting after it.
        if place == 0
            && matches!(lane.progress, Progress::Waiting | Progress::Parked)
            && let Some(head) = lane.items.front_mut()
        {
            head.not_before = lane.due;
        }
        lane.mixed |= lane.items.range(..place).any(|item| !item.has_row);
        lane.items.insert(
            place,
            Item {
                sequence_id: row.sequence_id,
                event_id: row.event_id,
                attempts: 0,
                event: None,
                doubtful: true,
                alone: false,
                not_before: None,
                has_row: true,
            },
        );
        self.parked += 1;
        place
    }

    /// `false` if it has to be asked for again, or was done already: what is being sent cannot be
    /// taken back, and the row of one after the cursor stays until the cursor has passed it, because
    /// it says that the event is not to be sent after a restart.
    fn discard(&mut self, row: &DeliveryRow) -> bool {
        let id = row.sequence_id;
        let key = LaneKey::from(row.lane.as_str());
        let place = self.place(&key, id);
        let was_there = place.is_some();
        if let Some(place) = place
            && !self.take_out(&key, place)
        {
            return false;
        }
        self.mark(id);
        self.advance();
        self.settled_since_flush += 1;
        let gone = matches!(self.rows.get(&id), Some(Row::Delete));
        if id <= self.cursor && !gone {
            self.rows.insert(id, Row::Delete);
            return was_there || row.dead;
        }
        was_there
    }

    /// Takes a delivery out of its lane; `false` if it is being sent.
    fn take_out(&mut self, key: &LaneKey, place: usize) -> bool {
        let Some(lane) = self.lanes.get_mut(key) else {
            return false;
        };
        if place < lane.in_flight() {
            return false;
        }
        let Some(item) = lane.items.remove(place) else {
            return false;
        };
        self.held_bytes = self.held_bytes.saturating_sub(item.bytes());
        self.parked = self.parked.saturating_sub(usize::from(item.has_row));
        let has_its_turn = lane.progress == Progress::Ready
            && lane
                .items
                .front()
                .is_some_and(|head| head.not_before.is_none());
        if lane.items.is_empty() || place == 0 && !has_its_turn {
            self.release(key);
        }
        true
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
