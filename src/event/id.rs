//! Event ids: the same change gives the same id, whoever reads it and however often.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::wal::{Lsn, Timelines};

/// Seconds from 1970-01-01 to 2000-01-01, Postgres' epoch, in microseconds.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// Microseconds since 1970 from microseconds since 2000.
#[must_use]
pub fn unix_micros(postgres_micros: i64) -> i64 {
    postgres_micros.saturating_add(POSTGRES_EPOCH)
}

/// Microseconds since 2000 from microseconds since 1970.
#[must_use]
pub fn postgres_micros(unix_micros: i64) -> i64 {
    unix_micros.saturating_sub(POSTGRES_EPOCH)
}

/// RFC 3339 in UTC, with a fraction only where there is one. Times beyond the year 9999 are cut to
/// the last one that the format can say.
#[must_use]
pub fn rfc3339(unix_micros: i64) -> String {
    let bounded = Timestamp::from_microsecond(unix_micros);
    bounded
        .unwrap_or(if unix_micros < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
        .to_string()
}

/// Makes the ids of one history of one database. A server that diverged from it (another timeline)
/// makes others; one that goes on behind it gives what came before the same ids.
#[derive(Debug, Clone)]
pub struct EventIds {
    /// What positions on the current timeline begin with.
    current: Sha256,
    /// The same of earlier timelines, oldest first, and where each one ended.
    ended: Vec<(Lsn, Sha256)>,
}

impl EventIds {
    /// The history that a system identifier, its timelines and a database name.
    #[must_use]
    pub fn new(system_identifier: &str, timelines: &Timelines, database: &str) -> Self {
        let on = |timeline: u32| {
            let mut history = Sha256::new();
            for part in [
                system_identifier.as_bytes(),
                &timeline.to_be_bytes(),
                database.as_bytes(),
            ] {
                // Lengths keep neighbours apart: ("ab", "c") is not ("a", "bc").
                history.update(part.len().to_be_bytes());
                history.update(part);
            }
            history
        };
        Self {
            current: on(timelines.current()),
            ended: timelines
                .ended()
                .map(|(end, timeline)| (end, on(timeline)))
                .collect(),
        }
    }

    /// The id of the change at a position. UUID version 8 (RFC 9562): the commit time in
    /// milliseconds, as version 7 has it, so that an index over ids grows at its end; 12 bits of
    /// where in its transaction the change stands, for the same reason; then 62 bits of SHA-256.
    #[must_use]
    pub fn id(&self, commit_time: i64, commit_lsn: Lsn, index: u64) -> Uuid {
        let earlier = self.ended.iter().find(|(end, _)| commit_lsn < *end);
        let mut hash = earlier
            .map_or(&self.current, |(_, history)| history)
            .clone();
        hash.update(commit_lsn.0.to_be_bytes());
        hash.update(index.to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(digest.split_at(16).0);
        let millis = unix_micros(commit_time).div_euclid(1000).to_be_bytes();
        let (time, _) = bytes.split_at_mut(6);
        time.copy_from_slice(millis.split_at(2).1);
        let (_, place) = bytes.split_at_mut(6);
        place
            .iter_mut()
            .zip(coarse(index).to_be_bytes())
            .for_each(|(byte, of_place)| *byte = of_place);
        Uuid::new_v8(bytes)
    }
}

/// 12 bits that grow with the index: exactly as far as 255, then as a number of seven binary digits
/// and its exponent.
fn coarse(index: u64) -> u16 {
    const DIGITS: u32 = 7;
    let exponent = index
        .checked_ilog2()
        .map_or(0, |bits| bits.saturating_sub(DIGITS));
    let coarse = (u64::from(exponent) << DIGITS) + (index >> exponent);
    u16::try_from(coarse.min(0xfff)).unwrap_or(0xfff)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(system: &str, timeline: u32, history: &str, database: &str) -> EventIds {
        EventIds::new(system, &Timelines::read(timeline, history), database)
    }

    #[test]
    fn one_position_of_one_history_has_one_id() {
        let first = ids("7300000000000000001", 1, "", "shop");
        let id = first.id(0, Lsn(0x0150_0000), 3);
        assert_eq!(
            id,
            ids("7300000000000000001", 1, "", "shop").id(0, Lsn(0x0150_0000), 3)
        );
        assert_eq!(id.to_string(), "00dc6acf-ac00-8003-8f41-b2bcc89b8caf");
        assert_ne!(id, first.id(0, Lsn(0x0150_0000), 4));
        assert_ne!(id, first.id(0, Lsn(0x0150_0001), 3));
        assert_ne!(
            id,
            ids("7300000000000000001", 2, "", "shop").id(0, Lsn(0x0150_0000), 3)
        );
        assert_ne!(
            id,
            ids("7300000000000000001", 1, "", "shop2").id(0, Lsn(0x0150_0000), 3)
        );
    }

    #[test]
    fn later_commits_have_greater_ids() {
        let ids = ids("1", 1, "", "shop");
        assert!(ids.id(1_000, Lsn(9), 9) < ids.id(2_000, Lsn(1), 1));
    }

    #[test]
    fn later_changes_of_a_transaction_have_no_lesser_places() {
        let around = |power: u32| {
            [
                (1 << power) - 1,
                1 << power,
                (1 << power) + (1 << power) / 3,
            ]
        };
        let places: Vec<u64> = (2..64).flat_map(around).collect();
        assert!(places.is_sorted_by_key(|index| coarse(*index)));
        assert_eq!(
            (0..256).map(coarse).collect::<Vec<_>>(),
            (0..256).collect::<Vec<_>>()
        );
        assert_eq!((coarse(256), coarse(257), coarse(258)), (256, 256, 257));
        assert_eq!((coarse(1 << 37), coarse(u64::MAX)), (0xf80, 0xfff));
    }

    #[test]
    fn later_changes_of_a_large_transaction_have_greater_ids() {
        let ids = ids("1", 1, "", "shop");
        let of: Vec<_> = (0..200).map(|index| ids.id(0, Lsn(1), index)).collect();
        assert!(of.is_sorted());
        assert!(ids.id(0, Lsn(1), 1_000_000) < ids.id(0, Lsn(1), 1_010_000));
    }

    #[test]
    fn what_came_before_a_promotion_keeps_its_id() {
        let before = ids("1", 1, "", "shop");
        let after = ids("1", 2, "1\t0/64\tno recovery target specified\n", "shop");
        assert_eq!(before.id(0, Lsn(0x63), 0), after.id(0, Lsn(0x63), 0));
        assert_ne!(before.id(0, Lsn(0x64), 0), after.id(0, Lsn(0x64), 0));
    }

    #[test]
    fn times_are_written_without_needless_digits() {
        assert_eq!(rfc3339(unix_micros(0)), "2000-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(postgres_micros(unix_micros(7)), 7);
        assert!(rfc3339(i64::MAX).starts_with("9999"));
    }
}
