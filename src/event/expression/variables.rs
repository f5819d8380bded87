//! An event → the variables that an expression sees.

use std::collections::HashMap;

use cel::Context;
use cel::common::types::{CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp};

use super::value::{Boxed, Limits, key, read};
use super::{Columns, Names, Variable};
use crate::event::{Action, Event, Fields, OldRow, context as said};

/// Items of a list or object where an expression has one loop, or none …
const MANY: usize = usize::MAX;
/// … and where it has a loop in a loop.
const FEW: usize = 1000;

/// The member of `event` that is what a custom event says.
const DATA: &str = "data";

/// One side of a change.
#[derive(Debug)]
pub(super) enum Side<'v> {
    /// There is no such row.
    Null,
    /// Its columns, as far as they are known.
    Row(Fields<'v>),
    /// Nothing is known of it.
    Unknown,
}

/// An event as an expression sees it.
#[derive(Debug)]
pub(super) struct Scene<'v> {
    pub(super) new: Side<'v>,
    pub(super) old: Side<'v>,
    /// What a custom event says.
    data: Option<&'v str>,
    /// What is there and cannot be read.
    pub(super) unreadable: Vec<Unreadable>,
}

/// A member of a variable that is there and cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) variable: Variable,
    pub(super) name: String,
    pub(super) why: String,
}

impl<'v> Scene<'v> {
    /// Gives a context the variables that the names ask for. What is not known is left out, so that
    /// whoever reads it fails.
    pub(super) fn set(context: &mut Context<'_, 'v>, event: &'v Event, names: &Names) -> Self {
        let needed = |columns: &Columns, side: fn(&'v Event) -> Side<'v>| {
            if columns.is_empty() {
                Side::Unknown
            } else {
                side(event)
            }
        };
        let mut scene = Self {
            new: Side::Unknown,
            old: Side::Unknown,
            data: event.data.as_deref(),
            unreadable: Vec::new(),
        };
        let items = if names.loops > 1 { FEW } else { MANY };
        let limits = Limits { items };
        scene.new = needed(&names.new, new);
        scene.old = needed(&names.old, old);
        // Always a map, so that `has(context.user_id)` works where nothing was attached.
        let attached = needed(&names.context, |event| {
            let attached = event.context.as_deref().map(said::flat);
            Side::Row(attached.unwrap_or_default())
        });
        for (variable, side) in [
            (Variable::New, &scene.new),
            (Variable::Old, &scene.old),
            (Variable::Context, &attached),
        ] {
            let value: Boxed<'v> = match side {
                Side::Null => Box::new(CelNull),
                Side::Row(row) => {
                    let columns = names.of_variable(variable);
                    map(row, columns, limits, |name, why| {
                        scene.unreadable.push(Unreadable {
                            variable,
                            name,
                            why,
                        });
                    })
                }
                Side::Unknown => continue,
            };
            context.add_variable_as_val(variable.as_str(), value);
        }
        if !names.changes.is_empty()
            && let Some(changes) = changes(event)
        {
            context.add_variable_as_val(Variable::Changes.as_str(), changes);
        }
        if !names.event.is_empty() {
            let data = names.event.contain(DATA).then(|| scene.read_data(limits));
            let about = about(event, &names.event, data.flatten());
            context.add_variable_as_val(Variable::Event.as_str(), about);
        }
        scene
    }

    /// What a custom event says; null for others.
    fn read_data(&mut self, limits: Limits) -> Option<Boxed<'v>> {
        let Some(data) = self.data else {
            return Some(Box::new(CelNull));
        };
        match read(data, limits) {
            Ok(value) => Some(value),
            Err(why) => {
                self.unreadable.push(Unreadable {
                    variable: Variable::Event,
                    name: DATA.to_owned(),
                    why,
                });
                None
            }
        }
    }

    /// A column of a row, or what a custom event says, as its JSON text.
    pub(super) fn column(&self, variable: Variable, name: &str) -> Option<&'v str> {
        if variable == Variable::Event && name == DATA {
            return self.data;
        }
        match self.side(variable)? {
            Side::Row(row) => row.named(name).map(|member| member.value),
            Side::Null | Side::Unknown => None,
        }
    }

    /// A row.
    pub(super) fn side(&self, variable: Variable) -> Option<&Side<'v>> {
        match variable {
            Variable::New => Some(&self.new),
            Variable::Old => Some(&self.old),
            Variable::Changes | Variable::Context | Variable::Event => None,
        }
    }
}

fn new(event: &Event) -> Side<'_> {
    match event.action {
        Action::Deleted => Side::Null,
        Action::Truncated | Action::Custom | Action::Noted if event.record.is_none() => Side::Null,
        _ => row(event.record.as_deref()),
    }
}

fn old(event: &Event) -> Side<'_> {
    match event.action {
        Action::Updated | Action::Restored | Action::Changed => old_of_update(event),
        Action::Deleted if event.is_soft_delete() => old_of_update(event),
        Action::Deleted => row(event.record.as_deref()),
        Action::Created | Action::Snapshot | Action::Truncated | Action::Custom | Action::Noted => {
            Side::Null
        }
    }
}

/// Where the whole old row is known, what did not change is as in the new one. Where it is not, only
/// the old values that are there are known.
fn old_of_update(event: &Event) -> Side<'_> {
    let previous = event.previous.as_deref().and_then(Fields::read);
    match (row(event.record.as_deref()), previous) {
        (Side::Row(record), Some(previous)) if event.old_row == OldRow::Full => {
            Side::Row(record.overlaid_by(&previous))
        }
        (_, previous) => Side::Row(previous.unwrap_or_default()),
    }
}

fn row(json: Option<&str>) -> Side<'_> {
    json.and_then(Fields::read).map_or(Side::Unknown, Side::Row)
}

fn map<'v>(
    row: &Fields<'v>,
    columns: &Columns,
    limits: Limits,
    mut unreadable: impl FnMut(String, String),
) -> Boxed<'v> {
    let mut map: HashMap<CelMapKey<'v>, Boxed<'v>> = HashMap::new();
    for member in row.iter() {
        let name = member.name();
        if !columns.contain(&name) {
            continue;
        }
        match read(member.value, limits) {
            Ok(value) => {
                map.insert(key(name), value);
            }
            Err(why) => unreadable(name.into_owned(), why),
        }
    }
    Box::new(CelMap::from(map))
}

/// `None` where it is not known what changed.
fn changes(event: &Event) -> Option<Boxed<'_>> {
    let none = || -> Boxed<'_> { Box::new(CelList::from(Vec::new())) };
    let (record, previous) = (event.record.as_deref(), event.previous.as_deref());
    let (added, updated, removed) = match event.action {
        Action::Created | Action::Snapshot => (listed(record)?, none(), none()),
        action if action.is_update() && event.old_row == OldRow::Full => {
            (none(), listed(previous)?, none())
        }
        Action::Updated | Action::Restored | Action::Changed => return None,
        Action::Deleted => (none(), none(), listed(record)?),
        Action::Truncated | Action::Custom | Action::Noted => (none(), none(), none()),
    };
    Some(Box::new(CelMap::from(HashMap::from([
        (key("added"), added),
        (key("updated"), updated),
        (key("removed"), removed),
    ]))))
}

fn listed(json: Option<&str>) -> Option<Boxed<'_>> {
    let names: Vec<Boxed<'_>> = Fields::read(json?)?
        .iter()
        .map(|member| -> Boxed<'_> { Box::new(CelString::from(member.name())) })
        .collect();
    Some(Box::new(CelList::from(names)))
}

/// The members that are needed: an expression on the type alone makes nothing else.
fn about<'v>(event: &'v Event, columns: &Columns, data: Option<Boxed<'v>>) -> Boxed<'v> {
    let text = |text: &'v str| -> Option<Boxed<'v>> { Some(Box::new(CelString::from(text))) };
    let mut map: HashMap<CelMapKey<'v>, Boxed<'v>> = HashMap::new();
    let mut put = |name: &'static str, value: &dyn Fn() -> Option<Boxed<'v>>| {
        if columns.contain(name)
            && let Some(value) = value()
        {
            map.insert(key(name), value);
        }
    };
    put("id", &|| {
        Some(Box::new(CelString::from(event.event_id.to_string())))
    });
    put("type", &|| text(&event.event_type));
    put("resource", &|| text(&event.resource));
    put("resource_id", &|| match &event.resource_id {
        Some(id) => text(id),
        None => Some(Box::new(CelNull)),
    });
    put("tenant", &|| match &event.tenant {
        Some(tenant) => text(tenant),
        None => Some(Box::new(CelNull)),
    });
    put("action", &|| text(event.action.as_str()));
    put("sequence_id", &|| {
        Some(Box::new(CelInt::from(event.sequence_id)))
    });
    put("created_at", &|| {
        let time = chrono::DateTime::from_timestamp_micros(event.created_at)?;
        Some(Box::new(CelTimestamp::from(time.fixed_offset())))
    });
    put("schema", &|| text(&event.origin.schema));
    put("table", &|| text(&event.origin.table));
    if let Some(data) = data {
        map.insert(key(DATA), data);
    }
    Box::new(CelMap::from(map))
}
