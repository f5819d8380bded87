//! `rowhook check`: everything that could go wrong, before it does, with a fix for each.

mod columns;
mod context;
mod endpoints;
mod lanes;
mod log;
mod resources;
mod source;
mod streaming;

use std::process::ExitCode;

use serde_json::json;

use super::print;
use crate::fault::{Fault, Result};
use crate::ops::cli::Output;
use crate::ops::settings::Settings;

/// What a look at one thing gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    Remark,
    Bad,
}

/// One line of the report.
struct Finding {
    mark: Mark,
    about: String,
    says: String,
    fix: Option<String>,
}

/// The report as it grows.
#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn good(&mut self, about: impl Into<String>, says: impl Into<String>) {
        self.0.push(Finding {
            mark: Mark::Good,
            about: about.into(),
            says: says.into(),
            fix: None,
        });
    }

    fn remark(
        &mut self,
        about: impl Into<String>,
        says: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding {
            mark: Mark::Remark,
            about: about.into(),
            says: says.into(),
            fix: Some(fix.into()),
        });
    }

    fn bad(&mut self, about: impl Into<String>, says: impl Into<String>, fix: impl Into<String>) {
        self.0.push(Finding {
            mark: Mark::Bad,
            about: about.into(),
            says: says.into(),
            fix: Some(fix.into()),
        });
    }

    fn fault(&mut self, about: impl Into<String>, fault: &Fault) {
        let fix = fault.advice().map(str::to_owned);
        self.0.push(Finding {
            mark: Mark::Bad,
            about: about.into(),
            says: fault.cause(),
            fix,
        });
    }
}

/// Looks, prints, and ends with exit code 1 if anything would fail. The settings themselves were
/// checked when they were loaded.
///
/// # Errors
/// If standard output cannot be written.
pub async fn check(settings: &Settings, output: Output) -> Result<ExitCode> {
    let mut report = Report::default();
    report.good("settings", "the file can be read and means something");
    source::look(settings, &mut report).await;
    log::look(settings, &mut report).await;
    endpoints::look(settings, &mut report).await;
    let bad = report
        .0
        .iter()
        .filter(|finding| finding.mark == Mark::Bad)
        .count();
    if output.json {
        let findings: Vec<_> = report.0.iter().map(as_json).collect();
        print::json(&json!({ "ok": bad == 0, "findings": findings }))?;
    } else {
        show(&report, bad)?;
    }
    Ok(if bad == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn as_json(finding: &Finding) -> serde_json::Value {
    let level = match finding.mark {
        Mark::Good => "ok",
        Mark::Remark => "warning",
        Mark::Bad => "error",
    };
    json!({ "level": level, "about": finding.about, "message": finding.says, "fix": finding.fix })
}

fn show(report: &Report, bad: usize) -> Result<()> {
    for finding in &report.0 {
        let mark = match finding.mark {
            Mark::Good => "ok    ",
            Mark::Remark => "note  ",
            Mark::Bad => "WRONG ",
        };
        print::line(format!("{mark} {}: {}", finding.about, finding.says))?;
        if let Some(fix) = &finding.fix {
            print::line(format!("       fix: {fix}"))?;
        }
    }
    print::line(match bad {
        0 => "\nnothing stands in the way".to_owned(),
        1 => "\n1 thing stands in the way".to_owned(),
        bad => format!("\n{bad} things stand in the way"),
    })
}
