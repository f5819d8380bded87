//! What the schema alone refuses.

use super::{SOURCE, Written, cause, source_and};

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
  rowhook.toml:12: webhook[0].start: \"later\" is not one of \"now\", \"beginning\", and no time such as \"2026-01-31T12:00:00Z\"
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
