//! Batch: the calls and events of one transaction, and what they add to the roll-ups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::entry::{self, CallEntry, Entry, Event, Next};
use super::money::picodollars;
use crate::call::{Dim, Labels};
use crate::id::Micros;
use crate::usage::{Counts, Origin};

/// Microseconds of an hour.
pub(crate) const HOUR: Micros = 3_600_000_000;
/// The labels that every hour is told apart by in the smaller roll-up; all others only in the larger one.
pub(crate) const COMMON: [Dim; 5] = [Dim::Provider, Dim::Model, Dim::Operation, Dim::Role, Dim::Tenant];

/// One set of labels and its id.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) id: i64,
    pub(crate) labels: Labels,
}

/// One row of the calls.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) id: u128,
    pub(crate) part: u32,
    pub(crate) at: Micros,
    pub(crate) labels: Arc<Set>,
    pub(crate) common: Arc<Set>,
    pub(crate) run: Option<u128>,
    pub(crate) attempt: u32,
    pub(crate) origin: u8,
    pub(crate) flags: u16,
    pub(crate) response_id: Option<Box<str>>,
    pub(crate) service_tier: Option<Box<str>>,
    pub(crate) cost: Option<i64>,
    pub(crate) counts: Counts,
}

/// One row of a roll-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many calls there were.
    pub calls: u64,
    /// Of these, how many the provider reported on.
    pub reported: u64,
    /// How many were estimated.
    pub estimated: u64,
    /// How many nobody knows the counts of.
    pub unknown: u64,
    /// For how many the provider said what they cost.
    pub cost_calls: u64,
    /// What it said, in picodollars.
    pub cost: i64,
    /// Their counts.
    pub counts: Counts,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        if row.part == 0 {
            self.calls += 1;
            *(if row.origin == Origin::Reported as u8 {
                &mut self.reported
            } else if row.origin == Origin::Unknown as u8 {
                &mut self.unknown
            } else {
                &mut self.estimated
            }) += 1;
        }
        if let Some(cost) = row.cost {
            self.cost_calls += 1;
            self.cost = self.cost.saturating_add(cost);
        }
        self.counts.merge(&row.counts);
    }

    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.reported += other.reported;
        self.estimated += other.estimated;
        self.unknown += other.unknown;
        self.cost_calls += other.cost_calls;
        self.cost = self.cost.saturating_add(other.cost);
        self.counts.merge(&other.counts);
    }

    /// The number columns before the units.
    pub(crate) fn heads(&self) -> [i64; 6] {
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let calls = [self.calls, self.reported, self.estimated, self.unknown, self.cost_calls].map(whole);
        let [calls, reported, estimated, unknown, cost_calls] = calls;
        [calls, reported, estimated, unknown, cost_calls, self.cost]
    }
}

/// Sums by key, in the order in which every writer takes them, so that writers cannot wait for each other in a ring.
pub(crate) type Sums = BTreeMap<(i64, i64), Sum>;

/// The roll-ups and their keys: by hour and common labels, by day and common labels, by all labels and hour.
pub(crate) const ROLL_UPS: [(&str, &str); 3] =
    [("hours", "hour, labels"), ("days", "day, labels"), ("details", "labels, hour")];

/// The calls and events of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) rows: Vec<Row>,
    pub(crate) events: Vec<Event>,
}

impl Batch {
    /// What `rows` add to the roll-ups, in the order of [`ROLL_UPS`].
    pub(crate) fn sums<'a>(rows: impl Iterator<Item = &'a Row>) -> [Sums; 3] {
        let (mut hours, mut details) = (HashMap::new(), HashMap::new());
        for row in rows {
            let hour = i64::try_from(row.at / HOUR).unwrap_or(i64::MAX);
            hours.entry((hour, row.common.id)).or_insert_with(Sum::default).add(row);
            details.entry((row.labels.id, hour)).or_insert_with(Sum::default).add(row);
        }
        let hours: Sums = hours.into_iter().collect();
        let mut days = Sums::new();
        for ((hour, labels), sum) in &hours {
            days.entry((hour / 24, *labels)).or_default().merge(sum);
        }
        [hours, days, details.into_iter().collect()]
    }

    /// The sets of labels of all rows, in order of their ids.
    pub(crate) fn sets(&self) -> BTreeMap<i64, &Arc<Set>> {
        self.rows.iter().flat_map(|row| [&row.labels, &row.common]).map(|set| (set.id, set)).collect()
    }
}

/// All labels of a call, and the common ones of them.
type Both = (Arc<Set>, Arc<Set>);

/// Makes batches of entries; remembers the sets of labels it has seen.
#[derive(Debug, Default)]
pub(crate) struct Maker {
    sets: HashMap<Box<[u8]>, Both>,
    commons: HashMap<i64, Arc<Set>>,
}

/// What was found in some bytes of the journal.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) batch: Batch,
    /// How many entries there were, repeats too.
    pub(crate) entries: u64,
    /// How many bytes were dealt with.
    pub(crate) used: usize,
    /// How many of them were no entries.
    pub(crate) damaged: usize,
    /// Whether what follows is the beginning of an entry without its end.
    pub(crate) cut: bool,
}

impl Maker {
    /// Reads up to `most` entries.
    pub(crate) fn read(&mut self, bytes: &[u8], most: usize) -> Found {
        let mut found = Found::default();
        while let Some(rest) = bytes.get(found.used..).filter(|rest| !rest.is_empty()) {
            if found.batch.rows.len() + found.batch.events.len() >= most {
                break;
            }
            match entry::next(rest) {
                Next::Entry(Entry::Call(call), length) => {
                    found.used += length;
                    found.entries += 1;
                    match self.row(&call) {
                        Some(row) => found.batch.rows.push(row),
                        None => found.damaged += length,
                    }
                }
                Next::Entry(Entry::Event(event), length) => {
                    found.used += length;
                    found.entries += 1;
                    found.batch.events.push(event);
                }
                Next::Damaged(length) => {
                    found.used += length;
                    found.damaged += length;
                }
                Next::Cut => {
                    found.cut = true;
                    break;
                }
            }
        }
        found.batch.rows.sort_by_key(|row| (row.id, row.part));
        found.batch.rows.dedup_by_key(|row| (row.id, row.part));
        found.batch.events.sort_by_key(|event| event.id);
        found.batch.events.dedup_by_key(|event| event.id);
        found
    }

    fn row(&mut self, call: &CallEntry<'_>) -> Option<Row> {
        let (labels, common) = self.set(call.labels)?;
        Some(Row {
            id: call.id.0,
            part: call.part,
            at: call.at.min(u64::MAX >> 1),
            labels,
            common,
            run: call.run.map(|run| run.0),
            attempt: call.attempt,
            origin: call.origin,
            flags: call.flags,
            response_id: call.response_id.map(Into::into),
            service_tier: call.service_tier.map(Into::into),
            cost: call.cost.and_then(picodollars),
            counts: call.counts,
        })
    }

    fn set(&mut self, bytes: &[u8]) -> Option<(Arc<Set>, Arc<Set>)> {
        if let Some((labels, common)) = self.sets.get(bytes) {
            return Some((Arc::clone(labels), Arc::clone(common)));
        }
        let labels = entry::labels_of(bytes)?;
        let mut kept = Labels::default();
        for dim in COMMON {
            if let Some(text) = labels.get(dim) {
                kept.set(dim, text);
            }
        }
        let mut common_bytes = Vec::new();
        entry::put_labels(&mut common_bytes, &kept.as_ref());
        let id = set_id(&common_bytes);
        let common = Arc::clone(self.commons.entry(id).or_insert_with(|| Arc::new(Set { id, labels: kept })));
        let set = Arc::new(Set { id: set_id(bytes), labels });
        if self.sets.len() > 50_000 {
            self.sets.clear();
            self.commons.clear();
        }
        self.sets.insert(bytes.into(), (Arc::clone(&set), Arc::clone(&common)));
        Some((set, common))
    }
}

/// The id of the labels in these bytes: the same in every process, so that nobody has to ask the database for it.
fn set_id(bytes: &[u8]) -> i64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let head: [u8; 8] = digest.as_ref().first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(head)
}

/// The id that a set of labels has.
pub(crate) fn id_of(labels: &Labels) -> i64 {
    let mut bytes = Vec::new();
    entry::put_labels(&mut bytes, &labels.as_ref());
    set_id(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_have_one_id_for_ever() {
        let mut labels = Labels::default();
        assert_eq!(id_of(&labels), -7_592_340_192_486_062_650);
        labels.set(Dim::Model, "gpt-4o-mini");
        labels.set(Dim::Tenant, "acme");
        assert_eq!(id_of(&labels), -6_426_405_413_570_070_258);
    }
}
