//! Queue: what was heard and is not in the journal yet. Whoever records waits for nothing but a place in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::journal::Trouble;
use super::{Counted, Durability, Event, Ledger, entry, lock, say, work};
use crate::call::{Call, Labels, LabelsRef};
use crate::id::{Id, now};
use crate::run::Listener;
use crate::totals::Savings;
use crate::unit::Unit;
use crate::usage::{Counts, Origin, Usage};

/// A queue of this many bytes is moved to the journal by whoever fills it.
const FULL_QUEUE: usize = 4 << 20;
/// What a queue may hold while even the journal cannot be written.
const MOST_QUEUE: usize = 64 << 20;

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) bytes: Vec<u8>,
    spare: Vec<u8>,
    pub(super) entries: u64,
    /// How many of the entries were counted as exposed.
    pub(super) exposed: u64,
    /// How often the entries at its beginning were taken away for good.
    taken: u64,
    pub(super) running: bool,
    pub(super) asleep: bool,
    pub(super) closing: bool,
}

impl Ledger {
    /// What a meter is given so that every call goes to this ledger.
    pub fn listener(&'static self) -> Arc<dyn Listener> {
        Arc::new(Ear(self))
    }

    /// Takes one call.
    pub fn append(&'static self, call: &Call) {
        self.enqueue(|bytes| entry::put_call(bytes, call));
    }

    /// Takes one event, to be sent after every call that was appended before it is in the database.
    pub fn append_event(&'static self, event: &Event) {
        self.enqueue(|bytes| entry::put_event(bytes, event));
    }

    fn enqueue(&'static self, put: impl FnOnce(&mut Vec<u8>)) {
        let (start, wake, settle) = {
            let mut queue = lock(&self.queue);
            put(&mut queue.bytes);
            queue.entries += 1;
            let start = !std::mem::replace(&mut queue.running, true);
            let wake = std::mem::take(&mut queue.asleep);
            let settle = self.config.durability != Durability::Relaxed || queue.closing;
            (start, wake, settle || queue.bytes.len() > FULL_QUEUE)
        };
        self.health.count(Counted::Heard, 1);
        if start {
            work::start(self);
        }
        if wake {
            self.filled.notify_one();
        }
        if settle && self.config.settled_by_caller {
            self.due.store(true, Ordering::Release);
        } else if settle {
            self.settle();
        }
    }

    /// Whether [`Ledger::settle`] is to be called before whoever recorded goes on, if `settled_by_caller`: because of
    /// what the durability promises, or because the queue is full.
    pub fn is_due(&self) -> bool {
        self.config.durability != Durability::Relaxed || self.due.load(Ordering::Acquire)
    }

    /// Makes what was appended as safe as the ledger's durability says. Waits for the file system, never for the
    /// database.
    pub fn settle(&self) {
        let mut news = None;
        self.due.store(false, Ordering::Release);
        {
            let mut journal = lock(&self.journal);
            let (mut bytes, entries, exposed) = {
                let mut queue = lock(&self.queue);
                if queue.bytes.is_empty() {
                    return;
                }
                let spare = std::mem::take(&mut queue.spare);
                let bytes = std::mem::replace(&mut queue.bytes, spare);
                (bytes, std::mem::take(&mut queue.entries), std::mem::take(&mut queue.exposed))
            };
            match journal.append(&bytes) {
                Ok(()) => lock(&self.queue).taken += 1,
                Err(Trouble::Full) => {
                    lock(&self.queue).taken += 1;
                    self.health.count(Counted::Refused, entries);
                    let limit = self.config.journal_limit;
                    news = Some(format!("its journal has reached {limit} bytes and takes no more; calls are LOST"));
                }
                Err(Trouble::Io(error)) => {
                    self.health.count(Counted::Exposed, entries.saturating_sub(exposed));
                    let mut queue = lock(&self.queue);
                    if bytes.len() + queue.bytes.len() > MOST_QUEUE {
                        queue.taken += 1;
                        self.health.count(Counted::Refused, entries);
                        news =
                            Some(format!("its journal cannot be written ({error}) and memory is full; calls are LOST"));
                    } else {
                        let folder = self.folder.display();
                        news = Some(format!(
                            "its journal {folder} cannot be written ({error}); until the database has them, calls are in \
                             memory only; RAGMETER_JOURNAL names another folder"
                        ));
                        bytes.extend_from_slice(&queue.bytes);
                        std::mem::swap(&mut queue.bytes, &mut bytes);
                        queue.entries += entries;
                        queue.exposed = entries;
                    }
                }
            }
            bytes.clear();
            lock(&self.queue).spare = bytes;
            self.appended.store(journal.appended, Ordering::Release);
        }
        if let Some(news) = news
            && self.health.is_time_to_speak()
        {
            say(&format!("ledger {}: {news}", self.target), true);
        }
    }
}

impl Ledger {
    /// Copies the first entries of a queue that the journal did not take; `None` if it takes them. What is returned is
    /// for [`Ledger::forget_exposed`].
    pub(super) fn copy_exposed(&self, most: usize, into: &mut Vec<u8>) -> Option<u64> {
        let queue = lock(&self.queue);
        if queue.exposed == 0 {
            return None;
        }
        into.clear();
        into.extend_from_slice(queue.bytes.get(..most.min(queue.bytes.len()))?);
        Some(queue.taken)
    }

    /// Removes the first `used` bytes, which the database has, unless they went to the journal meanwhile.
    pub(super) fn forget_exposed(&self, ticket: u64, used: usize, entries: u64) {
        let _settled = lock(&self.journal);
        let mut queue = lock(&self.queue);
        if queue.taken == ticket && queue.bytes.len() >= used {
            queue.bytes.drain(..used);
            queue.entries = queue.entries.saturating_sub(entries);
            queue.exposed = queue.exposed.saturating_sub(entries);
        }
    }
}

struct Ear(&'static Ledger);

impl Listener for Ear {
    fn hear(&self, call: &Call) {
        self.0.append(call);
    }

    /// A row of counts that is no call: a part, without the first part that counts as the call.
    fn hear_savings(&self, run: Option<Id>, labels: &LabelsRef<'_>, savings: &Savings) {
        let (at, mut counts) = (now(), Counts::UNKNOWN);
        counts.set(Unit::CacheHits, savings.hits);
        counts.set(Unit::SavedTokens, savings.tokens);
        let origin = if savings.estimated_hits > 0 { Origin::Estimated } else { Origin::Reported };
        let (labels, usage) = (Labels::from_ref(labels), Usage::new(counts, origin));
        self.0.append(&Call { id: Id::new(at), at, attempt: 1, part: 1, run, labels, usage });
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}
