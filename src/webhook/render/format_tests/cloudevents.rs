//! The formats of CloudEvents.

use super::*;

fn content_type(format: Format) -> &'static str {
    let (_, event) = events().swap_remove(0);
    let body = renderer(format).render(&event, &delivery()).unwrap();
    body.content_type
}

#[test]
fn structured_events() {
    insta::assert_snapshot!(rendered(Format::Cloudevents), @r#"
    -- created
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.created",
    "subject":"7",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal/7",
    "datacontenttype":"application/json",
    "data":{"old":null,"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"changes":{"added":["id","stage","details","value"],"updated":[],"removed":[]}}}
    -- updated
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.updated",
    "subject":"7",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal/7",
    "datacontenttype":"application/json",
    "data":{"old":{"id":7,"stage":"lead","details":{"city":"Bergen","area":47},"value":null},"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"changes":{"added":[],"updated":["stage","details","value"],"removed":[]}}}
    -- updated, not all of the old row known
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.updated",
    "subject":"7",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal/7",
    "datacontenttype":"application/json",
    "data":{"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}}}
    -- deleted
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.deleted",
    "subject":"7",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal/7",
    "datacontenttype":"application/json",
    "data":{"old":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"new":null,"changes":{"added":[],"updated":[],"removed":["id","stage","details","value"]}}}
    -- snapshot
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.snapshot",
    "subject":"7",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal/7",
    "datacontenttype":"application/json",
    "data":{"old":null,"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"changes":{"added":["id","stage","details","value"],"updated":[],"removed":[]}}}
    -- truncated
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop/public.deals",
    "type":"sales_deal.truncated",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"sales_deal",
    "datacontenttype":"application/json",
    "data":{"old":null,"new":null,"changes":{"added":[],"updated":[],"removed":[]}}}
    -- noted
    {"specversion":"1.0",
    "id":"00000000-0000-0000-0000-000000000011",
    "source":"/rowhook/shop",
    "type":"rowhook.gap",
    "time":"2026-01-01T00:00:00.123456Z",
    "sequence":"0000000000000000042",
    "partitionkey":"rowhook",
    "datacontenttype":"application/json",
    "data":{"old":null,"new":{"cause":"lost"},"changes":{"added":[],"updated":[],"removed":[]}}}
    "#);
}

#[test]
fn binary_events() {
    insta::assert_snapshot!(rendered(Format::CloudeventsBinary), @r#"
    -- created
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.created
    ce-subject: 7
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal/7
    {"old":null,
    "new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changes":{"added":["id","stage","details","value"],"updated":[],"removed":[]}}
    -- updated
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.updated
    ce-subject: 7
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal/7
    {"old":{"id":7,"stage":"lead","details":{"city":"Bergen","area":47},"value":null},
    "new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changes":{"added":[],"updated":["stage","details","value"],"removed":[]}}
    -- updated, not all of the old row known
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.updated
    ce-subject: 7
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal/7
    {"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}}
    -- deleted
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.deleted
    ce-subject: 7
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal/7
    {"old":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "new":null,
    "changes":{"added":[],"updated":[],"removed":["id","stage","details","value"]}}
    -- snapshot
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.snapshot
    ce-subject: 7
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal/7
    {"old":null,
    "new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changes":{"added":["id","stage","details","value"],"updated":[],"removed":[]}}
    -- truncated
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop/public.deals
    ce-type: sales_deal.truncated
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: sales_deal
    {"old":null,
    "new":null,
    "changes":{"added":[],"updated":[],"removed":[]}}
    -- noted
    ce-specversion: 1.0
    ce-id: 00000000-0000-0000-0000-000000000011
    ce-source: /rowhook/shop
    ce-type: rowhook.gap
    ce-time: 2026-01-01T00:00:00.123456Z
    ce-sequence: 0000000000000000042
    ce-partitionkey: rowhook
    {"old":null,
    "new":{"cause":"lost"},
    "changes":{"added":[],"updated":[],"removed":[]}}
    "#);
}

#[test]
fn cloudevents_say_what_their_bodies_are() {
    assert_eq!(
        content_type(Format::Cloudevents),
        "application/cloudevents+json"
    );
    assert_eq!(content_type(Format::CloudeventsBinary), "application/json");
    let batch = "application/cloudevents-batch+json";
    assert_eq!(content_type(Format::CloudeventsBatch), batch);

    let (_, event) = events().swap_remove(0);
    let twice = [(&event, delivery()), (&event, delivery())];
    let one = renderer(Format::Cloudevents)
        .render(&event, &delivery())
        .unwrap();
    let one = std::str::from_utf8(&one.bytes).unwrap();
    for format in [Format::Cloudevents, Format::CloudeventsBatch] {
        let body = renderer(format).render_batch(&twice).unwrap();
        assert_eq!(body.content_type, batch);
        assert_eq!(body.bytes, format!("[{one},{one}]"));
    }
    let alone = renderer(Format::CloudeventsBatch)
        .render(&event, &delivery())
        .unwrap();
    assert_eq!(alone.bytes, format!("[{one}]"));
    assert!(!Format::CloudeventsBinary.has_batches());
    assert!(
        renderer(Format::CloudeventsBinary)
            .render_batch(&twice)
            .is_err()
    );
}

#[test]
fn attributes_hold_no_control_character_and_sources_no_special_one() {
    let odd = Event {
        event_type: Arc::from("a\u{7f}b.created"),
        resource: Arc::from("a\u{7f}b"),
        resource_id: Some("käse \n\u{fffe}%".into()),
        origin: Origin {
            schema: Arc::from("my schema"),
            table: Arc::from("ä/b?\"c"),
            ..event(Action::Created).origin
        },
        ..event(Action::Created)
    };
    let body = renderer(Format::CloudeventsBinary)
        .render(&odd, &delivery())
        .unwrap();
    let header = |name| {
        body.headers
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
            .as_str()
    };
    assert_eq!(header("ce-type"), "a%7Fb.created");
    assert_eq!(header("ce-subject"), "käse %0A%EF%BF%BE%");
    assert_eq!(header("ce-partitionkey"), "a%7Fb/käse %0A%EF%BF%BE%");
    assert_eq!(
        header("ce-source"),
        "/rowhook/shop/my%20schema.%C3%A4%2Fb%3F%22c"
    );
    let empty = Event {
        resource_id: Some("".into()),
        ..event(Action::Created)
    };
    let body = renderer(Format::CloudeventsBinary)
        .render(&empty, &delivery())
        .unwrap();
    assert!(
        body.headers
            .iter()
            .all(|(name, value)| *name != "ce-subject" && !value.is_empty())
    );
}

#[test]
fn sequences_sort_as_their_numbers_do() {
    let sequence = |sequence_id| {
        let event = Event {
            sequence_id,
            ..event(Action::Created)
        };
        let body = renderer(Format::CloudeventsBinary)
            .render(&event, &delivery())
            .unwrap();
        body.headers
            .into_iter()
            .find(|(name, _)| *name == "ce-sequence")
            .unwrap()
            .1
    };
    let numbers = [1, 9, 10, 99, 1_000_000, i64::MAX];
    assert!(numbers.map(sequence).is_sorted());
}
