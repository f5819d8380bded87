//! `rowhook deliveries`: what waits and what is dead; sent again or given up, one by one or in bulk.
//!
//! The command writes its request beside each row; the daemon does what is asked, at once or when it
//! runs again. So neither is in the other's way.

mod asking;
mod listing;

use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

pub(crate) use self::asking::ask;
use self::asking::{confirmed, request};
pub(crate) use self::listing::as_json;
pub(super) use self::listing::until;
use super::webhooks;
use crate::event_log::deliveries::look_up;
use crate::event_log::requests::{Chosen, Request};
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// `rowhook deliveries`
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// Lists deliveries that wait for a retry and dead ones.
    List(List),
    /// Sends deliveries again: dead ones with fresh attempts, waiting ones at once.
    Retry(Retry),
    /// Gives deliveries up for good.
    Discard(Discard),
}

/// Which deliveries.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Only of this webhook.
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Only in this state.
    #[arg(long)]
    pub state: Option<DeliveryState>,
    /// Only of events of this type, such as `orders.updated`.
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only of this resource.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only of the resource with this key; needs --resource.
    #[arg(long, value_name = "KEY", requires = "resource")]
    pub resource_id: Option<String>,
    /// Only where the reason holds these words.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// A delivery's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeliveryState {
    /// It is tried again.
    Waiting,
    /// It was given up.
    Dead,
}

/// `rowhook deliveries list`
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// How many at the most.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    pub limit: i64,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `rowhook deliveries retry`
#[derive(Debug, Clone, Args)]
pub struct Retry {
    /// Event ids or sequence ids.
    #[arg(value_name = "EVENT")]
    pub events: Vec<String>,
    /// Which ones.
    #[command(flatten)]
    pub which: Which,
    /// Every delivery, where nothing else says which.
    #[arg(long)]
    pub all: bool,
    /// Shows how many it would be, and does nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `rowhook deliveries discard`
#[derive(Debug, Clone, Args)]
pub struct Discard {
    /// Which ones.
    #[command(flatten)]
    pub chosen: Retry,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
}

/// Does what was asked.
///
/// # Errors
/// If the log cannot be asked, or nothing says which deliveries are meant.
pub async fn deliveries(settings: &Settings, command: &Deliveries) -> Result<()> {
    let log = Connection::open(&settings.log.target, "rowhook deliveries").await?;
    match command {
        Deliveries::List(options) => {
            let chosen = by_filter(settings, &log, &options.which).await?;
            listing::list(&log, &chosen, options).await
        }
        Deliveries::Retry(options) => {
            let chosen = chosen(settings, &log, options).await?;
            let sure = |_| Ok(true);
            request(settings, &log, options, &chosen, Request::Retry, sure).await
        }
        Deliveries::Discard(Discard {
            chosen: options,
            yes,
        }) => {
            let chosen = chosen(settings, &log, options).await?;
            let sure = |count| Ok(*yes || confirmed(count)?);
            request(settings, &log, options, &chosen, Request::Discard, sure).await
        }
    }
}

/// What is meant; everything only if it is said so.
pub(crate) async fn chosen(
    settings: &Settings,
    log: &Connection,
    options: &Retry,
) -> Result<Chosen> {
    let mut chosen = by_filter(settings, log, &options.which).await?;
    let (mut sequence_ids, mut event_ids) = (Vec::new(), Vec::new());
    for event in &options.events {
        match (event.parse::<i64>(), event.parse::<Uuid>()) {
            (Ok(sequence_id), _) => sequence_ids.push(sequence_id),
            (_, Ok(event_id)) => event_ids.push(event_id),
            _ => {
                return Err(Fault::settings(format!(
                    "{event:?} is neither an event id nor a sequence id"
                )));
            }
        }
    }
    let which = &options.which;
    let filtered = [
        &which.webhook,
        &which.event_type,
        &which.resource,
        &which.reason,
    ];
    let anything = !options.events.is_empty()
        || which.state.is_some()
        || filtered.iter().any(|given| given.is_some());
    if !anything && !options.all {
        return Err(
            Fault::settings("nothing says which deliveries are meant").next_step(
                "name events or give a filter, such as --webhook; --all means every delivery",
            ),
        );
    }
    if !options.events.is_empty() {
        chosen.sequence_ids = Some(sequence_ids);
        chosen.event_ids = Some(event_ids);
    }
    Ok(chosen)
}

async fn by_filter(settings: &Settings, log: &Connection, which: &Which) -> Result<Chosen> {
    if let Some(name) = &which.webhook
        && look_up(log, name).await?.is_none()
    {
        webhooks::named(settings, name)?;
    }
    Ok(Chosen {
        webhook: which.webhook.clone(),
        state: which.state.map(|state| match state {
            DeliveryState::Waiting => "waiting".to_owned(),
            DeliveryState::Dead => "dead".to_owned(),
        }),
        event_type: which.event_type.clone(),
        resource: which.resource.clone(),
        resource_id: which.resource_id.clone(),
        reason: which.reason.clone(),
        ..Chosen::default()
    })
}
