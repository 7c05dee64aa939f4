//! A vocabulary: the bytes of every token, the token of any bytes, and which two tokens merge into which.

#![allow(clippy::indexing_slicing)] // tables are sized for the ids and hashes that index them

use std::collections::HashMap;
use std::sync::OnceLock;

use super::cut::Joints;
use super::fetch::fetch;
use super::key::{self, Key};
use super::merging::{ID, Merging};

/// No token.
pub(super) const NONE: u32 = u32::MAX;
const HOLE: u32 = 0xFF_FFFF;
/// A place without a token.
const FREE: u64 = u64::MAX;

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
    /// Tokens of 16 bytes and more by hash of their bytes: its high half, and the id; `FREE` if there is none.
    long: Vec<u64>,
    /// Only pieces that are no token need it.
    merging: OnceLock<Merging>,
    /// Only text that is not ASCII needs it.
    joints: OnceLock<Joints>,
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
        self.long = vec![FREE; (long * 2).next_power_of_two()];
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
                    let hash = key::hash_bytes(&self.arena[start..end]);
                    let mut slot = hash as usize & (self.long.len() - 1);
                    while self.long[slot] != FREE {
                        slot = (slot + 1) & (self.long.len() - 1);
                    }
                    self.long[slot] = hash >> 32 << 32 | u64::from(id);
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
        for length in merging.lengths().of(bytes) {
            if let Some(start) = bytes.get(..length) {
                let id = self.find(start);
                if id != NONE {
                    return id;
                }
            }
        }
        match bytes.get(1) {
            Some(&second) if merging.byte_pair(first, second) != ID => merging.byte_pair(first, second),
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

    /// Has the place of a key of up to 7 bytes fetched.
    #[inline]
    pub(super) fn expect_short(&self, hash: u64) {
        fetch(&self.short[key::index(hash, self.short.len())]);
    }

    /// Has the place of a key of 8 to 15 bytes fetched.
    #[inline]
    pub(super) fn expect_middle(&self, hash: u64) {
        fetch(&self.middle[key::index(hash, self.middle.len())]);
    }

    /// Whether a key of up to 7 bytes is a token; cheaper than asking which.
    #[inline]
    pub(super) fn has_short(&self, key: Key, hash: u64) -> bool {
        let (key, mut bucket) = (key.short(), key::index(hash, self.short.len()));
        loop {
            let keys = &self.short[bucket].0;
            // One branch that seldom goes the other way: a wrong guess would wait for memory before the next question.
            let found = keys.iter().fold(0, |found, &other| found | u64::from(other == key));
            if found | u64::from(keys[7] == 0) != 0 {
                return found != 0;
            }
            bucket = (bucket + 1) % self.short.len();
        }
    }

    /// Whether a key of 8 to 15 bytes is a token.
    #[inline]
    pub(super) fn has_middle(&self, key: Key, hash: u64) -> bool {
        let mut bucket = key::index(hash, self.middle.len());
        loop {
            let keys = &self.middle[bucket].0;
            let found = keys.iter().fold(0, |found, &other| found | u64::from(other == key));
            if found | u64::from(keys[3] == Key::NONE) != 0 {
                return found != 0;
            }
            bucket = (bucket + 1) % self.middle.len();
        }
    }

    /// The token of 16 bytes or more whose bytes are these, or `NONE`.
    pub(super) fn find_long(&self, bytes: &[u8]) -> u32 {
        let hash = key::hash_bytes(bytes);
        let mut slot = hash as usize & (self.long.len() - 1);
        while self.long[slot] != FREE {
            let found = self.long[slot];
            if (found ^ hash) >> 32 == 0 && self.token(found as u32) == Some(bytes) {
                return found as u32;
            }
            slot = (slot + 1) & (self.long.len() - 1);
        }
        NONE
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
