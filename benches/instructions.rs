//! What `benches/instructions.sh` counts: one case of work, done as often as it is told.
//!
//! * `INSTRUCTIONS_CASE`: `capture-…` takes messages of pgoutput through decode, draft and batch to the
//!   rows of a binary COPY, one transaction a row; `rowhook-…` and `hasura-…` render the body of a
//!   webhook. What hashes stands apart, because the count of that says more of the processor: `event-id`
//!   makes the id of an event, `sign` signs a body.
//! * `INSTRUCTIONS_ROWS`: how often.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark that meets the unexpected ends by panicking"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use rowhook::decode::{Message, RowChange, decode};
use rowhook::event::{Drafter, Event, EventIds, Shape, TypeCatalog};
use rowhook::event_log::{Batch, Transaction, TransactionEnd};
use rowhook::secret::Secret;
use rowhook::wal::{Lsn, Timelines};
use rowhook::webhook::guard::Guard;
use rowhook::webhook::sign::{SigningKey, signature_header};
use rowhook::webhook::{ClientTls, Delivery, Endpoint, Format, Payload, Renderer, delivery_id};
use uuid::Uuid;

/// As the product has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows in a batch, as they gather by themselves while the batch before is committed.
const BATCH: usize = 300;

/// Different rows: a stream repeats none, and all of them fit the processor's cache.
const ROWS: usize = 32;

const ORDERS: u32 = 16_384;

/// The columns that the other benchmarks' table has, with the object ids of their types.
const COLUMNS: [(&str, u32); 8] = [
    ("id", 20),
    ("user_id", 20),
    ("status", 25),
    ("total", 1700),
    ("note", 25),
    ("meta", 3802),
    ("created_at", 1184),
    ("updated_at", 1184),
];

fn main() {
    let (Ok(case), Ok(rows)) = (
        std::env::var("INSTRUCTIONS_CASE"),
        std::env::var("INSTRUCTIONS_ROWS"),
    ) else {
        println!("instructions: run it with benches/instructions.sh");
        return;
    };
    let rows: usize = rows.parse().expect("INSTRUCTIONS_ROWS");
    match case.split_once('-') {
        Some(("capture", change)) => capture(&stream(change), rows),
        Some(("rowhook", change)) => render(Format::Rowhook, &events(change), rows),
        Some(("hasura", change)) => {
            render(Format::Hasura { max_retries: 11 }, &events(change), rows);
        }
        Some(("event", "id")) => event_id(rows),
        None if case == "sign" => sign(&events("insert"), rows),
        _ => panic!("no case {case}"),
    }
}

/// Bytes to COPY, from messages.
fn capture(stream: &[[Vec<u8>; 3]], rows: usize) {
    let mut intake = Intake::new();
    for row in 0..rows {
        for message in &stream[row % stream.len()] {
            intake.take(black_box(message));
        }
        if (row + 1) % BATCH == 0 {
            black_box(intake.batch.take());
        }
    }
}

fn render(format: Format, events: &[Event], rows: usize) {
    let renderer = Renderer::new(Arc::from("shop"), &endpoint(format));
    let delivery = delivery(&events[0]);
    for row in 0..rows {
        let event = black_box(&events[row % events.len()]);
        black_box(renderer.render(event, &delivery).unwrap());
    }
}

fn event_id(rows: usize) {
    let ids = EventIds::new("7300000000000000001", &Timelines::read(1, ""), "shop");
    for lsn in (0x16_B374_D848..).step_by(0x400).take(rows) {
        black_box(ids.id(820_454_400_123_456, Lsn(black_box(lsn)), 0));
    }
}

fn sign(events: &[Event], rows: usize) {
    let keys = endpoint(Format::Rowhook).keys;
    let renderer = Renderer::new(Arc::from("shop"), &endpoint(Format::Rowhook));
    let body = renderer.render(&events[0], &delivery(&events[0])).unwrap();
    let id = events[0].event_id.to_string();
    for _ in 0..rows {
        black_box(signature_header(
            &keys,
            black_box(&id),
            1_767_225_600,
            &body.bytes,
        ));
    }
}

fn delivery(event: &Event) -> Delivery {
    Delivery {
        id: delivery_id(event.event_id, "billing"),
        attempt: 1,
        replay: None,
    }
}

fn endpoint(format: Format) -> Endpoint {
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    Endpoint {
        name: "billing".to_owned(),
        url: "http://127.0.0.1/hook".parse().unwrap(),
        format,
        payload: Payload::default(),
        keys: vec![SigningKey::parse(&secret).unwrap()],
        headers: Vec::new(),
        timeout: Duration::from_secs(5),
        tls: ClientTls::default(),
        guard: Guard::default(),
    }
}

/// The events of a stream, as subscriptions get them.
fn events(change: &str) -> Vec<Event> {
    let mut intake = Intake::new();
    for message in stream(change).iter().flatten() {
        intake.take(message);
    }
    let events = intake.batch.take().events();
    assert_eq!(events.len(), ROWS);
    events
}

/// What `capture` does with messages, without what asks a database and without the events' ids. It keeps
/// events for readers in memory, as it does where nothing is behind.
struct Intake {
    shapes: HashMap<u32, Arc<Shape>>,
    drafter: Drafter,
    transaction: Option<Transaction>,
    batch: Batch,
}

impl Intake {
    fn new() -> Self {
        let mut intake = Self {
            shapes: HashMap::new(),
            drafter: Drafter::default(),
            transaction: None,
            batch: Batch::new(1_000_001),
        };
        intake.take(&relation());
        intake
    }

    fn take(&mut self, bytes: &[u8]) {
        match decode(bytes).unwrap() {
            Message::Begin {
                commit_lsn,
                commit_time,
                xid,
            } => {
                self.transaction = Some(Transaction {
                    commit_lsn,
                    commit_time,
                    xid,
                    context: None,
                });
            }
            Message::Relation(relation) => {
                let key = ["id".to_owned()];
                let shape = Shape::new(&relation, None, &key, &TypeCatalog::default());
                self.shapes.insert(relation.oid, Arc::new(shape));
            }
            Message::Change(change) => self.log(change.relation, &change.row),
            Message::Commit {
                commit_lsn,
                end_lsn,
                commit_time,
            } => {
                self.transaction = None;
                self.batch.commit(TransactionEnd {
                    commit_lsn,
                    end_lsn,
                    commit_time: Some(commit_time),
                });
            }
            other => panic!("not in these streams: {other:?}"),
        }
    }

    fn log(&mut self, relation: u32, row: &RowChange<'_>) {
        let shape = Arc::clone(&self.shapes[&relation]);
        let transaction = self.transaction.clone().unwrap();
        let draft = self.drafter.draft(&shape, row, None).unwrap();
        let event_id = Uuid::from_u64_pair(transaction.commit_lsn.0, 7);
        self.batch
            .push(&transaction, 0, event_id, &shape, &draft, true)
            .unwrap();
    }
}

/// Transactions of one row: Begin, the change, Commit.
fn stream(change: &str) -> Vec<[Vec<u8>; 3]> {
    (0..ROWS)
        .map(|row| {
            let place = u64::try_from(row).unwrap();
            let (lsn, time) = (0x16_B374_D848 + place * 0x400, 820_454_400_123_456 + place);
            let begin = Wire::of(b'B').u64(lsn).u64(time).u32(771);
            let commit = Wire::of(b'C').bytes(&[0]).u64(lsn).u64(lsn + 48).u64(time);
            let change = match change {
                "insert" => Wire::of(b'I')
                    .u32(ORDERS)
                    .row(b'N', &order(row, PLAIN, false)),
                "escapes" => Wire::of(b'I')
                    .u32(ORDERS)
                    .row(b'N', &order(row, ESCAPES, false)),
                "update" => Wire::of(b'U')
                    .u32(ORDERS)
                    .row(b'O', &order(row, PLAIN, false))
                    .row(b'N', &order(row, PLAIN, true)),
                "delete" => Wire::of(b'D')
                    .u32(ORDERS)
                    .row(b'O', &order(row, PLAIN, false)),
                _ => panic!("no change {change}"),
            };
            [begin.0, change.0, commit.0]
        })
        .collect()
}

const PLAIN: &str =
    "please leave the parcel with the neighbours at number 42, they are at home until nine o'clock";

const ESCAPES: &str = "say \"hello\" to Jürgen & Zoë at C:\\parcels\\42\n\"後で\", then\tturn left 🙂 – the door's code is \"#\\1\"";

/// The values of a row; three of the eight are others after an update.
fn order(row: usize, note: &str, updated: bool) -> [String; 8] {
    let user = 10_000 + row * 37;
    let (status, total, time) = if updated {
        ("paid", 1429 + row, "2026-01-02 10:11:13.654321+00")
    } else {
        ("open", 1428 + row, "2026-01-01 00:00:00.123456+00")
    };
    let meta = format!(
        r#"{{"tags": ["gift", "express", "insured"], "user": {user}, "agent": "Mozilla/5.0 (X11; Linux x86_64)", "address": {{"zip": "10115", "city": "Berlin"}}, "channel": "web", "session": "8d7f3a52c0b94e1f"}}"#
    );
    [
        (1_000_000 + row).to_string(),
        user.to_string(),
        status.to_owned(),
        format!("{total}.57"),
        note.to_owned(),
        meta,
        "2026-01-01 00:00:00.123456+00".to_owned(),
        time.to_owned(),
    ]
}

fn relation() -> Vec<u8> {
    let head = Wire::of(b'R').u32(ORDERS).bytes(b"public\0orders\0f\0\x08");
    // Under REPLICA IDENTITY FULL every column is a part of it.
    let column = |wire: Wire, (name, type_oid): (&str, u32)| {
        wire.bytes(&[1])
            .bytes(name.as_bytes())
            .bytes(&[0])
            .u32(type_oid)
            .u32(u32::MAX)
    };
    COLUMNS.into_iter().fold(head, column).0
}

/// A message as a server writes it.
struct Wire(Vec<u8>);

impl Wire {
    fn of(kind: u8) -> Self {
        Self(vec![kind])
    }
    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }
    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }
    fn row(self, kind: u8, values: &[String; 8]) -> Self {
        let head = self.bytes(&[kind, 0, 8]);
        values.iter().fold(head, |wire, value| {
            let length = u32::try_from(value.len()).unwrap();
            wire.bytes(b"t").u32(length).bytes(value.as_bytes())
        })
    }
}
