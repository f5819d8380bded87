//! What writers do and what the killer does: pure functions of the seed. Statements fit whatever
//! state they meet, so no plan depends on what came of the one before it.

use super::dice::Dice;
use super::schema::{BULK, NEW, ROWS_BEFORE, TABLES, Table};

/// Rows that everyone fights for, by their numbers.
const CONTESTED: u64 = 200;
/// More than one batch of 4 MiB.
const BULK_ROWS: u64 = 16_000;
const BULK_NOTE: u64 = 300;
/// One large transaction in so many of the first writer's.
const BULK_EVERY: u64 = 300;
const BULK_FIRST: u64 = 40;

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Sql(String),
    Copy { into: String, rows: String },
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    Rollback,
    Prepared { kept: bool },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
}

/// One writer's transactions, without end.
pub(crate) struct Writing {
    dice: Dice,
    writer: u64,
    number: u64,
    tables: Vec<&'static Table>,
    bulk: bool,
    /// So many transactions in 1000 are a TRUNCATE.
    truncates: u64,
    contested: u64,
}

impl Writing {
    /// `lasting`: rows from before are to be there for a while.
    pub(crate) fn new(seed: u64, writer: u64, tables: &[String], lasting: bool) -> Self {
        let wanted = |name: &str| tables.is_empty() || tables.iter().any(|table| table == name);
        Self {
            dice: Dice::new(seed, writer),
            writer,
            number: 0,
            tables: TABLES.iter().filter(|table| wanted(table.name)).collect(),
            bulk: writer == 1 && wanted(BULK.name),
            truncates: if lasting { 1 } else { 4 },
            contested: if lasting { ROWS_BEFORE } else { CONTESTED },
        }
    }

    pub(crate) fn next(&mut self) -> Transaction {
        self.number += 1;
        if self.bulk && self.number % BULK_EVERY == BULK_FIRST {
            return self.large();
        }
        if self.tables.is_empty() {
            return committed(vec![bulk(self.dice.below(3), self.dice.below(100), 50)]);
        }
        let steps = match self.dice.below(1000) {
            0..20 => vec![self.copy()],
            dice if (20..20 + self.truncates).contains(&dice) => {
                let table = *self.dice.pick(&self.tables);
                vec![Step::Sql(truncate(table))]
            }
            _ => self.small(),
        };
        let end = match self.dice.below(100) {
            0..80 => End::Commit,
            80..92 => End::Rollback,
            92..98 => End::Prepared { kept: true },
            _ => End::Prepared { kept: false },
        };
        Transaction { steps, end }
    }

    /// A few statements, some of them in savepoints, some of those rolled back.
    fn small(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..=self.dice.below(6) {
            let table = *self.dice.pick(&self.tables);
            let statement = statement(&mut self.dice, table, self.contested);
            if self.dice.percent(80) {
                steps.push(Step::Sql(statement));
                continue;
            }
            steps.push(Step::Sql("savepoint one".into()));
            steps.push(Step::Sql(statement));
            if self.dice.percent(30) {
                let inner = format!("savepoint two; {}", touch(&mut self.dice, table));
                steps.push(Step::Sql(inner));
            }
            let undo = match self.dice.percent(60) {
                true => "rollback to one",
                false => "release one",
            };
            steps.push(Step::Sql(undo.into()));
        }
        steps
    }

    fn large(&mut self) -> Transaction {
        let (kind, first) = (
            self.number / BULK_EVERY % 3,
            self.dice.below(3) * BULK_ROWS / 2,
        );
        committed(vec![bulk(kind, first, BULK_ROWS)])
    }

    fn copy(&mut self) -> Step {
        let table = *self.dice.pick(&self.tables);
        let count = 10 + self.dice.below(200);
        let first = 1_000_000 * self.writer + 1000 * self.number;
        let rows = (first..first + count).map(|k| copy_row(table, k)).collect();
        Step::Copy {
            into: format!("copy {} ({}) from stdin", table.name, columns(table)),
            rows,
        }
    }
}

fn committed(steps: Vec<Step>) -> Transaction {
    Transaction {
        steps,
        end: End::Commit,
    }
}

fn bulk(kind: u64, first: u64, count: u64) -> Step {
    let last = first + count - 1;
    let all = first..=last;
    Step::Sql(match kind {
        0 => format!(
            "insert into bulk_rows select g, g % 100, audit.noise(g, {BULK_NOTE}) from generate_series({}, {}) g
             on conflict do nothing",
            all.start(),
            all.end()
        ),
        1 => format!("update bulk_rows set v = v + 1 where id between {first} and {last}"),
        _ => format!("delete from bulk_rows where id between {first} and {last}"),
    })
}

fn columns(table: &Table) -> String {
    let mut columns: Vec<&str> = table.key.to_vec();
    columns.extend(table.more.map(|(column, _)| column));
    columns.extend(["v", "note", "body"]);
    columns.join(", ")
}

/// COPY's text format: the key's values here need no escapes but that of the backslash.
fn copy_row(table: &Table, k: u64) -> String {
    let plain = |value: String| {
        let value = value.trim_matches('\'').replace("''", "'");
        value.replace('\\', "\\\\")
    };
    let mut values: Vec<String> = (table.values)(k).into_iter().map(plain).collect();
    match table.more {
        Some(("parent", _)) => values.push("\\N".into()),
        Some((_, value)) => values.push(plain(value(k))),
        None => {}
    }
    values.extend([(k % 100).to_string(), format!("copied {k}"), "\\N".into()]);
    values.join("\t") + "\n"
}

fn insert(dice: &mut Dice, table: &Table, k: u64, conflict: &str) -> String {
    let mut values = (table.values)(k);
    values.extend(table.more.map(|(_, value)| value(k)));
    values.push(dice.below(100).to_string());
    values.push(note(dice));
    values.push(body(dice));
    format!(
        "insert into {} ({}) values ({}) on conflict {conflict}",
        table.name,
        columns(table),
        values.join(", ")
    )
}

fn note(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => "null".into(),
        1 => "''".into(),
        2 => "E'tab\\t line\\n \\\\ \" {} , é 💚'".into(),
        _ => format!("'note {}'", dice.below(1_000_000)),
    }
}

fn body(dice: &mut Dice) -> String {
    let length = match dice.below(10) {
        0..6 => return "null".into(),
        6 | 7 => dice.below(1500),
        _ => 2500 + dice.below(6000),
    };
    format!("audit.noise({}, {length})", dice.below(1_000_000))
}

fn is_key(table: &Table, k: u64) -> String {
    let values = (table.values)(k);
    format!("({}) = ({})", table.key.join(", "), values.join(", "))
}

/// An update that touches several rows, or none.
fn touch(dice: &mut Dice, table: &Table) -> String {
    let rest = dice.below(20);
    format!("update {} set v = v + 1 where v % 20 = {rest}", table.name)
}

fn truncate(table: &Table) -> String {
    // Only a parent table needs it, and there it takes the children along.
    format!("truncate {} cascade", table.name)
}

/// Rows from before capture. Few of them are met by statements that go by `v`.
pub(crate) fn rows_before(table: &Table, numbers: std::ops::Range<u64>) -> String {
    let row = |k: u64| {
        let mut values = (table.values)(k);
        values.extend(table.more.map(|(_, value)| value(k)));
        values.push(match k % 4 {
            0 => (k % 100).to_string(),
            _ => "null".into(),
        });
        values.push(format!("'from before {k}'"));
        values.push(match k % 3 {
            0 => format!("audit.noise({k}, 3000)"),
            _ => "null".into(),
        });
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = numbers.map(row).collect();
    let (name, columns) = (table.name, columns(table));
    format!(
        "insert into {name} ({columns}) values {};
         insert into audit.before select '{name}', to_jsonb(t) from {name} t",
        rows.join(", ")
    )
}

/// One statement on a table; on rows up to `contested`.
fn statement(dice: &mut Dice, table: &Table, contested: u64) -> String {
    let name = table.name;
    let k = dice.below(contested);
    let this = is_key(table, k);
    match dice.below(100) {
        0..30 => insert(dice, table, k, "do nothing"),
        30..36 => {
            let target = if table.index.len() == 2 {
                table.index
            } else {
                table.key
            };
            let update = format!(
                "({}) do update set v = excluded.v, note = excluded.note",
                target.join(", ")
            );
            insert(dice, table, k, &update)
        }
        36..50 => format!("update {name} set v = v + 1 where {this}"),
        50..58 => format!("update {name} set note = {} where {this}", note(dice)),
        58..64 => format!("update {name} set body = {} where {this}", body(dice)),
        64..67 => format!("update {name} set v = v, note = note, body = body where {this}"),
        67..72 => touch(dice, table),
        72..80 => rekey(dice, table, k, contested),
        80..83 if table.index == ["code"] => {
            format!(
                "update {name} set code = 'recoded, {}' where {this}",
                dice.below(1_000_000)
            )
        }
        // A parent's delete takes its children along: of one at a time the order is known.
        80..84 if name != "parents" => {
            format!("delete from {name} where v % 20 = {}", dice.below(20))
        }
        84..88 => format!(
            "with gone as (delete from {name} where {this} returning 1) \
             insert into audit.elsewhere (note) select 'gone' from gone"
        ),
        _ => format!("delete from {name} where {this}"),
    }
}

/// Moves a row to another key, in `parted` perhaps to another partition.
fn rekey(dice: &mut Dice, table: &Table, k: u64, contested: u64) -> String {
    let to = dice.below(contested);
    let set: Vec<_> = table
        .key
        .iter()
        .zip((table.values)(to))
        .map(|(column, value)| format!("{column} = {value}"))
        .collect();
    format!(
        "update {} set {} where {} and not exists (select from {0} taken where {})",
        table.name,
        set.join(", "),
        is_key(table, k),
        is_key(table, to),
    )
}

/// What the one does who changes the tables themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A transaction with DDL, or beside it.
    Transaction(Transaction),
    /// A table that is made and written to once it is captured.
    NewTable {
        number: u64,
        then: Vec<Transaction>,
        end: NewTableEnd,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewTableEnd {
    Stays,
    Renamed,
    Dropped,
}

/// The changes of tables, without end.
pub(crate) struct Altering {
    dice: Dice,
    number: u64,
    tables: Vec<&'static str>,
    identities: bool,
    drops: bool,
}

impl Altering {
    /// `identities`: replica identities change, too. `drops`: tables are dropped.
    pub(crate) fn new(seed: u64, tables: &[String], identities: bool, drops: bool) -> Self {
        let wanted = |name: &&str| tables.is_empty() || tables.iter().any(|table| table == name);
        Self {
            dice: Dice::new(seed, 1000),
            number: 0,
            tables: TABLES
                .iter()
                .map(|table| table.name)
                .filter(wanted)
                .collect(),
            identities,
            drops,
        }
    }

    pub(crate) fn next(&mut self) -> Change {
        self.number += 1;
        if self.number % 4 == 2 || self.tables.is_empty() {
            return self.new_table();
        }
        let table = *self.dice.pick(&self.tables);
        let dice = self.dice.below(1 << 20);
        let fill = Step::Sql(format!(
            "select audit.fill_columns('{table}', {})",
            dice / 3
        ));
        let change = Step::Sql(match self.dice.below(6) {
            0 if self.identities && self.tables.contains(&"full_rows") => self.identity(),
            _ => format!("select audit.change_columns('{table}', {dice})"),
        });
        let steps = match self.dice.below(3) {
            0 => vec![change, fill],
            1 => vec![fill.clone(), change, fill],
            _ => vec![change],
        };
        let end = match self.dice.percent(85) {
            true => End::Commit,
            false => End::Rollback,
        };
        Change::Transaction(Transaction { steps, end })
    }

    fn identity(&mut self) -> String {
        let identity = *self.dice.pick(&["full", "default"]);
        format!("alter table full_rows replica identity {identity}")
    }

    fn new_table(&mut self) -> Change {
        let name = format!("new_{}", self.number);
        let then = (0..3 + self.dice.below(6))
            .map(|_| {
                let statement = statement(&mut self.dice, &NEW, 10);
                let statement = statement.replace(" new ", &format!(" {name} "));
                committed(vec![Step::Sql(statement)])
            })
            .collect();
        let end = match self.dice.below(3) {
            0 => NewTableEnd::Stays,
            1 if self.drops => NewTableEnd::Dropped,
            _ => NewTableEnd::Renamed,
        };
        Change::NewTable {
            number: self.number,
            then,
            end,
        }
    }
}
