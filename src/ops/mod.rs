//! Beside the data's way: settings, commands, HTTP, metrics, logging, systemd.

pub mod settings;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod pulse;
pub mod systemd;
pub mod upkeep;
pub mod wal_budget;
