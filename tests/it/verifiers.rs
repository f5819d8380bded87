//! Receivers that others wrote the verification of take real requests.
//!
//! `tests/run.sh` installs what they need and says where it is; without that these tests are
//! skipped, and say so.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use toml::Table;

use crate::patience::PATIENCE;
use crate::receiver::Receiver;
use crate::served::{Served, accepted};

/// A receiver from `examples/`, running.
pub(crate) struct Example {
    pub(crate) url: String,
    printed: Lines<BufReader<ChildStdout>>,
    // Kept, so that it can go on complaining.
    complaints: Lines<BufReader<ChildStderr>>,
    _process: Child,
}

impl Example {
    pub(crate) async fn start(mut command: Command, secret: &str) -> Self {
        let mut process = command
            .env("WEBHOOK_SECRET", secret)
            .env("PORT", "0")
            .env("NO_COLOR", "1")
            .env("PYTHONIOENCODING", "utf-8")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let printed = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut complaints = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = String::new();
        let url = loop {
            let Some(line) = next(&mut complaints).await else {
                panic!("{command:?} ended:\n{seen}");
            };
            if let Some(url) = line.strip_prefix("listening on ") {
                break format!("{}/hook", url.trim_end_matches('/'));
            }
            seen.push_str(&line);
            seen.push('\n');
        };
        Self {
            url,
            printed,
            complaints,
            _process: process,
        }
    }

    /// The next event's line. Panics if the receiver refuses a request instead.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::select! {
            line = next(&mut self.printed) => line,
            complaint = next(&mut self.complaints) => panic!("the receiver says: {complaint:?}"),
        };
        line.expect("the receiver ended")
    }
}

async fn next<R: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Option<String> {
    tokio::time::timeout(PATIENCE, lines.next_line())
        .await
        .expect("no line from the receiver")
        .unwrap()
}

/// What `tests/run.sh` installed; `None`, and a word about it, where it did not run.
pub(crate) fn installed(variable: &str) -> Option<OsString> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("SKIPPED: {variable} is not set; run tests/run.sh");
    }
    value
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(path)
}

/// Any bytes make a secret, those that base64 writes with `+` and `/` included.
fn secret(seed: u8) -> String {
    let bytes = [seed, 0xfb, 0xff, 0xbf].repeat(8);
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("whsec_{encoded}")
}

async fn takes_real_requests(receiver: Command) {
    let (old, current) = (secret(1), secret(2));
    let mut receiver = Example::start(receiver, &current).await;
    let mut webhook = Table::new();
    webhook.insert("name".into(), "hook".into());
    webhook.insert("url".into(), receiver.url.clone().into());
    webhook.insert("start".into(), "beginning".into());
    // As while secrets rotate: the receiver knows the second one alone.
    webhook.insert("secret".into(), vec![old, current].into());
    let served = Served::with(|rowhook| rowhook.webhook(webhook)).await;
    for change in [
        "alter table t add column note text",
        r#"insert into t values (1, 10, 'Grüße, "you" \ 🙂')"#,
        "update t set v = 20",
        "delete from t",
    ] {
        served.execute(change).await;
    }
    let created = receiver.line().await;
    assert!(created.starts_with("t.created 1  "), "{created}");
    assert!(created.contains("Grüße"), "{created}");
    assert_eq!(receiver.line().await, "t.updated 1  v: 10 → 20");
    let deleted = receiver.line().await;
    assert!(deleted.starts_with("t.deleted 1  "), "{deleted}");
    served.wait_for_cursor("hook", 3).await;
    assert!(served.deliveries().await.is_empty());
}

#[tokio::test]
async fn the_python_library_verifies_real_requests() {
    let Some(python) = installed("ROWHOOK_TEST_PYTHON") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(example("receivers/python/receiver.py"));
    takes_real_requests(command).await;
}

#[tokio::test]
async fn the_node_library_verifies_real_requests() {
    let Some(directory) = installed("ROWHOOK_TEST_NODE_RECEIVER") else {
        return;
    };
    let mut command = Command::new("node");
    command.arg(Path::new(&directory).join("receiver.mjs"));
    takes_real_requests(command).await;
}

#[tokio::test]
async fn the_rust_example_verifies_real_requests() {
    // Cargo builds examples along with the tests, next to the binary.
    let binary = Path::new(env!("CARGO_BIN_EXE_rowhook"));
    let receiver = binary.parent().unwrap().join("examples/receiver");
    if !receiver.exists() {
        eprintln!("SKIPPED: {} is not built", receiver.display());
        return;
    }
    takes_real_requests(Command::new(receiver)).await;
}

/// A real request, signed by an HMAC secret and two ed25519 keys, and what it is verified with.
async fn signed_three_times() -> Value {
    let receiver = Receiver::start().await;
    let keys = [1, 2].map(|seed: u8| {
        let encoded = base64::engine::general_purpose::STANDARD.encode([seed; 32]);
        format!("whsk_{encoded}")
    });
    let secrets = [keys[0].clone(), receiver.secret(), keys[1].clone()];
    let mut more = Table::new();
    more.insert("secret".into(), secrets.to_vec().into());
    let served = Served::to(&receiver, more).await;
    served.insert(1, 1).await;
    let request = accepted(&receiver, 1).await.remove(0);
    let (_, jwks) = served.daemon.get("/.well-known/rowhook/jwks.json").await;
    let headers = request.headers.into_iter();
    let headers: Map<String, Value> = headers.map(|(name, value)| (name, value.into())).collect();
    json!({
        "headers": headers,
        "body": base64::engine::general_purpose::STANDARD.encode(request.body),
        "secret": receiver.secret(),
        "jwks": serde_json::from_str::<Value>(&jwks).unwrap(),
    })
}

async fn assert_verified_by(mut verifier: Command, libraries: &[&str]) {
    let request = signed_three_times().await;
    let mut process = verifier
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{verifier:?}: {error}"));
    let mut input = process.stdin.take().unwrap();
    input
        .write_all(request.to_string().as_bytes())
        .await
        .unwrap();
    drop(input);
    let output = tokio::time::timeout(PATIENCE, process.wait_with_output());
    let output = output.await.expect("the verifier does not end").unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed, libraries, "{complaints}");
}

fn verifier(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/verifiers")
        .join(path)
}

#[tokio::test]
async fn python_s_libraries_verify_signatures_of_both_kinds_with_the_published_keys() {
    let Some(python) = installed("ROWHOOK_TEST_PYTHON") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(verifier("verify.py"));
    let libraries = ["standardwebhooks", "svix", "joserfc", "cryptography"];
    assert_verified_by(command, &libraries).await;
}

#[tokio::test]
async fn node_s_libraries_verify_signatures_of_both_kinds_with_the_published_keys() {
    let Some(directory) = installed("ROWHOOK_TEST_NODE_VERIFIER") else {
        return;
    };
    let mut command = Command::new("node");
    command.arg(Path::new(&directory).join("verify.mjs"));
    assert_verified_by(command, &["standardwebhooks", "svix", "jose"]).await;
}
