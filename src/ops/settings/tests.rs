//! The whole way, from text to settings.

mod api;
mod formats;
mod attempts;
mod lanes;
mod refused_by_meaning;
mod refused_by_schema;
mod resources;
mod trust;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::load::Environment;
use super::show::show_with;
use super::*;
use crate::dispatch::{Order, Start};
use crate::event::Redaction;
use crate::fault::Fault;
use crate::wal::{ReplicaIdentity, Streaming, TlsMode};
use crate::webhook::Format;

const SOURCE: &str = "[source]\nurl = \"postgres://me@db/shop\"\n";

/// A settings file, removed when dropped.
struct Written {
    directory: TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("rowhook.toml"), text).unwrap();
        Self { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rowhook.toml")
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Settings> {
        load_with(&self.path(), &variables(environment))
    }

    fn show(&self, environment: &[(&str, &str)]) -> String {
        show_with(&self.path(), false, &variables(environment)).unwrap()
    }

    fn show_json(&self) -> serde_json::Value {
        let shown = show_with(&self.path(), true, &variables(&[])).unwrap();
        serde_json::from_str(&shown).unwrap()
    }

    /// The message of the fault, the directory left out.
    fn cause(&self, environment: &[(&str, &str)]) -> String {
        let fault: Fault = self.load(environment).unwrap_err();
        assert_eq!(fault.exit_code(), 78, "{fault}");
        let directory = format!("{}/", self.directory.path().display());
        fault.to_string().replace(&directory, "")
    }
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect()
}

fn cause(text: &str) -> String {
    Written::new(text).cause(&[])
}

fn source_and(text: &str) -> String {
    format!("{SOURCE}{text}")
}

#[test]
fn a_url_is_enough() {
    let settings = Written::new(SOURCE).load(&[]).unwrap();
    assert_eq!(settings.source.target.label(), "me@db:5432/shop");
    assert_eq!(settings.source.target.tls.mode, TlsMode::Prefer);
    assert_eq!(
        settings.source.target.connect_timeout,
        Duration::from_secs(10)
    );
    assert_eq!(settings.source.slot, "rowhook");
    assert_eq!(settings.source.replica_identity, ReplicaIdentity::Full);
    assert_eq!(settings.source.streaming, Streaming::Off);
    assert_eq!(settings.source.wal_budget, 20 << 30);
    assert_eq!(settings.log.target, settings.source.target);
    assert!(settings.log.in_source);
    assert_eq!(
        settings.log.retention,
        Some(Duration::from_secs(90 * 86_400))
    );
    assert_eq!(settings.capture.tables.len(), 1);
    assert!(settings.webhooks.is_empty());
    assert_eq!(settings.api.unwrap().listen.to_string(), "127.0.0.1:8655");
}

#[test]
fn every_key_means_something() {
    let written = Written::new(
        r#"
[source]
url = "postgres://me:url@db/shop?sslmode=disable&connect_timeout=3"
password_file = "${DIR}/password"
slot = "s"
publication = "p"
replica_identity = "keep"
streaming = true
wal_budget = "1GB"
tls = { mode = "require", ca_file = "${DIR}/ca.pem" }
silence_timeout = "1m"
table_refresh = "2s"
[capture]
tables = ["public.*", "!audit"]
[[resource]]
table = "public.users"
name = "people"
key = ["id"]
exclude = ["Notes"]
redact = { Email = "hash", ssn = "mask" }
[log]
url = "host=/run/pg user=log password=x dbname=events"
retention = "forever"
segment_size = 10
[[webhook]]
name = "billing"
url = "https://billing.internal/hooks"
events = ["orders.*"]
format = "snaapi"
secret = [{ env = "KEY" }, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
headers = { Authorization = { env = "TOKEN" }, X-From = "rowhook" }
order = "strict"
concurrency = 2
timeout = "3s"
retry = { attempts = 2, initial = "2s", multiplier = 2, max = "1m" }
start = 42
[api]
listen = ""
"#,
    );
    let directory = written.directory.path().display().to_string();
    std::fs::write(written.directory.path().join("password"), "from file\n").unwrap();
    let key = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let environment = [("DIR", directory.as_str()), ("KEY", key), ("TOKEN", "t")];
    let settings = written.load(&environment).unwrap();

    let target = &settings.source.target;
    assert_eq!(target.password.as_ref().unwrap().expose(), "from file");
    assert_eq!(
        target.tls.mode,
        TlsMode::VerifyCa,
        "as libpq: require with a root"
    );
    assert_eq!(
        target.tls.ca_file,
        Some(format!("{directory}/ca.pem").into())
    );
    assert_eq!(target.connect_timeout, Duration::from_secs(3));
    assert_eq!(settings.source.streaming, Streaming::On);
    assert_eq!(settings.source.wal_budget, 1_000_000_000);
    assert!(settings.capture.tables[1].exclude);
    assert_eq!(settings.capture.tables[1].schema, "public");
    let rule = &settings.capture.resources[0];
    assert_eq!(rule.exclude, ["Notes"]);
    assert_eq!(rule.redact[0], ("Email".into(), Redaction::Hash));
    assert!(!settings.log.in_source);
    assert_eq!(settings.log.target.label(), "log@/run/pg:5432/events");
    assert_eq!(settings.log.retention, None);
    let webhook = &settings.webhooks[0];
    assert_eq!(
        (webhook.order, webhook.start),
        (Order::Strict, Start::At(42))
    );
    assert_eq!(webhook.concurrency, NonZeroUsize::new(2).unwrap());
    assert_eq!(webhook.endpoint.format, Format::Snaapi);
    assert_eq!(webhook.endpoint.keys.len(), 2);
    let (name, value) = &webhook.endpoint.headers[0];
    assert_eq!((name.as_str(), value.expose()), ("Authorization", "t"));
    assert!(settings.api.is_none());
}

#[test]
fn the_environment_goes_before_the_file_and_keeps_text_as_it_is() {
    let written = Written::new(&source_and(
        "[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n",
    ));
    let settings = written
        .load(&[
            ("ROWHOOK_CONFIG", "/etc/rowhook.toml"),
            ("ROWHOOK__SOURCE__PASSWORD", "0123"),
            ("ROWHOOK__LOG__SEGMENT_SIZE", "7"),
            ("ROWHOOK__CAPTURE__TABLES", "public.*, !public.secret"),
            ("ROWHOOK__WEBHOOK__0__START", "9"),
            ("ROWHOOK__WEBHOOK__0__RETRY__MULTIPLIER", "2"),
            ("ROWHOOK__WEBHOOK__1__NAME", "b"),
            ("ROWHOOK__WEBHOOK__1__URL", "http://b"),
        ])
        .unwrap();
    assert_eq!(settings.source.target.password.unwrap().expose(), "0123");
    assert_eq!(settings.log.segment_size, 7);
    assert_eq!(settings.capture.tables.len(), 2);
    assert_eq!(settings.webhooks[0].start, Start::At(9));
    assert_eq!(settings.webhooks[1].name, "b");
}

#[test]
fn libpq_s_variables_fill_what_the_url_leaves_out() {
    let written = Written::new("[source]\nurl = \"postgres://db\"\n");
    let environment = [("PGUSER", "app"), ("USER", "os"), ("PGPASSWORD", "pw")];
    let target = written.load(&environment).unwrap().source.target;
    assert_eq!(target.label(), "app@db:5432/app");
    assert_eq!(target.password.unwrap().expose(), "pw");
    assert!(written.cause(&[]).contains("source.url: names no user"));
}

#[test]
fn show_redacts_what_is_written_and_keeps_where_it_is() {
    let text = r#"
[source]
url = "postgres://me:geheim@db/shop"
password = { env = "PW" }
[[webhook]]
name = "a"
url = "https://me:geheim@a/"
secret = ["geheim", { file = "/k" }]
headers = { Authorization = "geheim" }
"#;
    let shown = Written::new(text).show(&[("ROWHOOK__LOG__PASSWORD", "geheim")]);
    assert!(!shown.contains("geheim"), "{shown}");
    for part in [
        "url = \"postgres://me:[redacted]@db/shop\"",
        "env = \"PW\"",
        "file = \"/k\"",
        "Authorization = \"[redacted]\"",
        "password = \"[redacted]\"",
        "slot = \"rowhook\"",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
}

#[test]
fn two_secrets_that_stand_in_the_file_are_two_secrets_and_not_shown() {
    let secrets = [[b'a'; 32], [b'b'; 32]].map(|bytes| {
        let text: String = bytes.map(char::from).iter().collect();
        format!("whsec_{text}")
    });
    let written = Written::new(&format!(
        "{SOURCE}[[webhook]]\nname = \"a\"\nurl = \"http://a/\"\nsecret = {secrets:?}\n"
    ));
    let settings = written.load(&[]).unwrap();
    assert_eq!(settings.webhooks[0].endpoint.keys.len(), 2);
    let shown = written.show(&[]);
    assert!(
        !shown.contains("aaaa") && !shown.contains("bbbb"),
        "{shown}"
    );
}

#[test]
fn the_schema_has_descriptions_and_defaults() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert_eq!(schema["title"], "rowhook.toml");
    let slot = &schema["$defs"]["Source"]["properties"]["slot"];
    assert_eq!(slot["description"], "The logical replication slot.");
    assert_eq!(slot["default"], "rowhook");
    let text = schema.to_string();
    assert!(!text.contains("\"null\""), "TOML has no null to offer");
    assert!(!text.contains("\\n"), "descriptions are one line");
    let webhook = &schema["$defs"]["Webhook"];
    assert_eq!(webhook["additionalProperties"], false);
    assert_eq!(webhook["properties"]["concurrency"]["maximum"], 1024);
}

#[test]
fn a_webhook_starts_at_a_time_and_the_retention_has_a_bound() {
    let webhook = "[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n";
    let log = "[log]\nretention_max_lag = \"7d\"\n";
    let start = "start = \"2026-01-31T13:00:00+01:00\"\n";
    let text = source_and(&format!("{log}{webhook}{start}"));
    let settings = Written::new(&text).load(&[]).unwrap();
    let time = "2026-01-31T12:00:00Z".parse().unwrap();
    assert_eq!(settings.webhooks[0].start, Start::Since(time));
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(settings.log.retention_max_lag, Some(week));
    let variable = [("ROWHOOK__WEBHOOK__0__START", "2026-01-31T12:00:00Z")];
    let settings = Written::new(&source_and(webhook)).load(&variable).unwrap();
    assert_eq!(settings.webhooks[0].start, Start::Since(time));
    assert_eq!(settings.log.retention_max_lag, None);
    let log = "[log]\nretention = \"forever\"\nretention_max_lag = \"7d\"\n";
    let cause = cause(&source_and(log));
    assert!(
        cause.contains("log.retention_max_lag: means nothing"),
        "{cause}"
    );
}

#[test]
fn what_a_reload_cannot_change_is_named_by_its_key() {
    let load = |text: &str| Written::new(text).load(&[]).unwrap();
    let before = load(SOURCE);
    let same = load(&source_and(
        "[log]\nretention = \"2160h\"\n[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n",
    ));
    assert_eq!(needing_restart(&before, &same), [""; 0]);
    let other = load(&source_and(
        "slot = \"s\"\npassword = \"p\"\n[log]\nretention = \"1d\"\n[[resource]]\ntable = \"t\"\nname = \"u\"\n[api]\nlisten = \"\"\n",
    ));
    assert_eq!(
        needing_restart(&before, &other),
        [
            "api.listen",
            "log.retention",
            "resource",
            "source.password",
            "source.slot"
        ]
    );
    let secret = |secret: &str| load(&source_and(&format!("password = \"{secret}\"\n")));
    assert_eq!(
        needing_restart(&secret("a"), &secret("b")),
        ["source.password"]
    );
}
