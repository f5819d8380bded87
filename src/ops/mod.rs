//! Beside the data's way: settings, commands, HTTP, metrics, logging, systemd.

pub mod commands;
pub mod settings;
