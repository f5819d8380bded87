//! Format `stelace`.

use super::rendered;
use crate::webhook::Format;

#[test]
fn events_as_stelace_sends_them() {
    insta::assert_snapshot!(rendered(Format::Stelace), @r#"
    -- created
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__created",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":"7",
    "object":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changesRequested":null,
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- updated
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__updated",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":"7",
    "object":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changesRequested":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- updated, not all of the old row known
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__updated",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":"7",
    "object":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- deleted
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__deleted",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":"7",
    "object":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changesRequested":null,
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- snapshot
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__snapshot",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":"7",
    "object":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "changesRequested":null,
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- truncated
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"sales_deal__truncated",
    "apiVersion":"2019-05-04",
    "objectType":"salesDeal",
    "objectId":null,
    "object":null,
    "changesRequested":null,
    "relatedObjectsIds":{},
    "emitter":"core",
    "metadata":{}}
    -- noted
    {"id":"00000000-0000-0000-0000-000000000011",
    "createdDate":"2026-01-01T00:00:00.123Z",
    "type":"rowhook.gap",
    "apiVersion":"2019-05-04",
    "objectType":"rowhook",
    "objectId":null,
    "object":null,
    "changesRequested":null,
    "relatedObjectsIds":{},
    "emitter":"custom",
    "metadata":{"cause":"lost"}}
    "#);
}
