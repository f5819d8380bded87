//! A committed transaction on its way to the intake.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;

use super::pile::Reading;
use super::shapes::Shapes;
use super::stage::Stage;
use crate::decode::StreamCommit;
use crate::wal::{Lsn, Received};

/// Gives a transaction on, message by message, as protocol version 1 would have brought it.
#[derive(Debug)]
pub(super) struct Release {
    commit_lsn: Lsn,
    begin: Option<Bytes>,
    staged: Reading,
    /// What follows: newer shapes of its relations, and the commit.
    after: VecDeque<Bytes>,
}

impl Release {
    pub(super) fn new(commit: StreamCommit, stage: Stage, shapes: &mut Shapes) -> Self {
        let (staged, last_shapes) = stage.read();
        let mut after: VecDeque<Bytes> = last_shapes
            .filter_map(|(oid, sent)| shapes.published(oid, sent))
            .collect();
        after.push_back(commit.commit_message().into());
        Self {
            commit_lsn: commit.commit_lsn,
            begin: Some(commit.begin_message().into()),
            staged,
            after,
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// If the temporary file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Received>> {
        let message = match self.begin.take() {
            Some(begin) => Some(begin),
            None => self.staged.next()?.or_else(|| self.after.pop_front()),
        };
        Ok(message.map(|message| Received::Data {
            at: self.commit_lsn,
            message,
        }))
    }

    /// Bytes that are still staged.
    pub(super) fn bytes(&self) -> u64 {
        self.staged.bytes()
    }
}
