//! Fork: how a ledger gets through `os.fork`.
//!
//! A forked child has a copy of everything but the threads: of locks that they held, of a half-written file, of the
//! library of SQLite in the middle of its work. So the parent stops for a moment: it closes SQLite's connection and
//! holds every lock of every ledger until the fork is done. The child then forgets the queue (it is the parent's to
//! write), lets go of the journal's files and starts threads of its own with its first call.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use super::journal::Journal;
use super::store::Store;
use super::target::Engine;
use super::{Beginning, Ledger, Progress, Queue, lock};

/// How long a fork waits for a transaction to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

static LEDGERS: Mutex<Vec<&'static Ledger>> = Mutex::new(Vec::new());
static READING: RwLock<()> = RwLock::new(());

struct Held {
    ledger: &'static Ledger,
    slot: Option<MutexGuard<'static, Option<Box<dyn Store>>>>,
    journal: MutexGuard<'static, Journal>,
    queue: MutexGuard<'static, Queue>,
    progress: MutexGuard<'static, Progress>,
    _beginnings: MutexGuard<'static, Vec<Beginning>>,
}

#[derive(Default)]
struct HeldAll {
    ledgers: Vec<Held>,
    reading: Option<RwLockWriteGuard<'static, ()>>,
    _list: Option<MutexGuard<'static, Vec<&'static Ledger>>>,
}

thread_local! {
    static HELD: RefCell<HeldAll> = RefCell::default();
}

pub(super) fn register(ledger: &'static Ledger) {
    lock(&LEDGERS).push(ledger);
}

/// Keeps a fork waiting while somebody reads.
pub(super) fn reading() -> RwLockReadGuard<'static, ()> {
    READING.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Call before a fork, in the thread that forks.
pub fn before() {
    let deadline = Instant::now() + PATIENCE;
    let list = lock(&LEDGERS);
    if list.is_empty() {
        return;
    }
    let slots: Vec<_> = list.iter().map(|ledger| (*ledger, slot(ledger, deadline))).collect();
    let reading = until(deadline, || match READING.try_write() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    let hold = |(ledger, slot): (&'static Ledger, _)| {
        let beginnings = lock(&ledger.beginnings);
        let journal = lock(&ledger.journal);
        let queue = lock(&ledger.queue);
        Held { ledger, slot, journal, queue, progress: lock(&ledger.progress), _beginnings: beginnings }
    };
    let ledgers = slots.into_iter().map(hold).collect();
    HELD.set(HeldAll { ledgers, reading, _list: Some(list) });
}

/// The slot with its connection closed. `None` if it is not SQLite's or does not become free.
fn slot(ledger: &'static Ledger, deadline: Instant) -> Option<MutexGuard<'static, Option<Box<dyn Store>>>> {
    if ledger.target.engine != Engine::Sqlite {
        return None;
    }
    let mut slot = until(deadline, || match ledger.slot.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    })?;
    *slot = None;
    Some(slot)
}

pub(crate) fn until<T>(deadline: Instant, attempt: impl Fn() -> Option<T>) -> Option<T> {
    loop {
        if let Some(done) = attempt() {
            return Some(done);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Call after a fork in the parent, in the thread that forked.
pub fn after_in_parent() {
    drop(HELD.take());
}

/// Call after a fork in the child, before anything else here is used.
pub fn after_in_child() {
    let all = HELD.take();
    for mut held in all.ledgers {
        let spoilt = held.ledger.target.engine == Engine::Sqlite && (held.slot.is_none() || all.reading.is_none());
        if spoilt {
            held.ledger.cut_off.store(true, Ordering::Relaxed);
        }
        held.journal.let_go();
        *held.queue = Queue::default();
        *held.progress = Progress::default();
        held.ledger.appended.store(0, Ordering::Relaxed);
        held.ledger.look.store(true, Ordering::Relaxed);
        held.ledger.due.store(false, Ordering::Relaxed);
        held.ledger.health.reset();
    }
}
