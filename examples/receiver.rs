//! A webhook receiver: verifies, drops repeats, prints one line per event.
//!
//! ```text
//! WEBHOOK_SECRET=whsec_… PORT=9000 cargo run --example receiver
//! ```

use std::collections::{HashSet, VecDeque};
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
const MAX_REMEMBERED_IDS: usize = 10_000;
/// What the Standard Webhooks specification recommends: an old request cannot be played again.
const TOLERANCE_SECONDS: u64 = 5 * 60;
const MAX_VALUE_CHARS: usize = 60;

struct Receiver {
    key: Vec<u8>,
    seen: Mutex<Seen>,
    colour: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| "WEBHOOK_SECRET is not set")?;
    let port: u16 = std::env::var("PORT").map_or(Ok(9000), |port| port.parse())?;
    let receiver = Arc::new(Receiver {
        key: STANDARD.decode(secret.trim().trim_start_matches("whsec_"))?,
        seen: Mutex::default(),
        colour: wants_colour(),
    });
    let app = Router::new()
        .fallback(post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(receiver);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

/// A terminal gets colours, a file does not, <https://bixense.com/clicolors/> decides otherwise.
fn wants_colour() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && (is_set("CLICOLOR_FORCE") || std::io::stdout().is_terminal())
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let id = match verify(&receiver.key, &headers, &body, now) {
        Ok(id) => id,
        Err(reason) => {
            eprintln!("refused: {reason}");
            return StatusCode::BAD_REQUEST;
        }
    };
    let Ok(message) = serde_json::from_slice::<Value>(&body) else {
        eprintln!("refused: the body is not JSON");
        return StatusCode::BAD_REQUEST;
    };
    let mut seen = receiver.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.is_new(id) {
        // Printed under the lock, so the order of the lines is the order of arrival. A closed pipe
        // is no reason to refuse an event.
        let line = line(
            message.get("event").unwrap_or(&Value::Null),
            receiver.colour,
        );
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    StatusCode::NO_CONTENT
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, the body as the bytes that came. Gives
/// the webhook id.
fn verify<'h>(
    key: &[u8],
    headers: &'h HeaderMap,
    body: &[u8],
    now: u64,
) -> Result<&'h str, &'static str> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let id = header("webhook-id").ok_or("no webhook-id")?;
    let timestamp = header("webhook-timestamp").ok_or("no webhook-timestamp")?;
    let signatures = header("webhook-signature").ok_or("no webhook-signature")?;

    let sent: u64 = timestamp
        .parse()
        .map_err(|_| "webhook-timestamp is not a number")?;
    if now.abs_diff(sent) > TOLERANCE_SECONDS {
        return Err("webhook-timestamp is more than five minutes away");
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| "unusable key")?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    // Several secrets sign while they rotate; one that we know is enough. `verify_slice` takes the
    // same time for every wrong signature.
    let known = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    known.then_some(id).ok_or("no signature matches")
}

/// The last webhook ids. rowhook delivers at least once: a repeat has the same id. A real receiver
/// stores the id in the transaction that does the work, so that a crash between the two can neither
/// lose nor repeat an event.
#[derive(Default)]
struct Seen {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.oldest_first.push_back(id.to_owned());
        if self.oldest_first.len() > MAX_REMEMBERED_IDS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// `orders.updated 42  status: "new" → "paid"`
fn line(event: &Value, colour: bool) -> String {
    let event_type = event.get("type").and_then(Value::as_str).unwrap_or("?");
    let id = event
        .get("resourceId")
        .and_then(Value::as_str)
        .unwrap_or("?");
    let data = event.get("data").unwrap_or(&Value::Null);
    let old = data.get("old").and_then(Value::as_object);
    let new = data.get("new").and_then(Value::as_object);
    let paint = |code: &str, text: &str| match colour {
        true => format!("\x1b[{code}m{}\x1b[0m", printable(text)),
        false => printable(text),
    };

    let fields: Vec<String> = match (old, new, data.get("changes")) {
        (Some(old), Some(new), Some(changes)) => ["added", "updated", "removed"]
            .into_iter()
            .filter_map(|kind| changes.get(kind)?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .map(|name| {
                let before = paint("31", &value(old, name));
                let after = paint("32", &value(new, name));
                format!("{}: {before} → {after}", printable(name))
            })
            .collect(),
        (old, new, _) => {
            // Without REPLICA IDENTITY FULL an update's old row is not known.
            let note = event_type
                .ends_with(".updated")
                .then(|| "(old values not known)".to_owned());
            let row = new.or(old).into_iter().flat_map(|row| {
                row.keys()
                    .map(|name| format!("{}: {}", printable(name), printable(&value(row, name))))
            });
            note.into_iter().chain(row).collect()
        }
    };
    let tint = match event_type.rsplit('.').next() {
        Some("created") => "32",
        Some("deleted") => "31",
        _ => "33",
    };
    format!(
        "{} {}  {}",
        paint(tint, event_type),
        paint("1", id),
        fields.join(", ")
    )
}

fn value(row: &Map<String, Value>, name: &str) -> String {
    let Some(value) = row.get(name) else {
        return "–".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Row data must not be able to steer the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
