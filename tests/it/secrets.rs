//! Secrets stay secret.

use toml::toml;

use crate::cluster::PASSWORD;
use crate::receiver::{Receiver, Reply};
use crate::served::Prepared;

#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    const TOKEN: &str = "sk_live_0123456789abcdef";
    let receiver = Receiver::start().await;
    // Receivers echo what they refuse.
    let echo = format!("not allowed: Bearer {TOKEN}");
    receiver.answer_next([
        Reply::Full(500, Vec::new(), echo.clone().into()),
        Reply::Full(413, Vec::new(), echo.into()),
        Reply::Status(410),
    ]);
    let more = toml! { order = "strict" headers = { Authorization = { env = "TEST_TOKEN" } } };
    let Prepared {
        rowhook,
        client,
        database: _database,
    } = Prepared::with(|rowhook| {
        rowhook
            .env("TEST_TOKEN", &format!("Bearer {TOKEN}"))
            .webhook_to("hook", &receiver, more)
    })
    .await;
    let mut daemon = rowhook.spawn_with(|command| {
        command.env("RUST_LOG", "debug");
    });
    daemon.wait_ready().await;
    let insert = "insert into t values (1, 0), (2, 0)";
    client.batch_execute(insert).await.unwrap();
    daemon.wait_for_log("is paused").await;
    let (_, metrics) = daemon.get("/metrics").await;

    let mut shown = vec![metrics];
    for arguments in [
        ["config", "show"].as_slice(),
        &["status", "--json"],
        &["check", "--json"],
        &["webhooks", "list"],
        &["webhooks", "test", "hook"],
    ] {
        let output = rowhook.run_command(arguments).await;
        shown.push(String::from_utf8(output.stdout).unwrap());
        shown.push(String::from_utf8(output.stderr).unwrap());
    }
    assert_eq!(daemon.stop().await, Some(0));
    shown.push(daemon.logs());
    for table in ["subscriptions", "deliveries", "checkpoint", "events"] {
        let query = format!("select coalesce(json_agg(x), '[]')::text from rowhook.{table} x");
        shown.push(client.query_one(&query, &[]).await.unwrap().get(0));
    }
    let all = shown.join("\n");
    assert!(all.contains("not allowed: Bearer [redacted]"), "{all}");
    let secret = receiver.secret();
    for secret in [
        TOKEN,
        secret.strip_prefix("whsec_").unwrap(),
        PASSWORD,
        "s3cret%3A%2F%40%20pass%25word",
    ] {
        assert!(!all.contains(secret), "{secret} is shown in\n{all}");
    }
}
