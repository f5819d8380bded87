//! Which form of JSON a type's values have: what `event::kind` and `event::json` write, told to people.

use std::collections::{BTreeMap, HashMap};

use super::{Attribute, Form, NamedType, Text, TypeBody};
use crate::wal::description::{Declared, DescribedType, Make};

/// Bound on domains over arrays over domains …
const DEPTH: u8 = 16;

/// Length of the header that is counted in the modifier of `char` and `varchar`.
const HEADER: i32 = 4;

/// The source's types, and those among them that were met and have names.
pub(super) struct Forms {
    types: HashMap<u32, DescribedType>,
    pub(super) met: BTreeMap<String, NamedType>,
}

impl Forms {
    pub(super) fn new(types: Vec<DescribedType>) -> Self {
        Self {
            types: types.into_iter().map(|kind| (kind.oid, kind)).collect(),
            met: BTreeMap::new(),
        }
    }

    /// What values of a type look like.
    pub(super) fn form(&mut self, declared: Declared) -> Form {
        self.within(declared, DEPTH)
    }

    fn within(&mut self, declared: Declared, depth: u8) -> Form {
        if let Some(form) = scalar(declared) {
            return form;
        }
        let found = self.types.get(&declared.oid).cloned();
        let (Some(kind), Some(depth)) = (found, depth.checked_sub(1)) else {
            return Form::Text(Text::default());
        };
        match kind.make {
            Make::Domain(base) => self.within(base, depth),
            Make::Array(element) => {
                let element = Declared {
                    oid: element,
                    dimensions: 0,
                    ..declared
                };
                let dimensions = usize::try_from(declared.dimensions).unwrap_or(1).max(1);
                Form::Array(Box::new(self.within(element, depth)), dimensions)
            }
            Make::Enum(ref labels) => {
                let body = TypeBody::Enum(labels.clone());
                self.name(&kind, body)
            }
            Make::Composite(ref attributes) => {
                let attributes = attributes.iter().map(|attribute| Attribute {
                    name: attribute.name.clone(),
                    sql: attribute.sql.clone(),
                    form: self.within(attribute.declared, depth),
                });
                let body = TypeBody::Composite(attributes.collect());
                self.name(&kind, body)
            }
            Make::Hstore => Form::Hstore,
            Make::Other => Form::Text(Text::default()),
        }
    }

    fn name(&mut self, kind: &DescribedType, body: TypeBody) -> Form {
        let name = match kind.schema.as_str() {
            "public" => kind.name.clone(),
            schema => format!("{schema}.{}", kind.name),
        };
        let comment = kind.comment.clone();
        self.met.insert(name.clone(), NamedType { comment, body });
        Form::Named(name)
    }
}

const DATE: &str = "^(-?infinity|[0-9]{4,7}-[0-9]{2}-[0-9]{2}( BC)?)$";
const TIME: &str = "^[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?$";
const TIMETZ: &str = "^[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?[+-][0-9]{2}(:[0-9]{2}){0,2}$";
const TIMESTAMP: &str =
    "^(-?infinity|[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?( BC)?)$";
const TIMESTAMPTZ: &str = "^(-?infinity|[0-9]{4,6}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?\\+00:00( BC)?)$";

/// The built-in types that are more than a text, by their fixed object ids (`pg_type.dat`).
fn scalar(declared: Declared) -> Option<Form> {
    let vector = |of| Form::Vector(Box::new(of));
    Some(match declared.oid {
        16 => Form::Boolean,
        20 => Form::Integer(None),
        21 => Form::Integer(Some((i16::MIN.into(), i16::MAX.into()))),
        23 => Form::Integer(Some((i32::MIN.into(), i32::MAX.into()))),
        700 | 701 | 1700 => Form::Number,
        114 | 3802 => Form::Json,
        22 => vector(Form::Integer(Some((i16::MIN.into(), i16::MAX.into())))),
        30 => vector(patterned("^[0-9]+$", "16384")),
        17 => patterned("^\\\\x([0-9a-f]{2})*$", "\\x68690a"),
        26 => patterned("^[0-9]+$", "16384"),
        1042 | 1043 => Form::Text(Text {
            longest: declared.modifier.checked_sub(HEADER).filter(|it| *it > 0),
            ..Text::default()
        }),
        1082 => patterned(DATE, "2026-01-31"),
        1083 => patterned(TIME, "12:30:00"),
        1266 => patterned(TIMETZ, "12:30:00+01"),
        1114 => patterned(TIMESTAMP, "2026-01-31T12:30:00.5"),
        1184 => patterned(TIMESTAMPTZ, "2026-01-31T12:30:00.5+00:00"),
        1186 => example("1 day 02:00:00"),
        1560 | 1562 => patterned("^[01]*$", "101"),
        790 => example("$12.34"),
        869 => example("192.168.1.1"),
        650 => example("10.0.0.0/8"),
        829 => example("08:00:2b:01:02:03"),
        2950 => Form::Text(Text {
            format: Some("uuid"),
            example: Some("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            ..Text::default()
        }),
        _ => return None,
    })
}

fn patterned(pattern: &'static str, example: &'static str) -> Form {
    Form::Text(Text {
        pattern: Some(pattern),
        example: Some(example),
        ..Text::default()
    })
}

fn example(example: &'static str) -> Form {
    Form::Text(Text {
        example: Some(example),
        ..Text::default()
    })
}
