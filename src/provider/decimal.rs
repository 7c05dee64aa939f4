//! Decimal: an exact, non-negative decimal number, for money and seconds as providers write them.

use std::fmt;

/// `digits` times ten to the power of minus `scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u128,
    scale: u32,
}

/// More decimal places than anybody states.
const MOST_SCALE: u32 = 30;

impl Decimal {
    /// `digits` times ten to the power of minus `scale`.
    pub(crate) fn new(digits: u128, scale: u32) -> Option<Self> {
        (scale <= MOST_SCALE).then_some(Self { digits, scale }.short())
    }

    /// Reads a number as JSON and Python write it, exponent allowed. `None` if it is negative or would lose a digit.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (mut digits, mut scale) = (0_u128, exponent.checked_neg()?);
        for (place, byte) in whole.bytes().chain(fraction.bytes()).enumerate() {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            digits = digits.checked_mul(10)?.checked_add(u128::from(digit))?;
            scale = scale.checked_add(i32::from(place >= whole.len()))?;
        }
        if digits == 0 {
            return Some(Self { digits: 0, scale: 0 });
        }
        while scale > 0 && digits % 10 == 0 {
            digits /= 10;
            scale -= 1;
        }
        if scale < 0 {
            digits = digits.checked_mul(10_u128.checked_pow(scale.unsigned_abs())?)?;
        }
        Self::new(digits, u32::try_from(scale.max(0)).ok()?)
    }

    /// The sum, if it can be told exactly.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        Self::new(self.at(scale)?.checked_add(other.at(scale)?)?, scale)
    }

    /// The number in units of ten to the power of minus `scale`, rounded down.
    pub(crate) fn floor(self, scale: u32) -> Option<u64> {
        let digits = match self.scale.checked_sub(scale) {
            Some(more) => self.digits / 10_u128.checked_pow(more)?,
            None => self.at(scale)?,
        };
        u64::try_from(digits).ok()
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// The number, if it is a whole one.
    pub(crate) fn whole(self) -> Option<u64> {
        (self.scale == 0).then(|| u64::try_from(self.digits).ok())?
    }

    fn at(self, scale: u32) -> Option<u128> {
        self.digits.checked_mul(10_u128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    fn short(mut self) -> Self {
        while self.scale > 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.scale -= 1;
        }
        self
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u128.pow(self.scale);
        write!(f, "{}", self.digits / one)?;
        if self.scale > 0 {
            write!(f, ".{:0width$}", self.digits % one, width = self.scale as usize)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_providers_state() {
        for (text, written) in [
            ("0", "0"),
            ("0.0", "0"),
            ("0.00014", "0.00014"),
            ("1.4e-05", "0.000014"),
            ("1E2", "100"),
            ("12.500", "12.5"),
            (".5", "0.5"),
            ("0e-400", "0"),
            ("0.123456789012345678901234567890", "0.12345678901234567890123456789"),
        ] {
            assert_eq!(Decimal::read(text).map(|d| d.to_string()).as_deref(), Some(written), "{text}");
        }
        for text in ["", ".", "-1", "1.2.3", "NaN", "Infinity", "1e400", "1e-400", "1e", "true", "0x1"] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn adds_exactly() {
        let sum = |a, b| Some(Decimal::read(a)?.plus(Decimal::read(b)?)?.to_string());
        assert_eq!(sum("0.1", "0.2").as_deref(), Some("0.3"));
        assert_eq!(sum("0.95", "0.05").as_deref(), Some("1"));
        assert_eq!(sum("340282366920938463463374607431768211455", "1"), None);
    }
}
