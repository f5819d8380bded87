//! What a server's refusal means: who has to act on which SQLSTATE.
//!
//! Codes: PostgreSQL manual, appendix A.

use pgwire_replication::PgWireError;
use pgwire_replication::protocol::messages::ErrorFields;

use super::Target;
use crate::fault::{Fault, Kind};

/// A failed SQL statement or login.
#[must_use]
pub fn sql_fault(what: impl Into<String>, error: tokio_postgres::Error) -> Fault {
    let Some(refusal) = error.as_db_error() else {
        return Fault::transient(what).because(error);
    };
    let state = refusal.code().code().to_owned();
    let text = match (refusal.detail(), refusal.hint()) {
        (Some(detail), _) => format!("{}: {} ({detail})", what.into(), refusal.message()),
        (None, Some(hint)) => format!("{}: {} ({hint})", what.into(), refusal.message()),
        (None, None) => format!("{}: {}", what.into(), refusal.message()),
    };
    fault_of(&state, text)
}

/// A replication session that broke or was not understood.
#[must_use]
pub(super) fn session_fault(target: &Target, error: &PgWireError) -> Fault {
    let what = format!("replication session with {}", target.label());
    match error {
        PgWireError::Auth(text) => Fault::permanent(format!("{what}: {text}"))
            .next_step("check the role's password and the server's pg_hba.conf"),
        PgWireError::MessageTooLarge { .. } => Fault::permanent(what).because(error.clone()),
        _ => Fault::transient(what).because(error.clone()),
    }
}

/// A refusal by the server: the payload of an ErrorResponse.
#[must_use]
pub(super) fn refusal(target: &Target, payload: &[u8]) -> Fault {
    let fields = ErrorFields::parse(payload);
    let message = fields
        .message
        .as_deref()
        .unwrap_or("the server refuses without a reason");
    let mut text = format!("replication session with {}: {message}", target.label());
    if let Some(more) = fields.detail.as_deref().or(fields.hint.as_deref()) {
        text = format!("{text} ({more})");
    }
    fault_of(fields.code.as_deref().unwrap_or_default(), text)
}

/// A refusal in the middle of the stream. Some changes the server can store and not send: it fails
/// at them again however often it is asked.
#[must_use]
pub(super) fn stream_refusal(target: &Target, payload: &[u8]) -> Fault {
    let fields = ErrorFields::parse(payload);
    let message = fields.message.as_deref().unwrap_or_default();
    let Some((cause, step)) = unsendable(fields.code.as_deref().unwrap_or_default(), message)
    else {
        return refusal(target, payload);
    };
    let place = fields.where_.unwrap_or_default();
    Fault::permanent(format!(
        "{} cannot send a change that it holds, because {cause}: {message} ({place})",
        target.label()
    ))
    .next_step(format!(
        "to go on without what is not logged yet: `rowhook setup --accept-gap`, which records the gap as an event; \
         before that, {step}"
    ))
}

/// Pure: why no change of this kind can be sent, and how to keep the next one from the stream.
fn unsendable(state: &str, message: &str) -> Option<(&'static str, &'static str)> {
    match state {
        // Of internal errors only this one; its text is never translated.
        "XX000" if !message.starts_with("invalid memory alloc request size") => None,
        "XX000" | "54000" => Some((
            "the change is longer than 1 GB as text (a bytea takes two characters for a byte)",
            "keep such values out of captured tables, or leave the table out in capture.tables",
        )),
        "22P05" | "22021" => Some((
            "a text in it has no UTF-8 form",
            "mend the text in the source: a query that converts it to UTF-8 fails in the same way",
        )),
        _ => None,
    }
}

fn fault_of(state: &str, text: String) -> Fault {
    let (kind, step) = meaning(state);
    let fault = match kind {
        Kind::Settings => Fault::settings(text),
        Kind::Permanent => Fault::permanent(text),
        Kind::Fenced => Fault::fenced(text),
        Kind::Transient => Fault::transient(text),
    };
    match step {
        Some(step) => fault.next_step(step),
        None => fault,
    }
}

/// Raised by `rowhook.advance_checkpoint` when the epoch is not the caller's.
pub const FENCED: &str = "RH001";

/// Pure: who acts on a SQLSTATE, and how. What is not listed may heal by itself and is retried.
fn meaning(state: &str) -> (Kind, Option<&'static str>) {
    match state {
        FENCED => (
            Kind::Fenced,
            Some(
                "nothing, if another instance was meant to take over; this one may be restarted as its standby",
            ),
        ),
        "28P01" | "28000" => (
            Kind::Permanent,
            Some("check the role's name and password and the server's pg_hba.conf"),
        ),
        "3D000" => (Kind::Permanent, Some("check the database name in the URL")),
        "42501" => (
            Kind::Permanent,
            Some(
                "grant the role what is missing; `rowhook check` lists it, `rowhook setup --print-sql` prints it",
            ),
        ),
        "42704" => (
            Kind::Permanent,
            Some(
                "run `rowhook check` to see what is missing, then `rowhook setup`; if it is there again, what was \
                 committed without it cannot be read: `rowhook setup --accept-gap`",
            ),
        ),
        "42P01" | "3F000" | "42883" => (Kind::Permanent, Some("run `rowhook setup`")),
        "55000" => (
            Kind::Permanent,
            Some(
                "run `rowhook check`; it names the server setting or slot that is not as it must be",
            ),
        ),
        "22P05" => (
            Kind::Permanent,
            Some(
                "the database's encoding lacks a character of a name in the settings or of a value: change the name, \
                 or give the log a database of its own with encoding 'UTF8' (log.url)",
            ),
        ),
        "0A000" => (Kind::Permanent, Some("run `rowhook check`")),
        _ => (Kind::Transient, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_state_and_its_detail() {
        let target = Target {
            host: "h".into(),
            port: 1,
            user: "u".into(),
            password: None,
            database: "d".into(),
            tls: crate::wal::Tls::mode(crate::wal::TlsMode::Disable),
            connect_timeout: std::time::Duration::from_secs(1),
        };
        let fault = refusal(&target, b"SFATAL\0C28P01\0Mno\0Dbecause\0\0");
        assert_eq!(fault.kind(), Kind::Permanent);
        assert_eq!(
            fault.cause(),
            "replication session with u@h:1/d: no (because)"
        );
        assert!(refusal(&target, b"").is_transient());
    }

    #[test]
    fn what_the_server_cannot_send_is_not_asked_for_again() {
        for (state, message, permanent) in [
            (
                "XX000",
                "invalid memory alloc request size 1258291203",
                true,
            ),
            ("XX000", "could not find block containing chunk", false),
            ("54000", "out of memory", true),
            ("22P05", "has no equivalent", true),
            ("57P01", "terminating", false),
        ] {
            assert_eq!(unsendable(state, message).is_some(), permanent, "{state}");
        }
    }

    #[test]
    fn only_what_an_operator_must_mend_is_permanent() {
        for (state, kind) in [
            ("28P01", Kind::Permanent),
            ("42704", Kind::Permanent),
            ("RH001", Kind::Fenced),
            ("57P01", Kind::Transient),
            ("57P03", Kind::Transient),
            ("53100", Kind::Transient),
            ("25006", Kind::Transient),
            ("55006", Kind::Transient),
        ] {
            assert_eq!(meaning(state).0, kind, "{state}");
        }
    }
}
