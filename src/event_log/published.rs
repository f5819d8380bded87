//! The publication as it was when rowhook last looked, kept beside the log: whoever changed it
//! meanwhile may have kept changes out of the stream.

use std::collections::BTreeMap;

use crate::fault::Result;
use crate::wal::{Connection, server_error::sql_fault};

/// The publication and its captured tables, as they were noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The publication's object id.
    pub oid: u32,
    /// Another one whenever its name, options or owner change.
    pub version: String,
    /// Its owner's object id.
    pub owner: u32,
    /// By relation.
    pub members: BTreeMap<u32, Member>,
}

/// A table in the publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its entry in the publication: another one whenever it is put in.
    pub membership: u32,
    /// `schema.table`.
    pub table: String,
}

impl Published {
    /// What was noted; `None` where nothing was yet.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn read(log: &Connection) -> Result<Option<Self>> {
        let fault = |error| sql_fault("cannot read what was noted of the publication", error);
        let sql = "select oid, version, owner from rowhook.publication";
        let Some(row) = log.query_typed_opt(sql, &[]).await.map_err(fault)? else {
            return Ok(None);
        };
        let sql = "select relation, membership, table_name from rowhook.published";
        let mut members = BTreeMap::new();
        for row in log.query_typed(sql, &[]).await.map_err(fault)? {
            let member = Member {
                membership: row.try_get(1).map_err(fault)?,
                table: row.try_get(2).map_err(fault)?,
            };
            members.insert(row.try_get(0).map_err(fault)?, member);
        }
        Ok(Some(Self {
            oid: row.try_get(0).map_err(fault)?,
            version: row.try_get(1).map_err(fault)?,
            owner: row.try_get(2).map_err(fault)?,
            members,
        }))
    }

    /// Takes the place of what was noted before.
    ///
    /// # Errors
    /// By the server's SQLSTATE.
    pub async fn note(&self, log: &Connection) -> Result<()> {
        let relations: Vec<u32> = self.members.keys().copied().collect();
        let (memberships, tables): (Vec<u32>, Vec<&str>) = self
            .members
            .values()
            .map(|member| (member.membership, member.table.as_str()))
            .unzip();
        log.execute(
            include_str!("../../sql/note_publication.sql"),
            &[
                &self.oid,
                &self.version,
                &self.owner,
                &relations,
                &memberships,
                &tables,
            ],
        )
        .await
        .map_err(|error| sql_fault("cannot note what the publication holds", error))?;
        Ok(())
    }
}
