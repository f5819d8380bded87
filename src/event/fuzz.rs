//! Messages that a real server sent (`tests/it/recorded.rs`), mutated: nothing panics, and whatever
//! becomes an event is JSON.

use std::collections::HashMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::*;
use crate::decode::{Message, decode};
use crate::wal::catalog::{Nature, TypeEntry};

static RECORDED: &[u8] = include_bytes!("../../tests/data/pgoutput.bin");
static TYPES: &str = include_str!("../../tests/data/types.json");

static MESSAGES: LazyLock<Vec<&[u8]>> = LazyLock::new(|| {
    let (mut messages, mut rest) = (Vec::new(), RECORDED);
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
        let (message, tail) = tail.split_at(length);
        messages.push(message);
        rest = tail;
    }
    messages
});

static CATALOG: LazyLock<TypeCatalog> = LazyLock::new(|| {
    let mut catalog = TypeCatalog::default();
    catalog.learn(TYPES.lines().map(|line| {
        let entry: Value = serde_json::from_str(line).unwrap();
        let oid = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let attributes = entry["names"].as_array().map(|names| {
            let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
            names
                .zip(entry["types"].as_array().unwrap().iter().map(oid))
                .collect()
        });
        let delimiter = entry["delimiter"].as_str().unwrap().as_bytes()[0];
        let element = (oid(&entry["element"]), delimiter);
        let hstore = entry["hstore"].as_bool().unwrap();
        TypeEntry {
            oid: oid(&entry["oid"]),
            nature: Nature::of(oid(&entry["base"]), element, attributes, hstore),
        }
    }));
    catalog
});

/// What a stream of messages becomes: the shapes that it described and one drafter.
#[derive(Default)]
struct Reader {
    shapes: HashMap<u32, Shape>,
    drafter: Drafter,
    changes: usize,
    marked: usize,
}

impl Reader {
    /// Takes a message in, whatever it is, and looks at the event that it becomes.
    fn take(&mut self, bytes: &[u8]) {
        match decode(bytes) {
            Ok(Message::Relation(relation)) => {
                let key = ["id".to_owned()];
                let columns = relation.columns.iter().map(|column| column.name.clone());
                let all: Vec<String> = columns.collect();
                let each = all.iter().map(|name| vec![name.clone()]);
                let references: Vec<_> = each.chain([all.clone()]).collect();
                let rule = ResourceRule {
                    deleted_at: all.get(1).cloned(),
                    fields: all.clone(),
                    tenant: all.last().cloned(),
                    ..ResourceRule::of(TableName {
                        schema: relation.schema.clone(),
                        name: relation.name.clone(),
                    })
                };
                let shape = Shape::new(&relation, Some(&rule), &key, &CATALOG);
                let shape = shape.referring(&references);
                self.shapes.insert(relation.oid, shape);
            }
            Ok(Message::Change(change)) => {
                let Some(shape) = self.shapes.get(&change.relation) else {
                    return;
                };
                let Ok(draft) = self.drafter.draft(shape, &change.row, None) else {
                    return;
                };
                look_at(&draft, shape, bytes.len());
                if let Some(cut) = Cut::of(&draft, shape, bytes.len() / 2) {
                    look_at(&cut.draft(&draft), shape, bytes.len());
                }
                self.changes += 1;
                self.marked += usize::from(!draft.as_text.is_empty());
            }
            _ => {}
        }
    }
}

/// An event is JSON, and no larger than its message accounts for: no byte becomes more than eight
/// (`\\xHH` with its backslashes escaped), and every column has its label.
fn look_at(draft: &Draft<'_>, shape: &Shape, bytes: usize) {
    let attributes = |kind: &Kind| format!("{kind:?}").len();
    let labels = |column: &super::shape::Column| column.label.len() + 8 + attributes(&column.kind);
    let labels: usize = shape.columns.iter().map(labels).sum();
    for json in [draft.record, draft.previous].into_iter().flatten() {
        let text = std::str::from_utf8(json).unwrap();
        assert!(Fields::read(text).is_some(), "{text}");
        assert!(
            json.len() <= 16 + labels * (1 + bytes) + 8 * bytes,
            "{text}"
        );
    }
    if let Some(related) = draft.related {
        let related = std::str::from_utf8(related).unwrap();
        assert!(Fields::read(related).is_some(), "{related}");
    }
    if let Some(tenant) = draft.tenant {
        std::str::from_utf8(tenant).unwrap();
    }
    for (place, _) in shape.field_events(draft) {
        assert!(place <= shape.field_places());
    }
    if let Some(id) = draft.resource_id {
        std::str::from_utf8(id).unwrap();
        assert!(id.len() <= 1100);
    }
    for column in draft.unknown.iter().chain(draft.as_text) {
        assert!(*column < shape.columns.len());
    }
}

#[test]
fn what_was_recorded_is_read_as_its_type() {
    let mut reader = Reader::default();
    for message in MESSAGES.iter() {
        assert!(decode(message).is_ok());
        reader.take(message);
    }
    assert!(reader.changes > 400, "{}", reader.changes);
    assert_eq!(reader.marked, 0);
}

/// One thing that goes wrong with a message.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Cut(Index),
    Splice(Index, Index, Index),
    Repeat(Index, Index),
    Overwrite(Index, Vec<u8>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    let telling =
        proptest::sample::select(b"{}[]()\"\\,;:=> tfnuIUDRNKO\0\xff0123456789eE.-".to_vec());
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        index().prop_map(Mutation::Cut),
        (index(), index(), index()).prop_map(|(at, of, from)| Mutation::Splice(at, of, from)),
        (index(), index()).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        (index(), proptest::collection::vec(telling, 1..4))
            .prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Flip(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        Mutation::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Mutation::Splice(at, of, from) => {
            let other = MESSAGES[of.index(MESSAGES.len())];
            bytes.truncate(at.index(bytes.len()));
            bytes.extend(&other[from.index(other.len())..]);
        }
        Mutation::Repeat(at, length) => {
            let at = at.index(bytes.len());
            let part = bytes[at..at + length.index(bytes.len() - at + 1)].to_vec();
            bytes.splice(at..at, part);
        }
        Mutation::Overwrite(at, new) => {
            let at = at.index(bytes.len());
            for (old, new) in bytes[at..].iter_mut().zip(new) {
                *old = *new;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// A run of the recorded stream in which one message after the other goes wrong.
    #[test]
    fn mutated_messages_never_break_anything(
        start in any::<Index>(),
        mutations in proptest::collection::vec(proptest::collection::vec(mutation(), 0..4), 1..30),
    ) {
        let mut reader = Reader::default();
        for message in MESSAGES.iter().filter(|message| message.starts_with(b"R")) {
            reader.take(message);
        }
        let messages = MESSAGES.iter().cycle().skip(start.index(MESSAGES.len()));
        for (message, mutations) in messages.zip(&mutations) {
            let mut bytes = message.to_vec();
            for mutation in mutations {
                mutate(&mut bytes, mutation);
            }
            reader.take(&bytes);
        }
    }
}

/// More of them with `ROWHOOK_FUZZ_CASES`.
fn cases() -> u32 {
    let cases = std::env::var("ROWHOOK_FUZZ_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(300)
}
