//! Commands on a replication session: the simple query protocol, columns as text.

use bytes::{Buf, Bytes};
use pgwire_replication::PgWireError;
use pgwire_replication::protocol::framing::{read_backend_message, write_query};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Target;
use super::server_error::{refusal, session_fault};
use crate::fault::{Fault, Result};

/// One row; `None` is null.
pub(super) type TextRow = Vec<Option<String>>;

/// Runs a command and collects its rows.
///
/// # Errors
/// By the server's SQLSTATE.
pub(super) async fn command_rows<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
    sql: &str,
) -> Result<Vec<TextRow>> {
    let fault = |error: PgWireError| session_fault(target, &error);
    write_query(stream, sql).await.map_err(fault)?;
    let mut rows = Vec::new();
    let mut refused = None;
    loop {
        let message = read_backend_message(stream).await.map_err(fault)?;
        match message.tag {
            b'D' => rows.push(text_row(message.payload).ok_or_else(|| {
                Fault::transient(format!("a row from {} cannot be read", target.label()))
            })?),
            b'E' => refused = Some(refusal(target, &message.payload)),
            b'Z' => return refused.map_or(Ok(rows), Err),
            _ => {}
        }
    }
}

/// Reads a DataRow (PostgreSQL manual, "Message Formats").
fn text_row(mut payload: Bytes) -> Option<TextRow> {
    let columns = payload.try_get_i16().ok()?;
    let column = |_| match usize::try_from(payload.try_get_i32().ok()?) {
        Ok(length) if length <= payload.len() => Some(Some(
            String::from_utf8_lossy(&payload.split_to(length)).into_owned(),
        )),
        Ok(_) => None,
        // A negative length is null.
        Err(_) => Some(None),
    };
    (0..columns).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_broken_ones_refused() {
        let row = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        assert_eq!(
            text_row(Bytes::from_static(row)),
            Some(vec![Some("a".to_owned()), None])
        );
        for cut in 0..row.len() {
            assert_eq!(text_row(Bytes::copy_from_slice(&row[..cut])), None, "{cut}");
        }
    }
}
