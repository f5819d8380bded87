//! The history checker: random transactions, a killer, and a log that has to equal the truth.
//!
//! Writers do what a seed says to tables of every replica identity; triggers write the truth in the
//! same transactions; a killer strikes rowhook, Postgres and the ways between them at places and
//! times that the seed says; some tables take old rows from the log, and backfills are asked for; in
//! some rounds transactions arrive while they run; a reader tails the log and a receiver takes webhooks
//! all the while. In the end the log has to hold exactly what happened.
//!
//! The suite runs a short form. `tests/history.sh --minutes 30` runs round after round, each with a
//! seed of its own. The plans (what writers do, what the killer does, after how many transactions)
//! are pure functions of the seed; how they interleave is up to the machine, so a seed that failed
//! repeats the same plan, and mostly but not always the same failure.

mod dice;
mod schema;
mod plan;
mod blows;
mod writers;
mod reader;
mod backfills;
mod killer;
mod memory;
mod verdict;
mod deliveries;
mod places;
mod tests;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use self::backfills::Backfills;
use self::blows::Deck;
use self::dice::Dice;
use self::killer::{Killer, SILENCE};
use self::memory::Backfilled;
use self::plan::{Altering, Writing};
use self::reader::{Reader, Seen};
use self::verdict::Compared;
use self::writers::Writers;
use crate::cluster::{Cluster, Database};
use crate::daemon::Rowhook;
use crate::patience::PATIENCE;
use crate::proxy::Proxy;
use crate::receiver::Receiver;

const WRITERS: u64 = 4;
/// Draining may take as long as it makes headway.
const PATIENCE_WITHOUT_HEADWAY: Duration = PATIENCE;
const POLL: Duration = Duration::from_millis(200);

/// Counts of what happened, by name.
#[derive(Default)]
pub(crate) struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    pub(crate) fn add(&self, what: &str, count: u64) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += count;
    }

    fn print(&self) {
        for (what, count) in self.0.lock().unwrap().iter() {
            println!("  {count:>9}  {what}");
        }
    }
}

/// What a round is like. All of it comes from the seed but for what the command line says.
#[derive(Debug, Clone)]
struct Round {
    seed: u64,
    time: Duration,
    /// The tables that are written; all, if none are named.
    tables: Vec<String>,
    /// The log lives in another server, behind a proxy.
    log_elsewhere: bool,
    /// `source.replica_identity = "full"`; else every table keeps its own.
    full: bool,
    segment_size: i64,
    /// Tables are dropped whose changes may not have been read yet.
    drops: bool,
    /// Tables with `previous = "log"`.
    recalled: Vec<&'static str>,
    /// Tables hold rows from before, and backfills are asked for.
    backfills: bool,
    /// Transactions arrive while they run, as early as the server can.
    streaming: bool,
}

impl Round {
    fn new(seed: u64, time: Duration) -> Self {
        let full = seed / 2 % 4 == 3;
        let mut dice = Dice::new(seed, 3000);
        let (some, backfills) = (dice.percent(70), dice.percent(70));
        let recalled = schema::RECALLED.iter().copied();
        Self {
            seed,
            time,
            recalled: recalled.filter(|_| some && dice.percent(60)).collect(),
            backfills,
            streaming: Dice::new(seed, 5000).percent(40),
            tables: list("ROWHOOK_HISTORY_TABLES"),
            log_elsewhere: seed % 2 == 1,
            full,
            // Thousands of rows in tiny segments would be a test of the catalogs alone.
            segment_size: [if backfills { 997 } else { 97 }, 1999, 1_000_000]
                [(seed / 2 % 3) as usize],
            drops: number("ROWHOOK_HISTORY_KEY_DDL") != Some(0),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
    )
}

fn list(variable: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_default();
    text.split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn random_seed() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Dice::new(now.as_nanos() as u64, 0).below(1_000_000)
}

/// The suite's plans are the same every time; `tests/history.sh` throws the dice.
fn chosen_seed(otherwise: u64) -> u64 {
    number("ROWHOOK_HISTORY_SEED").unwrap_or(otherwise)
}

fn seconds(otherwise: u64) -> Duration {
    Duration::from_secs(number("ROWHOOK_HISTORY_SECONDS").unwrap_or(otherwise))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_equals_the_truth_whatever_is_killed() {
    play(Round::new(chosen_seed(7002), seconds(12))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_in_another_server_equals_the_truth_whatever_is_killed() {
    play(Round::new(chosen_seed(7003), seconds(12))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_equals_the_truth_where_transactions_arrive_while_they_run() {
    let round = Round::new(chosen_seed(7004), seconds(12));
    play(Round {
        streaming: true,
        ..round
    })
    .await;
}

/// Has the server stream transactions: each change at once, or as soon as an older server does.
fn early_streaming() -> &'static str {
    match Cluster::version() {
        16.. => "debug_logical_replication_streaming=immediate",
        _ => "logical_decoding_work_mem=64kB",
    }
}

/// Round after round, for `tests/history.sh`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "tests/history.sh runs it for as long as wished"]
async fn for_as_long_as_wished() {
    let first = number("ROWHOOK_HISTORY_SEED").unwrap_or_else(random_seed);
    let end =
        Instant::now() + Duration::from_secs(60 * number("ROWHOOK_HISTORY_MINUTES").unwrap_or(0));
    let mut total = Compared::default();
    let tally = Tally::default();
    for seed in first.. {
        let (compared, counts) = play(Round::new(seed, seconds(60))).await;
        total.add(&compared);
        for (what, count) in counts.0.lock().unwrap().iter() {
            tally.add(what, *count);
        }
        if Instant::now() >= end {
            println!("=== all rounds, seeds {first} to {seed}");
            total.print();
            tally.print();
            return;
        }
    }
}

impl Compared {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.transactions += other.transactions;
        self.unknown += other.unknown;
        self.partial += other.partial;
        self.clock_inversions += other.clock_inversions;
        for (what, count) in &other.changes {
            *self.changes.entry(what.clone()).or_default() += count;
        }
    }

    fn print(&self) {
        println!(
            "  {:>9}  events compared, of {} transactions; {} values unknown, {} old rows partial, {} commits earlier by the clock than by the log",
            self.events, self.transactions, self.unknown, self.partial, self.clock_inversions
        );
        let mut by_action: BTreeMap<&str, u64> = BTreeMap::new();
        for (what, count) in &self.changes {
            *by_action
                .entry(what.split(' ').next_back().unwrap())
                .or_default() += count;
        }
        for (action, count) in by_action {
            println!("  {count:>9}  {action}");
        }
    }
}

/// Plays one round; on failure says how to repeat it and where its remains are.
async fn play(round: Round) -> (Compared, Arc<Tally>) {
    println!("=== {round:?}");
    let tally = Arc::new(Tally::default());
    let arena = Arena::set_up(&round).await;
    let outcome = AssertUnwindSafe(arena.play(&round, &tally))
        .catch_unwind()
        .await;
    let outcome = outcome.unwrap_or_else(|panic| Err(what_panicked(panic)));
    match outcome {
        Ok(compared) => {
            compared.print();
            tally.print();
            (compared, tally)
        }
        Err(what) => {
            tally.print();
            panic!("{}\n{}", verdict::shortened(&what), arena.keep(&round));
        }
    }
}

fn what_panicked(payload: Box<dyn std::any::Any + Send>) -> String {
    payload
        .downcast::<String>()
        .map(|text| *text)
        .or_else(|payload| payload.downcast::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|_| "a panic without words".into())
}

/// The servers of one round.
struct Arena {
    source: Arc<Database>,
    log: Arc<Database>,
    lull: Arc<AtomicBool>,
    stop: CancellationToken,
    /// The killer stops before the others do not need the daemon any more.
    peace: CancellationToken,
}

impl Arena {
    async fn set_up(round: &Round) -> Self {
        let mut settings = vec!["track_commit_timestamp=on", "max_prepared_transactions=20"];
        if round.streaming {
            settings.push(early_streaming());
        }
        let cluster = Arc::new(Cluster::start(&settings).await);
        let source = Arc::new(Database::create_in(&cluster).await);
        let client = source.client().await;
        schema::install(&client).await;
        if round.backfills {
            schema::fill(&client).await;
        }
        let log = match round.log_elsewhere {
            true => Arc::new(Database::create_in(&Arc::new(Cluster::start(&[]).await)).await),
            false => Arc::clone(&source),
        };
        Self {
            source,
            log,
            lull: Arc::default(),
            stop: CancellationToken::new(),
            peace: CancellationToken::new(),
        }
    }

    /// Leaves the data directories where they are, and says what to do with them.
    fn keep(&self, round: &Round) -> String {
        let mut text = format!(
            "seed {}: tests/history.sh --seed {}",
            round.seed, round.seed
        );
        for (flag, value) in [
            ("--seconds", round.time.as_secs().to_string()),
            ("--tables", round.tables.join(",")),
        ] {
            if !value.is_empty() {
                text.push_str(&format!(" {flag} {value}"));
            }
        }
        for (what, database) in [("source", &self.source), ("log", &self.log)] {
            database.cluster.keep();
            let directory = database.cluster.socket_directory().display();
            text.push_str(&format!(
                "\n{what}: database {} in {directory}/data, server's log beside it",
                database.name
            ));
        }
        text.push_str(&format!("\nlogs of rowhook: {}", self.log_file().display()));
        text
    }

    fn log_file(&self) -> PathBuf {
        self.source.cluster.socket_directory().join("rowhook.log")
    }

    async fn play(&self, round: &Round, tally: &Arc<Tally>) -> Result<Compared, String> {
        let receiver = Receiver::start().await;
        receiver.forget_bodies();
        deliveries::turn_some_away(&receiver);
        let mut killer = self.killer(round, &receiver, tally).await;
        let mut tasks = JoinSet::new();
        let committed = Arc::new(AtomicU64::new(0));
        self.start_writers(round, tally, &committed, &mut tasks);
        let reader = tokio::spawn(
            Reader {
                source: Arc::clone(&self.source),
                log: Arc::clone(&self.log),
                tally: Arc::clone(tally),
                stop: self.peace.clone(),
            }
            .read(),
        );
        let backfills = tokio::spawn(
            Backfills {
                log: Arc::clone(&self.log),
                tally: Arc::clone(tally),
                lull: Arc::clone(&self.lull),
                dice: Dice::new(round.seed, 4000),
                tables: Backfills::tables(&round.tables),
                stop: match round.backfills && !Backfills::tables(&round.tables).is_empty() {
                    true => self.stop.clone(),
                    false => self.none_at_all(),
                },
            }
            .ask(),
        );
        let deck = Deck::new(round.seed, round.log_elsewhere);
        let watching = async {
            tokio::select! {
                () = tokio::time::sleep(round.time) => Ok(()),
                Some(ended) = tasks.join_next() => Err(ended),
            }
        };
        let (ended, ()) = tokio::join!(
            async {
                let ended = watching.await;
                self.stop.cancel();
                ended
            },
            // A blow that was begun is carried out.
            killer.strike(deck, &committed, &self.stop),
        );
        if let Err(ended) = ended {
            let why = ended.map_err(|error| what_panicked(error.into_panic()));
            return Err(format!("a writer ended: {why:?}"));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| what_panicked(error.into_panic()))?;
        }
        if reader.is_finished() {
            return Err(what_panicked(reader.await.unwrap_err().into_panic()));
        }
        let (source, log) = (self.source.client().await, self.log.client().await);
        println!(
            "  {:>9}  transactions committed, draining",
            committed.load(Ordering::Relaxed)
        );
        self.drain(&mut killer, &source, &log).await?;
        let backfilled = finished(&mut killer, &log, backfills).await?;
        self.peace.cancel();
        let seen: Seen = reader
            .await
            .map_err(|error| what_panicked(error.into_panic()))?;
        let recalled: Vec<String> = round.recalled.iter().map(ToString::to_string).collect();
        let compared = verdict::compare(&source, &log, &seen, &recalled, &backfilled).await;
        killer.save_log();
        let compared = compared?;
        self.check_deliveries(&mut killer, &receiver, &log, tally)
            .await?;
        let code = killer.daemon.stop().await;
        killer.save_log();
        match code {
            Some(0) => Ok(compared),
            code => Err(format!("the daemon did not stop as asked: {code:?}")),
        }
    }

    /// For an actor that has nothing to do.
    fn none_at_all(&self) -> CancellationToken {
        let stop = self.stop.child_token();
        stop.cancel();
        stop
    }

    async fn killer(&self, round: &Round, receiver: &Receiver, tally: &Arc<Tally>) -> Killer {
        let proxy = match round.log_elsewhere {
            true => Some(Proxy::start(self.log.cluster.port()).await),
            false => None,
        };
        let installation = || {
            let mut rowhook = Rowhook::new(&self.source)
                .set("capture.tables", vec!["public.*"])
                .set(
                    "source.replica_identity",
                    if round.full { "full" } else { "keep" },
                )
                .set("source.streaming", round.streaming)
                .set("source.table_refresh", "200ms")
                .set("source.connect_timeout", "5s")
                // The session's `wal_sender_timeout`, too.
                .set("source.silence_timeout", format!("{}s", SILENCE.as_secs()))
                .set("log.segment_size", round.segment_size);
            if let Some(proxy) = &proxy {
                let (real, seen) = (self.log.cluster.port(), proxy.port());
                let url = self
                    .log
                    .url()
                    .replace(&format!(":{real}/"), &format!(":{seen}/"));
                rowhook = rowhook.set("log.url", url);
            }
            for resource in resources(round) {
                rowhook = rowhook.resource(resource);
            }
            let mut webhook = toml::toml! {
                concurrency = 64
                retry = { attempts = 1000, initial = "20ms", multiplier = 2, max = "200ms" }
            };
            let events: Vec<String> = delivered()
                .iter()
                .map(|resource| format!("{resource}.*"))
                .collect();
            webhook.insert("events".into(), events.into());
            rowhook.webhook_to("all", receiver, webhook)
        };
        let (working, standby) = (installation(), installation());
        working.setup().await;
        let daemon = working.spawn_ready().await;
        Killer {
            source: Arc::clone(&self.source),
            log: Arc::clone(&self.log),
            proxy,
            working,
            standby,
            daemon,
            tally: Arc::clone(tally),
            lull: Arc::clone(&self.lull),
            log_file: self.log_file(),
        }
    }

    fn start_writers(
        &self,
        round: &Round,
        tally: &Arc<Tally>,
        committed: &Arc<AtomicU64>,
        tasks: &mut JoinSet<()>,
    ) {
        let writers = Writers {
            database: Arc::clone(&self.source),
            tally: Arc::clone(tally),
            committed: Arc::clone(committed),
            lull: Arc::clone(&self.lull),
            stop: self.stop.clone(),
        };
        for writer in 1..=WRITERS {
            let plan = Writing::new(round.seed, writer, &round.tables, round.backfills);
            tasks.spawn(writers.clone().write(format!("writer_{writer}"), plan));
        }
        let plan = Altering::new(round.seed, &round.tables, !round.full, round.drops);
        tasks.spawn(writers.alter(plan, round.full));
    }

    /// Waits until everything that happened is in the log.
    async fn drain(
        &self,
        killer: &mut Killer,
        source: &Client,
        log: &Client,
    ) -> Result<(), String> {
        let wanted = verdict::count(source).await;
        headway("the log", killer, wanted, async || {
            let sql = "select count(*) from rowhook.events where action <> 'snapshot'";
            log.query_one(sql, &[]).await.unwrap().get(0)
        })
        .await
    }

    async fn check_deliveries(
        &self,
        killer: &mut Killer,
        receiver: &Receiver,
        log: &Client,
        tally: &Tally,
    ) -> Result<(), String> {
        let events = deliveries::event_ids(log, &delivered()).await;
        let wanted = events.len() as i64;
        headway("the receiver", killer, wanted, async || {
            receiver.accepted_events()
        })
        .await?;
        receiver.assert_all_signed();
        let repeats = deliveries::check_deliveries(&events, &receiver.requests())?;
        tally.add("events delivered", events.len() as u64);
        tally.add("events delivered again", repeats as u64);
        Ok(())
    }
}

/// What the settings say of single tables.
fn resources(round: &Round) -> Vec<toml::Table> {
    let is_recalled = |name: &str| round.recalled.contains(&name);
    let mut resources = Vec::new();
    for table in schema::TABLES {
        let mut resource = toml::Table::new();
        // Its index is no replica identity any more.
        if round.full && table.name == "index_rows" {
            resource.insert("key".into(), vec!["code", "region"].into());
        }
        if is_recalled(table.name) {
            resource.insert("previous".into(), "log".into());
        }
        if !resource.is_empty() {
            resource.insert("table".into(), format!("public.{}", table.name).into());
            resources.push(resource);
        }
    }
    resources
}

/// Waits until all backfills that were asked for are done, as long as they make headway.
async fn finished(
    killer: &mut Killer,
    log: &Client,
    backfills: tokio::task::JoinHandle<Vec<Backfilled>>,
) -> Result<Vec<Backfilled>, String> {
    let logged = "select count(*) from rowhook.events";
    let open = "select coalesce(string_agg(to_jsonb(b)::text, ' '), '') from rowhook.backfills b \
                 where state in ('waiting', 'running')";
    let (mut last, mut since) = (-1, Instant::now());
    while !backfills.is_finished() {
        killer.keep_running();
        let now: i64 = log.query_one(logged, &[]).await.unwrap().get(0);
        if now > last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE_WITHOUT_HEADWAY {
            killer.save_log();
            let open: String = log.query_one(open, &[]).await.unwrap().get(0);
            return Err(format!("backfills make no headway: {open}"));
        }
        tokio::time::sleep(POLL).await;
    }
    let ended = backfills.await;
    ended.map_err(|error| what_panicked(error.into_panic()))
}

/// Resources that have a webhook: those of small rows.
fn delivered() -> Vec<String> {
    schema::TABLES
        .iter()
        .map(|table| table.name.to_owned())
        .collect()
}

/// Waits until `count` is what is wanted, as long as it grows.
async fn headway(
    what: &str,
    killer: &mut Killer,
    wanted: i64,
    count: impl AsyncFn() -> i64,
) -> Result<(), String> {
    let (mut last, mut since) = (-1, Instant::now());
    loop {
        killer.keep_running();
        let now = count().await;
        if now >= wanted {
            // More than wanted is for the comparison to tell, in full.
            return Ok(());
        }
        if now > last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > PATIENCE_WITHOUT_HEADWAY {
            killer.save_log();
            println!("{what} stays at {now} of {wanted} events");
            // What is missing is for the comparison to tell, too.
            return match what {
                "the log" => Ok(()),
                _ => Err(format!("{what} stays at {now} of {wanted} events")),
            };
        }
        tokio::time::sleep(POLL).await;
    }
}
