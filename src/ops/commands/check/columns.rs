//! What the webhooks say of columns, against the tables: a column that no table has would filter
//! every event, or fail on it.

use std::collections::BTreeSet;

use super::Report;
use crate::dispatch::Subscription;
use crate::event::expression::{Columns, Names};
use crate::event::{Action, Expression, resource_name};
use crate::ops::settings::{Settings, near_miss};
use crate::wal::publication::Table;

/// What happens to rows, and to whole tables.
const ACTIONS: [Action; 5] = [
    Action::Created,
    Action::Updated,
    Action::Deleted,
    Action::Snapshot,
    Action::Truncated,
];

/// A captured table as webhooks see it.
struct Seen<'a> {
    label: String,
    resource: String,
    columns: Vec<&'a str>,
    /// Types of events that are updates, beside `updated`.
    updates: Vec<String>,
}

pub(super) fn look(captured: &[Table], settings: &Settings, report: &mut Report) {
    let seen: Vec<_> = captured.iter().map(|table| see(table, settings)).collect();
    for webhook in &settings.webhooks {
        changed(webhook, &seen, report);
        fields(webhook, &seen, report);
        let when = webhook.conditions.when.as_ref();
        if let Some(when) = when {
            expression("when", when, webhook, &seen, report);
            sides("when", when, webhook, &seen, report);
        }
        if let Some(body) = &webhook.endpoint.payload.body {
            expression("body", body, webhook, &seen, report);
            // A condition may keep the events away that it would fail on.
            if when.is_none() {
                sides("body", body, webhook, &seen, report);
            }
        }
    }
}

fn see<'a>(table: &'a Table, settings: &Settings) -> Seen<'a> {
    let rule = settings.capture.rule(&table.schema, &table.name);
    let kept = |column: &&String| rule.is_none_or(|rule| !rule.exclude.contains(column));
    let resource = resource_name(&table.schema, &table.name, rule);
    let fields = rule.into_iter().flat_map(|rule| &rule.fields);
    let restored = rule.and_then(|rule| rule.deleted_at.as_ref());
    Seen {
        label: table.label(),
        updates: fields
            .map(|field| format!("{resource}.{field}.{}", Action::Changed.as_str()))
            .chain(restored.map(|_| format!("{resource}.{}", Action::Restored.as_str())))
            .collect(),
        resource,
        columns: table
            .columns
            .iter()
            .filter(kept)
            .map(String::as_str)
            .collect(),
    }
}

/// The tables of which a webhook takes events with one of these actions.
fn taken<'a>(
    webhook: &Subscription,
    seen: &'a [Seen<'a>],
    actions: &[Action],
) -> Vec<&'a Seen<'a>> {
    let takes = |table: &Seen<'_>, action: &Action| {
        let event_type = format!("{}.{}", table.resource, action.as_str());
        webhook.events.matches(&event_type)
            || *action == Action::Updated
                && table.updates.iter().any(|it| webhook.events.matches(it))
    };
    let any = |table: &&Seen<'_>| actions.iter().any(|action| takes(table, action));
    seen.iter().filter(any).collect()
}

fn about(webhook: &Subscription, key: &str) -> String {
    format!("webhook \"{}\", {key}", webhook.name)
}

/// Tells of names that none of the tables has as a column; whether there are any.
fn unknown<'a>(
    about: &str,
    names: impl IntoIterator<Item = &'a str>,
    tables: &[&Seen<'_>],
    report: &mut Report,
) -> bool {
    let columns: BTreeSet<&str> = tables
        .iter()
        .flat_map(|table| table.columns.iter().copied())
        .collect();
    let mut any = false;
    for name in names.into_iter().filter(|name| !columns.contains(name)) {
        any = true;
        let fix = match near_miss(name, columns.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "correct the name, or see that the column is not in `exclude`".to_owned(),
        };
        let says = format!("no captured table that it takes events of has a column `{name}`");
        report.bad(about, says, fix);
    }
    any
}

fn changed(webhook: &Subscription, seen: &[Seen<'_>], report: &mut Report) {
    let Some(columns) = &webhook.conditions.changed else {
        return;
    };
    let (about, tables) = (
        about(webhook, "changed"),
        taken(webhook, seen, &[Action::Updated]),
    );
    if tables.is_empty() {
        let fix = "leave out `changed`, or take updates into `events`";
        return report.remark(
            about,
            "it takes no updates, and others are not affected",
            fix,
        );
    }
    if unknown(&about, columns.iter().map(String::as_str), &tables, report) {
        return;
    }
    let has_any = |table: &Seen<'_>| columns.iter().any(|name| table.columns.contains(&&**name));
    for table in tables.iter().filter(|table| !has_any(table)) {
        report.remark(
            &about,
            format!(
                "table {} has none of these columns: none of its updates is sent",
                table.label
            ),
            "name one of its columns as well, or leave it out of `events`",
        );
    }
}

fn fields(webhook: &Subscription, seen: &[Seen<'_>], report: &mut Report) {
    if let Some(fields) = &webhook.endpoint.payload.fields {
        let tables = taken(webhook, seen, &ACTIONS);
        if !tables.is_empty() {
            unknown(&about(webhook, "fields"), fields.names(), &tables, report);
        }
    }
}

fn expression(
    key: &str,
    expression: &Expression,
    webhook: &Subscription,
    seen: &[Seen<'_>],
    report: &mut Report,
) {
    let (about, tables) = (about(webhook, key), taken(webhook, seen, &ACTIONS));
    let names = expression.names();
    let named = names.new.named.union(&names.old.named);
    if tables.is_empty()
        || unknown(&about, named.clone().map(String::as_str), &tables, report)
        || !names.event.is_empty()
    {
        // An expression that looks at the event's type may know what it does.
        return;
    }
    let asked = |name: &str| names.new.guarded.contains(name) || names.old.guarded.contains(name);
    for name in named.filter(|name| !asked(name)) {
        for table in &tables {
            if !table.columns.contains(&&**name) {
                report.remark(
                    &about,
                    format!(
                        "table {} has no column `{name}`: its events would fail and be parked",
                        table.label
                    ),
                    format!("has(new.{name}) && …, or leave the table out of `events`"),
                );
            }
        }
    }
}

/// Tells where an expression reads a row that some of the events do not have.
fn sides(
    key: &str,
    expression: &Expression,
    webhook: &Subscription,
    seen: &[Seen<'_>],
    report: &mut Report,
) {
    for (side, lacking) in [
        ("old", [Action::Created, Action::Snapshot]),
        ("new", [Action::Deleted, Action::Truncated]),
    ] {
        let names = expression.names();
        let Some(column) = read_blindly(side, names) else {
            continue;
        };
        let lacking: Vec<_> = lacking
            .into_iter()
            .filter(|action| !taken(webhook, seen, &[*action]).is_empty())
            .map(Action::as_str)
            .collect();
        if !lacking.is_empty() {
            report.remark(
                about(webhook, key),
                format!(
                    "it reads `{side}.{column}`, and `{side}` is null for what was {}: such an event \
                     would fail and be parked",
                    lacking.join(" or ")
                ),
                format!("write `{side} != null && …` or `{side} == null || …`, or narrow `events`"),
            );
        }
    }
}

/// A column that is read of a side without a look at whether that side is there.
fn read_blindly<'a>(side: &str, names: &'a Names) -> Option<&'a String> {
    let columns: &Columns = if side == "old" {
        &names.old
    } else {
        &names.new
    };
    if columns.whole || !names.event.is_empty() {
        return None;
    }
    columns.named.first()
}
