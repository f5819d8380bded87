//! Before the stream: may it start here, is the slot free, and is the log ours.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::resume::{self, Resume};
use super::session::{Capturer, Standing};
use crate::event_log::{Checkpoint, Writer, migrate};
use crate::failpoint;
use crate::fault::{Fault, Result};
use crate::wal::{Connection, GatedSession, Source, Stream, Timelines, slot::Slot};

/// How often a standby looks whether the slot is free.
const STANDBY_INTERVAL: Duration = Duration::from_secs(1);

impl Capturer {
    /// Checks the slot on the session that will stream, starts it, and claims the log. `None` if
    /// asked to stop meanwhile.
    pub(super) async fn start_stream(
        &mut self,
        control: &Connection,
        log: &Connection,
        stop: &CancellationToken,
    ) -> Result<Option<(Stream, Checkpoint, Timelines)>> {
        loop {
            let mut session = GatedSession::open(&self.source).await?;
            let slot = Slot::read(&mut session, &self.source.slot).await?;
            // After the slot: a commit comes before its confirmation, so a checkpoint that is read
            // later is never behind the slot, whoever writes meanwhile.
            let checkpoint = Checkpoint::read(log).await?.ok_or_else(never_set_up)?;
            self.not_fenced(&checkpoint)?;
            belongs(&checkpoint, &self.source)?;
            // After the checkpoint: what another instance logs meanwhile is in the WAL by then.
            let system = session.identify().await?;
            let timelines = resume::timelines(&mut session, &system, &checkpoint).await?;
            let database = &self.source.target.database;
            match resume::decide(&checkpoint, &system, slot.as_ref(), database, &timelines)? {
                Resume::Stream => {
                    // Between the look and the start another instance may have taken the slot: then
                    // the start fails, which is transient, and the next session looks again.
                    let acknowledged = checkpoint.acknowledged_lsn;
                    let streams = self.source.streaming.is_on(acknowledged);
                    let stream = session.start(streams).await?;
                    failpoint::pass("slot.started")?;
                    // One that was cut off in the middle must not be waited for.
                    Writer::end_cut_off(log).await?;
                    failpoint::pass("log.claim")?;
                    let claimed = self.claim(log, system.timeline).await?;
                    failpoint::pass("log.claimed")?;
                    return Ok(Some((stream, claimed, timelines)));
                }
                Resume::StandBy { pid } => {
                    drop(session);
                    if !self.stand_by(pid, control, stop).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The first session of this process takes the log over; later ones make sure that nobody else
    /// has done so since.
    async fn claim(&mut self, log: &Connection, timeline: u32) -> Result<Checkpoint> {
        if self.epoch.is_none() {
            let checkpoint = Checkpoint::claim(log, timeline).await?;
            self.epoch = Some(checkpoint.epoch);
            return Ok(checkpoint);
        }
        let checkpoint = Checkpoint::read(log).await?.ok_or_else(never_set_up)?;
        self.not_fenced(&checkpoint)?;
        if checkpoint.timeline == timeline {
            return Ok(checkpoint);
        }
        Checkpoint::follow(log, checkpoint.epoch, timeline).await
    }

    /// Whoever has held the log and lost it must not wait as a standby: it could never take over,
    /// and its webhooks would go on meanwhile.
    fn not_fenced(&self, checkpoint: &Checkpoint) -> Result<()> {
        let Some(epoch) = self.epoch.filter(|epoch| *epoch != checkpoint.epoch) else {
            return Ok(());
        };
        Err(Fault::fenced(format!(
            "another rowhook instance has taken over this log (epoch {}, ours was {epoch})",
            checkpoint.epoch
        ))
        .next_step("nothing, if that was meant; restarted, this instance waits as its standby"))
    }

    /// Waits until the slot is free. `false` if asked to stop.
    async fn stand_by(
        &self,
        pid: i32,
        control: &Connection,
        stop: &CancellationToken,
    ) -> Result<bool> {
        tracing::info!(slot = %self.source.slot, pid, "the slot is in use by another process: waiting as its standby");
        self.standing.send_replace(Standing::StandBy { pid });
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                () = tokio::time::sleep(failpoint::between_looks(STANDBY_INTERVAL)) => {}
            }
            self.metrics.capture_pulse.beat();
            let slot = Slot::look_up(control, &self.source.slot).await?;
            if slot.is_none_or(|slot| slot.active_pid.is_none()) {
                return Ok(true);
            }
        }
    }
}

pub(super) async fn prepare_log(log: &Connection) -> Result<()> {
    match migrate::version(log).await? {
        Some(_) => migrate::migrate(log).await,
        None => Err(never_set_up()),
    }
}

fn never_set_up() -> Fault {
    Fault::permanent("rowhook was never set up for this database: the log has no checkpoint")
        .next_step("run `rowhook check`, then `rowhook setup`")
}

/// A log is written from one slot of one database.
fn belongs(checkpoint: &Checkpoint, source: &Source) -> Result<()> {
    if checkpoint.slot.is_empty() {
        return Err(Fault::permanent("rowhook was torn down for this database")
            .next_step("run `rowhook setup`"));
    }
    if checkpoint.slot == source.slot && checkpoint.database == source.target.database {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "this log is written from slot \"{}\" of database \"{}\", the settings name slot \"{}\" of \"{}\"",
        checkpoint.slot, checkpoint.database, source.slot, source.target.database
    ))
    .next_step("set source.slot and source.url back, or give this source a log database of its own in log.url"))
}
