//! From the log to the webhooks: lanes, cursors, retries, parked deliveries.
//!
//! One [`Runner`] per subscription. What to do is decided by pure parts (`window`, `breaker`,
//! [`retry`], [`pattern`]); the runner reads, sends and flushes.

pub mod account;
mod breaker;
mod choice;
mod deaths;
mod lag;
mod lane;
mod ordering;
pub mod pattern;
mod rate;
pub mod recorder;
pub mod replay;
pub mod replays;
pub mod retry;
mod runner;
mod subscription;
pub mod switchboard;
mod window;

pub use choice::{Choice, Conditions, Rule};
pub use ordering::OrderBy;
pub use rate::Rate;
pub use runner::Runner;
pub use subscription::{Batching, Keeps, Order, Start, Subscription};
