//! The catalog as TypeScript types: a union of events that `type` tells apart.

mod events;
mod rows;

use std::collections::HashMap;
use std::fmt::Write as _;

use self::events::suffix;
use super::events::description;
use super::names::{Identifiers, quoted};
use super::{Catalog, ENVELOPE_FORM, Resource, schema};

/// What every catalog begins with.
const PRELUDE: &str = include_str!("prelude.ts");

/// Names that the prelude and the unions at the end have.
const RESERVED: [&str; 25] = [
    "Json",
    "PgNumber",
    "Changes",
    "EventSource",
    "EventContext",
    "EventOf",
    "UpdateOf",
    "Inserted",
    "Updated",
    "PartlyUpdated",
    "Deleted",
    "PartlyDeleted",
    "Marked",
    "FieldChange",
    "CustomEvent",
    "Truncated",
    "LoggedOf",
    "RowhookNote",
    "LoggedNote",
    "RowhookEvent",
    "RowhookRequest",
    "LoggedEvent",
    "Partial",
    "Pick",
    "Array",
];

/// Writes the TypeScript types.
#[must_use]
pub fn typescript(catalog: &Catalog) -> String {
    let mut writer = Writer::new(catalog);
    writer.prelude();
    for (name, kind) in &catalog.types {
        writer.named(name, kind);
    }
    for resource in &catalog.resources {
        writer.resource(resource);
    }
    writer.unions();
    writer.out
}

struct Writer<'a> {
    catalog: &'a Catalog,
    resources: HashMap<&'a str, String>,
    types: HashMap<&'a str, String>,
    out: String,
}

impl<'a> Writer<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        let mut taken = Identifiers::reserving(&RESERVED);
        let mut resources = HashMap::new();
        for resource in &catalog.resources {
            let mut suffixes = vec![String::new(), "Event".to_owned(), "Logged".to_owned()];
            suffixes.extend(resource.events.iter().map(|it| suffix(resource, it)));
            resources.insert(&*resource.name, taken.take(&resource.name, &suffixes));
        }
        let mut types = HashMap::new();
        for name in catalog.types.keys() {
            types.insert(&**name, taken.take(name, &[String::new()]));
        }
        Self {
            catalog,
            resources,
            types,
            out: String::new(),
        }
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    fn prelude(&mut self) {
        let version = schema::version(self.catalog);
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.out,
            "// The events of this database, written by `rowhook catalog --format typescript`: do not edit.\n\
             // Catalog {version}, envelope {ENVELOPE_FORM}.\n\n{PRELUDE}"
        );
    }

    fn comment(&mut self, indent: &str, text: &str) {
        // A comment ends where it wants to.
        let text = text.replace("*/", "*\\/");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        if let [line] = lines.as_slice() {
            self.line(&format!("{indent}/** {line} */"));
            return;
        }
        self.line(&format!("{indent}/**"));
        for line in lines {
            self.line(format!("{indent} * {line}").trim_end());
        }
        self.line(&format!("{indent} */"));
    }

    fn resource(&mut self, resource: &'a Resource) {
        let row = self
            .resources
            .get(&*resource.name)
            .cloned()
            .unwrap_or_default();
        let comment = resource.comment.clone();
        self.comment(
            "",
            &comment.unwrap_or_else(|| format!("A row of {}.", resource.table)),
        );
        self.line(&format!("export interface {row} {{"));
        for column in &resource.columns {
            self.column(column);
        }
        self.line("}\n");
        for occasion in &resource.events {
            self.comment("", &description(resource, occasion.action));
            let event = Self::event(resource, occasion, &row);
            let suffix = suffix(resource, occasion);
            self.line(&format!("export type {row}{suffix} = {event};\n"));
        }
        let events = resource.events.iter();
        let events: Vec<String> = events
            .map(|it| format!("{row}{}", suffix(resource, it)))
            .collect();
        self.line(&format!("export type {row}Event = {};\n", union(&events)));
        let types: Vec<String> = resource
            .events
            .iter()
            .map(|it| quoted(&it.event_type))
            .collect();
        let (types, name) = (union(&types), quoted(&resource.name));
        self.comment(
            "",
            &format!(
                "An event of {} as `rowhook events list --json` has it.",
                resource.name
            ),
        );
        self.line(&format!(
            "export type {row}Logged = LoggedOf<{types}, {name}, {row}>;\n"
        ));
    }

    fn unions(&mut self) {
        let named = |suffix: &str| -> Vec<String> {
            let resources = self.catalog.resources.iter();
            let names = resources.filter_map(|resource| self.resources.get(&*resource.name));
            names.map(|name| format!("{name}{suffix}")).collect()
        };
        let (mut events, mut logged) = (named("Event"), named("Logged"));
        if self.catalog.notes {
            events.push("RowhookNote".to_owned());
            logged.push("LoggedNote".to_owned());
        }
        self.comment(
            "",
            "Every event that a webhook may receive; `type` tells which it is.",
        );
        self.line(&format!("export type RowhookEvent = {};\n", union(&events)));
        self.comment(
            "",
            "The body of a webhook request; of a webhook with `batch`, a list of them.",
        );
        self.line(
            "export interface RowhookRequest<E extends RowhookEvent = RowhookEvent> {\n\
             \x20 /** The event's id: the same on every attempt. */\n\
             \x20 id: string;\n\
             \x20 event: E;\n\
             \x20 /** The webhook's name. */\n\
             \x20 subscription: string;\n\
             \x20 delivery: { id: string; attempt: number; replay?: number };\n}\n",
        );
        self.comment("", "A line of `rowhook events list --json`.");
        self.line(&format!("export type LoggedEvent = {};", union(&logged)));
    }
}

fn union(members: &[String]) -> String {
    if members.is_empty() {
        "never".to_owned()
    } else {
        members.join(" | ")
    }
}
