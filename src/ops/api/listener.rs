//! Accepts connections, within bounds.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::{Fault, Result};
use crate::ops::settings::Api;

/// Connections at once. The next one waits in the kernel's queue.
const CONNECTIONS: usize = 2_500;
/// How long a request's head may take, and how long a connection may be idle.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a request's head, and of what waits to be written.
const BUFFER: usize = 32 << 10;
/// Headers of a request.
const HEADERS: usize = 64;
/// A client that takes nothing for so long is gone, or as good as gone.
const TAKES_NOTHING: Duration = Duration::from_secs(30);
/// What requests get to end in when the daemon stops.
const STOP_BOUND: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection, for want of file descriptors.
const REFUSED: Duration = Duration::from_millis(500);

/// Takes the address.
///
/// # Errors
/// Permanent, if it cannot be had.
pub async fn bind(api: &Api) -> Result<TcpListener> {
    TcpListener::bind(api.listen).await.map_err(|error| {
        Fault::permanent(format!("cannot listen on {} (api.listen)", api.listen))
            .because(error)
            .next_step("choose a free address, or switch the API off with `listen = \"\"`")
    })
}

/// Serves connections until asked to stop; those at work then get to end within a bound.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &room) => accepted?,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, router, stop).await;
            drop(place);
        });
    }
    connections.close();
    let _ = tokio::time::timeout(STOP_BOUND, connections.wait()).await;
    Ok(())
}

/// The next connection and its place; `None` where there was none to be had this time.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Result<Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)>> {
    let place = Arc::clone(room)
        .acquire_owned()
        .await
        .map_err(|error| Fault::permanent("the HTTP listener is closed").because(error))?;
    match listener.accept().await {
        Ok((stream, _)) => Ok(Some((stream, place))),
        Err(error) if gone_already(error.kind()) => Ok(None),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection to the API");
            tokio::time::sleep(REFUSED).await;
            Ok(None)
        }
    }
}

fn gone_already(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    // Without it, who stops reading would hold the connection for as long as it likes.
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(TAKES_NOTHING));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended badly");
    }
}
