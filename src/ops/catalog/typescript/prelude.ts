/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * A `real`, `double precision` or `numeric`. What no JSON number can be is a string. JavaScript reads the last
 * digits of large ones wrong; so it does those of a `bigint`.
 */
export type PgNumber = number | "NaN" | "Infinity" | "-Infinity";

/** Columns by what happened to them. */
export interface Changes<Column extends string> {
  added: Column[];
  updated: Column[];
  removed: Column[];
}

/** Where an event comes from. */
export interface EventSource {
  database: string;
  schema: string;
  table: string;
  /** The transaction. */
  xid: number;
  /** The position of its commit. */
  lsn: string;
}

/** What the application said of its transaction with `rowhook.set_context`. */
export interface EventContext {
  sessionVariables?: { [key: string]: Json };
  traceContext?: { [key: string]: Json };
}

/** What all events have. */
export interface EventOf<Type extends string, Resource extends string, Id, Data> {
  type: Type;
  resource: Resource;
  resourceId: Id;
  /** The event's place in the log: dense, in commit order. */
  sequenceId: number;
  /** When the transaction was committed: RFC 3339, in UTC. */
  createdAt: string;
  data: Data;
  /** Columns whose value is not known: they are missing, whatever the type of the row says. */
  unknown?: string[];
  /** Columns of which a value could not be read as its type: it is a string, whatever the type of the row says. */
  asText?: string[];
  /** When values of it were erased: what is missing is listed in `unknown`. */
  erasedAt?: string;
  source: EventSource;
  context: EventContext | null;
}

/** An update of which the whole old row is known. */
export type UpdateOf<Type extends string, Resource extends string, Id, Data, Row> =
  EventOf<Type, Resource, Id, Data> & {
    /** Old values of the columns that changed. */
    previousValues: Partial<Row>;
  };

export interface Inserted<Row> {
  old: null;
  new: Row;
  changes: Changes<keyof Row & string>;
}

export interface Updated<Row> {
  old: Row;
  new: Row;
  changes: Changes<keyof Row & string>;
}

/** An update of which the old row may not be known. */
export interface PartlyUpdated<Row, New> {
  old?: Row;
  new: New;
  changes?: Changes<keyof Row & string>;
}

export interface Deleted<Row> {
  old: Row;
  new: null;
  changes: Changes<keyof Row & string>;
}

/** A deletion of which the old row may not be known. */
export interface PartlyDeleted<Row> {
  old?: Row;
  new: null;
  changes: Changes<keyof Row & string>;
}

/** What an update changed that marked a row as deleted; no other deletion has it. */
export interface Marked<Row> {
  previousValues?: Partial<Row>;
  newValues?: Partial<Row>;
}

/** What a field event says of its column. */
export interface FieldChange<Name extends string, Value> {
  fieldName: Name;
  previousValue: Value;
  newValue: Value;
}

export interface Truncated {
  old: null;
  new: null;
  changes: Changes<never>;
}

/**
 * An event of the application's own, such as `CustomEvent<"invoice.sent", Invoice>`. It is not part of RowhookEvent,
 * as nobody but the application knows its types.
 */
export type CustomEvent<Type extends string, Data = Json> = EventOf<
  Type,
  string,
  string | null,
  { old: null; new: { [key: string]: Json } | null; changes: Changes<never>; data?: Data }
>;

/** Something that rowhook itself has to say, such as `rowhook.gap`. */
export type RowhookNote = EventOf<
  `rowhook.${string}`,
  "rowhook",
  null,
  { old: null; new: { [key: string]: Json }; changes: Changes<never> }
>;

/** What all events have in `rowhook events list --json`. */
export interface LoggedOf<Type extends string, Resource extends string, Row> {
  sequenceId: number;
  id: string;
  type: Type;
  resource: Resource;
  resourceId: string | null;
  action: string;
  createdAt: string;
  record: Partial<Row> | null;
  previousValues: Partial<Row> | null;
  context: EventContext | null;
  tenant?: string;
  relatedIds?: { [name: string]: string };
  erasedAt?: string;
  oldRow: "absent" | "key" | "partial" | "full";
  unknown: string[];
  asText: string[];
  source: { schema: string; table: string; xid: number; lsn: string; index: number };
}

export type LoggedNote = LoggedOf<`rowhook.${string}`, "rowhook", { [key: string]: Json }>;
