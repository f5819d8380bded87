//! The timelines that a server's WAL has been on.

use super::Lsn;

/// Which timeline a position lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timelines {
    /// Earlier ones, oldest first: where each one ended, and its number.
    ended: Vec<(Lsn, u32)>,
    current: u32,
}

impl Timelines {
    /// Reads a history file. Lines: timeline, tab, switch position, tab, reason (PostgreSQL source,
    /// `timeline.c`). Lines that cannot be read are passed over, as the server does with comments.
    #[must_use]
    pub fn read(current: u32, history: &str) -> Self {
        let line = |line: &str| -> Option<(Lsn, u32)> {
            let mut words = line.split_whitespace();
            let timeline = words.next()?.parse().ok()?;
            Some((words.next()?.parse().ok()?, timeline))
        };
        let mut ended: Vec<_> = history.lines().filter_map(line).collect();
        ended.sort_unstable();
        Self { ended, current }
    }

    /// The one that is written now.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The earlier ones with their ends, oldest first.
    pub fn ended(&self) -> impl Iterator<Item = (Lsn, u32)> {
        self.ended.iter().copied()
    }

    /// Where an earlier timeline ended; `None` if it is not in the history.
    #[must_use]
    pub fn end_of(&self, timeline: u32) -> Option<Lsn> {
        self.ended()
            .find_map(|(end, ended)| (ended == timeline).then_some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_file_tells_where_each_timeline_ended() {
        let history =
            "1\t0/64\tno recovery target specified\n\n# comment\n2\t0/C8\tbefore 2000-01-01\n";
        let timelines = Timelines::read(3, history);
        assert_eq!(
            timelines.ended().collect::<Vec<_>>(),
            [(Lsn(0x64), 1), (Lsn(0xC8), 2)]
        );
        assert_eq!(timelines.end_of(2), Some(Lsn(0xC8)));
        assert_eq!(timelines.end_of(4), None);
        assert_eq!(Timelines::read(1, "").ended().count(), 0);
    }
}
