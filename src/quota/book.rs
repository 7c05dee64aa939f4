//! Book: the arithmetic of reserving and settling, and what the places that keep the sums have in common.

use std::collections::HashMap;
use std::sync::Arc;

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
    Reserve { id: Id, lines: Arc<[Line]>, expires: Micros, edition: i64 },
    /// Turns what was reserved into what was spent, once.
    Settle { id: Id, lines: Arc<[Line]>, actual: Vec<u64> },
    /// Gives back what was reserved.
    Release { id: Id, lines: Arc<[Line]> },
    /// Keeps a reservation alive.
    Renew { id: Id, lines: Arc<[Line]>, expires: Micros },
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
    /// Done; the level of each line afterwards, and which lines are over their limit.
    Done { levels: Vec<Level>, over: Vec<usize> },
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
    pub(super) fn expire(&mut self, now: Micros) {
        for ((_, counter), held) in &mut self.held {
            if !held.expired && held.expires <= now {
                held.expired = true;
                give_back(&mut self.levels, *counter, held.amount);
            }
        }
    }

    /// Does one operation.
    pub(super) fn apply(&mut self, op: &Op) -> Outcome {
        let lines = op.lines();
        match op {
            Op::Reserve { id, lines, expires, .. } => {
                if lines.first().is_some_and(|line| self.held.contains_key(&(*id, line.counter.id))) {
                    return self.done(lines); // it was done already, and only the answer was lost
                }
                let over = |line: &Line| self.level(line).is_over(line.amount, line.limit.amount);
                if let Some(at) = lines.iter().position(|line| line.hard && over(line)) {
                    let level = lines.get(at).map(|line| self.level(line)).unwrap_or_default();
                    return Outcome::Refused { line: at, level };
                }
                for line in lines.iter() {
                    let level = self.levels.entry(line.counter.id).or_default();
                    level.reserved = level.reserved.saturating_add(line.amount);
                    let held = Held { amount: line.amount, expires: *expires, expired: false };
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
            Op::Renew { id, lines, expires } => {
                for line in lines.iter() {
                    let Some(held) = self.held.get_mut(&(*id, line.counter.id)) else { continue };
                    held.expires = *expires;
                    if std::mem::take(&mut held.expired) {
                        let level = self.levels.entry(line.counter.id).or_default();
                        level.reserved = level.reserved.saturating_add(held.amount);
                    }
                }
            }
            Op::Look { .. } => {}
        }
        self.done(lines)
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

    fn done(&self, lines: &[Line]) -> Outcome {
        let levels: Vec<Level> = lines.iter().map(|line| self.level(line)).collect();
        let over = (0..).zip(lines).zip(&levels).filter(|((_, line), level)| level.is_over(0, line.limit.amount));
        Outcome::Done { over: over.map(|((at, _), _)| at).collect(), levels }
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
    /// What happened: `override`, `set`, `remove`.
    pub kind: String,
    /// Which limit it is about.
    pub limit: String,
    /// Who did it.
    pub who: String,
    /// What there is to say.
    pub text: String,
}

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
    fn run(&mut self, now: Micros, ops: &[Op], again: bool) -> Result<Vec<Outcome>>;

    /// Writes something down for later.
    fn note(&mut self, note: &Note) -> Result<()>;

    /// What was written down, the newest first.
    fn notes(&mut self, most: usize) -> Result<Vec<Note>>;
}
