//! Book: the arithmetic of reserving and settling, and what the places that keep the sums have in common.

use std::collections::HashMap;
use std::sync::Arc;

use super::clock::Clock;
use super::limit::{Counter, Limit, MOST};
use crate::error::Result;
use crate::id::{Id, Micros};

/// How much a call takes of one counter.
#[derive(Clone, Debug)]
pub struct Line {
    /// What it is held against.
    pub limit: Arc<Limit>,
    /// Which sum.
    pub counter: Counter,
    /// What is reserved, at most [`MOST`].
    pub amount: u64,
    /// Whether to refuse what would pass the limit.
    pub hard: bool,
}

/// Spent and reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// Settled.
    pub used: u64,
    /// Reserved and not settled.
    pub reserved: u64,
    /// For a rolling window: when some of it will be free again.
    pub frees_at: Option<Micros>,
}

impl Level {
    /// Whether `amount` more would pass `limit`.
    pub fn is_over(&self, amount: u64, limit: u64) -> bool {
        self.used.saturating_add(self.reserved).saturating_add(amount) > limit
    }
}

/// What is asked of whoever keeps the sums.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Takes all the lines or none, if the limits are still of that edition.
    Reserve { id: Id, lines: Arc<[Line]>, lease: Micros, edition: i64 },
    /// Turns what was reserved into what was spent, once.
    Settle { id: Id, lines: Arc<[Line]>, actual: Vec<u64> },
    /// Gives back what was reserved.
    Release { id: Id, lines: Arc<[Line]> },
    /// Keeps a reservation alive.
    Renew { id: Id, lines: Arc<[Line]>, lease: Micros },
    /// Reads.
    Look { lines: Arc<[Line]> },
}

impl Op {
    pub(super) fn lines(&self) -> &Arc<[Line]> {
        match self {
            Self::Reserve { lines, .. }
            | Self::Settle { lines, .. }
            | Self::Release { lines, .. }
            | Self::Renew { lines, .. }
            | Self::Look { lines } => lines,
        }
    }

    pub(super) fn id(&self) -> Option<Id> {
        match self {
            Self::Reserve { id, .. } | Self::Settle { id, .. } | Self::Release { id, .. } | Self::Renew { id, .. } => {
                Some(*id)
            }
            Self::Look { .. } => None,
        }
    }
}

/// What became of an [`Op`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done; the level of each line afterwards, which lines are over their limit, and whether the reservation had lapsed.
    /// Of a reservation that fits, the level may have all as reserved.
    Done { levels: Vec<Level>, over: Vec<usize>, lapsed: bool },
    /// Nothing was reserved: this line would pass its limit.
    Refused { line: usize, level: Level },
    /// Nothing was reserved: the limits have changed.
    Stale,
}

/// One reservation on one counter, as it stands in the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) amount: u64,
    pub(super) expires: Micros,
    /// Whether its time has run out and its amount was given back.
    pub(super) expired: bool,
}

/// The pages of the book that a batch of operations needs, and what they have become.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) levels: HashMap<u128, Level>,
    pub(super) held: HashMap<(Id, u128), Held>,
    /// What was added to a counter's `used`.
    pub(super) spent: HashMap<u128, u64>,
}

impl Page {
    /// Gives back what was reserved longer ago than its lease.
    /// Says whether there were any.
    pub(super) fn expire(&mut self, now: Micros) -> bool {
        let mut any = false;
        for ((_, counter), held) in &mut self.held {
            if !held.expired && held.expires <= now {
                (held.expired, any) = (true, true);
                give_back(&mut self.levels, *counter, held.amount);
            }
        }
        any
    }

    /// Does one operation.
    pub(super) fn apply(&mut self, op: &Op, now: Micros) -> Outcome {
        let lines = op.lines();
        let is_lapsed =
            |id| lines.iter().any(|line| self.held.get(&(id, line.counter.id)).is_some_and(|held| held.expired));
        let lapsed = op.id().is_some_and(is_lapsed);
        match op {
            Op::Reserve { id, lines, lease, .. } => {
                if lines.first().is_some_and(|line| self.held.contains_key(&(*id, line.counter.id))) {
                    return self.done(lines, false); // it was done already, and only the answer was lost
                }
                let over = |line: &Line| self.level(line).is_over(line.amount, line.limit.amount);
                if let Some(at) = lines.iter().position(|line| line.hard && over(line)) {
                    let level = lines.get(at).map(|line| self.level(line)).unwrap_or_default();
                    return Outcome::Refused { line: at, level };
                }
                for line in lines.iter() {
                    let level = self.levels.entry(line.counter.id).or_default();
                    level.reserved = level.reserved.saturating_add(line.amount);
                    let held = Held { amount: line.amount, expires: now.saturating_add(*lease), expired: false };
                    self.held.insert((*id, line.counter.id), held);
                }
            }
            Op::Settle { id, lines, actual } => {
                for (line, actual) in lines.iter().zip(actual) {
                    if self.remove(*id, line) {
                        let level = self.levels.entry(line.counter.id).or_default();
                        level.used = level.used.saturating_add((*actual).min(MOST));
                        let spent = self.spent.entry(line.counter.id).or_default();
                        *spent = spent.saturating_add((*actual).min(MOST));
                    }
                }
            }
            Op::Release { id, lines } => {
                for line in lines.iter() {
                    self.remove(*id, line);
                }
            }
            Op::Renew { id, lines, lease } => {
                for line in lines.iter() {
                    let Some(held) = self.held.get_mut(&(*id, line.counter.id)) else { continue };
                    held.expires = now.saturating_add(*lease);
                    if std::mem::take(&mut held.expired) {
                        let level = self.levels.entry(line.counter.id).or_default();
                        level.reserved = level.reserved.saturating_add(held.amount);
                    }
                }
            }
            Op::Look { .. } => {}
        }
        self.done(lines, lapsed)
    }

    /// Whether there was such a reservation, expired or not; it is gone now.
    fn remove(&mut self, id: Id, line: &Line) -> bool {
        let Some(held) = self.held.remove(&(id, line.counter.id)) else { return false };
        if !held.expired {
            give_back(&mut self.levels, line.counter.id, held.amount);
        }
        true
    }

    fn level(&self, line: &Line) -> Level {
        self.levels.get(&line.counter.id).copied().unwrap_or_default()
    }

    fn done(&self, lines: &[Line], lapsed: bool) -> Outcome {
        let levels: Vec<Level> = lines.iter().map(|line| self.level(line)).collect();
        let over = (0..).zip(lines).zip(&levels).filter(|((_, line), level)| level.is_over(0, line.limit.amount));
        Outcome::Done { over: over.map(|((at, _), _)| at).collect(), levels, lapsed }
    }
}

fn give_back(levels: &mut HashMap<u128, Level>, counter: u128, amount: u64) {
    let level = levels.entry(counter).or_default();
    level.reserved = level.reserved.saturating_sub(amount);
}

/// Something that somebody may ask about later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Micros,
    /// What happened: `override`.
    pub kind: String,
    /// Which limit it is about.
    pub limit: String,
    /// Who did it.
    pub who: String,
    /// What there is to say.
    pub text: String,
}

/// A reservation on one counter whose lease has run out, of a process that is gone or was held up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lapsed {
    pub(super) id: Id,
    pub(super) counter: u128,
    /// Name of the limit that the counter is held against.
    pub(super) limit: Box<str>,
    pub(super) key: Box<str>,
    pub(super) start: Micros,
    pub(super) amount: u64,
}

/// How many of them are looked at in one go.
pub(super) const MOST_LAPSED: usize = 10_000;

/// Who keeps the sums.
pub(super) trait Keeper: Send {
    /// Every limit, and the number of their present edition.
    fn limits(&mut self) -> Result<(i64, Vec<Limit>)>;

    /// Adds a limit or replaces the one of that name.
    fn put(&mut self, limit: &Limit) -> Result<()>;

    /// Removes a limit; whether there was one.
    fn remove(&mut self, name: &str) -> Result<bool>;

    /// Does everything asked for, in that order, each wholly or not at all. `again` says that some of it may have been
    /// done before.
    fn run(&mut self, ops: &[Op], again: bool, clock: &Clock) -> Result<Vec<Outcome>>;

    /// Whether reservations were found to have lapsed since this was last asked.
    fn swept(&mut self) -> bool;

    /// Reservations that have lapsed and were neither settled nor given back, of the last day.
    fn lapsed(&mut self, now: Micros) -> Result<Vec<Lapsed>>;

    /// What time it is there.
    fn time(&mut self) -> Result<Micros>;

    /// Goes there and back.
    fn ping(&mut self) -> Result<()>;

    /// Writes something down for later.
    fn note(&mut self, note: &Note) -> Result<()>;

    /// What was written down, the newest first.
    fn notes(&mut self, most: usize) -> Result<Vec<Note>>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::limit::{Measure, Part, Policy, Unpriced};
    use super::super::period::Period;
    use super::*;

    const LEASE: Micros = 100;

    fn lines(amounts: [u64; 2]) -> Arc<[Line]> {
        let line = |(number, amount): (u64, u64)| {
            let limit = Limit {
                name: format!("l{number}").into(),
                scope: [const { Part::Any }; 4],
                measure: Measure::Tokens,
                period: Period::Total,
                amount: 1000 + number * 500,
                policy: Policy::Block,
                unpriced: Unpriced::Refuse,
                marks: Vec::new(),
            };
            let counter = limit.counter(&[None; 4], 0).unwrap();
            Line { limit: Arc::new(limit), counter, amount, hard: true }
        };
        (0..).zip(amounts).map(line).collect()
    }

    /// A reservation as anybody would keep it on paper.
    #[derive(Clone)]
    struct Paper {
        lines: Arc<[Line]>,
        until: Micros,
        open: bool,
    }

    proptest! {
        /// Whatever is done in whatever order: what is reserved is the sum of the reservations that live, what is used
        /// the sum of what was settled, and no reservation takes a counter past its limit.
        #[test]
        fn the_sums_are_those_of_a_list_on_paper(
            steps in prop::collection::vec((0..5_u8, 0..8_usize, 0..400_u64, 0..400_u64, 0..60_u64), 1..200)
        ) {
            let (mut page, mut paper, mut used, mut at) = (Page::default(), Vec::<Paper>::new(), [0_u64; 2], 0);
            for (what, which, first, second, pause) in steps {
                at += pause;
                page.expire(at);
                let living = |paper: &[Paper], line: usize| -> u64 {
                    let alive = paper.iter().filter(|one| one.open && one.until > at);
                    alive.map(|one| one.lines[line].amount).sum()
                };
                let chosen = which.min(paper.len().saturating_sub(1));
                let id = Id(chosen as u128);
                if what == 0 || paper.is_empty() {
                    let wanted = lines([first, second]);
                    let fits = (0..2).all(|n| used[n] + living(&paper, n) + wanted[n].amount <= wanted[n].limit.amount);
                    let id = Id(paper.len() as u128);
                    let done = page.apply(
                        &Op::Reserve { id, lines: Arc::clone(&wanted), lease: LEASE, edition: 0 }, at,
                    );
                    let refused = matches!(done, Outcome::Refused { .. });
                    prop_assert_eq!(refused, !fits);
                    paper.push(Paper { lines: wanted, until: at + LEASE, open: fits });
                } else {
                    let one = &mut paper[chosen];
                    let lines = Arc::clone(&one.lines);
                    match what {
                        1 | 2 => {
                            // No more than was reserved, as callers whose estimates are upper bounds do.
                            let actual = vec![first.min(lines[0].amount), second.min(lines[1].amount)];
                            if std::mem::take(&mut one.open) {
                                used[0] += actual[0];
                                used[1] += actual[1];
                            }
                            page.apply(&Op::Settle { id, lines, actual }, at);
                        }
                        3 => {
                            one.open = false;
                            page.apply(&Op::Release { id, lines }, at);
                        }
                        _ => {
                            // Only what lives: renewing what has lapsed takes room that somebody else may have by now.
                            if one.open && one.until > at {
                                one.until = at + LEASE;
                                page.apply(&Op::Renew { id, lines, lease: LEASE }, at);
                            }
                        }
                    }
                }
                let Outcome::Done { levels, .. } = page.apply(&Op::Look { lines: lines([0, 0]) }, at) else {
                    panic!("looking is always possible")
                };
                for n in 0..2 {
                    prop_assert_eq!(levels[n].used, used[n]);
                    prop_assert_eq!(levels[n].reserved, living(&paper, n));
                }
            }
        }
    }
}
