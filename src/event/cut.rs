//! Rows that are larger than one row of the log can be: their longest values are left out.

use std::cmp::Reverse;

use super::{Draft, Fields, Shape};

/// A draft without its longest values.
#[derive(Debug)]
pub struct Cut {
    record: Option<Vec<u8>>,
    previous: Option<Vec<u8>>,
    unknown: Vec<usize>,
    as_text: Vec<usize>,
}

impl Cut {
    /// Leaves values out of a draft, the longest first, until record and previous values have at
    /// most `longest` bytes together; `None` where they have already. A value is left out of both:
    /// what is known of one side only would make a change look like none.
    #[must_use]
    pub fn of(draft: &Draft<'_>, shape: &Shape, longest: usize) -> Option<Self> {
        let mut total = bytes(draft.record) + bytes(draft.previous);
        if total <= longest {
            return None;
        }
        let (record, previous) = (fields(draft.record), fields(draft.previous));
        let mut columns: Vec<(usize, usize)> = (0..)
            .zip(&shape.columns)
            .map(|(index, column)| {
                let length = length(&record, &column.label) + length(&previous, &column.label);
                (index, length)
            })
            .collect();
        columns.sort_by_key(|(_, length)| Reverse(*length));
        let mut unknown = draft.unknown.to_vec();
        for (index, length) in columns.into_iter().filter(|(_, length)| *length > 0) {
            if total <= longest {
                break;
            }
            total = total.saturating_sub(length);
            unknown.push(index);
        }
        unknown.sort_unstable();
        let left_out = |key: &str| {
            let column = unknown.iter().filter_map(|index| shape.columns.get(*index));
            column
                .map(|column| key_of(&column.label))
                .any(|label| label == key.as_bytes())
        };
        Some(Self {
            record: draft.record.map(|_| without(&record, left_out)),
            previous: draft.previous.map(|_| without(&previous, left_out)),
            as_text: draft
                .as_text
                .iter()
                .copied()
                .filter(|index| !unknown.contains(index))
                .collect(),
            unknown,
        })
    }

    /// What is left of the draft.
    #[must_use]
    pub fn draft<'a>(&'a self, whole: &Draft<'a>) -> Draft<'a> {
        Draft {
            action: whole.action,
            resource_id: whole.resource_id,
            record: self.record.as_deref(),
            previous: self.previous.as_deref(),
            data: whole.data,
            tenant: whole.tenant,
            related: whole.related,
            changed: whole.changed,
            old_row: whole.old_row,
            unknown: &self.unknown,
            as_text: &self.as_text,
        }
    }

    /// Names of the columns that were left out, or that the stream had not carried.
    #[must_use]
    pub fn unknown<'a>(&self, shape: &'a Shape) -> Vec<&'a str> {
        let name = |index: &usize| shape.column_name(*index);
        self.unknown.iter().map(name).collect()
    }
}

fn bytes(json: Option<&[u8]>) -> usize {
    json.map_or(0, <[u8]>::len)
}

fn fields(json: Option<&[u8]>) -> Fields<'_> {
    json.and_then(|json| std::str::from_utf8(json).ok())
        .and_then(Fields::read)
        .unwrap_or_default()
}

/// A label is its key and a colon.
fn key_of(label: &[u8]) -> &[u8] {
    label.strip_suffix(b":").unwrap_or(label)
}

/// Bytes that a column takes in an object.
fn length(fields: &Fields<'_>, label: &[u8]) -> usize {
    let key = std::str::from_utf8(key_of(label)).unwrap_or_default();
    fields
        .get(key)
        .map_or(0, |member| label.len() + member.value.len() + 1)
}

fn without(fields: &Fields<'_>, left_out: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut json = vec![b'{'];
    for member in fields.iter().filter(|member| !left_out(member.key)) {
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(member.key.as_bytes());
        json.push(b':');
        json.extend_from_slice(member.value.as_bytes());
    }
    json.push(b'}');
    json
}
