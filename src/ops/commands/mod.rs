//! One command, one file.

pub mod config;
