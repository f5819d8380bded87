//! Beside the data's way: settings, commands, HTTP, metrics, logging, systemd.

pub mod metrics;
pub mod pulse;
pub mod settings;
