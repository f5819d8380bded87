//! Where a rolled-back subtransaction begins in its transaction's stage. Pure.
//!
//! Rows carry the id of their subtransaction. Ids are assigned in order, to the outer one first, so a
//! subtransaction and all that is inside of it stand behind the last row of a smaller id.
//!
//! Logical messages only carry the id of the whole transaction. One that stands behind the first row
//! of a subtransaction belongs to it; one that stands right before it may belong to it, or not: if
//! that is rolled back, the transaction has to be read as a whole, without streaming. (What Postgres
//! gives as a message's position is where its record ends. A row whose record begins there may come
//! before it.)

use crate::wal::Lsn;

/// The subtransactions that a stage holds rows of, and what is doubtful.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// From the outer to the inner one, and to later ones: their ids rise. What has ended because a
    /// row of an outer one follows is part of that.
    parts: Vec<Part>,
    /// Where the first message behind the last row stands.
    said: Option<u64>,
    /// Where a message stands of which nobody knows whether it was rolled back.
    doubtful: Option<u64>,
}

#[derive(Debug)]
struct Part {
    xid: u32,
    /// Where its first row stands.
    start: u64,
    /// That row's place in the WAL.
    first_at: Lsn,
    /// Where the first message stands that may have been said before it began, or in it.
    said: Option<u64>,
}

impl Nesting {
    /// A row of `xid` is staged at `offset`; it stands in the WAL at `at`.
    pub(super) fn row(&mut self, xid: u32, offset: u64, at: Lsn) {
        let mut part = Part {
            xid,
            start: offset,
            first_at: at,
            said: self.said.take(),
        };
        while let Some(inner) = self.parts.pop_if(|last| precedes(xid, last.xid)) {
            part = Part { xid, ..inner };
        }
        if self.parts.last().is_none_or(|last| last.xid != xid) {
            self.parts.push(part);
        }
    }

    /// A message of ours is staged at `offset`; its record ends in the WAL at `at`.
    pub(super) fn said(&mut self, offset: u64, at: Lsn) {
        self.said.get_or_insert(offset);
        if let Some(last) = self.parts.last_mut().filter(|last| last.first_at >= at) {
            last.said.get_or_insert(offset);
        }
    }

    /// `xid` is rolled back in a stage of `end` bytes: tells where to cut it.
    pub(super) fn roll_back(&mut self, xid: u32, end: u64) -> u64 {
        let (mut start, mut said) = (end, self.said);
        while let Some(part) = self.parts.pop_if(|last| !precedes(last.xid, xid)) {
            (start, said) = (part.start, part.said);
        }
        // What stands behind the first row is gone for sure.
        self.doubtful.take_if(|at| *at > start);
        if let Some(said) = said {
            self.doubtful.get_or_insert(said.min(start));
        }
        self.said = said;
        start
    }

    /// Whether it holds, or lacks, a message of which nobody knows whether it was rolled back.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.is_some()
    }
}

/// Whether `a` was assigned before `b`: transaction ids are a circle.
fn precedes(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > u32::MAX / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one byte each, by their ids; where `xid` is cut.
    fn cut(rows: &[u32], xid: u32) -> u64 {
        let mut nesting = Nesting::default();
        for (offset, row) in (0..).zip(rows) {
            nesting.row(*row, offset, Lsn(offset));
        }
        let cut = nesting.roll_back(xid, rows.len() as u64);
        assert!(!nesting.is_doubtful());
        cut
    }

    #[test]
    fn a_rolled_back_subtransaction_takes_what_is_inside_of_it() {
        for (rows, xid, at) in [
            (vec![1, 2, 2], 2, 1),
            (vec![2, 2], 2, 0),
            // 3 is inside of 2, or behind it and rolled back with it.
            (vec![1, 2, 3, 2, 3], 2, 1),
            (vec![1, 2, 3], 3, 2),
            // An outer one writes its first row behind that of an inner one.
            (vec![1, 3, 2, 3], 2, 1),
            // It has no rows of its own.
            (vec![1, 3, 3], 2, 1),
            (vec![1, 1], 2, 2),
            // 2 has ended: a row of the outer one follows.
            (vec![1, 2, 1, 4], 4, 3),
            (vec![1, 2, 1], 2, 3),
            // Ids go round.
            (vec![u32::MAX, 3, 4], 3, 1),
        ] {
            assert_eq!(cut(&rows, xid), at, "{rows:?} {xid}");
        }
    }

    /// Rows and messages in their order: a row is its id and its position, a message is 0 and its.
    fn doubtful_after(staged: &[(u32, u64)], rolled_back: &[u32]) -> bool {
        let mut nesting = Nesting::default();
        for (offset, (xid, at)) in (0..).zip(staged) {
            match xid {
                0 => nesting.said(offset, Lsn(*at)),
                xid => nesting.row(*xid, offset, Lsn(*at)),
            }
        }
        let mut end = staged.len() as u64;
        for xid in rolled_back {
            end = nesting.roll_back(*xid, end);
        }
        nesting.is_doubtful()
    }

    #[test]
    fn a_message_right_before_a_rolled_back_subtransaction_is_doubtful() {
        for (staged, rolled_back, doubtful) in [
            // In it, for sure.
            (vec![(1, 10), (2, 20), (0, 30), (2, 30)], vec![2], false),
            // Before it, for sure.
            (vec![(0, 20), (1, 20), (2, 30)], vec![2], false),
            // In it, or before it.
            (vec![(1, 10), (0, 20), (2, 20)], vec![2], true),
            (vec![(0, 20), (2, 20)], vec![2], true),
            (vec![(1, 10), (0, 20)], vec![2], true),
            // The order of the two says nothing: the row begins where the message ends.
            (vec![(1, 10), (2, 20), (0, 20), (2, 30)], vec![2], true),
            // It is inside of an outer one that is rolled back, too.
            (vec![(1, 10), (2, 20), (0, 30), (3, 30)], vec![3, 2], false),
            (vec![(1, 10), (2, 20), (3, 30), (0, 30)], vec![3, 2], false),
            // Nobody rolls the later one back.
            (
                vec![(1, 10), (2, 20), (1, 30), (0, 40), (4, 40)],
                vec![2],
                true,
            ),
        ] {
            assert_eq!(
                doubtful_after(&staged, &rolled_back),
                doubtful,
                "{staged:?} {rolled_back:?}"
            );
        }
    }

    #[test]
    fn a_later_subtransaction_that_is_rolled_back_does_not_settle_what_is_doubtful() {
        let mut nesting = Nesting::default();
        nesting.row(1, 0, Lsn(10));
        nesting.row(2, 1, Lsn(20));
        nesting.said(2, Lsn(20));
        assert_eq!(nesting.roll_back(2, 3), 1);
        nesting.row(3, 1, Lsn(40));
        nesting.row(3, 2, Lsn(50));
        assert_eq!(nesting.roll_back(3, 3), 1);
        assert!(nesting.is_doubtful());
    }
}
