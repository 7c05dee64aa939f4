//! A vocabulary: the bytes of every token, the token of any bytes, and which two tokens merge into which.

#![allow(clippy::indexing_slicing)] // tables are sized for the ids and hashes that index them

use std::sync::OnceLock;

use super::cut::Joints;
use super::key;
use super::long::Prefixes;

/// No token.
pub(super) const NONE: u32 = u32::MAX;
const HOLE: u32 = 0xFF_FFFF;

/// Eight tokens of up to 7 bytes; 0 is free. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Short([u64; 8]);

/// Four tokens of 8 to 15 bytes; 0 is free. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Middle([u128; 4]);

/// The merges and tokens of an encoding, without its special tokens.
pub(super) struct Vocab {
    /// Bytes of all tokens, in the order of their ids.
    arena: Vec<u8>,
    /// Where each token starts in `arena`, and the end.
    offsets: Vec<u32>,
    /// The two tokens that each one is merged from; itself twice for a byte.
    parts: Vec<(u32, u32)>,
    bytes: [u32; 256],
    /// Merge of each two bytes.
    byte_pairs: Vec<u32>,
    short: Vec<Short>,
    short_ids: Vec<[u32; 8]>,
    middle: Vec<Middle>,
    middle_ids: Vec<[u32; 4]>,
    /// Tokens of 16 bytes and more: ids by hash of their bytes.
    long: Vec<u32>,
    merges: Merges,
    /// Only text that is not ASCII needs it.
    joints: OnceLock<Joints>,
    /// Only long pieces need it.
    prefixes: OnceLock<Prefixes>,
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
            byte_pairs: vec![NONE; 1 << 16],
            short: Vec::new(),
            short_ids: Vec::new(),
            middle: Vec::new(),
            middle_ids: Vec::new(),
            long: Vec::new(),
            merges: Merges::default(),
            joints: OnceLock::new(),
            prefixes: OnceLock::new(),
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

    fn index(&mut self) {
        let ids = 0..self.parts.len() as u32;
        let lengths = |low: usize, high: usize| {
            ids.clone().filter(|&id| (low..=high).contains(&self.token(id).map_or(0, <[u8]>::len))).count()
        };
        let (short, middle, long) = (lengths(1, 7), lengths(8, 15), lengths(16, usize::MAX));
        self.short = vec![Short([0; 8]); short / 5 + 1];
        self.short_ids = vec![[NONE; 8]; self.short.len()];
        self.middle = vec![Middle([0; 4]); middle / 2 + 1];
        self.middle_ids = vec![[NONE; 4]; self.middle.len()];
        self.long = vec![NONE; (long * 2).next_power_of_two()];
        self.merges = Merges::with_capacity(self.parts.len());
        for id in ids {
            let (start, end) = (self.offsets[id as usize] as usize, self.offsets[id as usize + 1] as usize);
            let key = key::of(&self.arena, start, end);
            let hash = key::hash(key);
            match end - start {
                0 => continue,
                1..=7 => {
                    let mut bucket = key::index(hash, self.short.len());
                    let slot = loop {
                        if let Some(slot) = self.short[bucket].0.iter().position(|&key| key == 0) {
                            break slot;
                        }
                        bucket = (bucket + 1) % self.short.len();
                    };
                    self.short[bucket].0[slot] = squeeze(key);
                    self.short_ids[bucket][slot] = id;
                }
                8..=15 => {
                    let mut bucket = key::index(hash, self.middle.len());
                    let slot = loop {
                        if let Some(slot) = self.middle[bucket].0.iter().position(|&key| key == 0) {
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
            let (left, right) = self.parts[id as usize];
            if end - start > 1 {
                self.merges.insert(left, right, id);
            }
            if end - start == 2 {
                self.byte_pairs[usize::from(self.arena[start]) << 8 | usize::from(self.arena[start + 1])] = id;
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

    /// Which characters tokens join.
    #[inline]
    pub(super) fn joints(&self) -> &Joints {
        self.joints.get_or_init(|| Joints::new(self))
    }

    /// All prefixes of all tokens.
    pub(super) fn prefixes(&self) -> &Prefixes {
        self.prefixes.get_or_init(|| Prefixes::new(self))
    }

    /// The token whose bytes are these, or `NONE`.
    pub(super) fn find(&self, bytes: &[u8]) -> u32 {
        match key::of(bytes, 0, bytes.len()) {
            0 => self.find_long(bytes),
            key => self.find_key(key, key::hash(key)),
        }
    }

    /// The token of a key, or `NONE`.
    #[inline]
    pub(super) fn find_key(&self, key: u128, hash: u64) -> u32 {
        if key < 8 << 120 {
            let (key, mut bucket) = (squeeze(key), key::index(hash, self.short.len()));
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
            if keys[3] == 0 {
                return NONE;
            }
            bucket = (bucket + 1) % self.middle.len();
        }
    }

    /// Whether a key is a token; cheaper than asking which.
    #[inline]
    pub(super) fn has_key(&self, key: u128, hash: u64) -> bool {
        if key < 8 << 120 {
            let (key, mut bucket) = (squeeze(key), key::index(hash, self.short.len()));
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
            if keys[3] == 0 {
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

/// A key of up to 7 bytes in 64 bits.
#[inline]
fn squeeze(key: u128) -> u64 {
    key as u64 | (key >> 64) as u64
}

/// (left, right) → merged, open addressing. A bit table in front answers most questions about pairs that do not merge.
#[derive(Default)]
struct Merges {
    slots: Vec<u64>,
    seen: Vec<u64>,
}

/// Ids are below 2^21 (`Vocab::new` is given at most that many).
const ID: u32 = 21;

impl Merges {
    fn with_capacity(merges: usize) -> Self {
        Self { slots: vec![u64::MAX; (merges * 2).next_power_of_two()], seen: vec![0; 1 << 14] }
    }

    #[inline]
    fn hash(left: u32, right: u32) -> (u64, u64) {
        let pair = u64::from(left) << ID | u64::from(right);
        let hash = pair.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (pair, hash ^ hash >> 32)
    }

    fn insert(&mut self, left: u32, right: u32, merged: u32) {
        let (pair, hash) = Self::hash(left, right);
        let word = (hash >> 6) as usize & (self.seen.len() - 1);
        self.seen[word] |= 1 << (hash & 63);
        let mut slot = hash as usize & (self.slots.len() - 1);
        while self.slots[slot] != u64::MAX {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = pair << ID | u64::from(merged);
    }

    #[inline]
    fn get(&self, left: u32, right: u32) -> u32 {
        let (pair, hash) = Self::hash(left, right);
        if self.seen[(hash >> 6) as usize & (self.seen.len() - 1)] >> (hash & 63) & 1 == 0 {
            return NONE;
        }
        let mut slot = hash as usize & (self.slots.len() - 1);
        loop {
            let found = self.slots[slot];
            if found >> ID == pair {
                return (found & ((1 << ID) - 1)) as u32;
            }
            if found == u64::MAX {
                return NONE;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}
