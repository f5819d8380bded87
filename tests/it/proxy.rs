//! A TCP proxy that can go dead without a word (it keeps its connections open and forwards nothing),
//! be cut off, cut a connection in the middle of whatever it carries, and lead to another server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What the proxy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Forwards,
    Silent,
    Cut,
}

/// Forwards to one server. Stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    line: Arc<Line>,
    task: AbortHandle,
}

/// What all connections share.
struct Line {
    server_port: AtomicU16,
    way: watch::Sender<Way>,
    /// Bytes that the server may still send before the connection that sends too many is cut.
    left: AtomicI64,
    cuts: AtomicU32,
}

/// As good as no limit.
const UNLIMITED: i64 = i64::MAX / 2;

impl Proxy {
    /// Starts one in front of a server on this machine.
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(Line {
            server_port: AtomicU16::new(server_port),
            way: watch::Sender::new(Way::Forwards),
            left: AtomicI64::new(UNLIMITED),
            cuts: AtomicU32::new(0),
        });
        let shared = Arc::clone(&line);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            line,
            task: task.abort_handle(),
        }
    }

    /// The port that stands for the server's.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing is forwarded; connections that exist never hear anything again.
    pub(crate) fn go_dead(&self) {
        self.line.way.send_replace(Way::Silent);
    }

    /// Connections are closed; new ones are closed at once.
    pub(crate) fn cut(&self) {
        self.line.way.send_replace(Way::Cut);
    }

    /// New connections are forwarded again.
    pub(crate) fn revive(&self) {
        self.line.way.send_replace(Way::Forwards);
    }

    /// New connections lead to another server.
    pub(crate) fn redirect(&self, server_port: u16) {
        self.line.server_port.store(server_port, Ordering::SeqCst);
    }

    /// Cuts one connection as soon as the server has sent so many more bytes, on all of them together.
    pub(crate) fn cut_after(&self, bytes: u32) {
        self.line.left.store(i64::from(bytes), Ordering::SeqCst);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u32 {
        self.line.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, line: Arc<Line>) {
    let port = line.server_port.load(Ordering::SeqCst);
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut way = line.way.subscribe();
    tokio::select! {
        biased;
        _ = way.wait_for(|way| *way != Way::Forwards) => {}
        _ = tokio::io::copy(&mut from_client, &mut to_server) => return,
        () = answers(&mut from_server, &mut to_client, &line) => return,
    }
    // Neither end is closed before the cut: to both the other one is just silent.
    let _ = way.wait_for(|way| *way == Way::Cut).await;
}

async fn answers(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, line: &Line) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        let left = line.left.fetch_sub(read as i64, Ordering::SeqCst);
        let may = usize::try_from(left.max(0)).unwrap().min(read);
        if to.write_all(&buffer[..may]).await.is_err() {
            return;
        }
        if may < read {
            line.left.store(UNLIMITED, Ordering::SeqCst);
            line.cuts.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}
