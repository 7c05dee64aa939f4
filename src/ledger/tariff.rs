//! Tariff: sums of single calls told apart by what their price may depend on, the length of a call and its time.
//!
//! Roll-ups do not tell either, so this reads calls: what was pruned is not in it.

use super::Ledger;
use super::batch::{HOUR, Sum};
use super::query::{Bucket, Filter, sum_of, sums_of_calls};
use super::schema::column;
use super::store::Cell;
use crate::call::Dim;
use crate::error::Result;
use crate::id::Micros;
use crate::unit::Unit;

/// What a price depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tariff {
    /// Input tokens of a call beyond which it costs something else, in rising order.
    pub thresholds: Vec<u64>,
    /// The price changes only at multiples of so many microseconds since 1970.
    pub slot: Option<Micros>,
}

/// One row of [`Ledger::priced`].
#[derive(Clone, Debug, PartialEq)]
pub struct PricedRow {
    /// The labels asked for, in the order asked for.
    pub key: Vec<Option<String>>,
    /// Beginning of the bucket, if one was asked for.
    pub bucket: Option<Micros>,
    /// How many of the thresholds these calls are beyond.
    pub beyond: usize,
    /// Beginning of the slot that they were made in; 0 if there is none.
    pub slot: Micros,
    /// What they cost together.
    pub sum: Sum,
}

impl Ledger {
    /// The same calls as [`Ledger::usage`] sums up, told apart by what `tariff` depends on. A call that several share
    /// is as long as its parts together.
    pub fn priced(
        &self,
        by: &[Dim],
        filter: &Filter,
        bucket: Option<Bucket>,
        tariff: &Tariff,
    ) -> Result<Vec<PricedRow>> {
        let rows = self.read(true, |store| {
            let dialect = store.dialect();
            let (from, to) = filter.hours();
            let (from, to) = (from.saturating_mul(HOUR), to.saturating_mul(HOUR).min(u64::MAX >> 1));
            let first = dialect.literal(u128::from(from / 1000) << 80);
            let length =
                format!("(SELECT sum(w.{input}) FROM ragmeter_calls w WHERE w.id = c.id)", input = Unit::Input.name());
            let beyond = tariff.thresholds.iter().enumerate().rev();
            let beyond: String =
                beyond.map(|(at, threshold)| format!("WHEN {length} > {threshold} THEN {} ", at + 1)).collect();
            let beyond = if beyond.is_empty() { "0".to_owned() } else { format!("CASE {beyond}ELSE 0 END") };
            let slot = tariff.slot.map_or_else(|| "0".to_owned(), |slot| dialect.divided("c.at", slot.max(1)));
            let time = bucket.map_or_else(|| "0".to_owned(), |bucket| dialect.divided("c.at", bucket.step()));
            let keys: String = by.iter().map(|dim| format!("l.{}, ", column(*dim))).collect();
            let group: Vec<String> = (1..=by.len() + 3).map(|at| at.to_string()).collect();
            store.rows(&format!(
                "SELECT {keys}{time}, {slot}, {beyond}, {} FROM ragmeter_calls c \
                 JOIN ragmeter_labels l ON l.id = c.labels \
                 WHERE c.id >= {first} AND c.at >= {from} AND c.at < {to}{} GROUP BY {}",
                sums_of_calls(dialect),
                filter.labels(dialect),
                group.join(", ")
            ))
        })?;
        let row = |row: Vec<Cell>| {
            let (keys, rest) = row.split_at_checked(by.len())?;
            let time = rest.first()?.count()?;
            let bucket = bucket.map(|bucket| bucket.begin(time * bucket.step()));
            Some(PricedRow {
                key: keys.iter().cloned().map(Cell::into_text).collect(),
                bucket,
                slot: rest.get(1)?.count()? * tariff.slot.unwrap_or(0),
                beyond: usize::try_from(rest.get(2)?.count()?).ok()?,
                sum: sum_of(rest.get(3..)?),
            })
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }
}
