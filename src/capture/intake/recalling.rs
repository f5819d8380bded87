//! Changes whose old rows come from the log wait until it has told them.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::Value;

use super::{Intake, Known, MOST_ASKED, Step, misfit, read};
use crate::decode::{Change, Message};
use crate::event::MisfitRow;
use crate::event_log::history::LastEvent;
use crate::fault::Result;

impl Intake {
    /// The rows whose last events the messages that wait need: as far ahead as their relations are
    /// known, so that one question to the log answers for many.
    pub(in crate::capture) fn lacks(&mut self) -> Result<Vec<LastEvent>> {
        let mut rows = Vec::new();
        let mut seen = HashSet::new();
        let held: Vec<Bytes> = self.held.iter().cloned().collect();
        for bytes in held {
            let Message::Change(change) = read(&bytes)? else {
                continue;
            };
            // A relation that changes in between makes a row misfit here, and not when it is taken.
            if let Ok(Some(row)) = self.lacking(&change)
                && seen.insert((row.resource.clone(), row.resource_id.clone()))
            {
                rows.push(row);
            }
            if rows.len() == self.ask {
                break;
            }
        }
        Ok(rows)
    }

    /// Takes the answer to [`lacks`](Self::lacks), which may be shorter than the question, and then
    /// the messages that waited for it. Tells how many transactions ended.
    pub(in crate::capture) async fn supply(
        &mut self,
        rows: Vec<LastEvent>,
        records: Vec<Option<ByteString>>,
    ) -> Result<u64> {
        self.answered(rows.len(), records.len());
        for (row, record) in rows.into_iter().zip(records) {
            let resource = Arc::from(row.resource);
            self.recall.put(&resource, row.resource_id.into(), record);
        }
        self.go_on().await
    }

    /// Asks for fewer at once where an answer was cut short.
    pub(super) fn answered(&mut self, asked: usize, told: usize) {
        self.ask = if told < asked {
            told.max(1)
        } else {
            self.ask.saturating_mul(2).min(MOST_ASKED)
        };
    }

    /// Takes the scheduled events and the messages that waited, up to one that the log has to be asked for. Tells how many
    /// transactions ended.
    pub(super) async fn go_on(&mut self) -> Result<u64> {
        if let Some(due) = self.due.take() {
            self.schedule(due)?;
            if self.due.is_some() {
                return Ok(0);
            }
        }
        let mut ended = 0;
        while let Some(bytes) = self.held.pop() {
            match self.data(&bytes).await? {
                Step::Taken => {}
                Step::Ended => ended += 1,
                Step::Lacks => {
                    self.held.put_back(bytes);
                    break;
                }
            }
        }
        Ok(ended)
    }

    /// The row whose last event a change needs and nobody remembers.
    pub(super) fn lacking(&mut self, change: &Change<'_>) -> Result<Option<LastEvent>, MisfitRow> {
        let Some(Some(Known {
            shape,
            history: Some(history),
        })) = self.shapes.get(&change.relation)
        else {
            return Ok(None);
        };
        let Some(id) = self.drafter.recalled_id(shape, &change.row)? else {
            return Ok(None);
        };
        let known = self.recall.get(&shape.resource, id).is_some();
        Ok((!known).then(|| LastEvent {
            resource: shape.resource.to_string(),
            resource_id: id.to_owned(),
            schema: shape.schema.to_string(),
            table: shape.table.to_string(),
            history: *history,
        }))
    }

    /// The values of a row were erased from the log: what is remembered of it is not known any more.
    pub(super) fn forget_erased(&mut self, erased: &Value) {
        if let (Some(resource), Some(id)) =
            (erased["resource"].as_str(), erased["resource_id"].as_str())
        {
            if self.recall.get(resource, id).is_some() {
                self.recall.put(&Arc::from(resource), id.into(), None);
            }
            self.objects.forget(resource, id);
        }
    }

    pub(super) fn lacks_now(&mut self, change: &Change<'_>) -> Result<bool> {
        match &self.running {
            Some(running) if !running.already_logged => {
                Ok(self.lacking(change).map_err(misfit)?.is_some())
            }
            _ => Ok(false),
        }
    }
}
