//! The sender against names whose addresses change, and addresses that are denied.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::dns::{Addrs, Name, Resolving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tests::{BODY, body, delivery, endpoint, event};
use super::*;
use crate::webhook::guard::Guard;

pub(super) const HOST: &str = "hooks.test";
pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Loopback, too, and another address.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A resolver that gives one answer after the other, and the last one from then on.
pub(super) struct Answers(Mutex<Vec<Vec<IpAddr>>>);

impl Answers {
    /// No address at all is an error, as DNS has it.
    pub(super) fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
        let answers = answers.iter().rev().map(|answer| answer.to_vec());
        Arc::new(Self(Mutex::new(answers.collect())))
    }
}

impl Resolve for Answers {
    fn resolve(&self, _name: Name) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop().unwrap(),
        };
        Box::pin(async move {
            if answer.is_empty() {
                return Err("no such host".into());
            }
            let addresses = answer.into_iter().map(|address| (address, 0_u16).into());
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

/// A server without TLS at this address; it ends each connection after one answer.
async fn plain(address: IpAddr, port: u16) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            answer(&mut stream, &count).await;
        }
    });
    (port, requests)
}

pub(super) async fn answer(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    count: &AtomicUsize,
) {
    let mut text = Vec::new();
    while !text.ends_with(BODY.as_bytes()) {
        match stream.read_buf(&mut text).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
    count.fetch_add(1, Ordering::SeqCst);
    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let _ = stream.write_all(answer).await;
}

pub(super) fn sender(url: &Url, tls: ClientTls, deny: &[&str], names: Arc<Answers>) -> Sender {
    let deny = deny.iter().map(|word| word.parse().unwrap()).collect();
    let endpoint = Endpoint {
        tls,
        guard: Guard::new(deny, Vec::new()),
        ..endpoint(url.clone())
    };
    Sender::with_names(&endpoint, names).unwrap()
}

pub(super) async fn send(sender: &Sender) -> Outcome {
    sender.send(&event(), &delivery(), body()).await
}

pub(super) const DELIVERED: Outcome = Outcome::Delivered { status: 200 };

#[track_caller]
pub(super) fn assert_unreachable(outcome: &Outcome, wanted: Cause, words: &str) {
    let Outcome::Unreachable { cause, detail } = outcome else {
        panic!("an answer came: {outcome:?}");
    };
    assert_eq!(*cause, wanted, "{detail}");
    assert!(detail.contains(words), "{words:?} in {detail}");
}

#[tokio::test]
async fn a_name_without_an_address_is_asked_again_and_works_once_it_has_one() {
    let (port, _requests) = plain(LOOPBACK, 0).await;
    let url = format!("http://{HOST}:{port}/").parse().unwrap();
    let names = Answers::new(&[&[], &[LOOPBACK]]);
    let sender = sender(&url, ClientTls::default(), &[], names);
    assert_unreachable(&send(&sender).await, Cause::Dns, "no such host");
    assert_eq!(send(&sender).await, DELIVERED);
}

#[tokio::test]
async fn a_name_that_moves_to_a_denied_address_is_not_followed_there() {
    let (port, requests) = plain(LOOPBACK, 0).await;
    let (_, elsewhere) = plain(OTHER, port).await;
    let url = format!("http://{HOST}:{port}/").parse().unwrap();
    let names = Answers::new(&[&[LOOPBACK], &[OTHER]]);
    let sender = sender(&url, ClientTls::default(), &["127.0.0.2"], names);
    assert_eq!(send(&sender).await, DELIVERED);
    let outcome = send(&sender).await;
    assert_unreachable(&outcome, Cause::Denied, "\"127.0.0.2\"");
    assert!(!outcome.is_of_the_event());
    assert!(!outcome.to_string().contains(HOST), "{outcome}");
    let counts = [&requests, &elsewhere].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 0]);
}

#[tokio::test]
async fn of_addresses_of_both_kinds_the_allowed_one_is_connected_to() {
    let (port, requests) = plain(LOOPBACK, 0).await;
    let (_, denied) = plain(OTHER, port).await;
    let url = format!("http://{HOST}:{port}/").parse().unwrap();
    let names = Answers::new(&[&[OTHER, LOOPBACK]]);
    let sender = sender(&url, ClientTls::default(), &["127.0.0.2"], names);
    assert_eq!(send(&sender).await, DELIVERED);
    let counts = [&requests, &denied].map(|count| count.load(Ordering::SeqCst));
    assert_eq!(counts, [1, 0]);
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_in_whatever_form_it_is_written() {
    let (port, requests) = plain(LOOPBACK, 0).await;
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "127%2e0.0.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ] {
        let url = format!("http://{host}:{port}/").parse().unwrap();
        let names = Answers::new(&[&[LOOPBACK]]);
        let sender = sender(&url, ClientTls::default(), &["loopback"], names);
        assert_unreachable(&send(&sender).await, Cause::Denied, "\"loopback\"");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_system_s_names_pass_the_guard_too() {
    let (port, requests) = plain(LOOPBACK, 0).await;
    let url: Url = format!("http://localhost:{port}/").parse().unwrap();
    let guarded = Endpoint {
        guard: Guard::new(vec!["internal".parse().unwrap()], Vec::new()),
        ..endpoint(url.clone())
    };
    let outcome = send(&Sender::new(&guarded).unwrap()).await;
    assert_unreachable(&outcome, Cause::Denied, "\"internal\"");
    assert!(matches!(
        addresses(&guarded).await,
        Err(Unresolved::Denied(_))
    ));
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    assert_eq!(send(&Sender::new(&endpoint(url)).unwrap()).await, DELIVERED);
}
