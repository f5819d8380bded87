//! Scheduled events that are due: they enter between two transactions of the source.

use super::Intake;
use crate::event_log::Transaction;
use crate::event_log::objects::Object;
use crate::event_log::scheduled::Due;
use crate::fault::Result;

impl Intake {
    /// Adds events that are due, between two transactions of the source. Where the log has to tell of
    /// their objects first, they wait, and the stream behind them.
    ///
    /// # Errors
    /// If one is longer than Postgres can store.
    pub(in crate::capture) fn schedule(&mut self, due: Due) -> Result<()> {
        let mut lacking = 0;
        for event in &due.events {
            // Each one is looked at: their resources are followed from here on.
            lacking += usize::from(self.lacks_object(&event.emitted));
        }
        if lacking > 0 {
            self.due = Some(due);
            return Ok(());
        }
        let (place, end) = self.own_place();
        for event in due.events {
            let place = Transaction {
                context: event.context,
                ..place.clone()
            };
            let sequence_id = self.batch.next_sequence_id();
            self.log_custom(&place, 0, event.event_id, &event.emitted)?;
            self.batch.scheduled(event.event_id, sequence_id);
        }
        self.batch.commit(end);
        self.batch.tell_when_durable(due.done);
        Ok(())
    }

    /// The objects that events which are due need.
    pub(super) fn objects_of_due(&self) -> Vec<Object> {
        let mut objects: Vec<Object> = Vec::new();
        for event in self.due.iter().flat_map(|due| &due.events) {
            let object = self.lacking_object(&event.emitted);
            objects.extend(object.filter(|object| !objects.contains(object)));
        }
        objects
    }
}
