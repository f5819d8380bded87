//! What the keys of a `[[resource]]` ask of each other.

use super::Reader;
use crate::ops::settings::file::Resource;

impl Reader<'_> {
    /// The columns that keys name beside `key`, `exclude` and `redact`.
    pub(super) fn columns_of(&mut self, index: usize, written: &Resource) {
        // A deletion whose column nobody may see would be seen by the event's type, and the log could
        // not tell the row's state; the same holds for a field.
        if let Some(column) = &written.deleted_at {
            self.kept(index, "deleted_at", column, written);
        }
        for (place, column) in written.fields.iter().enumerate() {
            let key = format!("fields[{place}]");
            self.kept(index, &key, column, written);
            if written.fields.iter().take(place).any(|it| it == column) {
                self.refuse(
                    index,
                    &key,
                    format!("column {column:?} stands there already"),
                );
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
