//! What handlers work with, and their few connections to the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::held::{Memory, SetAside};
use super::stream::Fanout;
use super::{Problem, Token};
use crate::capture::Standing;
use crate::event_log::{Inlet, Link, Tail};
use crate::fault::{Fault, Result};
use crate::ops::health::Health;
use crate::ops::metrics::Metrics;
use crate::ops::settings::Settings;
use crate::wal::server_error::sql_fault;
use crate::wal::{Connection, Target};

/// Connections to the log for readers.
const CONNECTIONS: usize = 3;
/// Requests that may wait for one of them: as many as clients of streams come back at once.
const WAITING: usize = 2_000;
/// Deeds at once, those with long lists of deliveries apart, and how many of each may wait.
const DEEDS: usize = 3;
const DEEDS_WAITING: usize = 100;
/// How long a deed waits for somebody's lock: it holds up those behind it.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Nothing here writes, and no question takes longer.
const READING: &str = "set default_transaction_read_only = on; set statement_timeout = '5s'";

/// What the daemon gives the API.
pub struct Parts {
    /// Is the daemon alive and ready?
    pub health: Arc<Health>,
    /// Its numbers.
    pub metrics: Arc<Metrics>,
    /// The settings that hold now.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// How the capture stands.
    pub standing: watch::Receiver<Standing>,
    /// The newest events.
    pub tail: Arc<Tail>,
    /// Where events enter that are no row changes.
    pub inlet: Inlet,
}

/// What handlers work with. Clones share it.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

struct Inner {
    parts: Parts,
    log: Target,
    idle: Mutex<Vec<Connection>>,
    readers: Room,
    comparing: hmac::Key,
    stop: CancellationToken,
    fanout: Fanout,
    memory: Memory,
    source: Link,
    operators: Operators,
    requesters: Operators,
}

/// Those who do something to the log, by one connection. What they wait for holds up no reader.
struct Operators {
    link: Link,
    room: Room,
}

impl Operators {
    fn new(link: Link) -> Self {
        Self {
            link,
            room: Room::new(DEEDS, DEEDS_WAITING),
        }
    }
}

/// So many places, and so many who wait for one.
struct Room {
    places: Arc<Semaphore>,
    queue: Semaphore,
}

impl Room {
    fn new(places: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            queue: Semaphore::new(waiting),
        }
    }

    /// A place, after some patience.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = || Problem::busy("busy", "too many requests ask the log at once");
        let waiting = self.queue.try_acquire().map_err(|_| busy())?;
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(PATIENCE, place).await;
        drop(waiting);
        place.map_err(|_| busy())?.map_err(|_| busy())
    }
}

impl Desk {
    pub(super) fn new(parts: Parts, stop: CancellationToken) -> Result<Self> {
        let log = parts.settings.borrow().log.target.clone();
        let source = Link::new(&parts.settings.borrow().source.target, "rowhook api");
        let operators = Link::new(&log, "rowhook api operator").impatient(LOCK_PATIENCE);
        let requesters = operators.beside("rowhook api deliveries");
        let comparing = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| Fault::permanent("the system gives no random numbers"))?;
        Ok(Self(Arc::new(Inner {
            parts,
            log,
            idle: Mutex::default(),
            readers: Room::new(CONNECTIONS, WAITING),
            comparing,
            stop,
            fanout: Fanout::default(),
            memory: Memory::default(),
            source,
            operators: Operators::new(operators),
            requesters: Operators::new(requesters),
        })))
    }

    pub(super) fn health(&self) -> &Health {
        &self.0.parts.health
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.parts.metrics
    }

    /// The settings that hold now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.0.parts.settings.borrow())
    }

    /// Where events enter that are no row changes.
    #[allow(dead_code, reason = "for the routes that emit")]
    pub(crate) fn inlet(&self) -> &Inlet {
        &self.0.parts.inlet
    }

    /// How the capture stands: only a daemon that streams can take events in.
    #[allow(dead_code, reason = "for the routes that emit")]
    pub(crate) fn standing(&self) -> Standing {
        self.0.parts.standing.borrow().clone()
    }

    pub(super) fn standing_changes(&self) -> watch::Receiver<Standing> {
        self.0.parts.standing.clone()
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.0.parts.tail
    }

    pub(super) fn fanout(&self) -> &Fanout {
        &self.0.fanout
    }

    /// Memory for an answer that may be long.
    pub(super) async fn set_aside(&self) -> Result<SetAside, Problem> {
        self.0.memory.set_aside().await
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let settings = self.settings();
        settings
            .api
            .as_ref()
            .map(|api| api.tokens.clone())
            .unwrap_or_default()
    }

    pub(super) fn comparing(&self) -> &hmac::Key {
        &self.0.comparing
    }

    /// Told when the daemon stops: what would go on for ever ends then.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Asks the log something. The question goes on to its end even if nobody waits for the answer
    /// any more, so that its connection is free when it is given back.
    pub(crate) async fn ask<T, F>(
        &self,
        question: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let place = self.0.readers.place().await?;
        let desk = self.clone();
        let asked = tokio::spawn(async move {
            let _place = place;
            let connection = desk.connection().await?;
            let answer = question(connection.clone()).await;
            desk.idle().push(connection);
            answer
        });
        match asked.await {
            Ok(answer) => Ok(answer?),
            Err(error) => {
                let broke = Fault::permanent("a question to the log broke").because(error);
                Err(broke.into())
            }
        }
    }

    /// A session with the source.
    pub(super) async fn source(&self) -> Result<Connection> {
        self.0.source.connection().await
    }

    /// Does something to the log. It is done to its end even if nobody waits for that any more.
    pub(crate) async fn operate<T, F>(
        &self,
        deed: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send,
    {
        done(&self.0.operators, deed).await
    }

    /// The same for what is asked of deliveries: it may be many of them, it is tried for long where
    /// they are locked, and it has a patience of its own for each lock, which its session keeps.
    pub(crate) async fn request<T, F>(
        &self,
        deed: impl FnOnce(Connection) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send,
    {
        done(&self.0.requesters, deed).await
    }

    async fn connection(&self) -> Result<Connection> {
        while let Some(connection) = self.take_idle() {
            if !connection.is_ended() {
                return Ok(connection);
            }
        }
        let connection = Connection::open(&self.0.log, "rowhook api").await?;
        let set = connection.batch_execute(READING).await;
        set.map_err(|error| sql_fault("cannot set up a session with the log", error))?;
        Ok(connection)
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle().pop()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn done<T, F>(
    operators: &Operators,
    deed: impl FnOnce(Connection) -> F + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send,
{
    let place = operators.room.place().await?;
    let link = operators.link.clone();
    let done = tokio::spawn(async move {
        let _place = place;
        deed(link.connection().await?).await
    });
    done.await.unwrap_or_else(|error| {
        Err(Fault::permanent("an operator's request broke")
            .because(error)
            .into())
    })
}
