//! Events as they are logged.

use futures_util::future::join_all;
use serde_json::Value;

use super::{Caller, answer};
use crate::capture::Captured;
use crate::daemon::Rowhook;
use crate::patience::PATIENCE;

const TABLE: &str = "create table posts (id int primary key, title text)";

/// A client of a stream, as a browser's `EventSource` is one, without its coming back.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
    /// What of the text was given out.
    given: usize,
    pub(crate) last_id: Option<i64>,
}

impl Stream {
    pub(crate) async fn open(caller: &Caller, query: &str, last_id: Option<i64>) -> Self {
        let mut request = caller.request("GET", &format!("/v1/events/stream{query}"));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self {
            response,
            text: String::new(),
            given: 0,
            last_id,
        };
        // The greeting says that it is being served.
        assert_eq!(stream.block().await.as_deref(), Some("retry: 1000"));
        stream
    }

    /// The next block, comments left out; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, _)) = self.text[self.given..].split_once("\n\n") {
                let block = block.to_owned();
                self.given += block.len() + 2;
                if !block.starts_with(':') {
                    return Some(block);
                }
                continue;
            }
            self.text.drain(..std::mem::take(&mut self.given));
            let next = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            match next.expect("nothing comes") {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Err(_) | Ok(None) => return None,
            }
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn event(&mut self) -> Option<Value> {
        let block = self.block().await?;
        let (id, data) = block.split_once('\n').unwrap();
        let id: i64 = id.strip_prefix("id: ").unwrap().parse().unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["sequenceId"], id);
        assert!(self.last_id.is_none_or(|last| last < id), "{id} again");
        self.last_id = Some(id);
        Some(event)
    }

    /// The sequence ids of the next events.
    pub(crate) async fn ids(&mut self, count: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let event = self.event().await.expect("the stream ended");
            ids.push(event["sequenceId"].as_i64().unwrap());
        }
        ids
    }
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_and_goes_on_as_events_are_logged() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute("insert into posts select i from generate_series(1, 500) i")
        .await;
    captured.logged(500).await;
    let caller = Caller::of(&captured.daemon);
    let mut now = Stream::open(&caller, "", None).await;
    let mut all = Stream::open(&caller, "?after=0", None).await;
    let mut since = Stream::open(&caller, "?from=2000-01-01T00:00:00Z", None).await;
    // A header of a client that comes back goes before the address that it came with at first.
    let mut resumed = Stream::open(&caller, "?after=0", Some(499)).await;
    let mut some = Stream::open(
        &caller,
        "?type=*.deleted&resource=posts&resource_id=2",
        None,
    )
    .await;
    captured
        .execute("insert into posts values (501, 'new'), (502, 'new')")
        .await;
    captured
        .execute("delete from posts where id in (1, 2, 3)")
        .await;
    let everything: Vec<i64> = (1..=505).collect();
    assert_eq!(now.ids(5).await, everything[500..]);
    assert_eq!(all.ids(505).await, everything);
    assert_eq!(since.ids(505).await, everything);
    assert_eq!(resumed.ids(6).await, everything[499..]);
    let deleted = some.event().await.unwrap();
    assert_eq!(deleted["type"], "posts.deleted");
    assert_eq!(deleted, caller.json("/v1/events/504").await);
}

#[tokio::test]
async fn a_place_that_the_log_does_not_have_is_refused() {
    let captured = Captured::tables(TABLE).await;
    captured
        .execute("insert into posts select i from generate_series(1, 5) i")
        .await;
    captured.logged(5).await;
    captured
        .execute("delete from rowhook.events where sequence_id <= 3")
        .await;
    let caller = Caller::of(&captured.daemon);
    for (query, status, code) in [
        ("?after=6", 400, "bad_value"),
        ("?after=2", 410, "gone"),
        ("?to=2030-01-01T00:00:00Z", 400, "unknown_parameter"),
        ("?limit=5", 400, "unknown_parameter"),
        ("?type=posts", 400, "bad_value"),
    ] {
        let refused = caller.get(&format!("/v1/events/stream{query}")).await;
        refused.problem(status, code);
    }
    for id in ["x", "-1", "1, 2", "99999999999999999999"] {
        let request = caller
            .request("GET", "/v1/events/stream")
            .header("last-event-id", id);
        answer(request).await.problem(400, "bad_value");
    }
    assert_eq!(
        Stream::open(&caller, "?after=3", None).await.ids(2).await,
        [4, 5]
    );
    assert_eq!(
        Stream::open(&caller, "?after=0", None).await.ids(2).await,
        [4, 5]
    );
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing_over_a_restart_and_a_crash() {
    let mut captured = Captured::tables(TABLE).await;
    let mut seen = Vec::new();
    let mut last_id = Some(0);
    for round in 0..3 {
        let caller = Caller::of(&captured.daemon);
        let mut stream = Stream::open(&caller, "", last_id).await;
        let from = round * 100;
        for id in from..from + 100 {
            captured
                .execute(&format!("insert into posts values ({id})"))
                .await;
        }
        seen.extend(stream.ids(50).await);
        match round {
            0 => assert_eq!(captured.daemon.stop().await, Some(0)),
            1 => captured.daemon.kill9().await,
            _ => {}
        }
        if round < 2 {
            // What it got before the end came counts; it may be in the middle of an event.
            while let Some(event) = stream.event().await {
                seen.push(event["sequenceId"].as_i64().unwrap());
            }
            captured.daemon = captured.rowhook.spawn_ready().await;
        } else {
            let rest = 300 - seen.len();
            seen.extend(stream.ids(rest).await);
        }
        last_id = stream.last_id;
    }
    assert_eq!(seen, (1..=300).collect::<Vec<i64>>());
}

#[tokio::test]
async fn a_thousand_clients_get_every_event() {
    let captured = Captured::tables(TABLE).await;
    captured.execute("insert into posts values (0)").await;
    captured.logged(1).await;
    let caller = Caller::of(&captured.daemon);
    let mut streams = Vec::new();
    for _ in 0..20 {
        let opened = (0..50).map(|_| Stream::open(&caller, "?after=0", None));
        streams.extend(join_all(opened).await);
    }
    let writing = async {
        for round in 0..20 {
            let rows =
                format!("insert into posts select {round} * 10 + i from generate_series(1, 10) i");
            captured.execute(&rows).await;
        }
    };
    let reading = join_all(streams.iter_mut().map(|stream| stream.ids(201)));
    let (seen, ()) = tokio::join!(reading, writing);
    let everything: Vec<i64> = (1..=201).collect();
    assert!(seen.iter().all(|ids| *ids == everything));
    let memory = captured.daemon.peak_memory();
    assert!(memory < 300 << 20, "{} MiB", memory >> 20);
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_misses_nothing() {
    const COUNT: i64 = 20_000;
    let captured = Captured::tables(TABLE).await;
    let caller = Caller::of(&captured.daemon);
    let mut sleeper = Stream::open(&caller, "?after=0", None).await;
    let mut awake = Stream::open(&caller, "?after=0", None).await;
    // More than the ring and all buffers between here and there.
    for part in 0..4 {
        let rows = format!(
            "insert into posts select {part} * 5000 + i, repeat('x', 1000) from generate_series(1, 5000) i"
        );
        captured.execute(&rows).await;
    }
    let everything: Vec<i64> = (1..=COUNT).collect();
    assert_eq!(awake.ids(COUNT as usize).await, everything);
    let memory = captured.daemon.peak_memory();
    assert!(memory < 200 << 20, "{} MiB", memory >> 20);
    assert_eq!(sleeper.ids(COUNT as usize).await, everything);
}

#[tokio::test]
async fn an_event_that_is_too_large_for_the_ring_comes_in_its_place() {
    let captured = Captured::tables(TABLE).await;
    let caller = Caller::of(&captured.daemon);
    let mut stream = Stream::open(&caller, "?after=0", None).await;
    let mut some = Stream::open(&caller, "?after=0&resource=posts&resource_id=2", None).await;
    for id in 1..=3 {
        let size = if id == 2 { 3_000_000 } else { 1 };
        captured
            .execute(&format!(
                "insert into posts values ({id}, repeat('x', {size}))"
            ))
            .await;
        assert_eq!(stream.ids(1).await, [id]);
    }
    let large = some.event().await.unwrap();
    assert_eq!(
        large["record"]["title"].as_str().map(str::len),
        Some(3_000_000)
    );
}

#[tokio::test]
async fn what_is_erased_does_not_come_out_of_memory() {
    const COUNT: i64 = 28;
    let captured = Captured::tables(TABLE).await;
    let caller = Caller::of(&captured.daemon);
    let mut stream = Stream::open(&caller, "?after=0", None).await;
    let mut watching = Stream::open(&caller, "?after=0", None).await;
    // More than the buffers between here and there, and less than the ring.
    for id in 1..=COUNT {
        let row = format!("insert into posts values ({id}, repeat('x', 420000))");
        captured.execute(&row).await;
        assert_eq!(watching.ids(1).await, [id]);
    }
    let last = COUNT.to_string();
    let arguments = [
        "events",
        "erase",
        "--resource",
        "posts",
        "--id",
        &last,
        "--yes",
    ];
    let erased = captured.rowhook.json(&arguments).await;
    assert_eq!(erased["logged"], true, "{erased:#}");
    let before: Vec<i64> = (1..COUNT).collect();
    assert_eq!(stream.ids(before.len()).await, before);
    let event = stream.event().await.unwrap();
    assert_eq!(event["sequenceId"], COUNT);
    assert_eq!(event["record"], serde_json::json!({"id": COUNT}));
    assert_eq!(stream.event().await.unwrap()["type"], "rowhook.erased");
}

#[tokio::test]
async fn a_standby_streams_what_another_daemon_logs_and_goes_on_when_it_takes_over() {
    let mut captured = Captured::tables(TABLE).await;
    let standby = Rowhook::new(&captured.database);
    let mut second = standby.spawn();
    second.wait_for_log("standby").await;
    let caller = Caller::of(&second);
    let mut stream = Stream::open(&caller, "", None).await;
    captured.execute("insert into posts values (1), (2)").await;
    assert_eq!(stream.ids(2).await, [1, 2]);
    assert_eq!(captured.daemon.stop().await, Some(0));
    second.wait_ready().await;
    captured.execute("insert into posts values (3)").await;
    assert_eq!(stream.ids(1).await, [3]);
}
