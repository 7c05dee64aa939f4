//! ragmeter counts every token that a RAG stack pays for, once, and says who spent it.
//!
//! A provider's answer travels one way only:
//!
//! ```text
//! answer ──► Usage ──► Call ──► Meter ─┬─► Runs
//!                                      └─► Ledger ──► Delivery
//! ```
//!
//! * [`Usage`] is what one call cost: inclusive totals and their subsets, unknown is `None`.
//! * [`read_usage`] and [`UsageStream`] read the Usage out of an answer's bytes, whole or in pieces.
//! * [`Unit`] is the registry of everything that is counted, and of its name at every door.
//! * [`Call`] is one request: its Usage and the labels that say who spent it.
//! * [`Run`] is a unit of work and the totals of the calls inside it.
//! * [`Meter`] hears every call and hands it on.
//! * [`Ledger`] is the durable book of calls.
//! * [`Quota`] is what somebody may spend: reserved before a call, settled after it.
//! * [`delivery`] sends what it says on to somebody else's backend.
//!
//! Python sees this crate as `ragmeter._native` (feature `python`); nothing outside `src/py/` knows Python.

mod calendar;
pub mod call;
pub mod counts;
pub mod delivery;
pub mod door;
pub mod error;
pub mod health;
pub mod id;
pub mod ledger;
pub mod meter;
pub mod name;
mod provider;
pub mod quota;
pub mod run;
pub mod stream;
pub mod tokens;
pub mod totals;
pub mod unit;
pub mod usage;

#[cfg(feature = "python")]
mod py;

pub use call::{Call, Dim, Labels};
pub use counts::Counts;
pub use error::Error;
pub use id::Id;
pub use ledger::Ledger;
pub use meter::{Meter, Scope, meter};
pub use provider::Hints;
pub use quota::Quota;
pub use run::{Deferred, Listener, Run};
pub use stream::{StreamFilter, UsageStream, read_usage};
pub use totals::Totals;
pub use unit::Unit;
pub use usage::{Flag, Flags, Origin, Usage};
