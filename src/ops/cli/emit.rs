//! `rowhook events emit`, `scheduled`, `cancel`

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use uuid::Uuid;

use super::Output;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Emitting {
    /// Asks for an event of your own, at once or for later; the daemon logs it.
    Emit(Box<Emit>),
    /// Lists the events that were asked for and are not logged yet.
    Scheduled {
        /// How many at the most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
        limit: i64,
        #[command(flatten)]
        output: Output,
    },
    /// Cancels an event that was asked for and is not due yet.
    Cancel {
        /// Its id.
        id: Uuid,
        #[command(flatten)]
        output: Output,
    },
}

/// `rowhook events emit`
#[derive(Debug, Clone, Args)]
pub(crate) struct Emit {
    /// Its type: words with dots between them, such as invoice.sent.
    #[arg(value_name = "TYPE")]
    pub(crate) event_type: String,
    /// What it says: JSON, @FILE, or - for standard input.
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// What it is about; default: the first word of the type.
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// Which of them: the event carries the object as it stands in the log.
    #[arg(long, requires = "resource")]
    pub(crate) id: Option<String>,
    /// Not before so long from now, or after --at: 90s, 5m, 2h, 3d.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) delay: Option<Duration>,
    /// Not before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// The same key with the same event asks for it once within 24 hours.
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Who did it and in which trace: a JSON object, as rowhook.set_context takes it.
    #[arg(long, value_name = "JSON")]
    pub(crate) context: Option<String>,
    /// Waits until the event is in the log.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}
