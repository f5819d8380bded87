//! A real HTTP server that records every request and answers as the test says.
//!
//! It speaks HTTP/1.1 over the bare socket, because half of what it has to do (reset, garbage, an
//! endless body, one byte at a time) is what an HTTP library exists to prevent.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::patience::PATIENCE;

/// Standard Webhooks: a verifier allows five minutes either way.
const CLOCK_TOLERANCE_SECONDS: u64 = 300;
const LARGEST_BODY: usize = 512 << 20;

/// One recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// When its last byte arrived.
    pub(crate) at: Instant,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case, in the order of the request.
    pub(crate) headers: Vec<(String, String)>,
    /// Empty if the receiver does not keep bodies.
    pub(crate) body: Bytes,
    /// Header `webhook-id`.
    pub(crate) event_id: String,
    /// `event.sequenceId` of the body, 0 if there is none.
    pub(crate) sequence_id: i64,
    /// `event.type`.
    pub(crate) event_type: String,
    /// `event.resource`.
    pub(crate) resource: String,
    /// `event.resourceId`, empty if there is none.
    pub(crate) resource_id: String,
    /// `delivery.attempt`, 0 if there is none.
    pub(crate) attempt: u64,
    /// Whether the signature fits the receiver's secret and the timestamp is of now.
    pub(crate) signed: bool,
    /// The status that was sent; `None` until then, and for replies without one.
    pub(crate) answered: Option<u16>,
}

impl Received {
    /// A request that nobody sent, for tests of what looks at requests.
    pub(crate) fn example(sequence_id: i64, event_id: &str, answered: u16) -> Self {
        Self {
            at: Instant::now(),
            method: "POST".into(),
            path: "/hook".into(),
            headers: Vec::new(),
            body: Bytes::new(),
            event_id: event_id.into(),
            sequence_id,
            event_type: String::new(),
            resource: String::new(),
            resource_id: String::new(),
            attempt: 1,
            signed: true,
            answered: Some(answered),
        }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Whether it was answered with 2xx.
    pub(crate) fn accepted(&self) -> bool {
        self.answered
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// What the receiver does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This status and an empty body.
    Status(u16),
    /// This status with headers and a body.
    Full(u16, Vec<(String, String)>, Bytes),
    /// Waits, then replies.
    After(Duration, Box<Reply>),
    /// Waits until the gate opens, then replies.
    Held(Gate, Box<Reply>),
    /// Never answers; keeps the connection.
    Hang,
    /// 200, then one byte of the body at a time, without end.
    Drip(Duration),
    /// 200, then a body without end, as fast as it is taken.
    Endless,
    /// Resets the connection.
    Reset,
    /// Closes the connection without an answer.
    Close,
    /// These bytes, whatever they are, then closes.
    Garbage(Bytes),
}

impl Reply {
    /// A status with one header.
    pub(crate) fn with_header(status: u16, name: &str, value: &str) -> Self {
        Self::Full(status, vec![(name.into(), value.into())], Bytes::new())
    }
}

/// Holds replies back until it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub(crate) fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

type Script = Box<dyn FnMut(&Received) -> Reply + Send>;

struct State {
    requests: Vec<Received>,
    /// Sequence ids that were answered with 2xx.
    accepted: HashSet<i64>,
    next: VecDeque<Reply>,
    script: Script,
    keep_bodies: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Open connections.
    open: watch::Sender<usize>,
    key: Vec<u8>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// The server. Stops listening when dropped.
pub(crate) struct Receiver {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: AbortHandle,
}

impl Receiver {
    /// Starts one that answers 200 to everything.
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    /// Starts one at a given address: an endpoint that comes back.
    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                requests: Vec::new(),
                accepted: HashSet::new(),
                next: VecDeque::new(),
                script: Box::new(|_| Reply::Status(200)),
                keep_bodies: true,
            }),
            changed: watch::Sender::new(0),
            open: watch::Sender::new(0),
            key: (0..32).map(|byte| byte * 7 + 3).collect(),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Self {
            shared,
            address,
            task,
        }
    }

    /// Where to send webhooks.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The address it listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The secret that requests have to be signed with, as Standard Webhooks writes it.
    pub(crate) fn secret(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.shared.key))
    }

    /// Decides each reply from now on.
    pub(crate) fn on_request(&self, script: impl FnMut(&Received) -> Reply + Send + 'static) {
        self.shared.state().script = Box::new(script);
    }

    /// Replies to the next requests; the script takes over after that.
    pub(crate) fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.shared.state().next.extend(replies);
    }

    /// Gives one resource id a bad status, everything else 200.
    pub(crate) fn fail_for(&self, resource_id: &str, status: u16) {
        let resource_id = resource_id.to_owned();
        self.on_request(move |request| {
            let bad = request.resource_id == resource_id;
            Reply::Status(if bad { status } else { 200 })
        });
    }

    /// Forgets bodies and headers after they were checked, for tests with very many requests.
    pub(crate) fn forget_bodies(&self) {
        self.shared.state().keep_bodies = false;
    }

    /// Everything received so far, in order.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.state().requests.clone()
    }

    /// How many requests were received so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// How many different events were accepted so far.
    pub(crate) fn accepted_events(&self) -> i64 {
        self.shared.state().accepted.len() as i64
    }

    /// Waits until what was received fits; gives it.
    pub(crate) async fn wait_for(&self, fits: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut changed = self.shared.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                {
                    let state = self.shared.state();
                    if fits(&state.requests) {
                        return state.requests.clone();
                    }
                }
                let _ = changed.changed().await;
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("the receiver got only this:\n{}", self.summary()))
    }

    /// Waits until all that clients had sent is read and they have left, as after the end of a daemon.
    pub(crate) async fn wait_until_left(&self) {
        let mut open = self.shared.open.subscribe();
        let left = open.wait_for(|open| *open == 0);
        let left = tokio::time::timeout(PATIENCE, left).await;
        left.expect("clients stay").unwrap();
    }

    /// Waits for a number of requests.
    pub(crate) async fn wait_for_count(&self, count: usize) -> Vec<Received> {
        self.wait_for(|requests| requests.len() >= count).await
    }

    /// Waits until an event was accepted; gives the accepted request.
    pub(crate) async fn wait_for_event(&self, event_id: &str) -> Received {
        let fits = |request: &&Received| request.accepted() && request.event_id == event_id;
        let requests = self
            .wait_for(|requests| requests.iter().any(|request| fits(&request)))
            .await;
        requests.iter().find(fits).unwrap().clone()
    }

    /// Panics unless every request was signed with the secret.
    pub(crate) fn assert_all_signed(&self) {
        let state = self.shared.state();
        if let Some(bad) = state.requests.iter().find(|request| !request.signed) {
            panic!("not signed, or not with the secret: {bad:?}");
        }
    }

    fn summary(&self) -> String {
        let state = self.shared.state();
        let mut text = format!("{} requests\n", state.requests.len());
        let first = state.requests.len().saturating_sub(50);
        for request in &state.requests[first..] {
            let _ = writeln!(
                text,
                "{} {} {} {} #{} attempt {} answered {:?}",
                request.method,
                request.path,
                request.event_type,
                request.resource_id,
                request.sequence_id,
                request.attempt,
                request.answered,
            );
        }
        text
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Owned here, so that open connections end with the receiver.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        shared.open.send_modify(|open| *open += 1);
        connections.spawn(async move {
            // A client that goes away is nothing to report.
            let _ = serve(stream, &shared).await;
            shared.open.send_modify(|open| *open -= 1);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream, shared).await? {
        let index = {
            let mut state = shared.state();
            state.requests.push(request);
            state.requests.len() - 1
        };
        shared.changed.send_modify(|count| *count += 1);
        let reply = decide(shared, index);
        if !answer(&mut stream, shared, index, reply).await? {
            return Ok(());
        }
    }
    Ok(())
}

fn decide(shared: &Shared, index: usize) -> Reply {
    let state = &mut *shared.state();
    let reply = match state.next.pop_front() {
        Some(reply) => reply,
        None => (state.script)(&state.requests[index]),
    };
    if !state.keep_bodies {
        state.requests[index].body = Bytes::new();
        state.requests[index].headers = Vec::new();
    }
    reply
}

/// Reads one request; `None` where the client closed the connection between two.
async fn read_request(
    stream: &mut BufReader<TcpStream>,
    shared: &Shared,
) -> std::io::Result<Option<Received>> {
    let Some(first) = read_line(stream).await? else {
        return Ok(None);
    };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next(), words.next());
    let mut headers = Vec::new();
    while let Some(line) = read_line(stream).await?.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let body = read_body(stream, &headers).await?;
    let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let event = &parsed["event"];
    let mut request = Received {
        at: Instant::now(),
        method: method.unwrap_or_default(),
        path: path.ok_or_else(|| malformed(&first))?,
        headers,
        body,
        event_id: String::new(),
        sequence_id: event["sequenceId"].as_i64().unwrap_or_default(),
        event_type: text(&event["type"]),
        resource: text(&event["resource"]),
        resource_id: text(&event["resourceId"]),
        attempt: parsed["delivery"]["attempt"].as_u64().unwrap_or_default(),
        signed: false,
        answered: None,
    };
    request.event_id = request.header("webhook-id").unwrap_or_default().to_owned();
    request.signed = is_signed(&request, &shared.key);
    Ok(Some(request))
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let line = String::from_utf8(line).map_err(|_| malformed("a header that is not UTF-8"))?;
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn read_body(
    stream: &mut BufReader<TcpStream>,
    headers: &[(String, String)],
) -> std::io::Result<Bytes> {
    let value = |name: &str| headers.iter().find(|(known, _)| known == name);
    if let Some((_, length)) = value("content-length") {
        let length = length.parse().map_err(|_| malformed(length))?;
        return read_exactly(stream, length).await;
    }
    let mut body = Vec::new();
    if value("transfer-encoding").is_none() {
        return Ok(Bytes::new());
    }
    loop {
        let line = read_line(stream).await?.unwrap_or_default();
        let size = usize::from_str_radix(&line, 16).map_err(|_| malformed(&line))?;
        body.extend_from_slice(&read_exactly(stream, size).await?);
        read_line(stream).await?;
        if size == 0 {
            return Ok(body.into());
        }
    }
}

async fn read_exactly(stream: &mut BufReader<TcpStream>, size: usize) -> std::io::Result<Bytes> {
    if size > LARGEST_BODY {
        return Err(malformed("a body too large"));
    }
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::other(format!("not a request: {what}"))
}

/// Answers; tells whether the connection is of further use.
async fn answer(
    stream: &mut BufReader<TcpStream>,
    shared: &Shared,
    index: usize,
    reply: Reply,
) -> std::io::Result<bool> {
    let mut reply = reply;
    loop {
        match reply {
            Reply::After(pause, then) => {
                tokio::time::sleep(pause).await;
                reply = *then;
            }
            Reply::Held(gate, then) => {
                gate.passed().await;
                reply = *then;
            }
            Reply::Status(status) => {
                return send(stream, shared, index, status, &[], &[]).await;
            }
            Reply::Full(status, headers, body) => {
                return send(stream, shared, index, status, &headers, &body).await;
            }
            other => return misbehave(stream, other).await,
        }
    }
}

async fn send(
    stream: &mut BufReader<TcpStream>,
    shared: &Shared,
    index: usize,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> std::io::Result<bool> {
    let mut answer = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        let _ = write!(answer, "{name}: {value}\r\n");
    }
    if status != 204 && status != 304 {
        let _ = write!(answer, "content-length: {}\r\n", body.len());
    }
    answer.push_str("\r\n");
    let mut answer = answer.into_bytes();
    answer.extend_from_slice(body);
    // Noted before it is sent: whoever has seen the answer finds it noted.
    {
        let state = &mut *shared.state();
        let request = &mut state.requests[index];
        request.answered = Some(status);
        if request.accepted() {
            state.accepted.insert(request.sequence_id);
        }
    }
    shared.changed.send_modify(|count| *count += 1);
    stream.write_all(&answer).await?;
    Ok(true)
}

async fn misbehave(stream: &mut BufReader<TcpStream>, reply: Reply) -> std::io::Result<bool> {
    const UNBOUNDED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    match reply {
        Reply::Hang => {
            // Until the client gives up.
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await? > 0 {}
        }
        Reply::Drip(pause) => {
            stream.write_all(UNBOUNDED).await?;
            loop {
                stream.write_all(b"1\r\nx\r\n").await?;
                tokio::time::sleep(pause).await;
            }
        }
        Reply::Endless => {
            stream.write_all(UNBOUNDED).await?;
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            loop {
                stream.write_all(chunk.as_bytes()).await?;
            }
        }
        Reply::Reset => stream.get_ref().set_zero_linger()?,
        Reply::Garbage(bytes) => stream.write_all(&bytes).await?,
        _ => (),
    }
    Ok(false)
}

/// Standard Webhooks: `v1,<base64 HMAC-SHA256>` over `id.timestamp.body`, any of several.
fn is_signed(request: &Received, key: &[u8]) -> bool {
    let headers = (
        request.header("webhook-id"),
        request.header("webhook-timestamp"),
        request.header("webhook-signature"),
    );
    let (Some(id), Some(timestamp), Some(signatures)) = headers else {
        return false;
    };
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let is_recent = timestamp
        .parse::<u64>()
        .is_ok_and(|sent| sent.abs_diff(now) <= CLOCK_TOLERANCE_SECONDS);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&request.body);
    is_recent
        && signatures
            .split(' ')
            .filter_map(|signature| BASE64.decode(signature.strip_prefix("v1,")?).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok())
}
