//! What protocol version 2 adds: transactions that arrive while they run.
//!
//! Their messages come in blocks, between Stream Start and Stream Stop, and carry the id of the
//! (sub)transaction behind their kind; blocks of several transactions interleave. Shapes: PostgreSQL
//! manual, "Logical Replication Message Formats".

use super::{DecodeError, cursor::Cursor};
use crate::wal::Lsn;

/// A message about a transaction that arrives while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streamed {
    /// A block of its messages begins.
    Start {
        /// Transaction id.
        xid: u32,
    },
    /// The block ends.
    Stop,
    /// It was committed.
    Commit(StreamCommit),
    /// It, or a part of it, was rolled back.
    Abort {
        /// Transaction id.
        xid: u32,
        /// The subtransaction that was rolled back; the same for all of it.
        subtransaction: u32,
    },
}

/// The commit of a transaction that arrived while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// Transaction id.
    pub xid: u32,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// Where the commit record ends.
    pub end_lsn: Lsn,
    /// Microseconds since 2000-01-01 UTC.
    pub commit_time: i64,
}

impl StreamCommit {
    /// The Begin that protocol version 1 would have brought.
    #[must_use]
    pub fn begin_message(&self) -> Vec<u8> {
        let mut bytes = vec![b'B'];
        bytes.extend(self.commit_lsn.0.to_be_bytes());
        bytes.extend(self.commit_time.to_be_bytes());
        bytes.extend(self.xid.to_be_bytes());
        bytes
    }

    /// The Commit that protocol version 1 would have brought.
    #[must_use]
    pub fn commit_message(&self) -> Vec<u8> {
        let mut bytes = vec![b'C', 0];
        bytes.extend(self.commit_lsn.0.to_be_bytes());
        bytes.extend(self.end_lsn.0.to_be_bytes());
        bytes.extend(self.commit_time.to_be_bytes());
        bytes
    }
}

/// A message inside of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside<'a> {
    /// What protocol version 1 has in front of the rest.
    pub kind: u8,
    /// The (sub)transaction that it belongs to. A logical message always names the transaction.
    pub xid: u32,
    /// The rest, as in protocol version 1.
    pub rest: &'a [u8],
}

/// Reads a message that stands outside of blocks, or ends one; `None` if it is one of protocol
/// version 1.
///
/// # Errors
/// As [`decode`](super::decode).
pub fn streamed(bytes: &[u8]) -> Result<Option<Streamed>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let message = match cursor.u8("message kind")? {
        b'S' => {
            let xid = cursor.u32("stream start's xid")?;
            cursor.u8("stream start's flags")?;
            Streamed::Start { xid }
        }
        b'E' => Streamed::Stop,
        b'c' => Streamed::Commit(commit(&mut cursor)?),
        b'A' => Streamed::Abort {
            xid: cursor.u32("stream abort's xid")?,
            subtransaction: cursor.u32("stream abort's subtransaction")?,
        },
        _ => return Ok(None),
    };
    cursor.end("message")?;
    Ok(Some(message))
}

fn commit(cursor: &mut Cursor<'_>) -> Result<StreamCommit, DecodeError> {
    let xid = cursor.u32("stream commit's xid")?;
    cursor.u8("stream commit's flags")?;
    Ok(StreamCommit {
        xid,
        commit_lsn: Lsn(cursor.u64("stream commit's LSN")?),
        end_lsn: Lsn(cursor.u64("stream commit's end LSN")?),
        commit_time: cursor.i64("stream commit's time")?,
    })
}

/// Takes the id out of a message inside of a block.
///
/// # Errors
/// If it ends before the id does.
pub fn inside(bytes: &[u8]) -> Result<Inside<'_>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    Ok(Inside {
        kind: cursor.u8("message kind")?,
        xid: cursor.u32("streamed message's xid")?,
        rest: cursor.rest(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Message, decode};
    use super::*;

    const COMMIT: StreamCommit = StreamCommit {
        xid: 733,
        commit_lsn: Lsn(0x16_B374_D848),
        end_lsn: Lsn(0x16_B374_D878),
        commit_time: -5,
    };

    fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[kind], parts.concat().as_slice()].concat()
    }

    #[test]
    fn blocks_their_commit_and_their_abort_are_read() {
        let xid = 733_u32.to_be_bytes();
        let start = message(b'S', &[&xid, &[1]]);
        assert_eq!(streamed(&start), Ok(Some(Streamed::Start { xid: 733 })));
        assert_eq!(streamed(b"E"), Ok(Some(Streamed::Stop)));
        let abort = message(b'A', &[&xid, &734_u32.to_be_bytes()]);
        let aborted = Streamed::Abort {
            xid: 733,
            subtransaction: 734,
        };
        assert_eq!(streamed(&abort), Ok(Some(aborted)));
        let positions = [COMMIT.commit_lsn.0, COMMIT.end_lsn.0].map(u64::to_be_bytes);
        let time = COMMIT.commit_time.to_be_bytes();
        let commit = message(b'c', &[&xid, &[0], positions.as_flattened(), &time]);
        assert_eq!(streamed(&commit), Ok(Some(Streamed::Commit(COMMIT))));
        for bytes in [&start, &abort, &commit] {
            assert!(streamed(&bytes[..bytes.len() - 1]).is_err());
            assert!(streamed(&[bytes.as_slice(), &[0]].concat()).is_err());
        }
        assert_eq!(streamed(&COMMIT.begin_message()), Ok(None));
    }

    #[test]
    fn a_stream_commit_is_told_as_a_transaction_of_protocol_1() {
        let begin = Message::Begin {
            commit_lsn: COMMIT.commit_lsn,
            commit_time: -5,
            xid: 733,
        };
        assert_eq!(decode(&COMMIT.begin_message()), Ok(begin));
        let commit = Message::Commit {
            commit_lsn: COMMIT.commit_lsn,
            end_lsn: COMMIT.end_lsn,
            commit_time: -5,
        };
        assert_eq!(decode(&COMMIT.commit_message()), Ok(commit));
    }

    #[test]
    fn the_id_is_taken_out_of_a_message_inside_of_a_block() {
        let bytes = message(b'I', &[&9_u32.to_be_bytes(), b"rest"]);
        let taken = Inside {
            kind: b'I',
            xid: 9,
            rest: b"rest",
        };
        assert_eq!(inside(&bytes), Ok(taken));
        assert!(inside(&bytes[..4]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_message_or_an_error(
            kind in proptest::sample::select(b"SEcAIM".to_vec()),
            tail in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let bytes = message(kind, &[&tail]);
            let _ = (streamed(&bytes), inside(&bytes));
        }
    }
}
