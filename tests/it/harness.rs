//! The harness itself: what the other tests stand on has to hold without the daemon.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::audit::{self, Audited, Change};
use crate::cluster::{Cluster, Database, Stop};
use crate::patience::PATIENCE;
use crate::receiver::{Gate, Receiver, Reply};

#[tokio::test]
async fn databases_of_the_shared_cluster_do_not_see_each_other() {
    let (one, two) = tokio::join!(Database::create(), Database::create());
    assert_ne!(one.name, two.name);
    let client = one.client().await;
    client
        .batch_execute("create table t (id int)")
        .await
        .unwrap();
    let other = two.client().await;
    assert!(other.batch_execute("select from t").await.is_err());
}

#[tokio::test]
async fn tcp_asks_for_the_password_and_the_socket_does_not() {
    let database = Database::create().await;
    let socket = tokio_postgres::connect(&database.socket_url(), tokio_postgres::NoTls).await;
    assert!(socket.is_ok());
    let good = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await;
    assert!(good.is_ok());
    let url = database.cluster.url_without_password(&database.name);
    let bad = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    assert!(bad.is_err());
}

#[tokio::test]
async fn a_cluster_survives_restarts_and_leaves_nothing_behind() {
    let cluster = Arc::new(Cluster::start(&["wal_sender_timeout=2s"]).await);
    let directory = cluster.socket_directory().to_owned();
    let database = Database::create_in(&cluster).await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int); insert into t values (1)")
        .await
        .unwrap();
    for how in [Stop::Fast, Stop::Immediate] {
        cluster.restart(how).await;
        let client = database.client().await;
        let row = client.query_one("select count(*) from t", &[]).await;
        assert_eq!(row.unwrap().get::<_, i64>(0), 1);
    }
    drop(database);
    drop(cluster);
    assert!(!directory.exists());
}

#[tokio::test]
async fn the_audit_tells_what_is_missing_and_what_is_wrong() {
    let table = Audited {
        table: "public.t",
        key: &["id"],
    };
    let database = Database::create().await;
    let client = database.client().await;
    client
        .batch_execute("create table t (id int primary key, v text)")
        .await
        .unwrap();
    audit::install(&client, &[table]).await;
    // One by one: several statements in one call are one transaction.
    for statement in [
        "insert into t values (1, 'a'), (2, 'b')",
        "update t set v = 'c' where id = 1",
        "begin; delete from t; rollback",
        "delete from t where id = 2",
    ] {
        client.batch_execute(statement).await.unwrap();
    }
    let happened = audit::changes(&client).await;
    assert_eq!(happened.len(), 4);
    assert!(audit::compare(&[table], happened.clone(), happened.clone()).is_ok());

    let missing = happened[..3].to_vec();
    let difference = audit::compare(&[table], happened.clone(), missing).unwrap_err();
    assert!(
        difference.contains("4 changes happened, 3 were logged"),
        "{difference}"
    );
    assert!(difference.contains("logged: nothing"), "{difference}");

    let mut twice = happened.clone();
    twice.push(happened[3].clone());
    assert!(audit::compare(&[table], happened.clone(), twice).is_err());

    let mut other_value = happened.clone();
    other_value[2] = Change {
        new: Some(r#"{"v": "d", "id": 1}"#.into()),
        ..other_value[2].clone()
    };
    let difference = audit::compare(&[table], happened.clone(), other_value).unwrap_err();
    assert!(
        difference.contains("first difference at change 1"),
        "{difference}"
    );

    // Rows are independent of each other; the changes of one row are not.
    let mut swapped_rows = happened.clone();
    swapped_rows.swap(0, 1);
    assert!(audit::compare(&[table], happened.clone(), swapped_rows).is_ok());
    let mut swapped_changes = happened.clone();
    swapped_changes.swap(0, 2);
    assert!(audit::compare(&[table], happened, swapped_changes).is_err());
}

#[tokio::test]
async fn the_receiver_does_what_the_script_says() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.answer_next([
        Reply::with_header(503, "Retry-After", "7"),
        Reply::Reset,
        Reply::Garbage(Bytes::from_static(b"\0\x01not http\r\n\r\n")),
        Reply::Hang,
        Reply::Held(gate.clone(), Box::new(Reply::Status(204))),
    ]);
    let client = reqwest_client();
    let post = |body: &'static str| client.post(receiver.url()).body(body).send();

    let busy = post("{}").await.unwrap();
    assert_eq!(busy.status(), 503);
    assert_eq!(busy.headers()["retry-after"], "7");
    assert!(post("{}").await.is_err());
    assert!(post("{}").await.is_err());
    let hasty = client.post(receiver.url()).body("{}");
    let hasty = hasty.timeout(Duration::from_millis(500)).send();
    assert!(hasty.await.unwrap_err().is_timeout());
    let held = async {
        receiver.wait_for_count(5).await;
        gate.open();
    };
    let (held, ()) = tokio::join!(post(r#"{"event":{"resourceId":"9"}}"#), held);
    assert_eq!(held.unwrap().status(), 204);
    assert_eq!(post("{}").await.unwrap().status(), 200);

    let requests = receiver.requests();
    assert_eq!(requests.len(), 6);
    assert_eq!(requests[4].resource_id, "9");
    assert!(requests[4].accepted());
    assert!(!requests[0].accepted() && !requests[0].signed);
}

#[tokio::test]
async fn the_receiver_knows_a_good_signature_from_a_bad_one() {
    use base64::Engine as _;
    use hmac::{KeyInit, Mac};

    let receiver = Receiver::start().await;
    let encoding = base64::engine::general_purpose::STANDARD;
    let secret = receiver.secret();
    let key = encoding
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let client = reqwest_client();
    for (timestamp, body) in [(now, "{}"), (now, "{ }"), (now - 3600, "{}")] {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("id.{timestamp}.{{}}").as_bytes());
        let signature = encoding.encode(mac.finalize().into_bytes());
        client
            .post(receiver.url())
            .header("webhook-id", "id")
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", format!("v1,AAAA v1,{signature}"))
            .body(body)
            .send()
            .await
            .unwrap();
    }
    let signed: Vec<bool> = receiver.requests().iter().map(|r| r.signed).collect();
    assert_eq!(signed, [true, false, false]);
}

fn reqwest_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap()
}
