//! A publication that somebody else changes: whatever it left out is never left out in silence.

use crate::capture::{Captured, types};
use crate::logged::{Logged, wait_for};

const TABLE: &str =
    "create table t (id int primary key, v text); create table u (id int primary key)";

/// Looks at the publication as often as it can.
async fn captured() -> Captured {
    let captured = Captured::with(TABLE, |rowhook| {
        rowhook.set("source.table_refresh", "100ms")
    })
    .await;
    captured.execute("insert into t values (1)").await;
    captured.logged(1).await;
    captured
}

/// Runs a change of the publication; `$p` stands for its name.
async fn change(captured: &Captured, sql: &str) {
    let sql = sql.replace("$p", &captured.database.publication());
    for statement in sql.split("; ") {
        captured.execute(statement).await;
    }
}

/// Stopped with this cause; refused by every command until the gap is accepted, which records it
/// with the cause. Gives the events.
async fn stops_and_goes_on(captured: &mut Captured, cause: &str) -> Vec<Logged> {
    assert_eq!(captured.daemon.wait_exit().await, Some(70));
    let line = captured.daemon.wait_for_log("exit_code").await;
    let publication = captured.database.publication();
    for part in [cause, &publication, "rowhook setup --accept-gap"] {
        assert!(line.contains(part), "not said: {part}\n{line}");
    }
    let said = captured.rowhook.fail(&["check"], 1).await;
    assert!(said.contains(cause), "{said}");
    let said = captured.rowhook.fail(&["setup"], 70).await;
    assert!(said.contains(cause), "{said}");
    captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured.rowhook.succeed(&["check"]).await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (9)").await;
    let is_last = |event: &Logged| event.record["id"] == 9;
    crate::logged::wait_for_event(&captured.client, "the last row", is_last).await;
    let events = crate::logged::events(&captured.client).await;
    crate::logged::assert_dense(&events);
    let gap = events
        .iter()
        .find(|event| event.event_type == "rowhook.gap");
    let recorded = gap.unwrap().record["cause"].as_str().unwrap();
    assert!(recorded.contains(cause), "{recorded}");
    assert_eq!(captured.daemon.get("/readyz").await.0, 200);
    events
}

#[tokio::test]
async fn a_table_that_is_taken_out_stops_the_daemon_and_the_others_lose_nothing() {
    let mut captured = captured().await;
    change(
        &captured,
        "alter publication $p drop table t; insert into t values (2); insert into u values (2)",
    )
    .await;
    let events = stops_and_goes_on(&mut captured, "public.t was taken out").await;
    // The slot stays, and with it what was committed while the daemon was down.
    let of_u: Vec<_> = events.iter().filter(|e| e.resource == "u").collect();
    assert_eq!(types(&events[..1]), ["t.created"]);
    assert_eq!(of_u.len(), 1, "{events:?}");
    let position = |event: &Logged, key: &str| event.record[key].as_str().unwrap().to_owned();
    let gap = events
        .iter()
        .find(|e| e.event_type == "rowhook.gap")
        .unwrap();
    assert_eq!(position(gap, "logged_up_to"), position(gap, "goes_on_from"));
    assert!(
        events
            .iter()
            .all(|e| e.record["id"] != 2 || e.resource == "u")
    );
}

#[tokio::test]
async fn a_table_that_was_out_for_a_moment_while_nobody_looked_is_noticed() {
    let mut captured = captured().await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    change(
        &captured,
        "alter publication $p drop table t; insert into t values (2); alter publication $p add table t",
    )
    .await;
    captured.daemon = captured.rowhook.spawn();
    stops_and_goes_on(&mut captured, "put back").await;
}

#[tokio::test]
async fn a_publication_made_anew_while_the_daemon_is_down_is_noticed() {
    let mut captured = captured().await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    change(
        &captured,
        "drop publication $p; insert into t values (2); create publication $p for table t, u",
    )
    .await;
    let mut daemon = captured.rowhook.spawn();
    assert_eq!(daemon.wait_exit().await, Some(70));
    let said = daemon.wait_for_log("exit_code").await;
    assert!(said.contains("rowhook setup --accept-gap"), "{said}");
    let said = captured.rowhook.fail(&["setup"], 70).await;
    assert!(said.contains("dropped and made anew"), "{said}");
    captured.rowhook.succeed(&["setup", "--accept-gap"]).await;
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    let events = captured.logged(3).await;
    assert_eq!(types(&events), ["t.created", "rowhook.gap", "t.created"]);
}

#[tokio::test]
async fn a_publication_made_anew_in_one_moment_while_the_daemon_runs_is_noticed() {
    let mut captured = captured().await;
    change(
        &captured,
        "drop publication $p; create publication $p for table t, u",
    )
    .await;
    stops_and_goes_on(&mut captured, "publication").await;
}

#[tokio::test]
async fn kinds_of_changes_that_are_left_out_stop_the_daemon() {
    let mut captured = captured().await;
    change(&captured, "alter publication $p set (publish = 'insert')").await;
    assert_eq!(captured.daemon.wait_exit().await, Some(70));
    // Set back before anybody looks.
    change(
        &captured,
        "update t set v = 'x'; alter publication $p set (publish = 'insert, update, delete, truncate')",
    )
    .await;
    captured.daemon = captured.rowhook.spawn();
    stops_and_goes_on(&mut captured, "was altered").await;
}

#[tokio::test]
async fn a_row_filter_or_a_column_list_stops_the_daemon() {
    for narrowed in ["t where (id > 1)", "t (id)"] {
        let mut captured = captured().await;
        let version: i32 = captured
            .client
            .query_one("select current_setting('server_version_num')::int", &[])
            .await
            .unwrap()
            .get(0);
        if version < 150_000 {
            return;
        }
        // The server wants the filter's columns in the replica identity, which is full.
        captured
            .execute("alter table t replica identity default")
            .await;
        change(
            &captured,
            &format!("alter publication $p set table {narrowed}, u"),
        )
        .await;
        assert_eq!(captured.daemon.wait_exit().await, Some(70));
        let said = captured.rowhook.fail(&["check"], 1).await;
        assert!(
            said.contains("row filter or column list was changed"),
            "{said}"
        );
        assert!(
            said.contains("a row filter or a column list for it"),
            "{said}"
        );
        change(&captured, "alter publication $p set table t, u").await;
        captured.daemon = captured.rowhook.spawn();
        stops_and_goes_on(&mut captured, "public.t").await;
    }
}

#[tokio::test]
async fn what_leaves_nothing_out_stops_nothing() {
    let mut captured = captured().await;
    let role = format!("owner_{}", captured.database.name);
    captured
        .execute(&format!("create role {role} superuser"))
        .await;
    change(
        &captured,
        &format!(
            "alter publication $p owner to {role}; create table v (id int primary key); \
             alter table u rename to w; drop table w; insert into t values (2)"
        ),
    )
    .await;
    let noted = "select 1 from rowhook.published where table_name = 'public.v'";
    wait_for(&captured.client, "a new table", async || {
        captured.client.query(noted, &[]).await.unwrap().len() == 1
    })
    .await;
    captured.execute("insert into v values (1)").await;
    captured.logged(3).await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into v values (2)").await;
    captured.logged(4).await;
    // Who leaves a table out of the settings may take it out of the publication, too.
    assert_eq!(captured.daemon.stop().await, Some(0));
    change(&captured, "alter publication $p drop table v").await;
    captured.rowhook = captured
        .rowhook
        .set("capture.tables", vec!["public.*", "!public.v"]);
    captured.daemon = captured.rowhook.spawn_ready().await;
    captured.execute("insert into t values (3)").await;
    captured.logged(5).await;
    let gone = "select 1 from rowhook.published where table_name = 'public.v'";
    wait_for(&captured.client, "a table that is forgotten", async || {
        captured.client.query(gone, &[]).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(captured.daemon.stop().await, Some(0));
    change(&captured, "drop publication $p").await;
    captured
        .execute(&format!("drop owned by {role}; drop role {role}"))
        .await;
}
