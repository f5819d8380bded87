//! What the rules of a resource add to events, in the formats that tell it.

use serde_json::{Value, json};

use super::documented::FORMATS;
use super::*;
use crate::webhook::Documents;

/// What stands at a place of an event's body in a format; null as well where nothing does.
fn at(event: &Event, format: &str, place: &str) -> Value {
    let (_, format) = FORMATS.iter().find(|(name, _)| *name == format).unwrap();
    let body = renderer(*format).render(event, &delivery()).unwrap();
    let body: Value = serde_json::from_slice(&body.bytes).unwrap();
    body.pointer(place).cloned().unwrap_or(json!("nothing"))
}

fn assert_told(event: &Event, told: &[(&str, &str, Value)]) {
    for (format, place, value) in told {
        assert_eq!(at(event, format, place), *value, "{format} {place}");
    }
}

/// The update of [`events`], smaller.
fn deal(event_type: &str, action: Action) -> Event {
    Event {
        event_type: Arc::from(event_type),
        resource: Arc::from("deal"),
        action,
        record: Some(r#"{"id":7,"stage":"won","gone":"now"}"#.into()),
        previous: Some(r#"{"stage":"lead","gone":null}"#.into()),
        ..events().swap_remove(1).1
    }
}

#[test]
fn a_softly_deleted_row_is_deleted() {
    let event = deal("deal.deleted", Action::Deleted);
    let old = json!({"id": 7, "stage": "lead", "gone": null});
    let columns = json!(["id", "stage", "gone"]);
    let now = json!({"stage": "won", "gone": "now"});
    let nothing = || json!("nothing");
    assert_told(
        &event,
        &[
            ("rowhook", "/event/data/old", old.clone()),
            ("rowhook", "/event/data/new", Value::Null),
            ("rowhook", "/event/data/changes/removed", columns.clone()),
            ("rowhook", "/event/newValues", now),
            ("snaapi", "/event/data/old", old.clone()),
            ("snaapi", "/event/data/new", Value::Null),
            ("snaapi", "/event/data/changes/removed", columns),
            ("hasura", "/event/op", json!("DELETE")),
            ("hasura", "/event/data/old", old.clone()),
            ("hasura", "/event/data/new", Value::Null),
            ("cloudevents", "/data/old", old.clone()),
            ("cloudevents", "/data/new", Value::Null),
            ("sharetribe", "/resource", Value::Null),
            ("sharetribe", "/previousValues", old.clone()),
            ("sharetribe-api", "/attributes/resource", Value::Null),
            ("stelace", "/changesRequested", Value::Null),
            ("thena", "/eventData/previousDeal", old),
            ("thena", "/eventData/deal", nothing()),
            ("thena", "/eventData/changedFields", nothing()),
        ],
    );
    // What of the old row is not known is not made up.
    let partly = Event {
        old_row: OldRow::Partial,
        ..event
    };
    assert_told(
        &partly,
        &[
            ("rowhook", "/event/data/old", nothing()),
            ("rowhook", "/event/data/new", Value::Null),
            ("hasura", "/event/data/old", nothing()),
            ("sharetribe", "/previousValues", nothing()),
            ("thena", "/eventData/previousDeal", nothing()),
        ],
    );
}

#[test]
fn a_restored_row_is_an_update() {
    let event = deal("deal.restored", Action::Restored);
    let changed = json!(["stage", "gone"]);
    assert_told(
        &event,
        &[
            ("rowhook", "/event/data/old/stage", json!("lead")),
            ("rowhook", "/event/data/changes/updated", changed.clone()),
            ("rowhook", "/event/newValues", json!("nothing")),
            ("hasura", "/event/op", json!("UPDATE")),
            ("sharetribe", "/eventType", json!("deal/restored")),
            ("sharetribe", "/previousValues/stage", json!("lead")),
            ("stelace", "/type", json!("deal__restored")),
            ("thena", "/eventType", json!("custom-object:deal:restored")),
            ("thena", "/eventData/changedFields", changed),
        ],
    );
}

#[test]
fn a_field_event_tells_of_its_field() {
    let event = deal("deal.stage.changed", Action::Changed);
    let change = |more: Value| {
        let mut change = json!({"fieldName": "stage", "previousValue": "lead", "newValue": "won"});
        let more = more.as_object().unwrap().clone();
        change.as_object_mut().unwrap().extend(more);
        change
    };
    let thenas = change(json!({"changedAt": "2026-01-01T00:00:00.123456Z"}));
    let row = json!({"id": 7, "stage": "won", "gone": "now"});
    assert_told(
        &event,
        &[
            ("rowhook", "/event/fieldChange", change(json!({}))),
            ("rowhook", "/event/data/old/stage", json!("lead")),
            ("hasura", "/event/op", json!("UPDATE")),
            (
                "thena",
                "/eventType",
                json!("custom-object:deal:field:stage:changed"),
            ),
            (
                "thena",
                "/eventData",
                json!({"deal": row, "fieldChange": thenas}),
            ),
        ],
    );
    let dotted = Event {
        resource: Arc::from("sales.deal"),
        event_type: Arc::from("sales.deal.a.b.changed"),
        ..event
    };
    assert_eq!(dotted.field(), Some("a.b"));
    let name_alone = json!({"fieldName": "a.b"});
    assert_told(&dotted, &[("rowhook", "/event/fieldChange", name_alone)]);
}

#[test]
fn an_owner_and_related_ids_stand_where_a_format_has_room() {
    let ids = json!({"ownerId": "usr_1", "accountId": "4"});
    let event = Event {
        tenant: Some("acme \"1\"".into()),
        related: Some(ids.to_string().into()),
        ..deal("deal.updated", Action::Updated)
    };
    let acme = || json!("acme \"1\"");
    assert_told(
        &event,
        &[
            ("rowhook", "/event/tenant", acme()),
            ("rowhook", "/event/relatedIds", ids.clone()),
            ("snaapi", "/event/tenant", json!("nothing")),
            ("snaapi", "/event/relatedIds", json!("nothing")),
            ("cloudevents", "/tenant", acme()),
            ("sharetribe", "/marketplaceId", acme()),
            ("stelace", "/relatedObjectsIds", ids),
            ("thena", "/orgId", acme()),
        ],
    );
    let binary = renderer(Format::CloudeventsBinary).render(&event, &delivery());
    let headers = binary.unwrap().headers;
    assert!(
        headers.contains(&("ce-tenant", "acme \"1\"".to_owned())),
        "{headers:?}"
    );
}

#[test]
fn documents_are_told_key_by_key_where_the_settings_say_so() {
    let (_, event) = events().swap_remove(1);
    let event = Event {
        record: Some(
            r#"{"id":7,"details":{"city":"Oslo","rules":1},"plan":{"a":1,"b":2},"tags":[]}"#.into(),
        ),
        previous: Some(
            r#"{"details":{"city":"Bergen","area":47},"plan":{"a":0,"b":2},"tags":{"a":1}}"#.into(),
        ),
        ..event
    };
    let keys = json!({"city": "Bergen", "area": 47, "rules": null});
    let whole = json!({"city": "Bergen", "area": 47});
    let previous = |documents: Option<&[&str]>, format: Format, place: &str| {
        let columns = |columns: &[&str]| columns.iter().map(ToString::to_string).collect();
        let said = documents.map(|it| ("sales_deal".to_owned(), columns(it)));
        let mut renderer = renderer(format);
        renderer.payload.documents = Documents::of(said);
        let body = renderer.render(&event, &delivery()).unwrap();
        let body: Value = serde_json::from_slice(&body.bytes).unwrap();
        body.pointer(place).cloned().unwrap()
    };
    let (whole_plan, plan) = (json!({"a": 0, "b": 2}), json!({"a": 0}));
    let told =
        |details: &Value, plan: &Value| json!({"details": details, "plan": plan, "tags": {"a": 1}});
    for (said, ours, sharetribes) in [
        (None, told(&whole, &whole_plan), told(&keys, &plan)),
        (
            Some(&["details", "tags"][..]),
            told(&keys, &whole_plan),
            told(&keys, &whole_plan),
        ),
        (
            Some(&[]),
            told(&whole, &whole_plan),
            told(&whole, &whole_plan),
        ),
    ] {
        let rowhook = previous(said, Format::Rowhook, "/event/previousValues");
        assert_eq!(rowhook, ours, "{said:?}");
        let native = previous(said, Format::Sharetribe, "/previousValues");
        assert_eq!(native, sharetribes, "{said:?}");
        let api = "/attributes/previousValues/attributes";
        assert_eq!(
            previous(said, Format::SharetribeApi, api),
            sharetribes,
            "{said:?}"
        );
    }
}
