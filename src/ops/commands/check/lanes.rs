//! `order_by` of the webhooks: do the tables have the column, and does the stream carry it?

use super::Report;
use crate::ops::settings::{Settings, near_miss};
use crate::wal::ReplicaIdentity;
use crate::wal::publication::Table;

pub(super) fn look(captured: &[Table], settings: &Settings, report: &mut Report) {
    for webhook in &settings.webhooks {
        if let Some(order_by) = &webhook.order_by {
            let about = format!("webhook \"{}\"", webhook.name);
            match order_by.column() {
                Some(column) => order_by_column(&about, column, captured, settings, report),
                None => order_by_tenant(&about, captured, settings, report),
            }
        }
    }
}

fn order_by_tenant(about: &str, captured: &[Table], settings: &Settings, report: &mut Report) {
    let has_tenant = |table: &&Table| {
        let rule = settings.capture.rule(&table.schema, &table.name);
        rule.is_some_and(|rule| rule.tenant.is_some())
    };
    match captured.iter().filter(has_tenant).count() {
        0 => report.bad(
            about,
            "order_by: no captured table has a tenant",
            "set `tenant` in the [[resource]] of each table that has one, or take order_by out",
        ),
        with => report.good(
            about,
            format!(
                "order_by: captured tables with a tenant: {with} of {}; events of the others are in order by row",
                captured.len()
            ),
        ),
    }
}

fn order_by_column(
    about: &str,
    column: &str,
    captured: &[Table],
    settings: &Settings,
    report: &mut Report,
) {
    let with: Vec<&Table> = captured
        .iter()
        .filter(|table| has(table, column, settings))
        .collect();
    if with.is_empty() {
        let columns = captured.iter().flat_map(|table| &table.columns);
        let fix = match near_miss(column, columns.map(String::as_str)) {
            Some(hint) => format!("did you mean order_by = \"{hint}\"?"),
            None => "name a column that captured tables have, or take order_by out".to_owned(),
        };
        let says = format!("order_by: no captured table has a column \"{column}\"");
        return report.bad(about, says, fix);
    }
    report.good(
        about,
        format!(
            "order_by: captured tables with \"{column}\": {} of {}; events of the others are in order by row",
            with.len(),
            captured.len()
        ),
    );
    let silent = with
        .into_iter()
        .filter(|table| !is_carried(table, column, settings));
    for table in silent {
        report.remark(
            about,
            format!(
                "order_by: deletes from {}.{} do not carry \"{column}\", so they do not wait for the others of its value",
                table.schema, table.name
            ),
            format!(
                "alter table \"{}\".\"{}\" replica identity full",
                table.schema, table.name
            ),
        );
    }
}

/// Whether the events of a table have the column.
fn has(table: &Table, column: &str, settings: &Settings) -> bool {
    let rule = settings.capture.rule(&table.schema, &table.name);
    let excluded = rule.is_some_and(|rule| rule.exclude.iter().any(|name| name == column));
    !excluded && table.columns.iter().any(|name| name == column)
}

/// Whether a delete carries the column, or will once setup has made the old rows known.
fn is_carried(table: &Table, column: &str, settings: &Settings) -> bool {
    if settings.source.replica_identity == ReplicaIdentity::Full
        || settings.capture.recalls(&table.schema, &table.name)
    {
        return true;
    }
    let carried = match table.identity {
        'f' => return true,
        'i' => &table.identity_key,
        _ => &table.primary_key,
    };
    carried.iter().any(|name| name == column)
}
