//! `[network]`, and `tls` of a `[[webhook]]`.

use reqwest::Url;

use super::Reader;
use crate::dispatch::Subscription;
use crate::ops::settings::file::{Network, WebhookTls};
use crate::ops::settings::problem::near_miss;
use crate::webhook::ClientTls;
use crate::webhook::guard::{Guard, Range, words};

impl Reader<'_> {
    pub(super) fn guard(&mut self, written: &Network) -> Option<Guard> {
        if written.deny.is_empty() && !written.allow.is_empty() {
            let what = "excepts from network.deny, which is empty: nothing is denied; \
                        set deny = [\"internal\"], or leave both out";
            self.problems.refuse("network.allow", what);
        }
        let deny = self.ranges("network.deny", &written.deny);
        let allow = self.ranges("network.allow", &written.allow);
        Some(Guard::new(deny?, allow?))
    }

    fn ranges(&mut self, at: &str, written: &[String]) -> Option<Vec<Range>> {
        let read: Vec<_> = written
            .iter()
            .enumerate()
            .map(|(index, text)| self.problems.take(&format!("{at}[{index}]"), range(text)))
            .collect();
        read.into_iter().collect()
    }

    /// Reads the files: what they hold is taken over with the settings, at the start and at a reload.
    pub(super) fn client_tls(
        &mut self,
        at: &str,
        written: Option<&WebhookTls>,
        url: &str,
    ) -> Option<ClientTls> {
        let mut tls = ClientTls::default();
        let Some(written) = written else {
            return Some(tls);
        };
        if Url::parse(url).is_ok_and(|url| url.scheme() == "http") {
            let what = "the URL is not https: these files would not be used";
            self.problems.refuse(at, what);
        }
        if let Some(ca_file) = &written.ca_file {
            let trusted = self.path(ca_file).and_then(|path| tls.trust(&path));
            self.problems.take(&format!("{at}.ca_file"), trusted)?;
        }
        match (&written.client_cert_file, &written.client_key_file) {
            (None, None) => {}
            (Some(cert), Some(key)) => {
                let cert = self.path(cert);
                let cert = self.problems.take(&format!("{at}.client_cert_file"), cert);
                let key = self.path(key);
                let key = self.problems.take(&format!("{at}.client_key_file"), key);
                let identified = tls.identify(&cert?, &key?);
                self.problems.take(at, identified)?;
            }
            _ => {
                let what = "a client certificate and its key go together: set client_cert_file and \
                            client_key_file";
                self.problems.refuse(at, what);
                return None;
            }
        }
        Some(tls)
    }
}

/// The same guard before every endpoint.
pub(super) fn guarded(mut webhooks: Vec<Subscription>, guard: &Guard) -> Vec<Subscription> {
    for webhook in &mut webhooks {
        webhook.endpoint.guard = guard.clone();
    }
    webhooks
}

fn range(text: &str) -> Result<Range, String> {
    text.parse().map_err(|what| match near_miss(text, words()) {
        Some(hint) => format!("{text:?} is no word for a range; did you mean {hint:?}?"),
        None => what,
    })
}
