//! One command, one file.

pub mod at;
pub mod backfill;
pub mod catalog;
pub mod check;
pub mod config;
mod context_triggers;
pub mod deliveries;
pub mod emit;
pub mod erase;
pub mod events;
pub mod explain;
pub mod forget;
pub mod keys;
pub mod listen;
mod print;
pub mod replay;
pub mod run;
pub mod setup;
pub mod status;
mod story;
pub mod teardown;
pub mod webhooks;
