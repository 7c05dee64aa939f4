//! Period: the time that a limit is for, and the part of a rolling window that a moment falls into.

use crate::calendar::{DAY, month};
use crate::error::{Error, Kind, Result};
use crate::id::Micros;

/// A rolling window is remembered in so many parts.
const PARTS: Micros = 60;

/// The time that a limit is for. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Each day.
    Day,
    /// Each month.
    Month,
    /// The time before now, so many microseconds long; at least as long, at most a sixtieth longer.
    Rolling(Micros),
    /// For ever.
    Total,
}

impl Period {
    /// Reads `day`, `month`, `total`, or a rolling window such as `60s`, `90m`, `24h` and `30d`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong =
            || Error::new(Kind::Invalid, format!("a period is 'day', 'month', 'total' or such as '24h', not '{text}'"));
        match text {
            "day" => return Ok(Self::Day),
            "month" => return Ok(Self::Month),
            "total" => return Ok(Self::Total),
            _ => {}
        }
        let unit = match text.chars().next_back() {
            Some('s') => 1_000_000,
            Some('m') => 60_000_000,
            Some('h') => 3_600_000_000,
            Some('d') => DAY,
            _ => return Err(wrong()),
        };
        let count: Micros = text.get(..text.len() - 1).and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        let long = count.checked_mul(unit).filter(|long| (1..=3_660 * DAY).contains(long)).ok_or_else(wrong)?;
        Ok(Self::Rolling(long))
    }

    /// The text that [`Period::parse`] reads.
    pub fn text(self) -> String {
        match self {
            Self::Day => "day".to_owned(),
            Self::Month => "month".to_owned(),
            Self::Total => "total".to_owned(),
            Self::Rolling(long) => format!("{}s", long / 1_000_000),
        }
    }

    /// Begin and end of the time that `at` belongs to; a rolling window has neither.
    pub(super) fn window(self, at: Micros) -> (Micros, Option<Micros>) {
        match self {
            Self::Day => (at - at % DAY, Some(at - at % DAY + DAY)),
            Self::Month => {
                let (begin, end) = month(at);
                (begin, Some(end))
            }
            Self::Rolling(_) | Self::Total => (0, None),
        }
    }

    /// How long after its last use, or after its beginning, a counter may be forgotten; `None` for never. There is time
    /// left for calls that began in it.
    pub(super) const fn kept(self) -> Option<Micros> {
        match self {
            Self::Day => Some(3 * DAY),
            Self::Month => Some(33 * DAY),
            Self::Rolling(long) => Some(2 * long + 2 * DAY),
            Self::Total => None,
        }
    }

    /// The part of a rolling window that `at` falls into.
    pub(super) fn part(self, at: Micros) -> Option<Rolling> {
        let Self::Rolling(long) = self else { return None };
        let width = (long / PARTS).max(1);
        Some(Rolling { part: at - at % width, gone: (at - at % width).saturating_sub(long), long, width })
    }
}

/// A moment in a rolling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rolling {
    /// Where the part begins that is being written.
    pub(super) part: Micros,
    /// Parts that begin before this are over.
    pub(super) gone: Micros,
    long: Micros,
    width: Micros,
}

impl Rolling {
    /// When the part that begins at `part` is over.
    pub(super) fn over_at(self, part: Micros) -> Micros {
        part + self.long + self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_period_is_refused() {
        for text in ["", "0h", "h", "1y", "-1h", "999999d", "1"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }
}
