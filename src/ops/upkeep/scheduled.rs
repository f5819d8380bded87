//! Forgets scheduled events that are done.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{RETENTION_INTERVAL, pause, streaming};
use crate::capture::Standing;
use crate::event_log::{Link, scheduled};
use crate::fault::Result;

/// Forgets what was logged or cancelled a day ago, while this instance streams.
///
/// # Errors
/// None; what cannot be forgotten is forgotten later.
pub async fn forget_done_events(
    log: Link,
    mut standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) -> Result<()> {
    while streaming(&mut standing, &stop).await {
        let forgetting = async {
            let log = log.connection().await?;
            // In pieces, until none is left.
            while scheduled::drop_old(&log).await? > 0 {}
            Ok::<(), crate::fault::Fault>(())
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            forgotten = forgetting => if let Err(fault) = forgotten {
                tracing::warn!(error = %fault.cause(), "cannot forget scheduled events that are done");
            },
        }
        if !pause(RETENTION_INTERVAL, &stop).await {
            return Ok(());
        }
    }
    Ok(())
}
