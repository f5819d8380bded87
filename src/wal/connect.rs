//! Ordinary connections to Postgres: the same TCP, TLS and socket path that the replication
//! session takes, so one set of TLS settings means one thing.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::sync::{Mutex, Notify, watch};
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement, config::SslMode, error::SqlState};

use super::transport::Transport;
use super::{Target, server_error};
use crate::fault::{Fault, Result};

/// Settings of every session: output that does not depend on the role's or the database's
/// defaults, no time limits of theirs, and commits that are durable when they return.
const SESSION_OPTIONS: &str = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC \
    -c extra_float_digits=1 -c bytea_output=hex -c statement_timeout=0 -c lock_timeout=0 \
    -c idle_in_transaction_session_timeout=0 -c idle_session_timeout=0 -c synchronous_commit=on";

/// The encoding of a database that takes any bytes.
pub(super) const SQL_ASCII: &str = "SQL_ASCII";

/// Such a database refuses to send bytes that are no UTF-8 to a client that asked for UTF-8. It sends
/// them to one that asks for nothing.
pub(super) const AS_IT_IS: &str = "set client_encoding = 'SQL_ASCII'";
/// The time limits that not every supported server knows, which would refuse them among the options:
/// `transaction_timeout` came with 17. In a replication session it would cut off the decoding of a
/// large transaction.
pub(super) const PIN_NEWER_SETTINGS: &str = "select pg_catalog.set_config(name, '0', false) from pg_catalog.pg_settings where name = 'transaction_timeout'";

/// A session with Postgres. Its socket is owned by a task that ends with the connection.
#[derive(Clone)]
pub struct Connection {
    client: Arc<Client>,
    statements: Arc<Mutex<HashMap<&'static str, Statement>>>,
    notified: Arc<Notify>,
    ended: watch::Receiver<bool>,
}

impl std::ops::Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connection {
    /// Connects and logs in.
    ///
    /// # Errors
    /// Transient where the server cannot be reached; permanent where it refuses the login.
    pub async fn open(target: &Target, application: &str) -> Result<Self> {
        let what = || format!("cannot connect to {}", target.label());
        match tokio::time::timeout(target.connect_timeout, Self::log_in(target, application)).await
        {
            Ok(connected) => connected,
            Err(_) => Err(Fault::transient(format!(
                "{}: no answer within {}",
                what(),
                humantime::format_duration(target.connect_timeout)
            ))),
        }
    }

    async fn log_in(target: &Target, application: &str) -> Result<Self> {
        let transport = Transport::connect(target).await?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&target.user)
            .dbname(&target.database)
            .application_name(application)
            .options(SESSION_OPTIONS)
            // TLS is already negotiated on this stream.
            .ssl_mode(SslMode::Disable);
        if let Some(password) = &target.password {
            config.password(password.expose());
        }
        let (client, mut connection) =
            config
                .connect_raw(transport, NoTls)
                .await
                .map_err(|error| {
                    server_error::sql_fault(format!("cannot connect to {}", target.label()), error)
                })?;
        let promises_nothing = connection.parameter("server_encoding") == Some(SQL_ASCII);
        let (ending, ended) = watch::channel(false);
        let notified = Arc::new(Notify::new());
        let notify = Arc::clone(&notified);
        tokio::spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(message) = messages.next().await {
                match message {
                    Ok(AsyncMessage::Notification(_)) => notify.notify_one(),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::debug!(%error, "a database connection ended");
                        break;
                    }
                }
            }
            // First: who sees the end may count on it that the socket is closed.
            drop(messages);
            ending.send_replace(true);
        });
        if promises_nothing {
            client.batch_execute(AS_IT_IS).await.map_err(|error| {
                server_error::sql_fault(format!("cannot connect to {}", target.label()), error)
            })?;
        }
        client
            .batch_execute(PIN_NEWER_SETTINGS)
            .await
            .map_err(|error| server_error::sql_fault("cannot set up a session", error))?;
        Ok(Self {
            client: Arc::new(client),
            statements: Arc::default(),
            notified,
            ended,
        })
    }

    /// A statement that is run again and again: the session reads it once, and may keep its plan.
    ///
    /// # Errors
    /// The server's.
    pub async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let mut statements = self.statements.lock().await;
        if let Some(known) = statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        statements.insert(sql, statement.clone());
        Ok(statement)
    }

    /// Waits for a notification of what the session listens to. One that came since the last wait counts.
    pub async fn notified(&self) {
        self.notified.notified().await;
    }

    /// Waits until the connection is gone, for whatever reason. A server that shuts down ends its
    /// ordinary connections first, so this is the earliest sign of it.
    pub async fn ended(&self) {
        // An error means that the task is gone, which says the same.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        *self.ended.borrow() || self.client.is_closed()
    }
}

/// Whether an error says that the object does not exist.
#[must_use]
pub fn is_undefined(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(
            &(SqlState::UNDEFINED_TABLE
                | SqlState::UNDEFINED_OBJECT
                | SqlState::INVALID_SCHEMA_NAME)
        )
    )
}
