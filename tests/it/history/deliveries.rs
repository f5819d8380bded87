//! A receiver of webhooks beside the log: it has to see every event, each row's in order.

use std::collections::{HashMap, HashSet};

use tokio_postgres::{Client, Row};

use crate::receiver::{Received, Receiver, Reply};

/// One request in so many is turned away once, so that retries happen all the time.
const ONE_FAILURE_IN: usize = 997;

pub(crate) fn turn_some_away(receiver: &Receiver) {
    let mut count = 0;
    receiver.on_request(move |_| {
        count += 1;
        Reply::Status(if count % ONE_FAILURE_IN == 0 {
            503
        } else {
            200
        })
    });
}

/// Sequence id → event id, resource, resource id; in order. Of the resources that are delivered.
pub(crate) async fn event_ids(client: &Client, resources: &[String]) -> Vec<(i64, String, String)> {
    let query = "
        select sequence_id, event_id::text, resource || ' ' || coalesce(resource_id, '')
          from rowhook.events where resource = any ($1) order by sequence_id";
    let rows = client.query(query, &[&resources]).await.unwrap();
    let row = |row: &Row| (row.get(0), row.get(1), row.get(2));
    rows.iter().map(row).collect()
}

/// Every event was accepted; no event is unknown; no event of a row was sent before the row's event
/// before it was accepted, and the first acceptances of a row's events are in order. Gives the
/// number of repeats.
pub(crate) fn check_deliveries(
    events: &[(i64, String, String)],
    requests: &[Received],
) -> Result<usize, String> {
    let mut predecessor: HashMap<i64, i64> = HashMap::new();
    let mut last_of_row: HashMap<&str, i64> = HashMap::new();
    let mut known: HashMap<i64, (&str, &str)> = HashMap::new();
    for (sequence_id, event_id, row) in events {
        known.insert(*sequence_id, (event_id, row));
        if let Some(before) = last_of_row.insert(row, *sequence_id) {
            predecessor.insert(*sequence_id, before);
        }
    }
    let mut accepted: HashSet<i64> = HashSet::new();
    let mut repeats = 0;
    for request in requests {
        let sequence_id = request.sequence_id;
        let Some((event_id, row)) = known.get(&sequence_id) else {
            return Err(format!("an event that is not in the log: {request:?}"));
        };
        if request.event_id != *event_id {
            return Err(format!("event {sequence_id} is {event_id}: {request:?}"));
        }
        // With this, first sightings and first acceptances of a row's events are in order too.
        if let Some(before) = predecessor.get(&sequence_id)
            && !accepted.contains(before)
        {
            return Err(format!(
                "{row}: {sequence_id} sent before {before} was accepted"
            ));
        }
        if request.accepted() && !accepted.insert(sequence_id) {
            repeats += 1;
        }
    }
    match known.len() - accepted.len() {
        0 => Ok(repeats),
        missing => Err(format!("{missing} events were never accepted")),
    }
}

#[test]
fn the_check_of_deliveries_finds_what_is_wrong() {
    let event = |id: i64, row: &str| (id, format!("uuid-{id}"), row.to_owned());
    let events = [event(1, "a"), event(2, "b"), event(3, "a")];
    let request = |id: i64, status: u16| Received::example(id, &format!("uuid-{id}"), status);
    let check = |requests: &[Received]| check_deliveries(&events, requests);

    let other_rows_do_not_wait = [
        request(2, 200),
        request(1, 503),
        request(1, 200),
        request(3, 200),
    ];
    assert_eq!(check(&other_rows_do_not_wait), Ok(0));
    let repeated = [
        request(1, 200),
        request(1, 200),
        request(3, 200),
        request(2, 200),
    ];
    assert_eq!(check(&repeated), Ok(1));

    let missing = [request(1, 200), request(3, 200), request(2, 503)];
    assert!(check(&missing).unwrap_err().contains("never accepted"));
    let overtaken = [
        request(1, 503),
        request(3, 200),
        request(1, 200),
        request(2, 200),
    ];
    assert!(check(&overtaken).unwrap_err().contains("3 sent before 1"));
    assert!(
        check(&[request(9, 200)])
            .unwrap_err()
            .contains("not in the log")
    );
    let other_id = [Received::example(1, "uuid-2", 200)];
    assert!(check(&other_id).unwrap_err().contains("event 1 is uuid-1"));
}
