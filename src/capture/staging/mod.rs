//! Transactions that arrive while they run: put aside until they are committed.
//!
//! ```text
//!  stream ──▶ outside of blocks: as it is ──────────────────────────▶ intake
//!         └─▶ inside of a block: to the transaction's stage ─ commit ─▶
//! ```
//!
//! What is given on has the shape of protocol version 1: a transaction comes as a whole, at its
//! commit. Stages are worth nothing without their session: the next one is sent all running
//! transactions from their beginnings, because the slot's `restart_lsn` stays before them.

mod nesting;
mod pile;
mod release;
mod shapes;
mod stage;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;

use self::release::Release;
use self::shapes::Shapes;
use self::stage::Stage;
use crate::decode::{StreamCommit, Streamed, inside, streamed};
use crate::fault::{Fault, Result};
use crate::wal::{Lsn, Received};

/// Bytes of all stages that are kept in memory. Servers stream only what is larger than their
/// `logical_decoding_work_mem`, so most of a stage goes to a file: this is what is written at once.
const IN_MEMORY: usize = 2 << 20;

/// Puts running transactions aside.
#[derive(Debug, Default)]
pub(super) struct Staging {
    stages: HashMap<u32, Stage>,
    /// The transaction whose block is being received.
    open: Option<(u32, Stage)>,
    /// Bytes in memory of the stages that are not open.
    in_memory: usize,
    /// The committed transaction that is being given on.
    release: Option<Release>,
    shapes: Shapes,
    /// The end of a transaction that has to be read as a whole.
    whole_until: Option<Lsn>,
}

impl Staging {
    /// Takes what the stream brings, and tells what is to be taken in.
    ///
    /// # Errors
    /// Transient where nothing can be written to the temporary directory, and where a transaction
    /// has to be read as a whole; permanent where the stream does not follow its protocol.
    pub(super) fn take(&mut self, received: Received) -> Result<Received> {
        let Received::Data { at, message } = &received else {
            return Ok(received);
        };
        let kind = message.first().copied();
        match kind {
            Some(b'S' | b'E' | b'c' | b'A') => {
                let streamed = streamed(message).map_err(unreadable)?;
                self.follow(streamed.ok_or_else(out_of_place)?)
            }
            _ if self.open.is_some() => self.put_aside(message, *at),
            Some(b'R') => {
                self.shapes.passed(message);
                Ok(received)
            }
            _ => Ok(received),
        }
    }

    /// The next message of a committed transaction; `None` if there is none, and the stream is to be
    /// read again.
    ///
    /// # Errors
    /// Transient where the temporary file cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Received>> {
        let Some(release) = &mut self.release else {
            return Ok(None);
        };
        let next = release.next().map_err(no_staging)?;
        if next.is_none() {
            self.release = None;
        }
        Ok(next)
    }

    /// Whether a committed transaction is being given on: then the stream is not read.
    pub(super) fn releases(&self) -> bool {
        self.release.is_some()
    }

    /// Bytes that are put aside.
    pub(super) fn bytes(&self) -> u64 {
        let open = self.open.as_ref().map(|(_, stage)| stage);
        let waiting: u64 = self.stages.values().chain(open).map(Stage::bytes).sum();
        waiting + self.release.as_ref().map_or(0, Release::bytes)
    }

    /// The end of a transaction that the next session has to read as a whole.
    pub(super) fn whole_until(&self) -> Option<Lsn> {
        self.whole_until
    }

    fn follow(&mut self, streamed: Streamed) -> Result<Received> {
        match streamed {
            Streamed::Start { xid } if self.open.is_none() => {
                let stage = self.stages.remove(&xid).unwrap_or_default();
                self.in_memory = self.in_memory.saturating_sub(stage.bytes_in_memory());
                self.open = Some((xid, stage));
            }
            Streamed::Stop => {
                let (xid, mut stage) = self.open.take().ok_or_else(out_of_place)?;
                stage.rest();
                self.in_memory += stage.bytes_in_memory();
                self.stages.insert(xid, stage);
            }
            Streamed::Commit(commit) => self.commit(commit)?,
            Streamed::Abort {
                xid,
                subtransaction,
            } => self.roll_back(xid, subtransaction)?,
            Streamed::Start { .. } => return Err(out_of_place()),
        }
        Ok(Received::Aside)
    }

    fn put_aside(&mut self, message: &[u8], at: Lsn) -> Result<Received> {
        let Some((_, stage)) = &mut self.open else {
            return Err(out_of_place());
        };
        let inside = inside(message).map_err(unreadable)?;
        stage
            .add(&inside, at, &mut self.shapes)
            .map_err(unreadable)?;
        if self.in_memory + stage.bytes_in_memory() > IN_MEMORY {
            self.spill().map_err(no_staging)?;
        }
        Ok(Received::Aside)
    }

    /// Empties the largest part of the memory into its file: so what is written is never small.
    fn spill(&mut self) -> io::Result<()> {
        let Some((_, open)) = &mut self.open else {
            return Ok(());
        };
        let largest = self
            .stages
            .values_mut()
            .max_by_key(|stage| stage.bytes_in_memory())
            .filter(|stage| stage.bytes_in_memory() > open.bytes_in_memory());
        match largest {
            Some(stage) => {
                self.in_memory -= stage.bytes_in_memory();
                stage.spill()
            }
            None => open.spill(),
        }
    }

    fn commit(&mut self, commit: StreamCommit) -> Result<()> {
        let stage = self.remove(commit.xid).ok_or_else(out_of_place)?;
        if stage.is_doubtful() {
            self.whole_until = Some(commit.end_lsn);
            return Err(Fault::transient(format!(
                "transaction {} was read while it ran and does not tell which of its messages (rowhook.emit, \
                 rowhook.set_context) belong to a savepoint that was rolled back: it is read again as a whole",
                commit.xid
            )));
        }
        self.release = Some(Release::new(commit, stage, &mut self.shapes));
        Ok(())
    }

    fn roll_back(&mut self, xid: u32, subtransaction: u32) -> Result<()> {
        if xid == subtransaction {
            self.remove(xid);
            return Ok(());
        }
        // Nothing of it may have been staged.
        let Some(stage) = self.stages.get_mut(&xid) else {
            return Ok(());
        };
        self.in_memory = self.in_memory.saturating_sub(stage.bytes_in_memory());
        let cut = stage.roll_back(subtransaction);
        self.in_memory += stage.bytes_in_memory();
        cut.map_err(no_staging)
    }

    fn remove(&mut self, xid: u32) -> Option<Stage> {
        let stage = self.stages.remove(&xid)?;
        self.in_memory = self.in_memory.saturating_sub(stage.bytes_in_memory());
        Some(stage)
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::permanent("the replication stream brought a streamed message that cannot be read")
        .because(error)
        .next_step("set source.streaming = false, and report this with the server's version")
}

fn out_of_place() -> Fault {
    Fault::permanent(
        "the replication stream brought a part of a running transaction in a wrong place",
    )
    .next_step("set source.streaming = false, and report this with the server's version")
}

fn no_staging(error: io::Error) -> Fault {
    let directory = std::env::temp_dir();
    Fault::transient(format!(
        "running transactions cannot be staged in the temporary directory {}",
        directory.display()
    ))
    .because(error)
    .next_step(
        "make room there, let TMPDIR name another directory, or set source.streaming = false",
    )
}
