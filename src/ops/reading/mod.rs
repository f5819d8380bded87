//! Reading the log: one question and one answer for the command line and the API.

mod owed;
mod question;
mod types;
mod view;

pub(crate) use question::{Page, Question, Types, bounds, head};
pub(crate) use view::View;

use serde_json::Value;
use uuid::Uuid;

use crate::event::Event;
use crate::event_log::read;
use crate::fault::{Fault, Result};
use crate::wal::Connection;

/// What names one event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Name {
    /// Its place in the log.
    SequenceId(i64),
    /// Its id.
    EventId(Uuid),
}

impl std::str::FromStr for Name {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self> {
        match (text.parse(), text.parse()) {
            (Ok(sequence_id), _) => Ok(Self::SequenceId(sequence_id)),
            (_, Ok(event_id)) => Ok(Self::EventId(event_id)),
            _ => Err(Fault::settings(format!(
                "{text:?} is neither an event id nor a sequence id"
            ))),
        }
    }
}

/// The event of this name, if the log holds it.
///
/// # Errors
/// If the log cannot be asked.
pub(crate) async fn one(log: &Connection, name: Name) -> Result<Option<Event>> {
    match name {
        Name::SequenceId(sequence_id) => read::by_sequence_id(log, sequence_id).await,
        Name::EventId(event_id) => read::by_event_id(log, event_id).await,
    }
}

/// One line of JSON.
///
/// # Errors
/// If the log holds what is no JSON.
pub(crate) fn compact(event: &Event) -> Result<String> {
    let line = serde_json::to_string(&View::from(event)).map_err(unprintable)?;
    // Values stand as the application wrote them. Outside of texts, which have no raw line ends, JSON
    // takes a blank as well.
    Ok(if line.contains(['\n', '\r']) {
        line.replace(['\n', '\r'], " ")
    } else {
        line
    })
}

/// JSON for people.
///
/// # Errors
/// If the log holds what is no JSON.
pub(crate) fn pretty(event: &Event) -> Result<String> {
    serde_json::to_string_pretty(&View::from(event)).map_err(unprintable)
}

/// What an event is and where it came from, without its values.
///
/// # Errors
/// If the log holds what is no JSON.
pub(crate) fn gist(event: &Event) -> Result<Value> {
    let event = Event {
        record: None,
        previous: None,
        data: None,
        tenant: None,
        related: None,
        ..event.clone()
    };
    let mut gist = serde_json::to_value(View::from(&event)).map_err(unprintable)?;
    if let Some(members) = gist.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "record" | "previousValues"));
    }
    Ok(gist)
}

fn unprintable(error: serde_json::Error) -> Fault {
    Fault::permanent("an event of the log cannot be printed").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Action, OldRow, Origin};

    #[test]
    fn a_gist_has_no_values() {
        let event = Event {
            sequence_id: 7,
            event_id: Uuid::from_u128(7),
            event_type: "orders.paid".into(),
            resource: "orders".into(),
            resource_id: Some("1".into()),
            action: Action::Custom,
            created_at: 1_767_225_600_000_000,
            record: Some(r#"{"a": "secret"}"#.into()),
            previous: Some(r#"{"a": "secret"}"#.into()),
            context: None,
            data: Some(r#"["secret"]"#.into()),
            tenant: Some("secret".into()),
            related: Some(r#"{"customer_id": "secret"}"#.into()),
            old_row: OldRow::Absent,
            unknown: Vec::new(),
            as_text: Vec::new(),
            erased_at: None,
            origin: Origin {
                schema: "public".into(),
                table: "orders".into(),
                xid: 1,
                commit_lsn: "0/1".parse().unwrap(),
                index: 0,
            },
        };
        let gist = gist(&event).unwrap();
        assert!(!gist.to_string().contains("secret"), "{gist}");
        assert_eq!(gist["type"], "orders.paid");
    }
}
