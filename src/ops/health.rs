//! Is the daemon alive, and is it ready? Answers for `/healthz`, `/readyz` and the watchdog.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::metrics::Metrics;
use super::pulse::Pulse;
use crate::capture::Standing;

/// A cursor that stands this long behind the head of the log is stalled.
const STALLED: Duration = Duration::from_secs(60);
/// A stage that has not turned its loop for this long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// What a webhook's runner shows of itself.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// Shows that the loop turns.
    pub pulse: Pulse,
    /// Shows that the cursor moves: it beats with every step, and while there is nowhere to go.
    pub cursor: Pulse,
}

/// What is known about the daemon's health.
pub struct Health {
    metrics: Arc<Metrics>,
    standing: watch::Receiver<Standing>,
    stages: Mutex<HashMap<String, Stage>>,
}

impl Health {
    /// Follows the capture by its metrics and standing; runners join with [`stage`](Self::stage).
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, standing: watch::Receiver<Standing>) -> Self {
        Self {
            metrics,
            standing,
            stages: Mutex::default(),
        }
    }

    /// Takes a runner of this name in; it takes the place of an earlier one.
    #[must_use]
    pub fn stage(&self, name: &str) -> Stage {
        let stage = Stage::default();
        self.lock().insert(name.to_owned(), stage.clone());
        stage
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Stage>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every loop turns; else a sentence that names one that does not.
    ///
    /// # Errors
    /// The sentence.
    pub fn alive(&self) -> Result<(), String> {
        let silence = self.metrics.capture_pulse.silence();
        if silence > STUCK {
            return Err(format!("capture has not moved for {} s", silence.as_secs()));
        }
        match self
            .lock()
            .iter()
            .find(|(_, stage)| stage.pulse.silence() > STUCK)
        {
            Some((name, stage)) => Err(format!(
                "webhook \"{name}\" has not moved for {} s",
                stage.pulse.silence().as_secs()
            )),
            None => Ok(()),
        }
    }

    /// Whether changes are captured and cursors move; else a sentence that says why not.
    ///
    /// # Errors
    /// The sentence.
    pub fn ready(&self) -> Result<(), String> {
        self.alive()?;
        match &*self.standing.borrow() {
            Standing::Streaming { .. } => self.cursors(),
            Standing::StandBy { pid } => Err(format!(
                "standby: the slot is in use by process {pid} of the server"
            )),
            Standing::Connecting(None) => Err("connecting to the source".to_owned()),
            Standing::Connecting(Some(fault)) => Err(format!("capture is interrupted: {fault}")),
        }
    }

    fn cursors(&self) -> Result<(), String> {
        match self
            .lock()
            .iter()
            .find(|(_, stage)| stage.cursor.silence() > STALLED)
        {
            Some((name, stage)) => {
                let seconds = stage.cursor.silence().as_secs();
                Err(format!(
                    "the cursor of webhook \"{name}\" has not moved for {seconds} s"
                ))
            }
            None => Ok(()),
        }
    }
}
