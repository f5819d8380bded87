//! What a running transaction has sent so far.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;

use super::nesting::Nesting;
use super::pile::{Pile, Reading};
use super::shapes::{Sent, Shapes, relation_of};
use crate::capture::backfill;
use crate::decode::{DecodeError, Inside, Message, decode};
use crate::event::{CONTEXT_PREFIX, EMIT_PREFIX};
use crate::wal::Lsn;

/// A running transaction.
#[derive(Debug, Default)]
pub(super) struct Stage {
    pile: Pile,
    nesting: Nesting,
    /// The last shape of each relation, and where it stands.
    shapes: HashMap<u32, (u64, Sent)>,
}

impl Stage {
    /// Adds a message.
    ///
    /// # Errors
    /// If it is none that can stand inside of a block.
    pub(super) fn add(
        &mut self,
        inside: &Inside<'_>,
        at: Lsn,
        shapes: &mut Shapes,
    ) -> Result<(), DecodeError> {
        let Inside { kind, xid, rest } = *inside;
        match kind {
            b'I' | b'U' | b'D' | b'T' => self.nesting.row(xid, self.pile.end(), at),
            b'R' => {
                let message = Bytes::from([&[kind], rest].concat());
                let oid = relation_of(&message).ok_or(DecodeError::Truncated("relation's oid"))?;
                self.add_shape(oid, shapes.arrived(message));
                return Ok(());
            }
            b'M' => match of_ours(&[&[kind], rest].concat())? {
                Some(lsn) => self.nesting.said(self.pile.end(), lsn),
                None => return Ok(()),
            },
            // Names of types and origins are not needed.
            b'Y' | b'O' => return Ok(()),
            kind => return Err(DecodeError::Unknown("kind of a streamed message", kind)),
        }
        self.pile.add(kind, rest);
        Ok(())
    }

    /// The server repeats a shape in each block, once something of the relation was altered.
    fn add_shape(&mut self, oid: u32, sent: Sent) {
        match self.shapes.get_mut(&oid) {
            Some((_, before)) if before.message == sent.message => before.arrival = sent.arrival,
            _ => {
                let place = self.pile.end();
                self.pile.add_whole(&sent.message);
                self.shapes.insert(oid, (place, sent));
            }
        }
    }

    /// Drops what a subtransaction has sent; but not the shapes of relations, which the server does
    /// not send again.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub(super) fn roll_back(&mut self, subtransaction: u32) -> io::Result<()> {
        let start = self.nesting.roll_back(subtransaction, self.pile.end());
        self.pile.cut(start)?;
        let gone = self
            .shapes
            .values_mut()
            .filter(|(place, _)| *place >= start);
        let mut gone: Vec<&mut (u64, Sent)> = gone.collect();
        gone.sort_unstable_by_key(|(place, _)| *place);
        for (place, sent) in gone {
            *place = self.pile.end();
            self.pile.add_whole(&sent.message);
        }
        Ok(())
    }

    /// Whether nobody knows all that it says: it has to be read as a whole.
    pub(super) fn is_doubtful(&self) -> bool {
        self.nesting.is_doubtful()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.pile.end()
    }

    pub(super) fn bytes_in_memory(&self) -> usize {
        self.pile.in_memory()
    }

    /// Writes what is in memory to its file.
    ///
    /// # Errors
    /// If there is no room for it.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        self.pile.spill()
    }

    /// Its block has ended.
    pub(super) fn rest(&mut self) {
        self.pile.rest();
    }

    /// Its messages, and the last shapes among them.
    pub(super) fn read(self) -> (Reading, impl Iterator<Item = (u32, Sent)>) {
        let shapes = self.shapes.into_iter();
        (self.pile.read(), shapes.map(|(oid, (_, sent))| (oid, sent)))
    }
}

/// Where a logical message that we take ends in the WAL; `None` for those of others.
fn of_ours(message: &[u8]) -> Result<Option<Lsn>, DecodeError> {
    let Message::Logical { lsn, prefix, .. } = decode(message)? else {
        return Ok(None);
    };
    let ours = [CONTEXT_PREFIX, EMIT_PREFIX, backfill::PREFIX];
    Ok(ours.contains(&prefix.as_str()).then_some(lsn))
}
