//! Keys that are longer than the log's index takes.

use sha2::{Digest, Sha256};

/// The longest resource id in bytes. An index row of Postgres holds about 2,700, and a primary key
/// may be as long: with a resource's name before it, it would not fit.
const LONGEST: usize = 1024;

/// Cuts an id that is too long and ends it in a hash of the whole, so that different keys stay
/// different. The whole key is in the record.
pub(super) fn shorten(id: &mut Vec<u8>) {
    if id.len() <= LONGEST {
        return;
    }
    let hash = Sha256::digest(&*id);
    // Bytes that continue a character are 10xxxxxx.
    let begins = |at: &usize| id.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = (0..=LONGEST).rev().find(begins).unwrap_or(0);
    id.truncate(end);
    id.extend_from_slice(b"~sha256:");
    for byte in hash {
        id.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(id: &str) -> String {
        let mut id = id.as_bytes().to_vec();
        shorten(&mut id);
        String::from_utf8(id).unwrap()
    }

    #[test]
    fn an_ordinary_id_stays_as_it_is() {
        assert_eq!(shortened(""), "");
        let longest = "k".repeat(LONGEST);
        assert_eq!(shortened(&longest), longest);
    }

    #[test]
    fn a_long_id_is_cut_between_characters_and_stays_one_of_its_kind() {
        let long = format!("x{}", "é".repeat(2000));
        let (one, other) = (shortened(&long), shortened(&format!("{long}é")));
        assert_eq!(one.len(), LONGEST - 1 + "~sha256:".len() + 64);
        assert!(one.starts_with("xéé"));
        assert_ne!(one, other);
    }
}
