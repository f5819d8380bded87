//! One client of a stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::batch::{self, Batch};
use crate::ops::api::{Desk, Problem};
use crate::ops::reading::Question;

/// Silence after which a sign of life goes out: proxies close what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A comment.
const ALIVE: Bytes = Bytes::from_static(b":\n\n");
/// The first words: how soon a client that was cut off comes back.
const GREETING: Bytes = Bytes::from_static(b"retry: 1000\n\n");
/// Events of one page, and how many bytes of them.
const PAGE: i64 = 200;
const PAGE_BYTES: usize = 512 << 10;
/// Pause after the log could not be read.
const AWAY: Duration = Duration::from_secs(1);

/// A client and how far it is.
pub(super) struct Follower {
    desk: Desk,
    question: Question,
    /// Everything up to it that is wanted was given out.
    at: i64,
    /// `None` while it reads pages.
    live: Option<Receiver<Arc<Batch>>>,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    pub(super) fn new(
        desk: Desk,
        question: Question,
        at: i64,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            desk,
            question: Question {
                limit: PAGE,
                bytes: PAGE_BYTES,
                ..question
            },
            at,
            live: None,
            greeted: false,
            _place: place,
        }
    }

    /// What the client gets next, whenever it is ready for it. `None` once the daemon stops.
    pub(super) async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some((Ok(GREETING), self));
        }
        let stop = self.desk.stop().clone();
        let text = tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            text = self.more() => text,
            () = tokio::time::sleep(HEARTBEAT) => ALIVE,
        };
        Some((Ok(text), self))
    }

    /// The next text that is not empty. May be dropped at any wait: `at` moves with the text alone.
    async fn more(&mut self) -> Bytes {
        loop {
            let text = match &mut self.live {
                Some(live) => {
                    let got = live.recv().await;
                    self.batch(got)
                }
                None => match self.next_page().await {
                    Ok(text) => text,
                    Err(problem) => {
                        tracing::debug!(?problem, "cannot read the log for a stream");
                        tokio::time::sleep(AWAY).await;
                        continue;
                    }
                },
            };
            if !text.is_empty() {
                return text;
            }
        }
    }

    /// Who is behind the ring, or in front of a hole in it, reads pages; and so does everyone after an
    /// erasure: what the ring holds from before it may have the values still.
    fn batch(&mut self, got: Result<Arc<Batch>, RecvError>) -> Bytes {
        let forgotten = self.desk.tail().times_forgotten();
        match got {
            Ok(batch) if batch.after <= self.at && batch.forgotten == forgotten => {
                let text = batch.wanted(self.at, &self.question);
                self.at = self.at.max(batch.up_to);
                text
            }
            Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => {
                self.live = None;
                Bytes::new()
            }
        }
    }

    /// Follows first and reads then: what is logged in between comes by the ring.
    async fn next_page(&mut self) -> Result<Bytes, Problem> {
        let live = self.desk.fanout().follow();
        let question = Question {
            after: Some(self.at),
            ..self.question.clone()
        };
        let page = self
            .desk
            .ask(move |log| async move { question.ask(&log).await })
            .await?;
        let text = batch::text(&page.events)?;
        self.live = (!page.more).then_some(live);
        self.at = page.next;
        Ok(text)
    }
}
