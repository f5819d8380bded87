//! The command line: what may be said, and who does it.

mod emit;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

pub(super) use self::emit::{Emit, Emitting};
pub use self::replay::Replay;
pub(super) use self::replay::{ReplayCommand, Wanted, time};
use super::commands::{
    at, backfill, catalog, check, config, deliveries, emit as emitting, erase, events, explain,
    forget, keys, listen, replay as replaying, run, setup, status, teardown, webhooks,
};
use super::settings;
use crate::fault::{Fault, Result};

/// PostgreSQL row changes become events, logged exactly once and delivered as webhooks.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The settings.
    #[arg(
        long,
        short,
        global = true,
        env = "ROWHOOK_CONFIG",
        default_value = "/etc/rowhook/rowhook.toml"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon.
    Run,
    /// Looks at everything that could go wrong, before it does, and prints a fix for each.
    Check(Output),
    /// Creates the log's schema, the publication and the slot.
    Setup(Setup),
    /// Removes the slot, the publication and, if told so, the log.
    Teardown(Teardown),
    /// Shows how far capture and webhooks have come.
    Status(Output),
    /// Reads the event log; emits events of your own.
    #[command(subcommand)]
    Events(Events),
    /// Logs the rows that a table already has as `….snapshot` events, while the daemon runs.
    Backfill(Backfill),
    /// Sends stored events again to one webhook, while the daemon runs.
    Replay(Box<Replay>),
    /// Sends live events to a developer's machine, signed like real ones.
    Listen(Box<listen::Listen>),
    /// Lists, tests, pauses and resumes webhooks; makes and shows their keys.
    #[command(subcommand)]
    Webhooks(Webhooks),
    /// Lists deliveries that wait or are dead; sends them again or gives them up.
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// Tells for each webhook what became of an event, and why.
    Explain {
        /// Event id or sequence id.
        event: String,
        #[command(flatten)]
        output: Output,
    },
    /// Writes what events there are in this database, as JSON Schema, AsyncAPI or TypeScript.
    Catalog(catalog::Catalog),
    /// Explains the settings.
    #[command(subcommand)]
    Config(Config),
}

/// How a command prints.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Prints JSON for programs.
    #[arg(long)]
    pub json: bool,
}

/// `rowhook setup`
#[derive(Debug, Clone, Copy, Args)]
pub struct Setup {
    /// Prints the SQL for a database administrator, and changes nothing.
    #[arg(long)]
    pub print_sql: bool,
    /// Makes a new slot where the old one is lost, and records the gap as an event `rowhook.gap`.
    #[arg(long, conflicts_with = "print_sql")]
    pub accept_gap: bool,
}

/// `rowhook teardown`
#[derive(Debug, Clone, Copy, Args)]
pub struct Teardown {
    /// Drops the event log, too.
    #[arg(long)]
    pub drop_log: bool,
    /// Does not ask.
    #[arg(long)]
    pub yes: bool,
}

/// `rowhook backfill`
#[derive(Debug, Clone, Args)]
pub struct Backfill {
    /// The table, as schema.table. Without one, lists the backfills.
    #[arg(required_if_eq_any([("cancel", "true"), ("from_start", "true"), ("detach", "true")]))]
    pub table: Option<String>,
    /// Rows per second at the most.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(i32).range(1..))]
    pub rate: Option<i32>,
    /// Rows that are read at once at the most.
    #[arg(long, value_name = "ROWS", default_value_t = 10_000, value_parser = clap::value_parser!(i32).range(1..=1_000_000))]
    pub chunk_rows: i32,
    /// Begins anew where an earlier one failed or was cancelled; else it goes on behind its last row.
    #[arg(long)]
    pub from_start: bool,
    /// Ends the table's backfill; what is logged stays.
    #[arg(long, conflicts_with_all = ["from_start", "detach", "rate"])]
    pub cancel: bool,
    /// Returns at once; the daemon goes on.
    #[arg(long)]
    pub detach: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
enum Events {
    /// Lists events, the newest last.
    List(List),
    /// Shows one event, old and new side by side.
    Show {
        /// Event id or sequence id.
        event: String,
        #[command(flatten)]
        output: Output,
    },
    /// Follows the log.
    Tail(List),
    #[command(flatten)]
    Emitting(Emitting),
    /// Shows a row as it was at a time, or behind an event.
    At(at::At),
    /// Erases the values of one row from the log; its events stay in their places.
    Erase(erase::Erase),
}

/// Which events to list.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Only types that this pattern covers, such as `orders.updated` or `orders.*`.
    #[arg(long = "type", value_name = "PATTERN")]
    pub event_type: Option<String>,
    /// Only this resource.
    #[arg(long)]
    pub resource: Option<String>,
    /// Only the resource with this key; needs --resource.
    #[arg(long, requires = "resource")]
    pub id: Option<String>,
    /// After this sequence id.
    #[arg(long)]
    pub after: Option<i64>,
    /// Before this sequence id.
    #[arg(long)]
    pub before: Option<i64>,
    /// Committed at this time (RFC 3339) or later, or so long ago at the most (90m, 2h, 3d).
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    pub from: Option<Timestamp>,
    /// Committed before this time.
    #[arg(long, value_name = "TIME", value_parser = replay::time)]
    pub to: Option<Timestamp>,
    /// Only events that a webhook still has to deal with: they lie after its cursor, or wait for a retry.
    #[arg(long)]
    pub undispatched: bool,
    /// How many at the most.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Subcommand)]
enum Webhooks {
    /// Lists the webhooks and their state.
    List(Output),
    /// Sends a sample event to a webhook, signed like a real one.
    Test {
        /// The webhook's name.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Stops deliveries; events wait in the log.
    Pause {
        /// The webhook's name.
        name: String,
        /// Why, for whoever looks at it later.
        #[arg(long, default_value = "paused by an operator")]
        reason: String,
        #[command(flatten)]
        output: Output,
    },
    /// Goes on with deliveries.
    Resume {
        /// The webhook's name.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Removes the cursor and the deliveries of a webhook that was taken out of the settings.
    Forget {
        /// The webhook's name.
        name: String,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    #[command(flatten)]
    Keys(keys::Keys),
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Prints the JSON Schema of the settings, for editors.
    Schema,
    /// Prints the effective settings, secrets redacted.
    Show(Output),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// The fault that kept it from being done; its exit code is the process's.
    pub fn run(self) -> Result<ExitCode> {
        let path = self.config;
        let done = match self.command {
            Command::Config(Config::Schema) => config::schema(),
            Command::Config(Config::Show(output)) => config::show(&path, output.json),
            Command::Run => return run::run(&path),
            Command::Check(output) => {
                return block_on(check::check(&settings::load(&path)?, output));
            }
            Command::Setup(options) => block_on(setup::setup(&settings::load(&path)?, options)),
            Command::Teardown(options) => {
                block_on(teardown::teardown(&settings::load(&path)?, options))
            }
            Command::Status(output) => block_on(status::status(&settings::load(&path)?, output)),
            Command::Events(command) => {
                let settings = settings::load(&path)?;
                match command {
                    Events::List(list) => block_on(events::list(&settings, &list)),
                    Events::Show { event, output } => {
                        return block_on(events::show(&settings, &event, output));
                    }
                    Events::Tail(list) => block_on(events::tail(&settings, &list)),
                    Events::Emitting(command) => block_on(emitting::emitting(&settings, &command)),
                    Events::At(row) => return block_on(at::at(&settings, &row)),
                    Events::Erase(row) => return block_on(erase::erase(&settings, &row)),
                }
            }
            Command::Backfill(options) => {
                block_on(backfill::backfill(&settings::load(&path)?, &options))
            }
            Command::Replay(options) => {
                block_on(replaying::replay(&settings::load(&path)?, &options))
            }
            Command::Listen(options) => block_on(listen::listen(&settings::load(&path)?, &options)),
            Command::Deliveries(command) => {
                block_on(deliveries::deliveries(&settings::load(&path)?, &command))
            }
            Command::Explain { event, output } => {
                return block_on(explain::explain(&settings::load(&path)?, &event, output));
            }
            Command::Catalog(catalog) => return block_on(catalog.run(&path)),
            Command::Webhooks(command) => {
                // Not read at once: a key is made before there are any.
                let settings = || settings::load(&path);
                match command {
                    Webhooks::List(output) => block_on(webhooks::list(&settings()?, output)),
                    Webhooks::Test { name, output } => {
                        return block_on(webhooks::test(&settings()?, &name, output));
                    }
                    Webhooks::Pause {
                        name,
                        reason,
                        output,
                    } => block_on(webhooks::set_paused(
                        &settings()?,
                        &name,
                        Some(&reason),
                        output,
                    )),
                    Webhooks::Resume { name, output } => {
                        block_on(webhooks::set_paused(&settings()?, &name, None, output))
                    }
                    Webhooks::Forget { name, yes } => {
                        block_on(forget::forget(&settings()?, &name, yes))
                    }
                    Webhooks::Keys(keys) => keys.run(&path),
                }
            }
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Commands other than the daemon need one thread.
fn block_on<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::transient("cannot start").because(error))?
        .block_on(command)
}
