//! Custom events in every format: what they are called, the object, and what they say.

use serde_json::{Value, json};

use super::documented::FORMATS;
use super::*;

/// `deal.signed` about the deal of the other events.
pub(super) fn sent() -> Event {
    let (_, deal) = events().swap_remove(0);
    Event {
        event_type: Arc::from("deal.signed"),
        action: Action::Custom,
        data: Some(r#"{"by":["a@b.example"],"fee":1.50}"#.into()),
        origin: Origin {
            schema: Arc::from(""),
            table: Arc::from(""),
            ..deal.origin
        },
        ..deal
    }
}

fn body(format: Format, event: &Event) -> Value {
    let body = renderer(format).render(event, &delivery()).unwrap();
    serde_json::from_slice(&body.bytes).unwrap()
}

#[test]
fn each_format_has_a_place_for_the_type_the_object_and_the_data() {
    let object: Value = serde_json::from_str(sent().record.as_deref().unwrap()).unwrap();
    let data: Value = serde_json::from_str(sent().data.as_deref().unwrap()).unwrap();
    for (format, kind, called, about, says) in [
        (
            Format::Rowhook,
            "/event/type",
            "deal.signed",
            "/event/data/new",
            "/event/data/data",
        ),
        (
            Format::Snaapi,
            "/event/type",
            "deal.signed",
            "/event/data/new",
            "/event/data/data",
        ),
        (
            Format::Hasura { max_retries: 0 },
            "/event/op",
            "MANUAL",
            "/event/data/new",
            "/event/data/data",
        ),
        (Format::Cloudevents, "/type", "deal.signed", "", "/data"),
        (
            Format::CloudeventsBatch,
            "/0/type",
            "deal.signed",
            "",
            "/0/data",
        ),
        (
            Format::Sharetribe,
            "/eventType",
            "deal/signed",
            "/resource",
            "/data",
        ),
        (
            Format::SharetribeApi,
            "/attributes/eventType",
            "deal/signed",
            "",
            "/attributes/data",
        ),
        (
            Format::Stelace,
            "/type",
            "deal.signed",
            "/object",
            "/metadata",
        ),
        (
            Format::Thena,
            "/eventType",
            "deal.signed",
            "/eventData/salesDeal",
            "/eventData/data",
        ),
    ] {
        let whole = body(format, &sent());
        assert_eq!(whole.pointer(kind), Some(&json!(called)), "{format:?}");
        assert_eq!(whole.pointer(says), Some(&data), "{format:?}");
        if !about.is_empty() {
            assert_eq!(whole.pointer(about), Some(&object), "{format:?}");
        }
    }
    let binary = renderer(Format::CloudeventsBinary)
        .render(&sent(), &delivery())
        .unwrap();
    assert_eq!(&*binary.bytes, sent().data.unwrap().as_bytes());
}

#[test]
fn the_data_goes_out_as_it_stands_in_the_log() {
    for (name, format) in FORMATS {
        let body = renderer(format).render(&sent(), &delivery()).unwrap();
        let text = std::str::from_utf8(&body.bytes).unwrap();
        assert!(
            text.contains(r#"{"by":["a@b.example"],"fee":1.50}"#),
            "{name}: {text}"
        );
    }
}

/// The event that Space Cloud's page shows, ids and times aside.
#[test]
fn a_cloudevent_is_what_space_cloud_would_send() {
    let event = Event {
        event_type: Arc::from("my-custom.event"),
        resource: Arc::from("my-custom"),
        resource_id: None,
        record: None,
        data: Some(r#"{"foo":"bar"}"#.into()),
        ..sent()
    };
    let body = body(Format::Cloudevents, &event);
    assert_eq!(body["specversion"], "1.0");
    assert_eq!(body["type"], "my-custom.event");
    assert_eq!(body["source"], "/rowhook/shop");
    assert_eq!(body["data"], json!({"foo": "bar"}));
    assert_eq!(body.get("subject"), None);
}

/// Stelace's page: the object is there "as if it was a core Event"; what was given is `metadata`.
#[test]
fn without_an_object_and_data_there_is_nothing_made_up() {
    let bare = Event {
        resource_id: None,
        record: None,
        data: None,
        ..sent()
    };
    let stelace = body(Format::Stelace, &bare);
    assert_eq!(
        (
            &stelace["object"],
            &stelace["metadata"],
            &stelace["emitter"]
        ),
        (&Value::Null, &json!({}), &json!("custom"))
    );
    let ours = body(Format::Rowhook, &bare);
    let changes = json!({"added": [], "updated": [], "removed": []});
    assert_eq!(
        ours["event"]["data"],
        json!({"old": null, "new": null, "changes": changes})
    );
    assert_eq!(body(Format::Cloudevents, &bare)["data"], Value::Null);
}
