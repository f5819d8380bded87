//! Who may do what.

use super::{Caller, answer};
use crate::capture::Captured;
use crate::daemon::Rowhook;

const TABLE: &str = "create table posts (id int primary key)";
const ALL: &str = "all-0123456789abcdef";
const READER: &str = "reader-0123456789abcdef";
const EMITTER: &str = "emitter-0123456789abcdef";

fn with_tokens(rowhook: Rowhook) -> Rowhook {
    let token = |name: &str, secret: &str, scope: &str| {
        let mut token = toml::Table::new();
        token.insert("name".into(), name.into());
        token.insert("secret".into(), secret.into());
        token.insert("scopes".into(), vec![scope].into());
        toml::Value::Table(token)
    };
    let tokens = vec![
        token("reader", READER, "read"),
        token("emitter", EMITTER, "emit"),
    ];
    rowhook.set("api.token", ALL).set("api.tokens", tokens)
}

#[tokio::test]
async fn tokens_open_what_their_scopes_say() {
    let captured = Captured::with(TABLE, with_tokens).await;
    let daemon = &captured.daemon;
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/.well-known/rowhook/jwks.json",
    ] {
        assert_eq!(Caller::of(daemon).get(path).await.status, 200, "{path}");
    }
    let none = Caller::of(daemon).get("/v1/events").await;
    none.problem(401, "no_token");
    assert_eq!(none.header("www-authenticate"), "Bearer realm=\"rowhook\"");
    for wrong in ["", "x", &ALL[1..], &format!("{ALL}x")] {
        let refused = Caller::with(daemon, wrong).get("/v1/events").await;
        refused.problem(401, "wrong_token");
        assert!(refused.header("www-authenticate").contains("invalid_token"));
        assert!(!refused.text.contains(ALL), "{}", refused.text);
    }
    for token in [ALL, READER] {
        assert_eq!(
            Caller::with(daemon, token).get("/v1/events").await.status,
            200
        );
    }
    let refused = Caller::with(daemon, EMITTER).get("/v1/events").await;
    let problem = refused.problem(403, "scope");
    assert_eq!(
        problem["detail"],
        "token \"emitter\" does not have the scope read"
    );
    assert!(
        refused
            .header("www-authenticate")
            .contains("scope=\"read\"")
    );
    for secret in [ALL, READER, EMITTER] {
        assert!(!daemon.logs().contains(secret));
        let shown = captured.rowhook.succeed(&["config", "show"]).await;
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_reload_changes_tokens_and_never_opens_the_door() {
    let Captured {
        daemon,
        mut rowhook,
        client: _client,
        database: _database,
    } = Captured::with(TABLE, with_tokens).await;
    rowhook = rowhook.set("api.token", "new-0123456789abcdef");
    daemon.signal("HUP").await;
    daemon.wait_for_log("webhooks reloaded").await;
    assert_eq!(
        Caller::with(&daemon, ALL).get("/v1/events").await.status,
        401
    );
    let renewed = Caller::with(&daemon, "new-0123456789abcdef");
    assert_eq!(renewed.get("/v1/events").await.status, 200);
    let _rowhook = rowhook.unset("api.token").unset("api.tokens");
    daemon.signal("HUP").await;
    let said = daemon.wait_for_log("takes effect after a restart").await;
    assert!(said.contains("api.token"), "{said}");
    assert_eq!(Caller::of(&daemon).get("/v1/events").await.status, 401);
}

#[tokio::test]
async fn a_foreign_page_gets_nothing_out_of_a_browser() {
    let captured = Captured::tables(TABLE).await;
    let caller = Caller::of(&captured.daemon);
    let with = async |name: &str, value: &str| {
        answer(caller.request("GET", "/v1/events").header(name, value)).await
    };
    with("host", "evil.example:8655").await.problem(421, "host");
    with("origin", "https://evil.example")
        .await
        .problem(403, "foreign_page");
    with("origin", "null").await.problem(403, "foreign_page");
    with("sec-fetch-site", "cross-site")
        .await
        .problem(403, "foreign_page");
    assert_eq!(with("host", "localhost").await.status, 200);
    assert_eq!(with("origin", &captured.daemon.api()).await.status, 200);
}
