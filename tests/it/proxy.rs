//! A TCP proxy that can go dead without a word: it keeps its connections open and forwards nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Forwards to one server. Stops when dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    dead: Arc<watch::Sender<bool>>,
    task: AbortHandle,
}

impl Proxy {
    /// Starts one in front of a server on this machine.
    pub(crate) async fn start(server_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let dead = Arc::new(watch::Sender::new(false));
        let state = Arc::clone(&dead);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(forward(client, server_port, state.subscribe()));
            }
        });
        Self {
            address,
            dead,
            task: task.abort_handle(),
        }
    }

    /// The port that stands for the server's.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing is forwarded; connections that exist never hear anything again.
    pub(crate) fn go_dead(&self) {
        self.dead.send_replace(true);
    }

    /// New connections are forwarded again.
    pub(crate) fn revive(&self) {
        self.dead.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(mut client: TcpStream, server_port: u16, dead: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server_port)).await else {
        return;
    };
    tokio::select! {
        biased;
        () = gone_dead(dead) => {}
        _ = copy_bidirectional(&mut client, &mut server) => return,
    }
    // Neither end is closed: to both the other one is just silent.
    std::future::pending().await
}

async fn gone_dead(mut dead: watch::Receiver<bool>) {
    if dead.wait_for(|dead| *dead).await.is_err() {
        std::future::pending().await
    }
}
