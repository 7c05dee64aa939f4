//! Which two tokens merge into which, and where the tokens of a longer piece may end.

#![allow(clippy::indexing_slicing)] // tables are sized for the ids and hashes that index them

use std::hint::select_unpredictable;

use super::fetch::fetch;
use super::lengths::Lengths;
use super::symbols::Symbols;
use super::vocab::{NONE, Vocab};

/// What only merging needs; built when the first piece is no token.
pub(super) struct Merging {
    /// Merge of each two bytes.
    byte_pairs: Vec<u32>,
    merges: Merges,
    symbols: Symbols,
    lengths: Lengths,
}

impl Merging {
    #[cold]
    pub(super) fn new(vocab: &Vocab) -> Self {
        let mut merging = Self {
            byte_pairs: vec![ID; 1 << 16],
            merges: Merges::new(&[]),
            symbols: Symbols::new(vocab),
            lengths: Lengths::new((0..vocab.len() as u32).filter_map(|id| vocab.token(id))),
        };
        let mut pairs = Vec::with_capacity(vocab.len());
        for id in 0..vocab.len() as u32 {
            let token = vocab.token(id).unwrap_or_default();
            if let [first, second] = *token {
                merging.byte_pairs[usize::from(first) << 8 | usize::from(second)] = id;
            }
            if token.len() >= 2 {
                let (left, right) = vocab.parts(id);
                pairs.push((left, right, id));
            }
        }
        merging.merges = Merges::new(&pairs);
        merging
    }

    /// What merging starts with.
    #[inline]
    pub(super) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// What two bytes merge into, or `ID`.
    #[inline]
    pub(super) fn byte_pair(&self, left: u8, right: u8) -> u32 {
        self.byte_pairs[usize::from(left) << 8 | usize::from(right)]
    }

    /// What two tokens merge into, or `NONE`.
    #[inline]
    pub(super) fn merge(&self, left: u32, right: u32) -> u32 {
        let merged = self.ask(left, right).answer(self);
        if merged == ID { NONE } else { merged }
    }

    /// The same in two steps, so that other questions can be asked while the answer comes from memory.
    #[inline]
    pub(super) fn ask(&self, left: u32, right: u32) -> Question {
        self.begin(left, right).place(self)
    }

    /// The same in three steps: where the answer is comes from memory too.
    #[inline]
    pub(super) fn begin(&self, left: u32, right: u32) -> Begun {
        let key = key(left, right);
        Begun { key, hash: self.merges.hash(key) }
    }

    /// How long the tokens can be that a text starts with.
    #[inline]
    pub(super) fn lengths(&self) -> &Lengths {
        &self.lengths
    }
}

/// Where is said what two tokens merge into?
#[derive(Clone, Copy, Default)]
pub(super) struct Begun {
    key: u64,
    hash: u64,
}

impl Begun {
    /// Has what knows the place fetched.
    #[inline]
    pub(super) fn expect(self, merging: &Merging) {
        fetch(&merging.merges.groups[merging.merges.group(self.hash)]);
    }

    #[inline]
    pub(super) fn place(self, merging: &Merging) -> Question {
        Question { key: self.key, place: merging.merges.place_of(self.hash) }
    }
}

/// What do two tokens merge into?
#[derive(Clone, Copy, Default)]
pub(super) struct Question {
    key: u64,
    place: usize,
}

impl Question {
    /// Has the answer fetched.
    #[inline]
    pub(super) fn expect(self, merging: &Merging) {
        let slots = &merging.merges.slots;
        fetch(&slots[self.place & (slots.len() - 1)]);
    }

    /// A token, or `ID`.
    #[inline]
    pub(super) fn answer(self, merging: &Merging) -> u32 {
        let slots = &merging.merges.slots;
        let slot = slots[self.place & (slots.len() - 1)];
        // Not the smaller one of `slot ^ key` and `ID`: the compiler makes a branch of that, which nobody can foretell.
        select_unpredictable((slot ^ self.key) >> ID_BITS == 0, slot as u32 & ID, ID)
    }
}

/// Ids are below 2^21 - 1.
pub(super) const ID_BITS: u32 = 21;
/// No token: it merges with nothing.
pub(super) const ID: u32 = (1 << ID_BITS) - 1;
/// No merge.
const FREE: u64 = u64::MAX;

/// (left, right) → merged, one place in memory for each pair: a question is answered without a branch, so the processor
/// works on many of them at once.
///
/// A perfect hash: pairs fall into groups, and each group has a number that moves its pairs to places where no others are.
struct Merges {
    /// left, right and merged, 21 bits each.
    slots: Vec<u64>,
    /// The number of each group, and above it a bit for each hash of its pairs, which answers most questions about pairs
    /// that do not merge.
    groups: Vec<u32>,
    /// What the hash is made with; another one if the groups cannot all be placed.
    seed: u64,
}

/// Pairs in a group, nearly.
const GROUP: usize = 4;

impl Merges {
    /// Pairs and what they merge into.
    fn new(pairs: &[(u32, u32, u32)]) -> Self {
        let slots = (pairs.len() + pairs.len() / 8 + 2).next_power_of_two();
        let groups = (pairs.len() / GROUP + 1).next_power_of_two();
        let mut merges = Self { slots: Vec::new(), groups: Vec::new(), seed: 0x9E37_79B9_7F4A_7C15 };
        loop {
            merges.slots = vec![FREE; slots];
            merges.groups = vec![0; groups];
            if merges.place_all(pairs) {
                return merges;
            }
            merges.seed = merges.seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1;
        }
    }

    /// Finds a place for each pair, the largest groups first; whether there is one.
    fn place_all(&mut self, pairs: &[(u32, u32, u32)]) -> bool {
        let hashes: Vec<u64> = pairs.iter().map(|&(left, right, _)| self.hash(key(left, right))).collect();
        // The pairs of each group side by side, by counting.
        let mut ends = vec![0_u32; self.groups.len() + 1];
        for &hash in &hashes {
            let group = self.group(hash);
            ends[group + 1] += 1;
            self.groups[group] |= bit(hash);
        }
        let mut sizes = vec![Vec::new(); 1 + ends.iter().copied().max().unwrap_or(0) as usize];
        for group in 0..self.groups.len() {
            sizes[ends[group + 1] as usize].push(group as u32);
            ends[group + 1] += ends[group];
        }
        let mut order = vec![0_u32; pairs.len()];
        let mut next = ends.clone();
        for (at, &hash) in hashes.iter().enumerate() {
            let next = &mut next[self.group(hash)];
            order[*next as usize] = at as u32;
            *next += 1;
        }
        for &group in sizes.iter().skip(1).rev().flatten() {
            let group = group as usize;
            let members = &order[ends[group] as usize..ends[group + 1] as usize];
            let Some(number) = (0..=0xFF).find(|&number| self.place(members, pairs, &hashes, number)) else {
                return false;
            };
            self.groups[group] |= number;
        }
        true
    }

    /// Places the members of a group, all or none.
    fn place(&mut self, members: &[u32], pairs: &[(u32, u32, u32)], hashes: &[u64], number: u32) -> bool {
        for (done, &member) in members.iter().enumerate() {
            let slot = self.slot(hashes[member as usize], number);
            if self.slots[slot] != FREE {
                for &member in &members[..done] {
                    let slot = self.slot(hashes[member as usize], number);
                    self.slots[slot] = FREE;
                }
                return false;
            }
            let (left, right, merged) = pairs[member as usize];
            self.slots[slot] = key(left, right) | u64::from(merged);
        }
        true
    }

    #[inline]
    fn hash(&self, key: u64) -> u64 {
        key.wrapping_mul(self.seed)
    }

    #[inline]
    fn group(&self, hash: u64) -> usize {
        (hash >> 44) as usize & (self.groups.len() - 1)
    }

    #[inline]
    fn slot(&self, hash: u64, number: u32) -> usize {
        (hash >> 24).wrapping_add((hash >> 34 | 1).wrapping_mul(u64::from(number))) as usize & (self.slots.len() - 1)
    }

    /// Where a pair stands if it merges.
    #[inline]
    fn place_of(&self, hash: u64) -> usize {
        let group = self.groups[self.group(hash)];
        // Pairs that were not seen need not fetch a place: the first is always at hand.
        select_unpredictable(group & bit(hash) != 0, self.slot(hash, group & 0xFF), 0)
    }
}

/// Left and right, and room for what they merge into.
#[inline]
fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << (2 * ID_BITS) | u64::from(right) << ID_BITS
}

/// The bit of a hash above the number of its group.
#[inline]
fn bit(hash: u64) -> u32 {
    1 << (hash >> 39 & 15 | 16)
}
