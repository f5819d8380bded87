//! The bytes' way to a Postgres server: TCP, TLS over TCP, or a Unix socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pgwire_replication::protocol::framing::write_ssl_request;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::line::Line;
use super::{Target, TlsMode, tls};
use crate::fault::{Fault, Result};

/// A peer that acknowledges nothing for this long is gone (`TCP_USER_TIMEOUT`).
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Bytes that may be on a way within one machine. Found by measuring `benches/run.sh drain`: with
/// 64 KiB a backlog of small transactions is read about twice as fast as with 256 KiB.
const LOCAL_WINDOW: usize = 64 << 10;

/// A connection to a server, before any login.
pub(super) enum Transport {
    Plain(Line),
    Tls(Box<TlsStream<Line>>),
}

impl Transport {
    /// Connects, and encrypts as the target asks for.
    ///
    /// # Errors
    /// Transient where the server cannot be reached; permanent where TLS is refused.
    pub(super) async fn connect(target: &Target) -> Result<Self> {
        let unreachable = |error: io::Error| {
            Fault::transient(format!("cannot connect to {}", target.label()))
                .because(error)
                .next_step(
                    "check that the server runs and that source.url / log.url name its address",
                )
        };
        if target.is_unix_socket() {
            let path = format!("{}/.s.PGSQL.{}", target.host, target.port);
            return UnixStream::connect(&path)
                .await
                .map(|unix| Self::Plain(Line::Unix(unix)))
                .map_err(unreachable);
        }
        let tcp = TcpStream::connect((target.host.as_str(), target.port))
            .await
            .map_err(unreachable)?;
        notice_dead_peers(&tcp).map_err(unreachable)?;
        if target.tls.mode == TlsMode::Disable {
            return Ok(Self::Plain(Line::Tcp(tcp)));
        }
        Self::encrypt(tcp, target, unreachable).await
    }

    /// Makes the way a short one, if the server is on this machine: then many small messages gather at
    /// the server's end, in few large pieces, while nobody reads. A Unix socket's is short.
    pub(super) fn shorten_if_local(&self) -> io::Result<()> {
        let line = match self {
            Self::Plain(line) => line,
            Self::Tls(stream) => stream.get_ref().0,
        };
        if let Line::Tcp(tcp) = line
            && tcp.peer_addr()?.ip() == tcp.local_addr()?.ip()
        {
            SockRef::from(tcp).set_recv_buffer_size(LOCAL_WINDOW)?;
        }
        Ok(())
    }

    /// See [`Line::rest`].
    pub(super) fn rest(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(line) => line.rest(),
            Self::Tls(stream) => stream.get_mut().0.rest(),
        }
    }

    /// Asks for TLS (PostgreSQL manual, "SSL Session Encryption").
    async fn encrypt(
        mut tcp: TcpStream,
        target: &Target,
        unreachable: impl Fn(io::Error) -> Fault,
    ) -> Result<Self> {
        write_ssl_request(&mut tcp)
            .await
            .map_err(|error| unreachable(io::Error::other(error)))?;
        let answer = tcp.read_u8().await.map_err(&unreachable)?;
        let refused = || Fault::permanent(format!("cannot connect to {}", target.label()));
        match (answer, target.tls.mode) {
            (b'S', _) => {}
            (_, TlsMode::Prefer) => return Ok(Self::Plain(Line::Tcp(tcp))),
            _ => {
                return Err(refused()
                    .because("the server does not offer TLS")
                    .next_step("switch TLS on in the server, or choose another sslmode"));
            }
        }
        let name =
            ServerName::try_from(target.host.clone()).map_err(|error| refused().because(error))?;
        let connector = TlsConnector::from(Arc::new(tls::client_config(&target.tls)?));
        let stream = connector
            .connect(name, Line::Tcp(tcp))
            .await
            .map_err(|error| match error.kind() {
                // A certificate that is not trusted, or a client certificate that is missing.
                io::ErrorKind::InvalidData => refused().because(error).next_step(
                    "check sslmode and the certificates on both sides: CA, host name, validity",
                ),
                _ => unreachable(error),
            })?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

fn notice_dead_peers(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5))
        .with_retries(4);
    socket.set_tcp_keepalive(&probes)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
