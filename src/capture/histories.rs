//! Which tables' old rows may be taken from the log, and from where on.

use crate::event::Capture;
use crate::event_log::history::{self, Histories, History};
use crate::event_log::{Checkpoint, Link};
use crate::fault::Result;
use crate::wal::{Connection, publication};

/// Notes from where on the log has all changes of the tables that take old values from it. To be
/// done as soon as a table is published: what was committed before that is not trusted.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note_published(
    source: &Connection,
    log: &Connection,
    publication: &str,
    capture: &Capture,
) -> Result<Histories> {
    let recalled = |schema: &str, table: &str| {
        capture.includes(schema, table) && capture.recalls(schema, table)
    };
    let mut noted = history::load(log, recalled).await?;
    let nobody_recalls = !capture
        .resources
        .iter()
        .any(|rule| recalled(&rule.table.schema, &rule.table.name));
    let checkpoint = Checkpoint::read(log).await?;
    let (false, Some(checkpoint)) = (nobody_recalls, checkpoint) else {
        return Ok(noted);
    };
    for table in publication::tables(source, publication).await? {
        if !recalled(&table.schema, &table.name) {
            continue;
        }
        let name = (table.schema, table.name);
        let membership = publication::membership(source, publication, table.oid).await?;
        let before = noted.get(&name).copied();
        let history = History::of(before, membership, checkpoint.next_sequence_id);
        if let Some(history) = history.filter(|history| before != Some(*history)) {
            history::note(log, &name.0, &name.1, history).await?;
            noted.insert(name, history);
        }
    }
    Ok(noted)
}

/// What is noted in the log, kept true as relations appear in the stream.
pub(super) struct KnownHistories {
    noted: Histories,
    log: Link,
    publication: String,
}

impl KnownHistories {
    pub(super) fn new(noted: Histories, log: Link, publication: &str) -> Self {
        Self {
            noted,
            log,
            publication: publication.to_owned(),
        }
    }

    /// The log, for what is noted of relations.
    pub(super) fn log(&self) -> &Link {
        &self.log
    }

    /// The history of a relation whose shape the stream has just brought, and whether it is another
    /// one than before. The stream brings the shape again whenever the publication's entry has
    /// changed.
    pub(super) async fn look_up(
        &mut self,
        source: &Connection,
        relation: u32,
        (schema, table): (&str, &str),
        next_sequence_id: i64,
    ) -> Result<(Option<History>, bool)> {
        let membership = publication::membership(source, &self.publication, relation).await?;
        let name = (schema.to_owned(), table.to_owned());
        let before = self.noted.get(&name).copied();
        if let Some(history) = before.filter(|before| before.membership == membership.entry) {
            return Ok((Some(history), false));
        }
        let log = self.log.connection().await?;
        let noted = history::of_table(&log, schema, table).await?;
        let history = History::of(noted, membership, next_sequence_id);
        if let Some(history) = history {
            history::note(&log, schema, table, history).await?;
            self.noted.insert(name, history);
        }
        Ok((history, true))
    }
}
