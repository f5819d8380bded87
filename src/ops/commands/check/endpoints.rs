//! The webhooks: can a connection be made? No request is sent; `rowhook webhooks test` does that.

use std::time::Duration;

use tokio::net::TcpStream;

use super::Report;
use crate::dispatch::Subscription;
use crate::ops::settings::Settings;
use crate::webhook::Sender;

/// A receiver that does not take a connection within this time will not be fast later.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look(settings: &Settings, report: &mut Report) {
    for webhook in &settings.webhooks {
        reach(webhook, report).await;
    }
}

async fn reach(webhook: &Subscription, report: &mut Report) {
    let about = format!("webhook \"{}\"", webhook.name);
    if let Err(fault) = Sender::new(&webhook.endpoint) {
        return report.fault(about, &fault);
    }
    if webhook.endpoint.keys.is_empty() {
        report.remark(&about, "its requests are not signed", "give it a `secret`");
    }
    let url = &webhook.endpoint.url;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return;
    };
    let host = host.trim_matches(['[', ']']);
    match tokio::time::timeout(PATIENCE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => report.good(about, format!("{host}:{port} takes connections")),
        Ok(Err(error)) => report.remark(
            about,
            format!("{host}:{port} cannot be reached: {error}"),
            CHECK_RECEIVER,
        ),
        Err(_) => report.remark(
            about,
            format!("{host}:{port} does not answer"),
            CHECK_RECEIVER,
        ),
    }
}

const CHECK_RECEIVER: &str =
    "see that the receiver runs and that the URL is right; events wait in the log until it does";
