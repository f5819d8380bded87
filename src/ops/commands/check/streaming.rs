//! Transactions that arrive while they run: when they do, and where they wait.

use super::Report;
use crate::fault::Result;
use crate::ops::settings::Settings;
use crate::wal::{Connection, Streaming, server_error::sql_fault};

pub(super) async fn look(
    connection: &Connection,
    settings: &Settings,
    report: &mut Report,
) -> Result<()> {
    if settings.source.streaming == Streaming::Off {
        return Ok(());
    }
    let fault = |error| sql_fault("cannot read the server's settings", error);
    let row = connection.query_one("show logical_decoding_work_mem", &[]);
    let memory: String = row.await.map_err(fault)?.try_get(0).map_err(fault)?;
    let directory = std::env::temp_dir();
    let directory = directory.display();
    match tempfile::tempfile() {
        Ok(_) => report.good(
            "streaming",
            format!(
                "transactions beyond logical_decoding_work_mem = {memory} wait for their commit in {directory}"
            ),
        ),
        Err(error) => report.bad(
            "streaming",
            format!("no file can be made in the temporary directory {directory}: {error}"),
            "let TMPDIR name another directory, or set source.streaming = false",
        ),
    }
    Ok(())
}
