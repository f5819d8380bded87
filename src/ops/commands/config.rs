//! `rowhook config`: the schema for editors, and the settings as they came out.

use std::io::{ErrorKind, Write};
use std::path::Path;

use crate::fault::{Fault, Result};
use crate::ops::settings;

/// Prints the JSON Schema of the settings file.
///
/// # Errors
/// Standard output is full.
pub fn schema() -> Result<()> {
    print(&format!("{:#}\n", settings::schema()))
}

/// Prints the effective settings, as TOML or as JSON, every secret redacted.
///
/// # Errors
/// The file cannot be read or is not what the schema allows; or standard output is full.
pub fn show(path: &Path, json: bool) -> Result<()> {
    print(&settings::show(path, json)?)
}

/// `print!` panics where a reader such as `head` has gone away, which is no fault.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fault::permanent("writing to standard output").because(error))
        }
        _ => Ok(()),
    }
}
