//! `[api]`: who may use it.

use super::{cause, needing_restart, source_and};
use crate::ops::api::Scope;

const SECRET: &str = "0123456789abcdef";

#[test]
fn beyond_loopback_a_token_is_needed() {
    let text = source_and("[api]\nlisten = \"0.0.0.0:8655\"\n");
    let cause = cause(&text);
    assert!(
        cause.contains("api.listen: 0.0.0.0:8655 can be reached"),
        "{cause}"
    );
    assert!(cause.contains("set api.token"), "{cause}");
    let text = format!("[api]\nlisten = \"0.0.0.0:8655\"\ntoken = \"{SECRET}\"\n");
    let api = super::Written::new(&source_and(&text))
        .load(&[])
        .unwrap()
        .api
        .unwrap();
    assert_eq!(api.tokens.len(), 1);
    assert_eq!(api.tokens[0].scopes, Scope::ALL);
}

#[test]
fn tokens_are_told_apart_by_name_and_by_secret() {
    let token = |name: &str, secret: &str| {
        format!("{{ name = \"{name}\", secret = \"{secret}\", scopes = [\"read\"] }}")
    };
    let (one, other) = (SECRET, "fedcba9876543210");
    for (tokens, wrong) in [
        (
            token("a", one) + "," + &token("a", other),
            "api.tokens[1].name: \"a\"",
        ),
        (token("token", one), "api.tokens[0].name: \"token\""),
        (
            token("a", one) + "," + &token("b", one),
            "api.tokens: two of them are the same",
        ),
        (
            token("a", "0123456789abcde f"),
            "api.tokens[0].secret: holds a letter",
        ),
        (token("a", ""), "api.tokens[0].secret: it is empty"),
    ] {
        let cause = cause(&source_and(&format!("[api]\ntokens = [{tokens}]\n")));
        assert!(cause.contains(wrong), "{wrong:?} in {cause}");
        assert!(!cause.contains(one), "{cause}");
    }
    let text =
        "[api]\ntokens = [{ name = \"a\", secret = \"0123456789abcdef\", scopes = [\"write\"] }]\n";
    let cause = cause(&source_and(text));
    assert!(cause.contains("api.tokens[0].scopes"), "{cause}");
}

#[test]
fn a_reload_takes_tokens_over_and_does_not_open_what_asked_for_them() {
    let load = |api: &str| {
        let text = source_and(&format!("[api]\n{api}\n"));
        super::Written::new(&text).load(&[]).unwrap()
    };
    let token = |secret: &str| load(&format!("token = \"{secret}\""));
    let (none, one, other) = (load(""), token(SECRET), token("fedcba9876543210"));
    assert_eq!(needing_restart(&one, &other), [""; 0]);
    assert_eq!(needing_restart(&none, &one), [""; 0]);
    assert_eq!(needing_restart(&one, &none), ["api.token"]);
}
