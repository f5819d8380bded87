//! What the source's catalogs and the settings say → the catalog. Pure.

use std::collections::BTreeSet;

use super::forms::Forms;
use super::{Catalog, Column, Form, Occasion, OldRows, Resource};
use crate::event::{
    Action, Capture, Redaction, ResourceRule, TableName, reference_name, resource_name,
};
use crate::wal::description::{DescribedColumn, DescribedType};
use crate::wal::publication::Table;

/// A captured table and what is known of its columns.
pub(super) struct Found {
    pub(super) table: Table,
    pub(super) columns: Vec<DescribedColumn>,
    /// Whether the stream carries whole old rows.
    pub(super) whole: bool,
    /// The columns of its foreign keys.
    pub(super) references: Vec<Vec<String>>,
}

/// Puts the catalog together.
pub(super) fn assemble(found: Vec<Found>, types: Vec<DescribedType>, capture: &Capture) -> Catalog {
    let mut forms = Forms::new(types);
    let mut resources: Vec<Resource> = found
        .into_iter()
        .map(|found| {
            let rule = capture.rule(&found.table.schema, &found.table.name);
            resource(found, rule, &mut forms)
        })
        .collect();
    resources.sort_by(|one, other| one.name.cmp(&other.name));
    Catalog {
        resources,
        types: forms.met,
        notes: true,
    }
}

fn resource(found: Found, rule: Option<&ResourceRule>, forms: &mut Forms) -> Resource {
    let Found {
        table,
        columns,
        whole,
        references,
    } = found;
    let name = resource_name(&table.schema, &table.name, rule);
    let key = key(&table, rule);
    let identity = identity(&table, &columns, whole);
    let comment = columns
        .first()
        .and_then(|column| column.table_comment.clone());
    let kept = |column: &DescribedColumn| rule.is_none_or(|it| !it.exclude.contains(&column.name));
    let columns: Vec<Column> = columns
        .into_iter()
        .filter(kept)
        .map(|column| {
            let in_identity = identity.contains(&column.name);
            described(column, rule, in_identity, forms)
        })
        .collect();
    let shown = |name: &String| {
        let mut columns = columns.iter();
        columns.any(|it| it.name == *name && !matches!(it.form, Form::Redacted(_)))
    };
    let deleted_at = rule.and_then(|rule| rule.deleted_at.as_ref());
    let has = |name: &&String| columns.iter().any(|column| column.name == **name);
    let softly_deleted = deleted_at.filter(has).is_some();
    let fields = rule.map_or_else(Vec::new, |rule| rule.fields.iter().filter(has).collect());
    Resource {
        events: occasions(&name, softly_deleted, &fields),
        softly_deleted,
        tenant: rule.and_then(|it| it.tenant.clone()).filter(shown),
        related: related(references, rule, shown),
        always_identified: key.iter().all(|column| identity.contains(column)),
        old_rows: if whole {
            OldRows::Whole
        } else {
            OldRows::Partial
        },
        table: TableName {
            schema: table.schema,
            name: table.name,
        },
        name,
        comment,
        key,
        columns,
    }
}

fn described(
    column: DescribedColumn,
    rule: Option<&ResourceRule>,
    in_identity: bool,
    forms: &mut Forms,
) -> Column {
    let redaction = rule.and_then(|rule| {
        let redacted = rule.redact.iter().find(|(name, _)| *name == column.name);
        redacted.map(|(_, redaction)| *redaction)
    });
    Column {
        form: match redaction {
            Some(redaction) => Form::Redacted(redaction),
            None => forms.form(column.declared),
        },
        nullable: !column.not_null,
        always_carried: !column.toasts,
        in_identity,
        name: column.name,
        comment: column.comment,
        sql: match redaction {
            Some(Redaction::Hash) => "redacted: hash".to_owned(),
            Some(Redaction::Mask) => "redacted: mask".to_owned(),
            None => column.sql,
        },
    }
}

/// What foreign keys are called whose columns anyone may see.
fn related(
    references: Vec<Vec<String>>,
    rule: Option<&ResourceRule>,
    shown: impl Fn(&String) -> bool,
) -> Vec<String> {
    let mut names: Vec<String> = references
        .iter()
        .filter(|columns| rule.is_none_or(|rule| rule.related) && columns.iter().all(&shown))
        .map(|columns| reference_name(columns))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn key(table: &Table, rule: Option<&ResourceRule>) -> Vec<String> {
    match rule.and_then(|rule| rule.key.clone()) {
        Some(key) => key,
        None if table.primary_key.is_empty() => table.identity_key.clone(),
        None => table.primary_key.clone(),
    }
}

/// The columns of which the stream always carries the old value.
fn identity(table: &Table, columns: &[DescribedColumn], whole: bool) -> BTreeSet<String> {
    let names = match table.identity {
        _ if whole => columns.iter().map(|column| column.name.clone()).collect(),
        'i' => table.identity_key.clone(),
        _ => table.primary_key.clone(),
    };
    names.into_iter().collect()
}

/// What may happen to a table and its rows.
fn occasions(resource: &str, softly_deleted: bool, fields: &[&String]) -> Vec<Occasion> {
    let restored = softly_deleted.then_some(Action::Restored);
    let of_rows = [
        Action::Created,
        Action::Updated,
        Action::Deleted,
        Action::Snapshot,
        Action::Truncated,
    ];
    let of_rows = of_rows.into_iter().chain(restored).map(|action| Occasion {
        event_type: format!("{resource}.{}", action.as_str()),
        action,
        field: None,
    });
    let of_fields = fields.iter().map(|field| Occasion {
        event_type: format!("{resource}.{field}.{}", Action::Changed.as_str()),
        action: Action::Changed,
        field: Some((*field).clone()),
    });
    of_rows.chain(of_fields).collect()
}
