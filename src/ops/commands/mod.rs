//! One command, one file.

pub mod backfill;
pub mod check;
pub mod config;
pub mod events;
pub mod forget;
mod print;
pub mod replay;
pub mod run;
pub mod setup;
pub mod status;
pub mod teardown;
pub mod webhooks;
