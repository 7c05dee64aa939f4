//! A piece of up to 15 bytes as two words: its bytes, least significant first, and its length above them.

#![allow(clippy::indexing_slicing)] // the tables of masks are filled by constants

use std::hint::select_unpredictable;

/// Longest piece that is a key.
pub(super) const LONGEST: usize = 15;
/// Longest key that is one word.
pub(super) const SHORTEST: usize = 7;
/// Where the length stands in the high word.
const LENGTH: u32 = 56;
/// Where there is room for a count above it.
const COUNT: u32 = 60;
/// The high word without a count.
const MASK: u64 = (1 << COUNT) - 1;
/// The bytes of each length, and the length.
static LOW: [u64; 16] = {
    let mut masks = [u64::MAX; 16];
    let mut length = 0;
    while length < 8 {
        masks[length] = (1 << (length * 8)) - 1;
        length += 1;
    }
    masks
};
static HIGH: [u64; 16] = {
    let mut masks = [0; 16];
    let mut length = 8;
    while length < 16 {
        masks[length] = (1 << ((length - 8) * 8)) - 1;
        length += 1;
    }
    masks
};

/// The bytes and the length of a piece; nothing at all for one that is empty or longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

impl Key {
    /// What no piece is.
    pub(super) const NONE: Self = Self { low: 0, high: 0 };

    /// The key of `text[start..end]`.
    #[inline]
    pub(super) fn of(text: &[u8], start: usize, end: usize) -> Self {
        let length = end.wrapping_sub(start);
        let (Some(&low), Some(&high)) = (LOW.get(length), HIGH.get(length)) else { return Self::NONE };
        let (words, _) = match text.get(start..).and_then(<[u8]>::first_chunk::<16>) {
            Some(window) => window.as_chunks::<8>(),
            None => return Self::at_end(text.get(start..end).unwrap_or_default()),
        };
        match words {
            [first, second] => Self {
                low: u64::from_le_bytes(*first) & low,
                high: u64::from_le_bytes(*second) & high | (length as u64) << LENGTH,
            },
            _ => Self::NONE,
        }
    }

    /// The same without a branch on the length, for texts in which it is anybody's guess which pieces are longer.
    #[inline]
    pub(super) fn of_any(text: &[u8], start: usize, end: usize) -> Self {
        let fits = end.wrapping_sub(start) <= LONGEST;
        let Some(window) = text.get(start..).and_then(<[u8]>::first_chunk::<16>) else {
            return Self::of(text, start, end);
        };
        let (length, both) = (end.wrapping_sub(start) & LONGEST, u128::from_le_bytes(*window));
        Self {
            low: select_unpredictable(fits, both as u64 & LOW[length], 0),
            high: select_unpredictable(fits, (both >> 64) as u64 & HIGH[length] | (length as u64) << LENGTH, 0),
        }
    }

    #[cold]
    fn at_end(piece: &[u8]) -> Self {
        let mut window = [0; 16];
        for (to, from) in window.iter_mut().zip(piece) {
            *to = *from;
        }
        let both = u128::from_le_bytes(window);
        Self { low: both as u64, high: (both >> 64) as u64 | (piece.len() as u64) << LENGTH }
    }

    /// Whether there is a piece.
    #[inline]
    pub(super) fn is_some(self) -> bool {
        self.high != 0
    }

    /// Whether the piece has at most 7 bytes: then it is one word.
    #[inline]
    pub(super) fn is_short(self) -> bool {
        self.high < 8 << LENGTH
    }

    /// Whether the piece has at most 3 bytes: then counting it is as quick as remembering.
    #[inline]
    pub(super) fn is_tiny(self) -> bool {
        self.high < 4 << LENGTH
    }

    /// A piece of up to 7 bytes.
    #[inline]
    pub(super) fn short(self) -> u64 {
        self.low | self.high
    }

    /// The key with a count of at most 15 above it.
    #[inline]
    pub(super) fn with(self, count: u32) -> Self {
        Self { low: self.low, high: self.high | u64::from(count) << COUNT }
    }

    /// The count that stands above this key, or 0 above another.
    #[inline]
    pub(super) fn count_of(self, key: Self) -> u32 {
        let same = (self.low ^ key.low) | (self.high ^ key.high) & MASK == 0;
        select_unpredictable(same, (self.high >> COUNT) as u32, 0)
    }

    /// Spreads the key over 64 bits.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        fold(self.low ^ 0x9E37_79B9_7F4A_7C15, self.high ^ 0xA076_1D64_78BD_642F)
    }
}

/// Longest piece that is a wide key.
pub(super) const WIDEST: usize = 31;

/// A piece of 16 to 31 bytes; nothing at all for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub(super) struct Wide {
    start: [u64; 2],
    rest: Key,
}

impl Wide {
    /// What no piece is: something behind the first 16 bytes, of no length.
    pub(super) const NONE: Self = Self { start: [0; 2], rest: Key { low: 1, high: 0 } };

    /// The key of `text[start..end]`.
    #[inline]
    pub(super) fn of(text: &[u8], start: usize, end: usize) -> Self {
        let middle = start.saturating_add(16);
        let Some((first, second)) = text.get(start..middle).and_then(<[u8]>::split_first_chunk::<8>) else {
            return Self::NONE;
        };
        let Some(second) = second.first_chunk::<8>() else { return Self::NONE };
        if end < middle || end - middle > LONGEST {
            return Self::NONE;
        }
        Self { start: [u64::from_le_bytes(*first), u64::from_le_bytes(*second)], rest: Key::of(text, middle, end) }
    }

    /// Whether there is a piece.
    #[inline]
    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// The key with a count of at most 15 above it.
    #[inline]
    pub(super) fn with(self, count: u32) -> Self {
        Self { start: self.start, rest: self.rest.with(count) }
    }

    /// The count that stands above this key, or 0 above another.
    #[inline]
    pub(super) fn count_of(self, key: Self) -> u32 {
        let start = (self.start[0] ^ key.start[0]) | (self.start[1] ^ key.start[1]);
        select_unpredictable(start == 0, self.rest.count_of(key.rest), 0)
    }

    /// Spreads the key over 64 bits.
    #[inline]
    pub(super) fn hash(self) -> u64 {
        let start = fold(self.start[0] ^ 0x9E37_79B9_7F4A_7C15, self.start[1] ^ 0xA076_1D64_78BD_642F);
        fold(start ^ self.rest.low, self.rest.high ^ 0xE703_7ED1_A0B4_28DB)
    }
}

/// Spreads two words over 64 bits.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// Spreads any bytes over 64 bits.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), 0xE703_7ED1_A0B4_28DB);
    }
    let rest = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    fold(hash ^ rest, 0xE703_7ED1_A0B4_28DB)
}

/// An index below `size`, from the high bits of a hash.
#[inline]
pub(super) fn index(hash: u64, size: usize) -> usize {
    ((u128::from(hash) * size as u128) >> 64) as usize
}
