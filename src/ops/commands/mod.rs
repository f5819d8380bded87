//! One command, one file.

pub mod at;
pub mod backfill;
pub mod check;
pub mod config;
pub mod deliveries;
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
