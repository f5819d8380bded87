//! What the writers of the log do now.
//!
//! There are two, so that under a backlog the rows of one batch are on their way while the batch
//! before it is committed. A commit waits for the one before it: batches become durable and visible
//! in their order, and none of them without those before it.

use std::future::Future;
use std::pin::Pin;

use bytestring::ByteString;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::oneshot;

use super::intake::Question;
use crate::event_log::history::LastEvent;
use crate::event_log::objects::Object;
use crate::event_log::{Chunk, Durable, Writer};
use crate::fault::{Fault, Result};

/// Bytes of log rows at which a batch does not wait until the one before it is committed. With less
/// to append, one larger commit is cheaper than two.
const OVERLAP_BYTES: usize = 512 << 10;

/// What a writer has done.
pub(super) enum Done {
    /// A chunk is appended; durable, where it ended a transaction.
    Appended(Chunk, Option<Durable>),
    /// The records of these rows' last events.
    Found(Vec<LastEvent>, Vec<Option<ByteString>>),
    /// The records of these objects.
    FoundObjects(Vec<Object>, Vec<Option<ByteString>>),
}

/// It owns the writer and gives it back.
type Working = Pin<Box<dyn Future<Output = (Writer, Result<Done>)> + Send>>;

/// The writers, and what they do.
pub(super) struct Appends {
    free: Vec<Writer>,
    working: FuturesOrdered<Working>,
    /// Whether a part of a transaction is appended, and its end is not.
    open: bool,
    /// Whether the log is asked, which sees only what was appended before.
    asks: bool,
    /// Tells when the last chunk is committed.
    last: Option<oneshot::Receiver<()>>,
}

impl Appends {
    pub(super) fn new(writers: [Writer; 2]) -> Self {
        Self {
            free: writers.into(),
            working: FuturesOrdered::new(),
            open: false,
            asks: false,
            last: None,
        }
    }

    /// Whether nothing is on its way into the log.
    pub(super) fn is_idle(&self) -> bool {
        self.working.is_empty()
    }

    /// Whether a chunk of so many bytes may be appended now.
    pub(super) fn may_append(&self, bytes: usize) -> bool {
        match self.working.len() {
            0 => true,
            // The parts of one transaction go one after the other, through one writer.
            1 => !self.open && !self.asks && bytes >= OVERLAP_BYTES,
            _ => false,
        }
    }

    /// Starts to append a chunk.
    pub(super) fn append(&mut self, chunk: Chunk) {
        let Some(mut writer) = self.writer() else {
            return;
        };
        self.open = chunk.is_part();
        let (committed, told) = oneshot::channel();
        let before = self.last.replace(told);
        self.working.push_back(Box::pin(async move {
            let appended = append(&mut writer, &chunk, before).await;
            if appended.is_ok() {
                // Nobody waits for it where no chunk follows.
                let _ = committed.send(());
            }
            (
                writer,
                appended.map(|durable| Done::Appended(chunk, durable)),
            )
        }));
    }

    /// Starts to ask the log. Only while nothing is on its way into it.
    pub(super) fn ask(&mut self, question: Question) {
        let Some(mut writer) = self.writer() else {
            return;
        };
        self.asks = true;
        self.working.push_back(match question {
            Question::Rows(rows) => Box::pin(async move {
                let found = writer.last_events(&rows).await;
                (writer, found.map(|records| Done::Found(rows, records)))
            }),
            Question::Objects(objects) => Box::pin(async move {
                let found = writer.objects(&objects).await;
                let found = found.map(|records| Done::FoundObjects(objects, records));
                (writer, found)
            }),
        });
    }

    /// Waits for what was started first; for ever, if nothing was.
    pub(super) async fn done(&mut self) -> Result<Done> {
        let Some((writer, outcome)) = self.working.next().await else {
            return std::future::pending().await;
        };
        self.free.push(writer);
        self.asks = false;
        outcome
    }

    /// A free writer: the one whose COPY is open, where there is one.
    fn writer(&mut self) -> Option<Writer> {
        let open = self.free.iter().position(Writer::is_copying);
        let last = self.free.len().checked_sub(1)?;
        Some(self.free.swap_remove(open.unwrap_or(last)))
    }
}

async fn append(
    writer: &mut Writer,
    chunk: &Chunk,
    before: Option<oneshot::Receiver<()>>,
) -> Result<Option<Durable>> {
    writer.send(chunk).await?;
    if let Some(before) = before {
        let committed = before.await;
        committed.map_err(|_| Fault::transient("the batch before this one was not committed"))?;
    }
    writer.end(chunk).await
}
