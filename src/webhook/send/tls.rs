//! Whom an endpoint's certificate has to be signed by, and which certificate is shown to it.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Certificate, ClientBuilder, Identity};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

/// TLS to one endpoint. By default the system's CA certificates are trusted and none is shown.
#[derive(Clone, Default)]
pub struct ClientTls {
    roots: Option<Vec<Certificate>>,
    identity: Option<Identity>,
    trusts_anyone: bool,
    key_file: Option<PathBuf>,
    /// Digest of what the files held.
    contents: Vec<u8>,
}

/// Whoever trusts the same and shows the same is the same; files may get new contents.
impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        (&self.contents, &self.key_file, self.trusts_anyone)
            == (&other.contents, &other.key_file, other.trusts_anyone)
    }
}

impl ClientTls {
    /// Trusts the CA certificates in this PEM file, and no others: as curl's `--cacert` does.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn trust(&mut self, ca_file: &Path) -> Result<(), String> {
        let mut roots = Vec::new();
        for certificate in certificates(ca_file)? {
            let unusable = || {
                let file = ca_file.display();
                format!("{file} has a certificate that cannot be used as a CA's")
            };
            RootCertStore::empty()
                .add(certificate.clone())
                .map_err(|_| unusable())?;
            self.note(b"trusted", &certificate);
            roots.push(Certificate::from_der(&certificate).map_err(|_| unusable())?);
        }
        self.roots = Some(roots);
        Ok(())
    }

    /// Takes any certificate: for a development server, and nothing else.
    pub fn trust_anyone(&mut self) {
        self.trusts_anyone = true;
    }

    /// Shows the certificate (and the chain behind it) of one PEM file, with the private key of
    /// another one.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn identify(&mut self, cert_file: &Path, key_file: &Path) -> Result<(), String> {
        let chain = certificates(cert_file)?;
        let key = private_key(key_file)?;
        let together = chain
            .iter()
            .map(|certificate| pem("CERTIFICATE", certificate))
            .chain([pem(label(&key), key.secret_der())])
            .collect::<String>();
        let (cert, key_name) = (cert_file.display(), key_file.display());
        CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(
            |error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("the key in {key_name} does not belong to the certificate in {cert}")
                }
                _ => format!("the key in {key_name} cannot be used with the certificate in {cert}"),
            },
        )?;
        self.note(b"shown", together.as_bytes());
        let identity = Identity::from_pem(together.as_bytes());
        self.identity = Some(identity.map_err(|_| format!("{cert} cannot be used"))?);
        self.key_file = Some(key_file.to_owned());
        Ok(())
    }

    fn note(&mut self, what: &[u8], held: &[u8]) {
        let digest = Sha256::new_with_prefix(&self.contents);
        let digest = digest.chain_update(what).chain_update(held);
        self.contents = digest.finalize().to_vec();
    }

    /// Where the private key is.
    #[must_use]
    pub fn key_file(&self) -> Option<&Path> {
        self.key_file.as_deref()
    }

    pub(super) fn apply(&self, mut client: ClientBuilder) -> ClientBuilder {
        if let Some(roots) = &self.roots {
            client = client.tls_certs_only(roots.iter().cloned());
        }
        if self.trusts_anyone {
            client = client.tls_danger_accept_invalid_certs(true);
        }
        if let Some(identity) = &self.identity {
            client = client.identity(identity.clone());
        }
        client
    }
}

impl fmt::Debug for ClientTls {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("roots", &self.roots.as_ref().map(Vec::len))
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| {
        format!(
            "reading {}: {error}; name a PEM file that the daemon may read",
            path.display()
        )
    })
}

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!(
            "{} holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----",
            path.display()
        )),
        Err(_) => Err(format!("{} is broken PEM", path.display())),
    }
}

/// The parser's own error is left out: it might quote the key.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let file = path.display();
        if String::from_utf8_lossy(&bytes).contains("ENCRYPTED") {
            format!("the key in {file} is encrypted; decrypt it with `openssl pkey` first")
        } else {
            format!(
                "{file} holds no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----"
            )
        }
    })
}

fn label(key: &PrivateKeyDer<'_>) -> &'static str {
    match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{encoded}\n-----END {label}-----\n")
}
