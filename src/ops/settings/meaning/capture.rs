//! `[capture]` and `[[resource]]`.

use std::collections::BTreeMap;

use super::Reader;
use crate::event::{Capture, PreviousFrom, Redaction, ResourceRule, TableName, TablePattern};
use crate::ops::settings::file::{self, Resource};

/// The schema of a name without a dot.
const PUBLIC: &str = "public";

impl Reader<'_> {
    pub(super) fn capture(
        &mut self,
        written: &file::Capture,
        resources: &[Resource],
    ) -> Option<Capture> {
        let tables = self.patterns(&written.tables);
        let rules: Vec<_> = (0..)
            .zip(resources)
            .map(|(index, resource)| self.resource(index, resource))
            .collect();
        self.refuse_twins(&rules);
        Some(Capture {
            tables: tables?,
            resources: rules.into_iter().collect::<Option<_>>()?,
        })
    }

    fn patterns(&mut self, written: &[String]) -> Option<Vec<TablePattern>> {
        let patterns: Vec<_> = (0..)
            .zip(written)
            .map(|(index, text)| {
                let key = format!("capture.tables[{index}]");
                self.problems.take(&key, pattern(text))
            })
            .collect();
        let patterns = patterns.into_iter().collect::<Option<Vec<_>>>()?;
        if patterns.iter().all(|pattern| pattern.exclude) {
            let what = "takes no table in; begin with a pattern such as \"public.*\"";
            self.problems.refuse("capture.tables", what);
            return None;
        }
        Some(patterns)
    }

    fn resource(&mut self, index: usize, written: &Resource) -> Option<ResourceRule> {
        let at = |key: &str| format!("resource[{index}].{key}");
        let table = self.problems.take(&at("table"), table(&written.table));
        let name = written.name.as_deref().map(resource_name).transpose();
        let name = self.problems.take(&at("name"), name);
        if written.key.as_ref().is_some_and(Vec::is_empty) {
            let what = "names no column; leave it out for the primary key";
            self.problems.refuse(&at("key"), what);
        }
        for column in written.key.iter().flatten() {
            if written.exclude.contains(column) || written.redact.contains_key(column) {
                let what =
                    format!("column {column:?} is part of the key: it is in every event's id");
                let key = if written.exclude.contains(column) {
                    "exclude"
                } else {
                    "redact"
                };
                self.problems.refuse(&at(key), what);
            }
        }
        for column in written
            .redact
            .keys()
            .filter(|column| written.exclude.contains(column))
        {
            let what = format!("column {column:?} is excluded as well; keep one of them");
            self.problems.refuse(&at("redact"), what);
        }
        self.columns_of(index, written);
        Some(ResourceRule {
            table: table?,
            name: name?,
            key: written.key.clone(),
            exclude: written.exclude.clone(),
            redact: written.redact.iter().map(redaction).collect(),
            previous: match written.previous {
                file::Previous::Stream => PreviousFrom::Stream,
                file::Previous::Log => PreviousFrom::Log,
            },
            deleted_at: written.deleted_at.clone(),
            fields: written.fields.clone(),
            tenant: written.tenant.clone(),
            related: written.related,
            documents: written.documents.clone(),
        })
    }

    /// Two rules for one table would contradict each other; two tables under one name would share
    /// their lanes and ids.
    fn refuse_twins(&mut self, rules: &[Option<ResourceRule>]) {
        let mut tables = BTreeMap::new();
        let mut names = BTreeMap::new();
        for (index, rule) in rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            if let Some(first) = tables.insert(&rule.table, index) {
                let what = format!("{} has resource[{first}] already", rule.table);
                self.problems
                    .refuse(&format!("resource[{index}].table"), what);
            } else if let Some(first) = names.insert(name_of(rule), index) {
                let what = format!("resource[{first}] is named {:?} already", name_of(rule));
                self.problems
                    .refuse(&format!("resource[{index}].name"), what);
            }
        }
    }
}

fn redaction((column, written): (&String, &file::Redaction)) -> (String, Redaction) {
    let redaction = match written {
        file::Redaction::Hash => Redaction::Hash,
        file::Redaction::Mask => Redaction::Mask,
    };
    (column.clone(), redaction)
}

fn name_of(rule: &ResourceRule) -> String {
    match &rule.name {
        Some(name) => name.clone(),
        None if rule.table.schema == PUBLIC => rule.table.name.clone(),
        None => rule.table.to_string(),
    }
}

fn resource_name(name: &str) -> Result<String, String> {
    let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '!' | ',');
    if name.is_empty() || name.contains(refused) {
        return Err(format!(
            "{name:?} cannot begin an event type: no space, comma, `*` or `!`"
        ));
    }
    Ok(name.into())
}

fn pattern(text: &str) -> Result<TablePattern, String> {
    let (exclude, name) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let table = qualified(name)?;
    Ok(TablePattern {
        exclude,
        schema: table.schema,
        table: table.name,
    })
}

fn table(text: &str) -> Result<TableName, String> {
    if text.contains('*') {
        return Err(format!("{text:?} is a pattern; a resource is one table"));
    }
    qualified(text)
}

/// `schema.name`, unquoted; no dot means schema public.
fn qualified(text: &str) -> Result<TableName, String> {
    let (schema, name) = text.split_once('.').unwrap_or((PUBLIC, text));
    let is_name = |part: &str| {
        !part.is_empty() && part.trim() == part && !part.contains(['.', '"', '!', '\0'])
    };
    if !is_name(schema) || !is_name(name) {
        return Err(format!(
            "{text:?} is not of the form \"schema.table\", unquoted"
        ));
    }
    Ok(TableName {
        schema: schema.into(),
        name: name.into(),
    })
}
