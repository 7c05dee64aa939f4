//! Ledger: the durable book of calls. Append, roll up, never edit.
//!
//! ```text
//! hear ──► queue ──► journal ──► database
//!          memory    a file      calls, roll-ups and outbox in one transaction
//! ```
//!
//! `hear` never waits for a database. The keeper thread moves the queue to the journal every [`TICK`], the committer
//! thread reads the journal and writes batches; both start with the first call, in each process anew. What the database
//! has is removed from the journal. A batch may reach the database twice (a crash between commit and removal): calls
//! and events have unique ids, a repeat adds nothing.
//!
//! The levels of [`Durability`] differ only in when a call reaches the journal: after at most [`TICK`], before `hear`
//! returns, or on the disk itself before `hear` returns.
//!
//! Order of locks: slot, beginnings, journal, queue, progress. Nothing is logged while one of them is held.

#![allow(clippy::format_collect, clippy::format_push_string)] // statements are texts of many parts

mod batch;
mod calls;
mod config;
pub(crate) mod dialect;
mod entry;
pub mod fork;
mod health;
mod journal;
mod money;
mod notice;
pub mod outbox;
pub mod query;
mod queue;
pub(crate) mod schema;
pub(crate) mod store;
pub mod tables;
pub mod target;
mod tariff;
mod upkeep;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use batch::Sum;
pub use calls::{CallRow, Search, Span};
pub use config::{Config, Durability};
pub use entry::Event;
pub use health::Health;
pub use notice::{Notice, set_notice};
pub use query::{Filter, UsageRow};
pub use tariff::{PricedRow, Tariff};
pub use upkeep::Difference;

use crate::error::{Error, Kind, Result};
use config::usual_folder;
pub(crate) use health::Counted;
use journal::Journal;
pub(crate) use notice::say;
use queue::Queue;
use store::{Care, Store};
use target::{Engine, Target};

/// How long a call stays in memory at most while the ledger is `relaxed`.
pub const TICK: Duration = Duration::from_millis(20);

/// The durable book of calls; see the page. Lives as long as the process.
pub struct Ledger {
    /// Where it is.
    pub target: Target,
    /// What happened to it.
    pub health: Health,
    config: Config,
    folder: PathBuf,
    /// The connection of a database of one file, which must be closed before a fork.
    slot: Mutex<Option<Box<dyn Store>>>,
    journal: Mutex<Journal>,
    queue: Mutex<Queue>,
    filled: Condvar,
    progress: Mutex<Progress>,
    moved: Condvar,
    appended: AtomicU64,
    /// Whether the committer is to look for journals of processes that are gone.
    look: AtomicBool,
    /// A forked child that cannot use its copy of the database's library: it only keeps a journal.
    cut_off: AtomicBool,
    /// Whether the queue wants to be settled by whoever records, see [`Ledger::is_due`].
    due: AtomicBool,
    beginnings: Mutex<Vec<Beginning>>,
    /// Whether the tables beside the calls are known to be there.
    has_tables: AtomicBool,
}

/// A connection that is kept, see [`Ledger::use_kept`].
pub(crate) type Kept = Option<Box<dyn Store>>;

/// What runs in each process when it begins to use a ledger.
type Beginning = Box<dyn Fn() + Send + Sync>;

#[derive(Debug, Default)]
struct Progress {
    committed: u64,
    /// How many batches with events were written.
    events: u64,
    stop: bool,
    stopped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Makes a ledger of that URL. Does not connect: see [`Ledger::check`].
    pub fn open(url: &str, config: Config) -> Result<&'static Self> {
        let target = Target::parse(url)?;
        let folder = match &config.journal {
            Some(folder) => folder.clone(),
            None => usual_folder(&target),
        };
        let journal = Journal::new(folder.clone(), config.journal_limit, config.durability == Durability::Fsync);
        // It outlives every thread that uses it, and a forked child finds it where it was.
        let ledger: &'static Self = Box::leak(Box::new(Self {
            target,
            health: Health::default(),
            config,
            folder,
            slot: Mutex::default(),
            journal: Mutex::new(journal),
            queue: Mutex::default(),
            filled: Condvar::new(),
            progress: Mutex::default(),
            moved: Condvar::new(),
            appended: AtomicU64::new(0),
            look: AtomicBool::new(true),
            cut_off: AtomicBool::new(false),
            due: AtomicBool::new(false),
            beginnings: Mutex::default(),
            has_tables: AtomicBool::new(false),
        }));
        fork::register(ledger);
        Ok(ledger)
    }

    /// Connects and brings the schema up to date.
    pub fn check(&self) -> Result<()> {
        self.read(false, |_| Ok(()))
    }

    /// From when on a call is safe.
    pub fn durability(&self) -> Durability {
        self.config.durability
    }

    /// Folder of the journal.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Has `begin` run in each process that uses the ledger, with its first call: at once, if that was before. Threads
    /// that are started there are never there before a fork.
    pub fn when_used(&self, begin: impl Fn() + Send + Sync + 'static) {
        let mut beginnings = lock(&self.beginnings);
        if lock(&self.queue).running {
            begin();
        }
        beginnings.push(Box::new(begin));
    }

    /// Waits until the database has every call appended so far, and those that processes which are gone left in their
    /// journals; whether it has.
    pub fn flush(&'static self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.settle();
        let start = {
            let mut queue = lock(&self.queue);
            !queue.closing && !std::mem::replace(&mut queue.running, true)
        };
        if start {
            work::start(self);
        }
        let aim = self.appended.load(Ordering::Acquire);
        self.look.store(true, Ordering::Release);
        self.moved.notify_all();
        loop {
            let left_behind = self.look.load(Ordering::Acquire) || lock(&self.journal).has_adopted();
            let exposed = lock(&self.queue).exposed > 0;
            let progress = lock(&self.progress);
            if progress.committed >= aim && !exposed && (!left_behind || progress.stopped) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || progress.stopped {
                return false;
            }
            drop(self.moved.wait_timeout(progress, left.min(TICK)));
        }
    }

    /// Flushes and ends the threads, also those that send. What the database does not take in time stays in the journal
    /// for the next process. Calls that come later go straight to the journal.
    pub fn close(&'static self, timeout: Duration) -> bool {
        let flushed = !lock(&self.queue).running || self.flush(timeout);
        let running = {
            let mut queue = lock(&self.queue);
            queue.closing = true;
            queue.asleep = false;
            std::mem::replace(&mut queue.running, true)
        };
        self.filled.notify_one();
        self.settle();
        let mut progress = lock(&self.progress);
        progress.stop = true;
        self.moved.notify_all();
        if !running {
            return flushed;
        }
        let deadline = Instant::now() + Duration::from_millis(500);
        while !progress.stopped && Instant::now() < deadline {
            progress = self.moved.wait_timeout(progress, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(progress);
        let left = lock(&self.queue).entries;
        if left > 0 {
            say(&format!("ledger {}: neither its journal nor the database took {left} calls", self.target), true);
        }
        flushed
    }

    /// Lets `work` use a connection of its own.
    pub(crate) fn read<T>(&self, must_exist: bool, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(Error::new(
                Kind::Unavailable,
                "this process was forked while its parent was using SQLite; read the ledger from another one",
            ));
        }
        if must_exist && self.is_missing() {
            return Err(Error::new(Kind::Unavailable, format!("there is no ledger at {}", self.target)));
        }
        let _reading = fork::reading();
        let mut store = store::connect(&self.target, self.care())?;
        let secret = self.target.password();
        work(&mut *store).map_err(|error| Error::new(error.kind, format!("{}: {error}", self.target)).without(secret))
    }

    /// The same with a connection that is kept for the next time, if it is one to a server: a file must be free for a
    /// fork.
    pub(crate) fn use_kept<T>(&self, kept: &mut Kept, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        if self.target.engine == Engine::Sqlite {
            return self.read(true, work);
        }
        let store = match kept {
            Some(store) => store,
            None => kept.insert(store::connect(&self.target, self.care())?),
        };
        let done = work(&mut **store);
        if done.is_err() {
            *kept = None;
        }
        done.map_err(|error| {
            Error::new(error.kind, format!("{}: {error}", self.target)).without(self.target.password())
        })
    }

    /// Whether there is no database yet, as far as one can tell without asking a server.
    pub(crate) fn is_missing(&self) -> bool {
        self.target.engine == Engine::Sqlite && !std::path::Path::new(&*self.target.address).exists()
    }

    /// Whether it was closed in this process.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.progress).stop
    }

    /// Waits until other batches with events were written than the first `seen`, or `enough` says so, or it is closed, or
    /// for some time; how many there are.
    pub(crate) fn wait_for_events(&self, seen: u64, patience: Duration, enough: impl Fn() -> bool) -> u64 {
        let waiting = |progress: &mut Progress| progress.events == seen && !progress.stop && !enough();
        self.moved
            .wait_timeout_while(lock(&self.progress), patience, waiting)
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .events
    }

    /// Wakes whoever waits, to look again.
    pub(crate) fn nudge(&self) {
        drop(lock(&self.progress));
        self.moved.notify_all();
    }

    fn care(&self) -> Care {
        if self.config.durability == Durability::Fsync { Care::Full } else { Care::Usual }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("target", &self.target).finish_non_exhaustive()
    }
}
