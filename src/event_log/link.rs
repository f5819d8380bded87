//! A connection to the log that is made when it is needed, and again when it was lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::fault::Result;
use crate::wal::{Connection, Target};

/// Shared access to the log database.
#[derive(Clone)]
pub struct Link {
    target: Arc<Target>,
    application: &'static str,
    /// Statements that are safe to lose with the server's last moments: what they record is done
    /// again after a crash.
    relaxed: bool,
    /// How long a statement waits for the locks of others; `None` as the server says.
    lock_timeout: Option<Duration>,
    /// What its session listens to.
    channel: Option<&'static str>,
    current: Arc<Mutex<Option<Connection>>>,
}

impl Link {
    /// A link that connects on first use, under this application name.
    #[must_use]
    pub fn new(target: &Target, application: &'static str) -> Self {
        Self {
            target: Arc::new(target.clone()),
            application,
            relaxed: false,
            lock_timeout: None,
            channel: None,
            current: Arc::default(),
        }
    }

    /// The same with `synchronous_commit = off`: no wait for the disk.
    #[must_use]
    pub fn relaxed(target: &Target, application: &'static str) -> Self {
        Self {
            relaxed: true,
            ..Self::new(target, application)
        }
    }

    /// The same for statements of many who wait for each other: one that meets somebody's lock fails
    /// after this time, and is made again later, instead of holding up all the others.
    #[must_use]
    pub fn impatient(self, lock_timeout: Duration) -> Self {
        Self {
            lock_timeout: Some(lock_timeout),
            ..self
        }
    }

    /// The same with a session that hears what is notified on this channel.
    #[must_use]
    pub fn listening(self, channel: &'static str) -> Self {
        Self {
            channel: Some(channel),
            ..self
        }
    }

    /// The same with a connection of its own: what waits there holds up nobody here.
    #[must_use]
    pub fn beside(&self, application: &'static str) -> Self {
        Self {
            application,
            current: Arc::default(),
            ..self.clone()
        }
    }

    /// A connection that works, as far as anyone knows.
    ///
    /// # Errors
    /// As [`Connection::open`].
    pub async fn connection(&self) -> Result<Connection> {
        let mut current = self.current.lock().await;
        if let Some(connection) = current.as_ref().filter(|connection| !connection.is_ended()) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(&self.target, self.application).await?;
        let settings = self.settings();
        if !settings.is_empty() {
            connection.batch_execute(&settings).await.map_err(|error| {
                crate::wal::server_error::sql_fault("cannot set up a log session", error)
            })?;
        }
        *current = Some(connection.clone());
        Ok(connection)
    }

    /// Waits until something is notified on its channel; for ever while there is no session.
    pub async fn notified(&self) {
        let current = self.current.lock().await.clone();
        match current {
            Some(connection) => connection.notified().await,
            None => std::future::pending().await,
        }
    }

    /// What a new session begins with.
    fn settings(&self) -> String {
        let mut settings = String::new();
        if self.relaxed {
            settings += "set synchronous_commit = off;";
        }
        if let Some(timeout) = self.lock_timeout {
            settings += &format!("set lock_timeout = {};", timeout.as_millis());
        }
        if let Some(channel) = self.channel {
            settings += &format!("listen {channel};");
        }
        settings
    }
}
