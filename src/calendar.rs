//! Calendar: days, months and dates in UTC.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil` and `civil_from_days`. Years
//! are reckoned from March on there, so that leap days come last.

use crate::id::Micros;

/// A day.
pub(crate) const DAY: Micros = 86_400_000_000;
/// Days from 0000-03-01 to 1970-01-01.
const BEFORE_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const ERA: u64 = 146_097;

/// A date; months and their days are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
}

impl Date {
    /// The date of a moment.
    pub(crate) fn of(at: Micros) -> Self {
        let days = at / DAY + BEFORE_1970;
        let (era, of_era) = (days / ERA, days % ERA);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: year + era * 400 + u64::from(month <= 2), month, day: of_year - (153 * from_march + 2) / 5 + 1 }
    }

    /// When the day begins; `None` before 1970.
    pub(crate) fn begin(self) -> Option<Micros> {
        let year = if self.month <= 2 { self.year.checked_sub(1)? } else { self.year };
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day.checked_sub(1)?;
        let days = (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(BEFORE_1970)?;
        Some(days * DAY)
    }
}

/// Begin and end of the month of `at`.
pub(crate) fn month(at: Micros) -> (Micros, Micros) {
    let day = at - at % DAY;
    let begin = day - (Date::of(at).day - 1) * DAY;
    // A month has at most 31 days, and any 32 days end in the next one.
    let in_next = begin.saturating_add(31 * DAY);
    (begin, in_next - (Date::of(in_next).day - 1) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;

    #[test]
    fn months_begin_and_end_where_the_calendar_says() {
        for (at, begin, end) in [
            (0, 0, 2_678_400),                             // January 1970
            (2_678_400, 2_678_400, 5_097_600),             // 1970-02-01
            (951_782_400, 949_363_200, 951_868_800),       // 2000-02-29
            (951_868_800, 951_868_800, 954_547_200),       // 2000-03-01
            (1_709_164_800, 1_706_745_600, 1_709_251_200), // 2024-02-29
            (1_767_225_599, 1_764_547_200, 1_767_225_600), // the last second of 2025
            (1_767_225_600, 1_767_225_600, 1_769_904_000), // the first of 2026
            (4_107_542_399, 4_105_123_200, 4_107_542_400), // February 2100 has no leap day
        ] {
            assert_eq!(month(at * SECOND), (begin * SECOND, end * SECOND), "{at}");
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_follows_the_one_before() {
        let mut before = Date { year: 1969, month: 12, day: 31 };
        for day in 0..365_243 {
            let date = Date::of(day * DAY + 17);
            let Date { year, month, day: of_month } = before;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = match (of_month < last, month < 12) {
                (true, _) => Date { day: of_month + 1, ..before },
                (false, true) => Date { month: month + 1, day: 1, ..before },
                (false, false) => Date { year: year + 1, month: 1, day: 1 },
            };
            assert_eq!((date, date.begin()), (next, Some(day * DAY)));
            before = date;
        }
        assert_eq!(before, Date { year: 2969, month: 12, day: 31 });
    }

    #[test]
    fn nothing_is_before_1970() {
        assert_eq!(Date { year: 1969, month: 12, day: 31 }.begin(), None);
        assert_eq!(Date { year: 0, month: 1, day: 1 }.begin(), None);
        assert_eq!(Date { year: 2000, month: 1, day: 0 }.begin(), None);
    }
}
