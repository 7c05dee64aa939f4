//! Calls: how one is let through and what it has cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::book::{Level, Line, MOST_LAPSED, Op, Outcome};
use super::desk::Edition;
use super::health::count;
use super::limit::{Counter, Limit, MOST, Measure, Policy, Unpriced, Who};
use super::{Ask, Cost, Hold, Quota, Standing, Verdict, Warning, lock, standing};
use crate::error::{Error, Kind, Result};
use crate::id::{Id, Micros, now};

/// How often a reservation is tried while the limits keep changing.
const TRIES: usize = 20;

impl Quota {
    /// Reserves on every limit that applies, or on none; `instead` of a reservation that is given back.
    pub fn reserve(&'static self, ask: &Ask<'_>, instead: Option<&Hold>) -> Result<Verdict> {
        let desk = self.desk();
        let mut given_back = instead.filter(|hold| desk.close(hold.id) && !hold.lines.is_empty());
        for _ in 0..TRIES {
            let edition = self.edition()?;
            let lines = lines_of(&edition, ask, self.now());
            let unpriced = lines.iter().find(|line| is_unpriced(line, &ask.cost));
            if let Some(line) = unpriced {
                if line.limit.unpriced == Unpriced::Refuse && ask.word.is_none() {
                    count(&self.health.refused);
                    self.release_all(given_back);
                    let look = Op::Look { lines: Arc::from([line.clone()]) };
                    let level = match desk.ask(self, vec![look])?.pop() {
                        Some(Outcome::Done { levels, .. }) => levels.first().copied().unwrap_or_default(),
                        _ => Level::default(),
                    };
                    return Ok(Verdict::Unpriced(standing(line, level)));
                }
                count(&self.health.unpriced);
            }
            let (id, lease) = (Id::new(now()), self.lease);
            let mut ops = Vec::with_capacity(2);
            let returned = given_back.take();
            if let Some(hold) = returned {
                ops.push(Op::Release { id: hold.id, lines: Arc::clone(&hold.lines) });
            }
            // Even where no limit applies: one may have been set meanwhile.
            ops.push(Op::Reserve { id, lines: Arc::clone(&lines), lease, edition: edition.number });
            let outcomes = desk.ask(self, ops).inspect_err(|_| self.release_all(returned))?;
            match outcomes.into_iter().next_back() {
                Some(Outcome::Refused { line, level }) => {
                    count(&self.health.refused);
                    if let Some(line) = lines.get(line) {
                        return Ok(Verdict::Over(standing(line, level), line.amount));
                    }
                }
                Some(Outcome::Done { levels, over, .. }) => {
                    if !lines.is_empty() {
                        count(&self.health.reserved);
                    }
                    let passed = over.iter().filter_map(|at| Some((lines.get(*at)?, *levels.get(*at)?)));
                    let passed: Vec<_> = passed.map(|(line, level)| standing(line, level)).collect();
                    return Ok(Verdict::Reserved(Hold { id, lines }, self.passed(ask, passed)));
                }
                Some(Outcome::Stale) | None => {
                    self.read()?;
                }
            }
        }
        Err(changing())
    }

    /// Turns a reservation into what was spent; what is not known counts as it was reserved. Doing it again does
    /// nothing.
    ///
    /// Nobody waits for it: it goes to the sums along with what this process wants of them next and before that, or at
    /// once by a thread of its own; until then it is reserved. A process that is killed in between leaves a lease that
    /// lapses, and [`Quota::recover`] settles it. The [`Ear`](super::Ear) hears of marks that it reaches.
    pub fn settle(&'static self, hold: &Hold, actual: &Cost) {
        if hold.lines.is_empty() || !self.desk().close(hold.id) {
            return;
        }
        if hold.lines.iter().any(|line| is_unknown(line, actual)) {
            count(&self.health.settled_by_estimate);
        }
        count(&self.health.settled);
        self.desk().later(self, settlement(hold, actual));
    }

    /// Reservations whose lease ran out before they were settled or given back, of every process and the last day.
    pub fn lapsed(&'static self) -> Result<Vec<Hold>> {
        let edition = self.read()?;
        let at = self.now(); // not while the connection is held: a fork waits for that
        let mut found = self.desk().with(self, |keeper, _| keeper.lapsed(at))?;
        if found.len() >= MOST_LAPSED {
            let cut = found.last().map(|last| last.id);
            found.retain(|lapsed| Some(lapsed.id) != cut); // not all of its counters may be among them
        }
        let mut lines: BTreeMap<Id, Vec<Line>> = BTreeMap::new();
        for lapsed in found {
            let Some(limit) = edition.limits.iter().find(|limit| limit.name == lapsed.limit) else { continue };
            let (id, key, rolling) = (lapsed.counter, lapsed.key.into(), limit.period.part(at));
            let counter = Counter { id, key, start: lapsed.start, end: None, rolling };
            let line = Line { limit: Arc::clone(limit), counter, amount: lapsed.amount, hard: false };
            lines.entry(lapsed.id).or_default().push(line);
        }
        Ok(lines.into_iter().map(|(id, lines)| Hold { id, lines: lines.into() }).collect())
    }

    /// Settles one of [`Quota::lapsed`], once, whoever else does it too; the ledger knows what its call has cost.
    pub fn recover(&'static self, hold: &Hold, actual: &Cost) -> Result<()> {
        let outcomes = self.desk().ask(self, vec![settlement(hold, actual)])?;
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done { lapsed: true, .. })) {
            count(&self.health.recovered);
        }
        Ok(())
    }

    /// Counts what was spent without a reservation, whatever the limits say.
    pub fn charge(&'static self, who: &Who<'_>, actual: &Cost) -> Result<Vec<Warning>> {
        let ask = Ask { who: *who, cost: *actual, running: true, word: None };
        for _ in 0..TRIES {
            let edition = self.edition()?;
            let lines: Arc<[Line]> =
                lines_of(&edition, &ask, self.now()).iter().cloned().map(|line| Line { hard: false, ..line }).collect();
            let (id, lease) = (Id::new(now()), self.lease);
            let amounts: Vec<u64> = lines.iter().map(|line| spent(line, actual)).collect();
            let reserve = Op::Reserve { id, lines: Arc::clone(&lines), lease, edition: edition.number };
            let settle = Op::Settle { id, lines: Arc::clone(&lines), actual: amounts.clone() };
            let outcomes = self.desk().ask(self, vec![reserve, settle])?;
            if outcomes.first() != Some(&Outcome::Stale) {
                count(&self.health.settled);
                return Ok(outcomes.last().map(|done| self.marks(&lines, &amounts, done)).unwrap_or_default());
            }
            self.read()?;
        }
        Err(changing())
    }

    /// Gives a reservation back, soon.
    pub fn release(&'static self, hold: &Hold) {
        if !hold.lines.is_empty() && self.desk().close(hold.id) {
            count(&self.health.released);
            self.release_all(Some(hold));
        }
    }

    fn release_all(&'static self, hold: Option<&Hold>) {
        if let Some(hold) = hold {
            self.desk().later(self, Op::Release { id: hold.id, lines: Arc::clone(&hold.lines) });
        }
    }

    /// What is to be said about limits that were passed, and written down.
    fn passed(&self, ask: &Ask<'_>, passed: Vec<Standing>) -> Vec<Warning> {
        if let (Some((who, why)), false) = (ask.word, passed.is_empty()) {
            count(&self.health.overridden);
            for standing in passed.iter().filter(|standing| standing.limit.policy != Policy::Warn) {
                let Level { used, reserved, .. } = standing.level;
                let text = format!("{why} (used {used}, reserved {reserved}, limit {})", standing.limit.amount);
                if self.note("override", &standing.limit.name, who, &text).is_err() {
                    count(&self.health.lost);
                }
            }
        }
        let desk = self.desk();
        let warns = |standing: &Standing| standing.limit.policy == Policy::Warn && desk.is_news(standing.counter.id);
        let warnings = passed.into_iter().filter(warns);
        let warning = |standing| {
            count(&self.health.warnings);
            Warning { standing, mark: None }
        };
        warnings.map(warning).collect()
    }

    /// The marks that a settlement has reached: it is the one that brought the sum from below to there.
    pub(super) fn marks(&self, lines: &[Line], amounts: &[u64], outcome: &Outcome) -> Vec<Warning> {
        let Outcome::Done { levels, .. } = outcome else { return Vec::new() };
        let known = lock(&self.desk().edition).clone();
        let mut reached = Vec::new();
        for ((line, amount), level) in lines.iter().zip(amounts).zip(levels) {
            let before = level.used.saturating_sub(*amount);
            // As it is now: it may have been changed since the reservation.
            let named = |limit: &&Arc<Limit>| limit.name == line.limit.name;
            let limit = known.iter().flat_map(|edition| &edition.limits).find(named).unwrap_or(&line.limit);
            for mark in &limit.marks {
                let at = (u128::from(limit.amount) * u128::from(*mark)).div_ceil(1000);
                if u128::from(before) < at && at <= u128::from(level.used) {
                    count(&self.health.warnings);
                    let standing = Standing { limit: Arc::clone(limit), counter: line.counter.clone(), level: *level };
                    reached.push(Warning { standing, mark: Some(*mark) });
                }
            }
        }
        reached
    }
}

/// What a call takes of every limit that applies.
pub(super) fn lines_of(edition: &Edition, ask: &Ask<'_>, at: Micros) -> Arc<[Line]> {
    let line = |limit: &Arc<Limit>| {
        let counter = limit.counter(&ask.who, at)?;
        let hard = match limit.policy {
            Policy::Warn => false,
            Policy::Block => true,
            Policy::Finish => !ask.running,
        };
        let amount = match limit.measure {
            Measure::Tokens => ask.cost.tokens.unwrap_or(1),
            Measure::Calls => ask.cost.calls,
            Measure::Money => ask.cost.money.unwrap_or(0),
        };
        let (limit, hard) = (Arc::clone(limit), hard && ask.word.is_none());
        Some(Line { limit, counter, amount: amount.min(MOST), hard })
    };
    edition.limits.iter().filter_map(line).collect()
}

fn settlement(hold: &Hold, actual: &Cost) -> Op {
    let actual = hold.lines.iter().map(|line| spent(line, actual)).collect();
    Op::Settle { id: hold.id, lines: Arc::clone(&hold.lines), actual }
}

fn changing() -> Error {
    Error::new(Kind::Busy, "the limits keep changing")
}

fn is_unpriced(line: &Line, cost: &Cost) -> bool {
    line.limit.measure == Measure::Money && cost.money.is_none()
}

fn is_unknown(line: &Line, actual: &Cost) -> bool {
    match line.limit.measure {
        Measure::Tokens => actual.tokens.is_none(),
        Measure::Calls => false,
        Measure::Money => actual.money.is_none(),
    }
}

/// What `actual` takes of a line; what is not known counts as it was reserved.
fn spent(line: &Line, actual: &Cost) -> u64 {
    let amount = match line.limit.measure {
        Measure::Tokens => actual.tokens,
        Measure::Calls => Some(actual.calls),
        Measure::Money => actual.money,
    };
    amount.unwrap_or(line.amount).min(MOST)
}
