//! Keys of both kinds, TLS files, and where webhooks may connect to.

use rcgen::{CertificateParams, KeyPair};

use super::{Written, cause, source_and};

const WEBHOOK: &str = "[[webhook]]\nname = \"a\"\nurl = \"https://a/\"\n";

fn with_webhook(more: &str) -> Written {
    Written::new(&source_and(&format!("{WEBHOOK}{more}")))
}

#[test]
fn what_is_denied_holds_for_every_webhook_and_exceptions_are_made() {
    let more = r#"
[[webhook]]
name = "b"
url = "http://b/"
[network]
deny = ["internal", "10.1.0.0/16"]
allow = ["10.2.3.4"]
"#;
    let settings = with_webhook(more).load(&[]).unwrap();
    assert_eq!(settings.webhooks.len(), 2);
    for webhook in &settings.webhooks {
        let guard = &webhook.endpoint.guard;
        assert!(guard.admit("10.2.3.5".parse().unwrap()).is_err());
        assert!(guard.admit("10.2.3.4".parse().unwrap()).is_ok());
    }
}

#[test]
fn the_environment_can_deny_by_one_variable() {
    let deny = ("ROWHOOK__NETWORK__DENY", "private, link-local");
    let settings = with_webhook("").load(&[deny]).unwrap();
    let guard = &settings.webhooks[0].endpoint.guard;
    assert!(guard.admit("169.254.169.254".parse().unwrap()).is_err());
    assert!(guard.admit("127.0.0.1".parse().unwrap()).is_ok());
}

#[test]
fn what_is_no_range_is_refused_with_its_place() {
    let text = source_and(
        "[network]\ndeny = [\"privat\", \"10.0.0.1/8\", \"nowhere.example\"]\nalow = []\n",
    );
    let unknown = cause(&text);
    assert!(
        unknown.contains(":5: network.alow: unknown key; did you mean `allow`?"),
        "{unknown}"
    );
    let cause = cause(&text.replace("alow", "allow"));
    for part in [
        ":4: network.deny[0]: \"privat\" is no word for a range; did you mean \"private\"?",
        ":4: network.deny[1]: \"10.0.0.1/8\" has bits behind its prefix; did you mean \"10.0.0.0/8\"?",
        ":4: network.deny[2]: \"nowhere.example\" is no range such as",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}

#[test]
fn exceptions_from_nothing_are_refused() {
    let cause = cause(&source_and("[network]\nallow = [\"10.2.3.4\"]\n"));
    assert!(
        cause.contains(":4: network.allow: excepts from network.deny, which is empty"),
        "{cause}"
    );
}

#[test]
fn tls_files_are_read_and_one_that_cannot_be_used_is_named() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["a".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let tls = "tls = { ca_file = \"${DIR}/a.pem\", client_cert_file = \"${DIR}/a.pem\", \
               client_key_file = \"${DIR}/a.key\" }\n";
    let written = with_webhook(tls);
    let directory = written.directory.path().to_owned();
    let text = directory.display().to_string();
    let environment = [("DIR", text.as_str())];
    let cause = written.cause(&environment);
    assert!(
        cause.contains(":6: webhook[0].tls.ca_file: reading a.pem: No such file"),
        "{cause}"
    );
    std::fs::write(directory.join("a.pem"), certificate).unwrap();
    let cause = written.cause(&environment);
    assert!(
        cause.contains(":6: webhook[0].tls: reading a.key: No such file"),
        "{cause}"
    );
    let other = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(directory.join("a.key"), other).unwrap();
    let cause = written.cause(&environment);
    assert!(
        cause.contains("the key in a.key does not belong to the certificate in a.pem"),
        "{cause}"
    );
    std::fs::write(directory.join("a.key"), key.serialize_pem()).unwrap();
    let settings = written.load(&environment).unwrap();
    let key_file = settings.webhooks[0].endpoint.tls.key_file();
    assert_eq!(key_file, Some(directory.join("a.key").as_path()));
}

#[test]
fn tls_that_would_not_be_used_is_refused() {
    let text = source_and(
        r#"
[[webhook]]
name = "a"
url = "http://a/"
tls = { ca_file = "/nowhere" }
[[webhook]]
name = "b"
url = "https://b/"
tls = { client_cert_file = "/nowhere" }
[[webhook]]
name = "c"
url = "https://c/"
tls = { client_cert = "/nowhere" }
"#,
    );
    let unknown = cause(&text);
    let hint = ":15: webhook[2].tls.client_cert: unknown key; did you mean `client_cert_file`?";
    assert!(unknown.contains(hint), "{unknown}");
    let cause = cause(&text.replace("tls = { client_cert = \"/nowhere\" }", ""));
    for part in [
        ":7: webhook[0].tls: the URL is not https",
        ":11: webhook[1].tls: a client certificate and its key go together",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}

#[test]
fn a_key_of_each_kind_is_read_and_neither_is_shown() {
    let hmac = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let ed25519 = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";
    let written = with_webhook(&format!("secret = [\"{hmac}\", \"{ed25519}\"]\n"));
    let settings = written.load(&[]).unwrap();
    let public = settings.signing_keys().filter_map(|key| key.public_key());
    assert_eq!(public.count(), 1);
    assert_eq!(settings.signing_keys().count(), 2);
    let shown = written.show(&[]);
    assert!(
        !shown.contains("MfKQ") && !shown.contains("6Xb/"),
        "{shown}"
    );
    let public = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
    let cause = with_webhook(&format!("secret = \"{public}\"\n")).cause(&[]);
    assert!(
        cause.contains(":6: webhook[0].secret: the signing secret is a public key"),
        "{cause}"
    );
}

#[test]
fn a_token_in_a_url_is_not_shown() {
    let text = source_and(
        "[[webhook]]\nname = \"a\"\nurl = \"https://a/services/T01B02XhYpW81hZq9/in?key=0123456789\"\n",
    );
    let shown = Written::new(&text).show(&[]);
    let url = "url = \"https://a/services/[redacted]/in?key=[redacted]\"";
    assert!(shown.contains(url), "{shown}");
}
