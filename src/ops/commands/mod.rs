//! One command, one file.

pub mod backfill;
pub mod catalog;
pub mod check;
pub mod config;
mod context_triggers;
pub mod deliveries;
pub mod emit;
pub mod events;
pub mod explain;
pub mod forget;
pub mod keys;
mod print;
pub mod replay;
pub mod run;
pub mod setup;
pub mod status;
pub mod teardown;
pub mod webhooks;
