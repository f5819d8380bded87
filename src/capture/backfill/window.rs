//! What changes between the two watermarks of a chunk. Pure.
//!
//! The chunk is read somewhere between them, so a row that changes there may have been read before
//! the change: its event in the stream says more than the chunk, and the chunk's row is left out.

use std::collections::HashSet;

use crate::decode::{Before, Change, Field, Relation, RowChange, Tuple};

/// Rows that are remembered; where more change, the chunk is read again.
const MOST_CHANGED: usize = 100_000;

/// Rows that changed since the low watermark.
#[derive(Debug)]
pub(in crate::capture) struct Window {
    pub(in crate::capture) chunk: String,
    pub(in crate::capture) relation: u32,
    /// Names of the primary key's columns.
    key: Vec<String>,
    /// Their places in the rows of the stream, and whether old rows carry all of them.
    places: Option<(Vec<usize>, bool)>,
    changed: HashSet<Vec<u8>>,
    /// Whether something changed that cannot be told row by row.
    spoiled: bool,
}

impl Window {
    pub(in crate::capture) fn new(chunk: String, relation: u32, key: Vec<String>) -> Self {
        Self {
            chunk,
            relation,
            key,
            places: None,
            changed: HashSet::new(),
            spoiled: false,
        }
    }

    /// Notes the shape of the relation's rows from here on.
    pub(in crate::capture) fn shape(&mut self, relation: &Relation) {
        let columns = &relation.columns;
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let places: Option<Vec<usize>> = self.key.iter().map(place).collect();
        self.places = places.map(|places| {
            let is_carried = |at: &usize| columns.get(*at).is_some_and(|c| c.in_identity);
            let carried = places.iter().all(is_carried);
            (places, carried)
        });
    }

    /// Notes a change of the relation; none is a TRUNCATE.
    pub(in crate::capture) fn note(&mut self, change: Option<&Change<'_>>) {
        if self.spoiled {
            return;
        }
        match change.and_then(|change| self.rows(change)) {
            Some(rows) if self.changed.len() < MOST_CHANGED => self.changed.extend(rows),
            _ => {
                self.spoiled = true;
                self.changed = HashSet::new();
            }
        }
    }

    /// Whether a row of the chunk may be older than what the stream has said of it.
    pub(in crate::capture) fn has_changed(&self, key: &[u8]) -> bool {
        self.changed.contains(key)
    }

    /// Whether the chunk has to be read again.
    pub(in crate::capture) fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// The keys before and after a change; `None` where they cannot be told.
    fn rows(&self, change: &Change<'_>) -> Option<Vec<Vec<u8>>> {
        let (places, carried) = self.places.as_ref()?;
        let key = |row: Tuple<'_>| key_of(&row, places);
        match change.row {
            RowChange::Insert(after) => Some(vec![key(after)?]),
            _ if !carried => None,
            RowChange::Update {
                before: Before::Absent,
                after,
            } => Some(vec![key(after)?]),
            RowChange::Update {
                before: Before::Key(before) | Before::Full(before),
                after,
            } => Some(vec![key(before)?, key(after)?]),
            RowChange::Delete(Before::Key(before) | Before::Full(before)) => {
                Some(vec![key(before)?])
            }
            RowChange::Delete(Before::Absent) => None,
        }
    }
}

/// The values of a key as bytes: different keys never give the same ones.
pub(in crate::capture) fn key_of(row: &Tuple<'_>, places: &[usize]) -> Option<Vec<u8>> {
    let fields: Vec<Field<'_>> = row.fields().collect();
    let mut key = Vec::new();
    for place in places {
        let Some(Field::Text(text)) = fields.get(*place) else {
            return None;
        };
        key.extend_from_slice(&text.len().to_be_bytes());
        key.extend_from_slice(text);
    }
    Some(key)
}
