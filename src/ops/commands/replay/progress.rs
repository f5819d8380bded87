//! How a replay goes, until its end.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::as_json;
use crate::event_log::replays::{self, ReplayRow, State};
use crate::fault::{Fault, Result};
use crate::ops::cli;
use crate::ops::commands::{backfill, print};
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// How often the progress is read.
const INTERVAL: Duration = Duration::from_millis(200);

/// A daemon takes a request within two seconds; after this long there seems to be none.
const UNHEARD: Duration = Duration::from_secs(5);

/// Shows the progress until the end. Interrupted, it leaves the replay to the daemon.
pub(super) async fn watch(
    settings: &Settings,
    log: &Connection,
    id: i64,
    options: &cli::Replay,
) -> Result<()> {
    let bar = bar(&format!("replay {id}"));
    let began = Instant::now();
    let mut asked_for_daemon = false;
    loop {
        let row = replays::of_id(log, id)
            .await?
            .ok_or_else(|| Fault::permanent("the replay's row is gone from the log"))?;
        show(&bar, &row);
        if !row.has_work() {
            bar.finish_and_clear();
            return ended(&row, options.output.json);
        }
        if row.state == State::Waiting
            && row.reason.is_none()
            && began.elapsed() > UNHEARD
            && !asked_for_daemon
        {
            asked_for_daemon = true;
            if !backfill::is_streaming(settings).await? {
                bar.set_message("waits for the daemon, which does not run");
                bar.suspend(|| {
                    eprintln!(
                        "no daemon reads from the slot: the replay begins when `rowhook run` does"
                    );
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.map_err(|error| Fault::transient("cannot wait for a signal").because(error))?;
                bar.abandon();
                return print::line(format!(
                    "the daemon goes on with it; `rowhook replay list` shows how far it is, `rowhook replay cancel {id}` ends it"
                ));
            }
        }
    }
}

/// Hidden where nobody looks: standard error is no terminal.
pub(in crate::ops::commands) fn bar(name: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{prefix} [{bar:30}] {human_pos}/{human_len} ids, {eta} left, {wide_msg}",
    );
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name.to_owned());
    bar
}

fn show(bar: &ProgressBar, row: &ReplayRow) {
    let length = |ids: i64| u64::try_from(ids).unwrap_or(0);
    bar.set_length(length(row.request.up_to - row.request.after));
    bar.set_position(length(row.cursor - row.request.after));
    let mut counts = format!("{} delivered", row.delivered);
    for (count, what) in [(row.waiting, "parked"), (row.dead, "dead")] {
        if count > 0 {
            counts += &format!(", {count} {what}");
        }
    }
    bar.set_message(match &row.reason {
        Some(reason) => format!("{counts}; {reason}"),
        None => counts,
    });
}

fn ended(row: &ReplayRow, as_json_text: bool) -> Result<()> {
    if as_json_text {
        print::json(&as_json(row))?;
    }
    let reason = || row.reason.clone().unwrap_or_default();
    match row.state {
        State::Failed => Err(Fault::permanent(format!("replay {}: {}", row.id, reason()))
            .next_step("mend that and ask again")),
        State::Cancelled => Err(Fault::permanent(format!("replay {}: {}", row.id, reason()))),
        _ if as_json_text => Ok(()),
        _ => print::line(summary(row)),
    }
}

fn summary(row: &ReplayRow) -> String {
    let mut text = format!("replay {}: {} delivered", row.id, row.delivered);
    if row.dead > 0 {
        text += &format!(", {} dead under {}", row.dead, row.name);
    }
    if row.skipped > 0 {
        text += &format!(
            ", {} sequence ids skipped, which the retention took",
            row.skipped
        );
    }
    text
}
