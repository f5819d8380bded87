//! Attempts as rows of a binary COPY.

use bytes::{BufMut, Bytes, BytesMut};

use super::AttemptRow;
use crate::event::postgres_micros;
use crate::event_log::copy::{HEADER, TRAILER};

/// Columns of the statement that the rows are for.
const COLUMNS: i16 = 11;

/// The rows as the data of a binary COPY; `fit` makes texts fit the log's encoding.
pub(super) fn encode(rows: &[AttemptRow], fit: fn(&str) -> String) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(HEADER);
    for row in rows {
        put_row(&mut out, row, fit);
    }
    out.put_slice(TRAILER);
    out.freeze()
}

fn put_row(out: &mut BytesMut, row: &AttemptRow, fit: fn(&str) -> String) {
    // Postgres takes no NUL in a text.
    let remark = |text: &Option<String>| text.as_deref().map(|text| fit(&text.replace('\0', " ")));
    out.put_i16(COLUMNS);
    put_i64(out, Some(postgres_micros(row.at.as_microsecond())));
    put_text(out, Some(&row.subscription));
    put_i64(out, Some(row.sequence_id));
    put(out, row.event_id.as_bytes());
    put_i32(out, Some(i32::try_from(row.attempt).unwrap_or(i32::MAX)));
    put_i32(out, row.status.map(i32::from));
    put_text(out, Some(&row.outcome));
    let micros = i64::try_from(row.duration.as_micros()).unwrap_or(i64::MAX);
    put_i64(out, Some(micros));
    put_text(out, remark(&row.error).as_deref());
    put_text(out, remark(&row.answer).as_deref());
    put_i64(out, row.replay);
}

fn put_i64(out: &mut BytesMut, value: Option<i64>) {
    match value {
        Some(value) => put(out, &value.to_be_bytes()),
        None => out.put_i32(-1),
    }
}

fn put_i32(out: &mut BytesMut, value: Option<i32>) {
    match value {
        Some(value) => put(out, &value.to_be_bytes()),
        None => out.put_i32(-1),
    }
}

fn put_text(out: &mut BytesMut, value: Option<&str>) {
    match value {
        Some(value) => put(out, value.as_bytes()),
        None => out.put_i32(-1),
    }
}

fn put(out: &mut BytesMut, value: &[u8]) {
    // What is longer than Postgres takes is far beyond the bounds of everything that is put here.
    out.put_i32(i32::try_from(value.len()).unwrap_or(0));
    out.put_slice(value);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::event_log::encoding::plain;

    fn row(second: i64, answer: Option<&str>) -> AttemptRow {
        AttemptRow {
            at: Timestamp::from_second(second).unwrap(),
            subscription: Arc::from("hook"),
            sequence_id: 7,
            event_id: Uuid::nil(),
            attempt: 2,
            status: Some(500),
            outcome: "refused".into(),
            duration: Duration::from_millis(3),
            error: None,
            answer: answer.map(str::to_owned),
            replay: None,
        }
    }

    #[test]
    fn a_row_is_what_copy_reads() {
        let bytes = encode(&[row(946_684_800, Some("nö\0"))], str::to_owned);
        let mut expected = HEADER.to_vec();
        expected.extend([0, 11]);
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend(b"\0\0\0\x04hook");
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7]);
        expected.extend([0, 0, 0, 16]);
        expected.extend([0; 16]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 2]);
        expected.extend([0, 0, 0, 4, 0, 0, 1, 0xf4]);
        expected.extend(b"\0\0\0\x07refused");
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x0b, 0xb8]);
        expected.extend([0xff; 4]);
        expected.extend(b"\0\0\0\x04n\xc3\xb6 ");
        expected.extend([0xff; 4]);
        expected.extend(TRAILER);
        assert_eq!(bytes, expected);
        let plainly = encode(&[row(946_684_800, Some("nö"))], plain);
        assert!(plainly.windows(2).any(|pair| pair == b"n?"));
    }
}
