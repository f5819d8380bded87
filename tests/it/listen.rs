//! `rowhook listen`: live events to a developer's machine.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::capture::Captured;
use crate::patience::PATIENCE;
use crate::ports::free_port;
use crate::receiver::{Receiver, Reply};
use crate::tls_front::{Authority, TlsFront};

const TABLES: &str =
    "create table posts (id int primary key, title text); create table users (id int primary key)";

struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(captured: &Captured, url: &str, more: &[&str]) -> Self {
        let arguments = [&["listen", "--forward-to", url], more].concat();
        let mut command = captured.rowhook.command(&arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("no line in time")
            .unwrap()
            .expect("it has ended")
    }

    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    /// Ctrl-C; gives the exit code and what it said beside its lines.
    async fn interrupt(mut self) -> (Option<i32>, String) {
        let kill = format!("kill -s INT {}", self.child.id().unwrap());
        let sent = Command::new("sh")
            .args(["-c", &kill])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        (ended.expect("it does not end").unwrap().code(), said)
    }
}

#[tokio::test]
async fn events_go_out_in_order_signed_and_marked_and_failures_end_nothing() {
    let receiver = Receiver::start().await;
    let captured = Captured::tables(TABLES).await;
    for id in 1..=3 {
        captured
            .execute(&format!("insert into posts values ({id}, 'old')"))
            .await;
    }
    captured.logged(3).await;
    receiver.answer_next([
        Reply::Status(204),
        Reply::Full(500, Vec::new(), "no such\nroute".into()),
    ]);
    let (url, secret) = (receiver.url(), receiver.secret());
    let more = [
        "--json", "--replay", "2", "--events", "posts.*", "--secret", &secret,
    ];
    let mut listening = Listening::start(&captured, &url, &more);
    let (first, second) = (listening.json().await, listening.json().await);
    assert_eq!(
        (&first["sequenceId"], &first["status"]),
        (&2.into(), &204.into())
    );
    assert_eq!(
        (&second["sequenceId"], &second["status"]),
        (&3.into(), &500.into())
    );
    assert_eq!(second["delivered"], false);
    assert!(
        second["answer"].as_str().unwrap().contains("no such"),
        "{second:#}"
    );

    captured.execute("insert into users values (1)").await;
    captured
        .execute("update posts set title = 'new' where id = 1")
        .await;
    assert_eq!(listening.json().await["sequenceId"], 5);
    let requests = receiver.requests();
    let ids: Vec<i64> = requests.iter().map(|request| request.sequence_id).collect();
    assert_eq!(ids, [2, 3, 5]);
    receiver.assert_all_signed();
    assert!(
        requests
            .iter()
            .all(|request| request.header("x-rowhook-listen") == Some("true"))
    );
    assert_eq!(requests[2].json()["event"]["data"]["old"]["title"], "old");

    let (code, said) = listening.interrupt().await;
    assert_eq!(code, Some(0));
    assert!(
        said.contains("2 delivered, 1 failed, 1 not asked for"),
        "{said}"
    );
    assert!(!said.contains("whsec_"), "{said}");
    let sql = "select count(*) from rowhook.subscriptions";
    let row = captured.client.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "no subscription was written");
}

#[tokio::test]
async fn nobody_at_the_url_ends_nothing_and_a_new_secret_is_told_once() {
    let captured = Captured::tables(TABLES).await;
    // Nobody else takes this port meanwhile.
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}/hook");
    captured.execute("insert into posts values (1, 'a')").await;
    captured.logged(1).await;
    let mut listening = Listening::start(
        &captured,
        &url,
        &["--replay", "1h", "--format", "cloudevents"],
    );
    let line = listening.line().await;
    assert!(
        line.contains("posts.created 1") && line.contains("connect"),
        "{line}"
    );
    let receiver = Receiver::start_at(&address).await;
    receiver.answer_next([Reply::Full(422, Vec::new(), "title is missing".into())]);
    captured.execute("insert into posts values (2, 'b')").await;
    let line = listening.line().await;
    assert!(line.contains("422"), "{line}");
    assert!(listening.line().await.ends_with("| title is missing"));
    let request = &receiver.wait_for_count(1).await[0];
    assert_eq!(
        request.header("content-type"),
        Some("application/cloudevents+json")
    );
    assert!(request.header("webhook-signature").is_some());
    let (code, said) = listening.interrupt().await;
    assert_eq!(code, Some(0));
    assert_eq!(said.matches("signed with whsec_").count(), 1, "{said}");

    for (wrong, why) in [
        (
            vec!["--forward-to", "localhost:3000/hooks"],
            "http://localhost:3000/hooks",
        ),
        (
            vec!["--forward-to", &url, "--webhook", "none"],
            "no webhook",
        ),
        (
            vec!["--forward-to", &url, "--events", "posts"],
            "matches no event",
        ),
        (vec!["--forward-to", &url, "--secret", "hush"], "whsec_"),
    ] {
        let said = captured
            .rowhook
            .fail(&[&["listen"], &wrong[..]].concat(), 78)
            .await;
        assert!(said.contains(why) && !said.contains("hush"), "{said}");
    }
}

#[tokio::test]
async fn a_webhooks_format_filter_and_secret_can_be_taken_and_any_certificate() {
    let receiver = Receiver::start().await;
    let front = TlsFront::for_anyone(&receiver, &Authority::new("nobody trusts it")).await;
    let captured = Captured::with(TABLES, |rowhook| {
        rowhook.webhook_to(
            "real",
            &receiver,
            toml::toml! {
                url = "http://127.0.0.1:1/"
                events = ["posts.*"]
                when = "new.id > 1"
                format = "rowhook"
            },
        )
    })
    .await;
    captured
        .execute("insert into users values (1); insert into posts values (1, 'a'), (2, 'b')")
        .await;
    captured.logged(3).await;
    let url = front.url();
    let more = ["--json", "--webhook", "real", "--replay", "3"];
    let mut listening = Listening::start(&captured, &url, &more);
    assert_eq!(
        listening.json().await["outcome"]
            .as_str()
            .unwrap()
            .split(':')
            .next(),
        Some("tls")
    );
    listening.interrupt().await;
    let more = [&more[..], &["--skip-verify"]].concat();
    let mut listening = Listening::start(&captured, &url, &more);
    let sent = listening.json().await;
    assert_eq!(
        (&sent["sequenceId"], &sent["delivered"]),
        (&3.into(), &true.into()),
        "{sent:#}"
    );
    receiver.assert_all_signed();
    assert_eq!(receiver.requests()[0].json()["subscription"], "real");
    assert_eq!(listening.interrupt().await.0, Some(0));
}
