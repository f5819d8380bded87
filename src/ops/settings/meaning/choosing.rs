//! Of `[[webhook]]`: which events, and what of them: `changed`, `when`, `fields`, `body`.

use std::collections::BTreeSet;

use super::Reader;
use crate::dispatch::Conditions;
use crate::event::{Expression, Selection};
use crate::ops::settings::file::Webhook;
use crate::ops::settings::near_miss;
use crate::webhook::{Documents, Payload};

impl Reader<'_> {
    /// What has to be true of an event. `at` is the webhook's path with its dot.
    pub(super) fn conditions(&mut self, at: &str, written: &Webhook) -> Option<Conditions> {
        let changed = self.optional(&format!("{at}changed"), &written.changed, |columns| {
            names(columns).map(|()| columns.clone())
        });
        let when = self.optional(&format!("{at}when"), &written.when, |when| expression(when));
        Some(Conditions {
            changed: changed?,
            when: when?,
        })
    }

    /// What of an event is sent. `at` is the webhook's path with its dot.
    pub(super) fn payload(&mut self, at: &str, written: &Webhook) -> Option<Payload> {
        let fields = self.optional(&format!("{at}fields"), &written.fields, |columns| {
            names(columns).map(|()| Selection::of(columns))
        });
        let key = format!("{at}body");
        let body = self.optional(&key, &written.body, |body| expression(body));
        if written.body.is_some() {
            for other in ["format", "fields"] {
                if self.problems.knows(&format!("{at}{other}")) {
                    let what = format!("says all that is sent: leave out `{other}`");
                    self.problems.refuse(&key, what);
                }
            }
        }
        Some(Payload {
            fields: fields?,
            body: body?,
            // They come from the resources: see `documented`.
            documents: Documents::default(),
        })
    }

    /// What a key means, if it was written at all; `None` if it means nothing.
    fn optional<W, M>(
        &mut self,
        key: &str,
        written: &Option<W>,
        meaning: impl FnOnce(&W) -> Result<M, String>,
    ) -> Option<Option<M>> {
        match written {
            None => Some(None),
            Some(written) => self.problems.take(key, meaning(written)).map(Some),
        }
    }
}

fn names(columns: &[String]) -> Result<(), String> {
    if columns.is_empty() {
        return Err("the list is empty; leave it out for every column".into());
    }
    let mut seen = BTreeSet::new();
    for column in columns {
        if column.is_empty() {
            return Err("a column's name is empty".into());
        }
        if !seen.insert(column) {
            return Err(format!("column {column:?} is given twice"));
        }
    }
    Ok(())
}

fn expression(source: &str) -> Result<Expression, String> {
    Expression::compile(source).map_err(|mistake| {
        let unknown = mistake.unknown.as_ref();
        let meant = unknown.and_then(|(name, known)| {
            let mut known = known.iter().copied();
            // Names as short as `new` are all unlike each other: one slip is looked for as well.
            near_miss(name, known.clone())
                .or_else(|| known.find(|known| strsim::osa_distance(name, known) == 1))
        });
        mistake.with_hint(meant)
    })
}
