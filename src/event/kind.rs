//! Which JSON a type's text becomes: the categories of Postgres' own `to_jsonb`
//! (`json_categorize_type` in its source).

use std::collections::HashMap;

use super::json;
use crate::wal::catalog::{Nature, TypeEntry};

/// How a value's text becomes JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `t` and `f`.
    Bool,
    /// A JSON number, unless it is NaN or infinite.
    Number,
    /// JSON already.
    Json,
    /// ISO 8601 with a `T`.
    Timestamp,
    /// The same with an offset.
    TimestampTz,
    /// A JSON array of another kind; the byte delimits elements.
    Array(Box<Kind>, u8),
    /// A JSON array of what stands between spaces: `int2vector` and `oidvector`.
    Vector(Box<Kind>),
    /// A JSON object with an attribute's label (`"name":`) and kind in each place.
    Composite(Vec<(Vec<u8>, Kind)>),
    /// A JSON object of strings.
    Hstore,
    /// A JSON string.
    Text,
    /// Not known to the catalogs, because it was dropped meanwhile: a JSON string, and marked.
    Unknown,
}

/// What the source's catalogs say about types that are not built-in scalars.
#[derive(Debug, Clone, Default)]
pub struct TypeCatalog(HashMap<u32, Nature>);

/// Bound on domains over arrays over domains …: Postgres has no cycles, a race in the catalogs might.
const DEPTH: u8 = 16;

impl TypeCatalog {
    /// Whether `oid` needs no look-up.
    #[must_use]
    pub fn knows(&self, oid: u32) -> bool {
        scalar(oid).is_some() || self.0.contains_key(&oid)
    }

    /// Remembers what the catalogs said.
    pub fn learn(&mut self, entries: impl IntoIterator<Item = TypeEntry>) {
        self.0
            .extend(entries.into_iter().map(|entry| (entry.oid, entry.nature)));
    }

    /// Whether a type is made of composites, whose attributes may change while it is in use.
    #[must_use]
    pub fn has_attributes(&self, oid: u32) -> bool {
        fn within(kind: &Kind) -> bool {
            match kind {
                Kind::Array(element, _) => within(element),
                Kind::Composite(_) => true,
                _ => false,
            }
        }
        within(&self.kind(oid))
    }

    /// How values of a type become JSON.
    #[must_use]
    pub fn kind(&self, oid: u32) -> Kind {
        self.kind_within(oid, DEPTH)
    }

    fn kind_within(&self, oid: u32, depth: u8) -> Kind {
        if let Some(kind) = scalar(oid) {
            return kind;
        }
        match (self.0.get(&oid), depth.checked_sub(1)) {
            (Some(Nature::Domain(base)), Some(depth)) => self.kind_within(*base, depth),
            (Some(Nature::Array(element, delimiter)), Some(depth)) => {
                Kind::Array(Box::new(self.kind_within(*element, depth)), *delimiter)
            }
            (Some(Nature::Composite(attributes)), Some(depth)) => Kind::Composite(
                attributes
                    .iter()
                    .map(|(name, oid)| (json::label(name), self.kind_within(*oid, depth)))
                    .collect(),
            ),
            (Some(Nature::Hstore), _) => Kind::Hstore,
            (Some(Nature::Other), _) => Kind::Text,
            _ => Kind::Unknown,
        }
    }
}

/// Built-in scalar types, by their fixed object ids (`pg_type.dat`).
fn scalar(oid: u32) -> Option<Kind> {
    Some(match oid {
        16 => Kind::Bool,
        // int8, int2, int4, float4, float8, numeric
        20 | 21 | 23 | 700 | 701 | 1700 => Kind::Number,
        114 | 3802 => Kind::Json,
        22 => Kind::Vector(Box::new(Kind::Number)),
        30 => Kind::Vector(Box::new(Kind::Text)),
        1114 => Kind::Timestamp,
        1184 => Kind::TimestampTz,
        // bytea, char, name, text, oid, bpchar, varchar, date, time, interval, timetz, uuid
        17 | 18 | 19 | 25 | 26 | 1042 | 1043 | 1082 | 1083 | 1186 | 1266 | 2950 => Kind::Text,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_over_an_array_of_domains_is_seen_through() {
        let mut catalog = TypeCatalog::default();
        catalog.learn([
            TypeEntry {
                oid: 20001,
                nature: Nature::Domain(20002),
            },
            TypeEntry {
                oid: 20002,
                nature: Nature::Array(20003, b','),
            },
            TypeEntry {
                oid: 20003,
                nature: Nature::Domain(23),
            },
            TypeEntry {
                oid: 20004,
                nature: Nature::Domain(20004),
            },
        ]);
        assert_eq!(
            catalog.kind(20001),
            Kind::Array(Box::new(Kind::Number), b',')
        );
        assert_eq!(catalog.kind(20004), Kind::Unknown);
    }

    #[test]
    fn a_type_whose_text_is_its_value_is_not_an_unknown_type() {
        let mut catalog = TypeCatalog::default();
        catalog.learn([TypeEntry {
            oid: 20001,
            nature: Nature::Other,
        }]);
        assert_eq!(catalog.kind(20001), Kind::Text);
        assert_eq!(catalog.kind(20002), Kind::Unknown);
    }
}
