//! Quota: what somebody may spend. Reserve before a call, settle after it.
//!
//! ```text
//! reserve(estimate) ──► every limit that applies has room? ── no ──► refused, nothing is reserved
//!                        └─ yes: reserved on all of them ──► settle(actual) or release
//! ```
//!
//! The sums stand in the ledger's database or in Redis and are exact across processes: as long as no call costs more
//! than was reserved for it, what is settled never passes a limit. A reservation has a lease, which this process renews;
//! that of a process which is gone lapses. A call that is settled after its lease has lapsed counts all the same, once.
//!
//! Not here: what a call will cost (the caller's estimate), whom a call belongs to (its labels).

mod book;
mod calls;
mod clock;
mod desk;
pub mod fork;
mod health;
mod limit;
mod period;
mod redis;
mod schema;
mod sql;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

pub use book::{Level, Line, Note};
pub use health::Health;
pub use limit::{Counter, Limit, MOST, Measure, Part, Policy, SCOPE, Unpriced, Who};
pub use period::Period;

use crate::error::{Error, Result};
use crate::id::{Id, Micros, now};
use crate::ledger::Ledger;
use crate::ledger::target::{Engine, Target};
use book::{Keeper, Op, Outcome};
use calls::lines_of;
use desk::{Desk, Edition};

/// What somebody may spend; see the page. Lives as long as the process.
pub struct Quota {
    place: Place,
    lease: Micros,
    /// What happened to it.
    pub health: Health,
    desk: Mutex<&'static Desk>,
    ear: OnceLock<Box<dyn Ear>>,
}

/// Who is told of what happens while nobody waits for it. Called by a thread of the quota's own.
pub trait Ear: Send + Sync {
    /// Marks were reached.
    fn warn(&self, said: &[Warning]);

    /// These have lapsed; whoever has a ledger may know what became of their calls, see [`Quota::recover`].
    fn lapsed(&self, holds: Vec<Hold>);
}

enum Place {
    Sql(Target),
    Redis(redis::Place),
}

/// What a call costs, or is thought to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Input and output tokens.
    pub tokens: Option<u64>,
    /// Requests.
    pub calls: u64,
    /// Picodollars; `None` if nobody knows the price.
    pub money: Option<u64>,
}

/// What is asked before a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Who spends.
    pub who: Who<'a>,
    /// What the call costs at most.
    pub cost: Cost,
    /// Whether it belongs to something that has begun, see [`Policy::Finish`].
    pub running: bool,
    /// Who lets it through whatever the limits say, and why.
    pub word: Option<(&'a str, &'a str)>,
}

/// A reservation.
#[derive(Clone, Debug)]
pub struct Hold {
    /// Unique.
    pub id: Id,
    /// What it takes; empty if no limit applies.
    pub lines: Arc<[Line]>,
}

/// A limit and how it stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Which of its sums.
    pub counter: Counter,
    /// How it stands.
    pub level: Level,
}

/// Something to tell people.
#[derive(Clone, Debug)]
pub struct Warning {
    /// What it is about.
    pub standing: Standing,
    /// The mark that was reached, in thousandths; `None` if the limit was passed.
    pub mark: Option<u16>,
}

/// What became of an [`Ask`].
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is reserved.
    Reserved(Hold, Vec<Warning>),
    /// A limit has no room for that much.
    Over(Standing, u64),
    /// A limit in money refuses calls whose price nobody knows.
    Unpriced(Standing),
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Place {
    fn parse(url: &str) -> Result<Self> {
        match redis::Place::parse(url) {
            Some(place) => Ok(Self::Redis(place?)),
            None => Ok(Self::Sql(Target::parse(url)?)),
        }
    }

    fn connect(&self) -> Result<Box<dyn Keeper>> {
        Ok(match self {
            Self::Sql(target) => Box::new(sql::Sql::connect(target)?),
            Self::Redis(place) => Box::new(redis::Redis::connect(place)?),
        })
    }

    fn is_file(&self) -> bool {
        matches!(self, Self::Sql(target) if target.engine == Engine::Sqlite)
    }

    fn shown(&self) -> String {
        match self {
            Self::Sql(target) => target.to_string(),
            Self::Redis(place) => place.shown().to_owned(),
        }
    }

    /// The error with the place named and the password blotted out.
    fn said(&self, error: &Error) -> Error {
        let (kind, place, text) = (error.kind, self.shown(), error.to_string());
        let text = if text.starts_with(&place) { text } else { format!("{place}: {text}") };
        Error::new(kind, text).without(match self {
            Self::Sql(target) => target.password(),
            Self::Redis(place) => place.password(),
        })
    }
}

impl Quota {
    /// Makes a quota whose sums are at that URL, the ledger's or Redis's. Does not connect: see [`Quota::check`].
    pub fn open(url: &str, lease: Duration) -> Result<&'static Self> {
        Ok(Self::at(Place::parse(url)?, lease))
    }

    /// The same in the database of a ledger.
    pub fn beside(ledger: &Ledger, lease: Duration) -> &'static Self {
        Self::at(Place::Sql(ledger.target.clone()), lease)
    }

    fn at(place: Place, lease: Duration) -> &'static Self {
        let lease = Micros::try_from(lease.as_micros()).unwrap_or(Micros::MAX).clamp(100_000, 86_400_000_000);
        let desk = Mutex::new(&*Box::leak(Box::new(Desk::default())));
        // It outlives every thread that uses it, and a forked child finds it where it was.
        let quota: &'static Self =
            Box::leak(Box::new(Self { place, lease, health: Health::default(), desk, ear: OnceLock::new() }));
        fork::register(quota);
        quota
    }

    /// Where the sums are, without a password.
    pub fn url(&self) -> String {
        self.place.shown()
    }

    /// Connects and reads the limits.
    pub fn check(&self) -> Result<()> {
        self.read().map(drop)
    }

    /// Adds a limit, or replaces the one of that name. Sums go on where measure and period stay the same.
    pub fn put(&self, limit: Limit) -> Result<()> {
        let limit = limit.check()?;
        // Everybody reads the limits again after a change: one that is set at every start, or by every call, is none.
        if self.read()?.limits.iter().any(|there| **there == limit) {
            return Ok(());
        }
        self.desk().with(self, |keeper, _| keeper.put(&limit))?;
        self.check()
    }

    /// Removes a limit; whether there was one.
    pub fn remove(&self, name: &str) -> Result<bool> {
        let removed = self.desk().with(self, |keeper, _| keeper.remove(name))?;
        self.check().map(|()| removed)
    }

    /// Every limit.
    pub fn limits(&self) -> Result<Vec<Arc<Limit>>> {
        Ok(self.read()?.limits.clone())
    }

    /// How the limits stand that a call of `who` falls under.
    pub fn standing(&'static self, who: &Who<'_>) -> Result<Vec<Standing>> {
        let lines = lines_of(&*self.read()?, &Ask { who: *who, ..Ask::default() }, self.now());
        if lines.is_empty() {
            return Ok(Vec::new());
        }
        let outcomes = self.desk().ask(self, vec![Op::Look { lines: Arc::clone(&lines) }])?;
        Ok(match outcomes.into_iter().next() {
            Some(Outcome::Done { levels, .. }) => {
                lines.iter().zip(levels).map(|(line, level)| standing(line, level)).collect()
            }
            _ => Vec::new(),
        })
    }

    /// Lets `ear` hear; only the first one does.
    pub fn listen(&self, ear: Box<dyn Ear>) {
        let _ = self.ear.set(ear);
    }

    fn tell(&self, said: &[Warning]) {
        if let (Some(ear), false) = (self.ear.get(), said.is_empty()) {
            ear.warn(said);
        }
    }

    /// Tells of what has lapsed; if the sums cannot be reached, the next time.
    fn tell_lapsed(&'static self) {
        if let Some(ear) = self.ear.get()
            && let Ok(holds) = self.lapsed()
            && !holds.is_empty()
        {
            ear.lapsed(holds);
        }
    }

    /// Does what was put off; whether nothing is left of it.
    pub fn flush(&'static self) -> bool {
        let desk = self.desk();
        let done = desk.catch_up(self).is_ok();
        self.tell(&desk.said());
        done
    }

    /// Goes to the sums and back, on the connection that reservations use.
    pub fn ping(&self) -> Result<()> {
        self.desk().with(self, |keeper, _| keeper.ping())
    }

    /// Writes down that `who` did something.
    pub fn note(&self, kind: &str, limit: &str, who: &str, text: &str) -> Result<()> {
        let note = Note { at: now(), kind: kind.into(), limit: limit.into(), who: who.into(), text: text.into() };
        self.desk().with(self, |keeper, _| keeper.note(&note))
    }

    /// What was written down, the newest first.
    pub fn notes(&self, most: usize) -> Result<Vec<Note>> {
        self.desk().with(self, |keeper, _| keeper.notes(most))
    }

    fn desk(&self) -> &'static Desk {
        *lock(&self.desk)
    }

    /// The time where the sums are.
    fn now(&self) -> Micros {
        self.desk().clock.now()
    }

    fn edition(&self) -> Result<Arc<Edition>> {
        let known = lock(&self.desk().edition).clone();
        known.map_or_else(|| self.read(), Ok)
    }

    fn read(&self) -> Result<Arc<Edition>> {
        let desk = self.desk();
        let (number, limits) = desk.with(self, |keeper, _| keeper.limits())?;
        let limits = limits.into_iter().map(Arc::new).collect();
        let edition = Arc::new(Edition { number, limits });
        *lock(&desk.edition) = Some(Arc::clone(&edition));
        Ok(edition)
    }
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("place", &self.place.shown()).finish_non_exhaustive()
    }
}

fn standing(line: &Line, level: Level) -> Standing {
    Standing { limit: Arc::clone(&line.limit), counter: line.counter.clone(), level }
}
