//! Statements with their values written out, for the servers: one round trip for many rows.

use std::collections::HashSet;
use std::fmt::Write;

use super::Store;
use crate::call::Dim;
use crate::error::{Error, Kind, Result};
use crate::ledger::batch::{Batch, ROLL_UPS, Row, Sums};
use crate::ledger::dialect::Dialect;
use crate::ledger::schema::{HEADS, column, in_transaction};
use crate::unit::Unit;
use crate::usage::Counts;

/// A statement is not made longer than this.
const LONGEST: usize = 1 << 20;
/// How often a batch is tried anew because somebody else has written one of its calls.
const TRIES: usize = 20;

/// The units that any of `counts` knows.
pub(super) fn units<'a>(counts: impl Iterator<Item = &'a Counts>) -> Vec<Unit> {
    let mut all = Counts::UNKNOWN;
    counts.for_each(|counts| all.merge(counts));
    all.iter().map(|(unit, _)| unit).collect()
}

/// Columns of the calls before the units.
pub(super) const COLUMNS: &str = "id, part, at, labels, run, attempt, origin, flags, response_id, service_tier, cost";

/// Writes a batch; `known` are the sets of labels that are known to be in the database.
pub(super) fn write(store: &mut dyn Store, batch: &Batch, known: &HashSet<i64>) -> Result<(usize, Vec<i64>)> {
    let dialect = store.dialect();
    let sets = batch.sets();
    let fresh: Vec<i64> = sets.keys().copied().filter(|id| !known.contains(id)).collect();
    let mut rows: Vec<&Row> = batch.rows.iter().collect();
    for _ in 0..TRIES {
        let all_sums = Batch::sums(rows.iter().copied());
        let tried = in_transaction(store, |store| {
            let names: Vec<&str> = Dim::ALL.into_iter().map(column).collect();
            let labels = fresh.iter().filter_map(|id| sets.get(id)).map(|set| {
                let texts = Dim::ALL.map(|dim| dialect.quoted_or_null(set.labels.get(dim)));
                format!("({}, {})", set.id, texts.join(", "))
            });
            let (begin, end) = dialect.insert_new();
            insert_values(store, &format!("{begin} ragmeter_labels (id, {})", names.join(", ")), labels, end)?;
            store.insert(&rows)?;
            for ((table, key), sums) in ROLL_UPS.into_iter().zip(&all_sums) {
                add(store, table, key, sums)?;
            }
            let events = batch.events.iter().map(|event| {
                let texts =
                    [&event.destination, &event.subject, &event.kind, &event.body].map(|text| dialect.quoted(text));
                let (id, at) = (dialect.literal(event.id.0), event.at);
                format!("({id}, {at}, {}, 0, 0, {at}, 0, 0)", texts.join(", "))
            });
            let into = format!(
                "{begin} ragmeter_outbox (id, at, destination, subject, kind, body, state, attempts, next_at, \
                 claimed_until, claim)"
            );
            insert_values(store, &into, events, end)
        });
        match tried {
            Ok(()) => return Ok((rows.len(), fresh)),
            Err(error) if error.kind == Kind::Duplicate => {
                let there = existing(store, &rows)?;
                rows.retain(|row| !there.contains(&(row.id, row.part)));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Busy, "another writer keeps writing the same calls"))
}

/// Which of `rows` are there already.
fn existing(store: &mut dyn Store, rows: &[&Row]) -> Result<HashSet<(u128, u32)>> {
    let dialect = store.dialect();
    let mut there = HashSet::new();
    for rows in rows.chunks(1000) {
        let ids: Vec<String> = rows.iter().map(|row| dialect.literal(row.id)).collect();
        let found = store.rows(&format!(
            "SELECT {}, part FROM ragmeter_calls WHERE id IN ({})",
            dialect.digits("id"),
            ids.join(", ")
        ))?;
        let key = |row: &Vec<super::Cell>| Some((row.first()?.id()?, u32::try_from(row.get(1)?.int()?).ok()?));
        there.extend(found.iter().filter_map(key));
    }
    Ok(there)
}

fn add(store: &mut dyn Store, table: &str, key: &str, sums: &Sums) -> Result<()> {
    let units = units(sums.values().map(|sum| &sum.counts));
    let names: Vec<&str> = HEADS.into_iter().chain(units.iter().map(|unit| unit.name())).collect();
    let table = format!("ragmeter_{table}");
    let end = store.dialect().adding(&table, key, names.iter().copied());
    let values = sums.iter().map(|((first, second), sum)| {
        let mut text = format!("({first}, {second}");
        for head in sum.heads() {
            let _ = write!(text, ", {head}");
        }
        put_counts(&mut text, &sum.counts, &units, ", ", "NULL");
        text.push(')');
        text
    });
    insert_values(store, &format!("INSERT INTO {table} ({key}, {})", names.join(", ")), values, &end)
}

/// Writes the counts of `units`, each after a `separator`.
pub(super) fn put_counts(text: &mut String, counts: &Counts, units: &[Unit], separator: &str, null: &str) {
    for unit in units {
        match counts.get(*unit) {
            Some(count) => {
                let _ = write!(text, "{separator}{count}");
            }
            None => {
                let _ = write!(text, "{separator}{null}");
            }
        }
    }
}

/// Runs `INSERT … VALUES …` as often as its length asks for.
pub(super) fn insert_values(
    store: &mut dyn Store,
    into: &str,
    values: impl Iterator<Item = String>,
    end: &str,
) -> Result<()> {
    let mut sql = String::new();
    for value in values {
        if sql.is_empty() {
            let _ = write!(sql, "{into} VALUES {value}");
        } else {
            let _ = write!(sql, ", {value}");
        }
        if sql.len() > LONGEST {
            sql.push_str(end);
            store.run(&std::mem::take(&mut sql))?;
        }
    }
    if !sql.is_empty() {
        sql.push_str(end);
        store.run(&sql)?;
    }
    Ok(())
}

/// A row of the calls as MySQL takes it.
pub(super) fn values(row: &Row, units: &[Unit], dialect: Dialect) -> String {
    let mut text = String::with_capacity(200);
    let run = row.run.map_or_else(|| "NULL".to_owned(), |run| dialect.literal(run));
    let _ = write!(
        text,
        "({}, {}, {}, {}, {run}, {}, {}, {}",
        dialect.literal(row.id),
        row.part,
        row.at,
        row.labels.id,
        row.attempt,
        row.origin,
        row.flags
    );
    for said in [&row.response_id, &row.service_tier] {
        let _ = write!(text, ", {}", dialect.quoted_or_null(said.as_deref()));
    }
    match row.cost {
        Some(cost) => {
            let _ = write!(text, ", {cost}");
        }
        None => text.push_str(", NULL"),
    }
    put_counts(&mut text, &row.counts, units, ", ", "NULL");
    text.push(')');
    text
}

/// A row of the calls as a line of PostgreSQL's COPY.
pub(super) fn line(to: &mut String, row: &Row, units: &[Unit]) {
    let _ = write!(to, "{:032x}\t{}\t{}\t{}\t", row.id, row.part, row.at, row.labels.id);
    match row.run {
        Some(run) => {
            let _ = write!(to, "{run:032x}");
        }
        None => to.push_str("\\N"),
    }
    let _ = write!(to, "\t{}\t{}\t{}", row.attempt, row.origin, row.flags);
    for said in [&row.response_id, &row.service_tier] {
        to.push('\t');
        match said {
            None => to.push_str("\\N"),
            Some(text) => {
                for c in text.chars() {
                    match c {
                        '\\' => to.push_str("\\\\"),
                        '\t' => to.push_str("\\t"),
                        '\n' => to.push_str("\\n"),
                        '\r' => to.push_str("\\r"),
                        c => to.push(c),
                    }
                }
            }
        }
    }
    match row.cost {
        Some(cost) => {
            let _ = write!(to, "\t{cost}");
        }
        None => to.push_str("\t\\N"),
    }
    put_counts(to, &row.counts, units, "\t", "\\N");
    to.push('\n');
}
