//! Receivers can tell who sends, and rowhook whom it sends to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::Value;
use toml::{Table, toml};

use crate::cluster::Database;
use crate::daemon::Rowhook;
use crate::receiver::{Received, Receiver, Reply};
use crate::served::{Prepared, Served, accepted};
use crate::tls_front::{Authority, TlsFront};

const JWKS: &str = "/.well-known/rowhook/jwks.json";

/// What `keygen --kind ed25519 --json` prints.
struct Made {
    secret: String,
    public_key: String,
    kid: String,
}

impl Made {
    async fn by(rowhook: &Rowhook) -> Self {
        let made = rowhook
            .json(&["webhooks", "keygen", "--kind", "ed25519"])
            .await;
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        Self {
            secret: text("secret"),
            public_key: text("public_key"),
            kid: text("kid"),
        }
    }

    /// How many of a request's signatures this key has made.
    fn signatures(&self, request: &Received) -> usize {
        let encoded = self.public_key.strip_prefix("whpk_").unwrap();
        let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(encoded).unwrap());
        let header = |name| request.header(name).unwrap();
        let head = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
        let message = [head.as_bytes(), &request.body].concat();
        header("webhook-signature")
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1a,"))
            .filter(|signature| {
                let signature = STANDARD.decode(signature).unwrap();
                key.verify(&message, &signature).is_ok()
            })
            .count()
    }
}

fn kids(jwks: &str) -> Vec<String> {
    let jwks: Value = serde_json::from_str(jwks).unwrap();
    let keys = jwks["keys"].as_array().unwrap().iter();
    keys.map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn keygen_needs_no_settings_and_prints_the_secret_alone() {
    let database = Database::create().await;
    let rowhook = Rowhook::new(&database);
    fs::remove_file(rowhook.config()).unwrap();
    for (kind, prefix) in [("hmac", "whsec_"), ("ed25519", "whsk_")] {
        let output = rowhook
            .run_command(&["webhooks", "keygen", "--kind", kind])
            .await;
        let (out, err) = (output.stdout, output.stderr);
        let (out, err) = (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        );
        assert!(out.starts_with(prefix), "{out}");
        assert_eq!(out.lines().count(), 1);
        assert_eq!(err.contains("whpk_"), kind == "ed25519", "{err}");
        assert!(!err.contains(out.trim_end()), "{err}");
    }
    let made = Made::by(&rowhook).await;
    let x = STANDARD
        .decode(made.public_key.strip_prefix("whpk_").unwrap())
        .unwrap();
    assert_eq!(x.len(), 32);
    assert_eq!(URL_SAFE_NO_PAD.decode(&made.kid).unwrap().len(), 32);
    assert_eq!(
        rowhook.json(&["webhooks", "keygen"]).await["kid"],
        Value::Null
    );
}

#[tokio::test]
async fn keys_of_both_kinds_sign_while_they_rotate_and_a_reload_shows_the_new_ones() {
    let receiver = Receiver::start().await;
    let prepared = Prepared::with(|rowhook| rowhook).await;
    let (old, new) = (
        Made::by(&prepared.rowhook).await,
        Made::by(&prepared.rowhook).await,
    );
    let webhook = |secrets: &[&str]| {
        let mut more = Table::new();
        more.insert("secret".into(), secrets.to_vec().into());
        more
    };
    let with = |rowhook: Rowhook, secrets: &[&str]| {
        rowhook
            .set("webhook", toml::Value::Array(Vec::new()))
            .webhook_to("hook", &receiver, webhook(secrets))
    };
    let hmac = receiver.secret();
    let rowhook = with(prepared.rowhook, &[&hmac, &old.secret]);
    let mut served = Prepared {
        rowhook,
        ..prepared
    }
    .served()
    .await;
    served.insert(1, 1).await;
    let first = &accepted(&receiver, 1).await[0];
    assert!(first.signed);
    assert_eq!((old.signatures(first), new.signatures(first)), (1, 0));
    let (status, jwks) = served.daemon.get(JWKS).await;
    assert_eq!((status, kids(&jwks)), (200, vec![old.kid.clone()]));
    assert!(!jwks.contains("\"d\""), "{jwks}");

    served.rowhook = with(served.rowhook, &[&new.secret, &old.secret]);
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("webhooks reloaded").await;
    served.insert(2, 2).await;
    let second = &accepted(&receiver, 2).await[1];
    assert!(!second.signed, "by HMAC no more");
    assert_eq!((old.signatures(second), new.signatures(second)), (1, 1));
    let both = vec![new.kid.clone(), old.kid.clone()];
    assert_eq!(kids(&served.daemon.get(JWKS).await.1), both);
    let printed = served.rowhook.succeed(&["webhooks", "jwks"]).await;
    assert_eq!(kids(&printed), both);
}

#[tokio::test]
async fn a_denied_endpoint_is_not_connected_to_and_its_events_wait() {
    let receiver = Receiver::start().await;
    let mut served = Served::with(|rowhook| {
        rowhook
            .set("network.deny", vec!["internal"])
            .webhook_to("hook", &receiver, Table::new())
    })
    .await;
    served.insert(1, 20).await;
    let line = served.daemon.wait_for_log("counts as down").await;
    assert!(line.contains("network.deny has \\\"internal\\\""), "{line}");
    assert!(!line.contains("/hook"), "{line}");
    let tested = served.rowhook.fail(&["webhooks", "test", "hook"], 1).await;
    assert!(tested.contains("denied: network.deny has"), "{tested}");
    let report = served.rowhook.fail(&["check", "--json"], 1).await;
    assert!(
        report.contains("127.0.0.1 is denied: network.deny has"),
        "{report}"
    );
    assert_eq!(receiver.count(), 0);
    // Of the endpoint, not of an event: no more rows than it takes to know.
    assert!(served.deliveries().await.len() <= 5);

    served.rowhook = served.rowhook.set("network.allow", vec!["127.0.0.1"]);
    served.daemon.signal("HUP").await;
    accepted(&receiver, 20).await;
    served.wait_for_cursor("hook", 20).await;
    served.rowhook.succeed(&["check"]).await;
    served.rowhook.succeed(&["webhooks", "test", "hook"]).await;
}

#[tokio::test]
async fn a_redirect_into_a_denied_network_is_not_followed() {
    let (receiver, denied) = (
        Receiver::start().await,
        Receiver::start_at("127.0.0.2:0").await,
    );
    let url = denied.url();
    receiver.answer_next([307, 302].map(|status| Reply::with_header(status, "Location", &url)));
    let served = Served::with(|rowhook| {
        rowhook
            .set("network.deny", vec!["127.0.0.2"])
            .webhook_to("hook", &receiver, Table::new())
    })
    .await;
    served.insert(1, 1).await;
    assert_eq!(accepted(&receiver, 1).await.len(), 3);
    assert_eq!(denied.count(), 0);
}

#[tokio::test]
async fn certificates_are_read_anew_with_the_settings() {
    let receiver = Receiver::start().await;
    let (authority, other) = (Authority::new("one"), Authority::new("another"));
    let front = TlsFront::before(&receiver, &authority).await;
    let prepared = Prepared::with(|rowhook| rowhook).await;
    let directory = prepared.rowhook.directory().to_owned();
    let (cert, key) = authority.write_client(&directory);
    let ca = directory.join("ca.pem");
    other.write(&ca);
    let mut more = toml! { tls = { ca_file = "", client_cert_file = "", client_key_file = "" } };
    let tls = more["tls"].as_table_mut().unwrap();
    for (name, path) in [
        ("ca_file", &ca),
        ("client_cert_file", &cert),
        ("client_key_file", &key),
    ] {
        tls.insert(name.into(), path.to_str().unwrap().into());
    }
    more.insert("url".into(), front.url().into());
    let rowhook = prepared.rowhook.webhook_to("hook", &receiver, more);
    let served = Prepared {
        rowhook,
        ..prepared
    }
    .served()
    .await;
    served.insert(1, 1).await;
    let line = served.daemon.wait_for_log("counts as down").await;
    assert!(
        line.contains("tls: ") && line.contains("UnknownIssuer"),
        "{line}"
    );
    assert_eq!(receiver.count(), 0);

    authority.write(&ca);
    served.daemon.signal("HUP").await;
    accepted(&receiver, 1).await;

    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let said = served.rowhook.succeed(&["check"]).await;
    assert!(!said.contains("private key"), "{said}");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let said = served.rowhook.succeed(&["check"]).await;
    assert!(said.contains("may read its private key"), "{said}");

    fs::remove_file(&key).unwrap();
    let said = served.rowhook.fail(&["check"], 78).await;
    assert!(
        said.contains("webhook[0].tls: reading ") && said.contains("client.key"),
        "{said}"
    );
    served.daemon.signal("HUP").await;
    served.daemon.wait_for_log("were not reloaded").await;
    served.insert(2, 2).await;
    accepted(&receiver, 2).await;
}

#[tokio::test]
async fn check_judges_an_endpoint_s_certificate_and_sends_nothing() {
    let receiver = Receiver::start().await;
    let (authority, other) = (Authority::new("one"), Authority::new("another"));
    let front = TlsFront::before(&receiver, &authority).await;
    let prepared = Prepared::with(|rowhook| rowhook).await;
    let ca = prepared.rowhook.directory().join("ca.pem");
    let plain = receiver.url().replace("http://", "https://");
    let webhook = |url: &str| {
        let mut more = toml! { tls = { ca_file = "" } };
        let tls = more["tls"].as_table_mut().unwrap();
        tls.insert("ca_file".into(), ca.to_str().unwrap().into());
        more.insert("url".into(), url.into());
        more
    };
    other.write(&ca);
    let rowhook = prepared
        .rowhook
        .webhook_to("front", &receiver, webhook(&front.url()))
        .webhook_to("plain", &receiver, webhook(&plain));
    let find = async |name: &str| -> (Value, Value) {
        let report = rowhook.json(&["check"]).await;
        let about = format!("webhook \"{name}\"");
        let mut findings = report["findings"].as_array().unwrap().iter();
        let finding = findings.find(|finding| finding["about"] == *about).unwrap();
        (finding["message"].clone(), finding["fix"].clone())
    };
    let (says, fix) = find("front").await;
    let says = says.as_str().unwrap();
    assert!(
        says.contains("a certificate that is not accepted"),
        "{says}"
    );
    assert!(fix.as_str().unwrap().contains("tls.ca_file"), "{fix}");
    let (says, fix) = find("plain").await;
    assert!(fix.as_str().unwrap().contains("speaks TLS"), "{says} {fix}");

    authority.write(&ca);
    let (says, fix) = find("front").await;
    let says = says.as_str().unwrap();
    assert!(says.ends_with("its certificate is trusted"), "{says}");
    assert_eq!((fix, receiver.count()), (Value::Null, 0));
}
