//! `rowhook replay`

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::Output;
use crate::dispatch::replay::parse_rate;

/// `rowhook replay`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Replay {
    #[command(subcommand)]
    pub(crate) command: Option<ReplayCommand>,
    #[command(flatten)]
    pub(crate) wanted: Wanted,
    /// Shows how many events match, and some of them; sends nothing.
    #[arg(long, conflicts_with_all = ["detach", "rate"])]
    pub(crate) dry_run: bool,
    /// Requests at the most, such as 50/s, 600/m, 1000/h. Live traffic goes first in any case.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) rate: Option<f64>,
    /// Returns at once; the daemon goes on.
    #[arg(long)]
    pub(crate) detach: bool,
    /// How to print.
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Which events, and to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Wanted {
    /// The webhook that they go to.
    #[arg(long, value_name = "NAME", required = true)]
    pub(crate) webhook: Option<String>,
    /// Committed at this time (RFC 3339) or later, or so long ago at the most (90m, 2h, 3d).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Committed before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
    /// After this sequence id.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) after: Option<i64>,
    /// Before this sequence id.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) before: Option<i64>,
    /// Only types that this pattern covers, such as "orders.*"; may be given several times.
    #[arg(long = "type", value_name = "PATTERN")]
    pub(crate) types: Vec<String>,
    /// Only this resource.
    #[arg(long)]
    pub(crate) resource: Option<String>,
    /// Only the resource with this key; needs --resource.
    #[arg(long, requires = "resource", value_name = "ID")]
    pub(crate) resource_id: Option<String>,
    /// Only events for which this CEL expression holds.
    #[arg(long, value_name = "CEL")]
    pub(crate) when: Option<String>,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ReplayCommand {
    /// Lists the replays and how far they are.
    List(Output),
    /// Ends a replay; what is delivered stays delivered.
    Cancel {
        /// Its number.
        id: i64,
    },
}

/// A time, or how long ago.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago = humantime::parse_duration(text)
        .ok()
        .and_then(|ago| SignedDuration::try_from(ago).ok())
        .and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    ago.ok_or_else(|| {
        format!(
            "{text:?} is neither a time such as 2026-01-31T12:00:00Z nor how long ago, such as 2h"
        )
    })
}
