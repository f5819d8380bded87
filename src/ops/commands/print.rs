//! How commands print: tables for people, JSON for programs, and no panic where the reader is gone.

use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Write};

use comfy_table::{ContentArrangement, Table, presets};

use crate::fault::{Fault, Result};

/// Columns of a terminal below which a table is not fitted to it.
const NARROW: u16 = 60;

/// Prints text as it is.
///
/// # Errors
/// If standard output cannot be written. A reader such as `head` that has gone away is no fault.
pub(super) fn text(text: &str) -> Result<()> {
    write(text).map(|_| ())
}

/// Prints one line; `false` if the reader has gone away.
pub(super) fn line_is_read(line: &str) -> Result<bool> {
    write(&format!("{line}\n"))
}

/// Asks for a yes. `unasked` says why it cannot where there is no terminal.
///
/// # Errors
/// If nobody can answer.
pub(super) fn confirmed(question: &str, unasked: impl FnOnce() -> Fault) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(unasked());
    }
    print!("{question} [y/N] ");
    // A prompt that cannot be shown is answered blindly, which the default covers.
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Fault::permanent("cannot read the answer").because(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn write(text: &str) -> Result<bool> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Fault::permanent("cannot write to standard output").because(error)),
    }
}

/// Prints one line.
pub(super) fn line(line: impl AsRef<str>) -> Result<()> {
    text(&format!("{}\n", line.as_ref()))
}

/// Prints a JSON value.
pub(super) fn json(value: &serde_json::Value) -> Result<()> {
    line(format!("{value:#}"))
}

/// Prints a table with a head and aligned columns.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let mut table = Table::new();
    // A terminal that is too narrow, or does not know its width, gets long lines, not tall columns.
    let arrangement = match table.width() {
        Some(width) if width < NARROW => ContentArrangement::Disabled,
        _ => ContentArrangement::Dynamic,
    };
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement)
        .set_header(head);
    for row in rows {
        table.add_row(row);
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    line(lines.join("\n"))
}
