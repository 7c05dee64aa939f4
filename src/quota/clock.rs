//! Clock: the time where the sums are. Leases and days must mean the same to every process, whatever its own clock says;
//! so whoever keeps the sums is asked what time it is, and what has passed since then is counted on a clock that nobody
//! sets.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::error::Result;
use crate::id::{self, Micros};

/// How long an answer is good for: clocks drift apart by some microseconds a second.
const GOOD: Duration = Duration::from_secs(60);
/// By how much this machine's clock may have been set, or have stood still in its sleep, before it is asked again.
const JUMP: Micros = 1_000_000;

/// See the page. It shows this machine's time until it was set.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<Told>>);

#[derive(Clone, Copy, Debug)]
struct Told {
    micros: Micros,
    at: Instant,
    /// What this machine's clock said then.
    here: Micros,
}

impl Told {
    fn now(&self) -> Micros {
        self.micros.saturating_add(self.passed())
    }

    fn passed(&self) -> Micros {
        Micros::try_from(self.at.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    fn is_good(&self) -> bool {
        self.at.elapsed() < GOOD && self.here.saturating_add(self.passed()).abs_diff(id::now()) < JUMP
    }
}

impl Clock {
    /// The time now.
    pub(super) fn now(&self) -> Micros {
        lock(&self.0).as_ref().map_or_else(id::now, Told::now)
    }

    /// Asks for the time if that was not done lately.
    pub(super) fn set(&self, ask: impl FnOnce() -> Result<Micros>) -> Result<()> {
        if lock(&self.0).as_ref().is_some_and(Told::is_good) {
            return Ok(());
        }
        let before = Instant::now();
        let micros = ask()?;
        // It was that time somewhere between question and answer.
        let told = Told { micros, at: before + before.elapsed() / 2, here: id::now() };
        *lock(&self.0) = Some(told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn it_goes_on_from_what_it_was_told_and_asks_no_more_for_a_while() {
        let clock = Clock::default();
        assert!(clock.set(|| Err(Error::new(Kind::Unavailable, "away"))).is_err());
        clock.set(|| Ok(1_000_000)).unwrap();
        clock.set(|| panic!("it was asked just now")).unwrap();
        let (first, second) = (clock.now(), clock.now());
        assert!((1_000_000..60_000_000).contains(&first) && first <= second);
    }
}
