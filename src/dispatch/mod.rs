//! From the log to the webhooks: lanes, cursors, retries, parked deliveries.

pub mod pattern;
pub mod retry;
mod subscription;

pub use subscription::{Order, Start, Subscription};
