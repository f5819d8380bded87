//! The sender against TLS servers whose certificates are good, bad and somebody else's, and against
//! a resolver whose answers change.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use reqwest::dns::{Addrs, Name, Resolving};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::tests::{BODY, body, delivery, endpoint, event};
use super::*;
use crate::webhook::guard::Guard;

const HOST: &str = "hooks.test";
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Loopback, too, and another address.
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// A resolver that gives one answer after the other, and the last one from then on.
struct Answers(Mutex<Vec<Vec<IpAddr>>>);

impl Answers {
    /// No address at all is an error, as DNS has it.
    fn new(answers: &[&[IpAddr]]) -> Arc<Self> {
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

/// A CA, and files with what it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Two of one name would be taken for each other.
        let name = Uuid::from_u128(rand::random()).to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs a certificate; writes it as `NAME.pem` and its key as `NAME.key`.
    fn sign(&self, name: &str, params: CertificateParams) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate, key)
    }

    /// A client's certificate, and the settings that show it.
    fn client(&self, tls: &mut ClientTls) {
        let mut params = CertificateParams::new([]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign("client", params);
        tls.identify(&self.file("client.pem"), &self.file("client.key"))
            .unwrap();
    }

    fn trusted(&self) -> ClientTls {
        let mut tls = ClientTls::default();
        tls.trust(&self.file("ca.pem")).unwrap();
        tls
    }
}

/// A server with this certificate; with `clients`, it takes none but clients of that CA.
async fn server(
    signed: (rcgen::Certificate, KeyPair),
    clients: Option<&Authority>,
) -> (Url, Arc<AtomicUsize>) {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let (certificate, key) = signed;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let builder = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            ServerConfig::builder().with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = builder.with_single_cert(vec![certificate.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let url = format!("https://{HOST}:{}/", listener.local_addr().unwrap().port());
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                answer(&mut stream, &count).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    (url.parse().unwrap(), requests)
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

async fn answer(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), count: &AtomicUsize) {
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

fn sender(url: &Url, tls: ClientTls, deny: &[&str], names: Arc<Answers>) -> Sender {
    let deny = deny.iter().map(|word| word.parse().unwrap()).collect();
    let endpoint = Endpoint {
        tls,
        guard: Guard::new(deny, Vec::new()),
        ..endpoint(url.clone())
    };
    Sender::with_names(&endpoint, names).unwrap()
}

async fn send(sender: &Sender) -> Outcome {
    sender.send(&event(), &delivery(), body()).await
}

async fn send_tls(url: &Url, tls: ClientTls) -> Outcome {
    send(&sender(url, tls, &[], Answers::new(&[&[LOOPBACK]]))).await
}

fn host() -> CertificateParams {
    CertificateParams::new([HOST.to_owned()]).unwrap()
}

const DELIVERED: Outcome = Outcome::Delivered { status: 200 };

#[track_caller]
fn assert_unreachable(outcome: &Outcome, wanted: Cause, words: &str) {
    let Outcome::Unreachable { cause, detail } = outcome else {
        panic!("an answer came: {outcome:?}");
    };
    assert_eq!(*cause, wanted, "{detail}");
    assert!(detail.contains(words), "{words:?} in {detail}");
}

#[tokio::test]
async fn a_ca_of_one_s_own_is_trusted_and_nobody_else_s() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let (url, requests) = server(own.sign("server", host()), None).await;
    assert_eq!(send_tls(&url, own.trusted()).await, DELIVERED);
    let outcome = send_tls(&url, foreign.trusted()).await;
    assert_unreachable(&outcome, Cause::Tls, "UnknownIssuer");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_of_another_host_is_not_taken() {
    let authority = Authority::new();
    let mut expired = host();
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2020, 2, 1);
    let elsewhere = CertificateParams::new(["elsewhere.test".to_owned()]).unwrap();
    for (name, params, words) in [
        ("expired", expired, "expired"),
        ("elsewhere", elsewhere, "not valid for name"),
    ] {
        let (url, requests) = server(authority.sign(name, params), None).await;
        let outcome = send_tls(&url, authority.trusted()).await;
        assert_unreachable(&outcome, Cause::Tls, words);
        assert_eq!(requests.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_server_that_demands_a_client_s_certificate_gets_the_right_one() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let (url, requests) = server(own.sign("server", host()), Some(&own)).await;
    let without = send_tls(&url, own.trusted()).await;
    assert_unreachable(&without, Cause::Tls, "CertificateRequired");
    let mut tls = own.trusted();
    foreign.client(&mut tls);
    let outcome = send_tls(&url, tls).await;
    assert_unreachable(&outcome, Cause::Tls, "fatal alert");
    let mut tls = own.trusted();
    own.client(&mut tls);
    assert_eq!(send_tls(&url, tls).await, DELIVERED);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_handshake_that_nobody_answers_times_out() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint {
        tls: Authority::new().trusted(),
        timeout: Duration::from_millis(100),
        ..endpoint(format!("https://{LOOPBACK}:{port}/").parse().unwrap())
    };
    let outcome = send(&Sender::new(&endpoint).unwrap()).await;
    assert_unreachable(&outcome, Cause::Timeout, "no answer within 100ms");
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

#[test]
fn a_file_that_cannot_be_used_is_named_and_not_quoted() {
    let authority = Authority::new();
    let other = authority.sign("other", host()).1;
    authority.sign("client", host());
    let file = |name: &str| authority.file(name);
    std::fs::write(file("garbage"), "hunter2").unwrap();
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nhunter2=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(file("locked"), locked).unwrap();
    let trust = |name: &str| ClientTls::default().trust(&file(name)).unwrap_err();
    let identify = |cert: &str, key: &str| {
        let mut tls = ClientTls::default();
        let error = tls.identify(&file(cert), &file(key)).unwrap_err();
        assert!(tls.key_file().is_none());
        error
    };
    for (error, name, words) in [
        (trust("absent"), "absent", "No such file"),
        (trust("garbage"), "garbage", "holds no certificate"),
        (
            identify("garbage", "client.key"),
            "garbage",
            "holds no certificate",
        ),
        (
            identify("client.pem", "garbage"),
            "garbage",
            "holds no private key",
        ),
        (identify("client.pem", "locked"), "locked", "is encrypted"),
        (
            identify("client.pem", "other.key"),
            "other.key",
            "does not belong",
        ),
        (identify("client.pem", "absent"), "absent", "No such file"),
    ] {
        assert!(error.contains(name) && error.contains(words), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let mut tls = authority.trusted();
    authority.client(&mut tls);
    let shown = format!("{tls:?}");
    assert!(
        !shown.contains("BEGIN") && !shown.contains(&other.serialize_pem()),
        "{shown}"
    );
}
