//! What the keys of a `[[resource]]` ask of each other.

use super::Reader;
use crate::dispatch::Subscription;
use crate::event::{Capture, resource_name};
use crate::ops::settings::file::Resource;
use crate::webhook::Documents;

impl Reader<'_> {
    /// The columns that keys name beside `key`, `exclude` and `redact`.
    pub(super) fn columns_of(&mut self, index: usize, written: &Resource) {
        // A deletion whose column nobody may see would be seen by the event's type, and the log could
        // not tell the row's state; the same holds for a field.
        if let Some(column) = &written.deleted_at {
            self.kept(index, "deleted_at", column, written);
        }
        let documents = written.documents.as_deref().unwrap_or_default();
        for (key, columns) in [("fields", &*written.fields), ("documents", documents)] {
            for (place, column) in columns.iter().enumerate() {
                let key = format!("{key}[{place}]");
                self.kept(index, &key, column, written);
                if columns.iter().take(place).any(|it| it == column) {
                    let what = format!("column {column:?} stands there already");
                    self.refuse(index, &key, what);
                }
            }
        }
        for column in documents {
            if written.redact.contains_key(column) {
                let what =
                    format!("column {column:?} is in `redact`: what is told of it has no keys");
                self.refuse(index, "documents", what);
            }
        }
        if let Some(column) = &written.tenant {
            self.kept(index, "tenant", column, written);
            if written.redact.contains_key(column) {
                let what = format!(
                    "column {column:?} is in `redact`: its value would stand in every event's envelope"
                );
                self.refuse(index, "tenant", what);
            }
        }
    }

    /// Refuses an excluded column.
    fn kept(&mut self, index: usize, key: &str, column: &String, written: &Resource) {
        if written.exclude.contains(column) {
            let what = format!("column {column:?} is in `exclude`: it is not part of any event");
            self.refuse(index, key, what);
        }
    }

    fn refuse(&mut self, index: usize, key: &str, what: String) {
        self.problems
            .refuse(&format!("resource[{index}].{key}"), what);
    }
}

/// Webhooks tell the previous values of document columns key by key.
pub(super) fn documented(mut webhooks: Vec<Subscription>, capture: &Capture) -> Vec<Subscription> {
    let documents = capture.resources.iter().filter_map(|rule| {
        let table = &rule.table;
        let columns = rule.documents.as_ref()?.iter().cloned().collect();
        Some((
            resource_name(&table.schema, &table.name, Some(rule)),
            columns,
        ))
    });
    let documents = Documents::of(documents);
    for webhook in &mut webhooks {
        webhook.endpoint.payload.documents = documents.clone();
    }
    webhooks
}
