//! Query: what the ledger answers from its roll-ups.

use std::collections::BTreeMap;

use super::batch::{COMMON, HOUR, Sum};
use super::dialect::Dialect;
use super::entry::kept;
use super::schema::{HEADS, column};
use super::store::Cell;
use super::{Ledger, batch};
use crate::calendar::{DAY, month};
use crate::call::{Dim, Labels};
use crate::error::Result;
use crate::id::Micros;
use crate::unit::Unit;
use crate::usage::{Counts, Origin};

/// How time is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// By hours.
    Hour,
    /// By days in UTC.
    Day,
    /// By months in UTC.
    Month,
}

impl Bucket {
    /// The bucket of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "month" => Some(Self::Month),
            _ => None,
        }
    }

    /// The longest time that all buckets are whole multiples of.
    pub(super) const fn step(self) -> Micros {
        match self {
            Self::Hour => HOUR,
            Self::Day | Self::Month => DAY,
        }
    }

    /// The beginning of the bucket that holds `at`.
    pub(super) fn begin(self, at: Micros) -> Micros {
        match self {
            Self::Hour | Self::Day => at / self.step() * self.step(),
            Self::Month => month(at).0,
        }
    }
}

/// Which calls are asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Labels they must have; `None` for calls without that label.
    pub labels: Vec<(Dim, Option<Box<str>>)>,
    /// Not earlier than this.
    pub since: Option<Micros>,
    /// Earlier than this.
    pub until: Option<Micros>,
}

/// One row of [`Ledger::usage`].
#[derive(Clone, Debug, PartialEq)]
pub struct UsageRow {
    /// The labels asked for, in the order asked for.
    pub key: Vec<Option<String>>,
    /// Beginning of the bucket, if one was asked for.
    pub bucket: Option<Micros>,
    /// What the calls cost together.
    pub sum: Sum,
}

impl Filter {
    /// The hours that hold the time asked for, whole.
    pub(super) fn hours(&self) -> (u64, u64) {
        (self.since.unwrap_or(0) / HOUR, self.until.map_or(u64::MAX >> 1, |until| until.div_ceil(HOUR)))
    }

    /// The roll-up that answers questions about these labels and those that are told apart by `by`.
    pub(super) fn roll_up(&self, by: &[Dim]) -> &'static str {
        let is_common = |dim: &Dim| COMMON.contains(dim);
        if by.iter().chain(self.labels.iter().map(|(dim, _)| dim)).all(is_common) { "hours" } else { "details" }
    }

    pub(super) fn labels(&self, dialect: Dialect) -> String {
        let condition = |(dim, text): &(Dim, Option<Box<str>>)| match text.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => format!(" AND l.{} = {}", column(*dim), dialect.quoted(&kept(text))),
            None => format!(" AND l.{} IS NULL", column(*dim)),
        };
        self.labels.iter().map(condition).collect()
    }
}

impl Ledger {
    /// What calls cost together, told apart by labels and time; the largest total first, or in order of time if a
    /// bucket is asked for. Hours are whole: those that hold `since` and `until` count.
    pub fn usage(&self, by: &[Dim], filter: &Filter, bucket: Option<Bucket>) -> Result<Vec<UsageRow>> {
        let table = filter.roll_up(by);
        let rows = self.read(true, |store| {
            let dialect = store.dialect();
            let (from, to) = filter.hours();
            let time = match bucket {
                None => "0".to_owned(),
                Some(Bucket::Hour) => "r.hour".to_owned(),
                Some(Bucket::Day | Bucket::Month) => dialect.divided("r.hour", 24),
            };
            let names: Vec<&str> = HEADS.into_iter().chain(Unit::ALL.iter().map(|unit| unit.name())).collect();
            let table = source(table, bucket == Some(Bucket::Hour), from, to, &names.join(", "));
            let sum = |name: &str| format!(", CAST(sum(r.{name}) AS {})", dialect.cast());
            let sums: String = names.iter().copied().map(sum).collect();
            let keys: String = by.iter().map(|dim| format!("l.{}, ", column(*dim))).collect();
            let group: String = (1..=by.len() + 1).map(|at| at.to_string()).collect::<Vec<_>>().join(", ");
            store.rows(&format!(
                "SELECT {keys}{time}{sums} FROM {table} r JOIN ragmeter_labels l ON l.id = r.labels \
                 WHERE 1 = 1{} GROUP BY {group}",
                filter.labels(dialect)
            ))
        })?;
        let mut sums: BTreeMap<(Option<Micros>, Vec<Option<String>>), Sum> = BTreeMap::new();
        for row in rows {
            let (keys, rest) = row.split_at(by.len().min(row.len()));
            let Some((time, numbers)) = rest.split_first() else { continue };
            let time = time.count().unwrap_or(0);
            let time = bucket.map(|bucket| bucket.begin(time * bucket.step()));
            let keys = keys.iter().cloned().map(Cell::into_text).collect();
            sums.entry((time, keys)).or_default().merge(&sum_of(numbers));
        }
        let mut rows: Vec<UsageRow> =
            sums.into_iter().map(|((bucket, key), sum)| UsageRow { key, bucket, sum }).collect();
        if bucket.is_none() {
            rows.sort_by_key(|row| {
                std::cmp::Reverse(
                    row.sum.counts.get(Unit::Input).unwrap_or(0) + row.sum.counts.get(Unit::Output).unwrap_or(0),
                )
            });
        }
        Ok(rows)
    }
}

/// The rows of the roll-ups that hold the hours from `from` up to `to`: whole days from that of the days, where hours
/// are not told apart, and the hours at both ends from that of the hours.
fn source(table: &str, by_hour: bool, from: u64, to: u64, names: &str) -> String {
    let hours = |table: &str, from: u64, to: u64| {
        format!("SELECT hour, labels, {names} FROM ragmeter_{table} WHERE hour >= {from} AND hour < {to}")
    };
    let (first, last) = (from.div_ceil(24), to / 24);
    if table == "details" || by_hour || first >= last {
        return format!("({})", hours(table, from, to));
    }
    format!(
        "({} UNION ALL SELECT day * 24, labels, {names} FROM ragmeter_days WHERE day >= {first} AND day < {last} \
         UNION ALL {})",
        hours("hours", from, first * 24),
        hours("hours", last * 24, to)
    )
}

/// A sum of the number columns of a roll-up.
pub(super) fn sum_of(cells: &[Cell]) -> Sum {
    let count = |at: usize| cells.get(at).and_then(Cell::count).unwrap_or(0);
    let cost = cells.get(5).and_then(Cell::int).unwrap_or(0);
    Sum {
        calls: count(0),
        reported: count(1),
        estimated: count(2),
        unknown: count(3),
        cost_calls: count(4),
        cost,
        counts: counts_of(cells.get(HEADS.len()..).unwrap_or_default()),
    }
}

/// The number columns of a roll-up, summed up from the calls `c`.
pub(super) fn sums_of_calls(dialect: Dialect) -> String {
    let int = dialect.cast();
    let of = |condition: &str| format!("CAST(sum(CASE WHEN c.part = 0{condition} THEN 1 ELSE 0 END) AS {int})");
    let (reported, unknown) = (Origin::Reported as u8, Origin::Unknown as u8);
    let heads = [
        of(""),
        of(&format!(" AND c.origin = {reported}")),
        of(&format!(" AND c.origin NOT IN ({reported}, {unknown})")),
        of(&format!(" AND c.origin = {unknown}")),
        "count(c.cost)".to_owned(),
        format!("CAST(coalesce(sum(c.cost), 0) AS {int})"),
    ];
    let units = Unit::ALL.iter().map(|unit| format!("CAST(sum(c.{}) AS {int})", unit.name()));
    heads.into_iter().chain(units).collect::<Vec<_>>().join(", ")
}

pub(super) fn counts_of(cells: &[Cell]) -> Counts {
    let mut counts = Counts::UNKNOWN;
    for (unit, cell) in Unit::ALL.into_iter().zip(cells) {
        if let Some(count) = cell.count() {
            counts.set(unit, count);
        }
    }
    counts
}

/// The roll-up row that a set of labels belongs to.
pub(super) fn common_id(labels: &Labels) -> i64 {
    let mut common = Labels::default();
    for dim in COMMON {
        if let Some(text) = labels.get(dim) {
            common.set(dim, text);
        }
    }
    batch::id_of(&common)
}
