//! The real binary, run with settings that a test writes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use toml::{Table, Value};

use crate::cluster::Database;
use crate::patience::PATIENCE;
use crate::ports::free_port;
use crate::receiver::Receiver;

/// What others have written is seen this soon; it takes seconds otherwise.
const LOOKS: &str = "100ms";
/// Time to let a server that is not up yet come up before it is asked again.
const POLL: Duration = Duration::from_millis(20);

/// One installation of rowhook: a settings file in a directory of its own.
pub(crate) struct Rowhook {
    directory: TempDir,
    settings: Table,
    environment: Vec<(String, String)>,
    api_port: u16,
}

impl Rowhook {
    /// Settings for a database: its URL over TCP, its own slot and publication, an API port.
    pub(crate) fn new(database: &Database) -> Self {
        let api_port = free_port();
        Self {
            directory: TempDir::with_prefix("rowhook-it-").unwrap(),
            settings: Table::new(),
            environment: Vec::new(),
            api_port,
        }
        .set("source.url", database.url())
        .set("source.slot", database.slot())
        .set("source.publication", database.publication())
        .set("api.listen", format!("127.0.0.1:{api_port}"))
    }

    /// Sets one key by its path, as `source.silence_timeout`.
    #[must_use]
    pub(crate) fn set(mut self, path: &str, value: impl Into<Value>) -> Self {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.settings;
        for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
            table = table
                .entry(parent)
                .or_insert_with(|| Value::Table(Table::new()))
                .as_table_mut()
                .unwrap_or_else(|| panic!("{parent} of {path} is not a table"));
        }
        table.insert(key.to_owned(), value.into());
        self.write();
        self
    }

    /// Sets an environment variable of every command.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes one key out.
    #[must_use]
    pub(crate) fn unset(mut self, path: &str) -> Self {
        let (section, key) = path.rsplit_once('.').unwrap();
        if let Some(table) = self.settings.get_mut(section).and_then(Value::as_table_mut) {
            table.remove(key);
        }
        self.write();
        self
    }

    /// Adds a `[[resource]]`.
    #[must_use]
    pub(crate) fn resource(self, resource: Table) -> Self {
        self.push("resource", resource)
    }

    /// Adds a `[[webhook]]` as it stands.
    #[must_use]
    pub(crate) fn webhook(self, webhook: Table) -> Self {
        self.push("webhook", webhook)
    }

    /// Adds a `[[webhook]]` that goes to a receiver, signed with the receiver's secret and with
    /// retries as short as tests want them; `more` adds to that and overrides it. It waits for an answer
    /// for longer than any test does: what a receiver holds back is not sent again.
    #[must_use]
    pub(crate) fn webhook_to(self, name: &str, receiver: &Receiver, more: Table) -> Self {
        let secret = self.directory.path().join(format!("{name}.secret"));
        std::fs::write(&secret, receiver.secret()).unwrap();
        let mut webhook = toml::toml! {
            events = ["*"]
            timeout = "10m"
            start = "beginning"
            retry = { attempts = 10, initial = "50ms", multiplier = 2, max = "1s" }
        };
        webhook.insert("name".into(), name.into());
        webhook.insert("url".into(), receiver.url().into());
        let mut file = Table::new();
        file.insert("file".into(), secret.to_str().unwrap().into());
        webhook.insert("secret".into(), file.into());
        webhook.extend(more);
        self.webhook(webhook)
    }

    fn push(mut self, list: &str, table: Table) -> Self {
        self.settings
            .entry(list)
            .or_insert_with(|| Value::Array(Vec::new()))
            .as_array_mut()
            .unwrap()
            .push(Value::Table(table));
        self.write();
        self
    }

    /// The settings file.
    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("rowhook.toml")
    }

    /// A directory for files of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn write(&self) {
        let text = toml::to_string(&self.settings).unwrap();
        std::fs::write(self.config(), text).unwrap();
    }

    /// The binary with `--config` and these arguments, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rowhook"));
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("NOTIFY_SOCKET")
            .env("ROWHOOK_TEST_LOOKS", LOOKS)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run_command(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        tokio::time::timeout(PATIENCE, output)
            .await
            .unwrap_or_else(|_| panic!("rowhook {arguments:?} did not end"))
            .unwrap()
    }

    /// Runs a command that has to succeed; gives what it printed.
    pub(crate) async fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run_command(arguments).await;
        assert!(
            output.status.success(),
            "rowhook {arguments:?}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to fail with this exit code; gives all that it printed.
    pub(crate) async fn fail(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run_command(arguments).await;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    /// Runs a command with `--json` that has to succeed; gives what it printed, parsed.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let text = self.succeed(&arguments).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// `rowhook setup`.
    pub(crate) async fn setup(&self) {
        self.succeed(&["setup"]).await;
    }

    /// Starts `rowhook run`.
    pub(crate) fn spawn(&self) -> Daemon {
        self.spawn_with(|_| ())
    }

    /// Starts `rowhook run` after `change` had its way with the command (environment).
    pub(crate) fn spawn_with(&self, change: impl FnOnce(&mut Command)) -> Daemon {
        let mut command = self.command(&["run"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        Daemon::start(command, self.api_port)
    }

    /// Starts `rowhook run` and waits until it is ready.
    pub(crate) async fn spawn_ready(&self) -> Daemon {
        let mut daemon = self.spawn();
        daemon.wait_ready().await;
        daemon
    }
}

/// A running daemon. Killed when dropped, and when the test process dies.
pub(crate) struct Daemon {
    child: Child,
    pid: u32,
    lines: Lines,
    /// They end when the process has, and nobody else holds its output.
    reading: JoinSet<()>,
    api_port: u16,
    guard: std::process::Child,
}

impl Daemon {
    fn start(mut command: Command, api_port: u16) -> Self {
        let mut child = command.spawn().unwrap();
        let pid = child.id().unwrap();
        let lines = Lines::default();
        let mut reading = JoinSet::new();
        reading.spawn(lines.clone().follow(child.stdout.take().unwrap()));
        reading.spawn(lines.clone().follow(child.stderr.take().unwrap()));
        Self {
            child,
            pid,
            lines,
            reading,
            api_port,
            guard: guard(pid),
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until `/readyz` answers 200. Panics if the daemon ends instead.
    pub(crate) async fn wait_ready(&mut self) {
        let ready = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    panic!(
                        "rowhook run ended ({status}) before it was ready\n{}",
                        self.logs()
                    );
                }
                if matches!(http_get(self.api_port, "/readyz").await, Ok((200, _))) {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(PATIENCE, ready).await.is_err() {
            panic!("rowhook run is not ready\n{}", self.logs());
        }
    }

    /// Where the daemon's HTTP side is.
    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// GET on the daemon's own HTTP side: status and body.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        http_get(self.api_port, path)
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.logs()))
    }

    /// Waits until a line with this text was printed; gives the line.
    pub(crate) async fn wait_for_log(&self, text: &str) -> String {
        let mut changed = self.lines.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                let line = self.lines.find(text);
                if let Some(line) = line {
                    return line;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .unwrap_or_else(|_| panic!("no {text:?} in the daemon's log:\n{}", self.logs()))
    }

    /// Waits until the metrics have this line; gives all of them.
    pub(crate) async fn wait_for_metric(&self, line: &str) -> String {
        let began = Instant::now();
        loop {
            let text = self.get("/metrics").await.1;
            if text.lines().any(|shown| shown == line) {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "no {line} in\n{text}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything printed so far; after the end of the process, everything.
    pub(crate) fn logs(&self) -> String {
        self.lines.text.lock().unwrap().join("\n")
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) async fn kill9(&mut self) {
        self.child.kill().await.unwrap();
        self.read_to_the_end().await;
    }

    /// SIGTERM; does not wait.
    pub(crate) async fn term(&self) {
        self.signal("TERM").await;
    }

    /// Sends a signal by name.
    pub(crate) async fn signal(&self, name: &str) {
        // The shell's own: a small Debian has no program of that name.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid)])
            .status()
            .await
            .unwrap();
        assert!(status.success(), "kill -s {name} {}", self.pid);
    }

    /// Waits for the end; gives the exit code (`None` after a signal).
    pub(crate) async fn wait_exit(&mut self) -> Option<i32> {
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => {
                self.read_to_the_end().await;
                status.unwrap().code()
            }
            Err(_) => panic!("rowhook run does not end\n{}", self.logs()),
        }
    }

    /// A process that has ended may have left lines that nobody has read yet.
    async fn read_to_the_end(&mut self) {
        let reading = async { while self.reading.join_next().await.is_some() {} };
        let read = tokio::time::timeout(PATIENCE, reading).await;
        read.expect("somebody else holds the daemon's output");
    }

    /// SIGTERM, and the exit code.
    pub(crate) async fn stop(&mut self) -> Option<i32> {
        self.term().await;
        self.wait_exit().await
    }

    /// Peak resident memory in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // First the guard, so that it can never kill a process that got the same id later.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.start_kill();
        if std::thread::panicking() {
            eprintln!("--- log of the daemon\n{}\n---", self.logs());
        }
    }
}

/// A shell that kills the daemon when the test process dies: the kernel closes its input then.
fn guard(pid: u32) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    std::process::Command::new("sh")
        .args(["-c", "cat >/dev/null; kill -9 \"$1\"", "guard"])
        .arg(pid.to_string())
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What a process printed, line by line.
#[derive(Clone, Default)]
struct Lines {
    text: Arc<Mutex<Vec<String>>>,
    changed: Arc<watch::Sender<usize>>,
}

impl Lines {
    async fn follow(self, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.text.lock().unwrap().push(line);
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn find(&self, text: &str) -> Option<String> {
        let lines = self.text.lock().unwrap();
        lines.iter().find(|line| line.contains(text)).cloned()
    }
}

/// One GET over HTTP/1.1 to a server on 127.0.0.1.
pub(crate) async fn http_get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    status
        .zip(body)
        .map(|(status, body)| (status, body.to_owned()))
        .ok_or_else(|| std::io::Error::other(format!("not an HTTP answer: {answer:?}")))
}
