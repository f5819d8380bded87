//! The one reader of the log for all streams.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast};

use super::batch::Batch;
use crate::capture::Standing;
use crate::event::Event;
use crate::event_log::read::{self, Filter};
use crate::fault::Result;
use crate::ops::api::{Desk, Problem};
use crate::ops::reading;

/// Clients at once.
const CLIENTS: usize = 2_000;
/// Batches that the ring holds, and what one of them holds.
const BATCHES: usize = 32;
const BATCH: usize = 256;
const BATCH_BYTES: usize = 512 << 10;
/// How often the log is looked at while another daemon writes it, and after it was away.
const LOOK: Duration = Duration::from_secs(1);

/// Gives batches to everyone who follows.
pub(in crate::ops::api) struct Fanout {
    ring: broadcast::Sender<Arc<Batch>>,
    clients: Arc<Semaphore>,
    /// Someone follows.
    followed: Notify,
}

impl Default for Fanout {
    fn default() -> Self {
        Self {
            ring: broadcast::Sender::new(BATCHES),
            clients: Arc::new(Semaphore::new(CLIENTS)),
            followed: Notify::new(),
        }
    }
}

impl Fanout {
    /// A place among the clients.
    pub(super) fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.clients).try_acquire_owned().map_err(|_| {
            let detail = format!("{CLIENTS} clients follow the log already");
            Problem::busy("busy", detail)
        })
    }

    /// Everything that is logged from now on, and sometimes word of where that is.
    pub(super) fn follow(&self) -> broadcast::Receiver<Arc<Batch>> {
        let following = self.ring.subscribe();
        self.followed.notify_one();
        following
    }

    /// Reads for as long as someone follows, until the daemon stops.
    pub(in crate::ops::api) async fn run(desk: &Desk) {
        tokio::select! {
            () = desk.stop().cancelled() => {}
            () = feed(desk) => {}
        }
    }
}

async fn feed(desk: &Desk) {
    let fanout = desk.fanout();
    let (mut head, mut standing) = (desk.tail().head(), desk.standing_changes());
    let mut position = None;
    loop {
        if fanout.ring.receiver_count() == 0 {
            position = None;
            fanout.followed.notified().await;
            continue;
        }
        head.mark_unchanged();
        standing.mark_unchanged();
        let is_writer = matches!(*standing.borrow(), Standing::Streaming { .. });
        match forward(desk, position, is_writer.then(|| *head.borrow())).await {
            Ok(reached) => position = Some(reached),
            Err(problem) => {
                tracing::debug!(?problem, "cannot read the log for streams");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        }
        tokio::select! {
            _ = head.changed() => {}
            _ = standing.changed() => {}
            () = fanout.followed.notified() => {}
            () = tokio::time::sleep(LOOK), if !is_writer => {}
        }
    }
}

/// Gives out what lies between the position and the newest event; gives the new position. At first
/// there is no position: then it says where it begins, and who is behind that reads pages.
async fn forward(desk: &Desk, position: Option<i64>, head: Option<i64>) -> Result<i64, Problem> {
    let head = match head {
        Some(head) => head,
        None => {
            desk.ask(|log| async move { reading::head(&log).await })
                .await?
        }
    };
    let ring = &desk.fanout().ring;
    let Some(mut position) = position else {
        let forgotten = desk.tail().times_forgotten();
        let _ = ring.send(Arc::new(Batch::at(head, forgotten)));
        return Ok(head);
    };
    while position < head && ring.receiver_count() > 0 {
        // Before they are taken: what is erased meanwhile may be among them as it was.
        let forgotten = desk.tail().times_forgotten();
        let events = after(desk, position).await?;
        let Some(last) = events.last().map(|event| event.sequence_id) else {
            break;
        };
        let bytes: usize = events.iter().map(Event::bytes).sum();
        // One that is larger than a batch is not kept for everyone: each one reads it when it is ready.
        let batch = if bytes > 2 * BATCH_BYTES {
            Batch::at(last, forgotten)
        } else {
            Batch::write(position, forgotten, &events)?
        };
        // An error says that nobody follows any more.
        let _ = ring.send(Arc::new(batch));
        position = last;
    }
    Ok(position)
}

/// Events after the position: from memory, if they are still there.
async fn after(desk: &Desk, position: i64) -> Result<Vec<Event>, Problem> {
    if let Some(newest) = desk.tail().after(position, BATCH) {
        let mut bytes = 0;
        let fits = newest.events().take_while(|event| {
            let first = bytes == 0;
            bytes += event.bytes();
            first || bytes <= BATCH_BYTES
        });
        return Ok(fits.cloned().collect());
    }
    let filter = Filter {
        after: Some(position),
        limit: i64::try_from(BATCH).unwrap_or(i64::MAX),
        bytes: Some(BATCH_BYTES),
        ..Filter::default()
    };
    desk.ask(move |log| async move { read::page(&log, &filter).await })
        .await
}
