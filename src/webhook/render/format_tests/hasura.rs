//! Format `hasura`.

use super::rendered;
use crate::webhook::Format;

#[test]
fn events_as_hasura_sends_them() {
    insta::assert_snapshot!(rendered(Format::Hasura { max_retries: 11 }), @r#"
    -- created
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"INSERT","data":{"old":null,"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},"session_variables":null,"trace_context":null}}
    -- updated
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"UPDATE","data":{"old":{"id":7,"stage":"lead","details":{"city":"Bergen","area":47},"value":null},"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},"session_variables":{"x-hasura-role":"editor","x-hasura-user-id":"7","x-hasura-client-id":"app","x-hasura-source":"api"},"trace_context":{"trace_id":"501","requestId":"r-1"}}}
    -- updated, not all of the old row known
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"UPDATE","data":{"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},"session_variables":null,"trace_context":null}}
    -- deleted
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"DELETE","data":{"old":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50},"new":null},"session_variables":null,"trace_context":null}}
    -- snapshot
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"MANUAL","data":{"old":null,"new":{"id":7,"stage":"won","details":{"city":"Oslo","rules":"none"},"value":1.50}},"session_variables":null,"trace_context":null}}
    -- truncated
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"public","name":"deals"},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"TRUNCATE","data":{"old":null,"new":null},"session_variables":null,"trace_context":null}}
    -- noted
    {"id":"00000000-0000-0000-0000-000000000011",
    "created_at":"2026-01-01T00:00:00.123456",
    "table":{"schema":"","name":""},
    "trigger":{"name":"billing"},
    "delivery_info":{"current_retry":1,"max_retries":11},
    "event":{"op":"NOTE","data":{"old":null,"new":{"cause":"lost"}},"session_variables":null,"trace_context":null}}
    "#);
}
