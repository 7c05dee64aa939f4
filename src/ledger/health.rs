//! Health: what happened to a ledger, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::id::now;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident $name:literal)+) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum Counted { $($(#[$doc])* $variant),+ }

        impl Counted {
            const ALL: [Counted; [$(Counted::$variant),+].len()] = [$(Counted::$variant),+];

            const fn name(self) -> &'static str {
                match self { $(Counted::$variant => $name),+ }
            }
        }
    };
}

counters! {
    /// Calls and events that were handed to the ledger.
    Heard "heard"
    /// Calls that were written to the database.
    Written "written"
    /// Calls that were there already.
    Repeated "repeated"
    /// Calls and events that are lost: the journal was full.
    Refused "refused"
    /// Calls and events that were for some time less safe than promised: the journal could not be written.
    Exposed "exposed"
    /// Calls and events that the database does not take; they stand in a file beside the journal.
    SetAside "set_aside"
    /// Bytes of a journal that could not be read.
    DamagedBytes "damaged_bytes"
    /// Files of the journal taken over from processes that are gone.
    Adopted "adopted"
    /// Transactions.
    Batches "batches"
    /// Times that the database went away.
    Outages "outages"
    /// Events that were delivered.
    Sent "sent"
    /// Deliveries that failed and will be tried again.
    SendFailures "send_failures"
    /// Events that were given up.
    Dead "dead"
}

/// What happened to a ledger; see the page.
#[derive(Debug, Default)]
pub struct Health {
    counts: [AtomicU64; Counted::ALL.len()],
    spoke_at: AtomicU64,
}

impl Health {
    pub(crate) fn count(&self, what: Counted, how_many: u64) {
        if let Some(count) = self.counts.get(what as usize) {
            count.fetch_add(how_many, Ordering::Relaxed);
        }
    }

    /// The counters by name.
    pub fn snapshot(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Counted::ALL.into_iter().map(Counted::name).zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// Starts anew, in a forked child.
    pub(crate) fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// Whether the last complaint is ten seconds ago; then this is the next.
    pub(crate) fn is_time_to_speak(&self) -> bool {
        let (now, before) = (now(), self.spoke_at.load(Ordering::Relaxed));
        let due = now.abs_diff(before) > 10_000_000; // also where the clock was put back
        due && self.spoke_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
