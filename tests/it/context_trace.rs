//! The trace of a transaction goes out with the requests of its events.

use serde_json::Value;
use toml::toml;

use crate::receiver::{Receiver, Reply};
use crate::served::{Prepared, accepted};

const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn said(trace: &str, more: &str) -> String {
    format!(r#"select rowhook.set_context('{{"traceparent": "{trace}"{more}}}')"#)
}

#[tokio::test]
async fn a_trace_goes_out_as_headers_the_same_on_every_attempt_and_never_a_bad_one() {
    let (plain, own) = (Receiver::start().await, Receiver::start().await);
    plain.answer_next([Reply::Status(500)]);
    let prepared = Prepared::with(|rowhook| {
        let mut settings = toml! { order = "strict" };
        let rowhook = rowhook.webhook_to("plain", &plain, settings.clone());
        let static_trace = toml! { headers = { Traceparent = "of-the-settings" } };
        settings.extend(static_trace);
        rowhook.webhook_to("own", &own, settings)
    })
    .await;
    let state = r#", "tracestate": "congo=t61 \"x\" %,rojo=1""#;
    let bad_state = r#", "tracestate": "Ä=1""#;
    for (id, context) in [
        (1, said(ONE, state)),
        (2, said(OTHER, bad_state)),
        (3, said("00-nonsense-01", state)),
        (4, said(&format!("{ONE}\\r\\nx-injected: 1"), "")),
        (5, "select 1".to_owned()),
    ] {
        let sql = format!("begin; {context}; insert into t values ({id}, 0); commit");
        prepared.client.batch_execute(&sql).await.unwrap();
    }
    let _served = prepared.served().await;
    let requests = accepted(&plain, 5).await;
    let traces: Vec<_> = requests
        .iter()
        .map(|request| {
            assert_eq!(request.header("x-injected"), None);
            let trace = request.header("traceparent");
            (request.attempt, trace, request.header("tracestate"))
        })
        .collect();
    let state = Some(r#"congo=t61 "x" %,rojo=1"#);
    assert_eq!(
        traces,
        [
            (1, Some(ONE), state),
            (2, Some(ONE), state),
            (1, Some(OTHER), None),
            (1, None, None),
            (1, None, None),
            (1, None, None),
        ]
    );
    for request in accepted(&own, 5).await {
        assert_eq!(request.header("traceparent"), Some("of-the-settings"));
        assert_eq!(request.header("tracestate"), None);
    }
}

#[tokio::test]
async fn a_batch_has_a_trace_if_all_of_its_events_have_the_same() {
    let receiver = Receiver::start().await;
    let batch = toml! { batch = { max_events = 2, max_wait = "1s" } };
    let prepared = Prepared::with(|rowhook| rowhook.webhook_to("hook", &receiver, batch)).await;
    for (context, rows) in [
        (said(ONE, ""), "(1, 0), (2, 0), (3, 0)"),
        (said(OTHER, ""), "(4, 0), (5, 0)"),
        ("select 1".to_owned(), "(6, 0)"),
    ] {
        let sql = format!("begin; {context}; insert into t values {rows}; commit");
        prepared.client.batch_execute(&sql).await.unwrap();
    }
    let served = prepared.served().await;
    served.wait_for_cursor("hook", 6).await;
    let mut seen = Vec::new();
    for request in receiver.requests() {
        let body = request.json();
        let events = body.as_array().unwrap();
        let trace = |event: &Value| {
            let trace = event.pointer("/event/context/traceContext/traceparent")?;
            trace.as_str().map(str::to_owned)
        };
        let traces: Vec<_> = events.iter().map(trace).collect();
        let agree = traces.iter().all(|trace| trace == &traces[0]);
        let wanted = traces[0].as_deref().filter(|_| agree);
        assert_eq!(request.header("traceparent"), wanted, "{traces:?}");
        seen.push((traces.len(), agree));
    }
    assert!(
        seen.contains(&(2, true)) && seen.contains(&(2, false)),
        "{seen:?}"
    );
}
