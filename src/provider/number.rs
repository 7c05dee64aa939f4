//! Number: what providers write where a count belongs.

use super::decimal::Decimal;

/// A count as somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// A count.
    Count(u64),
    /// Nothing: null, or no text at all.
    Null,
    /// Something that counts nothing: negative, broken, a truth value, too large.
    Bad,
}

impl Number {
    /// Reads a JSON scalar, or the text inside a JSON string. A number with a fraction of zero is a count.
    #[inline]
    pub(crate) fn read(text: &[u8]) -> Self {
        let mut count = 0_u64;
        if text.is_empty() || text.len() > 19 {
            return Self::read_rare(text);
        }
        for byte in text {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return Self::read_rare(text);
            }
            count = count * 10 + u64::from(digit); // 19 digits fit
        }
        Self::Count(count)
    }

    #[cold]
    fn read_rare(text: &[u8]) -> Self {
        let text = text.trim_ascii();
        if text.is_empty() || text == b"null" {
            return Self::Null;
        }
        let Ok(text) = std::str::from_utf8(text) else { return Self::Bad };
        if let Ok(count) = text.parse::<u64>() {
            return Self::Count(count);
        }
        Decimal::read(text).and_then(Decimal::whole).map_or(Self::Bad, Self::Count)
    }

    #[cfg(feature = "python")]
    /// Takes a float that Python or a codec made of a count.
    pub(crate) fn from_float(float: f64) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::float_cmp)] // checked on this line
        if float.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&float) {
            Self::Count(float as u64)
        } else {
            Self::Bad
        }
    }
}
