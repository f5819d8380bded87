//! Secrets stay secret.

use toml::{Table, Value, toml};

use crate::cluster::PASSWORD;
use crate::receiver::{Receiver, Reply};
use crate::served::Prepared;
use crate::tls_front::{Authority, TlsFront};

const TOKEN: &str = "sk_live_0123456789abcdef";
const PATH_TOKEN: &str = "T01B02XhYpW81hZq9";
const QUERY_TOKEN: &str = "qk_0123456789abcdef";
/// `me:` and the password, in base64.
const BASIC: &str = "bWU6aHVudGVyMmh1bnRlcjI=";
const BASIC_PASSWORD: &str = "hunter2hunter2";
const ED25519: &str = "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc=";

/// A webhook with every kind of secret, to a receiver that echoes them: receivers do that with what
/// they refuse.
fn hook(receiver: &Receiver) -> Table {
    let hmac = receiver.secret();
    let echo = format!(
        "cannot POST /hook/{PATH_TOKEN}?key={QUERY_TOKEN} by Bearer {TOKEN} or {BASIC} or \
         {BASIC_PASSWORD}, expected {hmac} or whsk_{ED25519}"
    );
    receiver.answer_next([
        Reply::Full(500, Vec::new(), echo.clone().into()),
        Reply::Full(413, Vec::new(), echo.into()),
        Reply::Status(410),
    ]);
    let mut more = toml! {
        order = "strict"
        headers = { Authorization = { env = "TEST_TOKEN" }, X-Basic = { env = "TEST_BASIC" } }
    };
    let url = format!("{}/{PATH_TOKEN}?key={QUERY_TOKEN}", receiver.url());
    more.insert("url".into(), url.into());
    let secrets = vec![hmac, format!("whsk_{ED25519}")];
    more.insert("secret".into(), secrets.into());
    more
}

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let (receiver, behind) = (Receiver::start().await, Receiver::start().await);
    let authority = Authority::new("authority");
    let front = TlsFront::before(&behind, &authority).await;
    let mut client_key = String::new();
    let Prepared {
        rowhook,
        client,
        database: _database,
    } = Prepared::with(|rowhook| {
        let directory = rowhook.directory();
        authority.write(&directory.join("ca.pem"));
        let (_, key) = authority.write_client(directory);
        client_key = std::fs::read_to_string(key).unwrap();
        let mut tls = toml! {
            tls = { ca_file = "ca.pem", client_cert_file = "client.pem", client_key_file = "client.key" }
        };
        tls.insert("url".into(), Value::from(front.url()));
        rowhook
            .env("TEST_TOKEN", &format!("Bearer {TOKEN}"))
            .env("TEST_BASIC", &format!("Basic {BASIC}"))
            .webhook_to("hook", &receiver, hook(&receiver))
            .webhook_to("tls", &behind, tls)
    })
    .await;
    let mut daemon = rowhook.spawn_with(|command| {
        command.env("RUST_LOG", "trace");
    });
    daemon.wait_ready().await;
    let insert = "insert into t values (1, 0), (2, 0)";
    client.batch_execute(insert).await.unwrap();
    daemon.wait_for_log("is paused").await;
    behind.wait_for_count(2).await;

    let mut shown = Vec::new();
    for page in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/.well-known/rowhook/jwks.json",
    ] {
        shown.push(daemon.get(page).await.1);
    }
    for arguments in [
        ["config", "show"].as_slice(),
        &["config", "show", "--json"],
        &["status"],
        &["status", "--json"],
        &["check", "--json"],
        &["webhooks", "list"],
        &["webhooks", "jwks"],
        &["webhooks", "test", "hook"],
        &["webhooks", "test", "tls", "--json"],
    ] {
        let output = rowhook.run_command(arguments).await;
        shown.push(String::from_utf8(output.stdout).unwrap());
        shown.push(String::from_utf8(output.stderr).unwrap());
    }
    assert_eq!(daemon.stop().await, Some(0));
    shown.push(daemon.logs());
    let query = "select oid::regclass::text from pg_class
                  where relnamespace = 'rowhook'::regnamespace and relkind in ('r', 'p', 'v')";
    let tables = client.query(query, &[]).await.unwrap();
    assert!(tables.len() > 4);
    for table in tables {
        let table: &str = table.get(0);
        let query = format!("select coalesce(json_agg(x), '[]')::text from {table} x");
        shown.push(client.query_one(&query, &[]).await.unwrap().get(0));
    }
    let all = shown.join("\n");
    let kept = "cannot POST /hook/[redacted]?key=[redacted] by Bearer [redacted]";
    assert!(all.contains(kept), "{all}");
    assert!(all.contains(r#""level":"TRACE""#));
    let hmac = receiver.secret();
    let mut secrets = vec![
        TOKEN,
        PATH_TOKEN,
        QUERY_TOKEN,
        BASIC,
        BASIC_PASSWORD,
        ED25519,
        hmac.strip_prefix("whsec_").unwrap(),
        PASSWORD,
        "s3cret%3A%2F%40%20pass%25word",
    ];
    secrets.extend(client_key.lines().filter(|line| !line.starts_with('-')));
    for secret in secrets {
        let lines = all.lines().filter(|line| line.contains(secret));
        let lines: Vec<_> = lines.take(3).collect();
        assert!(lines.is_empty(), "{secret} is shown: {lines:#?}");
    }
}
