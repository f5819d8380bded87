//! `[[webhook]]`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::Reader;
use super::lanes::{order_by, rate};
use super::units::duration;
use crate::dispatch::pattern::Patterns;
use crate::dispatch::retry::RetryPolicy;
use crate::dispatch::{Keeps, Order, Start, Subscription};
use crate::ops::settings::file::{self, SecretRef, Secrets, StartWord, Webhook};
use crate::secret::Secret;
use crate::webhook::guard::Guard;
use crate::webhook::sign::SigningKey;
use crate::webhook::{Endpoint, is_own_header};

impl Reader<'_> {
    pub(super) fn webhooks(&mut self, written: &[Webhook]) -> Option<Vec<Subscription>> {
        let mut names = BTreeMap::new();
        for (index, webhook) in written.iter().enumerate() {
            if let Some(first) = names.insert(&webhook.name, index) {
                let what = format!("webhook[{first}] is named {:?} already", webhook.name);
                self.problems
                    .refuse(&format!("webhook[{index}].name"), what);
            }
        }
        let read: Vec<_> = (0..)
            .zip(written)
            .map(|(index, webhook)| self.webhook(index, webhook))
            .collect();
        read.into_iter().collect()
    }

    fn webhook(&mut self, index: usize, written: &Webhook) -> Option<Subscription> {
        let at = |key: &str| format!("webhook[{index}].{key}");
        let name = self.problems.take(&at("name"), name(&written.name));
        let events = self.problems.take(&at("events"), events(&written.events));
        let conditions = self.conditions(&at(""), written);
        let order_by = order_by(written.order, written.order_by.as_deref());
        let order_by = self.problems.take(&at("order_by"), order_by);
        let rate = self
            .problems
            .take(&at("rate"), rate(written.rate.as_deref()));
        let batch = self.batch(&at("batch"), &written.batch);
        let retry = self.retry(&at("retry"), &written.retry);
        let endpoint = self.endpoint(&at(""), written);
        let start = self.problems.take(&at("start"), start(&written.start));
        Some(Subscription {
            name: name?,
            events: events?,
            conditions: conditions?,
            order: match written.order {
                file::Order::Resource => Order::Resource,
                file::Order::None => Order::None,
                file::Order::Strict => Order::Strict,
            },
            order_by: order_by?,
            concurrency: NonZeroUsize::from(written.concurrency),
            rate: rate?,
            batch: batch?,
            retry: retry?,
            keeps: match written.attempts {
                file::Attempts::All => Keeps::All,
                file::Attempts::Failures => Keeps::Failures,
            },
            start: start?,
            endpoint: endpoint?,
            replay: None,
        })
    }

    /// `at` is the webhook's path with its dot.
    fn endpoint(&mut self, at: &str, written: &Webhook) -> Option<Endpoint> {
        let url = self.problems.take(&format!("{at}url"), url(&written.url));
        let payload = self.payload(at, written);
        let keys = self.keys(&format!("{at}secret"), written.secret.as_ref());
        let headers = self.headers(&format!("{at}headers"), &written.headers);
        let timeout = duration(&written.timeout);
        let timeout = self.problems.take(&format!("{at}timeout"), timeout);
        let tls = self.client_tls(&format!("{at}tls"), written.tls.as_ref(), &written.url);
        Some(Endpoint {
            name: written.name.clone(),
            url: url?,
            format: self.format(at, written),
            payload: payload?,
            keys: keys?,
            headers: headers?,
            timeout: timeout?,
            tls: tls?,
            // The same for all of them: see `guarded`.
            guard: Guard::default(),
        })
    }

    fn retry(&mut self, at: &str, written: &file::Retry) -> Option<RetryPolicy> {
        let initial = duration(&written.initial);
        let initial = self.problems.take(&format!("{at}.initial"), initial);
        let max = self
            .problems
            .take(&format!("{at}.max"), duration(&written.max));
        let (initial, max) = (initial?, max?);
        if initial > max {
            let what = format!("{} is less than initial = {}", written.max, written.initial);
            self.problems.refuse(&format!("{at}.max"), what);
        }
        if !written.multiplier.is_finite() {
            self.problems
                .refuse(&format!("{at}.multiplier"), "must be a finite number");
        }
        let statuses = self.statuses(&format!("{at}.statuses"), &written.statuses);
        Some(RetryPolicy {
            attempts: written.attempts,
            initial,
            multiplier: written.multiplier,
            max,
            statuses,
        })
    }

    fn keys(&mut self, at: &str, written: Option<&Secrets>) -> Option<Vec<SigningKey>> {
        let read: Vec<_> = match written {
            None => return Some(Vec::new()),
            Some(Secrets::One(secret)) => vec![self.key(at, secret)],
            Some(Secrets::Several(secrets)) => (0..)
                .zip(secrets)
                .map(|(index, secret): (usize, _)| self.key(&format!("{at}[{index}]"), secret))
                .collect(),
        };
        if read.is_empty() {
            let what = "the list is empty; leave it out to send unsigned";
            self.problems.refuse(at, what);
        }
        read.into_iter().collect()
    }

    fn key(&mut self, at: &str, written: &SecretRef) -> Option<SigningKey> {
        let secret = self.secret(at, written)?;
        self.problems.take(at, SigningKey::parse(&secret))
    }

    fn headers(
        &mut self,
        at: &str,
        written: &BTreeMap<String, SecretRef>,
    ) -> Option<Vec<(String, Secret)>> {
        let mut seen = BTreeSet::new();
        let mut headers = Vec::new();
        for (name, value) in written {
            let at = format!("{at}.{name}");
            self.problems.take(&at, header_name(name));
            if !seen.insert(name.to_lowercase()) {
                self.problems
                    .refuse(&at, "is given twice, in other letters");
            }
            let value = self.secret(&at, value);
            if let Some(value) = value {
                self.problems.take(&at, header_value(&value));
                headers.push((name.clone(), value));
            }
        }
        (headers.len() == written.len()).then_some(headers)
    }
}

fn name(name: &str) -> Result<String, String> {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if !name.is_empty() && name.bytes().all(allowed) {
        return Ok(name.into());
    }
    Err(format!("{name:?} is not a name of a-z, 0-9, _ and -"))
}

fn start(written: &file::Start) -> Result<Start, String> {
    Ok(match written {
        file::Start::Word(StartWord::Now) => Start::Now,
        file::Start::Word(StartWord::Beginning) => Start::Beginning,
        file::Start::At(sequence_id) => Start::At(*sequence_id),
        file::Start::Since(time) => Start::Since(
            time.parse()
                .map_err(|cause| format!("{time:?} is not a time: {cause}"))?,
        ),
    })
}

fn events(written: &[String]) -> Result<Patterns, String> {
    if written.is_empty() {
        return Err("the list is empty; leave it out for every event".into());
    }
    Patterns::parse(written)
}

/// The messages leave the URL out: it may hold what should not be seen.
fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|cause| {
        format!("is not an absolute URL such as \"https://billing.internal/hooks\": {cause}")
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "the scheme is {:?}; only http and https are spoken",
            url.scheme()
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "has a user or password in it, and URLs are logged; set headers = \
             { Authorization = { env = \"…\" } }"
                .into(),
        );
    }
    Ok(url)
}

/// Headers that say what the request is are rowhook's to set: the body's type and length, the
/// receiver, and those of the Standard Webhooks specification.
fn header_name(name: &str) -> Result<(), String> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "is not an HTTP header name".to_owned())?;
    if is_own_header(parsed.as_str()) {
        return Err("is set by rowhook; choose another header".into());
    }
    Ok(())
}

fn header_value(value: &Secret) -> Result<(), String> {
    match HeaderValue::from_str(value.expose()) {
        Ok(_) => Ok(()),
        Err(_) => Err("the value has a character that no HTTP header may have".into()),
    }
}
