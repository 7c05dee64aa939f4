//! Money: amounts of dollars, exact.

/// Digits of a dollar that money is kept to: picodollars.
const MONEY_DIGITS: usize = 12;

/// The largest amount that one call is believed to cost, so that no sum of a ledger overflows.
const MOST_COST: i64 = 10_000_000_000_000_000;

/// A decimal number of dollars in picodollars; further digits are rounded half up. `None` for what is no amount, or one
/// of more than ten thousand dollars.
pub(crate) fn picodollars(text: &str) -> Option<i64> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all: String = [whole, fraction].concat();
    if all.is_empty() || all.len() > 60 || !all.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The number is 0.<all> times ten to the power of `shift`; its first `shift + 12` digits are picodollars.
    let shift = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let keep = shift.checked_add(i32::try_from(MONEY_DIGITS).ok()?)?;
    if keep > 64 {
        return all.bytes().all(|digit| digit == b'0').then_some(0);
    }
    let mut amount = 0_i128;
    for at in 0..keep.max(0) {
        let digit = usize::try_from(at).ok().and_then(|at| all.as_bytes().get(at)).map_or(0, |digit| digit - b'0');
        amount = amount.checked_mul(10)?.checked_add(i128::from(digit))?;
    }
    let next = usize::try_from(keep).ok().and_then(|at| all.as_bytes().get(at));
    if next.is_some_and(|digit| *digit >= b'5') {
        amount += 1;
    }
    let amount = i64::try_from(if negative { -amount } else { amount }).ok()?;
    (amount.abs() <= MOST_COST).then_some(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_exact() {
        for (text, amount) in [
            ("0", Some(0)),
            ("1", Some(1_000_000_000_000)),
            ("0.0012", Some(1_200_000_000)),
            ("1.5e-7", Some(150_000)),
            ("12E2", Some(1_200_000_000_000_000)),
            ("0.0000000000004", Some(0)),
            ("0.0000000000005", Some(1)),
            ("-0.5", Some(-500_000_000_000)),
            ("", None),
            (".", None),
            ("1e99", None),
            ("NaN", None),
            ("10000", Some(10_000_000_000_000_000)),
            ("10000.01", None),
            ("99999999999999", None),
        ] {
            assert_eq!(picodollars(text), amount, "{text}");
        }
    }
}
