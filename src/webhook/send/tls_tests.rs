//! The sender against TLS servers whose certificates are good, bad and somebody else's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::guard_tests::{
    Answers, DELIVERED, HOST, LOOPBACK, answer, assert_unreachable, send, sender,
};
use super::tests::endpoint;
use super::*;

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

async fn send_tls(url: &Url, tls: ClientTls) -> Outcome {
    send(&sender(url, tls, &[], Answers::new(&[&[LOOPBACK]]))).await
}

fn host() -> CertificateParams {
    CertificateParams::new([HOST.to_owned()]).unwrap()
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
