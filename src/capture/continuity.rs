//! Has the publication carried every change since rowhook last looked? Pure.
//!
//! The server leaves out what a publication does not hold, without a word; from version 18 on also
//! what was committed while there was no publication. What was changed back in the meantime looks
//! as before, so the catalogs' own marks are compared: the publication's oid and the version of its
//! row, and each table's entry in it, which is a new one whenever a table is put in or its row
//! filter or column list is changed.

use crate::event::Capture;
use crate::event_log::{Member, Published};
use crate::fault::Fault;
use crate::wal::publication::{Publication, Table};

/// What may be missing from the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// There was no such publication for a while, or there is none now.
    Publication(String),
    /// It was there and left something out.
    Contents(Vec<String>),
}

impl Break {
    /// A publication that is not there.
    #[must_use]
    pub fn dropped(name: &str) -> Self {
        Self::Publication(format!("publication \"{name}\" was dropped"))
    }

    /// What happened, as one line.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Publication(cause) => cause.clone(),
            Self::Contents(causes) => causes.join("; "),
        }
    }

    /// As the fault that stops capture.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let what = format!("{}; changes since then may be missing", self.cause());
        Fault::permanent(what).next_step(match self {
            Self::Publication(_) => {
                "find out who did it; then run `rowhook setup --accept-gap`, which makes publication and slot anew and \
                 records the gap as an event"
            }
            Self::Contents(_) => {
                "find out who did it; then run `rowhook setup --accept-gap`, which puts back what is missing and \
                 records the gap as an event (a table that shall stay out: \"!schema.table\" in capture.tables)"
            }
        })
    }
}

/// Compares what was noted with what is there now; `None` if nothing can be missing.
#[must_use]
pub fn broken(
    name: &str,
    noted: &Published,
    found: Option<&Publication>,
    tables: &[Table],
    capture: &Capture,
) -> Option<Break> {
    let Some(found) = found else {
        return Some(Break::dropped(name));
    };
    if found.oid != noted.oid {
        return Some(Break::Publication(format!(
            "publication \"{name}\" was dropped and made anew"
        )));
    }
    let mut causes = Vec::new();
    // Whoever gives a publication away changes its row too, and nothing that it carries.
    if found.version != noted.version && found.owner == noted.owner {
        causes.push(format!(
            "publication \"{name}\" was altered (its name or options)"
        ));
    }
    for table in followed(tables, capture).filter(|_| !found.all_tables) {
        let Some(member) = noted.members.get(&table.oid) else {
            continue;
        };
        match table.membership {
            Some(membership) if membership == member.membership => {}
            Some(_) => causes.push(format!(
                "table {} was taken out of publication \"{name}\" and put back, or its row filter or column list was changed",
                table.label()
            )),
            None => causes.push(format!("table {} was taken out of publication \"{name}\"", table.label())),
        }
    }
    (!causes.is_empty()).then_some(Break::Contents(causes))
}

/// What to note of the publication as it is now.
#[must_use]
pub fn noted(found: &Publication, tables: &[Table], capture: &Capture) -> Published {
    let member = |table: &Table| {
        let member = Member {
            membership: table.membership?,
            table: table.label(),
        };
        Some((table.oid, member))
    };
    Published {
        oid: found.oid,
        version: found.version.clone(),
        owner: found.owner,
        members: followed(tables, capture).filter_map(member).collect(),
    }
}

/// Tables whose changes the settings ask for. A partition's come as its root's.
fn followed<'a>(tables: &'a [Table], capture: &'a Capture) -> impl Iterator<Item = &'a Table> {
    tables
        .iter()
        .filter(|table| !table.partition && capture.includes(&table.schema, &table.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TablePattern;

    fn table(membership: Option<u32>) -> Table {
        Table {
            oid: 1,
            schema: "public".into(),
            name: "posts".into(),
            kind: 'r',
            persistence: 'p',
            identity: 'f',
            partition: false,
            primary_key: vec!["id".into()],
            identity_key: Vec::new(),
            columns: vec!["id".into()],
            published: membership.is_some(),
            owned: true,
            nameable: true,
            dark_partitions: Vec::new(),
            membership,
            filtered: false,
        }
    }

    fn publication() -> Publication {
        Publication {
            oid: 10,
            version: "700".into(),
            owner: 5,
            via_root: true,
            all_tables: false,
            complete: true,
            owned: true,
        }
    }

    fn capture(exclude: bool) -> Capture {
        let pattern = |exclude, table: &str| TablePattern {
            exclude,
            schema: "public".into(),
            table: table.into(),
        };
        let mut tables = vec![pattern(false, "*")];
        if exclude {
            tables.push(pattern(true, "posts"));
        }
        Capture {
            tables,
            resources: Vec::new(),
        }
    }

    fn cause(found: Option<Publication>, table: Table, exclude: bool) -> Option<String> {
        let before = noted(&publication(), &[self::table(Some(20))], &capture(false));
        broken("p", &before, found.as_ref(), &[table], &capture(exclude)).map(|b| b.cause())
    }

    #[test]
    fn a_publication_that_stayed_as_it_was_has_carried_everything() {
        assert_eq!(cause(Some(publication()), table(Some(20)), false), None);
        let given_away = Publication {
            version: "701".into(),
            owner: 6,
            ..publication()
        };
        assert_eq!(cause(Some(given_away), table(Some(20)), false), None);
        // Who does not want a table any more does not miss it.
        assert_eq!(cause(Some(publication()), table(None), true), None);
        let other = Table {
            oid: 2,
            ..table(None)
        };
        assert_eq!(cause(Some(publication()), other, false), None);
    }

    #[test]
    fn whatever_was_changed_is_named_even_if_it_was_changed_back() {
        let altered = Publication {
            version: "701".into(),
            ..publication()
        };
        let anew = Publication {
            oid: 11,
            ..publication()
        };
        for (found, table, words) in [
            (None, table(None), "was dropped"),
            (Some(anew), table(Some(21)), "dropped and made anew"),
            (Some(altered), table(Some(20)), "was altered"),
            (Some(publication()), table(None), "posts was taken out"),
            (Some(publication()), table(Some(21)), "and put back"),
        ] {
            let cause = cause(found, table, false).unwrap();
            assert!(cause.contains(words), "{cause}");
        }
    }

    #[test]
    fn tables_do_not_have_to_be_put_into_a_publication_of_all_tables() {
        let all = Publication {
            all_tables: true,
            ..publication()
        };
        assert_eq!(cause(Some(all), table(None), false), None);
    }
}
