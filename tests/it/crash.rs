//! Exactly once, whatever is killed: pgbench writes while the daemon is killed ten times and
//! Postgres is restarted twice, once by a crash. In the end the log has to equal what triggers saw,
//! and the receiver has to have seen every event, each row's in order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use crate::audit::{self, Audited};
use crate::cluster::{Cluster, Database, Stop};
use crate::daemon::{Daemon, Rowhook};
use crate::logged;
use crate::receiver::{Received, Receiver, Reply};

const TABLES: &[Audited] = &[
    Audited {
        table: "public.pgbench_accounts",
        key: &["aid"],
    },
    Audited {
        table: "public.pgbench_branches",
        key: &["bid"],
    },
    Audited {
        table: "public.pgbench_tellers",
        key: &["tid"],
    },
    Audited {
        table: "public.pgbench_history",
        key: &["id"],
    },
];

const KILLS: u32 = 10;
/// Draining may take as long as it makes headway.
const PATIENCE_WITHOUT_HEADWAY: Duration = Duration::from_secs(60);
/// One request in so many is turned away once, so that retries happen all the time.
const ONE_FAILURE_IN: usize = 997;

/// What happens to whom, at which share of the whole time.
enum Blow {
    KillDaemon,
    Restart(Stop),
}

fn blows() -> Vec<(f64, Blow)> {
    let mut blows: Vec<_> = (0..KILLS)
        .map(|n| ((f64::from(n) + 0.6) / f64::from(KILLS), Blow::KillDaemon))
        .collect();
    blows.push((0.33, Blow::Restart(Stop::Fast)));
    blows.push((0.71, Blow::Restart(Stop::Immediate)));
    blows.sort_by(|one, other| one.0.total_cmp(&other.0));
    blows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_equals_what_happened_after_ten_kills_and_two_restarts() {
    let time = Duration::from_secs(seconds());
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    prepare(&database).await;
    let receiver = Receiver::start().await;
    receiver.forget_bodies();
    turn_some_away(&receiver);
    let rowhook = Rowhook::new(&database).webhook_to(
        "all",
        &receiver,
        toml::toml! {
            concurrency = 64
            retry = { attempts = 1000, initial = "20ms", multiplier = 2, max = "200ms" }
        },
    );
    rowhook.setup().await;
    let mut daemon = rowhook.spawn_ready().await;

    let began = tokio::time::Instant::now();
    let writer = tokio::spawn(write_until(
        Arc::clone(&cluster),
        database.name.clone(),
        Instant::now() + time,
    ));
    for (share, blow) in blows() {
        sleep_until(began + time.mul_f64(share)).await;
        keep_running(&rowhook, &mut daemon);
        match blow {
            Blow::KillDaemon => {
                daemon.kill9().await;
                daemon = rowhook.spawn();
            }
            Blow::Restart(how) => {
                let took = cluster.restart(how).await;
                println!("Postgres stopped ({how:?}) in {took:?}");
                assert!(took < Duration::from_secs(30), "{how:?} took {took:?}");
            }
        }
    }
    let transactions = writer.await.unwrap();
    assert!(transactions > 0, "pgbench committed nothing");

    let client = database.client().await;
    let happened = audit::count(&client).await;
    println!("{transactions} transactions reported by pgbench, {happened} row changes");
    drain("the log", &rowhook, &mut daemon, happened, async || {
        logged::count(&client).await
    })
    .await;
    audit::assert_log_equals_audit(&client, TABLES).await;
    let events = event_ids(&client).await;
    drain(
        "the receiver",
        &rowhook,
        &mut daemon,
        happened,
        async || receiver.accepted_events(),
    )
    .await;
    receiver.assert_all_signed();
    match check_deliveries(&events, &receiver.requests()) {
        Ok(repeats) => println!("{} events delivered, {repeats} of them again", events.len()),
        Err(difference) => panic!("{difference}"),
    }
    assert_eq!(daemon.stop().await, Some(0));
}

fn seconds() -> u64 {
    std::env::var("ROWHOOK_CRASH_SECONDS").map_or(60, |text| text.parse().unwrap())
}

async fn prepare(database: &Database) {
    let mut initialise = database.cluster.program("pgbench", &database.name);
    let output = initialise.args(["-i", "-q", "-s", "1"]).output().await;
    let output = output.unwrap();
    assert!(output.status.success(), "pgbench -i: {output:?}");
    let client = database.client().await;
    client
        .batch_execute("alter table pgbench_history add column id bigserial primary key")
        .await
        .unwrap();
    audit::install(&client, TABLES).await;
}

fn turn_some_away(receiver: &Receiver) {
    let mut count = 0;
    receiver.on_request(move |_| {
        count += 1;
        Reply::Status(if count % ONE_FAILURE_IN == 0 {
            503
        } else {
            200
        })
    });
}

/// Runs pgbench again and again until the time is up: it ends when Postgres goes away. Gives the
/// number of transactions of the runs that could still count them.
async fn write_until(cluster: Arc<Cluster>, database: String, end: Instant) -> u64 {
    let mut transactions = 0;
    loop {
        let left = end.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            return transactions;
        }
        let output = cluster
            .program("pgbench", &database)
            .args(["-n", "-c", "8", "-j", "2", "-T", &left.to_string()])
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        transactions += text
            .lines()
            .find_map(|line| line.strip_prefix("number of transactions actually processed: "))
            .and_then(|count| count.split('/').next()?.trim().parse::<u64>().ok())
            .unwrap_or(0);
        if !output.status.success() {
            // The server is on its way down or up.
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Does what systemd does: starts a daemon again that ended with a fault that may heal.
fn keep_running(rowhook: &Rowhook, daemon: &mut Daemon) {
    if let Some(status) = daemon.ended() {
        assert_eq!(
            status.code(),
            Some(75),
            "only a transient fault may end the daemon here\n{}",
            daemon.logs()
        );
        println!("the daemon gave up and is started again");
        *daemon = rowhook.spawn();
    }
}

async fn drain(
    what: &str,
    rowhook: &Rowhook,
    daemon: &mut Daemon,
    wanted: i64,
    count: impl AsyncFn() -> i64,
) {
    let (mut last, mut headway) = (-1, Instant::now());
    loop {
        keep_running(rowhook, daemon);
        let now = count().await;
        assert!(now <= wanted, "{what} has {now} events, {wanted} happened");
        if now == wanted {
            return;
        }
        if now > last {
            (last, headway) = (now, Instant::now());
        }
        assert!(
            headway.elapsed() < PATIENCE_WITHOUT_HEADWAY,
            "{what} stays at {now} of {wanted} events\n{}",
            daemon.logs()
        );
        sleep(Duration::from_millis(200)).await;
    }
}

/// Sequence id → event id, resource, resource id; in order.
async fn event_ids(client: &tokio_postgres::Client) -> Vec<(i64, String, String)> {
    let query = "
        select sequence_id, event_id::text, resource || ' ' || coalesce(resource_id, '')
          from rowhook.events order by sequence_id";
    let rows = client.query(query, &[]).await.unwrap();
    let row = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2));
    rows.iter().map(row).collect()
}

/// Every event was accepted; no event is unknown; no event of a row was sent before the row's event
/// before it was accepted, and the first acceptances of a row's events are in order. Gives the
/// number of repeats.
fn check_deliveries(
    events: &[(i64, String, String)],
    requests: &[Received],
) -> Result<usize, String> {
    let mut predecessor: HashMap<i64, i64> = HashMap::new();
    let mut last_of_row: HashMap<&str, i64> = HashMap::new();
    let mut known: HashMap<i64, (&str, &str)> = HashMap::new();
    for (sequence_id, event_id, row) in events {
        known.insert(*sequence_id, (event_id, row));
        if let Some(before) = last_of_row.insert(row, *sequence_id) {
            predecessor.insert(*sequence_id, before);
        }
    }
    let mut accepted: HashSet<i64> = HashSet::new();
    let mut repeats = 0;
    for request in requests {
        let sequence_id = request.sequence_id;
        let Some((event_id, row)) = known.get(&sequence_id) else {
            return Err(format!("an event that is not in the log: {request:?}"));
        };
        if request.event_id != *event_id {
            return Err(format!("event {sequence_id} is {event_id}: {request:?}"));
        }
        // With this, first sightings and first acceptances of a row's events are in order too.
        if let Some(before) = predecessor.get(&sequence_id)
            && !accepted.contains(before)
        {
            return Err(format!(
                "{row}: {sequence_id} sent before {before} was accepted"
            ));
        }
        if request.accepted() && !accepted.insert(sequence_id) {
            repeats += 1;
        }
    }
    match known.len() - accepted.len() {
        0 => Ok(repeats),
        missing => Err(format!("{missing} events were never accepted")),
    }
}

#[test]
fn the_check_of_deliveries_finds_what_is_wrong() {
    let event = |id: i64, row: &str| (id, format!("uuid-{id}"), row.to_owned());
    let events = [event(1, "a"), event(2, "b"), event(3, "a")];
    let request = |id: i64, status: u16| Received::example(id, &format!("uuid-{id}"), status);
    let check = |requests: &[Received]| check_deliveries(&events, requests);

    let other_rows_do_not_wait = [
        request(2, 200),
        request(1, 503),
        request(1, 200),
        request(3, 200),
    ];
    assert_eq!(check(&other_rows_do_not_wait), Ok(0));
    let repeated = [
        request(1, 200),
        request(1, 200),
        request(3, 200),
        request(2, 200),
    ];
    assert_eq!(check(&repeated), Ok(1));

    let missing = [request(1, 200), request(3, 200), request(2, 503)];
    assert!(check(&missing).unwrap_err().contains("never accepted"));
    let overtaken = [
        request(1, 503),
        request(3, 200),
        request(1, 200),
        request(2, 200),
    ];
    assert!(check(&overtaken).unwrap_err().contains("3 sent before 1"));
    assert!(
        check(&[request(9, 200)])
            .unwrap_err()
            .contains("not in the log")
    );
    let other_id = [Received::example(1, "uuid-2", 200)];
    assert!(check(&other_id).unwrap_err().contains("event 1 is uuid-1"));
}

#[tokio::test]
async fn the_writer_goes_on_after_a_restart() {
    let cluster = Arc::new(Cluster::start(&[]).await);
    let database = Database::create_in(&cluster).await;
    prepare(&database).await;
    let end = Instant::now() + Duration::from_secs(6);
    let writer = tokio::spawn(write_until(
        Arc::clone(&cluster),
        database.name.clone(),
        end,
    ));
    let mut before = 0;
    for how in [Stop::Immediate, Stop::Fast] {
        let client = database.client().await;
        let began = Instant::now();
        while audit::count(&client).await <= before {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "nothing is written"
            );
            sleep(Duration::from_millis(20)).await;
        }
        cluster.restart(how).await;
        before = audit::count(&database.client().await).await;
    }
    writer.await.unwrap();
    let client = database.client().await;
    assert!(audit::count(&client).await > before);
    // Each transaction of pgbench updates three rows and inserts one.
    assert_eq!(audit::count(&client).await % 4, 0);
}
