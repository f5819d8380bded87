//! The whole way, from text to settings.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::load::Environment;
use super::*;
use crate::dispatch::{Order, Start};
use crate::event::Redaction;
use crate::fault::Fault;
use crate::wal::{ReplicaIdentity, TlsMode};
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
        let (file, _) = load::read(&self.path(), &variables(environment)).unwrap();
        toml::to_string(&file).unwrap()
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
fn every_unknown_key_is_refused_with_its_line_and_a_near_miss() {
    let text = r#"
webhok = 1
[source]
url = "postgres://me@db/shop"
tls = { mod = "require" }
[[webhook]]
name = "a"
url = "http://a"
concurency = 2
retry.atempts = 3
secret = { envv = "X" }
"#;
    assert_eq!(
        cause(text),
        "\
5 problems in the settings:
  rowhook.toml:2: webhok: unknown key; did you mean `webhook`?
  rowhook.toml:5: source.tls.mod: unknown key; did you mean `mode`?
  rowhook.toml:9: webhook[0].concurency: unknown key; did you mean `concurrency`?
  rowhook.toml:10: webhook[0].retry.atempts: unknown key; did you mean `attempts`?
  rowhook.toml:11: webhook[0].secret.envv: unknown key; did you mean `env`?"
    );
}

#[test]
fn a_wrong_type_or_word_is_refused_with_its_line() {
    let text = source_and(
        r#"
password = 12345
replica_identity = "ful"
[[webhook]]
name = "a"
url = "http://a"
events = ["*", 1]
concurrency = 0
order = true
start = "later"
retry = { multiplier = 0.5, attempts = 99999999999 }
"#,
    );
    assert_eq!(
        cause(&text),
        "\
8 problems in the settings:
  rowhook.toml:4: source.password: must be a string or a table, found integer
  rowhook.toml:5: source.replica_identity: \"ful\" is not one of \"full\", \"keep\"
  rowhook.toml:9: webhook[0].events[1]: must be a string, found integer
  rowhook.toml:10: webhook[0].concurrency: must be at least 1
  rowhook.toml:11: webhook[0].order: must be a string, found boolean
  rowhook.toml:12: webhook[0].start: \"later\" is not one of \"now\", \"beginning\"
  rowhook.toml:13: webhook[0].retry.multiplier: must be at least 1
  rowhook.toml:13: webhook[0].retry.attempts: must be at most 1000000"
    );
}

#[test]
fn a_missing_key_is_named() {
    assert_eq!(
        cause("[[webhook]]\nname = \"a\"\n"),
        "\
2 problems in the settings:
  rowhook.toml: source.url: is missing and has no default
  rowhook.toml:1: webhook[0].url: is missing and has no default"
    );
}

#[test]
fn broken_toml_is_refused_with_line_and_column() {
    let cause = cause("[source]\nurl = \"postgres://\n");
    assert!(cause.starts_with("rowhook.toml:2:"), "{cause}");
    assert!(
        cause.contains("not valid TOML: invalid basic string"),
        "{cause}"
    );
}

#[test]
fn a_file_that_is_empty_or_not_there_is_named() {
    let written = Written::new("\n");
    assert!(
        written
            .cause(&[])
            .starts_with("the settings file rowhook.toml is empty")
    );
    let url = ("ROWHOOK__SOURCE__URL", "postgres://me@db/shop");
    assert!(written.load(&[url]).is_ok(), "the environment is enough");
    std::fs::remove_file(written.path()).unwrap();
    let cause = written.cause(&[]);
    assert!(cause.starts_with("reading the settings file rowhook.toml: No such file"));
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
fn a_problem_from_the_environment_names_the_variable() {
    let written = Written::new(SOURCE);
    assert_eq!(
        written.cause(&[
            ("ROWHOOK__LOG__SEGMENT_SIZE", "many"),
            ("ROWHOOK__SOURCE__SLOTT", "x"),
            ("ROWHOOK__WEBHOOK__3__URL", "x"),
        ]),
        "\
3 problems in the settings:
  environment variable ROWHOOK__LOG__SEGMENT_SIZE: log.segment_size: must be an integer
  environment variable ROWHOOK__SOURCE__SLOTT: unknown key; did you mean `ROWHOOK__SOURCE__SLOT`?
  environment variable ROWHOOK__WEBHOOK__3__URL: there is no webhook[2] before webhook[3]"
    );
    assert_eq!(
        written.cause(&[("ROWHOOK__SOURCE__SLOT", "No")]),
        "environment variable ROWHOOK__SOURCE__SLOT: source.slot: \"No\" cannot name a slot: \
         1 to 63 characters of a-z, 0-9 and _"
    );
}

#[test]
fn everything_that_means_nothing_is_told_at_once() {
    let text = r#"
[source]
url = "postgres://me@db/shop"
password = { env = "NOT_SET" }
wal_budget = "lots"
tls = { cert_file = "${NOWHERE}/c.pem" }
[capture]
tables = ["!public.a"]
[log]
retention = "soon"
tls = { mode = "require" }
[[webhook]]
name = "A"
url = "ftp://a"
headers = { Host = "x", Webhook-Id = "y", "b d" = "z", ok = "a\nb" }
timeout = "0s"
retry = { initial = "3h" }
secret = {}
[api]
listen = "0.0.0.0:8655"
"#;
    let cause = cause(text);
    for part in [
        "16 problems",
        ":4: source.password: environment variable NOT_SET is not set",
        ":5: source.wal_budget: \"lots\" is not a size",
        ":6: source.tls.cert_file: \"${NOWHERE}/c.pem\": environment variable NOWHERE is not set",
        ":8: capture.tables: takes no table in",
        ":10: log.retention: \"soon\" is not a duration",
        ":11: log.tls: needs log.url",
        ":13: webhook[0].name: \"A\" is not a name",
        ":14: webhook[0].url: the scheme is \"ftp\"",
        ":15: webhook[0].headers.Host: is set by rowhook",
        ":15: webhook[0].headers.Webhook-Id: is set by rowhook",
        ":15: webhook[0].headers.b d: is not an HTTP header name",
        ":15: webhook[0].headers.ok: the value has a character",
        ":16: webhook[0].timeout: must be longer than 0",
        ":17: webhook[0].retry.max: 2h is less than initial = 3h",
        ":18: webhook[0].secret: needs one of env and file",
        ":20: api.listen: 0.0.0.0:8655 can be reached from other machines",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}

#[test]
fn rules_that_contradict_each_other_are_refused() {
    let text = source_and(
        r#"
[[resource]]
table = "public.a"
key = ["id"]
exclude = ["id", "x"]
redact = { x = "mask" }
[[resource]]
table = "a"
[[resource]]
table = "crm.b"
name = "a"
[[webhook]]
name = "w"
url = "http://a"
[[webhook]]
name = "w"
url = "http://me:geheim@a"
"#,
    );
    let cause = cause(&text);
    for part in [
        ":7: resource[0].exclude: column \"id\" is part of the key",
        ":8: resource[0].redact: column \"x\" is excluded as well",
        ":10: resource[1].table: public.a has resource[0] already",
        ":13: resource[2].name: resource[0] is named \"a\" already",
        ":18: webhook[1].name: webhook[0] is named \"w\" already",
        ":19: webhook[1].url: has a user or password in it",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
    assert!(!cause.contains("geheim"));
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
fn there_is_no_tls_over_a_socket_and_no_certificate_without_its_key() {
    let text = "[source]\nurl = \"host=/run/pg user=a sslmode=require\"";
    assert!(cause(text).contains("source.tls.mode: there is no TLS over a Unix socket"));
    let text = "[source]\nurl = \"host=db user=a sslcert=c.pem\"";
    assert!(cause(text).contains("source.tls: a client certificate and its key go together"));
}

#[test]
fn a_secret_file_is_trimmed_of_its_newline_and_must_hold_something() {
    let written = Written::new(&source_and("password = { file = \"${DIR}/pw\" }\n"));
    let directory = written.directory.path().display().to_string();
    let environment = [("DIR", directory.as_str())];
    assert!(
        written
            .cause(&environment)
            .contains("source.password: reading pw: No such file")
    );
    std::fs::write(written.directory.path().join("pw"), "\n").unwrap();
    assert!(
        written
            .cause(&environment)
            .contains("source.password: pw is empty")
    );
    std::fs::write(written.directory.path().join("pw"), " x \r\n").unwrap();
    let target = written.load(&environment).unwrap().source.target;
    assert_eq!(target.password.unwrap().expose(), " x ");
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
    let webhook = &schema["$defs"]["Webhook"];
    assert_eq!(webhook["additionalProperties"], false);
    assert_eq!(webhook["properties"]["concurrency"]["maximum"], 1024);
}
