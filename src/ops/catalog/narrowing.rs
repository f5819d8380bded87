//! A part of a catalog: some resources, or what one webhook gets.

use std::collections::{BTreeMap, BTreeSet};

use super::{Catalog, Column, Form, NamedType, TypeBody};
use crate::dispatch::Subscription;
use crate::fault::{Fault, Result};
use crate::ops::settings::near_miss;
use crate::webhook::Format;

/// Which part.
#[derive(Debug, Default)]
pub struct Choice<'a> {
    /// These resources; none of them means all.
    pub resources: &'a [String],
    /// What this webhook gets.
    pub webhook: Option<&'a Subscription>,
}

impl Catalog {
    /// The part of the catalog that is chosen.
    ///
    /// # Errors
    /// If there is no such resource, or the webhook's requests are not what a catalog describes.
    pub fn narrowed(mut self, choice: &Choice<'_>) -> Result<Self> {
        if !choice.resources.is_empty() {
            self.known(choice.resources)?;
            self.resources
                .retain(|resource| choice.resources.contains(&resource.name));
            self.notes = false;
        }
        if let Some(webhook) = choice.webhook {
            describable(webhook)?;
            self.taken_by(webhook);
        }
        let used = self.used_types();
        self.types.retain(|name, _| used.contains(name));
        Ok(self)
    }

    fn known(&self, wanted: &[String]) -> Result<()> {
        let names = || self.resources.iter().map(|resource| &*resource.name);
        let Some(unknown) = wanted
            .iter()
            .find(|wanted| names().all(|name| name != **wanted))
        else {
            return Ok(());
        };
        let next_step = match near_miss(unknown, names()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "`rowhook check` shows which tables are captured".to_owned(),
        };
        Err(Fault::settings(format!("there is no resource {unknown:?}")).next_step(next_step))
    }

    fn taken_by(&mut self, webhook: &Subscription) {
        for resource in &mut self.resources {
            let events = &mut resource.events;
            events.retain(|occasion| webhook.events.matches(&occasion.event_type));
            if let Some(fields) = &webhook.endpoint.payload.fields {
                let kept: BTreeSet<&str> = fields.names().collect();
                let is_kept = |column: &Column| kept.contains(&*column.name);
                resource.columns.retain(is_kept);
                resource.related.clear();
            }
        }
        self.resources
            .retain(|resource| !resource.events.is_empty());
        // One of them stands for all: they are not listed anywhere.
        self.notes &= webhook.events.matches("rowhook.gap");
    }

    fn used_types(&self) -> BTreeSet<String> {
        let mut used = BTreeSet::new();
        for column in self.resources.iter().flat_map(|it| &it.columns) {
            note_types(&column.form, &self.types, &mut used);
        }
        used
    }
}

fn note_types(form: &Form, types: &BTreeMap<String, NamedType>, used: &mut BTreeSet<String>) {
    match form {
        Form::Array(element, _) | Form::Vector(element) => note_types(element, types, used),
        Form::Named(name) if used.insert(name.clone()) => {
            let Some(TypeBody::Composite(attributes)) = types.get(name).map(|kind| &kind.body)
            else {
                return;
            };
            for attribute in attributes {
                note_types(&attribute.form, types, used);
            }
        }
        _ => {}
    }
}

/// A catalog describes format `rowhook` alone.
fn describable(webhook: &Subscription) -> Result<()> {
    let what = if webhook.endpoint.payload.body.is_some() {
        "has a `body` of its own"
    } else if webhook.endpoint.format != Format::Rowhook {
        "has another format than `rowhook`"
    } else {
        return Ok(());
    };
    let fault = Fault::settings(format!(
        "webhook {:?} {what}, and a catalog describes the format `rowhook` alone",
        webhook.name
    ));
    Err(fault.next_step("leave --webhook out, and see docs/formats.md for what it gets"))
}
