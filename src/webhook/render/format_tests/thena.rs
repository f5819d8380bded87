//! Format `thena`.

use super::rendered;
use crate::webhook::Format;

#[test]
fn events_as_thena_sends_them() {
    insta::assert_snapshot!(rendered(Format::Thena), @r#"
    -- created
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:created",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{"salesDeal":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "metadata":{"sequenceId":42}}
    -- updated
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:updated",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"7","type":"USER","email":""},
    "eventData":{"salesDeal":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"previousSalesDeal":{"id":7,"stage":"lead","details":{"city":"Bergen","area":47},"value":null},"changedFields":["stage","details","value"]},
    "metadata":{"sequenceId":42}}
    -- updated, not all of the old row known
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:updated",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{"salesDeal":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "metadata":{"sequenceId":42}}
    -- deleted
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:deleted",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{"previousSalesDeal":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "metadata":{"sequenceId":42}}
    -- snapshot
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:snapshot",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{"salesDeal":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "metadata":{"sequenceId":42}}
    -- truncated
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:sales_deal:truncated",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{},
    "metadata":{"sequenceId":42}}
    -- noted
    {"eventId":"00000000-0000-0000-0000-000000000011",
    "eventType":"custom-object:rowhook:gap",
    "timestamp":1767225600,
    "orgId":"shop",
    "actor":{"id":"","type":"SYSTEM","email":""},
    "eventData":{"rowhook":{"cause":"lost"}},
    "metadata":{"sequenceId":42}}
    "#);
}
