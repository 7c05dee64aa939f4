//! ragmeter counts every token that a RAG stack pays for, once, and says who spent it.
//!
//! A provider's answer travels one way only:
//!
//! ```text
//! answer ──► Usage ──► Call ──► Meter ──► Runs
//! ```
//!
//! * [`Usage`] is what one call cost: inclusive totals and their subsets, unknown is `None`.
//! * [`Unit`] is the registry of everything that is counted, and of its name at every door.
//!
//! Python sees this crate as `ragmeter._native` (feature `python`); nothing outside `src/py/` knows Python.

pub mod unit;
pub mod usage;

#[cfg(feature = "python")]
mod py;

pub use unit::Unit;
pub use usage::{Counts, Flag, Flags, Origin, Usage};
