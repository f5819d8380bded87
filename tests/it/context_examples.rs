//! The middleware in `examples/context`, with the libraries that it is for.
//!
//! `tests/run.sh` installs them and says where they are; without that these tests are skipped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::capture::Captured;
use crate::patience::PATIENCE;
use crate::verifiers::installed;

fn application(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/context");
    directory.join(name)
}

/// What the log says of each row that the application inserts.
async fn said_by(mut application: Command, rows: i64) -> BTreeMap<String, Value> {
    let captured = Captured::tables("create table t (id int primary key, v int)").await;
    let run = application
        .env("DATABASE_URL", captured.database.url())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await;
    let output = output.expect("the application does not end").unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{application:?}: {complaints}");
    let events = captured.logged(rows).await;
    let events = events.into_iter();
    events
        .map(|event| (event.resource_id.unwrap(), event.context))
        .collect()
}

fn session(rows: &BTreeMap<String, Value>, id: &str) -> Value {
    rows[id]
        .get("sessionVariables")
        .cloned()
        .unwrap_or_default()
}

#[tokio::test]
async fn django_says_who_made_each_request() {
    let Some(python) = installed("ROWHOOK_TEST_PYTHON_CONTEXT") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(application("use_django.py"));
    let rows = said_by(command, 3).await;
    for (id, user) in [("1", "ada"), ("3", "käthe")] {
        let request = format!("/write/{id}?user={user}");
        let mut session = session(&rows, id);
        // Headers are Latin-1 to Django; what matters is that it is this request's.
        let request_id = session.as_object_mut().unwrap().remove("request_id");
        let request_id = request_id.unwrap().as_str().unwrap().to_owned();
        assert_eq!(request_id[..9], request[..9]);
        assert_eq!(session, json!({"user_id": user, "ip": "127.0.0.1"}));
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(rows[id]["traceContext"], json!({"traceparent": trace}));
    }
    assert_eq!(rows["4"], Value::Null);
}

#[tokio::test]
async fn sqlalchemy_says_it_in_each_transaction() {
    let Some(python) = installed("ROWHOOK_TEST_PYTHON_CONTEXT") else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(application("use_sqlalchemy.py"));
    let rows = said_by(command, 4).await;
    assert_eq!(session(&rows, "1"), json!({"user_id": "ada"}));
    let both = json!({"user_id": "ada", "request_id": "r-2"});
    assert_eq!(session(&rows, "2"), both);
    assert_eq!(session(&rows, "3"), json!({"user_id": "käthe"}));
    assert_eq!(rows["4"], Value::Null);
}

#[tokio::test]
async fn node_postgres_says_it_in_each_transaction_of_a_request() {
    let Some(directory) = installed("ROWHOOK_TEST_NODE_CONTEXT") else {
        return;
    };
    let mut command = Command::new("node");
    command.arg(Path::new(&directory).join("use_node_postgres.mjs"));
    let rows = said_by(command, 4).await;
    for (id, user, request) in [("1", "ada", "r-1"), ("2", "käthe", "r-2")] {
        let wanted = json!({"user_id": user, "request_id": request});
        assert_eq!(session(&rows, id), wanted);
    }
    assert_eq!(
        session(&rows, "3"),
        json!({"user_id": "eve", "role": "admin"})
    );
    assert_eq!(rows["4"], Value::Null);
}
