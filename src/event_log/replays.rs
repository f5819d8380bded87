//! Replays that were asked for: requests, progress, and their end.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::fault::Result;
use crate::wal::server_error::sql_fault;

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asked for; no daemon has begun it.
    Waiting,
    /// Under way; goes on where it was after a restart.
    Running,
    /// Every event that it wants is delivered or dead.
    Done,
    /// Ended by a fault that needs an operator.
    Failed,
    /// Ended by an operator.
    Cancelled,
}

impl State {
    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "waiting" => Self::Waiting,
            "running" => Self::Running,
            "done" => Self::Done,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }

    /// Whether there is more to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }
}

/// What an operator asks for: everything that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The webhook that the events go to.
    pub webhook: String,
    /// Only after this sequence id.
    pub after: i64,
    /// Only up to this one.
    pub up_to: i64,
    /// Only if committed at this time or later.
    pub from: Option<Timestamp>,
    /// Only if committed before this time.
    pub to: Option<Timestamp>,
    /// Only of a type that one of these patterns covers.
    pub types: Option<Vec<String>>,
    /// Only of this resource.
    pub resource: Option<String>,
    /// Only with this key.
    pub resource_id: Option<String>,
    /// Only if this CEL expression says so.
    pub when: Option<String>,
    /// Bound on its speed.
    pub per_second: Option<f64>,
}

/// A replay.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayRow {
    /// Its number.
    pub id: i64,
    /// The name of its row in `rowhook.subscriptions`: `billing/replay-7`.
    pub name: String,
    /// What was asked for.
    pub request: Request,
    /// How far it is.
    pub state: State,
    /// Every event of the range up to it is settled.
    pub cursor: i64,
    /// Whether it still has a row in `rowhook.subscriptions`.
    pub has_cursor: bool,
    /// Events that were delivered for it.
    pub delivered: i64,
    /// Deliveries that wait for a retry.
    pub waiting: i64,
    /// Deliveries that were given up.
    pub dead: i64,
    /// Sequence ids of the range that retention took before their turn came.
    pub skipped: i64,
    /// What it waits for, or why it ended.
    pub reason: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

impl ReplayRow {
    /// Whether somebody has to work on it. One that is done is taken up again when an operator
    /// sends its dead deliveries once more.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.state.is_open() || self.state == State::Done && self.waiting > 0
    }
}

const SQL: &str = include_str!("../../sql/replays.sql");
const CANNOT_READ: &str = "cannot read the replays";

/// Asks for a replay; gives its number.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn request(client: &Client, request: &Request) -> Result<i64> {
    let fault = |error| {
        let webhook = &request.webhook;
        sql_fault(
            format!("cannot ask for a replay to webhook \"{webhook}\""),
            error,
        )
    };
    let row = client
        .query_one(
            include_str!("../../sql/request_replay.sql"),
            &[
                &request.webhook,
                &request.after,
                &request.up_to,
                &request.from,
                &request.to,
                &request.types,
                &request.resource,
                &request.resource_id,
                &request.when,
                &request.per_second,
            ],
        )
        .await
        .map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// All of them, the newest last.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn list(client: &Client) -> Result<Vec<ReplayRow>> {
    query(client, "order by r.replay_id", &[]).await
}

/// One of them.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn of_id(client: &Client, id: i64) -> Result<Option<ReplayRow>> {
    let values = [(&id as &(dyn ToSql + Sync), Type::INT8)];
    Ok(query(client, "where r.replay_id = $1", &values)
        .await?
        .pop())
}

/// Those that are open or have left something to look after, the oldest first.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn kept(client: &Client) -> Result<Vec<ReplayRow>> {
    let rest = "where r.state in ('waiting', 'running') or s.name is not null order by r.replay_id";
    query(client, rest, &[]).await
}

async fn query(
    client: &Client,
    rest: &str,
    values: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<ReplayRow>> {
    let fault = |error| sql_fault(CANNOT_READ, error);
    let sql = format!("{SQL} {rest}");
    let rows = client.query_typed(&sql, values).await.map_err(fault)?;
    rows.iter().map(|row| read(row).map_err(fault)).collect()
}

fn read(row: &Row) -> Result<ReplayRow, tokio_postgres::Error> {
    Ok(ReplayRow {
        id: row.try_get(0)?,
        name: row.try_get(2)?,
        request: Request {
            webhook: row.try_get(1)?,
            after: row.try_get(4)?,
            up_to: row.try_get(5)?,
            from: row.try_get(6)?,
            to: row.try_get(7)?,
            types: row.try_get(8)?,
            resource: row.try_get(9)?,
            resource_id: row.try_get(10)?,
            when: row.try_get(11)?,
            per_second: row.try_get(12)?,
        },
        state: State::parse(row.try_get(3)?),
        delivered: row.try_get(13)?,
        skipped: row.try_get(14)?,
        reason: row.try_get(15)?,
        requested_at: row.try_get(16)?,
        cursor: row.try_get(17)?,
        has_cursor: row.try_get(18)?,
        waiting: row.try_get(19)?,
        dead: row.try_get(20)?,
    })
}

/// Notes that a replay is under way, and what it waits for, if it does. Not if it was ended.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn note(client: &Client, id: i64, state: State, reason: Option<&str>) -> Result<()> {
    let sql = "update rowhook.replays set state = $2, reason = $3, updated_at = now() \
                where replay_id = $1 and state in ('waiting', 'running', 'done')";
    execute(client, sql, &[&id, &state.as_str(), &reason]).await?;
    Ok(())
}

/// Ends an open replay; `false` if it was ended already.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn end(client: &Client, id: i64, state: State, reason: Option<&str>) -> Result<bool> {
    let sql = "update rowhook.replays r set state = $2, reason = $3, updated_at = now(), \
                      reached = coalesce((select cursor from rowhook.subscriptions s where s.name = r.name), reached) \
                where replay_id = $1 and state in ('waiting', 'running')";
    Ok(execute(client, sql, &[&id, &state.as_str(), &reason]).await? > 0)
}

/// Ends every replay to a webhook.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn cancel_all(client: &Client, webhook: &str, reason: &str) -> Result<()> {
    let sql = "update rowhook.replays set state = 'cancelled', reason = $2, updated_at = now() \
                where webhook = $1 and state in ('waiting', 'running')";
    execute(client, sql, &[&webhook, &reason]).await?;
    Ok(())
}

/// How many deliveries the replays of a webhook have left, waiting and dead.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn deliveries_of(client: &Client, webhook: &str) -> Result<i64> {
    let fault = |error| sql_fault("cannot count the deliveries of replays", error);
    let sql = "select count(*) from rowhook.deliveries d join rowhook.replays r on r.name = d.subscription \
                where r.webhook = $1";
    let row = client.query_one(sql, &[&webhook]).await.map_err(fault)?;
    row.try_get(0).map_err(fault)
}

/// Removes what the replays of a webhook have left. Their cursors go when the daemon sees that nothing
/// needs them: one that still runs would take itself for fenced off without.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn forget_deliveries(client: &Client, webhook: &str) -> Result<()> {
    let sql = "delete from rowhook.deliveries d using rowhook.replays r \
                where r.name = d.subscription and r.webhook = $1";
    execute(client, sql, &[&webhook]).await?;
    Ok(())
}

/// Counts what the retention has taken behind `after` and up to `gone_to`, once.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn skip(client: &Client, id: i64, after: i64, gone_to: i64) -> Result<()> {
    let sql = "update rowhook.replays \
                  set skipped = skipped + greatest($3 - greatest($2, coalesce(skipped_to, 0)), 0), \
                      skipped_to = greatest(skipped_to, $3), updated_at = now() \
                where replay_id = $1";
    execute(client, sql, &[&id, &after, &gone_to]).await?;
    Ok(())
}

/// How many events were delivered for it.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn delivered(client: &Client, id: i64) -> Result<i64> {
    let fault = |error| sql_fault("cannot read a replay's state", error);
    let sql = "select delivered from rowhook.replays where replay_id = $1";
    let row = client.query_opt(sql, &[&id]).await.map_err(fault)?;
    row.map_or(Ok(0), |row| row.try_get(0)).map_err(fault)
}

/// Removes what an ended replay has no use for: what waits, if it was cut off, and what operators gave
/// up, as no runner does it any more; and its cursor, unless dead deliveries need it. `true` if nothing is left.
///
/// # Errors
/// By the server's SQLSTATE.
pub async fn tidy(client: &Client, replay: &ReplayRow) -> Result<bool> {
    let name = &replay.name;
    if replay.state != State::Done {
        let sql = "delete from rowhook.deliveries where subscription = $1 \
                      and (state = 'waiting' or request = 'discard')";
        execute(client, sql, &[name]).await?;
    }
    let sql = "update rowhook.replays r set reached = s.cursor from rowhook.subscriptions s \
                where r.name = $1 and s.name = $1";
    execute(client, sql, &[name]).await?;
    let sql = "delete from rowhook.subscriptions s where s.name = $1 \
                  and not exists (select from rowhook.deliveries d where d.subscription = s.name)";
    Ok(execute(client, sql, &[name]).await? > 0)
}

async fn execute(client: &Client, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    client
        .execute(sql, values)
        .await
        .map_err(|error| sql_fault("cannot note a replay's state", error))
}
