//! A socket that can rest.
//!
//! A socket that the runtime watches wakes a thread for each message that arrives, also while nobody
//! reads: for many small messages that is most of the reader's time, and the sender pays its part of
//! it. One that rests is not watched. It keeps what arrives until it is read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// TCP or a Unix socket.
pub(super) enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
    RestingTcp(std::net::TcpStream),
    RestingUnix(std::os::unix::net::UnixStream),
    /// It could not be given back to the runtime.
    Lost,
}

impl Line {
    /// Not to be watched until the next read or write.
    pub(super) fn rest(&mut self) -> io::Result<()> {
        if matches!(self, Self::Tcp(_) | Self::Unix(_)) {
            *self = match std::mem::replace(self, Self::Lost) {
                Self::Tcp(stream) => Self::RestingTcp(stream.into_std()?),
                Self::Unix(stream) => Self::RestingUnix(stream.into_std()?),
                other => other,
            };
        }
        Ok(())
    }

    fn wake(&mut self) -> io::Result<()> {
        if matches!(self, Self::RestingTcp(_) | Self::RestingUnix(_)) {
            *self = match std::mem::replace(self, Self::Lost) {
                Self::RestingTcp(stream) => Self::Tcp(TcpStream::from_std(stream)?),
                Self::RestingUnix(stream) => Self::Unix(UnixStream::from_std(stream)?),
                other => other,
            };
        }
        Ok(())
    }
}

/// Passes a call on to the socket, which is watched from then on.
macro_rules! pass {
    ($line:expr, $method:ident, $($argument:expr),*) => {{
        let line = $line.get_mut();
        line.wake()?;
        match line {
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Self::Unix(stream) => Pin::new(stream).$method($($argument),*),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }};
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        pass!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        pass!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        pass!(self, poll_shutdown, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn lines() -> Vec<(Line, Line)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(connecting, listener.accept());
        let tcp = (Line::Tcp(ours.unwrap()), Line::Tcp(theirs.unwrap().0));
        let (ours, theirs) = UnixStream::pair().unwrap();
        vec![tcp, (Line::Unix(ours), Line::Unix(theirs))]
    }

    #[tokio::test]
    async fn what_arrives_at_rest_is_read_afterwards() {
        for (mut ours, mut theirs) in lines().await {
            let mut read = [0; 5];
            for words in [b"first", b"again"] {
                ours.rest().unwrap();
                ours.rest().unwrap();
                theirs.write_all(words).await.unwrap();
                ours.read_exact(&mut read).await.unwrap();
                assert_eq!(&read, words);
            }
            ours.rest().unwrap();
            ours.write_all(b"hello").await.unwrap();
            theirs.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello");
        }
    }

    #[tokio::test]
    async fn a_peer_that_left_meanwhile_is_noticed_at_the_next_read() {
        for (mut ours, theirs) in lines().await {
            ours.rest().unwrap();
            drop(theirs);
            assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
        }
    }
}
