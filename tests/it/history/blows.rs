//! What the killer does: a pure function of the seed.

use super::dice::Dice;
use crate::cluster::Stop;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Source,
    Log,
}

/// What a failpoint does when it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// The process aborts.
    Abort,
    /// The step fails, the process goes on.
    Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blow {
    /// kill -9 of the daemon.
    Kill,
    /// SIGTERM: an orderly end.
    Term,
    /// The daemon is started anew and fails at this place, after it passed it so many times.
    Failpoint {
        place: &'static str,
        passes: u64,
        failing: Failing,
    },
    Restart(Server, Stop),
    EndWalsender,
    EndWriter,
    /// Every connection of rowhook's.
    EndAll,
    /// The log's connections are closed, and new ones refused for a while.
    CutLog,
    /// The log's connections fall silent for a while, then they are closed.
    SilenceLog,
    /// SIGSTOP for longer than `wal_sender_timeout`.
    Pause,
    /// SIGSTOP while a second instance stands by, which takes over; then SIGCONT.
    TakeOver,
    /// Nobody writes for a while, but for tables of no interest: positions are confirmed.
    Lull,
}

impl Blow {
    /// For counting.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Failpoint { place, failing, .. } => format!("{failing:?} at {place}"),
            other => format!("{other:?}"),
        }
    }
}

/// Places of `failpoint::pass` in the product, in the order of the data.
pub(crate) const PLACES: &[&str] = &[
    "slot.started",
    "log.claim",
    "log.claimed",
    "log.segment",
    "log.segment_added",
    "log.begin",
    "log.begun",
    "log.rows",
    "log.part",
    "log.copied",
    "log.checkpointed",
    "log.committed",
    "slot.feedback",
    "slot.fed_back",
    "log.position",
    "log.positioned",
    "dispatch.flush",
    "dispatch.park",
    "dispatch.flushed",
];

/// The end of a COPY, the checkpoint and the commit travel together: a step between them cannot
/// fail on its own, only the process can.
pub(crate) const TOGETHER: &[&str] = &["log.copied", "log.checkpointed"];
/// Passed once or never in the life of a process.
const SELDOM: &[&str] = &[
    "slot.started",
    "log.claim",
    "log.claimed",
    "log.position",
    "log.positioned",
    "log.part",
    "log.segment",
    "log.segment_added",
];

/// Blows without end, each with the number of transactions that come before it. Each hand of cards
/// holds every kind, so that a run of some minutes has seen them all.
pub(crate) struct Deck {
    dice: Dice,
    log_elsewhere: bool,
    places: Vec<&'static str>,
    hand: Vec<Blow>,
}

impl Deck {
    pub(crate) fn new(seed: u64, log_elsewhere: bool) -> Self {
        Self {
            dice: Dice::new(seed, 2000),
            log_elsewhere,
            places: Vec::new(),
            hand: Vec::new(),
        }
    }

    pub(crate) fn next(&mut self) -> (u64, Blow) {
        if self.hand.is_empty() {
            self.deal();
        }
        let blow = self.hand.pop().unwrap_or(Blow::Kill);
        // Sometimes it rests: what takes a while can come to its end.
        let pause = match self.dice.percent(20) {
            true => 600,
            false => 20 + self.dice.below(120),
        };
        (pause, blow)
    }

    fn deal(&mut self) {
        let mut hand = vec![
            Blow::Kill,
            Blow::Kill,
            Blow::Term,
            Blow::Restart(Server::Source, Stop::Immediate),
            Blow::Restart(Server::Source, Stop::Fast),
            Blow::EndWalsender,
            Blow::EndWriter,
            Blow::EndAll,
            Blow::Pause,
            Blow::TakeOver,
            Blow::Lull,
        ];
        if self.log_elsewhere {
            hand.extend([
                Blow::Restart(Server::Log, Stop::Immediate),
                Blow::Restart(Server::Log, Stop::Fast),
                Blow::CutLog,
                Blow::SilenceLog,
            ]);
        }
        if cfg!(feature = "failpoints") {
            hand.extend((0..8).map(|_| self.failpoint()));
        }
        self.dice.shuffle(&mut hand);
        self.hand = hand;
    }

    fn failpoint(&mut self) -> Blow {
        if self.places.is_empty() {
            // Nothing is parked where retries are as quick as here; `places` has a test of its own.
            self.places = PLACES
                .iter()
                .copied()
                .filter(|place| *place != "dispatch.park")
                .collect();
            self.dice.shuffle(&mut self.places);
        }
        let place = self.places.pop().unwrap_or("log.committed");
        let passes = match SELDOM.contains(&place) {
            true => 0,
            false => self.dice.below(10),
        };
        let failing = match self.dice.percent(30) && !TOGETHER.contains(&place) {
            true => Failing::Fault,
            false => Failing::Abort,
        };
        Blow::Failpoint {
            place,
            passes,
            failing,
        }
    }
}
