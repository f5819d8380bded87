//! Attributes of composite types may change while tables use the type, and the stream says nothing of
//! it: what the catalogs said of them is asked for again when it may have become old.

use std::collections::HashMap;

use crate::decode::Relation;
use crate::event::{TypeCatalog, postgres_micros};
use crate::fault::Result;
use crate::wal::{Connection, catalog};

/// Relations with columns of composite types.
#[derive(Default)]
pub(super) struct Attributes {
    relations: HashMap<u32, Followed>,
}

struct Followed {
    relation: Relation,
    types: Vec<u32>,
    /// The catalogs were read after this, in microseconds since 2000; `None` before the first look.
    read_at: Option<i64>,
}

impl Attributes {
    /// Notes a relation that the stream just described.
    pub(super) fn note(&mut self, relation: &Relation, catalog: &TypeCatalog) {
        let types = relation.columns.iter().map(|column| column.type_oid);
        let types: Vec<u32> = types.filter(|oid| catalog.has_attributes(*oid)).collect();
        if types.is_empty() {
            self.relations.remove(&relation.oid);
            return;
        }
        let followed = Followed {
            relation: relation.clone(),
            types,
            read_at: None,
        };
        self.relations.insert(relation.oid, followed);
    }

    /// The relation, if a transaction that was committed at this time may have used newer types
    /// than those that are known. Under a backlog one look does for all that waits.
    pub(super) fn outdated(&self, relation: u32, commit_time: i64) -> Option<&Relation> {
        let followed = self.relations.get(&relation)?;
        let current = followed
            .read_at
            .is_some_and(|read_at| commit_time < read_at);
        (!current).then_some(&followed.relation)
    }

    /// Asks the catalogs again.
    pub(super) async fn refresh(
        &mut self,
        relation: u32,
        connection: &Connection,
        catalog: &mut TypeCatalog,
    ) -> Result<()> {
        if let Some(followed) = self.relations.get_mut(&relation) {
            let read_at = catalog::clock(connection).await?;
            catalog.learn(catalog::types(connection, &followed.types).await?);
            followed.read_at = Some(postgres_micros(read_at));
        }
        Ok(())
    }
}
