//! Period: the time that a limit is for, and the part of a rolling window that a moment falls into.

use crate::error::{Error, Kind, Result};
use crate::id::Micros;

pub(super) const DAY: Micros = 86_400_000_000;
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
            Self::Month => month(at),
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

/// Begin and end of the month of `at`, by the usual arithmetic of the civil calendar.
fn month(at: Micros) -> (Micros, Option<Micros>) {
    // Days since 0000-03-01; years begin in March, so that leap days come last.
    let days = at / DAY + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let year = era * 400 + year_of_era;
    let first = |year: u64, month: u64| {
        let (era, of_era) = (year / 400, year % 400);
        (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5).saturating_sub(719_468) * DAY
    };
    let next = if month == 11 { (year + 1, 0) } else { (year, month + 1) };
    (first(year, month), Some(first(next.0, next.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        let second = 1_000_000;
        for (at, begin, end) in [
            (0, 0, 2_678_400),                             // January 1970
            (951_782_400, 949_363_200, 951_868_800),       // 2000-02-29
            (1_767_225_599, 1_764_547_200, 1_767_225_600), // the last second of 2025
            (1_767_225_600, 1_767_225_600, 1_769_904_000), // the first of 2026
            (4_107_542_399, 4_105_123_200, 4_107_542_400), // February 2100 has no leap day
        ] {
            assert_eq!(month(at * second), (begin * second, Some(end * second)), "{at}");
        }
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in ["", "0h", "h", "1y", "-1h", "999999d", "1"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
    }
}
