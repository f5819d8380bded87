//! Beside the data's way: settings, commands, HTTP, metrics, logging, systemd.

pub mod api;
pub mod settings;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod health;
pub mod logging;
pub mod metrics;
pub mod pulse;
mod reading;
pub mod systemd;
pub mod upkeep;
pub mod wal_budget;
