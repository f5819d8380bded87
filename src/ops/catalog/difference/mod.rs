//! What a change of the catalog means for receivers that were written for the old one.
//!
//! The rules look from the receiver's side: whatever it may meet that it could not meet before breaks it; what it
//! meets less of does not. docs/catalog.md has them as a table.

mod document;
mod reading;
mod schemas;

use std::collections::BTreeSet;

use serde_json::Value;

use self::document::Document;
use self::schemas::Comparison;
use crate::fault::{Fault, Result};

/// How a change reaches receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// They may meet what they cannot read.
    Breaking,
    /// They can read it, and should know.
    Note,
    /// They need not care.
    Compatible,
}

impl Impact {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Breaking => "breaking",
            Self::Note => "note",
            Self::Compatible => "compatible",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// How it reaches receivers.
    pub impact: Impact,
    /// `orders.total`, `type mood`, `orders.updated`.
    pub about: String,
    /// What is different.
    pub what: String,
}

/// Compares two catalogs, given as their JSON Schemas with a name for each: the worst changes first.
///
/// # Errors
/// If one of them is no catalog, or a newer one than this version knows.
pub fn compare(old: (&str, &Value), new: (&str, &Value)) -> Result<Vec<Change>> {
    let [old, new] = [old, new].map(|(name, text)| {
        Document::read(text).map_err(|why| {
            Fault::settings(format!("{name} {why}"))
                .next_step("write one with `rowhook catalog --output FILE`")
        })
    });
    let (old, new) = (old?, new?);
    let mut changes = Vec::new();
    if old.envelope != new.envelope {
        let (was, is) = (old.envelope, new.envelope);
        changes.push(Change {
            impact: Impact::Breaking,
            about: "envelope".to_owned(),
            what: format!("what surrounds a row has form {is}, and had form {was}"),
        });
    }
    resources(&old, &new, &mut changes);
    let mut comparison = Comparison::new(&old, &new);
    comparison.request();
    for event_type in old.events().filter(|name| new.has_event(name)) {
        comparison.event(event_type);
    }
    changes.extend(comparison.changes);
    changes.sort();
    changes.dedup();
    Ok(changes)
}

/// Resources and events that are gone, new, or about other rows.
fn resources(old: &Document<'_>, new: &Document<'_>, changes: &mut Vec<Change>) {
    let mut say = |impact, about: &str, what: String| {
        changes.push(Change {
            impact,
            about: about.to_owned(),
            what,
        });
    };
    for (name, was) in &old.resources {
        let Some(is) = new.resources.get(name) else {
            say(
                Impact::Breaking,
                name,
                "is gone, and so are its events".to_owned(),
            );
            continue;
        };
        if was.key != is.key {
            let [was, is] = [was, is].map(|it| it.key.join(", "));
            let what = format!("`resourceId` is made of {is}, and was made of {was}");
            say(Impact::Breaking, name, what);
        }
        if was.table != is.table {
            let what = format!(
                "its rows are those of {}, and were those of {}",
                is.table, was.table
            );
            say(Impact::Note, name, what);
        }
        let [was, is]: [BTreeSet<&str>; 2] =
            [was, is].map(|it| it.events.iter().map(String::as_str).collect());
        for gone in was.difference(&is) {
            say(Impact::Breaking, gone, "is gone".to_owned());
        }
        for added in is.difference(&was) {
            say(Impact::Compatible, added, "is new".to_owned());
        }
    }
    for name in new
        .resources
        .keys()
        .filter(|name| !old.resources.contains_key(*name))
    {
        say(Impact::Compatible, name, "is new".to_owned());
    }
}

#[cfg(test)]
mod tests;
