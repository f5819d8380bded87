//! What `[[resource]]` says of columns, against the tables.

use super::Report;
use crate::event::{PreviousFrom, ResourceRule};
use crate::fault::Result;
use crate::ops::settings::{Settings, near_miss};
use crate::wal::catalog::{self, Column};
use crate::wal::publication::{self, Table};
use crate::wal::{Connection, ReplicaIdentity};

/// A table, its rule and its columns.
struct Ruled<'a> {
    table: &'a Table,
    rule: &'a ResourceRule,
    columns: Vec<Column>,
    about: String,
}

pub(super) async fn look(
    connection: &Connection,
    captured: &[Table],
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    for table in captured {
        let Some(rule) = settings.capture.rule(&table.schema, &table.name) else {
            continue;
        };
        let ruled = Ruled {
            table,
            rule,
            columns: catalog::columns(connection, table.oid).await?,
            about: format!("[[resource]] for {}", rule.table),
        };
        ruled.deleted_at(report);
        for name in &rule.fields {
            ruled.column("fields", name, report);
        }
        if let Some(name) = &rule.tenant {
            ruled.column("tenant", name, report);
        }
        ruled.documents(report);
        ruled.old_values(settings, report);
    }
    Ok(())
}

impl Ruled<'_> {
    /// A column that a key names; told where the table has none of this name.
    fn column(&self, key: &str, name: &str, report: &mut Report) -> Option<&Column> {
        let found = self.columns.iter().find(|column| column.name == name);
        if found.is_none() {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            let fix = match near_miss(name, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("one of: {}", names().collect::<Vec<_>>().join(", ")),
            };
            let says = format!("{key}: table {} has no column `{name}`", self.rule.table);
            report.bad(&self.about, says, fix);
        }
        found
    }

    fn deleted_at(&self, report: &mut Report) {
        let Some(name) = &self.rule.deleted_at else {
            return;
        };
        if let Some(column) = self.column("deleted_at", name, report)
            && !column.nullable
        {
            report.bad(
                &self.about,
                format!("deleted_at: column `{name}` is never null, so no row would ever be deleted or restored"),
                "name a column that is null as long as the row counts, such as a timestamp",
            );
        }
    }

    fn documents(&self, report: &mut Report) {
        for name in self.rule.documents.iter().flatten() {
            if let Some(column) = self.column("documents", name, report)
                && !column.is_document
            {
                report.bad(
                    &self.about,
                    format!(
                        "documents: column `{name}` holds no objects, so it has no keys to tell"
                    ),
                    "name columns of type jsonb, json or hstore, or composites",
                );
            }
        }
    }

    /// What is told of changes needs the values before them.
    fn old_values(&self, settings: &Settings, report: &mut Report) {
        let Some(key) = self.needs_old_values() else {
            return;
        };
        let known = self.table.identity == 'f'
            || settings.source.replica_identity == ReplicaIdentity::Full
            || self.rule.previous == PreviousFrom::Log;
        if !known {
            report.remark(
                &self.about,
                format!(
                    "{key} can tell nothing: the table's replica identity does not carry old values"
                ),
                format!(
                    "{}; or take them from the log with previous = \"log\"",
                    publication::identity_full_sql(self.table)
                ),
            );
        }
    }

    fn needs_old_values(&self) -> Option<&'static str> {
        match (&self.rule.deleted_at, self.rule.fields.as_slice()) {
            (Some(_), []) => Some("deleted_at"),
            (Some(_), _) => Some("deleted_at and fields"),
            (None, [_, ..]) => Some("fields"),
            (None, []) => None,
        }
    }
}
