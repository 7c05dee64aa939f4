//! Which two tokens merge into which, and where the tokens of a longer piece may end.

#![allow(clippy::indexing_slicing)] // tables are sized for the ids and hashes that index them

use super::key;
use super::vocab::{NONE, Vocab};

const LENGTHS: usize = 1 << 13;

/// What only merging needs; built when the first piece is no token.
pub(super) struct Merging {
    /// Merge of each two bytes.
    byte_pairs: Vec<u32>,
    merges: Merges,
    /// Tokens that are one character below U+10000, by that character.
    characters: Vec<u32>,
    /// Which lengths tokens have, up to 63 bytes or more, by hash of their first three bytes.
    lengths: Vec<u64>,
    /// Lengths of 63 bytes and more, longest first.
    great_lengths: Vec<usize>,
}

impl Merging {
    #[cold]
    pub(super) fn new(vocab: &Vocab) -> Self {
        let mut merging = Self {
            byte_pairs: vec![NONE; 1 << 16],
            merges: Merges::with_capacity(vocab.len()),
            characters: vec![NONE; 1 << 16],
            lengths: vec![0; LENGTHS],
            great_lengths: Vec::new(),
        };
        for id in 0..vocab.len() as u32 {
            let token = vocab.token(id).unwrap_or_default();
            if token.len() <= 3
                && let Some(character) = std::str::from_utf8(token).ok().and_then(|text| text.chars().next())
                && character.len_utf8() == token.len()
            {
                merging.characters[character as usize] = id;
            }
            if let [first, second] = *token {
                merging.byte_pairs[usize::from(first) << 8 | usize::from(second)] = id;
            }
            if token.len() >= 2 {
                let (left, right) = vocab.parts(id);
                merging.merges.insert(left, right, id);
            }
            if token.len() >= 3 {
                merging.lengths[length_place(token)] |= 1 << token.len().min(63);
            }
            if token.len() >= 63 {
                merging.great_lengths.push(token.len());
            }
        }
        merging.great_lengths.sort_unstable_by(|a, b| b.cmp(a));
        merging.great_lengths.dedup();
        merging
    }

    /// The token of one character, or `NONE`.
    #[inline]
    pub(super) fn character(&self, code: u32) -> u32 {
        self.characters.get(code as usize).copied().unwrap_or(NONE)
    }

    /// What two bytes merge into, or `NONE`.
    #[inline]
    pub(super) fn byte_pair(&self, left: u8, right: u8) -> u32 {
        self.byte_pairs[usize::from(left) << 8 | usize::from(right)]
    }

    /// What two tokens merge into, or `NONE`.
    #[inline]
    pub(super) fn merge(&self, left: u32, right: u32) -> u32 {
        self.merges.get(left, right)
    }

    /// Which lengths tokens have that start with the first three of these bytes: a bit each, the last for 63 and more.
    #[inline]
    pub(super) fn lengths(&self, bytes: &[u8]) -> u64 {
        self.lengths[length_place(bytes)]
    }

    /// Lengths of 63 bytes and more, longest first.
    pub(super) fn great_lengths(&self) -> &[usize] {
        &self.great_lengths
    }
}

/// Where the lengths of tokens that start with these three bytes stand.
#[inline]
fn length_place(bytes: &[u8]) -> usize {
    let byte = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    let start = byte(0) | byte(1) << 8 | byte(2) << 16;
    (start.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (LENGTHS - 1)
}

/// (left, right) → merged, open addressing. A slot is left, right and merged, 21 bits each: one place in memory answers.
#[derive(Default)]
struct Merges {
    slots: Vec<u64>,
    /// A bit for each hash, which answers most questions about pairs that do not merge.
    seen: Vec<u64>,
}

/// Ids are below 2^21 - 1.
const ID_BITS: u32 = 21;
pub(super) const ID: u32 = (1 << ID_BITS) - 1;
/// No merge.
const FREE: u64 = u64::MAX;

impl Merges {
    fn with_capacity(merges: usize) -> Self {
        Self { slots: vec![FREE; merges / 3 * 4 + 1], seen: vec![0; 1 << 14] }
    }

    #[inline]
    fn pair(left: u32, right: u32) -> u64 {
        u64::from(left) << ID_BITS | u64::from(right)
    }

    #[inline]
    fn hash(pair: u64) -> u64 {
        let hash = pair.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^ hash >> 32
    }

    fn insert(&mut self, left: u32, right: u32, merged: u32) {
        let pair = Self::pair(left, right);
        let hash = Self::hash(pair);
        let word = (hash >> 6) as usize & (self.seen.len() - 1);
        self.seen[word] |= 1 << (hash & 63);
        let mut slot = key::index(hash, self.slots.len());
        while self.slots[slot] != FREE {
            slot = if slot + 1 < self.slots.len() { slot + 1 } else { 0 };
        }
        self.slots[slot] = pair << ID_BITS | u64::from(merged);
    }

    #[inline]
    fn get(&self, left: u32, right: u32) -> u32 {
        let pair = Self::pair(left, right);
        let hash = Self::hash(pair);
        if self.seen[(hash >> 6) as usize & (self.seen.len() - 1)] >> (hash & 63) & 1 == 0 {
            return NONE;
        }
        let mut slot = key::index(hash, self.slots.len());
        loop {
            let found = self.slots[slot];
            if found >> ID_BITS == pair {
                return found as u32 & ID;
            }
            if found == FREE {
                return NONE;
            }
            slot = if slot + 1 < self.slots.len() { slot + 1 } else { 0 };
        }
    }
}
