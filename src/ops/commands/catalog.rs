//! `rowhook catalog`: the events of this database, for people who write receivers and for their tools.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::print;
use crate::fault::{Fault, Result};
use crate::ops::catalog::{self, Change, Choice, Impact};
use crate::ops::cli::Output;
use crate::ops::settings::{self, Settings};

/// In the place of a file: the database as it is.
const LIVE: &str = "live";

/// `rowhook catalog`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Catalog {
    #[command(subcommand)]
    command: Option<CatalogCommand>,
    /// What is written.
    #[arg(long, value_enum, default_value_t = Format::JsonSchema)]
    format: Format,
    /// Where it is written to; `-` is standard output.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    part: Part,
}

/// A part of the catalog.
#[derive(Debug, Clone, Args)]
struct Part {
    /// Only this resource; may be given several times.
    #[arg(long, value_name = "NAME")]
    resource: Vec<String>,
    /// Only what this webhook gets.
    #[arg(long, value_name = "NAME")]
    webhook: Option<String>,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Tells what has changed between two catalogs (JSON Schemas), and what of it breaks receivers.
    ///
    /// Exit code 1 if anything does.
    Diff {
        /// The catalog that receivers were written for.
        old: PathBuf,
        /// The catalog as it is now; `live` asks the database.
        #[arg(default_value = LIVE)]
        new: PathBuf,
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        output: Output,
    },
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON Schema, 2020-12.
    JsonSchema,
    /// AsyncAPI 3.0, as JSON.
    Asyncapi,
    /// TypeScript types.
    Typescript,
}

impl Catalog {
    /// Does it. The settings are read only where the database is asked.
    ///
    /// # Errors
    /// If the database cannot be asked, a file cannot be read or written, or is no catalog.
    pub async fn run(self, settings: &Path) -> Result<ExitCode> {
        match self.command {
            None => {
                let catalog = live(&settings::load(settings)?, &self.part).await?;
                write(&self.output, &self.format.of(&catalog))?;
                Ok(ExitCode::SUCCESS)
            }
            Some(CatalogCommand::Diff {
                old,
                new,
                part,
                output,
            }) => {
                let before = read(&old)?;
                let after = if new.as_os_str() == LIVE {
                    let catalog = live(&settings::load(settings)?, &part).await?;
                    catalog::json_schema(&catalog)
                } else {
                    read(&new)?
                };
                let names = [&old, &new].map(|path| path.display().to_string());
                let [old, new] = &names;
                let changes = catalog::compare((old, &before), (new, &after))?;
                tell(&changes, [&before, &after], output)
            }
        }
    }
}

impl Format {
    fn of(self, catalog: &catalog::Catalog) -> String {
        match self {
            Self::JsonSchema => format!("{:#}\n", catalog::json_schema(catalog)),
            Self::Asyncapi => format!("{:#}\n", catalog::asyncapi(catalog)),
            Self::Typescript => catalog::typescript(catalog),
        }
    }
}

async fn live(settings: &Settings, part: &Part) -> Result<catalog::Catalog> {
    let webhook = part
        .webhook
        .as_deref()
        .map(|name| webhook(settings, name))
        .transpose()?;
    let gathered = catalog::gather(settings).await?;
    for table in &gathered.left_out {
        eprintln!(
            "rowhook: {} is not in the catalog: {}",
            table.table, table.reason
        );
    }
    if gathered.catalog.resources.is_empty() {
        eprintln!("rowhook: no table is captured; `rowhook check` tells why");
    }
    gathered.catalog.narrowed(&Choice {
        resources: &part.resource,
        webhook,
    })
}

fn webhook<'a>(settings: &'a Settings, name: &str) -> Result<&'a crate::dispatch::Subscription> {
    let found = settings
        .webhooks
        .iter()
        .find(|webhook| webhook.name == name);
    found.ok_or_else(|| {
        let names = settings.webhooks.iter().map(|webhook| &*webhook.name);
        let next_step = match settings::near_miss(name, names) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "`rowhook webhooks list` shows them".to_owned(),
        };
        Fault::settings(format!("there is no webhook {name:?}")).next_step(next_step)
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    if path.as_os_str() == "-" {
        return print::text(text);
    }
    fs::write(path, text)
        .map_err(|error| Fault::settings(format!("cannot write {}", path.display())).because(error))
}

fn read(path: &Path) -> Result<Value> {
    let fault = |what: &str| Fault::settings(format!("{} {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| fault("cannot be read").because(error))?;
    serde_json::from_str(&text).map_err(|error| {
        fault("is not JSON")
            .because(error)
            .next_step("catalogs are compared as JSON Schemas: `rowhook catalog --output FILE`")
    })
}

fn tell(changes: &[Change], documents: [&Value; 2], output: Output) -> Result<ExitCode> {
    let count = |impact| {
        changes
            .iter()
            .filter(|change| change.impact == impact)
            .count()
    };
    let breaking = count(Impact::Breaking);
    if output.json {
        let [old, new] = documents.map(|it| it.pointer("/$defs/catalog/const/version"));
        let changes: Vec<Value> = changes
            .iter()
            .map(|change| {
                json!({
                    "impact": change.impact.as_str(),
                    "about": change.about,
                    "what": change.what,
                })
            })
            .collect();
        let breaks = breaking > 0;
        print::json(&json!({ "breaking": breaks, "old": old, "new": new, "changes": changes }))?;
    } else if changes.is_empty() {
        print::line("no differences")?;
    } else {
        let rows = changes.iter().map(|change| {
            vec![
                change.impact.as_str().to_owned(),
                change.about.clone(),
                change.what.clone(),
            ]
        });
        print::table(&["IMPACT", "WHERE", "WHAT"], rows.collect())?;
        let (notes, compatible) = (count(Impact::Note), count(Impact::Compatible));
        print::line(format!(
            "{breaking} breaking, {notes} to note, {compatible} compatible"
        ))?;
    }
    Ok(ExitCode::from(u8::from(breaking > 0)))
}
