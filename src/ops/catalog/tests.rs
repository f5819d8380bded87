//! A small database, and what is written of it.

use super::assemble::{Found, assemble};
use super::*;
use crate::event::{Capture, ResourceRule, TablePattern};
use crate::wal::description::{Declared, DescribedAttribute, DescribedColumn, DescribedType, Make};
use crate::wal::publication::Table;

const STATUS: u32 = 20_000;
const ADDRESS: u32 = 20_001;
const TEXTS: u32 = 1009;

fn table(name: &str, identity: char) -> Table {
    Table {
        oid: 1,
        schema: "public".into(),
        name: name.into(),
        nameable: true,
        kind: 'r',
        persistence: 'p',
        identity,
        partition: false,
        primary_key: vec!["id".into()],
        identity_key: Vec::new(),
        columns: Vec::new(),
        published: false,
        owned: true,
        dark_partitions: Vec::new(),
        membership: None,
        filtered: false,
    }
}

fn column(name: &str, (oid, sql): (u32, &str), not_null: bool) -> DescribedColumn {
    DescribedColumn {
        relation: 1,
        name: name.into(),
        declared: Declared {
            oid,
            modifier: -1,
            dimensions: 0,
        },
        not_null,
        toasts: oid == 25,
        sql: sql.into(),
        comment: (name == "total").then(|| "With taxes */".to_owned()),
        table_comment: Some("What customers buy.".into()),
    }
}

fn kind(oid: u32, name: &str, make: Make) -> DescribedType {
    DescribedType {
        oid,
        schema: "public".into(),
        name: name.into(),
        comment: None,
        make,
    }
}

/// `orders`, of which whole old rows are known, and `notes`, of which they are not.
pub(super) fn shop() -> Catalog {
    let orders = Found {
        table: table("orders", 'f'),
        columns: vec![
            column("id", (20, "bigint"), true),
            column("status", (STATUS, "status"), true),
            column("total", (1700, "numeric"), true),
            column("card", (25, "text"), false),
            column("customer_id", (20, "bigint"), false),
            column("tags", (TEXTS, "text[]"), false),
            column("ship to", (ADDRESS, "address"), false),
        ],
        whole: true,
        references: vec![vec!["customer_id".into()], vec!["card".into()]],
    };
    let notes = Found {
        table: table("notes", 'd'),
        columns: vec![
            column("id", (2950, "uuid"), true),
            column("said at", (1184, "timestamp with time zone"), false),
            column("text", (25, "text"), false),
        ],
        whole: false,
        references: Vec::new(),
    };
    let status = Make::Enum(vec!["new".into(), "paid".into()]);
    let street = DescribedAttribute {
        name: "street".into(),
        declared: column("", (1043, ""), false).declared,
        sql: "character varying".into(),
    };
    let types = vec![
        kind(STATUS, "status", status),
        kind(ADDRESS, "address", Make::Composite(vec![street])),
        kind(TEXTS, "_text", Make::Array(25)),
    ];
    let rule = ResourceRule {
        redact: vec![("card".into(), Redaction::Mask)],
        fields: vec!["status".into()],
        tenant: Some("id".into()),
        ..ResourceRule::of(TableName {
            schema: "public".into(),
            name: "orders".into(),
        })
    };
    let of_notes = ResourceRule {
        deleted_at: Some("said at".into()),
        ..ResourceRule::of(TableName {
            schema: "public".into(),
            name: "notes".into(),
        })
    };
    let capture = Capture {
        tables: vec![TablePattern {
            exclude: false,
            schema: "public".into(),
            table: "*".into(),
        }],
        resources: vec![rule, of_notes],
    };
    assemble(vec![orders, notes], types, &capture)
}

fn pretty(name: &str) -> String {
    format!("{:#}", json_schema(&shop())["$defs"][name])
}

/// What the JSON Schema says of an event's `data`.
fn data(event_type: &str) -> String {
    let event = format!("event.{event_type}");
    json_schema(&shop())["$defs"][event]["properties"]["data"]["properties"].to_string()
}

/// One definition of the JSON Schema, on one line.
fn defined(name: &str) -> String {
    json_schema(&shop())["$defs"][name].to_string()
}

#[test]
fn a_column_says_what_its_values_look_like() {
    insta::assert_snapshot!(pretty("columns.orders"), @r##"
    {
      "type": "object",
      "description": "Columns of public.orders.",
      "properties": {
        "id": {
          "$comment": "bigint",
          "type": "integer",
          "examples": [
            1
          ]
        },
        "status": {
          "$comment": "status",
          "allOf": [
            {
              "$ref": "#/$defs/type.status"
            }
          ],
          "examples": [
            "new"
          ]
        },
        "total": {
          "description": "With taxes */",
          "$comment": "numeric",
          "anyOf": [
            {
              "type": "number"
            },
            {
              "type": "string",
              "enum": [
                "NaN",
                "Infinity",
                "-Infinity"
              ]
            }
          ],
          "examples": [
            12.5
          ]
        },
        "card": {
          "$comment": "redacted: mask",
          "anyOf": [
            {
              "type": "string",
              "const": "***"
            },
            {
              "type": "null"
            }
          ],
          "examples": [
            "***"
          ]
        },
        "customer_id": {
          "$comment": "bigint",
          "type": [
            "integer",
            "null"
          ],
          "examples": [
            1
          ]
        },
        "tags": {
          "$comment": "text[]",
          "type": [
            "array",
            "null"
          ],
          "items": {
            "anyOf": [
              {
                "type": [
                  "string",
                  "null"
                ]
              },
              {
                "type": "array"
              }
            ]
          },
          "examples": [
            [
              "text"
            ]
          ]
        },
        "ship to": {
          "$comment": "address",
          "anyOf": [
            {
              "$ref": "#/$defs/type.address"
            },
            {
              "type": "null"
            }
          ],
          "examples": [
            {
              "street": "text"
            }
          ]
        }
      }
    }
    "##);
    insta::assert_snapshot!(pretty("type.address"), @r##"
    {
      "type": "object",
      "required": [
        "street"
      ],
      "properties": {
        "street": {
          "$comment": "character varying",
          "type": [
            "string",
            "null"
          ]
        }
      }
    }
    "##);
    insta::assert_snapshot!(defined("row.orders"), @r##"{"type":"object","required":["id","status","total","card","customer_id","tags","ship to"],"allOf":[{"$ref":"#/$defs/columns.orders"}],"description":"What customers buy."}"##);
}

#[test]
fn an_event_says_which_columns_are_sure_to_be_there() {
    insta::assert_snapshot!(data("orders.updated"), @r##"{"old":{"$ref":"#/$defs/row.orders"},"new":{"$ref":"#/$defs/row.orders"},"changes":{"$ref":"#/$defs/changes"}}"##);
    insta::assert_snapshot!(data("notes.updated"), @r##"{"old":{"$ref":"#/$defs/row.notes"},"new":{"type":"object","required":["id","said at"],"allOf":[{"$ref":"#/$defs/columns.notes"}]},"changes":{"$ref":"#/$defs/changes"}}"##);
    insta::assert_snapshot!(data("notes.deleted"), @r##"{"old":{"type":"object","required":["id"],"allOf":[{"$ref":"#/$defs/columns.notes"}]},"new":{"type":"null"},"changes":{"$ref":"#/$defs/changes"}}"##);
    insta::assert_snapshot!(data("notes.truncated"), @r##"{"old":{"type":"null"},"new":{"type":"null"},"changes":{"$ref":"#/$defs/changes"}}"##);
}

#[test]
fn an_event_comes_with_an_example() {
    let example = &json_schema(&shop())["$defs"]["event.orders.updated"]["examples"][0];
    insta::assert_snapshot!(format!("{example:#}"), @r##"
    {
      "type": "orders.updated",
      "resource": "orders",
      "resourceId": "1",
      "sequenceId": 13,
      "createdAt": "2026-01-31T12:30:00.5Z",
      "data": {
        "old": {
          "id": 1,
          "status": "new",
          "total": 12.5,
          "card": "***",
          "customer_id": 1,
          "tags": [
            "text"
          ],
          "ship to": {
            "street": "text"
          }
        },
        "new": {
          "id": 1,
          "status": "paid",
          "total": 12.5,
          "card": "***",
          "customer_id": 1,
          "tags": [
            "text"
          ],
          "ship to": {
            "street": "text"
          }
        },
        "changes": {
          "added": [],
          "updated": [
            "status"
          ],
          "removed": []
        }
      },
      "previousValues": {
        "status": "new"
      },
      "tenant": "acme",
      "relatedIds": {
        "customerId": "7"
      },
      "source": {
        "database": "shop",
        "schema": "public",
        "table": "orders",
        "xid": 771,
        "lsn": "16/B374D848"
      },
      "context": null
    }
    "##);
    let example = &json_schema(&shop())["$defs"]["event.orders.status.changed"]["examples"][0];
    insta::assert_snapshot!(example["fieldChange"], @r##"{"fieldName":"status","previousValue":"new","newValue":"paid"}"##);
}

#[test]
fn asyncapi_has_a_channel_for_each_resource_and_a_message_for_each_event() {
    let document = asyncapi(&shop());
    insta::assert_snapshot!(document["channels"]["notes"], @r##"{"address":null,"title":"notes","description":"What customers buy.","messages":{"notes.created":{"$ref":"#/components/messages/notes.created"},"notes.updated":{"$ref":"#/components/messages/notes.updated"},"notes.deleted":{"$ref":"#/components/messages/notes.deleted"},"notes.snapshot":{"$ref":"#/components/messages/notes.snapshot"},"notes.truncated":{"$ref":"#/components/messages/notes.truncated"},"notes.restored":{"$ref":"#/components/messages/notes.restored"}}}"##);
    insta::assert_snapshot!(document["operations"]["send.notes"], @r##"{"action":"send","channel":{"$ref":"#/channels/notes"},"messages":[{"$ref":"#/channels/notes/messages/notes.created"},{"$ref":"#/channels/notes/messages/notes.updated"},{"$ref":"#/channels/notes/messages/notes.deleted"},{"$ref":"#/channels/notes/messages/notes.snapshot"},{"$ref":"#/channels/notes/messages/notes.truncated"},{"$ref":"#/channels/notes/messages/notes.restored"}]}"##);
    let mut message = document["components"]["messages"]["notes.created"].clone();
    message["examples"] = serde_json::Value::Null;
    insta::assert_snapshot!(message, @r##"{"name":"notes.created","title":"notes.created","summary":"A row of public.notes was inserted.","contentType":"application/json","headers":{"$ref":"#/components/schemas/headers"},"payload":{"$ref":"#/components/schemas/request.notes.created"},"examples":null}"##);
}

#[test]
fn typescript_tells_events_apart_by_their_type() {
    let text = typescript(&shop());
    let (_, own) = text.split_once("/** The type address. */").unwrap();
    let (own, _) = own.split_once("/** Every event").unwrap();
    insta::assert_snapshot!(own, @r##"
    export interface Address {
      /** character varying */
      street: string | null;
    }

    /** The type status. */
    export type Status = "new" | "paid";

    /** What customers buy. */
    export interface Notes {
      /** uuid */
      id: string;
      /** timestamp with time zone */
      "said at": string | null;
      /** text */
      text: string | null;
    }

    /** A row of public.notes was inserted. */
    export type NotesCreated = EventOf<"notes.created", "notes", string, Inserted<Notes>>;

    /** A row of public.notes was updated. */
    export type NotesUpdated = EventOf<"notes.updated", "notes", string, PartlyUpdated<Notes, Pick<Notes, "id" | "said at"> & Partial<Notes>>> & { previousValues?: Partial<Notes> };

    /** A row of public.notes was deleted. */
    export type NotesDeleted = EventOf<"notes.deleted", "notes", string, PartlyDeleted<Pick<Notes, "id"> & Partial<Notes>>> & Marked<Notes>;

    /** A row of public.notes as a backfill found it. */
    export type NotesSnapshot = EventOf<"notes.snapshot", "notes", string, Inserted<Notes>>;

    /** public.notes was emptied by TRUNCATE. */
    export type NotesTruncated = EventOf<"notes.truncated", "notes", null, Truncated>;

    /** A row of public.notes that was deleted came back. */
    export type NotesRestored = EventOf<"notes.restored", "notes", string, PartlyUpdated<Notes, Pick<Notes, "id" | "said at"> & Partial<Notes>>> & { previousValues?: Partial<Notes> };

    export type NotesEvent = NotesCreated | NotesUpdated | NotesDeleted | NotesSnapshot | NotesTruncated | NotesRestored;

    /** An event of notes as `rowhook events list --json` has it. */
    export type NotesLogged = LoggedOf<"notes.created" | "notes.updated" | "notes.deleted" | "notes.snapshot" | "notes.truncated" | "notes.restored", "notes", Notes>;

    /** What customers buy. */
    export interface Orders {
      /** bigint */
      id: number;
      /** status */
      status: Status;
      /** With taxes *\/ (numeric) */
      total: PgNumber;
      /** redacted: mask */
      card: "***" | null;
      /** bigint */
      customer_id: number | null;
      /** text[] */
      tags: (string | null)[] | null;
      /** address */
      "ship to": Address | null;
    }

    /** A row of public.orders was inserted. */
    export type OrdersCreated = EventOf<"orders.created", "orders", string, Inserted<Orders>> & { tenant?: string; relatedIds?: { customerId?: string } };

    /** A row of public.orders was updated. */
    export type OrdersUpdated = UpdateOf<"orders.updated", "orders", string, Updated<Orders>, Orders> & { tenant?: string; relatedIds?: { customerId?: string } };

    /** A row of public.orders was deleted. */
    export type OrdersDeleted = EventOf<"orders.deleted", "orders", string, Deleted<Orders>> & { tenant?: string; relatedIds?: { customerId?: string } };

    /** A row of public.orders as a backfill found it. */
    export type OrdersSnapshot = EventOf<"orders.snapshot", "orders", string, Inserted<Orders>> & { tenant?: string; relatedIds?: { customerId?: string } };

    /** public.orders was emptied by TRUNCATE. */
    export type OrdersTruncated = EventOf<"orders.truncated", "orders", null, Truncated>;

    /** A field of a row of public.orders was changed. */
    export type OrdersStatusChanged = UpdateOf<"orders.status.changed", "orders", string, Updated<Orders>, Orders> & { fieldChange: FieldChange<"status", Orders["status"]> } & { tenant?: string; relatedIds?: { customerId?: string } };

    export type OrdersEvent = OrdersCreated | OrdersUpdated | OrdersDeleted | OrdersSnapshot | OrdersTruncated | OrdersStatusChanged;

    /** An event of orders as `rowhook events list --json` has it. */
    export type OrdersLogged = LoggedOf<"orders.created" | "orders.updated" | "orders.deleted" | "orders.snapshot" | "orders.truncated" | "orders.status.changed", "orders", Orders>;
    "##);
}
