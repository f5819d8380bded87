//! The loop that carries changes from the stream into the log.
//!
//! One batch fills while the one before it commits. With nothing to commit a transaction is
//! appended as soon as it is complete; under load batches grow by themselves, up to a bound at which
//! the stream is no longer read. Only what is durable is acknowledged. Where transactions arrive while
//! they run, `inflow` puts them aside in front of all that, and gives them on at their commit.

mod attributes;
pub mod backfill;
pub mod continuity;
pub mod histories;
mod idle;
mod inflow;
mod intake;
mod objects;
mod pace;
mod recall;
pub mod resume;
pub mod scheduler;
mod session;
mod staging;
mod start;
pub mod survey;
pub mod tables;
mod timer;

pub use session::{Capturer, Ended, Standing};
