//! A TCP proxy that can go dead without a word, keeping its connections open and forwarding nothing,
//! and that can be cut off.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
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
    way: Arc<watch::Sender<Way>>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts one in front of a server on this machine.
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Arc::new(watch::Sender::new(Way::Forwards));
        let state = Arc::clone(&way);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, server_port, state.subscribe()));
            }
        });
        Self {
            address,
            way,
            task: task.abort_handle(),
        }
    }

    /// The port that stands for the server's.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing is forwarded; connections that exist never hear anything again.
    pub(crate) fn go_dead(&self) {
        self.way.send_replace(Way::Silent);
    }

    /// Connections are closed; new ones are closed at once.
    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// New connections are forwarded again.
    pub(crate) fn revive(&self) {
        self.way.send_replace(Way::Forwards);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, server_port: u16, mut way: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        return;
    };
    tokio::select! {
        biased;
        _ = way.wait_for(|way| *way != Way::Forwards) => {}
        _ = copy_bidirectional(&mut client, &mut server) => return,
    }
    // Neither end is closed before the cut: to both the other one is just silent.
    let _ = way.wait_for(|way| *way == Way::Cut).await;
}
