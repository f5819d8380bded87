//! One command, one file.

pub mod backfill;
pub mod check;
pub mod config;
pub mod deliveries;
pub mod events;
pub mod keys;
pub mod explain;
mod print;
pub mod run;
pub mod setup;
pub mod status;
pub mod teardown;
pub mod webhooks;
