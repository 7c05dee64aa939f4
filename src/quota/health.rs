//! Health: what happened to a quota, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident)+) => {
        /// What happened to a quota; see the page.
        #[derive(Debug, Default)]
        pub struct Health { $($(#[$doc])* pub $field: AtomicU64),+ }

        impl Health {
            /// The counters by name.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field.load(Ordering::Relaxed))),+]
            }

            /// After a fork: the child has seen nothing yet.
            pub(super) fn reset(&self) {
                $(self.$field.store(0, Ordering::Relaxed);)+
            }
        }
    };
}

counters! {
    /// Calls that were let through with a reservation.
    reserved
    /// Calls that were refused.
    refused
    /// Calls that were settled.
    settled
    /// Reservations that were given back.
    released
    /// Reservations of this process that lapsed though it was alive: the lease is too short for what delays it.
    lapsed
    /// Reservations of processes that are gone, settled with what the ledger knows of their calls.
    recovered
    /// Calls whose cost was not known: what had been reserved counts.
    settled_by_estimate
    /// Calls under a limit in money whose price nobody knows, and that were let through.
    unpriced
    /// Calls that were let through on somebody's word though over a limit.
    overridden
    /// Times that the place of the sums could not be reached.
    outages
    /// Calls that were let through because it could not be reached.
    unguarded
    /// Calls that were refused because it could not be reached.
    refused_blind
    /// Settlements that were put off until it can be reached again.
    late
    /// Settlements that were given up.
    lost
    /// Marks that were reached, and calls that passed a limit which only warns.
    warnings
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
