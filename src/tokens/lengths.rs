//! Lengths: how long the tokens can be that a text starts with, told from its first bytes.

#![allow(clippy::indexing_slicing)] // tables are sized for the hashes that index them

/// Places for what the first three bytes say.
const SHORT: usize = 1 << 16;
/// Places for what the first eight bytes say.
const LONG: usize = 1 << 16;
/// Tokens of this length and more are told by eight bytes: three say too little where many tokens start alike.
const EIGHT: usize = 8;
/// The bit of lengths that have none of their own.
const GREAT: usize = 63;

/// The lengths of the tokens of a vocabulary, from 3 bytes on.
pub(super) struct Lengths {
    /// A bit for each length below 8, and one for all others, by hash of the first three bytes.
    short: Vec<u16>,
    /// A bit for each length from 8 on, the last for 63 and more, by hash of the first eight bytes.
    long: Vec<u64>,
    /// Lengths of 63 bytes and more, longest first.
    great: Vec<usize>,
}

impl Lengths {
    pub(super) fn new<'a>(tokens: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut lengths = Self { short: vec![0; SHORT], long: vec![0; LONG], great: Vec::new() };
        for token in tokens {
            if let Some(first) = token.first_chunk() {
                lengths.short[short_place(*first)] |= 1 << token.len().min(EIGHT);
            }
            if let Some(first) = token.first_chunk() {
                lengths.long[long_place(*first)] |= 1 << token.len().min(GREAT);
            }
            if token.len() >= GREAT {
                lengths.great.push(token.len());
            }
        }
        lengths.great.sort_unstable_by(|a, b| b.cmp(a));
        lengths.great.dedup();
        lengths
    }

    /// Lengths of at least 3 that tokens may have that `text` starts with, longest first.
    #[inline]
    pub(super) fn of(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let mut lengths = text.first_chunk().map_or(0, |first| u64::from(self.short[short_place(*first)]));
        if lengths >> EIGHT != 0 {
            lengths &= (1 << EIGHT) - 1;
            lengths |= text.first_chunk().map_or(0, |first| self.long[long_place(*first)]);
        }
        let great = if lengths >> GREAT == 0 { &[][..] } else { &self.great[..] };
        lengths &= (1 << GREAT) - 1;
        let lesser = std::iter::from_fn(move || {
            let length = lengths.checked_ilog2()?;
            lengths ^= 1 << length;
            Some(length as usize)
        });
        great.iter().copied().chain(lesser)
    }
}

#[inline]
fn short_place([first, second, third]: [u8; 3]) -> usize {
    let start = u64::from(first) | u64::from(second) << 8 | u64::from(third) << 16;
    (start.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (SHORT - 1)
}

#[inline]
fn long_place(first: [u8; EIGHT]) -> usize {
    (u64::from_le_bytes(first).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (LONG - 1)
}
