//! A vocabulary: the bytes of every token, the token of any bytes, and which two tokens merge into which.

#![allow(clippy::indexing_slicing)] // tables are sized for the ids and hashes that index them

use std::collections::HashMap;
use std::sync::OnceLock;

use super::cut::Joints;
use super::key::{self, Key};

/// No token.
pub(super) const NONE: u32 = u32::MAX;
const HOLE: u32 = 0xFF_FFFF;
const LENGTHS: usize = 1 << 13;

/// Eight tokens of up to 7 bytes; 0 is free. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Short([u64; 8]);

/// Four tokens of 8 to 15 bytes; 0 is free. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Middle([Key; 4]);

/// The merges and tokens of an encoding, without its special tokens.
pub(super) struct Vocab {
    /// Bytes of all tokens, in the order of their ids.
    arena: Vec<u8>,
    /// Where each token starts in `arena`, and the end.
    offsets: Vec<u32>,
    /// The two tokens that each one is merged from; itself twice for a byte.
    parts: Vec<(u32, u32)>,
    bytes: [u32; 256],
    short: Vec<Short>,
    short_ids: Vec<[u32; 8]>,
    middle: Vec<Middle>,
    middle_ids: Vec<[u32; 4]>,
    /// Tokens of 16 bytes and more: ids by hash of their bytes.
    long: Vec<u32>,
    /// Only pieces that are no token need it.
    merging: OnceLock<Merging>,
    /// Only text that is not ASCII needs it.
    joints: OnceLock<Joints>,
}

/// What merges.
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

impl Vocab {
    /// Reads a `.bpe` file (tools/vocabularies.py) up to the id `limit`.
    pub(super) fn from_bpe(data: &[u8], limit: usize) -> Self {
        let (bytes, pairs) = data.split_at(data.len().min(256));
        let word = |b: &[u8]| u32::from(b[0]) | u32::from(b[1]) << 8 | u32::from(b[2]) << 16;
        let pairs = pairs.chunks_exact(6).map(|pair| (word(pair), word(&pair[3..])));
        Self::new(bytes, pairs.take(limit.saturating_sub(256)))
    }

    /// `singles` are the bytes of the ids 0 to 255, `pairs` the parts of the ids from 256 on.
    pub(super) fn new(singles: &[u8], pairs: impl Iterator<Item = (u32, u32)>) -> Self {
        let mut vocab = Self {
            arena: singles.to_vec(),
            offsets: (0..=singles.len() as u32).collect(),
            parts: (0..singles.len() as u32).map(|id| (id, id)).collect(),
            bytes: [NONE; 256],
            short: Vec::new(),
            short_ids: Vec::new(),
            middle: Vec::new(),
            middle_ids: Vec::new(),
            long: Vec::new(),
            merging: OnceLock::new(),
            joints: OnceLock::new(),
        };
        for (id, &byte) in singles.iter().enumerate() {
            vocab.bytes[usize::from(byte)] = id as u32;
        }
        for (left, right) in pairs {
            if left != HOLE {
                for id in [left, right] {
                    let (start, end) = (vocab.offsets[id as usize], vocab.offsets[id as usize + 1]);
                    vocab.arena.extend_from_within(start as usize..end as usize);
                }
            }
            vocab.parts.push((left, right));
            vocab.offsets.push(vocab.arena.len() as u32);
        }
        vocab.index();
        vocab
    }

    /// Finds the parts of tokens whose ranks are their ids.
    pub(super) fn from_ranks(mut ranks: Vec<(Vec<u8>, u32)>) -> Result<Self, String> {
        ranks.sort_unstable_by_key(|(_, id)| *id);
        let ids: HashMap<&[u8], u32> = ranks.iter().map(|(token, id)| (&**token, *id)).collect();
        let singles: Vec<u8> =
            ranks.iter().take(256).filter(|(token, _)| token.len() == 1).map(|(token, _)| token[0]).collect();
        let complete = ids.len() == ranks.len() && ranks.iter().take(256).map(|(_, id)| *id).eq(0..256);
        if singles.len() != 256 || !complete {
            return Err("the ids 0 to 255 are not the 256 bytes, or a token has two ids".to_owned());
        }
        let mut pairs = Vec::with_capacity(ranks.len());
        for (token, id) in ranks.iter().skip(256) {
            let next = pairs.len() as u32 + 256;
            if *id < next || *id >= ID {
                return Err(format!("{id} is the id of two tokens or too large"));
            }
            pairs.extend((next..*id).map(|_| (HOLE, HOLE)));
            pairs.push(split(token, *id, &ids).ok_or_else(|| format!("token {id} is not a merge of two older ones"))?);
        }
        Ok(Self::new(&singles, pairs.into_iter()))
    }

    fn index(&mut self) {
        let (mut short, mut middle, mut long) = (0, 0, 0_usize);
        for ends in self.offsets.windows(2) {
            match ends[1] - ends[0] {
                0 => {}
                1..=7 => short += 1,
                8..=15 => middle += 1,
                _ => long += 1,
            }
        }
        self.short = vec![Short([0; 8]); short / 5 + 1];
        self.short_ids = vec![[NONE; 8]; self.short.len()];
        self.middle = vec![Middle([Key::NONE; 4]); middle / 2 + 1];
        self.middle_ids = vec![[NONE; 4]; self.middle.len()];
        self.long = vec![NONE; (long * 2).next_power_of_two()];
        for id in 0..self.parts.len() as u32 {
            let (start, end) = (self.offsets[id as usize] as usize, self.offsets[id as usize + 1] as usize);
            let key = Key::of(&self.arena, start, end);
            let hash = key.hash();
            match end - start {
                0 => {}
                1..=7 => {
                    let mut bucket = key::index(hash, self.short.len());
                    let slot = loop {
                        if let Some(slot) = self.short[bucket].0.iter().position(|&key| key == 0) {
                            break slot;
                        }
                        bucket = (bucket + 1) % self.short.len();
                    };
                    self.short[bucket].0[slot] = key.short();
                    self.short_ids[bucket][slot] = id;
                }
                8..=15 => {
                    let mut bucket = key::index(hash, self.middle.len());
                    let slot = loop {
                        if let Some(slot) = self.middle[bucket].0.iter().position(|&key| key == Key::NONE) {
                            break slot;
                        }
                        bucket = (bucket + 1) % self.middle.len();
                    };
                    self.middle[bucket].0[slot] = key;
                    self.middle_ids[bucket][slot] = id;
                }
                _ => {
                    let mut slot = key::hash_bytes(&self.arena[start..end]) as usize & (self.long.len() - 1);
                    while self.long[slot] != NONE {
                        slot = (slot + 1) & (self.long.len() - 1);
                    }
                    self.long[slot] = id;
                }
            }
        }
    }

    /// One more than the highest id.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The bytes of a token.
    #[inline]
    pub(super) fn token(&self, id: u32) -> Option<&[u8]> {
        let id = id as usize;
        if id >= self.parts.len() {
            return None;
        }
        let bytes = &self.arena[self.offsets[id] as usize..self.offsets[id + 1] as usize];
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Length of a token in bytes.
    #[inline]
    pub(super) fn width(&self, id: u32) -> usize {
        let id = id as usize;
        (self.offsets[id + 1] - self.offsets[id]) as usize
    }

    /// The two tokens that a token is merged from; itself twice for a byte.
    #[inline]
    pub(super) fn parts(&self, id: u32) -> (u32, u32) {
        self.parts[id as usize]
    }

    /// The token of one byte.
    #[inline]
    pub(super) fn byte(&self, byte: u8) -> u32 {
        self.bytes[usize::from(byte)]
    }

    /// What merges.
    #[inline]
    pub(super) fn merging(&self) -> &Merging {
        self.merging.get_or_init(|| Merging::new(self))
    }

    /// Which characters tokens join.
    #[inline]
    pub(super) fn joints(&self) -> &Joints {
        self.joints.get_or_init(|| Joints::new(self))
    }

    /// The longest token that `bytes` start with; `NONE` only if there are no bytes.
    pub(super) fn longest(&self, bytes: &[u8]) -> u32 {
        let Some(&first) = bytes.first() else { return NONE };
        let merging = self.merging();
        let mut lengths = merging.lengths[length_place(bytes)];
        if lengths >> 63 != 0 {
            for &length in &merging.great_lengths {
                if let Some(start) = bytes.get(..length) {
                    let id = self.find_long(start);
                    if id != NONE {
                        return id;
                    }
                }
            }
            lengths &= !(1 << 63);
        }
        while lengths != 0 {
            let length = 63 - lengths.leading_zeros() as usize;
            lengths &= !(1 << length);
            if let Some(start) = bytes.get(..length) {
                let id = self.find(start);
                if id != NONE {
                    return id;
                }
            }
        }
        match bytes.get(1) {
            Some(&second) if merging.byte_pair(first, second) != NONE => merging.byte_pair(first, second),
            _ => self.byte(first),
        }
    }

    /// The token whose bytes are these, or `NONE`.
    pub(super) fn find(&self, bytes: &[u8]) -> u32 {
        let key = Key::of(bytes, 0, bytes.len());
        if key.is_some() { self.find_key(key, key.hash()) } else { self.find_long(bytes) }
    }

    /// The token of a key, or `NONE`.
    #[inline]
    pub(super) fn find_key(&self, key: Key, hash: u64) -> u32 {
        if key.is_short() {
            let (key, mut bucket) = (key.short(), key::index(hash, self.short.len()));
            loop {
                let keys = &self.short[bucket].0;
                if let Some(slot) = keys.iter().position(|&found| found == key) {
                    return self.short_ids[bucket][slot];
                }
                if keys[7] == 0 {
                    return NONE;
                }
                bucket = (bucket + 1) % self.short.len();
            }
        }
        let mut bucket = key::index(hash, self.middle.len());
        loop {
            let keys = &self.middle[bucket].0;
            if let Some(slot) = keys.iter().position(|&found| found == key) {
                return self.middle_ids[bucket][slot];
            }
            if keys[3] == Key::NONE {
                return NONE;
            }
            bucket = (bucket + 1) % self.middle.len();
        }
    }

    /// Whether a key is a token; cheaper than asking which.
    #[inline]
    pub(super) fn has_key(&self, key: Key, hash: u64) -> bool {
        if key.is_short() {
            let (key, mut bucket) = (key.short(), key::index(hash, self.short.len()));
            loop {
                let keys = &self.short[bucket].0;
                if keys.iter().filter(|&&other| other == key).count() != 0 {
                    return true;
                }
                if keys[7] == 0 {
                    return false;
                }
                bucket = (bucket + 1) % self.short.len();
            }
        }
        let mut bucket = key::index(hash, self.middle.len());
        loop {
            let keys = &self.middle[bucket].0;
            if keys.iter().filter(|&&other| other == key).count() != 0 {
                return true;
            }
            if keys[3] == Key::NONE {
                return false;
            }
            bucket = (bucket + 1) % self.middle.len();
        }
    }

    /// The token of 16 bytes or more whose bytes are these, or `NONE`.
    pub(super) fn find_long(&self, bytes: &[u8]) -> u32 {
        let mut slot = key::hash_bytes(bytes) as usize & (self.long.len() - 1);
        while self.long[slot] != NONE {
            if self.token(self.long[slot]) == Some(bytes) {
                return self.long[slot];
            }
            slot = (slot + 1) & (self.long.len() - 1);
        }
        NONE
    }
}

impl Merging {
    #[cold]
    fn new(vocab: &Vocab) -> Self {
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
}

/// Encodes a token with the tokens before it; two must be left.
fn split(token: &[u8], id: u32, ids: &HashMap<&[u8], u32>) -> Option<(u32, u32)> {
    let mut ends: Vec<usize> = (0..=token.len()).collect();
    loop {
        let merged = |at: usize| ids.get(&token[ends[at]..ends[at + 2]]).copied().unwrap_or(NONE);
        let (rank, at) = (0..ends.len().checked_sub(2)?).map(|at| (merged(at), at)).min()?;
        if rank >= id {
            break;
        }
        ends.remove(at + 1);
    }
    let [start, middle, end] = ends[..] else { return None };
    Some((*ids.get(&token[start..middle])?, *ids.get(&token[middle..end])?))
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
const ID: u32 = (1 << ID_BITS) - 1;
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
