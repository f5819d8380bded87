//! Carries the blows out, and keeps a daemon running between them.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::Tally;
use super::blows::{Blow, Deck, Failing, Server};
use crate::cluster::{Cluster, Database};
use crate::daemon::{Daemon, Rowhook};
use crate::proxy::Proxy;

/// How long either end of the replication session may be silent.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// A fast shutdown that takes longer was held up.
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How long a failpoint may take to be reached before the daemon is killed anyway: a server under load
/// decodes for seconds before it sends anything.
const REACHED_WITHIN: Duration = Duration::from_secs(15);
const OUTAGE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// The two installations of rowhook, of which one is at work.
pub(crate) struct Killer {
    pub(crate) source: Arc<Database>,
    pub(crate) log: Arc<Database>,
    /// In front of the log, where that is elsewhere.
    pub(crate) proxy: Option<Proxy>,
    pub(crate) working: Rowhook,
    pub(crate) standby: Rowhook,
    pub(crate) daemon: Daemon,
    pub(crate) tally: Arc<Tally>,
    /// Nobody else writes while this is set.
    pub(crate) lull: Arc<AtomicBool>,
    /// Where the daemons' logs go.
    pub(crate) log_file: PathBuf,
}

impl Killer {
    /// Strikes by the plan until the end.
    pub(crate) async fn strike(
        &mut self,
        mut deck: Deck,
        committed: &AtomicU64,
        stop: &CancellationToken,
    ) {
        loop {
            let (pause, blow) = deck.next();
            let due = committed.load(Ordering::Relaxed) + pause;
            while committed.load(Ordering::Relaxed) < due {
                self.keep_running();
                if stop.is_cancelled() {
                    return;
                }
                sleep(POLL).await;
            }
            let kind = blow.kind();
            self.note(&format!("=== {kind} after {due} transactions"));
            let began = Instant::now();
            self.carry_out(blow).await;
            self.note(&format!("=== {kind} took {:?}", began.elapsed()));
            self.tally.add(&format!("blows {kind}"), 1);
        }
    }

    async fn carry_out(&mut self, blow: Blow) {
        match blow {
            Blow::Kill => self.kill().await,
            Blow::Term => self.term().await,
            Blow::Failpoint {
                place,
                passes,
                failing,
            } => self.fail_at(place, passes, failing).await,
            Blow::Restart(server, how) => {
                let took = self.server(server).restart(how).await;
                assert!(took < STOPS_WITHIN, "{how:?} of {server:?} took {took:?}");
            }
            Blow::EndWalsender => self.end_walsender().await,
            Blow::EndWriter => end(&self.log, "application_name = 'rowhook writer'").await,
            Blow::EndAll => {
                self.end_walsender().await;
                end(&self.log, "application_name like 'rowhook%'").await;
            }
            Blow::CutLog => self.cut_log(false).await,
            Blow::SilenceLog => self.cut_log(true).await,
            Blow::Pause => {
                self.daemon.signal("STOP").await;
                sleep(SILENCE + Duration::from_secs(1)).await;
                self.daemon.signal("CONT").await;
            }
            Blow::TakeOver => self.take_over().await,
            Blow::Lull => {
                self.lead_to("log.position").await;
                self.lead_to("log.position").await;
                self.lull.store(false, Ordering::Relaxed);
            }
        }
    }

    fn server(&self, server: Server) -> &Cluster {
        match server {
            Server::Source => &self.source.cluster,
            Server::Log => &self.log.cluster,
        }
    }

    async fn kill(&mut self) {
        self.daemon.kill9().await;
        self.start_again();
    }

    async fn term(&mut self) {
        let code = self.daemon.stop().await;
        // One that was told to stop while its servers were away may say so.
        assert!(
            matches!(code, Some(0 | 75)),
            "SIGTERM: exit code {code:?}\n{}",
            self.daemon.logs()
        );
        self.start_again();
    }

    async fn fail_at(&mut self, place: &str, passes: u64, failing: Failing) {
        self.daemon.kill9().await;
        self.save_log();
        let what = match failing {
            Failing::Abort => "return",
            Failing::Fault => "1*return(fault)->off",
        };
        let points = format!("{place}={passes}*off->{what}");
        self.daemon = self.working.spawn_with(|command| {
            command.env("FAILPOINTS", points);
        });
        let began = Instant::now();
        let said = format!("failpoint {place}");
        while began.elapsed() < REACHED_WITHIN {
            self.lead_to(place).await;
            if self.daemon.ended().is_some() || self.daemon.logs().contains(&said) {
                self.lull.store(false, Ordering::Relaxed);
                self.tally.add("failpoints reached", 1);
                self.keep_running();
                return;
            }
            sleep(POLL).await;
        }
        self.lull.store(false, Ordering::Relaxed);
        self.tally.add("failpoints not reached", 1);
        self.note(&format!("=== {place} was not reached"));
        self.kill().await;
    }

    /// Some places are reached only when something particular happens.
    async fn lead_to(&self, place: &str) {
        let sql = match place {
            "log.part" => "select audit.large()",
            "log.position" | "log.positioned" => {
                self.lull.store(true, Ordering::Relaxed);
                "insert into audit.elsewhere (note) select audit.noise(g, 200) from generate_series(1, 6000) g"
            }
            _ => return,
        };
        let client = self.source.client().await;
        client.batch_execute(sql).await.unwrap();
        sleep(OUTAGE).await;
    }

    async fn end_walsender(&self) {
        let slot = self.source.slot();
        let sql = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = $1";
        // A server that goes away meanwhile ends it, too.
        let _ = self.source.client().await.execute(sql, &[&slot]).await;
    }

    async fn cut_log(&mut self, silently: bool) {
        let Some(proxy) = &self.proxy else { return };
        if silently {
            proxy.go_dead();
            sleep(OUTAGE).await;
        }
        proxy.cut();
        sleep(OUTAGE).await;
        proxy.revive();
    }

    /// A daemon that was cut off a moment ago may not know it yet: the server does.
    async fn until_it_streams(&self) {
        let source = self.source.client().await;
        let sql = "select count(*) from pg_replication_slots where slot_name = $1 and active";
        let slot = self.source.slot();
        wait_for_row(&source, sql, &slot).await;
    }

    /// The one at work is stopped in its tracks; the other one takes over; then the first wakes up.
    async fn take_over(&mut self) {
        self.daemon.wait_ready().await;
        self.until_it_streams().await;
        let mut second = self.standby.spawn();
        second.wait_for_log("as its standby").await;
        self.note("=== the standby waits");
        self.daemon.signal("STOP").await;
        second.wait_ready().await;
        self.note("=== the standby took over");
        self.daemon.signal("CONT").await;
        let code = self.daemon.wait_exit().await;
        assert_eq!(
            code,
            Some(75),
            "one that was taken over\n{}",
            self.daemon.logs()
        );
        let said = self.daemon.wait_for_log("exit_code").await;
        let fenced = ["has taken over this log", "by another rowhook instance"];
        assert!(fenced.iter().any(|text| said.contains(text)), "{said}");
        self.save_log();
        std::mem::swap(&mut self.working, &mut self.standby);
        self.daemon = second;
    }

    /// Starts the daemon again if it ended by itself, as its service manager would; it may do that
    /// for transient faults, and where a failpoint ended it.
    pub(crate) fn keep_running(&mut self) {
        let Some(status) = self.daemon.ended() else {
            return;
        };
        assert!(
            status.code() == Some(75) || is_abort(status),
            "only a transient fault may end the daemon here: {status}\n{}",
            self.daemon.logs()
        );
        self.tally
            .add("daemons that gave up", u64::from(!is_abort(status)));
        self.start_again();
    }

    fn start_again(&mut self) {
        self.save_log();
        self.daemon = self.working.spawn();
    }

    /// Adds what the daemon printed to the file.
    pub(crate) fn save_log(&self) {
        self.note(&self.daemon.logs());
    }

    fn note(&self, text: &str) {
        let now = jiff::Timestamp::now();
        if text.starts_with("===") {
            println!("{now:.3} {text}");
        }
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&self.log_file);
        writeln!(file.unwrap(), "{now} {text}").unwrap();
    }
}

fn is_abort(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}

async fn end(database: &Database, which: &str) {
    let sql = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and {which}"
    );
    let client: Client = database.client().await;
    let _ = client.execute(&sql, &[]).await;
}

/// Waits until a count is not 0.
async fn wait_for_row(client: &tokio_postgres::Client, sql: &str, value: &str) {
    for _ in 0..3000 {
        let row = client.query_one(sql, &[&value]).await.unwrap();
        if row.get::<_, i64>(0) > 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("in vain: {sql} of {value}");
}
