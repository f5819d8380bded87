//! Which tables' old rows may be taken from the log, and from where on.

use crate::decode::Relation;
use crate::event::{Capture, resource_name};
use crate::event_log::history::{self, Histories, History, Noted};
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
        let settings = reading(capture, &table.schema, &table.name);
        let found = publication::fingerprint(source, publication, table.oid, &settings).await?;
        let name = (table.schema, table.name);
        let before = noted.get(&name);
        let now = found.map(|found| Noted::of(before, found, checkpoint.next_sequence_id));
        if let Some(now) = now.filter(|now| before != Some(now)) {
            history::note(log, &name.0, &name.1, &now).await?;
            noted.insert(name, now);
        }
    }
    Ok(noted)
}

/// How the settings have a table named and read.
fn reading(capture: &Capture, schema: &str, table: &str) -> String {
    let rule = capture.rule(schema, table);
    format!(
        "{} {:?} {:?} {:?}",
        resource_name(schema, table, rule),
        rule.map(|rule| &rule.key),
        rule.map(|rule| &rule.exclude),
        rule.map(|rule| &rule.redact)
    )
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
    /// one than before. The stream brings the shape again whenever the table or the publication's
    /// entry has changed.
    pub(super) async fn look_up(
        &mut self,
        source: &Connection,
        capture: &Capture,
        relation: &Relation,
        next_sequence_id: i64,
    ) -> Result<(Option<History>, bool)> {
        let (schema, table) = (relation.schema.as_str(), relation.name.as_str());
        let settings = reading(capture, schema, table);
        let found =
            publication::fingerprint(source, &self.publication, relation.oid, &settings).await?;
        let Some(found) = found else {
            return Ok((None, true));
        };
        let name = (schema.to_owned(), table.to_owned());
        let before = self.noted.get(&name);
        let now = Noted::of(before, found.clone(), next_sequence_id);
        if before == Some(&now) {
            return Ok((Some(now.history), false));
        }
        let was = before.map(|before| before.history);
        let log = self.log.connection().await?;
        let noted = history::of_table(&log, schema, table).await?;
        let now = Noted::of(noted.as_ref(), found, next_sequence_id);
        history::note(&log, schema, table, &now).await?;
        let history = now.history;
        self.noted.insert(name, now);
        Ok((Some(history), was != Some(history)))
    }
}
