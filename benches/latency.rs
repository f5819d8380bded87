//! How long it takes from an insert to the log and to its webhook, at a fixed rate.
//!
//! The writer is open-loop: each insert goes out at its own time, whether or not earlier ones have
//! returned, so that a stall shows in every insert that it delays. An insert is logged when another
//! session has read its event: one that asks for what is new and takes [`READ_PAUSE`] from each
//! answer to the next question. The time noted is the answer's, so it is too long rather than too
//! short, at most by the time between two answers, which is reported as the resolution.
//!
//! `benches/run.sh latency` starts Postgres and the daemon around it; settings come from the
//! environment:
//!
//! `BENCH_URL` the source, whose log is beside it; `BENCH_LISTEN` where the daemon's webhook goes;
//! `BENCH_RATE` inserts/s; `BENCH_SECONDS`; `BENCH_RESULT` a file for the result as JSON.

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

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
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
/// Between two readings of the log: a longer one blurs what is measured, a shorter one takes
/// processor time from it.
const READ_PAUSE: Duration = Duration::from_micros(400);

const INSERT: &str = "
    insert into orders (id, user_id, status, total, note, meta)
    values ($1, 7, 'open', 12.34, repeat('n', 100), jsonb_build_object('filler', repeat('m', 180)))";

const NEW_EVENTS: &str = "
    select resource_id from rowhook.events where sequence_id > $1 order by sequence_id";

/// By the index from the first reading on, when the planner does not know yet that the log will grow;
/// and planned once.
const BY_INDEX: &str = "
    set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off;
    set plan_cache_mode = force_generic_plan";

/// What happened to one insert.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    sent: Option<Instant>,
    returned: Option<Instant>,
    logged: Option<Instant>,
    received: Option<Instant>,
}

struct Shared {
    times: Mutex<Vec<Times>>,
    received: watch::Sender<usize>,
    /// The reader of the log is to stop.
    over: AtomicBool,
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
        over: AtomicBool::new(false),
    });
    let listener = tokio::net::TcpListener::bind(&listen).await.unwrap();
    let router = Router::new()
        .fallback(post(receive))
        .with_state(Arc::clone(&shared));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let reader = read_log(url.clone(), Arc::clone(&shared));
    let writers = connect(&url).await;
    write(&shared, &writers, rate, total).await;
    let mut received = shared.received.subscribe();
    let all = received.wait_for(|count| *count >= total as usize);
    let complete = tokio::time::timeout(PATIENCE, all).await.is_ok();
    shared.over.store(true, Ordering::Relaxed);
    let gaps = reader.join().unwrap();
    let times = shared.times.lock().unwrap().split_off(warm_up as usize);
    report(&times, &gaps, rate);
    assert!(complete, "not every insert became a webhook");
    assert!(
        times.iter().all(|times| times.logged.is_some()),
        "not every insert was seen in the log"
    );
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

/// Reads what is new in the log, in a thread of its own with a runtime of its own: its pauses are
/// shorter than a timer's tick. Gives the times between two answers, in ms.
fn read_log(url: String, shared: Arc<Shared>) -> JoinHandle<Vec<f64>> {
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let (client, connection) = runtime
            .block_on(tokio_postgres::connect(&url, NoTls))
            .unwrap();
        runtime.spawn(connection);
        runtime.block_on(client.batch_execute(BY_INDEX)).unwrap();
        let new_events = runtime.block_on(client.prepare(NEW_EVENTS)).unwrap();
        let (mut seen, mut gaps, mut before) = (0_i64, Vec::new(), Instant::now());
        // Once more after the end: the last events may have come since the last reading.
        let mut over = false;
        while !over {
            over = shared.over.load(Ordering::Relaxed);
            let events = runtime
                .block_on(client.query(&new_events, &[&seen]))
                .unwrap();
            let now = Instant::now();
            gaps.push((now - before).as_secs_f64() * 1000.0);
            before = now;
            // Sequence ids are dense.
            seen += i64::try_from(events.len()).unwrap();
            let mut times = shared.times.lock().unwrap();
            for event in &events {
                let place: usize = event.get::<_, &str>(0).parse().unwrap();
                times[place].logged = Some(now);
            }
            drop(times);
            std::thread::sleep(READ_PAUSE);
        }
        gaps.sort_by(f64::total_cmp);
        gaps
    })
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

fn report(times: &[Times], gaps: &[f64], rate: u32) {
    let commit = millis(times, |t| t.sent, |t| t.returned);
    let logged = millis(times, |t| t.returned, |t| t.logged);
    let received = millis(times, |t| t.returned, |t| t.received);
    println!(
        "{} inserts at {rate}/s, {} not seen in the log, {} without a webhook",
        times.len(),
        times.len() - logged.len(),
        times.len() - received.len()
    );
    println!("ms                          p50     p95     p99     max");
    print_line("the commit itself         ", &commit);
    print_line("commit returned → logged  ", &logged);
    print_line("commit returned → received", &received);
    print_line("between readings          ", gaps);
    if let Ok(path) = std::env::var("BENCH_RESULT") {
        let result = serde_json::json!({
            "rate": rate,
            "inserts": times.len(),
            "missing": times.len() - received.len(),
            "commit": percentiles(&commit),
            "logged": percentiles(&logged),
            "received": percentiles(&received),
            "resolution": percentiles(gaps),
        });
        std::fs::write(path, format!("{result:#}\n")).unwrap();
    }
}

type Moment = fn(&Times) -> Option<Instant>;

/// From one moment to another, of each insert that has both, in order.
fn millis(times: &[Times], start: Moment, end: Moment) -> Vec<f64> {
    let pairs = times.iter().filter_map(|t| Some((start(t)?, end(t)?)));
    // What comes of an insert may even be there before its answer: that is no time at all.
    let mut millis: Vec<f64> = pairs
        .map(|(start, end)| end.saturating_duration_since(start).as_secs_f64() * 1000.0)
        .collect();
    millis.sort_by(f64::total_cmp);
    millis
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
