//! Finds the pieces of ASCII text 64 bytes at a time: a bit for each byte, one mask for each class.

#![allow(clippy::indexing_slicing)] // blocks have 64 bytes, bit positions are below 64

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
    let Masks { letter, lower, digit, space, newline, white, quote, high } = masks;
    let symbol = !(letter | digit | white | high);
    let mut limit = len.min(high.trailing_zeros() as usize).min(BLOCK);
    let stopped = limit < BLOCK;

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
    starts |= letter_start & !(inline << 1) & !(symbol_start << 1);
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
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Masks, portable};

    #[test]
    fn every_byte_has_the_same_class_on_every_processor() {
        for byte in 0..=255 {
            for at in 0..BLOCK {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                assert_eq!(Masks::of(&block), portable::masks(&block), "byte {byte} at {at}");
            }
        }
    }
}
