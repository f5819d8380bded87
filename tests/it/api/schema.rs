//! The OpenAPI document, before public tools.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Caller;
use crate::capture::Captured;
use crate::receiver::Receiver;

const TOKEN: &str = "token-0123456789abcdef";
/// The tools look at the document from all sides, for half a minute on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A program of the Python that `tests/run.sh` fills.
fn program(name: &str) -> Option<PathBuf> {
    let python = crate::verifiers::installed("ROWHOOK_TEST_PYTHON")?;
    let found = PathBuf::from(python).with_file_name(name);
    assert!(
        found.exists(),
        "{} is not there: run tests/run.sh",
        found.display()
    );
    Some(found)
}

async fn succeeds(mut command: Command) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, output)
        .await
        .unwrap()
        .unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn the_document_is_openapi_and_the_daemon_does_what_it_says() {
    let (Some(validator), Some(schemathesis)) =
        (program("openapi-spec-validator"), program("schemathesis"))
    else {
        return;
    };
    let receiver = Receiver::start().await;
    let captured = Captured::with(
        "create table posts (id int primary key, v text)",
        |rowhook| {
            rowhook
                .set("api.token", TOKEN)
                .webhook_to("audit", &receiver, toml::Table::new())
        },
    )
    .await;
    captured
        .execute("insert into posts select i, 'v' from generate_series(1, 20) i")
        .await;
    captured.execute("update posts set v = 'w'").await;
    captured.logged(40).await;
    let document = Caller::of(&captured.daemon).json("/openapi.json").await;
    let file = captured.rowhook.directory().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let mut command = Command::new(validator);
    command.arg(&file);
    succeeds(command).await;

    let mut command = Command::new(schemathesis);
    // A stream does not end, so this tool would wait for ever.
    command
        .arg("run")
        .arg(&file)
        .args(["--url", &captured.daemon.api()])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--exclude-path", "/v1/events/stream"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance"])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "20", "--seed", "7", "--request-timeout", "120"])
        .current_dir(captured.rowhook.directory());
    succeeds(command).await;
    assert_eq!(
        Caller::of(&captured.daemon).get("/healthz").await.status,
        200
    );
}
