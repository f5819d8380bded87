//! Chunks of backfills, where their high watermarks come by.

use super::{CATALOGS, Content, Intake, in_time, read};
use crate::capture::backfill::{Window, key_of};
use crate::decode::{Change, Message, RowChange};
use crate::event_log::backfills::Progress;
use crate::fault::Result;
use crate::wal::catalog;

impl Intake {
    pub(super) fn note_in_window(&mut self, relation: u32, change: Option<&Change<'_>>) {
        if let Some(window) = self.window.as_mut().filter(|it| it.relation == relation) {
            window.note(change);
        }
    }

    /// A watermark of a backfill. One of an earlier session or of another instance means nothing:
    /// its chunk was never logged, and is read again.
    pub(super) async fn watermark(&mut self, content: &[u8]) -> Result<()> {
        let content = String::from_utf8_lossy(content);
        match content.split_once(' ') {
            Some(("low", chunk)) => {
                let is_open = self
                    .window
                    .as_ref()
                    .is_some_and(|window| window.chunk == chunk);
                if !is_open && let Some((relation, key)) = self.handover.on_offer(chunk) {
                    let mut window = Window::new(chunk.to_owned(), relation, key);
                    if let Some(shape) = self.relations.get(&relation) {
                        window.shape(shape);
                    }
                    self.window = Some(window);
                }
                Ok(())
            }
            Some(("high", chunk)) => match self.window.take_if(|window| window.chunk == chunk) {
                Some(window) => self.snapshot(&window).await,
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Logs the rows of a chunk that have not changed since its low watermark.
    pub(super) async fn snapshot(&mut self, window: &Window) -> Result<()> {
        let (Some(rows), false) = (self.handover.take(&window.chunk), window.is_spoiled()) else {
            self.handover.spoiled(&window.chunk);
            return Ok(());
        };
        // The types of now, as the rows are of now.
        let types: Vec<u32> = rows.relation.columns.iter().map(|it| it.type_oid).collect();
        self.types
            .learn(in_time(CATALOGS, catalog::types(&self.catalogs, &types)).await?);
        let known = self.known(&rows.relation).await?;
        let columns = &rows.relation.columns;
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let places: Vec<usize> = rows.key.iter().filter_map(place).collect();
        let mut logged = 0;
        for message in &rows.messages {
            let Message::Change(change) = read(message)? else {
                continue;
            };
            let RowChange::Insert(row) = change.row else {
                continue;
            };
            if !key_of(&row, &places).is_some_and(|key| window.has_changed(&key)) {
                self.log(&known, &Content::Snapshot(&change.row))?;
                logged += 1;
            }
        }
        self.batch.progress(Progress {
            backfill: rows.backfill,
            chunk: window.chunk.clone(),
            after: rows.after,
            last_key: rows.last_key,
            rows: logged,
        });
        Ok(())
    }
}
