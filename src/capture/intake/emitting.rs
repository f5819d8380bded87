//! Custom events: those of the stream, at their place among the changes.

use std::collections::HashSet;
use std::sync::Arc;

use bytestring::ByteString;
use uuid::Uuid;

use super::{Intake, Step, read};
use crate::decode::Message;
use crate::event::{EMIT_PREFIX, Emitted, Shape};
use crate::event_log::Transaction;
use crate::event_log::history::LastEvent;
use crate::event_log::objects::Object;
use crate::fault::{Fault, Result};

/// What the log is asked for, so that messages which wait can go on.
pub(in crate::capture) enum Question {
    /// The last events of rows.
    Rows(Vec<LastEvent>),
    /// What custom events are about.
    Objects(Vec<Object>),
}

impl Intake {
    /// Takes an event that the application emits. Anybody can write such a message: one that is no
    /// event must not stop the stream. It has its place in the transaction all the same, so that ids
    /// do not depend on what is taken for an event.
    pub(super) fn emitted(&mut self, content: &[u8]) -> Result<Step> {
        let xid = match &self.running {
            Some(running) if !running.already_logged => running.transaction.xid,
            Some(_) => return self.next_index().map(|_| Step::Taken),
            None => return Ok(Step::Taken),
        };
        let emitted = match Emitted::read(content) {
            Ok(emitted) => emitted,
            Err(why) => {
                tracing::warn!(xid, %why, "a custom event is left out");
                return self.next_index().map(|_| Step::Taken);
            }
        };
        if self.lacks_object(&emitted) {
            return Ok(Step::Lacks);
        }
        if let Some((transaction, index)) = self.next_index()? {
            let event_id = self
                .ids
                .id(transaction.commit_time, transaction.commit_lsn, index);
            self.log_custom(&transaction, index, event_id, &emitted)?;
        }
        Ok(Step::Taken)
    }

    /// Whether the log has to tell of the object that an event is about.
    pub(super) fn lacks_object(&mut self, emitted: &Emitted) -> bool {
        let id = emitted.resource_id.as_deref();
        id.is_some_and(|id| self.objects.lack(&emitted.resource, id))
    }

    /// Adds a custom event to the batch, with the object that it is about.
    pub(super) fn log_custom(
        &mut self,
        transaction: &Transaction,
        index: u64,
        event_id: Uuid,
        emitted: &Emitted,
    ) -> Result<()> {
        let resource = &*emitted.resource;
        let id = emitted.resource_id.as_deref();
        let record = id.and_then(|id| self.objects.get(resource, id));
        let record = record.map(|it| self.capture.as_seen_now(resource, it.clone()));
        let shape = Arc::new(Shape::of_custom(&emitted.event_type, resource));
        let draft = emitted.draft(record.as_deref());
        self.batch
            .push(transaction, index, event_id, &shape, &draft, self.keep)
            .map_err(|error| {
                let event_type = &emitted.event_type;
                Fault::permanent(format!("event {event_type} cannot be logged")).because(error)
            })
    }

    /// Whether the batch has to go to the writer before the log is asked: what it holds of a resource
    /// was not remembered.
    pub(in crate::capture) fn hands_over_first(&mut self) -> bool {
        if self.batch.bytes() == 0 {
            self.objects.caught_up();
        }
        self.objects.are_behind()
    }

    /// What the first message that waits needs, and those behind it.
    pub(in crate::capture) fn question(&mut self) -> Result<Question> {
        let objects = match self.due {
            Some(_) => self.objects_of_due(),
            None => self.objects_of_held()?,
        };
        if objects.is_empty() {
            self.lacks().map(Question::Rows)
        } else {
            Ok(Question::Objects(objects))
        }
    }

    /// The objects that the messages that wait need; none if the first one of them needs something
    /// else.
    fn objects_of_held(&self) -> Result<Vec<Object>> {
        let (mut objects, mut seen) = (Vec::new(), HashSet::new());
        for bytes in self.held.iter() {
            let object = match read(bytes)? {
                Message::Logical {
                    transactional: true,
                    prefix,
                    content,
                    ..
                } if prefix == EMIT_PREFIX => self.object_of(content),
                _ => None,
            };
            match object {
                Some(object) if seen.insert(object.clone()) => objects.push(object),
                Some(_) => {}
                None if objects.is_empty() => break,
                None => {}
            }
            if objects.len() == self.ask {
                break;
            }
        }
        Ok(objects)
    }

    fn object_of(&self, content: &[u8]) -> Option<Object> {
        self.lacking_object(&Emitted::read(content).ok()?)
    }

    /// The object that an event needs and nobody remembers, if its resource is followed.
    pub(super) fn lacking_object(&self, emitted: &Emitted) -> Option<Object> {
        let id = emitted.resource_id.as_deref()?;
        let lacks = self.objects.lack_of_followed(&emitted.resource, id);
        lacks.then(|| Object {
            resource: emitted.resource.clone(),
            resource_id: id.to_owned(),
        })
    }

    /// Takes the objects that the log has told of, perhaps fewer than were asked for, and then the
    /// messages that waited for them. Tells how many transactions ended.
    pub(in crate::capture) async fn supply_objects(
        &mut self,
        objects: Vec<Object>,
        records: Vec<Option<ByteString>>,
    ) -> Result<u64> {
        self.answered(objects.len(), records.len());
        for (object, record) in objects.into_iter().zip(records) {
            self.objects.put(object, record);
        }
        self.go_on().await
    }
}
