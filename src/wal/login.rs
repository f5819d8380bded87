//! Logging in to a replication session: startup message, password, SCRAM.

use std::io;

use pgwire_replication::PgWireError;
use pgwire_replication::auth::scram::ScramClient;
use pgwire_replication::protocol::framing::{
    BackendMessage, read_backend_message, write_password_message, write_startup_message,
};
use pgwire_replication::protocol::messages::{auth, parse_auth_request};
use postgres_protocol::authentication::md5_hash;
use tokio::io::{AsyncRead, AsyncWrite};

use super::server_error::{refusal, session_fault};
use super::{Source, Target, readable};
use crate::fault::{Fault, Result};

/// Protocol version 3.0.
const PROTOCOL: i32 = 196_608;

/// Starts a replication session and logs in; returns when the server is ready for commands, with the
/// encoding of its database.
///
/// # Errors
/// By the server's SQLSTATE; permanent for a way of authentication that is not supported.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    source: &Source,
) -> Result<String> {
    let target = &source.target;
    let mut encoding = String::new();
    let (name, options) = (format!("rowhook {}", source.slot), session_options(source));
    let parameters = [
        ("user", target.user.as_str()),
        ("database", target.database.as_str()),
        ("replication", "database"),
        ("client_encoding", "UTF8"),
        ("application_name", name.as_str()),
        ("options", options.as_str()),
    ];
    let fault = |error: PgWireError| session_fault(target, &error);
    write_startup_message(stream, PROTOCOL, &parameters)
        .await
        .map_err(fault)?;
    loop {
        let message = read_backend_message(stream).await.map_err(fault)?;
        match message.tag {
            b'R' => authenticate(stream, target, &message).await?,
            b'E' => return Err(refusal(target, &message.payload)),
            b'Z' => return Ok(encoding),
            b'S' => {
                let mut words = message.payload.split(|byte| *byte == 0);
                if words.next() == Some(b"server_encoding") {
                    encoding = readable(words.next().unwrap_or_default()).into_owned();
                }
            }
            // Key data, notices.
            _ => {}
        }
    }
}

/// Output settings that make a value's text depend on the value alone, and a server that speaks
/// at least twice within the silence timeout.
fn session_options(source: &Source) -> String {
    format!(
        "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 \
         -c bytea_output=hex -c statement_timeout=0 -c wal_sender_timeout={}",
        source.silence_timeout.as_millis().max(1000)
    )
}

async fn authenticate<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
    request: &BackendMessage,
) -> Result<()> {
    let fault = |error: PgWireError| session_fault(target, &error);
    let (code, data) = parse_auth_request(&request.payload).map_err(fault)?;
    let answer = match code {
        auth::OK => return Ok(()),
        auth::SASL => return scram(stream, target, data).await,
        auth::CLEARTEXT_PASSWORD => password(target)?.to_owned(),
        auth::MD5_PASSWORD => {
            let salt = data
                .first_chunk()
                .ok_or_else(|| malformed(target, "MD5 salt"))?;
            md5_hash(target.user.as_bytes(), password(target)?.as_bytes(), *salt)
        }
        code => {
            return Err(Fault::permanent(format!(
                "{} asks for a way of authentication that is not supported (code {code})",
                target.label()
            ))
            .next_step("use scram-sha-256, md5, password, cert, peer or trust in pg_hba.conf"));
        }
    };
    let mut bytes = answer.into_bytes();
    bytes.push(0);
    write_password_message(stream, &bytes).await.map_err(fault)
}

/// RFC 5802, as in PostgreSQL's manual, "SASL Authentication".
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
    offered: &[u8],
) -> Result<()> {
    const MECHANISM: &[u8] = b"SCRAM-SHA-256";
    let fault = |error: PgWireError| session_fault(target, &error);
    if !offered
        .split(|byte| *byte == 0)
        .any(|mechanism| mechanism == MECHANISM)
    {
        return Err(malformed(
            target,
            "list of SASL mechanisms (SCRAM-SHA-256 is needed)",
        ));
    }
    let password = password(target)?;
    let client = ScramClient::new(&target.user);
    let length =
        u32::try_from(client.client_first.len()).map_err(|_| malformed(target, "SCRAM message"))?;
    let first = [
        MECHANISM,
        &[0],
        &length.to_be_bytes(),
        client.client_first.as_bytes(),
    ]
    .concat();
    write_password_message(stream, &first)
        .await
        .map_err(fault)?;
    let server_first = challenge(stream, target, auth::SASL_CONTINUE).await?;
    let (last, transcript, salted) = client
        .client_final(password, &server_first)
        .map_err(fault)?;
    write_password_message(stream, last.as_bytes())
        .await
        .map_err(fault)?;
    let server_last = challenge(stream, target, auth::SASL_FINAL).await?;
    ScramClient::verify_server_final(&server_last, &salted, &transcript).map_err(fault)
}

async fn challenge<S: AsyncRead + Unpin>(
    stream: &mut S,
    target: &Target,
    expected: i32,
) -> Result<String> {
    let fault = |error: PgWireError| session_fault(target, &error);
    let message = read_backend_message(stream).await.map_err(fault)?;
    match message.tag {
        b'R' => {
            let (code, data) = parse_auth_request(&message.payload).map_err(fault)?;
            if code == expected {
                return Ok(String::from_utf8_lossy(data).into_owned());
            }
            Err(malformed(target, "SCRAM message"))
        }
        b'E' => Err(refusal(target, &message.payload)),
        _ => Err(malformed(target, "SCRAM message")),
    }
}

fn password(target: &Target) -> Result<&str> {
    target
        .password
        .as_ref()
        .map(|password| password.expose())
        .ok_or_else(|| {
            Fault::permanent(format!(
                "{} asks for a password, and there is none",
                target.label()
            ))
            .next_step("set password or password_file")
        })
}

fn malformed(target: &Target, what: &str) -> Fault {
    Fault::transient(format!("login to {}", target.label())).because(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server sent a wrong {what}"),
    ))
}
