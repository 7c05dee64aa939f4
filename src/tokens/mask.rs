//! Finds the pieces of text 64 bytes at a time: a bit for each byte, one mask for each class.

#![allow(clippy::indexing_slicing)] // blocks have 64 bytes, bit positions are below 64

use super::foreign::{self, Foreign};

/// Bytes in a block.
pub(super) const BLOCK: usize = 64;

/// Which bytes of a block belong to which class; bit 0 is the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) letter: u64,
    pub(super) lower: u64,
    pub(super) digit: u64,
    pub(super) space: u64,
    pub(super) newline: u64,
    pub(super) white: u64,
    pub(super) quote: u64,
    pub(super) high: u64,
}

impl Masks {
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        super::sse2::masks(block)
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        portable::masks(block)
    }
}

/// The bytes of a block from `low` to `high`.
#[inline]
pub(super) fn range(block: &[u8; BLOCK], low: u8, high: u8) -> u64 {
    #[cfg(target_arch = "x86_64")]
    return super::sse2::range(block, low, high);
    #[cfg(not(target_arch = "x86_64"))]
    portable::range(block, low, high)
}

/// Where pieces start in a block that starts with one.
pub(super) struct Starts {
    /// A bit for each start behind the first. The last of them, or bit 0 if there is none, starts a piece that goes on
    /// behind what is known.
    pub(super) bits: u64,
    /// The block ends before 64 bytes at something that only the scanner decides.
    pub(super) stopped: bool,
}

/// The starts in `block`, of which `len` bytes are text; `CASED` for `o200k_base`, else `cl100k_base`.
#[inline]
pub(super) fn starts<const CASED: bool>(block: &[u8; BLOCK], len: usize) -> Starts {
    let masks = Masks::of(block);
    let (masks, foreign) =
        if masks.high == 0 { (masks, Foreign::default()) } else { foreign::add::<CASED>(block, masks) };
    let Masks { letter, lower, digit, space, newline, white, quote, high } = masks;
    let symbol = !(letter | digit | white | high);
    let mut limit = len.min((high | foreign.odd).trailing_zeros() as usize).min(BLOCK);
    // A character that the end of the block breaks is whole in the next one.
    let stopped = limit + 2 < BLOCK;

    // Symbols take one space before them and all newlines behind them.
    let symbol_start = symbol & !(symbol << 1) & !(space << 1);
    let behind_symbol = newline & symbol << 1;
    let swallowed = if behind_symbol == 0 {
        0
    } else {
        let carried = newline.wrapping_add(behind_symbol);
        if CASED {
            // `[\r\n/]*`: a slash behind such newlines is the scanner's.
            for end in bits(carried & !newline & symbol) {
                if block[end] == b'/' {
                    limit = limit.min(end);
                }
            }
        }
        (newline ^ carried) & newline
    };

    let free = white & !swallowed;
    let mut starts = symbol_start | free & !(free << 1);
    let inline = white & !newline;
    // The last white space before something else belongs to what follows.
    starts |= inline & !(white >> 1);
    let behind_newline = inline & newline << 1;
    if behind_newline != 0 {
        starts |= last_newlines(inline, newline & free, behind_newline & free << 1);
    }

    let letter_start = letter & !(letter << 1);
    let behind_symbol_start =
        symbol_start << 1 | (symbol_start & foreign.twos) << 2 | (symbol_start & foreign.threes) << 3;
    starts |= letter_start & !(inline << 1) & !behind_symbol_start;
    if CASED {
        starts |= letter & !lower & lower << 1;
    }

    starts |= digit & !(digit << 1);
    let third = digit & digit << 1 & digit << 2;
    if third & digit << 3 != 0 {
        starts |= every_third(digit & !(digit << 1), third);
    }

    let quoted = quote & letter >> 1 & if CASED { letter << 1 } else { symbol_start };
    if quoted != 0 {
        contractions::<CASED>(block, quoted, &mut starts, &mut limit);
    }
    if CASED && limit > 1 && (quote & letter << 1) >> (limit - 1) & 1 != 0 {
        // What follows the limit may turn a quote behind a letter into a contraction.
        limit -= 1;
    }

    // White space that reaches the limit is decided by what follows it; only its start is known.
    if limit > 0 {
        let reaching = (!(white << (BLOCK - limit))).leading_zeros() as usize;
        if reaching > 0 {
            limit = limit.saturating_sub(reaching) + 1;
        }
    }
    let known = if limit >= BLOCK { u64::MAX } else { (1 << limit) - 1 };
    Starts { bits: starts & known & !1, stopped }
}

/// Starts behind the last newline of a run of white space: `\s*[\r\n]+`.
#[inline]
fn last_newlines(inline: u64, newline: u64, behind_newline: u64) -> u64 {
    let ends = inline.wrapping_add(behind_newline) & !inline;
    let mut starts = behind_newline;
    for end in bits(ends & newline) {
        // This run of spaces has a newline on both sides: the piece goes on.
        let run = (!(inline << (BLOCK - end))).leading_zeros() as usize;
        starts &= !(1 << (end - run));
    }
    starts
}

/// Every third digit of each run.
#[cold]
fn every_third(mut starts: u64, third: u64) -> u64 {
    let (mut step, mut chain) = (3, third);
    while step < BLOCK {
        starts |= starts << step & chain;
        chain &= chain << step;
        step *= 2;
    }
    starts
}

/// `'(s|t|re|ve|m|ll|d)` at each of `quoted`.
#[inline]
fn contractions<const CASED: bool>(block: &[u8; BLOCK], quoted: u64, starts: &mut u64, limit: &mut usize) {
    let mut last_end = 0;
    for at in bits(quoted) {
        if at >= *limit || CASED && at == last_end && at > 0 {
            continue;
        }
        if at + 2 >= *limit {
            *limit = at + usize::from(!CASED);
            return;
        }
        let end = match (block[at + 1] | 0x20, block[at + 2] | 0x20) {
            (b's' | b'd' | b'm' | b't', _) => at + 2,
            (b'l', b'l') | (b'v' | b'r', b'e') => at + 3,
            _ => continue,
        };
        let inside = (1_u64 << (end - at)).wrapping_sub(1) << at;
        *starts &= !(if CASED { inside } else { inside & !(1 << at) });
        if end < BLOCK {
            *starts |= 1 << end;
        }
        last_end = end;
    }
}

/// Positions of the bits of a mask.
#[inline]
fn bits(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let at = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            at
        })
    })
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{BLOCK, Masks};

    const LETTER: u8 = 1;
    const LOWER: u8 = 2;
    const DIGIT: u8 = 4;
    const SPACE: u8 = 8;
    const NEWLINE: u8 = 16;
    const WHITE: u8 = 32;
    const QUOTE: u8 = 64;
    const HIGH: u8 = 128;

    static FLAGS: [u8; 256] = {
        let mut flags = [HIGH; 256];
        let mut byte = 0;
        while byte < 128 {
            flags[byte] = match byte as u8 {
                b'a'..=b'z' => LETTER | LOWER,
                b'A'..=b'Z' => LETTER,
                b'0'..=b'9' => DIGIT,
                b' ' => SPACE | WHITE,
                b'\r' | b'\n' => NEWLINE | WHITE,
                b'\t' | 0x0B | 0x0C => WHITE,
                b'\'' => QUOTE,
                _ => 0,
            };
            byte += 1;
        }
        flags
    };

    #[inline]
    pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
        let mut planes = [0_u64; 8];
        let (chunks, _) = block.as_chunks::<8>();
        for (i, chunk) in chunks.iter().enumerate() {
            let flags = u64::from_le_bytes(chunk.map(|byte| FLAGS[usize::from(byte)]));
            for (flag, plane) in planes.iter_mut().enumerate() {
                // Gathers one bit of each byte in the top byte.
                let bits = (flags >> flag & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                *plane |= bits << (i * 8);
            }
        }
        let [letter, lower, digit, space, newline, white, quote, high] = planes;
        Masks { letter, lower, digit, space, newline, white, quote, high }
    }

    #[inline]
    pub(super) fn range(block: &[u8; BLOCK], low: u8, high: u8) -> u64 {
        block.iter().rev().fold(0, |mask, byte| mask << 1 | u64::from((low..=high).contains(byte)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::scan::{Cl100k, O200k, Pattern};
    use super::{BLOCK, Masks, portable, range, starts};

    #[test]
    fn every_byte_has_the_same_class_on_every_processor() {
        for byte in 0..=255 {
            for at in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                assert_eq!(Masks::of(&block), portable::masks(&block), "byte {byte} at {at}");
                for low in [byte.saturating_sub(1), byte, 0x80] {
                    for high in [byte, byte.saturating_add(1), 0xBF] {
                        let mask = portable::range(&block, low, high);
                        assert!(low > high || range(&block, low, high) == mask, "{byte} in {low}..={high}");
                    }
                }
            }
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[a-zA-Z]",
            "[\u{a0}-ÿ]",
            "[‐-‾]",
            "[Ā-ɏ]",
            "[Ͱ-Ͽ]",
            "[Ѐ-ҁ]",
            "[א-ת\u{590}-\u{5c7}]",
            "[ء-٫]",
            "[ء-ۿ]",
            "[ऀ-ॿ]",
            "[ঀ-෿]",
            "[Ḁ-ỿ]",
            "[\u{2000}-\u{203f}]",
            "[ \n'.,/(0-9]",
            "[عббЖaA'’ ]",
            "'(s|ll|LL)"
        ];
        let same = prop_oneof![
            "[a-zA-Z\u{a0}-ÿ '.‘-”\n]",
            "[a-zÀ-ɏḀ-ỿ '.‘-”]",
            "[Α-ώa '.«»–]",
            "[Ѐ-ҁa '.«»–\n]",
            "[א-ת\u{591}-\u{5bd}a '.]",
            "[ء-٫aA '.]",
            "[ء-ۓa \u{200c}'.]",
            "[ऀ-ॿaA '।.]",
            "[ঀ-\u{9ff}aA '.]",
            "[\u{b80}-\u{c7f}aA '.]"
        ];
        prop_oneof![prop::collection::vec(word, 1..64), prop::collection::vec(same, 1..64)].prop_map(|all| all.concat())
    }

    /// Compares the starts in the first block with the scanner's.
    fn check<const CASED: bool, P: Pattern>(text: &str) -> Result<(), TestCaseError> {
        let bytes = text.as_bytes();
        let mut block = [0; BLOCK];
        for (to, from) in block.iter_mut().zip(bytes) {
            *to = *from;
        }
        let found = starts::<CASED>(&block, bytes.len().min(BLOCK)).bits;
        let (mut expected, mut at) = (0_u64, 0);
        while at < bytes.len().min(BLOCK) {
            expected |= 1 << at;
            at = P::piece(&bytes, at);
        }
        let known = u64::MAX.checked_shr(found.leading_zeros()).unwrap_or(0) & !1;
        prop_assert_eq!(found, expected & known, "{:?}", text);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn pieces_start_where_the_scanner_has_them(text in text()) {
            check::<true, O200k>(&text)?;
            check::<false, Cl100k>(&text)?;
        }
    }

    #[test]
    fn every_letter_is_one_to_the_scanner_too() -> Result<(), TestCaseError> {
        for code in (0x80..0x3000).filter_map(char::from_u32) {
            for text in [
                format!("a{code}b A{code}B"),
                format!("é{code}д {code}я{code} ж"),
                format!("ا{code} क{code}A{code}b"),
                format!("ב{code} λ{code}Λ 's{code} 'ক{code} ế{code}\n"),
                format!("-{code}ক.{code}\n“{code}b” {code}'s"),
            ] {
                check::<true, O200k>(&text)?;
                check::<false, Cl100k>(&text)?;
            }
        }
        Ok(())
    }
}
