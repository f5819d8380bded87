//! Messages one behind the other: the newest in memory, the others in a file that has no name, so
//! that nothing is left of it when the process ends, however that ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::task::block_in_place;

/// Bytes that are read back at once.
const PIECE: usize = 256 << 10;

/// Messages, each behind its length.
#[derive(Debug, Default)]
pub(super) struct Pile {
    file: Option<File>,
    in_file: u64,
    /// What stands behind the file's content.
    newest: Vec<u8>,
}

impl Pile {
    /// Where the next message will stand.
    pub(super) fn end(&self) -> u64 {
        self.in_file + self.newest.len() as u64
    }

    /// Bytes in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.newest.len()
    }

    /// Adds a message that comes in two parts.
    pub(super) fn add(&mut self, kind: u8, rest: &[u8]) {
        let length = rest.len() + 1;
        self.newest.extend_from_slice(&length.to_ne_bytes());
        self.newest.push(kind);
        self.newest.extend_from_slice(rest);
    }

    /// Adds a message.
    pub(super) fn add_whole(&mut self, message: &[u8]) {
        self.newest.extend_from_slice(&message.len().to_ne_bytes());
        self.newest.extend_from_slice(message);
    }

    /// Drops everything from `start` on.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub(super) fn cut(&mut self, start: u64) -> io::Result<()> {
        match start.checked_sub(self.in_file) {
            Some(kept) => self
                .newest
                .truncate(usize::try_from(kept).unwrap_or(usize::MAX)),
            None => {
                self.newest.clear();
                self.in_file = start;
                if let Some(file) = &self.file {
                    block_in_place(|| file.set_len(start))?;
                }
            }
        }
        Ok(())
    }

    /// Writes to the file what is in memory.
    ///
    /// # Errors
    /// If there is no room, or the file cannot be made.
    pub(super) fn spill(&mut self) -> io::Result<()> {
        block_in_place(|| {
            let file = match self.file.take() {
                Some(file) => file,
                None => tempfile::tempfile()?,
            };
            file.write_all_at(&self.newest, self.in_file)?;
            self.file = Some(file);
            self.in_file += self.newest.len() as u64;
            self.newest.clear();
            Ok(())
        })
    }

    /// Nothing is added for a while: what memory is not in use is given back.
    pub(super) fn rest(&mut self) {
        self.newest.shrink_to_fit();
    }

    /// Gives the messages back, from the first one on.
    pub(super) fn read(self) -> Reading {
        Reading {
            file: self.file,
            at: 0,
            in_file: self.in_file,
            newest: self.newest.into(),
            piece: BytesMut::new(),
        }
    }
}

/// A pile that is read.
#[derive(Debug)]
pub(super) struct Reading {
    file: Option<File>,
    at: u64,
    in_file: u64,
    newest: Bytes,
    piece: BytesMut,
}

impl Reading {
    /// The next message.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.split() {
                return Ok(Some(message));
            }
            if !self.fill()? {
                return match self.piece.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Bytes that are still to come.
    pub(super) fn bytes(&self) -> u64 {
        self.in_file - self.at + (self.newest.len() + self.piece.len()) as u64
    }

    fn split(&mut self) -> Option<Bytes> {
        let length = usize::from_ne_bytes(*self.piece.first_chunk()?);
        if self.piece.len() - size_of::<usize>() < length {
            return None;
        }
        self.piece.advance(size_of::<usize>());
        Some(self.piece.split_to(length).freeze())
    }

    fn fill(&mut self) -> io::Result<bool> {
        let left = usize::try_from(self.in_file - self.at).unwrap_or(usize::MAX);
        let Some(file) = self.file.as_ref().filter(|_| left > 0) else {
            let newest = std::mem::take(&mut self.newest);
            self.piece.extend_from_slice(&newest);
            return Ok(!newest.is_empty());
        };
        let have = self.piece.len();
        self.piece.resize(have + left.min(PIECE), 0);
        let piece = self.piece.get_mut(have..).unwrap_or_default();
        // Written a moment ago, it is in memory: handing the other tasks over would take longer.
        file.read_exact_at(piece, self.at)?;
        self.at += piece.len() as u64;
        Ok(true)
    }
}
