//! What is skipped: objects and arrays that mean nothing. Only brackets of their own sort are counted.

use memchr::memchr3;

use super::lanes::{BLOCK, marks};
use super::{Scanner, State};

/// Where the look at blocks has stopped.
enum Look {
    /// Behind the bracket that ends what is skipped.
    Ended(usize),
    /// At what blocks are no good for, outside of a text.
    Outside(usize),
    /// The same inside a text.
    Inside(usize),
}

impl Scanner {
    /// Position behind the bracket that ends what is skipped.
    pub(super) fn end_of_nest(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let mut inside = false;
            match self.look(bytes, at) {
                Look::Ended(end) => return Some(end),
                Look::Outside(next) => at = next,
                Look::Inside(next) => (at, inside) = (next, true),
            }
            if !inside {
                at += memchr3(b'"', self.open, self.close, bytes.get(at..)?)?;
                let byte = *bytes.get(at)?;
                at += 1;
                if byte == self.open {
                    self.nest = self.nest.saturating_add(1);
                } else if byte == self.close {
                    self.nest -= 1;
                    if self.nest == 0 {
                        return Some(at);
                    }
                } else {
                    inside = true;
                }
            }
            if inside {
                let Some(end) = self.end_of_text(bytes, at) else {
                    self.state = State::SkipNestText;
                    return None;
                };
                at = end;
            }
        }
    }

    /// Looks at one block after the other, as long as there is something to see in each of them. `at` is outside of a
    /// text.
    fn look(&mut self, bytes: &[u8], mut at: usize) -> Look {
        // All bits set inside of a text; the first byte of the next block is escaped.
        let (mut inside, mut escape) = (0_u64, 0_u64);
        while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
            let [quotes, slashes, opens, closes] = marks(block, [b'"', b'\\', self.open, self.close]);
            if quotes | (opens | closes) & !inside == 0 {
                break;
            }
            let (escaped, next_escape) = if slashes == 0 { (escape, 0) } else { escapes(slashes, escape) };
            let quotes = quotes & !escaped;
            let texts = up_to(quotes) ^ inside;
            if slashes & !texts != 0 {
                break; // nothing is escaped outside of a text
            }
            let (mut opens, mut closes) = (opens & !texts, closes & !texts);
            if u64::from(closes.count_ones()) < self.nest {
                self.nest = self.nest.saturating_add(u64::from(opens.count_ones())) - u64::from(closes.count_ones());
            } else {
                while closes != 0 {
                    let close = closes.trailing_zeros();
                    let before = opens & ((1 << close) - 1);
                    self.nest = self.nest.saturating_add(u64::from(before.count_ones())) - 1;
                    if self.nest == 0 {
                        return Look::Ended(at + close as usize + 1);
                    }
                    opens ^= before;
                    closes &= closes - 1;
                }
                self.nest = self.nest.saturating_add(u64::from(opens.count_ones()));
            }
            (inside, escape) = (0_u64.wrapping_sub(texts >> 63), next_escape);
            at += BLOCK;
        }
        if inside == 0 {
            return Look::Outside(at);
        }
        self.escape = escape != 0;
        Look::Inside(at)
    }
}

/// The bytes that are escaped, given where backslashes are and whether the first byte is escaped itself; and whether
/// the first byte behind the block is.
#[inline]
fn escapes(slashes: u64, escape: u64) -> (u64, u64) {
    // In a run of backslashes every second one is escaped, and what follows a run of odd length.
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let slashes = slashes & !escape;
    let follows = slashes << 1 | escape;
    let odd_starts = slashes & ODD & !follows;
    let (carried, over) = odd_starts.overflowing_add(slashes);
    let invert = carried << 1;
    let escaped = (!ODD ^ invert) & follows;
    (escaped, u64::from(over))
}

/// Every bit up to which an odd number of `bits` is set: inside of texts, from the quote that begins one to the byte
/// before the quote that ends it.
#[inline]
const fn up_to(mut bits: u64) -> u64 {
    let mut shift = 1;
    while shift < 64 {
        bits ^= bits << shift;
        shift *= 2;
    }
    bits
}
