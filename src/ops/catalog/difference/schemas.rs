//! Two schemas of the kind that a catalog is made of, held against each other.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::document::Document;
use super::reading::{
    ANY, Choice, Choices, NULL, choices, label, listed, properties, referred, required, values,
};
use super::{Change, Impact};

/// Walks two documents side by side; a definition is looked at once.
pub(super) struct Comparison<'a> {
    old: &'a Document<'a>,
    new: &'a Document<'a>,
    /// Definitions, and the kind of JSON.
    seen: BTreeSet<(&'a str, &'a str, &'a str)>,
    pub(super) changes: Vec<Change>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(old: &'a Document<'a>, new: &'a Document<'a>) -> Self {
        Self {
            old,
            new,
            seen: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// Compares what surrounds an event.
    pub(super) fn request(&mut self) {
        let request = |document: &Document<'a>| document.definition("request");
        if let (Some(old), Some(new)) = (request(self.old), request(self.new)) {
            self.node("request", old, new);
        }
    }

    /// Compares an event that both have.
    pub(super) fn event(&mut self, event_type: &str) {
        if let (Some(old), Some(new)) = (self.old.event(event_type), self.new.event(event_type)) {
            self.node(event_type, old, new);
        }
    }

    fn say(&mut self, impact: Impact, about: &str, what: impl Into<String>) {
        self.changes.push(Change {
            impact,
            about: about.to_owned(),
            what: what.into(),
        });
    }

    fn node(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        // Events are compared one by one.
        if old.as_object().and_then(referred) == Some("event") {
            return;
        }
        let (mut was, mut is) = (Choices::new(), Choices::new());
        choices(self.old, old, &mut was);
        choices(self.new, new, &mut is);
        let sql = [old, new].map(|node| node.get("$comment").and_then(Value::as_str));
        let turned = match sql {
            [Some(was), Some(is)] if was != is => format!(" ({was} → {is})"),
            _ => String::new(),
        };
        let said = self.changes.len();
        if self.kinds(place, &was, &is, &turned) {
            for (kind, old) in was {
                if let Some(new) = is.get(kind) {
                    self.choice((place, &turned), kind, old, *new);
                }
            }
        }
        if let ([Some(was), Some(is)], true) = (sql, self.changes.len() == said)
            && was != is
        {
            self.say(
                Impact::Note,
                place,
                format!("its type is {is}, and was {was}"),
            );
        }
    }

    /// Compares the kinds of JSON that may stand at a place; whether what they have in common is worth a
    /// look.
    fn kinds(&mut self, place: &str, was: &Choices<'_>, is: &Choices<'_>, turned: &str) -> bool {
        if was.contains_key(ANY) {
            if !is.contains_key(ANY) {
                let what = format!("is {} now, and was any JSON", listed(is.keys()));
                self.say(Impact::Compatible, place, what);
            }
            return false;
        }
        if is.contains_key(NULL) && !was.contains_key(NULL) {
            self.say(Impact::Breaking, place, "may be null now");
        } else if was.contains_key(NULL) && !is.contains_key(NULL) {
            self.say(Impact::Compatible, place, "is never null any more");
        }
        let whole_number = |kind: &str| kind == "integer" && was.contains_key("number");
        let is_known = |kind: &str| kind == NULL || was.contains_key(kind) || whole_number(kind);
        if !is.keys().all(|kind| is_known(kind)) {
            let kinds = |of: &Choices<'_>| listed(of.keys().filter(|kind| **kind != NULL));
            let what = format!("is {}, and was {}{turned}", kinds(is), kinds(was));
            self.say(Impact::Breaking, place, what);
        }
        true
    }

    fn choice(
        &mut self,
        (place, turned): (&str, &str),
        kind: &'a str,
        old: Choice<'a>,
        new: Choice<'a>,
    ) {
        let mut place = place.to_owned();
        if let (Some(was), Some(is)) = (old.origin, new.origin) {
            if !self.seen.insert((was, is, kind)) {
                return;
            }
            if was == is {
                place = label(was).unwrap_or(place);
            }
        }
        match kind {
            "string" => self.strings((&place, turned), old.schema, new.schema),
            "array" => {
                if let (Some(old), Some(new)) = (old.schema.get("items"), new.schema.get("items")) {
                    self.node(&format!("{place}[]"), old, new);
                }
            }
            "object" => self.objects(&place, old.schema, new.schema),
            _ => {}
        }
    }

    fn strings(
        &mut self,
        (place, turned): (&str, &str),
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) {
        match (values(old), values(new)) {
            (Some(was), Some(is)) => {
                for added in is.difference(&was) {
                    self.say(Impact::Note, place, format!("may be {added:?} now"));
                }
                for gone in was.difference(&is) {
                    let what = format!("is never {gone:?} any more");
                    self.say(Impact::Compatible, place, what);
                }
            }
            (Some(was), None) => {
                let what = format!("may be other text than {} now{turned}", listed(was.iter()));
                self.say(Impact::Breaking, place, what);
            }
            (None, Some(is)) => {
                let what = format!("is {} now, and was any text{turned}", listed(is.iter()));
                self.say(Impact::Note, place, what);
            }
            (None, None) => self.texts((place, turned), old, new),
        }
    }

    /// Compares what is known of texts that are not listed.
    fn texts(
        &mut self,
        (place, turned): (&str, &str),
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) {
        for key in ["format", "pattern"] {
            match (old.get(key), new.get(key)) {
                (Some(was), is) if is != Some(was) => {
                    let what = format!("its text may break the {key} {was} now{turned}");
                    self.say(Impact::Breaking, place, what);
                }
                (None, Some(is)) => {
                    let what = format!("its text has the {key} {is} now{turned}");
                    self.say(Impact::Note, place, what);
                }
                _ => {}
            }
        }
        let longest = |schema: &Map<String, Value>| schema.get("maxLength").and_then(Value::as_u64);
        let (was, is) = (longest(old), longest(new));
        if let Some(was) = was.filter(|was| is.is_none_or(|is| is > *was)) {
            let what = format!("may be longer than {was} characters now{turned}");
            self.say(Impact::Note, place, what);
        }
    }

    fn objects(&mut self, place: &str, old: &'a Map<String, Value>, new: &'a Map<String, Value>) {
        let none = Map::new();
        let inner = |of: &'a Map<String, Value>| of.get("properties").and_then(Value::as_object);
        let at = |name: &str| format!("{place}.{name}");
        // A field event repeats what its column says.
        let told = |(name, _): &(&String, &Value)| *name != "fieldChange";
        for (name, was) in inner(old).into_iter().flatten().filter(told) {
            match inner(new).and_then(|properties| properties.get(name)) {
                Some(is) => self.node(&at(name), was, is),
                None => self.say(Impact::Breaking, &at(name), "is gone"),
            }
        }
        let known = inner(old).unwrap_or(&none);
        for name in inner(new).into_iter().flat_map(Map::keys) {
            if !known.contains_key(name) {
                self.say(Impact::Compatible, &at(name), "is new");
            }
        }
        let parts = |of: &'a Map<String, Value>| of.get("allOf").and_then(Value::as_array);
        if let (Some(was), Some(is)) = (parts(old), parts(new)) {
            for (was, is) in was.iter().zip(is) {
                self.node(place, was, is);
            }
        }
        let others = |of: &'a Map<String, Value>| of.get("additionalProperties");
        if let (Some(was), Some(is)) = (others(old), others(new)) {
            self.node(&at("*"), was, is);
        }
        self.required(place, old, new);
    }

    /// What has to be there, of what may still be there.
    fn required(&mut self, place: &str, old: &'a Map<String, Value>, new: &'a Map<String, Value>) {
        let (was, is) = (required(old), required(new));
        let (had, has) = (properties(self.old, old), properties(self.new, new));
        for name in was.difference(&is).filter(|name| has.contains(*name)) {
            let about = format!("{place}.{name}");
            self.say(Impact::Breaking, &about, "may be missing now");
        }
        for name in is.difference(&was).filter(|name| had.contains(*name)) {
            let about = format!("{place}.{name}");
            self.say(Impact::Compatible, &about, "is never missing any more");
        }
    }
}
