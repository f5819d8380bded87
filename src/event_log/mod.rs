//! The event log: events → Postgres, exactly once; and back out of it.
//!
//! Events are encoded as they come ([`Batch`]), appended by the one [`Writer`] together with the
//! [`Checkpoint`], and read back by [`read`] or, at the head, from the [`Tail`] in memory.

mod batch;
mod checkpoint;
mod copy;
pub mod deliveries;
pub mod gap;
mod link;
pub mod migrate;
pub mod read;
pub mod retention;
mod segments;
mod settings;
mod tail;
mod writer;

pub use batch::{Batch, Chunk, Transaction, TransactionEnd};
pub use checkpoint::{Checkpoint, Durable};
pub use link::Link;
pub use settings::LogSettings;
pub use tail::Tail;
pub use writer::Writer;
