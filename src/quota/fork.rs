//! Fork: how a quota gets through `os.fork`. A child gets a desk of its own: it neither uses nor closes the connection
//! of its parent, and reservations stay with who made them. A file of SQLite must not be open in between.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Instant;

use super::desk::{Desk, Slot};
use super::{Quota, lock};
use crate::ledger::fork::{PATIENCE, until};

static QUOTAS: Mutex<Vec<&'static Quota>> = Mutex::new(Vec::new());

struct Held {
    quota: &'static Quota,
    desk: MutexGuard<'static, &'static Desk>,
    slot: Option<MutexGuard<'static, Slot>>,
}

#[derive(Default)]
struct HeldAll {
    quotas: Vec<Held>,
    _list: Option<MutexGuard<'static, Vec<&'static Quota>>>,
}

thread_local! {
    static HELD: RefCell<HeldAll> = RefCell::default();
}

pub(super) fn register(quota: &'static Quota) {
    lock(&QUOTAS).push(quota);
}

/// Call before a fork, in the thread that forks.
pub fn before() {
    let deadline = Instant::now() + PATIENCE;
    let list = lock(&QUOTAS);
    let hold = |quota: &&'static Quota| {
        let desk = lock(&quota.desk);
        let at: &'static Desk = *desk;
        let slot = quota.place.is_file().then(|| {
            until(deadline, || match at.slot.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            })
        });
        let mut slot = slot.flatten();
        if let Some(slot) = &mut slot {
            slot.keeper = None;
        }
        Held { quota, desk, slot }
    };
    let quotas = list.iter().map(hold).collect();
    HELD.set(HeldAll { quotas, _list: Some(list) });
}

/// Call after a fork in the parent, in the thread that forked.
pub fn after_in_parent() {
    drop(HELD.take());
}

/// Call after a fork in the child, before anything else here is used.
pub fn after_in_child() {
    for mut held in HELD.take().quotas {
        let cut_off = held.quota.place.is_file() && held.slot.is_none();
        *held.desk = Box::leak(Box::new(Desk::new(cut_off)));
        held.quota.health.reset();
    }
}
