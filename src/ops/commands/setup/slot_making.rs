//! The slot: made, kept, or made anew where the operator accepts the gap.

use super::print;
use crate::capture::continuity::Break;
use crate::capture::resume::{self, Resume, timelines};
use crate::event_log::Checkpoint;
use crate::event_log::gap::{self, Gap};
use crate::fault::{Fault, Result};
use crate::ops::settings::Settings;
use crate::wal::slot::{self, Slot};
use crate::wal::{Connection, GatedSession, Lsn, System};

/// What a slot is made with.
pub(super) struct Making<'a> {
    pub(super) connection: &'a Connection,
    pub(super) log: &'a Connection,
    pub(super) settings: &'a Settings,
    pub(super) system: &'a System,
    /// Whether it has to be a failover slot.
    pub(super) failover: bool,
}

impl Making<'_> {
    /// Makes the slot where there is none; keeps it where it is the log's.
    pub(super) async fn make_or_keep(
        &self,
        session: &mut GatedSession,
        accept_gap: bool,
        broken: Option<Break>,
    ) -> Result<()> {
        let name = &self.settings.source.slot;
        let checkpoint = Checkpoint::read(self.log).await?;
        let there = Slot::look_up(self.connection, name).await?;
        match (checkpoint, there) {
            // After a teardown the log goes on with what is committed from now on, and says so.
            (Some(checkpoint), None) if checkpoint.slot.is_empty() => {
                let (position, event) = self.make(&checkpoint, "rowhook was torn down").await?;
                print::line(format!("slot \"{name}\": made at {position}; the time since the teardown is a gap, event {event}"))
            }
            // Somebody else's slot is neither used nor dropped.
            (Some(checkpoint), Some(slot)) if !is_ours(&checkpoint, &slot, self.settings) => Err(Fault::permanent(format!(
                "slot \"{name}\" is not the one that this log is written from (\"{}\")",
                checkpoint.slot
            ))
            .next_step("set source.slot back, or choose a name that is free")),
            (Some(checkpoint), Some(_)) if checkpoint.slot.is_empty() && !accept_gap => Err(Fault::permanent(format!(
                "slot \"{name}\" exists, and the log was torn down: an earlier setup was cut off"
            ))
            .next_step("run `rowhook setup --accept-gap`, which makes it anew and records the gap as an event")),
            (Some(checkpoint), there) if accept_gap => {
                self.accept_gap(session, &checkpoint, there, broken).await
            }
            (Some(_), Some(slot)) => {
                print::line(format!("slot \"{name}\": ready"))?;
                self.set_failover(session, &slot).await
            }
            (Some(checkpoint), None) => Err(Fault::permanent(format!(
                "slot \"{name}\" existed and is gone; the log ends at {}, and what was committed after that may be lost",
                checkpoint.acknowledged_lsn
            ))
            .next_step("run `rowhook setup --accept-gap` to make a new slot and record the gap as an event")),
            (None, Some(_)) => Err(Fault::permanent(format!(
                "slot \"{name}\" exists, but this log knows nothing of it: it belongs to something else, or to a log \
                 that was dropped, or a first setup was cut off"
            ))
            .next_step(format!("choose another source.slot, or drop it: select pg_drop_replication_slot('{name}')"))),
            (None, None) => self.make_the_first().await,
        }
    }

    /// Where the slot is whole and only the publication left something out, the slot stays: what it
    /// holds would be lost with it.
    async fn accept_gap(
        &self,
        session: &mut GatedSession,
        checkpoint: &Checkpoint,
        there: Option<Slot>,
        broken: Option<Break>,
    ) -> Result<()> {
        let name = &self.settings.source.slot;
        let resumed = self.resumable(session, checkpoint, there.as_ref()).await;
        match (resumed, broken) {
            (Ok(Resume::StandBy { pid }), _) => Err(Fault::transient(format!(
                "slot \"{name}\" is in use by server process {pid}"
            ))
            .next_step("stop the daemon first")),
            (Ok(Resume::Stream), Some(Break::Contents(causes))) => {
                let cause = causes.join("; ");
                let event = gap::note(self.log, self.gap(checkpoint, &cause)).await?;
                print::line(format!(
                    "slot \"{name}\": ready; what was left out is a gap, event {event}"
                ))
            }
            (resumed, broken) => {
                let cause = match (resumed, broken) {
                    (Err(fault), _) => fault.cause(),
                    (_, Some(broken)) => broken.cause(),
                    (Ok(_), None) => "the operator asked for a new slot".to_owned(),
                };
                slot::drop(self.connection, name).await?;
                let (position, event) = self.make(checkpoint, &cause).await?;
                print::line(format!(
                    "slot \"{name}\": made anew at {position}; the gap is event {event}"
                ))
            }
        }
    }

    /// What the daemon would say.
    async fn resumable(
        &self,
        session: &mut GatedSession,
        checkpoint: &Checkpoint,
        there: Option<&Slot>,
    ) -> Result<Resume> {
        // After the checkpoint: what a daemon logs meanwhile is in the WAL by then.
        let system = session.identify().await?;
        let timelines = timelines(session, &system, checkpoint).await?;
        let database = &self.settings.source.target.database;
        resume::decide(checkpoint, &system, there, database, &timelines)
    }

    /// Makes the slot for a log that exists; gives its position and the gap's event.
    async fn make(&self, checkpoint: &Checkpoint, cause: &str) -> Result<(Lsn, i64)> {
        let name = &self.settings.source.slot;
        let position = slot::create(self.connection, name, self.failover).await?;
        let event = gap::record(self.log, self.gap(checkpoint, cause), position).await?;
        Ok((position, event))
    }

    fn gap<'a>(&'a self, checkpoint: &'a Checkpoint, cause: &'a str) -> Gap<'a> {
        Gap {
            checkpoint,
            system: self.system,
            source: &self.settings.source,
            cause,
        }
    }

    async fn make_the_first(&self) -> Result<()> {
        let name = &self.settings.source.slot;
        print::line("slot: being made; this waits for transactions that run now to end")?;
        let position = slot::create(self.connection, name, self.failover).await?;
        let checkpoint = Checkpoint {
            system_identifier: self.system.identifier.clone(),
            timeline: self.system.timeline,
            database: self.settings.source.target.database.clone(),
            slot: name.clone(),
            epoch: 0,
            commit_lsn: Lsn::INVALID,
            acknowledged_lsn: position,
            next_sequence_id: 1,
        };
        if let Err(fault) = checkpoint.create(self.log).await {
            // A slot without its checkpoint would hold back WAL for nobody.
            slot::drop(self.connection, name).await?;
            return Err(fault);
        }
        print::line(format!("slot \"{name}\": made at {position}"))
    }

    /// Brings a slot of an earlier setup in line with `source.failover`.
    async fn set_failover(&self, session: &mut GatedSession, slot: &Slot) -> Result<()> {
        let name = &self.settings.source.slot;
        let Some(now) = slot.failover.filter(|now| *now != self.failover) else {
            return Ok(());
        };
        let kind = |failover| {
            if failover {
                "a failover slot"
            } else {
                "an ordinary slot"
            }
        };
        if slot.active_pid.is_some() {
            return print::line(format!(
                "slot \"{name}\": still {}; stop the daemon and run `rowhook setup` again to make it {}",
                kind(now),
                kind(self.failover)
            ));
        }
        slot::set_failover(session, name, self.failover).await?;
        print::line(format!("slot \"{name}\": now {}", kind(self.failover)))
    }
}

/// Whether a slot is the log's: by its name, unless the log was torn down, and by what it decodes.
pub(in crate::ops::commands) fn is_ours(
    checkpoint: &Checkpoint,
    slot: &Slot,
    settings: &Settings,
) -> bool {
    let named = checkpoint.slot == settings.source.slot || checkpoint.slot.is_empty();
    let decodes = slot.plugin.as_deref() == Some("pgoutput")
        && slot.database.as_deref() == Some(settings.source.target.database.as_str());
    named && decodes
}
