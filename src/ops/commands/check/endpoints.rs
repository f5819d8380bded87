//! The webhooks: can a connection be made, and is its certificate trusted? No request is sent; `rowhook webhooks test` does that.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustls::CertificateError;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Report;
use crate::dispatch::Subscription;
use crate::ops::settings::Settings;
use crate::webhook::{Sender, Unresolved, addresses, handshake};

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
        report.remark(
            &about,
            "its requests are not signed",
            "give it a `secret`: `rowhook webhooks keygen` makes one",
        );
    }
    look_at_key_file(webhook, &about, report);
    let host = webhook.endpoint.url.host_str().unwrap_or_default();
    let addresses = match timeout(PATIENCE, addresses(&webhook.endpoint)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(Unresolved::Denied(denied))) => {
            return report.bad(about, format!("{host} is denied: {denied}"), CHECK_NETWORK);
        }
        Ok(Err(Unresolved::Unknown(error))) => {
            let says = format!("{host} has no address: {error}");
            return report.remark(about, says, CHECK_RECEIVER);
        }
        Err(_) => {
            let says = format!("{host}: nobody says what its address is");
            return report.remark(about, says, CHECK_RECEIVER);
        }
    };
    let port = addresses.first().map_or(0, SocketAddr::port);
    match timeout(PATIENCE, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) if webhook.endpoint.url.scheme() == "https" => {
            judge(webhook, about, &format!("{host}:{port}"), report).await;
        }
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

/// Makes a TLS session with one that takes connections.
async fn judge(webhook: &Subscription, about: String, place: &str, report: &mut Report) {
    let problem = match handshake(&webhook.endpoint, PATIENCE).await {
        Ok(Ok(())) => {
            let says = format!("{place} takes connections, and its certificate is trusted");
            return report.good(about, says);
        }
        Ok(Err(problem)) => problem,
        Err(fault) => return report.fault(about, &fault),
    };
    match &problem.certificate {
        Some(certificate) => report.remark(
            about,
            format!("{place} shows a certificate that is not accepted: {certificate}"),
            certificate_fix(certificate),
        ),
        None => report.remark(
            about,
            format!("{place} makes no TLS session: {}", problem.detail),
            CHECK_TLS,
        ),
    }
}

/// What to do about a certificate. Pure.
fn certificate_fix(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::UnknownIssuer => {
            "name the issuer's CA certificate in tls.ca_file; if a public CA issued it, have the receiver send \
             its intermediate certificates, too"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "have the receiver's certificate renewed; if it is not that old, set this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "set this machine's clock; if it is right, the receiver's certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use a name in the URL that the certificate is for, or have this one added to it"
        }
        CertificateError::Revoked => "have the receiver's certificate replaced: it was revoked",
        _ => "have the receiver's certificate replaced; events wait in the log until it is",
    }
}

/// Whoever reads a client's private key can be that client.
fn look_at_key_file(webhook: &Subscription, about: &str, report: &mut Report) {
    let Some(file) = webhook.endpoint.tls.key_file() else {
        return;
    };
    // It was read a moment ago, when the settings were loaded.
    let Ok(metadata) = std::fs::metadata(file) else {
        return;
    };
    if metadata.permissions().mode() & OTHERS_MAY_READ != 0 {
        let file = file.display();
        report.remark(
            about,
            format!("everybody on this machine may read its private key, {file}"),
            format!("chmod o-r {file}"),
        );
    }
}

/// The bit of a file's mode.
const OTHERS_MAY_READ: u32 = 0o004;

const CHECK_NETWORK: &str =
    "change the URL, or except the address in network.allow; until then its events wait in the log";

const CHECK_TLS: &str =
    "see that the URL's port speaks TLS, 1.2 or 1.3; events wait in the log until it does";

const CHECK_RECEIVER: &str =
    "see that the receiver runs and that the URL is right; events wait in the log until it does";
