//! `rowhook run`: the daemon.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::daemon;
use crate::fault::{Fault, Result};
use crate::ops::settings::{self, Api, Settings};
use crate::ops::{logging, systemd};
use crate::webhook::Sender;

/// Runs the daemon until SIGTERM or SIGINT. A fault that stops it is logged; its exit code comes
/// back.
///
/// # Errors
/// Of the settings: nobody reads a log that has not begun.
pub fn run(path: &Path) -> Result<ExitCode> {
    let settings = load(path)?;
    logging::start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::transient("cannot start").because(error))?;
    let outcome = runtime.block_on(serve(path, settings));
    // What was cut off must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => {
            tracing::info!("stopped as asked");
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            tracing::error!(error = %fault.cause(), next_step = fault.advice(), exit_code = fault.exit_code(), "stopped");
            Ok(ExitCode::from(fault.exit_code()))
        }
    }
}

/// The settings, of which every webhook can be served.
fn load(path: &Path) -> Result<Settings> {
    let settings = settings::load(path)?;
    for webhook in &settings.webhooks {
        Sender::new(&webhook.endpoint)?;
    }
    Ok(settings)
}

async fn serve(path: &Path, settings: Settings) -> Result<()> {
    let stop = CancellationToken::new();
    let (current, following) = watch::channel(Arc::new(settings));
    let signals = follow_signals(path.to_owned(), current, stop.clone())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        source = %following.borrow().source.target.label(),
        slot = %following.borrow().source.slot,
        webhooks = following.borrow().webhooks.len(),
        "rowhook starts"
    );
    let running = tokio::spawn(daemon::run(following, stop));
    let outcome = running
        .await
        .map_err(|error| Fault::permanent("the daemon broke").because(error))?;
    signals.abort();
    outcome
}

/// SIGTERM and SIGINT stop, a second one at once; SIGHUP reloads.
fn follow_signals(
    path: PathBuf,
    current: watch::Sender<Arc<Settings>>,
    stop: CancellationToken,
) -> Result<tokio::task::JoinHandle<()>> {
    let listen = |kind| {
        signal(kind).map_err(|error| Fault::permanent("cannot listen for signals").because(error))
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => end(&stop),
                _ = interrupt.recv() => end(&stop),
                _ = hangup.recv() => reload(&path, &current),
            }
        }
    }))
}

fn end(stop: &CancellationToken) {
    if stop.is_cancelled() {
        tracing::warn!("asked to stop twice: stopping without waiting");
        std::process::exit(130);
    }
    tracing::info!("stopping: finishing what is in flight");
    stop.cancel();
}

/// The listener stays where it is; who may use it is taken over. One that lost its last token keeps
/// what it has: it would be open else.
fn with_tokens_of(running: Option<&Api>, new: Option<Api>) -> Option<Api> {
    let mut api = running?.clone();
    if let Some(new) = new.filter(|new| !new.tokens.is_empty()) {
        api.tokens = new.tokens;
    }
    Some(api)
}

/// Takes the webhooks and the API's tokens over from the file. Settings that are wrong change nothing; settings that
/// need a restart are named.
fn reload(path: &Path, current: &watch::Sender<Arc<Settings>>) {
    systemd::reloading();
    match load(path) {
        Ok(new) => {
            let old = Arc::clone(&current.borrow());
            let keys = settings::needing_restart(&old, &new);
            if !keys.is_empty() {
                tracing::warn!(keys = %keys.join(", "), "changed in the file; takes effect after a restart");
            }
            current.send_replace(Arc::new(Settings {
                webhooks: new.webhooks,
                api: with_tokens_of(old.api.as_ref(), new.api),
                ..(*old).clone()
            }));
        }
        Err(fault) => {
            tracing::error!(error = %fault, "the settings are wrong and were not reloaded")
        }
    }
    systemd::reloaded();
}
