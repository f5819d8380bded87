//! How the rows of a relation become events: what the stream says of it, and what only the catalogs
//! and the log know.

use std::sync::Arc;

use super::{CATALOGS, Intake, Known, in_time};
use crate::decode::Relation;
use crate::event::{KnownKeys, RowsOf, Shape, key_of, unix_micros};
use crate::event_log::history::History;
use crate::event_log::keys;
use crate::fault::Result;
use crate::wal::catalog;

impl Intake {
    pub(super) async fn relation(&mut self, relation: &Relation) -> Result<()> {
        if let Some(window) = self
            .window
            .as_mut()
            .filter(|it| it.relation == relation.oid)
        {
            window.shape(relation);
        }
        let known = if self.capture.includes(&relation.schema, &relation.name) {
            let known = self.known(relation).await?;
            self.attributes.note(relation, &self.types);
            Some(known)
        } else {
            None
        };
        self.shapes.insert(relation.oid, known);
        self.relations.insert(relation.oid, relation.clone());
        Ok(())
    }

    /// Works out how the rows of a relation become events.
    pub(super) async fn known(&mut self, relation: &Relation) -> Result<Known> {
        let unknown: Vec<u32> = relation
            .columns
            .iter()
            .map(|column| column.type_oid)
            .filter(|oid| !self.types.knows(*oid))
            .collect();
        if !unknown.is_empty() {
            self.types
                .learn(in_time(CATALOGS, catalog::types(&self.catalogs, &unknown)).await?);
        }
        let shape = self.shape(relation).await?;
        let history = if shape.recalls {
            self.history(relation, &shape).await?
        } else {
            None
        };
        Ok(Known {
            shape: Arc::new(shape),
            history,
        })
    }

    /// From where on the log has all changes of a relation. Where that has just begun, nothing that
    /// is remembered of its rows holds any more.
    pub(super) async fn history(
        &mut self,
        relation: &Relation,
        shape: &Shape,
    ) -> Result<Option<History>> {
        let look_up = self.histories.look_up(
            &self.catalogs,
            &self.capture,
            relation,
            self.batch.next_sequence_id(),
        );
        let (history, is_new) = in_time(CATALOGS, look_up).await?;
        if is_new {
            self.recall.forget(&shape.resource);
        }
        Ok(history)
    }

    pub(super) async fn follow_types(&mut self, relation: u32) -> Result<()> {
        let (attributes, running) = (&mut self.attributes, self.running.as_ref());
        let commit_time = running.map(|running| running.transaction.commit_time);
        let outdated = commit_time.and_then(|time| attributes.outdated(relation, time));
        let Some(outdated) = outdated.cloned() else {
            return Ok(());
        };
        in_time(
            CATALOGS,
            attributes.refresh(relation, &self.catalogs, &mut self.types),
        )
        .await?;
        let known = self.known(&outdated).await?;
        self.shapes.insert(relation, Some(known));
        Ok(())
    }

    /// Works out how rows of a relation are read, by the key of their time.
    pub(super) async fn shape(&mut self, relation: &Relation) -> Result<Shape> {
        let found = in_time(
            CATALOGS,
            catalog::row_identity(&self.catalogs, relation.oid),
        )
        .await?;
        let is_gone = found.is_none();
        let identity = found.unwrap_or_default();
        let noting = async {
            let log = self.histories.log().connection().await?;
            keys::note(&log, relation.oid, &identity.primary_key).await
        };
        let known = KnownKeys {
            noted: in_time("the log", noting).await?,
            today: identity.primary_key,
            made_by: identity.made_by,
        };
        let rows = self.rows();
        let rule = self.capture.rule(&relation.schema, &relation.name);
        let key = key_of(relation, rule, &known, rows);
        let shape = Shape::new(relation, rule, &key, &self.types);
        let shape = if rule.is_none_or(|rule| rule.related) {
            let foreign = catalog::foreign_keys(&self.catalogs, relation.oid);
            shape.referring(&in_time(CATALOGS, foreign).await?)
        } else {
            shape
        };
        Ok(match (identity.partitioned, is_gone) {
            (true, _) => shape
                .in_partitions(&identity.part_columns)
                .losing_defaults(&identity.lost_defaults),
            // Nothing says whether it had partitions.
            (false, true) => shape.in_partitions(&key),
            (false, false) => shape,
        })
    }

    /// The transaction that is being streamed. A relation is never sent outside of one.
    pub(super) fn rows(&self) -> RowsOf {
        let transaction = self.running.as_ref().map(|running| &running.transaction);
        RowsOf {
            xid: transaction.map_or(0, |transaction| transaction.xid),
            committed_at: transaction.map_or(0, |it| unix_micros(it.commit_time)),
        }
    }
}
