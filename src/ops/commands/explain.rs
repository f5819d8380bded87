//! `rowhook explain`: for each webhook, what became of an event.

mod gone;

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{events, print};
use crate::dispatch::account::{Account, Facts, account, said};
use crate::event::Event;
use crate::event_log::attempts::{self, AttemptRow};
use crate::event_log::facts::{self, DeliveryFacts, SubscriptionFacts};
use crate::fault::Result;
use crate::ops::cli::Output;
use crate::ops::metrics::age;
use crate::ops::reading;
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// The newest attempts that people are shown.
const ATTEMPTS_SHOWN: usize = 20;

/// Explains one event.
///
/// # Errors
/// If the log cannot be asked. An event that it does not hold is exit code 1.
pub async fn explain(settings: &Settings, which: &str, output: Output) -> Result<ExitCode> {
    let log = Connection::open(&settings.log.target, "rowhook explain").await?;
    let Some(event) = events::look_for(&log, which).await? else {
        return gone::explain(&log, which, output).await;
    };
    let known = Known {
        subscriptions: facts::subscriptions(&log).await?,
        deliveries: facts::deliveries(&log, event.sequence_id).await?,
        attempts: attempts::of_event(&log, event.sequence_id).await?,
    };
    let accounts: Vec<(&str, Account)> = names(settings, &known)
        .into_iter()
        .map(|name| (name, known.account(settings, name, &event)))
        .collect();
    if output.json {
        print::json(&as_json(&event, &accounts, &known.attempts)?)?;
    } else {
        show(&event, &accounts, &known.attempts)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the tables know.
struct Known {
    subscriptions: Vec<SubscriptionFacts>,
    deliveries: Vec<DeliveryFacts>,
    attempts: Vec<AttemptRow>,
}

/// The webhooks of the settings, those that were served before, and replays that have a row of it.
fn names<'a>(settings: &'a Settings, known: &'a Known) -> Vec<&'a str> {
    let mut names: Vec<&str> = settings
        .webhooks
        .iter()
        .map(|webhook| webhook.name.as_str())
        .collect();
    let configured = names.len();
    for subscription in &known.subscriptions {
        let mut rows = known.deliveries.iter();
        let has_row = rows.any(|row| row.subscription == subscription.name);
        if !names
            .iter()
            .take(configured)
            .any(|name| *name == subscription.name)
            && (has_row || !subscription.name.contains('/'))
        {
            names.push(&subscription.name);
        }
    }
    names
}

impl Known {
    fn account(&self, settings: &Settings, name: &str, event: &Event) -> Account {
        let configured = settings
            .webhooks
            .iter()
            .find(|webhook| name.split('/').next() == Some(&*webhook.name));
        let of_name =
            |attempt: &&AttemptRow| &*attempt.subscription == name && attempt.replay.is_none();
        account(&Facts {
            sequence_id: event.sequence_id,
            age: age(event.created_at),
            settings: configured.map(|webhook| (webhook.choose(event), webhook.keeps)),
            attempts_kept: settings.log.attempts_retention,
            subscription: self.subscriptions.iter().find(|row| row.name == name),
            delivery: self.deliveries.iter().find(|row| row.subscription == name),
            attempts: self.attempts.iter().filter(of_name).collect(),
        })
    }
}

fn show(event: &Event, accounts: &[(&str, Account)], attempts: &[AttemptRow]) -> Result<()> {
    events::describe_head(event)?;
    if accounts.is_empty() {
        return print::line("there is no webhook");
    }
    let rows = accounts.iter().map(|(name, account)| {
        let state = account.word().replace('_', " ");
        vec![(*name).to_owned(), state, account.to_string()]
    });
    print::table(&["WEBHOOK", "STATE", "BECAUSE"], rows.collect())?;
    show_attempts(attempts)
}

fn show_attempts(attempts: &[AttemptRow]) -> Result<()> {
    if attempts.is_empty() {
        return Ok(());
    }
    let rows = attempts
        .iter()
        .skip(attempts.len().saturating_sub(ATTEMPTS_SHOWN));
    let rows = rows.map(|attempt| {
        vec![
            attempt.at.to_string(),
            attempt.subscription.to_string(),
            match attempt.replay {
                Some(replay) => format!("{} of replay {replay}", attempt.attempt),
                None => attempt.attempt.to_string(),
            },
            format!("{:.1} ms", attempt.duration.as_secs_f64() * 1000.0),
            said(attempt),
        ]
    });
    print::line("")?;
    print::table(
        &["AT", "WEBHOOK", "ATTEMPT", "TOOK", "CAME OF IT"],
        rows.collect(),
    )
}

fn as_json(event: &Event, accounts: &[(&str, Account)], attempts: &[AttemptRow]) -> Result<Value> {
    let webhooks: Vec<Value> = accounts
        .iter()
        .map(|(name, account)| {
            let mut members = json!({
                "webhook": name, "state": account.word(), "because": account.to_string(),
            });
            if let (Value::Object(members), Value::Object(details)) =
                (&mut members, details(account))
            {
                members.extend(details);
            }
            members
        })
        .collect();
    let attempts: Vec<Value> = attempts.iter().map(attempt_as_json).collect();
    Ok(json!({
        "event": reading::gist(event)?, "webhooks": webhooks, "attempts": attempts,
    }))
}

/// What programs would otherwise have to read out of the sentence.
fn details(account: &Account) -> Value {
    match account {
        Account::Delivered {
            at,
            status,
            attempt,
        } => {
            json!({"at": at.to_string(), "status": status, "attempts": attempt})
        }
        Account::Waiting {
            attempts,
            due_at,
            behind,
            because,
            request,
            ..
        } => json!({
            "attempts": attempts, "due_at": due_at.map(|due| due.to_string()), "behind": behind,
            "last_error": because, "request": request,
        }),
        Account::Dead {
            at,
            attempts,
            because,
            request,
        } => json!({
            "at": at.to_string(), "attempts": attempts, "last_error": because, "request": request,
        }),
        Account::Discarded { at } => json!({"at": at.to_string()}),
        Account::Filtered { rule } => json!({"rule": rule}),
        Account::BeforeStart { start_after } => json!({"start_after": start_after}),
        Account::NotReached { cursor, .. } | Account::Removed { cursor } => {
            json!({"cursor": cursor})
        }
        Account::NeverServed | Account::NotKnown { .. } => json!({}),
    }
}

fn attempt_as_json(attempt: &AttemptRow) -> Value {
    json!({
        "at": attempt.at.to_string(),
        "webhook": &*attempt.subscription,
        "attempt": attempt.attempt,
        "status": attempt.status,
        "outcome": attempt.outcome,
        "milliseconds": attempt.duration.as_secs_f64() * 1000.0,
        "error": attempt.error,
        "answer": attempt.answer,
        "replay": attempt.replay,
    })
}
