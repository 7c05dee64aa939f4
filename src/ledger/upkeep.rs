//! Upkeep: proof that roll-ups equal calls, and the end of calls that are too old.

use std::collections::HashMap;

use super::Ledger;
use super::batch::{HOUR, Sum};
use super::query::{common_id, sum_of, sums_of_calls};
use super::schema::{HEADS, column, in_snapshot, in_transaction};
use super::store::{Cell, Store};
use super::target::Engine;
use crate::call::{Dim, Labels};
use crate::error::Result;
use crate::id::Micros;
use crate::unit::Unit;

/// Where a roll-up and its calls differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// `hours`, `days` or `details`.
    pub table: &'static str,
    /// Beginning of the hour.
    pub hour: Micros,
    /// Labels of the row.
    pub labels: Labels,
    /// What the roll-up says.
    pub rolled_up: Sum,
    /// What the calls say.
    pub calls: Sum,
}

/// Sums by hour and set of labels.
type Found = HashMap<(u64, i64), Sum>;

impl Ledger {
    /// Compares every row of the roll-ups with the calls it was made of: how many rows were compared, and those that
    /// differ. Hours whose calls were removed by [`Ledger::prune`] are not compared.
    pub fn verify(&self) -> Result<(usize, Vec<Difference>)> {
        let (labels, calls, tables, horizon) = self.read(true, |store| {
            in_snapshot(store, |store| {
                let horizon = horizon(store)?;
                let tables = [
                    ("hours", rolled_up(store, "hours", "hour", horizon)?),
                    ("days", rolled_up(store, "days", "day", horizon.div_ceil(24))?),
                    ("details", rolled_up(store, "details", "hour", horizon)?),
                ];
                Ok((labels(store)?, summed(store, horizon)?, tables, horizon))
            })
        })?;
        debug_assert!(calls.keys().all(|(hour, _)| *hour >= horizon), "no call is older than the horizon");
        let nobody = Labels::default();
        let (mut compared, mut differences) = (0, Vec::new());
        let commons: HashMap<i64, i64> = labels.iter().map(|(set, labels)| (*set, common_id(labels))).collect();
        for (table, mut found) in tables {
            let length = if table == "days" { 24 } else { 1 };
            let mut truth: Found = HashMap::new();
            for ((hour, set), sum) in &calls {
                if hour / length < horizon.div_ceil(length) {
                    continue;
                }
                let common = || commons.get(set).copied().unwrap_or_else(|| common_id(&nobody));
                let set = if table == "details" { *set } else { common() };
                truth.entry((hour / length, set)).or_default().merge(sum);
            }
            compared += truth.len();
            for ((hour, set), calls) in truth {
                let rolled_up = found.remove(&(hour, set)).unwrap_or_default();
                if rolled_up != calls {
                    let labels = labels.get(&set).cloned().unwrap_or_default();
                    differences.push(Difference { table, hour: hour * length * HOUR, labels, rolled_up, calls });
                }
            }
            compared += found.len();
            for ((hour, set), rolled_up) in found {
                let labels = labels.get(&set).cloned().unwrap_or_default();
                differences.push(Difference {
                    table,
                    hour: hour * length * HOUR,
                    labels,
                    rolled_up,
                    calls: Sum::default(),
                });
            }
        }
        differences.sort_by_key(|difference| (difference.table, difference.hour));
        Ok((compared, differences))
    }

    /// Removes the calls of whole hours before `before`; the roll-ups stay. How many were removed. A call of a pruned
    /// hour that arrives later (from a journal that lay around) is counted and cannot be told from a repeat, so keep
    /// calls longer than an outage may last.
    pub fn prune(&self, before: Micros) -> Result<u64> {
        let hour = before / HOUR;
        self.read(true, |store| {
            let dialect = store.dialect();
            let below = dialect.literal(u128::from(hour * HOUR / 1000) << 80);
            in_transaction(store, |store| {
                let end = match dialect.0 {
                    Engine::Mysql => "ON DUPLICATE KEY UPDATE value = greatest(value, VALUES(value))".to_owned(),
                    Engine::Sqlite => "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)".to_owned(),
                    Engine::Postgres => {
                        "ON CONFLICT (name) DO UPDATE SET value = greatest(ragmeter_marks.value, excluded.value)"
                            .to_owned()
                    }
                };
                store.run(&format!("INSERT INTO ragmeter_marks (name, value) VALUES ('horizon', {hour}) {end}"))
            })?;
            let mut removed = 0;
            loop {
                // In pieces, so that writers get their turn.
                let last = store.rows(&format!(
                    "SELECT {} FROM ragmeter_calls WHERE id < {below} ORDER BY id LIMIT 1 OFFSET 20000",
                    dialect.digits("id")
                ))?;
                let last = last.first().and_then(|row| row.first()?.id());
                let to = last.map_or_else(|| below.clone(), |id| dialect.literal(id));
                removed += store.run(&format!("DELETE FROM ragmeter_calls WHERE id < {to}"))?;
                if last.is_none() {
                    return Ok(removed);
                }
            }
        })
    }
}

/// The first hour whose calls are all there.
fn horizon(store: &mut dyn Store) -> Result<u64> {
    let hour = store.number("SELECT coalesce(max(value), 0) FROM ragmeter_marks WHERE name = 'horizon'")?;
    Ok(u64::try_from(hour).unwrap_or(0))
}

fn rolled_up(store: &mut dyn Store, table: &str, time: &str, horizon: u64) -> Result<Found> {
    let names: String =
        HEADS.into_iter().chain(Unit::ALL.iter().map(|unit| unit.name())).map(|name| format!(", {name}")).collect();
    let rows = store.rows(&format!("SELECT {time}, labels{names} FROM ragmeter_{table} WHERE {time} >= {horizon}"))?;
    Ok(rows.iter().filter_map(|row| keyed(row)).collect())
}

/// The same from the calls.
fn summed(store: &mut dyn Store, horizon: u64) -> Result<Found> {
    let dialect = store.dialect();
    let rows = store.rows(&format!(
        "SELECT {}, c.labels, {} FROM ragmeter_calls c WHERE c.at >= {} GROUP BY 1, 2",
        dialect.divided("c.at", HOUR),
        sums_of_calls(dialect),
        horizon * HOUR
    ))?;
    Ok(rows.iter().filter_map(|row| keyed(row)).collect())
}

fn keyed(row: &[Cell]) -> Option<((u64, i64), Sum)> {
    Some(((row.first()?.count()?, row.get(1)?.int()?), sum_of(row.get(2..)?)))
}

fn labels(store: &mut dyn Store) -> Result<HashMap<i64, Labels>> {
    let names: String = Dim::ALL.iter().map(|dim| format!(", {}", column(*dim))).collect();
    let rows = store.rows(&format!("SELECT id{names} FROM ragmeter_labels"))?;
    let read = |row: Vec<Cell>| {
        let mut cells = row.into_iter();
        let (id, mut labels) = (cells.next()?.int()?, Labels::default());
        for (dim, cell) in Dim::ALL.into_iter().zip(cells) {
            if let Some(text) = cell.into_text() {
                labels.set(dim, &text);
            }
        }
        Some((id, labels))
    };
    Ok(rows.into_iter().filter_map(read).collect())
}
