//! The formats of Sharetribe.

use super::*;

#[test]
fn the_native_form() {
    insta::assert_snapshot!(rendered(Format::Sharetribe), @r#"
    -- created
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/created",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "previousValues":{},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    -- updated
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/updated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/api",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "previousValues":{"stage":"lead","details":{"city":"Bergen","area":47,"rules":null},"value":null},
    "auditData":{"userId":"7","adminId":null,"clientId":"app","requestId":"r-1"}}
    -- updated, not all of the old row known
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/updated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    -- deleted
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/deleted",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":null,
    "previousValues":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    -- snapshot
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/snapshot",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},
    "previousValues":{},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    -- truncated
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"sales_deal/truncated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":null,
    "resourceType":"sales_deal",
    "resource":null,
    "previousValues":{},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    -- noted
    {"id":"00000000-0000-0000-0000-000000000011",
    "eventType":"rowhook/gap",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":null,
    "resourceType":"rowhook",
    "resource":{"cause":"lost"},
    "previousValues":{},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}
    "#);
}

#[test]
fn the_form_of_the_api() {
    insta::assert_snapshot!(rendered(Format::SharetribeApi), @r#"
    -- created
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/created",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":"7","type":"sales_deal","attributes":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "previousValues":{"attributes":{}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    -- updated
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/updated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/api",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":"7","type":"sales_deal","attributes":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "previousValues":{"attributes":{"stage":"lead","details":{"city":"Bergen","area":47,"rules":null},"value":null}},
    "auditData":{"userId":"7","adminId":null,"clientId":"app","requestId":"r-1"}}}
    -- updated, not all of the old row known
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/updated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":"7","type":"sales_deal","attributes":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    -- deleted
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/deleted",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":null,
    "previousValues":{"id":"7","attributes":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    -- snapshot
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/snapshot",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":"7",
    "resourceType":"sales_deal",
    "resource":{"id":"7","type":"sales_deal","attributes":{"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},
    "previousValues":{"attributes":{}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    -- truncated
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"sales_deal/truncated",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":null,
    "resourceType":"sales_deal",
    "resource":null,
    "previousValues":{"attributes":{}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    -- noted
    {"id":"00000000-0000-0000-0000-000000000011",
    "type":"event",
    "attributes":{"eventType":"rowhook/gap",
    "sequenceId":42,
    "createdAt":"2026-01-01T00:00:00.123Z",
    "marketplaceId":"shop",
    "source":"source/database",
    "resourceId":null,
    "resourceType":"rowhook",
    "resource":{"id":null,"type":"rowhook","attributes":{"cause":"lost"}},
    "previousValues":{"attributes":{}},
    "auditData":{"userId":null,"adminId":null,"clientId":null,"requestId":null}}}
    "#);
}

#[test]
fn an_id_stands_beside_the_attributes_where_it_names_the_row() {
    let api = |id: &str, record: &'static str, previous: &'static str| {
        let event = Event {
            resource_id: Some(id.into()),
            record: Some(record.into()),
            previous: Some(previous.into()),
            old_row: OldRow::Full,
            ..event(Action::Updated)
        };
        let body = renderer(Format::SharetribeApi)
            .render(&event, &delivery())
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body.bytes).unwrap();
        let attributes = &body["attributes"];
        format!(
            "{} {}",
            attributes["resource"], attributes["previousValues"]
        )
    };
    let cases = [
        api("a\"b", r#"{"v":1,"id":"a\"b"}"#, r#"{"v":2}"#),
        api("7", r#"{"id":7,"v":1}"#, r#"{"id":6,"v":2}"#),
        api("7,8", r#"{"id":7,"v":8}"#, r#"{"id":6}"#),
        api("x", r#"{"slug":"x"}"#, r#"{"slug":"y"}"#),
    ];
    insta::assert_snapshot!(cases.join("\n"), @r#"
    {"id":"a\"b","type":"posts","attributes":{"v":1}} {"attributes":{"v":2}}
    {"id":"7","type":"posts","attributes":{"v":1}} {"id":"6","attributes":{"v":2}}
    {"id":"7,8","type":"posts","attributes":{"id":7,"v":8}} {"attributes":{"id":6}}
    {"id":"x","type":"posts","attributes":{"slug":"x"}} {"attributes":{"slug":"y"}}
    "#);
}

#[test]
fn documents_are_compared_key_by_key_and_nothing_else_is() {
    let previous = |new: &str, old: &str| {
        let event = Event {
            record: Some(format!(r#"{{"d":{new}}}"#).into()),
            previous: Some(format!(r#"{{"d":{old}}}"#).into()),
            old_row: OldRow::Full,
            ..event(Action::Updated)
        };
        let body = renderer(Format::Sharetribe)
            .render(&event, &delivery())
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body.bytes).unwrap();
        body["previousValues"]["d"].to_string()
    };
    for (new, old, expected) in [
        (
            r#"{"a": 1, "b": {"x": 1, "y": 2}}"#,
            r#"{"a": 1, "b": {"x": 2, "y": 2}}"#,
            r#"{"b":{"x":2,"y":2}}"#,
        ),
        (
            r#"{"a": 1, "c": 3}"#,
            r#"{"a": 1, "b": 2}"#,
            r#"{"b":2,"c":null}"#,
        ),
        ("{}", r#"{"a": null}"#, r#"{"a":null}"#),
        (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#, "{}"),
        ("null", r#"{"a": 1}"#, r#"{"a":1}"#),
        (r#"{"a": 1}"#, "null", "null"),
        (r#"{"a": 1}"#, "[1, 2]", "[1,2]"),
        ("[1]", "[1,2]", "[1,2]"),
    ] {
        assert_eq!(previous(new, old), expected, "{old} -> {new}");
    }
}
