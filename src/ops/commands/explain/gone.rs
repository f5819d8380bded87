//! What is still known of an event that the retention has taken.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{attempt_as_json, details, show_attempts};
use crate::dispatch::account::{Account, by_traces};
use crate::event_log::attempts::{self, AttemptRow};
use crate::event_log::facts::{self, DeliveryFacts};
use crate::event_log::{Checkpoint, deliveries};
use crate::fault::Result;
use crate::ops::cli::Output;
use crate::ops::commands::{events, print};
use crate::wal::Connection;

/// What is said of a webhook of which there are failed attempts alone.
const UNKNOWN: &str = "attempts that failed are on record, and nothing of how it ended";

/// Tells what is known of it. It is not in the log, which is exit code 1.
pub(super) async fn explain(log: &Connection, which: &str, output: Output) -> Result<ExitCode> {
    let sequence_id = match which.parse::<Uuid>() {
        Ok(event_id) => facts::sequence_id(log, event_id).await?,
        Err(_) => which.parse().ok(),
    };
    let before_oldest = deliveries::before_oldest(log).await?;
    let Some(sequence_id) = sequence_id.filter(|id| (1..=before_oldest).contains(id)) else {
        events::tell_missing(which);
        return Ok(ExitCode::FAILURE);
    };
    let checkpoint = Checkpoint::read(log).await?;
    let gone = Gone {
        sequence_id,
        oldest: before_oldest + 1,
        newest: checkpoint.map_or(0, |checkpoint| checkpoint.next_sequence_id - 1),
        deliveries: facts::deliveries(log, sequence_id).await?,
        attempts: attempts::of_event(log, sequence_id).await?,
    };
    if output.json {
        print::json(&gone.as_json())?;
    } else {
        gone.show()?;
    }
    Ok(ExitCode::FAILURE)
}

/// What the tables know without the event.
struct Gone {
    sequence_id: i64,
    /// The first event that the log still has …
    oldest: i64,
    /// … and the last one; it may have none.
    newest: i64,
    deliveries: Vec<DeliveryFacts>,
    attempts: Vec<AttemptRow>,
}

impl Gone {
    /// The webhooks of which there is a trace, with what it tells.
    fn accounts(&self) -> Vec<(&str, Option<Account>)> {
        let of_rows = self.deliveries.iter().map(|row| row.subscription.as_str());
        let of_attempts = self.attempts.iter().map(|attempt| &*attempt.subscription);
        let names: BTreeSet<&str> = of_rows.chain(of_attempts).collect();
        let account = |name: &str| {
            let row = self.deliveries.iter().find(|row| row.subscription == name);
            let of_name = |attempt: &&AttemptRow| *attempt.subscription == *name;
            let attempts: Vec<&AttemptRow> = self.attempts.iter().filter(of_name).collect();
            by_traces(row, &attempts, None)
        };
        names
            .into_iter()
            .map(|name| (name, account(name)))
            .collect()
    }

    fn show(&self) -> Result<()> {
        let (oldest, newest) = (self.oldest, self.newest);
        print::line(format!("event      {}", self.sequence_id))?;
        print::line(if oldest > newest {
            "gone       the retention has taken it; the log holds no event now".to_owned()
        } else {
            format!(
                "gone       the retention has taken it; the log holds events {oldest} to {newest}"
            )
        })?;
        let accounts = self.accounts();
        if accounts.is_empty() {
            return print::line("neither a delivery nor an attempt of it is on record");
        }
        let rows = accounts.iter().map(|(name, account)| {
            let (word, because) = told(account.as_ref());
            vec![(*name).to_owned(), word.replace('_', " "), because]
        });
        print::table(&["WEBHOOK", "STATE", "BECAUSE"], rows.collect())?;
        show_attempts(&self.attempts)
    }

    fn as_json(&self) -> Value {
        let webhooks = self.accounts().into_iter().map(|(name, account)| {
            let (word, because) = told(account.as_ref());
            let mut members = json!({"webhook": name, "state": word, "because": because});
            if let (Value::Object(members), Some(Value::Object(more))) =
                (&mut members, account.as_ref().map(details))
            {
                members.extend(more);
            }
            members
        });
        let attempts: Vec<Value> = self.attempts.iter().map(attempt_as_json).collect();
        json!({
            "event": {"sequence_id": self.sequence_id, "gone": true},
            "log": {"oldest": self.oldest, "newest": self.newest},
            "webhooks": webhooks.collect::<Vec<_>>(),
            "attempts": attempts,
        })
    }
}

/// The word for programs, and the sentence for people.
fn told(account: Option<&Account>) -> (&'static str, String) {
    match account {
        Some(account) => (account.word(), account.to_string()),
        None => ("not_known", UNKNOWN.to_owned()),
    }
}
