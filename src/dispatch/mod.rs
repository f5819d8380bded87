//! From the log to the webhooks: lanes, cursors, retries, parked deliveries.
//!
//! One [`Runner`] per subscription. What to do is decided by pure parts (`window`, `breaker`,
//! [`retry`], [`pattern`]); the runner reads, sends and flushes.

mod breaker;
mod choice;
mod lane;
pub mod pattern;
pub mod replay;
pub mod replays;
pub mod retry;
mod runner;
mod subscription;
pub mod switchboard;
mod window;

pub use choice::{Choice, Rule};
pub use runner::Runner;
pub use subscription::{Order, Start, Subscription};
