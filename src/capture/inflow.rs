//! What comes in: the stream, and in front of it the transactions that it brought while they ran.

use super::staging::Staging;
use crate::fault::Result;
use crate::wal::{DurablePosition, Lsn, Received, Stream};

/// The stream as the intake takes it: transactions as a whole, in the order of their commits.
pub(super) struct Inflow {
    stream: Stream,
    /// Where large transactions arrive while they run.
    staging: Option<Staging>,
}

impl Inflow {
    pub(super) fn new(stream: Stream) -> Self {
        let staging = stream.streams().then(Staging::default);
        Self { stream, staging }
    }

    /// The next message. Safe to drop while it waits.
    ///
    /// # Errors
    /// As [`Stream::receive`], and as [`Staging::take`].
    pub(super) async fn receive(&mut self) -> Result<Received> {
        let Some(staging) = &mut self.staging else {
            return self.stream.receive().await;
        };
        if staging.releases() {
            self.stream.not_listening().await?;
            if let Some(released) = staging.next()? {
                return Ok(released);
            }
        }
        let received = self.stream.receive().await?;
        staging.take(received)
    }

    /// The next message, if it is there. Asks nothing of the system but what was staged in a file.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(super) fn receive_read(&mut self) -> Result<Option<Received>> {
        let Some(staging) = &mut self.staging else {
            return self.stream.receive_read();
        };
        if let Some(released) = staging.next()? {
            return Ok(Some(released));
        }
        let received = self.stream.receive_read()?;
        received.map(|received| staging.take(received)).transpose()
    }

    /// Whether nothing more is there.
    pub(super) fn is_drained(&self) -> bool {
        !self.staging.as_ref().is_some_and(Staging::releases) && self.stream.is_drained()
    }

    /// As [`Stream::rest`].
    pub(super) fn rest(&mut self) -> Result<()> {
        self.stream.rest()
    }

    /// As [`Stream::not_listening`].
    pub(super) async fn not_listening(&mut self) -> Result<()> {
        self.stream.not_listening().await
    }

    /// As [`Stream::acknowledge`].
    pub(super) fn acknowledge(&mut self, durable: &impl DurablePosition) {
        self.stream.acknowledge(durable);
    }

    /// Bytes of transactions that wait for their commit, or are being taken in.
    pub(super) fn staged_bytes(&self) -> Option<u64> {
        self.staging.as_ref().map(Staging::bytes)
    }

    /// The end of a transaction that the next session has to read as a whole.
    pub(super) fn whole_until(&self) -> Option<Lsn> {
        self.staging.as_ref().and_then(Staging::whole_until)
    }

    /// As [`Stream::close`]. What is staged is dropped: it comes again.
    pub(super) async fn close(self) {
        self.stream.close().await;
    }
}
