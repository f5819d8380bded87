//! Foreign keys: what of other tables a row names.

use super::json;
use super::shape::{Shape, Treatment};

/// A foreign key, as events show it.
#[derive(Debug)]
pub(super) struct Reference {
    /// `"authorId":`
    pub(super) label: Vec<u8>,
    /// Its columns, in the order of the key that they name.
    pub(super) places: Vec<usize>,
}

impl Shape {
    /// Rows name others by these foreign keys, given as their columns. One with a column that is
    /// excluded or redacted is left out, and so is a second one of the same name.
    #[must_use]
    pub fn referring(mut self, keys: &[Vec<String>]) -> Self {
        for key in keys {
            let places: Option<Vec<usize>> = key.iter().map(|name| self.shown(name)).collect();
            let label = json::label(&name_of(key));
            let taken = self.references.iter().any(|it| it.label == label);
            if let Some(places) = places.filter(|places| !places.is_empty() && !taken) {
                for place in &places {
                    self.quote(*place);
                }
                self.references.push(Reference { label, places });
            }
        }
        self
    }

    /// The place of a column whose values anyone may see.
    pub(super) fn shown(&self, name: &str) -> Option<usize> {
        let is_it = |column: &super::shape::Column| {
            column.name == name && column.treatment == Treatment::Keep
        };
        self.columns.iter().position(is_it)
    }

    /// Values of this column are needed outside of the record as well.
    pub(super) fn quote(&mut self, place: usize) {
        if let Some(column) = self.columns.get_mut(place) {
            column.is_quoted = true;
        }
    }
}

/// `authorId` of `author_id` and of `author`: the columns as one word, which ends in `Id`.
#[must_use]
pub fn name_of(columns: &[String]) -> String {
    let mut name = String::new();
    for word in columns
        .iter()
        .flat_map(|column| column.split(|char: char| !char.is_alphanumeric()))
    {
        let mut chars = word.chars();
        match chars.next() {
            Some(first) if !name.is_empty() => name.extend(first.to_uppercase()),
            Some(first) => name.push(first),
            None => {}
        }
        name.push_str(chars.as_str());
    }
    if name == "id" || name.ends_with("Id") || name.ends_with("ID") {
        return name;
    }
    name + "Id"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_key_is_named_after_its_columns() {
        for (columns, name) in [
            (&["author_id"][..], "authorId"),
            (&["author"], "authorId"),
            (&["authorId"], "authorId"),
            (&["AuthorID"], "AuthorID"),
            (&["parent_post_id"], "parentPostId"),
            (&["id"], "id"),
            (&["tenant_id", "no"], "tenantIdNoId"),
            (&["käufer"], "käuferId"),
            (&["paid"], "paidId"),
        ] {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            assert_eq!(name_of(&columns), name);
        }
    }
}
