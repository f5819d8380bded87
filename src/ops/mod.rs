//! Beside the data's way: settings, commands, HTTP, metrics, logging, systemd.

pub mod health;
pub mod http;
pub mod metrics;
pub mod pulse;
pub mod settings;
pub mod systemd;
pub mod upkeep;
