//! What is counted, and how it reads for Prometheus.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::pulse::Pulse;
use super::wal_budget::Forecast;
use crate::event::unix_micros;
use crate::wal::Lsn;

/// A webhook's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WebhookLabel {
    /// Its name.
    pub webhook: String,
}

/// A webhook and what came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// Its name.
    pub webhook: String,
    /// `delivered`, `retried`, `held` (the endpoint is down: it does not count), `dead` or `paused`.
    pub outcome: &'static str,
}

/// A webhook, what came of a request, and the class of the answer's status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabel {
    /// Its name.
    pub webhook: String,
    /// `delivered`, `refused`, `dns`, `connect`, `tls`, `timeout`, `broken`, `not_rendered`, …
    pub outcome: &'static str,
    /// `2xx`, `3xx`, `4xx`, `5xx`, or `none` without an answer.
    pub class: &'static str,
}

/// Every number that the daemon shows, and the pulses of its stages.
pub struct Metrics {
    registry: Registry,
    /// Shows that the capture loop turns.
    pub capture_pulse: Pulse,
    /// Source transactions that were read.
    pub transactions: Counter,
    events: Counter,
    batches: Counter,
    logged_bytes: Counter,
    acknowledged_lsn: Gauge<u64, AtomicU64>,
    commit_to_logged: Histogram,
    /// Sessions that ended with a fault and were begun again.
    pub reconnects: Counter,
    /// WAL between the confirmed position and the newest.
    pub source_lag_bytes: Gauge<u64, AtomicU64>,
    /// Age of the newest logged transaction while there is a lag; 0 without one.
    pub source_lag_seconds: Gauge<f64, AtomicU64>,
    slot_wal_bytes: Gauge<u64, AtomicU64>,
    slot_wal_growth: Gauge<u64, AtomicU64>,
    wal_budget_bytes: Gauge<u64, AtomicU64>,
    wal_budget_left: Gauge<f64, AtomicU64>,
    /// 1 while the stream runs.
    pub streaming: Gauge,
    /// Bytes of transactions that arrived while they run.
    pub staged_bytes: Gauge<u64, AtomicU64>,
    /// Attempts by outcome.
    pub deliveries: Family<OutcomeLabel, Counter>,
    /// Requests by what came of them.
    pub attempts: Family<AttemptLabel, Counter>,
    /// From the beginning of a request to the end of its answer.
    pub attempt_duration: Family<WebhookLabel, Histogram, fn() -> Histogram>,
    /// Attempts that are missing in the attempt log.
    pub attempts_dropped: Counter,
    /// Commit to the receiver's 2xx.
    pub commit_to_delivered: Family<WebhookLabel, Histogram, fn() -> Histogram>,
    /// Deliveries that wait as rows.
    pub parked: Family<WebhookLabel, Gauge>,
    /// Deliveries that were given up.
    pub dead: Family<WebhookLabel, Gauge>,
    /// Sequence ids that the retention took before a cursor came to them.
    pub skipped: Family<WebhookLabel, Gauge>,
    /// Events between a cursor and the head of the log.
    pub subscription_lag: Family<WebhookLabel, Gauge>,
    /// Age of the oldest event behind a cursor.
    pub subscription_lag_seconds: Family<WebhookLabel, Gauge<f64, AtomicU64>>,
    /// Requests in flight.
    pub in_flight: Family<WebhookLabel, Gauge>,
    /// 1 while the breaker is open.
    pub breaker_open: Family<WebhookLabel, Gauge>,
    /// 1 while a webhook is paused.
    pub paused: Family<WebhookLabel, Gauge>,
    /// Commit time of the newest logged transaction, microseconds since 1970.
    pub newest_commit: AtomicI64,
}

/// From half a millisecond to about an hour.
fn latency() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 300.0, 3600.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rowhook"),
            capture_pulse: Pulse::default(),
            transactions: Counter::default(),
            events: Counter::default(),
            batches: Counter::default(),
            logged_bytes: Counter::default(),
            acknowledged_lsn: Gauge::default(),
            commit_to_logged: latency(),
            reconnects: Counter::default(),
            source_lag_bytes: Gauge::default(),
            source_lag_seconds: Gauge::default(),
            slot_wal_bytes: Gauge::default(),
            slot_wal_growth: Gauge::default(),
            wal_budget_bytes: Gauge::default(),
            wal_budget_left: Gauge::default(),
            streaming: Gauge::default(),
            staged_bytes: Gauge::default(),
            deliveries: Family::default(),
            attempts: Family::default(),
            attempt_duration: Family::new_with_constructor(latency),
            attempts_dropped: Counter::default(),
            commit_to_delivered: Family::new_with_constructor(latency),
            parked: Family::default(),
            dead: Family::default(),
            skipped: Family::default(),
            subscription_lag: Family::default(),
            subscription_lag_seconds: Family::default(),
            in_flight: Family::default(),
            breaker_open: Family::default(),
            paused: Family::default(),
            newest_commit: AtomicI64::new(0),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "transactions",
            "Source transactions read",
            self.transactions.clone(),
        );
        r.register(
            "events_logged",
            "Events written to the log",
            self.events.clone(),
        );
        r.register(
            "batches_logged",
            "Batches written to the log",
            self.batches.clone(),
        );
        r.register_with_unit(
            "logged",
            "Bytes written to the log",
            Unit::Bytes,
            self.logged_bytes.clone(),
        );
        r.register(
            "acknowledged_lsn",
            "Position confirmed to the source",
            self.acknowledged_lsn.clone(),
        );
        let help = "Time from the source's commit to the log's commit";
        r.register_with_unit(
            "commit_to_logged",
            help,
            Unit::Seconds,
            self.commit_to_logged.clone(),
        );
        r.register(
            "reconnects",
            "Capture sessions begun again after a fault",
            self.reconnects.clone(),
        );
        let help = "WAL between the confirmed position and the newest";
        r.register_with_unit(
            "source_lag",
            help,
            Unit::Bytes,
            self.source_lag_bytes.clone(),
        );
        let help = "Age of the newest logged transaction while WAL waits to be read";
        r.register_with_unit(
            "source_lag",
            help,
            Unit::Seconds,
            self.source_lag_seconds.clone(),
        );
        r.register_with_unit(
            "slot_wal",
            "WAL held back by the slot",
            Unit::Bytes,
            self.slot_wal_bytes.clone(),
        );
        r.register(
            "slot_wal_growth_bytes_per_second",
            "Growth of the WAL held back by the slot, over the last minutes",
            self.slot_wal_growth.clone(),
        );
        r.register_with_unit(
            "wal_budget",
            "WAL that the slot may hold back before rowhook alarms",
            Unit::Bytes,
            self.wal_budget_bytes.clone(),
        );
        let help =
            "Time until the WAL budget is used up at the present growth; +Inf without growth";
        r.register_with_unit(
            "wal_budget_left",
            help,
            Unit::Seconds,
            self.wal_budget_left.clone(),
        );
        r.register(
            "streaming",
            "1 while the replication stream runs",
            self.streaming.clone(),
        );
        r.register_with_unit(
            "staged",
            "Bytes of transactions that arrived while they run and wait for their commit",
            Unit::Bytes,
            self.staged_bytes.clone(),
        );
        r.register(
            "deliveries",
            "Webhook attempts by outcome",
            self.deliveries.clone(),
        );
        let help = "Webhook requests by what came of them and by class of status";
        r.register("attempts", help, self.attempts.clone());
        r.register_with_unit(
            "attempt_duration",
            "Time from the beginning of a webhook request to the end of its answer",
            Unit::Seconds,
            self.attempt_duration.clone(),
        );
        r.register(
            "attempts_dropped",
            "Attempts that are missing in the attempt log",
            self.attempts_dropped.clone(),
        );
        let help = "Time from the source's commit to the receiver's 2xx";
        r.register_with_unit(
            "commit_to_delivered",
            help,
            Unit::Seconds,
            self.commit_to_delivered.clone(),
        );
        r.register(
            "deliveries_parked",
            "Deliveries that wait for a retry as rows",
            self.parked.clone(),
        );
        r.register(
            "deliveries_dead",
            "Deliveries that were given up",
            self.dead.clone(),
        );
        r.register(
            "subscription_skipped_events",
            "Sequence ids that the retention took before the cursor came to them",
            self.skipped.clone(),
        );
        let help = "Events between the cursor and the head of the log";
        r.register(
            "subscription_lag_events",
            help,
            self.subscription_lag.clone(),
        );
        r.register_with_unit(
            "subscription_lag",
            "Age of the oldest event behind the cursor",
            Unit::Seconds,
            self.subscription_lag_seconds.clone(),
        );
        r.register(
            "requests_in_flight",
            "Webhook requests in flight",
            self.in_flight.clone(),
        );
        r.register(
            "breaker_open",
            "1 while an endpoint counts as down",
            self.breaker_open.clone(),
        );
        let help = "1 while a webhook is paused";
        r.register("webhook_paused", help, self.paused.clone());
    }

    /// One batch went into the log's COPY.
    pub fn batch(&self, events: usize, bytes: usize) {
        self.batches.inc();
        self.events
            .inc_by(u64::try_from(events).unwrap_or(u64::MAX));
        self.logged_bytes
            .inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// A batch is durable; its last transaction was committed at this time (since 2000).
    pub fn logged(&self, commit_time: Option<i64>) {
        let Some(commit_time) = commit_time else {
            return;
        };
        let committed = unix_micros(commit_time);
        self.newest_commit
            .store(committed, std::sync::atomic::Ordering::Relaxed);
        self.commit_to_logged.observe(age(committed).as_secs_f64());
    }

    /// What the slot holds back was measured.
    pub fn slot_holds(&self, forecast: &Forecast) {
        self.slot_wal_bytes.set(forecast.held);
        self.slot_wal_growth
            .set(forecast.bytes_per_second.unwrap_or(0));
        self.wal_budget_bytes.set(forecast.budget);
        let left = forecast.left();
        self.wal_budget_left
            .set(left.map_or(f64::INFINITY, |left| left.as_secs_f64()));
    }

    /// The source was told that it may release its WAL up to here.
    pub fn acknowledged(&self, position: Lsn) {
        self.acknowledged_lsn.set(position.0);
    }

    /// An attempt ended.
    pub fn attempt(&self, webhook: &str, outcome: &'static str) {
        self.deliveries
            .get_or_create(&OutcomeLabel {
                webhook: webhook.to_owned(),
                outcome,
            })
            .inc();
    }

    /// Shows a webhook, or a replay, no longer.
    pub fn forget(&self, webhook: &str) {
        for outcome in ["delivered", "retried", "held", "dead", "paused"] {
            let webhook = webhook.to_owned();
            self.deliveries.remove(&OutcomeLabel { webhook, outcome });
        }
        let label = WebhookLabel {
            webhook: webhook.to_owned(),
        };
        for outcome in OUTCOMES {
            for class in CLASSES {
                let webhook = webhook.to_owned();
                self.attempts.remove(&AttemptLabel {
                    webhook,
                    outcome,
                    class,
                });
            }
        }
        self.attempt_duration.remove(&label);
        self.commit_to_delivered.remove(&label);
        for family in [&self.dead, &self.skipped, &self.paused] {
            family.remove(&label);
        }
        self.not_served(webhook);
    }

    /// Shows no longer how a webhook's runner is doing: it has ended, and another one shows it anew.
    pub fn not_served(&self, webhook: &str) {
        let label = WebhookLabel {
            webhook: webhook.to_owned(),
        };
        self.subscription_lag_seconds.remove(&label);
        for family in [
            &self.parked,
            &self.subscription_lag,
            &self.in_flight,
            &self.breaker_open,
        ] {
            family.remove(&label);
        }
    }

    /// All of it in the OpenMetrics text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// What may come of a request, as [`AttemptLabel`] has it.
const OUTCOMES: [&str; 9] = [
    "delivered",
    "refused",
    "dns",
    "denied",
    "connect",
    "tls",
    "timeout",
    "broken",
    "not_rendered",
];

/// The classes of answers.
const CLASSES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other", "none"];

/// How long ago a time (microseconds since 1970) was; zero for the future, as clocks differ.
#[must_use]
pub fn age(unix_micros: i64) -> Duration {
    let then = UNIX_EPOCH + Duration::from_micros(u64::try_from(unix_micros).unwrap_or(0));
    SystemTime::now().duration_since(then).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_of_what_is_forgotten() {
        let metrics = Metrics::default();
        let name = "hook/replay-1";
        let label = WebhookLabel {
            webhook: name.to_owned(),
        };
        metrics.attempt(name, "delivered");
        for (outcome, class) in [("delivered", "2xx"), ("refused", "5xx"), ("denied", "none")] {
            let webhook = name.to_owned();
            let label = AttemptLabel {
                webhook,
                outcome,
                class,
            };
            metrics.attempts.get_or_create(&label).inc();
        }
        metrics.attempt_duration.get_or_create(&label).observe(1.0);
        metrics
            .commit_to_delivered
            .get_or_create(&label)
            .observe(1.0);
        metrics
            .subscription_lag_seconds
            .get_or_create(&label)
            .set(1.0);
        for family in [
            &metrics.parked,
            &metrics.dead,
            &metrics.skipped,
            &metrics.subscription_lag,
            &metrics.in_flight,
            &metrics.breaker_open,
            &metrics.paused,
        ] {
            family.get_or_create(&label).set(1);
        }
        assert!(metrics.text().contains(name));
        metrics.forget(name);
        assert!(!metrics.text().contains(name), "{}", metrics.text());
    }
}
