//! What the keys of a `[[resource]]` ask of each other.

use super::Reader;
use crate::ops::settings::file::Resource;

impl Reader<'_> {
    /// A deletion whose column nobody may see would be seen by the event's type; and the log could not
    /// tell the row's state.
    pub(super) fn deleted_at(&mut self, index: usize, written: &Resource) {
        if let Some(column) = &written.deleted_at {
            self.kept(index, "deleted_at", column, written);
        }
    }

    /// Refuses an excluded column.
    fn kept(&mut self, index: usize, key: &str, column: &String, written: &Resource) {
        if written.exclude.contains(column) {
            let what = format!("column {column:?} is in `exclude`: it is not part of any event");
            self.problems
                .refuse(&format!("resource[{index}].{key}"), what);
        }
    }
}
