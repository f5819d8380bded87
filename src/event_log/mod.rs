//! The event log: events → Postgres, exactly once; and back out of it.
//!
//! Events are encoded as they come ([`Batch`]), appended by the one [`Writer`] together with the
//! [`Checkpoint`], and read back by [`read`] or, at the head and where many read the same, from the
//! [`Tail`] in memory.

pub mod attempts;
pub mod backfills;
mod batch;
pub mod breakers;
pub mod by_time;
mod checkpoint;
mod chunk;
mod copy;
pub mod encoding;
pub mod erasures;
pub mod facts;
pub mod deliveries;
pub mod gap;
pub mod history;
pub mod keys;
mod link;
pub mod migrate;
mod note;
pub mod objects;
pub mod ordering;
mod pages;
pub mod past;
pub mod read;
pub mod replays;
pub mod retention;
mod published;
pub mod requests;
pub mod scheduled;
mod segments;
mod section;
mod settings;
mod tail;
mod writer;

pub use batch::{Batch, Transaction};
pub use checkpoint::{Checkpoint, Durable};
pub use chunk::{Chunk, TransactionEnd};
pub use link::Link;
pub use note::{Inlet, Note, WAITING_NOTES};
pub use published::{Member, Published};
pub use section::Section;
pub use segments::{Unindexed, holding as segments_of};
pub use settings::LogSettings;
pub use tail::Tail;
pub use writer::Writer;
