//! Ids of calls and runs: UUIDv7, so that they sort by time, made without a system call or an allocation.
//!
//! Layout (RFC 9562, section 6.2, methods 1 and 3): 48 bits of milliseconds, 12 bits of the fraction of a
//! millisecond, 32 bits drawn once per process, 30 bits of a counter.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 in UTC.
pub type Micros = u64;

/// A UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u128);

static COUNTER: AtomicU32 = AtomicU32::new(0);
/// 0 until the first id is made; then `1 << 32` plus 32 random bits.
static PROCESS: AtomicU64 = AtomicU64::new(0);

/// The time now.
pub fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Draws the bits of this process again. A forked child has its parent's bits and counter and must call this before
/// it makes an id.
pub fn reseed() {
    let drawn = RandomState::new().hash_one((std::process::id(), now()));
    PROCESS.store(1 << 32 | drawn & 0xffff_ffff, Ordering::Relaxed);
}

impl Id {
    /// A new id of something that happened at `at`.
    pub fn new(at: Micros) -> Self {
        if PROCESS.load(Ordering::Relaxed) == 0 {
            reseed();
        }
        let process = u128::from(PROCESS.load(Ordering::Relaxed) & 0xffff_ffff);
        let counter = u128::from(COUNTER.fetch_add(1, Ordering::Relaxed) & 0x3fff_ffff);
        let milliseconds = u128::from(at / 1000) & 0xffff_ffff_ffff;
        let fraction = u128::from(at % 1000 * 4096 / 1000);
        Self(milliseconds << 80 | 7 << 76 | fraction << 64 | 0b10 << 62 | process << 30 | counter)
    }

    /// When that was, to less than a microsecond.
    pub const fn at(self) -> Micros {
        let (milliseconds, fraction) = (self.0 >> 80, self.0 >> 64 & 0xfff);
        // No more than 48 bits and 12 bits.
        #[allow(clippy::cast_possible_truncation)]
        {
            milliseconds as u64 * 1000 + (fraction as u64 * 1000).div_ceil(4096)
        }
    }

    /// Reads the 36 characters that `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let dashes = [8, 13, 18, 23];
        let well_formed = text.len() == 36 && text.bytes().enumerate().all(|(i, b)| (b == b'-') == dashes.contains(&i));
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        well_formed.then(|| u128::from_str_radix(&digits, 16).ok().map(Self))?
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0;
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            n >> 96,
            n >> 80 & 0xffff,
            n >> 64 & 0xffff,
            n >> 48 & 0xffff,
            n & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_sort_by_time_and_can_be_read_back() {
        let at = now();
        let ids: Vec<Id> = (0..10_000).map(|_| Id::new(at)).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| *id < Id::new(at + 1000)));
        for id in ids {
            assert_eq!(Id::parse(&id.to_string()), Some(id));
            assert_eq!((id.0 >> 76 & 0xf, id.0 >> 62 & 0b11), (7, 0b10), "version and variant");
        }
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in ["", "0", "018f-", "zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz", &"0".repeat(36), &"ü".repeat(18)] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }
}
