//! May the stream go on where the log ends? The decision is pure: every way in which a gap could be silent is
//! decided here.

use crate::event_log::Checkpoint;
use crate::fault::{Fault, Result};
use crate::wal::{GatedSession, Lsn, System, Timelines, slot::Slot};

/// What to do with a slot that is in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resume {
    /// Start the stream.
    Stream,
    /// Another process reads from the slot: wait as its standby.
    StandBy {
        /// The server process that serves it.
        pid: i32,
    },
}

/// The server's timelines. Where their history file is missing, the one that the log knows is enough.
///
/// # Errors
/// By the server's SQLSTATE; transient without an answer in time.
pub async fn timelines(
    session: &mut GatedSession,
    system: &System,
    checkpoint: &Checkpoint,
) -> Result<Timelines> {
    match session.timelines(system.timeline).await {
        Err(_) if system.timeline == checkpoint.timeline => {
            Ok(Timelines::read(system.timeline, ""))
        }
        timelines => timelines,
    }
}

/// Decides whether the stream may be resumed.
///
/// `timelines` are those of the server.
///
/// # Errors
/// Permanent for everything that could hide a gap.
pub fn decide(
    checkpoint: &Checkpoint,
    system: &System,
    slot: Option<&Slot>,
    database: &str,
    timelines: &Timelines,
) -> Result<Resume> {
    same_server(checkpoint, system)?;
    is_primary(system)?;
    if system.timeline != checkpoint.timeline {
        same_history(checkpoint, system, timelines)?;
    }
    not_set_back(checkpoint, system)?;
    let name = &checkpoint.slot;
    let Some(slot) = slot else {
        return Err(Fault::permanent(format!(
            "slot \"{name}\" is gone; the log ends at {}, and what was committed after that may be lost",
            checkpoint.acknowledged_lsn
        ))
        .next_step(ACCEPT_GAP));
    };
    usable(name, slot, database)?;
    if let Some(pid) = slot.active_pid {
        return Ok(Resume::StandBy { pid });
    }
    let confirmed = slot.confirmed_lsn.unwrap_or(Lsn::INVALID);
    if confirmed > checkpoint.acknowledged_lsn {
        return Err(Fault::permanent(format!(
            "slot \"{name}\" stands at {confirmed}, but this log has only confirmed {}: something else has \
             advanced it, and the changes between are not in the log",
            checkpoint.acknowledged_lsn
        ))
        .next_step(ACCEPT_GAP));
    }
    Ok(Resume::Stream)
}

const ACCEPT_GAP: &str = "find out who did it; then run `rowhook setup --accept-gap`, which makes a new slot and records the gap as an event";

fn same_server(checkpoint: &Checkpoint, system: &System) -> Result<()> {
    if system.identifier == checkpoint.system_identifier {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "the server behind source.url is not the one that this log was written from (system identifier {}, \
         expected {})",
        system.identifier, checkpoint.system_identifier
    ))
    .next_step(
        "point source.url at the right server; if the move was meant, run `rowhook setup --accept-gap` \
         to record the gap and go on from the new server",
    ))
}

/// Behind an address that follows the primary there may be a standby that is about to be promoted.
///
/// # Errors
/// Transient for a standby.
pub fn is_primary(system: &System) -> Result<()> {
    if !system.in_recovery {
        return Ok(());
    }
    Err(Fault::transient(
        "the server behind source.url is a standby; rowhook waits for its promotion",
    )
    .next_step("promote it, or point source.url at the primary"))
}

/// What was logged was in the server's WAL on disk, so a server that has less of it was restored to
/// an earlier state; its new changes would be taken for old ones.
fn not_set_back(checkpoint: &Checkpoint, system: &System) -> Result<()> {
    if system.flushed >= checkpoint.acknowledged_lsn {
        return Ok(());
    }
    Err(Fault::permanent(format!(
        "the source's WAL ends at {}, before the end of this log ({}): it was set back to an earlier state",
        system.flushed, checkpoint.acknowledged_lsn
    ))
    .next_step(ACCEPT_GAP))
}

/// A server on another timeline has our history only if that timeline branched off behind what is
/// logged.
fn same_history(checkpoint: &Checkpoint, system: &System, timelines: &Timelines) -> Result<()> {
    let branched = timelines.end_of(checkpoint.timeline);
    if branched.is_some_and(|branch| branch >= checkpoint.acknowledged_lsn) {
        return Ok(());
    }
    let branch = branched.map_or_else(|| "an unknown position".to_owned(), |lsn| lsn.to_string());
    Err(Fault::permanent(format!(
        "the source is on timeline {} and left timeline {} at {branch}, before the end of this log ({}): events \
         in the log are not in the source, and new changes would be taken for old ones",
        system.timeline, checkpoint.timeline, checkpoint.acknowledged_lsn
    ))
    .next_step(ACCEPT_GAP))
}

fn usable(name: &str, slot: &Slot, database: &str) -> Result<()> {
    if slot.plugin.as_deref() != Some("pgoutput") || slot.database.as_deref() != Some(database) {
        return Err(Fault::permanent(format!(
            "slot \"{name}\" is not ours: plugin {}, database {} (expected pgoutput, {database})",
            slot.plugin.as_deref().unwrap_or("none"),
            slot.database.as_deref().unwrap_or("none"),
        ))
        .next_step("choose another source.slot"));
    }
    if let Some(why) = slot.loss() {
        return Err(
            Fault::permanent(format!("slot \"{name}\" is lost: {why}")).next_step(ACCEPT_GAP)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            system_identifier: "7".into(),
            timeline: 1,
            database: "shop".into(),
            slot: "rowhook".into(),
            epoch: 1,
            commit_lsn: Lsn(90),
            acknowledged_lsn: Lsn(100),
            next_sequence_id: 5,
        }
    }

    fn system(timeline: u32) -> System {
        System {
            identifier: "7".into(),
            timeline,
            flushed: Lsn(200),
            in_recovery: false,
        }
    }

    fn slot() -> Slot {
        Slot {
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            active_pid: None,
            restart_lsn: Some(Lsn(50)),
            confirmed_lsn: Some(Lsn(100)),
            wal_status: Some("reserved".into()),
            failover: None,
            invalidation: None,
            inactive_since: None,
        }
    }

    fn decided(system: &System, slot: Option<&Slot>, history: Option<&str>) -> Result<Resume> {
        let timelines = Timelines::read(system.timeline, history.unwrap_or_default());
        decide(&checkpoint(), system, slot, "shop", &timelines)
    }

    #[test]
    fn a_slot_in_order_streams_and_a_taken_one_is_waited_for() {
        assert_eq!(
            decided(&system(1), Some(&slot()), None).unwrap(),
            Resume::Stream
        );
        let taken = Slot {
            active_pid: Some(42),
            ..slot()
        };
        assert_eq!(
            decided(&system(1), Some(&taken), None).unwrap(),
            Resume::StandBy { pid: 42 }
        );
    }

    #[test]
    fn every_possible_gap_stops_with_its_cause() {
        let other = System {
            identifier: "8".into(),
            ..system(1)
        };
        let set_back = System {
            flushed: Lsn(99),
            ..system(1)
        };
        let cases = [
            (decided(&set_back, Some(&slot()), None), "set back"),
            (decided(&other, Some(&slot()), None), "not the one"),
            (decided(&system(1), None, None), "is gone"),
            (
                decided(
                    &system(1),
                    Some(&Slot {
                        confirmed_lsn: Some(Lsn(101)),
                        ..slot()
                    }),
                    None,
                ),
                "advanced it",
            ),
            (
                decided(
                    &system(1),
                    Some(&Slot {
                        wal_status: Some("lost".into()),
                        ..slot()
                    }),
                    None,
                ),
                "is lost",
            ),
            (
                decided(
                    &system(1),
                    Some(&Slot {
                        plugin: Some("wal2json".into()),
                        ..slot()
                    }),
                    None,
                ),
                "not ours",
            ),
            (
                decided(
                    &system(1),
                    Some(&Slot {
                        database: Some("other".into()),
                        ..slot()
                    }),
                    None,
                ),
                "not ours",
            ),
            (
                decided(&system(2), Some(&slot()), Some("1\t0/63\treason\n")),
                "left timeline 1 at 0/63",
            ),
            (
                decided(&system(2), Some(&slot()), Some("")),
                "unknown position",
            ),
        ];
        for (outcome, words) in cases {
            let fault = outcome.unwrap_err();
            assert_eq!(fault.exit_code(), 70);
            assert!(fault.cause().contains(words), "{fault}");
            assert!(fault.advice().is_some());
        }
    }

    #[test]
    fn a_standby_is_waited_for_whatever_it_has_replayed() {
        let standby = System {
            in_recovery: true,
            flushed: Lsn(50),
            ..system(1)
        };
        for slot in [Some(slot()), None] {
            let fault = decided(&standby, slot.as_ref(), None).unwrap_err();
            assert!(fault.is_transient(), "{fault}");
        }
    }

    #[test]
    fn a_promoted_standby_that_has_our_whole_history_is_the_source() {
        assert_eq!(
            decided(
                &system(2),
                Some(&slot()),
                Some("1\t0/64\tno recovery target\n")
            )
            .unwrap(),
            Resume::Stream
        );
    }
}
