//! Events as a stream writes them.

use std::fmt::Write as _;
use std::ops::Range;

use axum::body::Bytes;

use crate::event::Event;
use crate::fault::Result;
use crate::ops::reading::{Question, compact};

/// Events that follow on each other, written once for everyone.
#[derive(Debug)]
pub(super) struct Batch {
    /// The sequence id before its first.
    pub(super) after: i64,
    /// Its last one.
    pub(super) up_to: i64,
    /// How often values had been erased before its events were taken.
    pub(super) forgotten: u64,
    whole: Bytes,
    frames: Vec<Frame>,
}

/// One event: what filters look at, and where its text is.
#[derive(Debug)]
struct Frame {
    event: Event,
    text: Range<usize>,
}

impl Batch {
    /// Writes events that follow on `after`.
    pub(super) fn write(after: i64, forgotten: u64, events: &[Event]) -> Result<Self> {
        let (mut whole, mut frames) = (String::new(), Vec::with_capacity(events.len()));
        for event in events {
            let begin = whole.len();
            write(event, &mut whole)?;
            frames.push(Frame {
                event: without_values(event),
                text: begin..whole.len(),
            });
        }
        Ok(Self {
            after,
            up_to: events.last().map_or(after, |event| event.sequence_id),
            forgotten,
            whole: Bytes::from(whole),
            frames,
        })
    }

    /// Says how far everything is, and holds nothing.
    pub(super) fn at(position: i64, forgotten: u64) -> Self {
        Self {
            after: position,
            up_to: position,
            forgotten,
            whole: Bytes::new(),
            frames: Vec::new(),
        }
    }

    /// The text of those after `at` that are wanted. No copy where that is all of them.
    pub(super) fn wanted(&self, at: i64, question: &Question) -> Bytes {
        let wanted = |frame: &&Frame| frame.event.sequence_id > at && question.takes(&frame.event);
        if self.frames.iter().all(|frame| wanted(&frame)) {
            return self.whole.clone();
        }
        let texts = self.frames.iter().filter(wanted);
        let texts = texts.filter_map(|frame| self.whole.get(frame.text.clone()));
        Bytes::from(texts.collect::<Vec<&[u8]>>().concat())
    }
}

/// One event after the other. All of them are plain messages, which a browser hands to `onmessage`;
/// the type stands in the data.
pub(super) fn text(events: &[Event]) -> Result<Bytes> {
    let mut text = String::new();
    events
        .iter()
        .try_for_each(|event| write(event, &mut text))?;
    Ok(Bytes::from(text))
}

fn write(event: &Event, text: &mut String) -> Result<()> {
    let id = event.sequence_id;
    // Writing to a string does not fail.
    let _ = write!(text, "id: {id}\ndata: {}\n\n", compact(event)?);
    Ok(())
}

fn without_values(event: &Event) -> Event {
    Event {
        record: None,
        previous: None,
        context: None,
        data: None,
        related: None,
        ..event.clone()
    }
}
