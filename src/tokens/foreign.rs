//! Letters, marks and symbols that are not ASCII in a block of [`super::mask`]: the scripts with spaces between words, and
//! general punctuation.

#![allow(clippy::indexing_slicing)] // bit positions are below 64, classes are bits of a byte

use std::hint::select_unpredictable;

use super::class;
use super::mask::{BLOCK, Masks, range};

/// Whether text with these bytes in front may have a whole block of pieces: what is not ASCII starts like something that
/// [`add`] knows.
#[inline]
pub(super) fn pays(start: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(start);
    let high = word & 0x8080_8080_8080_8080;
    let foreign = word >> (high.trailing_zeros() & 0x38);
    let second = (foreign >> 8) as u8;
    high == 0
        || match foreign as u8 {
            0xC2..0xE0 => true,
            0xE0 => second < 0xB8,
            0xE1 => second & 0xFC == 0xB8,
            0xE2 => second == 0x80,
            _ => false,
        }
}

/// What is known of characters that are not ASCII.
#[derive(Default)]
pub(super) struct Foreign {
    /// Where the patterns see it otherwise than [`super::mask::starts`].
    pub(super) odd: u64,
    /// First bytes of symbols that have two bytes, and of those that have three.
    pub(super) twos: u64,
    pub(super) threes: u64,
}

/// The bytes of characters that are not ASCII.
struct Characters {
    upper: u64,
    lower: u64,
    /// Letters without case.
    plain: u64,
    mark: u64,
    symbol: u64,
    /// First bytes of marks.
    marks: u64,
    /// First bytes of marks and symbols that have two bytes, and of those that have three.
    twos: u64,
    threes: u64,
}

impl Characters {
    /// The letters and marks of the script of the first character that is not ASCII, if it is one of those that are
    /// written with little else: of Western Europe, Cyrillic, Arabic, Devanagari, Hebrew, Greek.
    #[inline]
    fn of_script(block: &[u8; BLOCK], first: usize) -> Self {
        let range = |low, high| range(block, low, high);
        let is = |byte| range(byte, byte);
        // Last bytes of upper case, of lower case, of letters without case, of marks.
        let (mut upper, mut lower, mut plain, mut mark) = (0, 0, 0, 0);
        let mut width = 2;
        match block[first] {
            0xC3 => {
                let latin = is(0xC3) << 1;
                upper = latin & range(0x80, 0x9E) & !is(0x97);
                lower = latin & range(0x9F, 0xBF) & !is(0xB7);
            }
            0xCE | 0xCF => {
                let (first, second) = (is(0xCE) << 1, is(0xCF) << 1);
                upper = first & range(0x91, 0xAB) & !is(0xA2);
                lower = first & range(0xAC, 0xBF) | second & range(0x80, 0x8E);
            }
            0xD0 | 0xD1 => {
                let (first, second, high) = (is(0xD0) << 1, is(0xD1) << 1, range(0xB0, 0xBF));
                upper = first & !high;
                lower = first & high | second & range(0x80, 0x9F);
            }
            0xD6 | 0xD7 => {
                plain = is(0xD7) << 1 & range(0x90, 0xAA);
                mark = is(0xD6) << 1 & range(0x91, 0xBD);
            }
            0xD8..=0xDB => {
                let (second, third, fourth) = (is(0xD9) << 1, is(0xDA) << 1, is(0xDB) << 1);
                plain = is(0xD8) << 1 & range(0xA0, 0xBF)
                    | second & (range(0x80, 0x8A) | range(0xB1, 0xBF))
                    | third
                    | fourth & range(0x80, 0x93);
                mark = second & range(0x8B, 0x9F);
            }
            0xE0 if matches!(block.get(first + 1), Some(0xA4 | 0xA5)) => {
                let start = is(0xE0) << 1;
                let (first, second) = ((start & is(0xA4)) << 1, (start & is(0xA5)) << 1);
                plain = first & (range(0x84, 0xB9) | is(0xBD)) | second & (is(0x90) | range(0x98, 0xA1));
                mark = (first | second & range(0x80, 0xA3)) & !plain;
                width = 3;
            }
            _ => {}
        }
        let whole = |last: u64| last | last >> 1 | last >> (width - 1);
        let marks = mark >> (width - 1);
        let (twos, threes) = if width == 2 { (marks, 0) } else { (0, marks) };
        let (upper, lower, plain, mark) = (whole(upper), whole(lower), whole(plain), whole(mark));
        Self { upper, lower, plain, mark, symbol: 0, marks, twos, threes }
    }

    fn all(&self) -> u64 {
        self.upper | self.lower | self.plain | self.mark | self.symbol
    }

    /// Adds the characters of two or three bytes with these first bytes, one after another, up to one of another script.
    #[inline]
    fn add(&mut self, block: &[u8; BLOCK], mut firsts: u64) {
        // First bytes by the bit of their class.
        let mut kinds = [0_u64; 8];
        while firsts != 0 {
            let at = firsts.trailing_zeros() as usize;
            let Some(&[first, second, third]) = block.get(at..).and_then(<[u8]>::first_chunk) else { break };
            let two = usize::from(first & 0x1F) << 6 | usize::from(second & 0x3F);
            let three = (two & 0x3FF) << 6 | usize::from(third & 0x3F);
            let code = select_unpredictable(first < 0xE0, two, three);
            let class = match code {
                // The long s is an s to contractions.
                0x17F => break,
                0..class::SPACED => class::SMALL[code],
                0x1E00..0x1F00 | 0x2000..0x2040 => class::of(code as u32),
                _ => break,
            };
            kinds[class.trailing_zeros() as usize & 7] |= 1 << at;
            firsts &= firsts - 1;
        }
        let threes = range(block, 0xE0, 0xEF);
        let [upper, lower, plain, mark, .., symbol] = kinds;
        let whole = |first: u64| first | first << 1 | (first & threes) << 2;
        self.upper |= whole(upper);
        self.lower |= whole(lower);
        self.plain |= whole(plain);
        self.mark |= whole(mark);
        self.symbol |= whole(symbol);
        self.marks |= mark;
        self.twos |= (mark | symbol) & !threes;
        self.threes |= (mark | symbol) & threes;
    }
}

/// Takes letters that are not ASCII for what ASCII letters are. Letters without case count as lower case. Marks belong to
/// words if there is case, else they are symbols.
#[inline]
pub(super) fn add<const CASED: bool>(block: &[u8; BLOCK], mut masks: Masks) -> (Masks, Foreign) {
    let mut found = Characters::of_script(block, masks.high.trailing_zeros() as usize & (BLOCK - 1));
    // The end of the block may break the last one.
    let left = masks.high & !found.all() & u64::MAX >> 2;
    if left != 0 {
        found.add(block, left & range(block, 0xC0, 0xEF));
    }
    masks.high &= !found.all();
    let Characters { upper, lower, plain, mark, marks, twos, threes, .. } = found;
    masks.letter |= upper | lower | plain;
    masks.lower |= lower | plain;
    if !CASED {
        return (masks, Foreign { odd: 0, twos, threes });
    }
    masks.letter |= mark;
    masks.lower |= mark;
    // A mark that does not follow a letter may be a symbol; upper case goes on with what has no case.
    let odd = marks & !(masks.letter << 1) | masks.letter & !masks.lower & (plain | mark) << 1;
    (masks, Foreign { odd, twos: twos & !marks, threes: threes & !marks })
}
