//! How long it takes from an insert to its webhook, at a fixed rate.
//!
//! The writer is open-loop: each insert goes out at its own time, whether or not earlier ones have
//! returned, so that a stall shows in every insert that it delays. `benches/run.sh latency` starts
//! Postgres and the daemon around it; settings come from the environment:
//!
//! `BENCH_URL` the source; `BENCH_LISTEN` where the daemon's webhook goes; `BENCH_RATE` inserts/s;
//! `BENCH_SECONDS`; `BENCH_RESULT` a file for the result as JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::panic,
    reason = "a benchmark that meets the unexpected ends by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

/// Inserts before the first one that counts: caches fill, connections open.
const WARM_UP_SECONDS: u32 = 2;
const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

const INSERT: &str = "
    insert into orders (id, user_id, status, total, note, meta)
    values ($1, 7, 'open', 12.34, repeat('n', 100), jsonb_build_object('filler', repeat('m', 180)))";

/// What happened to one insert.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    sent: Option<Instant>,
    returned: Option<Instant>,
    received: Option<Instant>,
}

struct Shared {
    times: Mutex<Vec<Times>>,
    received: watch::Sender<usize>,
}

#[tokio::main]
async fn main() {
    let Ok(url) = std::env::var("BENCH_URL") else {
        println!("latency: run it with benches/run.sh latency");
        return;
    };
    let listen = std::env::var("BENCH_LISTEN").expect("BENCH_LISTEN");
    let rate = number("BENCH_RATE", 500);
    let warm_up = rate * WARM_UP_SECONDS;
    let total = warm_up + rate * number("BENCH_SECONDS", 20);

    let shared = Arc::new(Shared {
        times: Mutex::new(vec![Times::default(); total as usize]),
        received: watch::Sender::new(0),
    });
    let listener = tokio::net::TcpListener::bind(&listen).await.unwrap();
    let router = Router::new()
        .fallback(post(receive))
        .with_state(Arc::clone(&shared));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let writers = connect(&url).await;
    write(&shared, &writers, rate, total).await;
    let mut received = shared.received.subscribe();
    let all = received.wait_for(|count| *count >= total as usize);
    let complete = tokio::time::timeout(PATIENCE, all).await.is_ok();
    let times = shared.times.lock().unwrap().split_off(warm_up as usize);
    report(&times, rate);
    assert!(complete, "not every insert became a webhook");
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

/// Notes when an insert's first webhook arrived.
async fn receive(State(shared): State<Arc<Shared>>, body: Bytes) {
    let now = Instant::now();
    let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let id = request["event"]["resourceId"].as_str().unwrap_or_default();
    let mut times = shared.times.lock().unwrap();
    let place = id.parse::<usize>().unwrap_or(usize::MAX);
    if let Some(times) = times.get_mut(place)
        && times.received.replace(now).is_none()
    {
        shared.received.send_modify(|count| *count += 1);
    }
}

async fn connect(url: &str) -> Vec<(Arc<Client>, Statement)> {
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let insert = client.prepare(INSERT).await.unwrap();
        writers.push((Arc::new(client), insert));
    }
    writers
}

async fn write(shared: &Arc<Shared>, writers: &[(Arc<Client>, Statement)], rate: u32, total: u32) {
    let mut inserts = JoinSet::new();
    let began = tokio::time::Instant::now();
    for number in 0..total {
        let due = began + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due).await;
        let (client, insert) = writers[number as usize % writers.len()].clone();
        let shared = Arc::clone(shared);
        inserts.spawn(async move {
            let sent = Instant::now();
            client
                .execute(&insert, &[&i64::from(number)])
                .await
                .unwrap();
            let returned = Instant::now();
            let times = &mut shared.times.lock().unwrap()[number as usize];
            (times.sent, times.returned) = (Some(sent), Some(returned));
        });
    }
    while let Some(done) = inserts.join_next().await {
        done.unwrap();
    }
}

fn report(times: &[Times], rate: u32) {
    // The webhook may even arrive before the insert's answer does: that is no time at all.
    let since = |start: fn(&Times) -> Option<Instant>| {
        let pairs = times.iter().filter_map(|t| Some((start(t)?, t.received?)));
        let mut millis: Vec<f64> = pairs
            .map(|(start, end)| end.saturating_duration_since(start).as_secs_f64() * 1000.0)
            .collect();
        millis.sort_by(f64::total_cmp);
        millis
    };
    let of_returned = since(|times| times.returned);
    let of_sent = since(|times| times.sent);
    let missing = times.len() - of_returned.len();
    println!(
        "{} inserts at {rate}/s, {missing} without a webhook",
        times.len()
    );
    println!("ms                          p50     p95     p99     max");
    print_line("insert returned → received", &of_returned);
    print_line("insert sent → received    ", &of_sent);
    if let Ok(path) = std::env::var("BENCH_RESULT") {
        let result = serde_json::json!({
            "rate": rate,
            "inserts": times.len(),
            "missing": missing,
            "returned_to_received_ms": percentiles(&of_returned),
            "sent_to_received_ms": percentiles(&of_sent),
        });
        std::fs::write(path, format!("{result:#}\n")).unwrap();
    }
}

fn print_line(what: &str, sorted: &[f64]) {
    let [p50, p95, p99, max] = [0.50, 0.95, 0.99, 1.0].map(|share| percentile(sorted, share));
    println!("{what} {p50:>7.2} {p95:>7.2} {p99:>7.2} {max:>7.2}");
}

fn percentiles(sorted: &[f64]) -> serde_json::Value {
    serde_json::json!({
        "p50": percentile(sorted, 0.50),
        "p95": percentile(sorted, 0.95),
        "p99": percentile(sorted, 0.99),
        "max": percentile(sorted, 1.0),
    })
}

/// The smallest value that this share of all values does not exceed.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
