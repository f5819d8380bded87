//! pgoutput, protocol versions 1 and 2: bytes → messages and row changes. Pure; every read is checked.

mod change;
mod cursor;
mod message;
mod streamed;
#[cfg(test)]
mod tests;

pub use change::{Before, Field, Tuple};
pub use message::{Change, Message, Relation, RelationColumn, RowChange, decode};
pub use streamed::{Inside, StreamCommit, Streamed, inside, streamed};

/// Bytes that are not the message they claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message ends inside of this part.
    #[error("the message ends inside the {0}")]
    Truncated(&'static str),
    /// A length below zero.
    #[error("the {0} is negative")]
    NegativeLength(&'static str),
    /// A tag that the protocol does not have.
    #[error("unknown {0} {1:#04x}")]
    Unknown(&'static str, u8),
    /// Bytes that nothing accounts for.
    #[error("{1} bytes too many after the {0}")]
    Excess(&'static str, usize),
}
