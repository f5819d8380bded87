//! What is remembered of each attempt: a row of the attempt log, and numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use crate::dispatch::recorder::Records;
use crate::dispatch::{Keeps, Subscription};
use crate::event::Event;
use crate::event_log::attempts::AttemptRow;
use crate::event_log::deliveries::DeliveryRow;
use crate::ops::metrics::{AttemptLabel, Metrics, WebhookLabel};
use crate::webhook::Outcome;

/// Sees every attempt of one subscription.
pub(super) struct Witness {
    name: Arc<str>,
    keeps: Keeps,
    records: Records,
    metrics: Arc<Metrics>,
    /// Of requests that were answered with 200, looked up once.
    delivered: Counter,
    duration: Histogram,
}

impl Witness {
    pub(super) fn new(
        subscription: &Subscription,
        records: Records,
        metrics: Arc<Metrics>,
    ) -> Self {
        let webhook = subscription.name.clone();
        let of_webhook = WebhookLabel {
            webhook: webhook.clone(),
        };
        let of_delivered = AttemptLabel {
            webhook,
            outcome: Outcome::Delivered { status: 200 }.word(),
            class: "2xx",
        };
        let duration = metrics.attempt_duration.get_or_create(&of_webhook).clone();
        let delivered = metrics.attempts.get_or_create(&of_delivered).clone();
        Self {
            delivered,
            duration,
            name: Arc::from(subscription.name.as_str()),
            keeps: subscription.keeps,
            records,
            metrics,
        }
    }

    /// An attempt with an event ended. `replay` is the replay that it is a part of.
    pub(super) fn saw(
        &self,
        event: &Event,
        attempt: u32,
        outcome: &Outcome,
        took: Duration,
        replay: Option<i64>,
    ) {
        let delivered = matches!(outcome, Outcome::Delivered { .. });
        if delivered && self.keeps == Keeps::Failures {
            return;
        }
        let (error, answer) = match outcome {
            Outcome::Delivered { .. } => (None, None),
            Outcome::Refused { excerpt, .. } => {
                (None, (!excerpt.is_empty()).then(|| excerpt.clone()))
            }
            Outcome::Unreachable { detail, .. } => (Some(detail.clone()), None),
            Outcome::NotRendered { reason } => (Some(reason.clone()), None),
        };
        self.records.put(AttemptRow {
            at: Timestamp::now(),
            subscription: Arc::clone(&self.name),
            sequence_id: event.sequence_id,
            event_id: event.event_id,
            attempt,
            status: outcome.status(),
            outcome: outcome.word().into(),
            duration: took,
            error,
            answer,
            replay,
        });
    }

    /// A request was answered, or not, after this time. One of several events is one request.
    pub(super) fn timed(&self, outcome: &Outcome, began: Instant) -> Duration {
        let took = began.elapsed();
        if matches!(outcome, Outcome::Delivered { .. }) {
            self.delivered.inc();
        } else {
            self.count(outcome);
        }
        if outcome.is_of_the_endpoint() {
            self.duration.observe(took.as_secs_f64());
        }
        took
    }

    fn count(&self, outcome: &Outcome) {
        let label = AttemptLabel {
            webhook: self.name.to_string(),
            outcome: outcome.word(),
            class: class(outcome.status()),
        };
        self.metrics.attempts.get_or_create(&label).inc();
    }

    /// An operator gave a delivery up.
    pub(super) fn discarded(&self, row: &DeliveryRow) {
        self.records.put(AttemptRow {
            at: Timestamp::now(),
            subscription: Arc::clone(&self.name),
            sequence_id: row.sequence_id,
            event_id: row.event_id,
            attempt: 0,
            status: None,
            outcome: "discarded".into(),
            duration: Duration::ZERO,
            error: row.reason.clone(),
            answer: None,
            replay: None,
        });
    }
}

/// `2xx` and so on; `none` without an answer.
fn class(status: Option<u16>) -> &'static str {
    match status.map(|status| status / 100) {
        Some(1) => "1xx",
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) => "other",
        None => "none",
    }
}
