//! Both ends of the webhooks of `benches/run.sh`: a receiver that counts, and a plain client that sends what
//! the receiver got before, with the HTTP library that rowhook uses. `BENCH_ROLE` says which.
//!
//! * `sink`: listens on `BENCH_LISTEN` and answers every POST with `BENCH_STATUS`, which
//!   `PUT /status/503` changes. `GET /seen` gives counts and times as JSON, `DELETE /seen` begins
//!   anew, `GET /sample` gives the first bodies, one a line.
//! * `client`: takes the sample from `BENCH_URL`, sends `BENCH_COUNT` requests over `BENCH_LANES`
//!   connections, and prints how long that took, in seconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::panic,
    reason = "a benchmark that meets the unexpected ends by panicking"
)]

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use bytes::Bytes;
use tokio::task::JoinSet;

/// Bodies that are kept for the client.
const SAMPLE: usize = 1_000;

#[derive(Debug, Default)]
struct Seen {
    answered: AtomicUsize,
    refused: AtomicUsize,
    first: Mutex<Option<Instant>>,
    last: Mutex<Option<Instant>>,
    sample: Mutex<Vec<Bytes>>,
    status: AtomicU16,
}

#[tokio::main]
async fn main() {
    match std::env::var("BENCH_ROLE").as_deref() {
        Ok("sink") => sink().await,
        Ok("client") => client().await,
        _ => println!("deliver: run it with benches/run.sh deliver"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).expect(name)
}

fn number(name: &str) -> usize {
    variable(name).parse().expect(name)
}

async fn sink() {
    let seen = Arc::new(Seen::default());
    seen.status.store(200, Ordering::Relaxed);
    let listener = tokio::net::TcpListener::bind(variable("BENCH_LISTEN"))
        .await
        .unwrap();
    let router = Router::new()
        .route("/seen", get(show).delete(forget))
        .route("/sample", get(sample))
        .route("/status/{status}", put(set_status))
        .fallback(post(take))
        .with_state(seen);
    axum::serve(listener, router).await.unwrap();
}

async fn take(State(seen): State<Arc<Seen>>, body: Bytes) -> StatusCode {
    let status = StatusCode::from_u16(seen.status.load(Ordering::Relaxed)).unwrap();
    if !status.is_success() {
        seen.refused.fetch_add(1, Ordering::Relaxed);
        return status;
    }
    let before = seen.answered.fetch_add(1, Ordering::Relaxed);
    if before < SAMPLE {
        seen.first.lock().unwrap().get_or_insert_with(Instant::now);
        seen.sample.lock().unwrap().push(body);
    }
    *seen.last.lock().unwrap() = Some(Instant::now());
    status
}

async fn show(State(seen): State<Arc<Seen>>) -> String {
    let (first, last) = (*seen.first.lock().unwrap(), *seen.last.lock().unwrap());
    let seconds = first
        .zip(last)
        .map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    let (answered, refused) = (
        seen.answered.load(Ordering::Relaxed),
        seen.refused.load(Ordering::Relaxed),
    );
    format!(r#"{{"answered":{answered},"refused":{refused},"seconds":{seconds}}}"#)
}

async fn forget(State(seen): State<Arc<Seen>>) {
    seen.answered.store(0, Ordering::Relaxed);
    seen.refused.store(0, Ordering::Relaxed);
    *seen.first.lock().unwrap() = None;
    *seen.last.lock().unwrap() = None;
    seen.sample.lock().unwrap().clear();
}

async fn sample(State(seen): State<Arc<Seen>>) -> Vec<u8> {
    seen.sample.lock().unwrap().join(&b'\n')
}

async fn set_status(State(seen): State<Arc<Seen>>, Path(status): Path<u16>) {
    seen.status.store(status, Ordering::Relaxed);
}

async fn client() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (url, count, lanes) = (
        variable("BENCH_URL"),
        number("BENCH_COUNT"),
        number("BENCH_LANES"),
    );
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap();
    let sample = client.get(format!("{url}/sample")).send().await.unwrap();
    let sample = sample.bytes().await.unwrap();
    let bodies: Arc<Vec<Bytes>> = Arc::new(
        sample
            .split(|byte| *byte == b'\n')
            .map(Bytes::copy_from_slice)
            .collect(),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let target: reqwest::Url = format!("{url}/hook").parse().unwrap();
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..lanes {
        let (client, bodies, next, target) = (
            client.clone(),
            Arc::clone(&bodies),
            Arc::clone(&next),
            target.clone(),
        );
        tasks.spawn(async move {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= count {
                    return;
                }
                let body = bodies[place % bodies.len()].clone();
                let request = client
                    .post(target.clone())
                    .header("content-type", "application/json")
                    .body(body);
                let response = request.send().await.unwrap();
                assert!(response.status().is_success());
                let _read = response.bytes().await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    println!("{:.4}", began.elapsed().as_secs_f64());
}
