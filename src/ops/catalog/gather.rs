//! The catalog of a live database: nothing is asked for but its system catalogs.

use std::collections::{BTreeSet, HashMap};

use super::Catalog;
use super::assemble::{Found, assemble};
use crate::capture::survey::{Refusal, survey, wants_full};
use crate::fault::Result;
use crate::ops::settings::Settings;
use crate::wal::Connection;
use crate::wal::catalog::foreign_keys;
use crate::wal::description::{self, DescribedColumn};
use crate::wal::publication::{self, Table};

/// A catalog, and the tables that are not in it although the settings name them.
#[derive(Debug)]
pub struct Gathered {
    /// The catalog.
    pub catalog: Catalog,
    /// What was left out.
    pub left_out: Vec<Refusal>,
}

/// Works out the catalog of the source as it is now, and as the settings want it captured.
///
/// # Errors
/// If the source cannot be asked, or two tables would be one resource.
pub async fn gather(settings: &Settings) -> Result<Gathered> {
    let source = Connection::open(&settings.source.target, "rowhook catalog").await?;
    let name = &settings.source.publication;
    let tables = publication::tables(&source, name).await?;
    let survey = survey(tables, &settings.source, &settings.capture)?;
    let relations: Vec<u32> = survey.captured.iter().map(|table| table.oid).collect();
    let columns = description::columns(&source, &relations, name).await?;
    let types: BTreeSet<u32> = columns.iter().map(|column| column.declared.oid).collect();
    let types: Vec<u32> = types.into_iter().collect();
    let types = description::types(&source, &types).await?;

    let mut columns = by_relation(columns);
    let mut found = Vec::with_capacity(survey.captured.len());
    for table in survey.captured {
        found.push(Found {
            whole: carries_whole_rows(&source, &table, settings).await?,
            columns: columns.remove(&table.oid).unwrap_or_default(),
            references: foreign_keys(&source, table.oid).await?,
            table,
        });
    }
    Ok(Gathered {
        catalog: assemble(found, types, &settings.capture),
        left_out: survey.refused.into_iter().filter(|it| it.named).collect(),
    })
}

fn by_relation(columns: Vec<DescribedColumn>) -> HashMap<u32, Vec<DescribedColumn>> {
    let mut tables: HashMap<u32, Vec<DescribedColumn>> = HashMap::new();
    for column in columns {
        tables.entry(column.relation).or_default().push(column);
    }
    tables
}

/// Whether the stream carries whole old rows of a table. One that is not published yet has its replica
/// identity set when it is.
async fn carries_whole_rows(
    source: &Connection,
    table: &Table,
    settings: &Settings,
) -> Result<bool> {
    let will_be = !table.published && wants_full(table, &settings.source, &settings.capture);
    if table.identity != 'f' && !will_be {
        return Ok(false);
    }
    if table.kind != 'p' || will_be {
        return Ok(true);
    }
    let lacking = publication::lacking_partitions(source, &[table.oid]).await?;
    Ok(lacking.is_empty())
}
