//! What an erasure would change, looked at before it begins.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::event::past::{changed_key, is_gone, is_of_a_row};
use crate::event::{Erasure, Event, Fields};
use crate::event_log::past::change_of_key;
use crate::event_log::read::{self, Filter};
use crate::event_log::{deliveries, keys};
use crate::fault::{Fault, Result};
use crate::ops::commands::print;
use crate::ops::settings::Settings;
use crate::wal::Connection;

/// Events that are read, and changed in one transaction, at once …
const PAGE: i64 = 200;
/// … as long as they are not more bytes than this.
const PAGE_BYTES: usize = 4 << 20;

/// A key that was cut short stands whole in the record alone: it goes, too.
const SHORTENED: &str = "~sha256:";

/// The row's events.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Sequence ids of all of them, in order.
    pub(super) events: Vec<i64>,
    /// How many would change, by type.
    by_type: BTreeMap<String, i64>,
    /// Every column that an event has.
    columns: BTreeSet<String>,
    /// The keys of the tables that the events are of.
    keys: HashMap<(String, String), Vec<Vec<String>>>,
    /// What to know about other keys that the row had.
    notes: Vec<String>,
}

/// The row's next events, the oldest first; `None` behind the last one.
pub(super) async fn pages(
    log: &Connection,
    (resource, id): (&str, &str),
    after: i64,
    up_to: i64,
) -> Result<Option<Vec<Event>>> {
    let filter = Filter {
        after: Some(after),
        before: Some(up_to.saturating_add(1)),
        resource: Some(resource.to_owned()),
        resource_id: Some(id.to_owned()),
        limit: PAGE,
        bytes: Some(PAGE_BYTES),
        ..Filter::default()
    };
    let events = read::page(log, &filter).await?;
    Ok((!events.is_empty()).then_some(events))
}

impl Survey {
    /// Looks at every event of the row.
    pub(super) async fn of(
        log: &Connection,
        settings: &Settings,
        row: (&str, &str),
        erasure: &Erasure,
        up_to: i64,
    ) -> Result<Self> {
        let mut survey = Self::default();
        let mut after = deliveries::before_oldest(log).await?;
        let mut last: Option<Event> = None;
        while let Some(page) = pages(log, row, after, up_to).await? {
            after = page.last().map_or(up_to, |event| event.sequence_id);
            for event in page {
                survey.learn_key(log, settings, &event).await?;
                survey.take(&event, erasure);
                if !is_of_a_row(&event) {
                    continue;
                }
                if !event.action.is_update() || survey.got_key(&event) {
                    survey.follow(log, last, event.sequence_id).await?;
                }
                last = Some(event);
            }
        }
        survey.follow(log, last, up_to).await?;
        Ok(survey)
    }

    /// Notes if the row whose event this is was given another key before that of another one came.
    async fn follow(&mut self, log: &Connection, last: Option<Event>, up_to: i64) -> Result<()> {
        let Some(last) = last.filter(|last| !is_gone(last)) else {
            return Ok(());
        };
        let keys = self.known_keys(&last);
        if let Some((turn, to)) = change_of_key(log, &last, up_to, keys).await? {
            self.notes.push(format!(
                "event {} gave the row another key: its events from there on are those of {} {}",
                turn.sequence_id,
                last.resource,
                to.as_deref().unwrap_or("(not known)")
            ));
        }
        Ok(())
    }

    /// Whether an update gave the row this key.
    fn got_key(&self, event: &Event) -> bool {
        is_of_a_row(event) && changed_key(event, self.known_keys(event))
    }

    async fn learn_key(
        &mut self,
        log: &Connection,
        settings: &Settings,
        event: &Event,
    ) -> Result<()> {
        if let Entry::Vacant(place) = self.keys.entry(table(event)) {
            place.insert(keys::of_table(log, &settings.capture, &event.origin).await?);
        }
        Ok(())
    }

    fn take(&mut self, event: &Event, erasure: &Erasure) {
        self.events.push(event.sequence_id);
        for text in [&event.record, &event.previous, &event.data]
            .into_iter()
            .flatten()
        {
            let fields = Fields::read(text).unwrap_or_default();
            self.columns
                .extend(fields.iter().map(|member| member.name().into_owned()));
        }
        self.columns.extend(event.unknown.iter().cloned());
        if erasure.of(event, self.key_of(event)).is_some() {
            *self
                .by_type
                .entry(event.event_type.to_string())
                .or_default() += 1;
        }
        if self.got_key(event) {
            self.notes.push(format!(
                "event {} gave the row this key: its events before are those of the one that it had, {}",
                event.sequence_id,
                self.old_key(event)
            ));
        }
    }

    /// The changed columns of the key as they were, as `id = 7`.
    fn old_key(&self, event: &Event) -> String {
        let previous = event.previous.as_deref().and_then(Fields::read);
        let previous = previous.unwrap_or_default();
        let columns: BTreeSet<&String> = self.known_keys(event).iter().flatten().collect();
        let old = columns.into_iter().filter_map(|column| {
            let old = previous.named(column)?;
            Some(format!("{column} = {}", old.value))
        });
        old.collect::<Vec<_>>().join(", ")
    }

    fn known_keys(&self, event: &Event) -> &[Vec<String>] {
        self.keys.get(&table(event)).map_or(&[], Vec::as_slice)
    }

    /// The columns that stay, because the resource id tells their values anyway.
    pub(super) fn key_of(&self, event: &Event) -> &[String] {
        let shortened = event
            .resource_id
            .as_deref()
            .is_some_and(|id| id.contains(SHORTENED));
        match self.known_keys(event).first() {
            Some(key) if !shortened => key,
            _ => &[],
        }
    }

    /// How many events would change.
    pub(super) fn to_erase(&self) -> i64 {
        self.by_type.values().sum()
    }

    /// Refuses columns of the key, and those that no event has.
    pub(super) fn refuse(&self, fields: &BTreeSet<String>) -> Result<()> {
        for field in fields {
            if self.keys.values().flatten().any(|key| key.contains(field)) {
                return Err(Fault::settings(format!(
                    "{field:?} is a part of the key, which events keep: they are found by it"
                )));
            }
            if !self.columns.contains(field) {
                let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
                return Err(Fault::settings(format!(
                    "no event of this row has a column {field:?}"
                ))
                .next_step(format!("one of: {}", columns.join(", "))));
            }
        }
        Ok(())
    }

    pub(super) fn show(&self) -> Result<()> {
        let rows = self
            .by_type
            .iter()
            .map(|(name, count)| vec![name.clone(), count.to_string()]);
        if !self.by_type.is_empty() {
            print::table(&["TYPE", "EVENTS"], rows.collect())?;
        }
        print::line(format!(
            "{} of the row's {} events hold values to erase",
            self.to_erase(),
            self.events.len()
        ))?;
        self.notes
            .iter()
            .try_for_each(|note| print::line(format!("note: {note}")))
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "events": self.events.len(), "to_erase": self.to_erase(), "by_type": self.by_type, "notes": self.notes,
        })
    }
}

fn table(event: &Event) -> (String, String) {
    (
        event.origin.schema.to_string(),
        event.origin.table.to_string(),
    )
}
