//! Calls: the single calls of a ledger, page by page.

use super::Ledger;
use super::batch::HOUR;
use super::dialect::Dialect;
use super::query::{Filter, counts_of};
use super::schema::column;
use super::store::{Cell, Store};
use crate::call::{Dim, Labels};
use crate::error::{Error, Kind, Result};
use crate::id::{Id, Micros};
use crate::unit::Unit;
use crate::usage::{Flags, Origin, Usage};

/// One row of [`Ledger::calls`].
#[derive(Clone, Debug, PartialEq)]
pub struct CallRow {
    /// Unique together with the part.
    pub id: Id,
    /// 0, or which part it is of a call that several share.
    pub part: u32,
    /// When it was recorded.
    pub at: Micros,
    /// Innermost run around it.
    pub run: Option<Id>,
    /// 1 for the first try.
    pub attempt: u32,
    /// Who spent it.
    pub labels: Labels,
    /// What it cost.
    pub usage: Usage,
    /// What the provider said it cost, in picodollars.
    pub cost: Option<i64>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
}

/// A time: from the first up to the second.
pub type Span = (Micros, Micros);

/// Where calls are to be looked for, so that nobody walks through all the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// When there were such calls.
    pub spans: Vec<Span>,
    /// The sets of labels that they have, unless there are very many.
    pub sets: Option<Vec<i64>>,
}

/// Into how many spans the time is divided at most.
const MOST_SPANS: u64 = 64;
/// How many sets of labels are named one by one.
const MOST_SETS: usize = 1000;
/// The last time that fits into an id.
const LAST: Micros = ((1 << 48) - 2) * 1000;

impl Search {
    fn labels(&self, filter: &Filter, dialect: Dialect) -> String {
        match &self.sets {
            Some(sets) => {
                format!(" AND c.labels IN ({})", sets.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
            }
            None => filter.labels(dialect),
        }
    }
}

impl Ledger {
    /// Finds out where such calls are, by the roll-ups.
    pub fn search(&self, filter: &Filter) -> Result<Search> {
        let (since, until) = (filter.since.unwrap_or(0), filter.until.unwrap_or(LAST).min(LAST));
        if filter.labels.is_empty() {
            return Ok(Search { spans: vec![(since, until)], sets: None });
        }
        let (table, (from, to)) = (filter.roll_up(&[]), filter.hours());
        let (sets, hours) = self.read(true, |store| {
            let labels = filter.labels(store.dialect());
            let sets = store
                .rows(&format!("SELECT l.id FROM ragmeter_labels l WHERE 1 = 1{labels} LIMIT {}", MOST_SETS + 1))?;
            let sets: Vec<i64> = sets.iter().filter_map(|row| row.first()?.int()).collect();
            if sets.is_empty() {
                return Ok((Some(sets), Vec::new()));
            }
            let search = Search { spans: Vec::new(), sets: (sets.len() <= MOST_SETS).then_some(sets) };
            let hours = store.rows(&format!(
                "SELECT DISTINCT c.hour FROM ragmeter_{table} c JOIN ragmeter_labels l ON l.id = c.labels \
                 WHERE c.hour >= {from} AND c.hour < {to}{} ORDER BY 1",
                search.labels(filter, store.dialect())
            ))?;
            Ok((search.sets, hours))
        })?;
        let hours: Vec<u64> = hours.iter().filter_map(|row| row.first()?.count()).collect();
        let wide = hours.last().zip(hours.first()).map_or(0, |(last, first)| (last - first) / MOST_SPANS);
        let mut spans: Vec<Span> = Vec::new();
        for hour in hours {
            let (begin, end) = ((hour * HOUR).max(since), ((hour + 1) * HOUR).min(until));
            match spans.last_mut() {
                Some(last) if begin <= last.1 + wide * HOUR => last.1 = end,
                _ => spans.push((begin, end)),
            }
        }
        Ok(Search { spans, sets })
    }

    /// Single calls in order of their ids, that is of time: at most `limit` of those after `after`, where `search` says.
    pub fn calls(
        &self,
        filter: &Filter,
        search: &Search,
        after: Option<(Id, u32)>,
        limit: usize,
    ) -> Result<Vec<CallRow>> {
        let mut found = Vec::new();
        self.read(true, |store| {
            let dialect = store.dialect();
            let id_at = |at: Micros| dialect.literal(u128::from(at.min(LAST) / 1000) << 80);
            for (since, until) in &search.spans {
                if after.is_some_and(|(id, _)| id.at() >= *until) {
                    continue;
                }
                let mut conditions =
                    format!("{} AND c.{} IS NULL", search.labels(filter, dialect), Unit::CacheHits.name());
                conditions += &format!(" AND c.id >= {} AND c.at >= {since}", id_at(*since));
                conditions += &format!(" AND c.id < {} AND c.at < {until}", id_at(*until + 1000));
                if let Some((id, part)) = after {
                    let id = dialect.literal(id.0);
                    conditions += &format!(" AND c.id >= {id} AND (c.id > {id} OR c.part > {part})");
                }
                found.extend(rows(store, &conditions, limit - found.len())?);
                if found.len() >= limit {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The calls of these ids, with all their parts.
    pub fn calls_of(&self, ids: &[Id]) -> Result<Vec<CallRow>> {
        self.read(true, |store| {
            let mut found = Vec::new();
            for ids in ids.chunks(500) {
                let ids: Vec<String> = ids.iter().map(|id| store.dialect().literal(id.0)).collect();
                found.extend(rows(store, &format!(" AND c.id IN ({})", ids.join(", ")), usize::MAX >> 1)?);
            }
            Ok(found)
        })
    }
}

fn rows(store: &mut dyn Store, conditions: &str, limit: usize) -> Result<Vec<CallRow>> {
    let dialect = store.dialect();
    let labels: String = Dim::ALL.iter().map(|dim| format!(", l.{}", column(*dim))).collect();
    let units: String = Unit::ALL.iter().map(|unit| format!(", c.{}", unit.name())).collect();
    let (select, by_key) = dialect.walking();
    let rows = store.rows(&format!(
        "{select} {}, c.part, c.at, {}, c.attempt, c.origin, c.flags, c.cost, c.response_id{labels}{units} \
         FROM ragmeter_calls c{by_key} JOIN ragmeter_labels l{by_key} ON l.id = c.labels WHERE 1 = 1{conditions} \
         ORDER BY c.id, c.part LIMIT {limit}",
        dialect.digits("c.id"),
        dialect.digits("c.run")
    ))?;
    let damaged = || Error::new(Kind::Corrupt, "a call cannot be read");
    rows.into_iter().map(|row| call_of(row).ok_or_else(damaged)).collect()
}

fn call_of(row: Vec<Cell>) -> Option<CallRow> {
    let mut cells = row.into_iter();
    let id = Id(cells.next()?.id()?);
    let part = u32::try_from(cells.next()?.int()?).ok()?;
    let at = cells.next()?.count()?;
    let run = cells.next()?.id().map(Id);
    let attempt = u32::try_from(cells.next()?.int()?).ok()?;
    let origin = cells.next()?.int()?;
    let origin = [Origin::Reported, Origin::Estimated, Origin::Unknown, Origin::Mixed]
        .into_iter()
        .find(|known| i64::from(*known as u8) == origin)
        .unwrap_or(Origin::Mixed);
    let flags = Flags::from_bits(u16::try_from(cells.next()?.int()?).ok()?);
    let cost = cells.next()?.int();
    let response_id = cells.next()?.into_text();
    let mut labels = Labels::default();
    for dim in Dim::ALL {
        if let Some(text) = cells.next()?.into_text() {
            labels.set(dim, &text);
        }
    }
    let units: Vec<Cell> = cells.collect();
    let mut usage = Usage::new(counts_of(&units), origin);
    usage.flags = flags;
    Some(CallRow { id, part, at, run, attempt, labels, usage, cost, response_id })
}
