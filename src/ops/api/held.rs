//! Answers that clients have not taken yet: together they hold a bounded amount of memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Problem;

/// KiB of all answers that wait for their clients.
const BUDGET: usize = 128 << 10;
/// KiB that are set aside before it is known how long an answer will be: a page of events and what
/// stands around them.
const SET_ASIDE: u32 = 16 << 10;
/// How long a request waits for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that go out at once. What is no longer than this takes no part in it.
const PIECE: usize = 32 << 10;

/// The memory for answers.
pub(super) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET)))
    }
}

impl Memory {
    /// Memory for one answer, after some patience: asked for before the log is.
    pub(super) async fn set_aside(&self) -> Result<SetAside, Problem> {
        let permit = Arc::clone(&self.0).acquire_many_owned(SET_ASIDE);
        match tokio::time::timeout(PATIENCE, permit).await {
            Ok(Ok(permit)) => Ok(SetAside(permit)),
            _ => {
                let detail = "too many answers wait for clients who do not take them";
                Err(Problem::busy("busy", detail))
            }
        }
    }
}

/// Memory for one answer.
pub(super) struct SetAside(OwnedSemaphorePermit);

impl SetAside {
    /// The answer in JSON, which gives its memory back as it is taken. One that is longer than what
    /// was set aside is one large event.
    pub(super) fn json(mut self, text: Vec<u8>) -> Response {
        let kind = (header::CONTENT_TYPE, "application/json");
        if text.len() <= PIECE {
            return ([kind], text).into_response();
        }
        let length = HeaderValue::from(text.len());
        // Each piece by itself: a slice of the text would keep all of it.
        let pieces: VecDeque<Bytes> = text.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        drop(text);
        let kept = pieces.len().saturating_mul(PIECE >> 10);
        drop(self.0.split(self.0.num_permits().saturating_sub(kept)));
        let body = stream::unfold((pieces, self.0), |(mut pieces, mut held)| async {
            let piece = pieces.pop_front()?;
            let kept = pieces.len().saturating_mul(PIECE >> 10);
            drop(held.split(held.num_permits().saturating_sub(kept)));
            Some((Ok::<_, Infallible>(piece), (pieces, held)))
        });
        let mut response = ([kind], Body::from_stream(body)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
        response
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    const ALL: usize = BUDGET;

    #[tokio::test]
    async fn an_answer_gives_its_memory_back_as_it_is_taken() {
        let memory = Memory::default();
        let free = || memory.0.available_permits();
        let text: Vec<u8> = (0..=250).cycle().take(3 * PIECE + 7).collect();
        let set_aside = memory.set_aside().await.unwrap();
        assert_eq!(free(), ALL - SET_ASIDE as usize);
        let response = set_aside.json(text.clone());
        assert_eq!(free(), ALL - 4 * 32);
        let length = &response.headers()[header::CONTENT_LENGTH];
        assert_eq!(length, &text.len().to_string());
        let mut body = response.into_body().into_data_stream();
        let mut taken = body.next().await.unwrap().unwrap().to_vec();
        assert_eq!(free(), ALL - 3 * 32);
        while let Some(piece) = body.next().await {
            taken.extend(piece.unwrap());
        }
        assert!(taken == text);
        assert_eq!(free(), ALL);

        let dropped = memory.set_aside().await.unwrap().json(text);
        drop(dropped);
        drop(memory.set_aside().await.unwrap().json(b"{}".to_vec()));
        assert_eq!(free(), ALL);
    }

    #[tokio::test]
    async fn who_finds_no_memory_waits_for_it() {
        let memory = Memory::default();
        let mut held = Vec::new();
        for _ in 0..ALL / SET_ASIDE as usize {
            held.push(memory.set_aside().await.unwrap());
        }
        assert!(memory.set_aside().now_or_never().is_none());
        held.pop();
        assert!(memory.set_aside().now_or_never().is_some());
    }
}
