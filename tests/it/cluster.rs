//! A real Postgres that tests start themselves.
//!
//! Most tests share one cluster per test process and get a database each ([`Database::create`]);
//! tests that restart the server start their own ([`Cluster::start`]). A small shell process holds
//! the other end of a pipe and stops the server and removes its directory as soon as the test
//! process is gone, however it went.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, Config, NoTls};

use crate::patience::PATIENCE;
use crate::ports::free_port;

/// The superuser of every test cluster.
pub(crate) const SUPERUSER: &str = "postgres";
/// Its password over TCP, made of characters that a URL has to escape.
pub(crate) const PASSWORD: &str = "s3cret:/@ pass%word";
/// The same, as it stands in a URL.
const PASSWORD_IN_URL: &str = "s3cret%3A%2F%40%20pass%25word";

/// The longest path of a Unix socket is 107 bytes.
const LONGEST_DIRECTORY: usize = 60;
/// What `pg_ctl` waits for a server.
const SERVER_TIMEOUT_SECONDS: &str = "240";

/// How `pg_ctl stop` ends a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Disconnects clients, waits until walsenders have sent everything, writes a checkpoint.
    Fast,
    /// As a crash: recovery at the next start.
    Immediate,
}

impl Stop {
    fn mode(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Immediate => "immediate",
        }
    }
}

/// One Postgres server with its own data directory, Unix socket and TCP port.
pub(crate) struct Cluster {
    binaries: PathBuf,
    directory: PathBuf,
    port: u16,
    /// Replaced when the process ends or the cluster is dropped: closing its input stops the server.
    watchdog: Child,
}

static SHARED: OnceCell<Arc<Cluster>> = OnceCell::const_new();

impl Cluster {
    /// The cluster that all tests of this process share. Never restart it.
    pub(crate) async fn shared() -> Arc<Self> {
        let start = async { Arc::new(Self::start(&[]).await) };
        Arc::clone(SHARED.get_or_init(|| start).await)
    }

    /// Starts a cluster of one's own, with server settings (`"wal_sender_timeout=2s"`) added.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let binaries = find_binaries();
        let directory = scratch_directory();
        let watchdog = watch(&binaries, &directory);
        let mut cluster = Self {
            binaries,
            directory,
            port: free_port(),
            watchdog,
        };
        cluster.initialise(settings).await;
        // Another process may take the port between its choice and its use.
        for _ in 0..3 {
            if cluster.try_launch().await.is_ok() {
                return cluster;
            }
            cluster.port = free_port();
        }
        cluster.launch().await;
        cluster
    }

    async fn initialise(&self, settings: &[&str]) {
        let password_file = self.directory.join("password");
        std::fs::write(&password_file, PASSWORD).unwrap();
        let mut initdb = self.server_command("initdb");
        initdb
            .args([
                "--username",
                SUPERUSER,
                "--encoding",
                "UTF8",
                "--locale",
                "C",
            ])
            .args(["--auth-local", "trust", "--auth-host", "scram-sha-256"])
            .arg("--no-sync")
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(self.data());
        run(initdb).await.unwrap_or_else(|error| panic!("{error}"));

        let mut lines = vec![
            "wal_level=logical",
            "max_wal_senders=60",
            "max_replication_slots=60",
            "max_connections=300",
            "listen_addresses='127.0.0.1'",
            // Tests end processes, never the machine: what was written stays written.
            "fsync=off",
            "timezone='Asia/Kolkata'",
        ];
        lines.extend(settings);
        let directory = self.directory.display();
        let text = format!(
            "{}\nunix_socket_directories='{directory}'\n",
            lines.join("\n")
        );
        let file = self.directory.join("test.conf");
        std::fs::write(&file, text).unwrap();
        let mut main = std::fs::read_to_string(self.data().join("postgresql.conf")).unwrap();
        main.push_str(&format!("\ninclude '{}'\n", file.display()));
        std::fs::write(self.data().join("postgresql.conf"), main).unwrap();
    }

    /// A physical standby of this server: a copy of its data, not started yet. The server must be
    /// stopped; `slot` is its physical slot there.
    pub(crate) async fn standby(&self, slot: &str, settings: &[&str]) -> Self {
        let directory = scratch_directory();
        let standby = Self {
            watchdog: watch(&self.binaries, &directory),
            binaries: self.binaries.clone(),
            port: free_port(),
            directory,
        };
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.data()).arg(standby.data());
        run(copy).await.unwrap_or_else(|error| panic!("{error}"));
        let (ours, theirs) = (self.directory.display(), standby.directory.display());
        let main = standby.data().join("postgresql.conf");
        let text = std::fs::read_to_string(&main).unwrap();
        let text = text.replace(&ours.to_string(), &theirs.to_string());
        std::fs::write(&main, text).unwrap();
        std::fs::write(standby.data().join("standby.signal"), "").unwrap();
        let conninfo = format!(
            "host={ours} port={} user={SUPERUSER} dbname=postgres",
            self.port
        );
        let mut text = std::fs::read_to_string(self.directory.join("test.conf")).unwrap();
        text = text.replace(&ours.to_string(), &theirs.to_string());
        text.push_str(&format!(
            "primary_conninfo='{conninfo}'\nprimary_slot_name='{slot}'\nhot_standby_feedback=on\n{}\n",
            settings.join("\n")
        ));
        std::fs::write(standby.directory.join("test.conf"), text).unwrap();
        standby
    }

    /// Starts the server again after [`stop`](Self::stop).
    pub(crate) async fn launch(&self) {
        if let Err(error) = self.try_launch().await {
            panic!("{error}\n{}", self.server_log());
        }
    }

    async fn try_launch(&self) -> Result<(), String> {
        let mut start = self.server_command("pg_ctl");
        start
            .args([
                "start",
                "--silent",
                "--wait",
                "--timeout",
                SERVER_TIMEOUT_SECONDS,
            ])
            .arg("--pgdata")
            .arg(self.data())
            .arg("--log")
            .arg(self.directory.join("postgres.log"))
            .args(["--options", &format!("-p {}", self.port)]);
        run(start).await
    }

    /// Stops the server and tells how long that took.
    pub(crate) async fn stop(&self, how: Stop) -> Duration {
        let began = Instant::now();
        let mut stop = self.server_command("pg_ctl");
        stop.args(["stop", "--silent", "--wait"])
            .args(["--timeout", SERVER_TIMEOUT_SECONDS])
            .args(["--mode", how.mode(), "--pgdata"])
            .arg(self.data());
        if let Err(error) = run(stop).await {
            panic!("{error}\n{}", self.server_log());
        }
        began.elapsed()
    }

    /// Stops and starts the server; tells how long the stop took.
    pub(crate) async fn restart(&self, how: Stop) -> Duration {
        let took = self.stop(how).await;
        self.launch().await;
        took
    }

    /// Sends a signal to every backend that a query's `pid` column names (`STOP`, `CONT`, `KILL`).
    pub(crate) async fn signal_backends(&self, signal: &str, query: &str) {
        let client = self.client("postgres").await;
        for row in client.query(query, &[]).await.unwrap() {
            let pid: i32 = row.get("pid");
            let mut kill = Command::new("kill");
            kill.args(["-s", signal, &pid.to_string()]);
            run(kill).await.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// A client as superuser over the Unix socket. Waits while the server starts.
    pub(crate) async fn client(&self, database: &str) -> Client {
        let mut config = Config::new();
        config
            .host_path(&self.directory)
            .port(self.port)
            .user(SUPERUSER)
            .dbname(database)
            .options("-c timezone=UTC");
        let began = Instant::now();
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) if began.elapsed() < PATIENCE && is_starting(&error) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("connecting to {database}: {error:?}"),
            }
        }
    }

    /// URL over TCP, with the superuser's password.
    pub(crate) fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://{SUPERUSER}:{PASSWORD_IN_URL}@127.0.0.1:{port}/{database}")
    }

    /// URL over TCP, without a password.
    pub(crate) fn url_without_password(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// URL over the Unix socket.
    pub(crate) fn socket_url(&self, database: &str) -> String {
        let host = self.directory.display();
        let port = self.port;
        format!("postgres://{SUPERUSER}@/{database}?host={host}&port={port}")
    }

    /// The server's major version.
    pub(crate) fn version() -> u32 {
        let output = std::process::Command::new(find_binaries().join("postgres"))
            .arg("--version")
            .output()
            .unwrap();
        // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
        let text = String::from_utf8(output.stdout).unwrap();
        let version = text.split_whitespace().nth(2).unwrap();
        version.split('.').next().unwrap().parse().unwrap()
    }

    /// The TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub(crate) fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The directory stays when the server is stopped, for someone to look into.
    pub(crate) fn keep(&self) {
        std::fs::write(self.directory.join("keep"), "").unwrap();
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the server has logged so far.
    pub(crate) fn server_log(&self) -> String {
        let file = self.directory.join("postgres.log");
        std::fs::read_to_string(file).unwrap_or_default()
    }

    /// A client program (`pgbench`, `psql`), set up to reach `database` over the Unix socket.
    pub(crate) fn program(&self, name: &str, database: &str) -> Command {
        let mut command = Command::new(self.client_program(name));
        command
            .env("PGHOST", &self.directory)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .env("PGDATABASE", database)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// The server's own, else those of the packaged Postgres: some builds are servers alone.
    fn client_program(&self, name: &str) -> PathBuf {
        let own = self.binaries.join(name);
        match own.exists() {
            true => own,
            false => packaged_program(name).unwrap_or(own),
        }
    }

    fn server_command(&self, name: &str) -> Command {
        let line = as_unprivileged(&self.binaries.join(name));
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).current_dir("/");
        command
    }

    /// Drops a database with its slots, from a place that cannot wait for futures.
    fn drop_database(&self, name: &str) {
        let slots = format!(
            "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots
              where database = '{name}' and active;
             select pg_drop_replication_slot(slot_name) from pg_replication_slots
              where database = '{name}'"
        );
        let drop = format!("drop database if exists {name} with (force)");
        let _ = std::process::Command::new(self.client_program("psql"))
            .env("PGHOST", &self.directory)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", SUPERUSER)
            .args(["-X", "-q", "-d", "postgres", "-c", &slots, "-c", &drop])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// A database of one test, with names for what is shared by the whole cluster.
pub(crate) struct Database {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) name: String,
}

static NEXT_DATABASE: AtomicU32 = AtomicU32::new(1);

impl Database {
    /// A database in the shared cluster.
    pub(crate) async fn create() -> Self {
        Self::create_in(&Cluster::shared().await).await
    }

    /// A database in the shared cluster that differs from the others: `encoding 'LATIN1'`.
    pub(crate) async fn create_with(options: &str) -> Self {
        Self::make(&Cluster::shared().await, options).await
    }

    /// A database in a cluster of one's own.
    pub(crate) async fn create_in(cluster: &Arc<Cluster>) -> Self {
        Self::make(cluster, "").await
    }

    async fn make(cluster: &Arc<Cluster>, options: &str) -> Self {
        let number = NEXT_DATABASE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        let client = cluster.client("postgres").await;
        // Two databases cannot be made from one template at the same time; the server waits a while
        // for the other one, and then gives up.
        client
            .batch_execute(&format!("create database {name} {options}"))
            .await
            .unwrap();
        Self {
            cluster: Arc::clone(cluster),
            name,
        }
    }

    /// A client as superuser, its time zone UTC.
    pub(crate) async fn client(&self) -> Client {
        self.cluster.client(&self.name).await
    }

    /// URL over TCP.
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// URL over the Unix socket.
    pub(crate) fn socket_url(&self) -> String {
        self.cluster.socket_url(&self.name)
    }

    /// The slot of this test.
    pub(crate) fn slot(&self) -> String {
        format!("slot_{}", self.name)
    }

    /// The publication of this test.
    pub(crate) fn publication(&self) -> String {
        format!("publication_{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.cluster.drop_database(&self.name);
    }
}

/// Whether a connection failed because the server is not up yet.
fn is_starting(error: &tokio_postgres::Error) -> bool {
    error
        .code()
        .is_none_or(|code| code.code() == "57P03" || code.code() == "53300")
}

async fn run(mut command: Command) -> Result<(), String> {
    // Postgres would keep a pipe open for as long as it runs: its output goes to a file instead.
    let output = tempfile::tempfile().unwrap();
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output.try_clone().unwrap())
        .status()
        .await
        .map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let text = read_from_start(output);
    Err(format!("{command:?}: {status}\n{text}"))
}

fn read_from_start(mut file: std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind().unwrap();
    let _ = file.read_to_string(&mut text);
    text
}

/// `PG_BIN`, else the newest Debian package, else whatever `PATH` has.
fn find_binaries() -> PathBuf {
    if let Some(chosen) = std::env::var_os("PG_BIN") {
        return PathBuf::from(chosen);
    }
    if let Some(newest) = packaged_program("initdb") {
        return newest.parent().unwrap().to_owned();
    }
    std::env::var_os("PATH")
        .iter()
        .flat_map(std::env::split_paths)
        .find(|bin| bin.join("initdb").exists())
        .expect("no initdb in PG_BIN, /usr/lib/postgresql/*/bin or PATH: run tests/run.sh")
}

/// A program of the newest Debian package that has it.
fn packaged_program(program: &str) -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = installed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let path = |version: u32| format!("/usr/lib/postgresql/{version}/bin/{program}");
    let mut found: Vec<u32> = versions
        .filter(|version| Path::new(&path(*version)).exists())
        .collect();
    found.sort_unstable();
    found.pop().map(|newest| path(newest).into())
}

/// A new directory that the server's user owns, with a path short enough for a socket.
fn scratch_directory() -> PathBuf {
    let mut parent = std::env::temp_dir();
    if parent.as_os_str().len() > LONGEST_DIRECTORY {
        parent = PathBuf::from("/tmp");
    }
    let directory = tempfile::Builder::new()
        .prefix("rowhook-pg-")
        .tempdir_in(parent)
        .unwrap()
        .keep();
    if let Some(user) = unprivileged_user() {
        // The owner alone is not enough: clients run as root here, and root may go anywhere.
        let status = std::process::Command::new("chown")
            .args([OsStr::new(user), directory.as_os_str()])
            .status()
            .unwrap();
        assert!(status.success(), "chown {user} {}", directory.display());
    }
    directory
}

/// Whom the server runs as where the tests run as root, which Postgres refuses.
pub(crate) fn unprivileged_user() -> Option<&'static str> {
    static USER: std::sync::OnceLock<Option<&'static str>> = std::sync::OnceLock::new();
    let id = |arguments: &[&str]| std::process::Command::new("id").args(arguments).output();
    *USER.get_or_init(|| {
        if id(&["-u"]).unwrap().stdout.trim_ascii() != b"0" {
            return None;
        }
        let has_postgres = id(&["-u", "postgres"]).is_ok_and(|answer| answer.status.success());
        Some(if has_postgres { "postgres" } else { "nobody" })
    })
}

fn as_unprivileged(program: &Path) -> Vec<std::ffi::OsString> {
    let mut line: Vec<std::ffi::OsString> = Vec::new();
    if let Some(user) = unprivileged_user() {
        line.extend(["runuser", "-u", user, "--"].map(Into::into));
    }
    line.push(program.into());
    line
}

/// Starts the shell that outlives the test process: it reads until its input is closed, which the
/// kernel does when the test process dies, then stops the server and removes its directory.
fn watch(binaries: &Path, directory: &Path) -> Child {
    let script = r#"
        directory=$1; shift
        cat >/dev/null
        test -e "$directory/data/postmaster.pid" &&
            "$@" stop --silent --wait --mode immediate --pgdata "$directory/data"
        test -e "$directory/keep" || rm -rf "$directory"
    "#;
    std::process::Command::new("sh")
        .args(["-c", script, "watchdog"])
        .arg(directory)
        .args(as_unprivileged(&binaries.join("pg_ctl")))
        .current_dir("/")
        // Of its own group, so that Ctrl-C at the terminal does not reach it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
