//! What has the right form and the wrong meaning.

use super::{Written, cause, source_and};

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
headers = { Connection = "c", Host = "x", Webhook-Id = "y", "b d" = "z", ok = "a\nb" }
timeout = "0s"
retry = { initial = "3h" }
secret = {}
[api]
listen = "0.0.0.0:8655"
tokens = [{ name = "a", secret = "short", scopes = [] }]
"#;
    let cause = cause(text);
    for part in [
        "18 problems",
        ":4: source.password: environment variable NOT_SET is not set",
        ":5: source.wal_budget: \"lots\" is not a size",
        ":6: source.tls.cert_file: \"${NOWHERE}/c.pem\": environment variable NOWHERE is not set",
        ":8: capture.tables: takes no table in",
        ":10: log.retention: \"soon\" is not a duration",
        ":11: log.tls: needs log.url",
        ":13: webhook[0].name: \"A\" is not a name",
        ":14: webhook[0].url: the scheme is \"ftp\"",
        ":15: webhook[0].headers.Connection: is set by rowhook",
        ":15: webhook[0].headers.Host: is set by rowhook",
        ":15: webhook[0].headers.Webhook-Id: is set by rowhook",
        ":15: webhook[0].headers.b d: is not an HTTP header name",
        ":15: webhook[0].headers.ok: the value has a character",
        ":16: webhook[0].timeout: must be longer than 0",
        ":17: webhook[0].retry.max: 2h is less than initial = 3h",
        ":18: webhook[0].secret: needs one of env and file",
        ":21: api.tokens[0].scopes: opens nothing",
        ":21: api.tokens[0].secret: is shorter than 16 letters",
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
fn what_chooses_events_is_refused_with_its_place_and_a_near_miss() {
    let text = source_and(
        r#"
[[webhook]]
name = "a"
url = "http://a"
changed = []
when = "nw.total > 100"
fields = ["id", "id"]
body = '{"a": sise(new.id)}'
[[webhook]]
name = "b"
url = "http://a"
changed = ["id", ""]
when = '''
new.a == 1 &&
  event.typ == "x"
'''
format = "snaapi"
body = "new.id +"
"#,
    );
    let cause = cause(&text);
    for part in [
        "9 problems",
        ":7: webhook[0].changed: the list is empty; leave it out for every column",
        ":8: webhook[0].when: column 1: unknown variable `nw`; did you mean `new`?\n    nw.total > 100\n    ^\n",
        ":9: webhook[0].fields: column \"id\" is given twice",
        ":10: webhook[0].body: column 7: unknown function `sise`; did you mean `size`?",
        ":10: webhook[0].body: says all that is sent: leave out `fields`",
        ":14: webhook[1].changed: a column's name is empty",
        ":15: webhook[1].when: line 2, column 9: unknown member of `event`: `typ`; did you mean `type`?\n      event.typ == \"x\"\n            ^\n",
        ":20: webhook[1].body: column 9: syntax error: mismatched input '<EOF>'",
        ":20: webhook[1].body: says all that is sent: leave out `format`",
    ] {
        assert!(cause.contains(part), "{part:?} in {cause}");
    }
}

#[test]
fn what_chooses_events_comes_from_the_environment_too() {
    let text = source_and("[[webhook]]\nname = \"a\"\nurl = \"http://a\"\n");
    let written = Written::new(&text);
    let changed = ("ROWHOOK__WEBHOOK__0__CHANGED", "a, b");
    let wrong = written.cause(&[("ROWHOOK__WEBHOOK__0__WHEN", "new.a > 1, 2"), changed]);
    let expected =
        "environment variable ROWHOOK__WEBHOOK__0__WHEN: webhook[0].when: column 10: syntax error";
    assert!(wrong.starts_with(expected), "{wrong}");
    let when = ("ROWHOOK__WEBHOOK__0__WHEN", "new.a > 1");
    let settings = written.load(&[when, changed]).unwrap();
    let conditions = &settings.webhooks[0].conditions;
    assert_eq!(conditions.changed, Some(vec!["a".into(), "b".into()]));
    assert_eq!(conditions.when.as_ref().unwrap().source(), "new.a > 1");
}
