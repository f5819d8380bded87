//! The sender against receivers that answer well, badly, endlessly or not at all.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use super::*;
use crate::event::{Action, OldRow, Origin};
use crate::fault::Kind;
use crate::secret::Secret;
use crate::wal::Lsn;
use crate::webhook::Format;
use crate::webhook::guard::Guard;
use crate::webhook::sign::{SigningKey, signature_header};

/// Far beyond what a test takes: a request that ends by it has hung.
const AMPLE: Duration = Duration::from_secs(30);

/// What a receiver writes after it has read the request.
#[derive(Clone, Copy)]
enum Reply {
    /// This, and then it ends the connection.
    Text(&'static str),
    /// This, and then nothing, while the connection stays open.
    Stall(&'static str),
    /// This, and then bytes until nobody takes them any more.
    Endless(&'static str),
}

/// A receiver that answers every request alike; the channel gives each request's text.
async fn receiver(reply: Reply) -> (Url, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (requests, seen) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let request = read_request(&mut stream).await;
            let _ = requests.send(request);
            tokio::spawn(answer(stream, reply));
        }
    });
    (url.parse().unwrap(), seen)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.ends_with(BODY) {
        let read = stream.read(&mut buffer).await.unwrap();
        assert_ne!(read, 0, "the request broke off: {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    text
}

async fn answer(mut stream: TcpStream, reply: Reply) {
    let (Reply::Text(text) | Reply::Stall(text) | Reply::Endless(text)) = reply;
    stream.write_all(text.as_bytes()).await.unwrap();
    match reply {
        Reply::Text(_) => {}
        Reply::Stall(_) => std::future::pending().await,
        Reply::Endless(_) => while stream.write_all(&[b'x'; 8192]).await.is_ok() {},
    }
}

pub(super) const BODY: &str = r#"{"id":"x"}"#;

pub(super) fn body() -> Body {
    Body {
        content_type: "application/json",
        headers: vec![("ce-subject", "a b".to_owned())],
        trace: None,
        bytes: Bytes::from_static(BODY.as_bytes()),
    }
}

pub(super) fn event() -> Event {
    Event {
        sequence_id: 1,
        event_id: Uuid::from_u128(0x11),
        event_type: Arc::from("posts.created"),
        resource: Arc::from("posts"),
        resource_id: Some("1".into()),
        action: Action::Created,
        created_at: 0,
        record: None,
        previous: None,
        context: None,
        data: None,
        tenant: None,
        related: None,
        old_row: OldRow::Absent,
        unknown: Vec::new(),
        as_text: Vec::new(),
        erased_at: None,
        origin: Origin {
            schema: Arc::from("public"),
            table: Arc::from("posts"),
            xid: 1,
            commit_lsn: Lsn(1),
            index: 0,
        },
    }
}

pub(super) fn delivery() -> Delivery {
    Delivery {
        id: Uuid::from_u128(0x22),
        attempt: 3,
        replay: None,
    }
}

pub(super) fn endpoint(url: Url) -> Endpoint {
    Endpoint {
        name: "billing".to_owned(),
        url,
        format: Format::Rowhook,
        payload: crate::webhook::Payload::default(),
        keys: Vec::new(),
        headers: Vec::new(),
        timeout: AMPLE,
        tls: ClientTls::default(),
        guard: Guard::default(),
    }
}

async fn send(endpoint: &Endpoint) -> Outcome {
    Sender::new(endpoint)
        .unwrap()
        .send(&event(), &delivery(), body())
        .await
}

async fn answered(reply: Reply) -> Outcome {
    let (url, _requests) = receiver(reply).await;
    send(&endpoint(url)).await
}

fn refused(status: u16, retry_after: Option<u64>, excerpt: &str) -> Outcome {
    Outcome::Refused {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        excerpt: excerpt.to_owned(),
    }
}

fn cause(outcome: &Outcome) -> Cause {
    match outcome {
        Outcome::Unreachable { cause, .. } => *cause,
        other => panic!("an answer came: {other:?}"),
    }
}

#[tokio::test]
async fn a_2xx_is_a_delivery() {
    let outcome = answered(Reply::Text("HTTP/1.1 204 No Content\r\n\r\n")).await;
    assert_eq!(outcome, Outcome::Delivered { status: 204 });
}

#[tokio::test]
async fn a_refusal_keeps_its_status_and_how_its_body_begins() {
    let outcome = answered(Reply::Text(
        "HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\nbroken",
    ))
    .await;
    assert_eq!(outcome, refused(500, None, "broken"));
}

#[tokio::test]
async fn retry_after_is_read() {
    let outcome = answered(Reply::Text(
        "HTTP/1.1 429 Slow\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    assert_eq!(outcome, refused(429, Some(17), ""));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let outcome = answered(Reply::Text(
        "HTTP/1.1 307 Away\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    assert_eq!(outcome, refused(307, None, ""));
}

#[tokio::test]
async fn a_receiver_that_never_answers_times_out() {
    let (url, _requests) = receiver(Reply::Stall("")).await;
    let started = Instant::now();
    let outcome = send(&Endpoint {
        timeout: Duration::from_millis(100),
        ..endpoint(url)
    })
    .await;
    assert_eq!(cause(&outcome), Cause::Timeout);
    assert_eq!(outcome.to_string(), "timeout: no answer within 100ms");
    assert!(started.elapsed() < AMPLE);
}

#[tokio::test]
async fn a_body_that_stalls_does_not_undo_the_status() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx";
    let started = Instant::now();
    let outcome = answered(Reply::Stall(head)).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    assert!(started.elapsed() < AMPLE);

    let (url, _requests) = receiver(Reply::Stall(
        "HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\nwait",
    ))
    .await;
    let hasty = Endpoint {
        timeout: Duration::from_millis(900),
        ..endpoint(url)
    };
    assert_eq!(send(&hasty).await, refused(503, None, "wait"));
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let outcome = answered(Reply::Endless("HTTP/1.1 200 OK\r\n\r\n")).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
    let outcome = answered(Reply::Endless("HTTP/1.1 500 Oops\r\n\r\n")).await;
    assert_eq!(outcome, refused(500, None, &"x".repeat(512)));
}

#[tokio::test]
async fn a_connection_that_ends_early_is_broken() {
    for text in ["", "HTTP/1.1 200 OK\r\ncontent-le", "220 smtp.example\r\n"] {
        let outcome = answered(Reply::Text(text)).await;
        assert_eq!(cause(&outcome), Cause::Broken, "{text:?} {outcome}");
    }
    // The status had come; only its body did not.
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx";
    let outcome = answered(Reply::Text(cut)).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn a_refused_connection_names_the_cause_and_not_the_url() {
    // Held, so that nobody else takes the port, and not listened on.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let url = format!("http://me:hunter2@{address}/hunter2?token=hunter2");
    let outcome = send(&endpoint(url.parse().unwrap())).await;
    assert_eq!(cause(&outcome), Cause::Connect);
    assert!(outcome.to_string().contains("refused"), "{outcome}");
    assert!(!outcome.to_string().contains("hunter2"), "{outcome}");
}

#[tokio::test]
async fn a_host_without_an_address_is_a_dns_failure() {
    // A label of more than 63 bytes is turned down before any server is asked.
    let url = format!("http://{}.invalid/", "a".repeat(64));
    let outcome = send(&endpoint(url.parse().unwrap())).await;
    assert_eq!(cause(&outcome), Cause::Dns, "{outcome}");
}

#[tokio::test]
async fn a_receiver_without_tls_is_a_tls_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream, Reply::Stall("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    });
    let endpoint = endpoint(url.parse().unwrap());
    // The machine may have no CA certificates: then there is no sender, and the error says why.
    match Sender::new(&endpoint) {
        Ok(_) => assert_eq!(cause(&send(&endpoint).await), Cause::Tls),
        Err(fault) => assert!(fault.to_string().contains("ca-certificates"), "{fault}"),
    }
}

#[tokio::test]
async fn a_request_carries_its_headers_and_a_signature_that_verifies() {
    let (url, mut requests) = receiver(Reply::Text("HTTP/1.1 200 OK\r\n\r\n")).await;
    let key = SigningKey::parse(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap();
    let endpoint = Endpoint {
        keys: vec![key.clone(), key],
        headers: vec![("Authorization".to_owned(), Secret::new("Bearer token-1"))],
        ..endpoint(url)
    };
    let outcome = send(&endpoint).await;
    assert_eq!(outcome, Outcome::Delivered { status: 200 });

    let request = requests.recv().await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    let header = |name: &str| {
        let mut lines = request.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let event_id = event().event_id.to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("rowhook/", env!("CARGO_PKG_VERSION"))),
        ("authorization", "Bearer token-1"),
        ("webhook-id", &event_id),
        ("x-rowhook-event", "posts.created"),
        ("x-rowhook-event-id", &event_id),
        ("x-rowhook-delivery", "00000000-0000-0000-0000-000000000022"),
        ("x-rowhook-attempt", "3"),
        ("x-rowhook-subscription", "billing"),
        ("ce-subject", "a%20b"),
    ] {
        assert_eq!(header(name), Some(value), "{name}");
    }
    let timestamp: u64 = header("webhook-timestamp").unwrap().parse().unwrap();
    assert!(timestamp.abs_diff(u64::try_from(Timestamp::now().as_second()).unwrap()) < 60);
    let expected = signature_header(&endpoint.keys, &event_id, timestamp, BODY.as_bytes());
    assert_eq!(header("webhook-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_a_fault_of_the_settings() {
    for (name, value) in [
        ("bad name", "hunter2"),
        ("x-ok", "hunter2\n"),
        ("Webhook-Id", "hunter2"),
        ("content-type", "hunter2"),
    ] {
        let endpoint = Endpoint {
            headers: vec![(name.to_owned(), Secret::new(value))],
            ..endpoint("http://127.0.0.1:1/".parse().unwrap())
        };
        let fault = Sender::new(&endpoint).unwrap_err();
        assert_eq!(fault.kind(), Kind::Settings);
        let text = fault.to_string();
        assert!(
            text.contains("\"billing\"") && text.contains(name),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}
