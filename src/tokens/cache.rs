//! Counts of pieces that were seen lately, of bounded size; one for each thread that counts at the same time.

#![allow(clippy::indexing_slicing)] // indices are masked with the size of the table

use std::cell::Cell;
use std::sync::{Mutex, PoisonError, TryLockError};

use super::bpe::Merger;
use super::count::{Batch, Lists};
use super::fetch::fetch;
use super::key::{self, Key, WIDEST, Wide};

const HOT: usize = 1 << 16;
const SETS: usize = 1 << 15;
const WIDE_SETS: usize = 1 << 13;
const LONG: usize = 1 << 10;
/// Longest piece in the cache of long ones.
pub(super) const LONGEST: usize = 126;

/// Four keys with their counts. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Key; 4]);

/// Two wide keys with their counts. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct WideSet([Wide; 2]);

/// A piece of 32 to 126 bytes, its length and its count.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Long {
    bytes: [u8; LONGEST],
    len: u8,
    count: u8,
}

/// What one thread remembers: 4 MiB. Smaller tables cost a third of the speed on a stream of new text, and half of it on
/// a megabyte of words that are no tokens.
pub(super) struct Cache {
    /// The keys seen last, whatever they count.
    hot: Box<[Key]>,
    /// Keys of more than one token.
    multi: Box<[Set]>,
    /// Keys of 16 to 31 bytes, whatever they count.
    wide: Box<[WideSet]>,
    long: Box<[Long]>,
    /// Pieces that were not remembered, while they merge.
    pub(super) merger: Merger,
    /// Pieces on their way to be counted; here so that a call need not clear it.
    pub(super) batch: Batch,
    pub(super) lists: Option<Box<Lists>>,
    /// Where a text is written as UTF-8.
    pub(super) text: Vec<u8>,
    /// Chooses which key gives way to a new one.
    turn: u64,
}

impl Cache {
    fn new() -> Self {
        Self {
            hot: vec![Key::NONE; HOT].into_boxed_slice(),
            multi: vec![Set([Key::NONE; 4]); SETS].into_boxed_slice(),
            wide: vec![WideSet([Wide::NONE; 2]); WIDE_SETS].into_boxed_slice(),
            long: vec![Long { bytes: [0; LONGEST], len: 0, count: 0 }; LONG].into_boxed_slice(),
            merger: Merger::new(),
            batch: Batch::new(),
            lists: None,
            text: Vec::new(),
            turn: 0,
        }
    }

    /// Has the place of a key fetched.
    #[inline]
    pub(super) fn expect_hot(&self, hash: u64) {
        fetch(&self.hot[hash as usize & (HOT - 1)]);
    }

    /// Has the place of a key of more than one token fetched.
    #[inline]
    pub(super) fn expect_multi(&self, hash: u64) {
        fetch(&self.multi[(hash >> 32) as usize & (SETS - 1)]);
    }

    /// The count of a key, or 0.
    #[inline]
    pub(super) fn hot(&self, key: Key, hash: u64) -> u32 {
        self.hot[hash as usize & (HOT - 1)].count_of(key)
    }

    /// Remembers the count, at most 15, of a key.
    #[inline]
    pub(super) fn keep_hot(&mut self, key: Key, hash: u64, count: u32) {
        self.hot[hash as usize & (HOT - 1)] = key.with(count);
    }

    /// The count of a key of more than one token, or 0.
    #[inline]
    pub(super) fn multi(&self, key: Key, hash: u64) -> u32 {
        // The one line for pieces that are not kept is always at hand.
        let place = if key.is_tiny() { 0 } else { (hash >> 32) as usize & (SETS - 1) };
        let set = &self.multi[place].0;
        set.iter().map(|entry| entry.count_of(key)).fold(0, u32::max)
    }

    /// Remembers the count, at most 15, of a key of more than one token.
    #[inline]
    pub(super) fn keep_multi(&mut self, key: Key, hash: u64, count: u32) {
        let set = &mut self.multi[(hash >> 32) as usize & (SETS - 1)].0;
        // Any of them gives way: were it the oldest, a text of a few more words than there is room for would find none.
        self.turn = self.turn.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1);
        set[(self.turn >> 62) as usize] = key.with(count);
    }

    /// Has the place of a wide key fetched.
    #[inline]
    pub(super) fn expect_wide(&self, hash: u64) {
        fetch(&self.wide[(hash >> 32) as usize & (WIDE_SETS - 1)]);
    }

    /// The count of a wide key, or 0.
    #[inline]
    pub(super) fn wide(&self, key: Wide, hash: u64) -> u32 {
        let [first, second] = &self.wide[(hash >> 32) as usize & (WIDE_SETS - 1)].0;
        first.count_of(key) | second.count_of(key)
    }

    /// Remembers the count of a wide key.
    #[inline]
    pub(super) fn keep_wide(&mut self, key: Wide, hash: u64, count: u32) {
        if key.is_some() && count < 16 {
            let set = &mut self.wide[(hash >> 32) as usize & (WIDE_SETS - 1)].0;
            set[1] = set[0];
            set[0] = key.with(count);
        }
    }

    /// The count of a piece of 32 to 126 bytes, or 0.
    pub(super) fn long(&self, piece: &[u8]) -> u32 {
        if !(WIDEST + 1..=LONGEST).contains(&piece.len()) {
            return 0;
        }
        let entry = &self.long[(key::hash_bytes(piece) >> 32) as usize & (LONG - 1)];
        let same = usize::from(entry.len) == piece.len() && entry.bytes.get(..piece.len()) == Some(piece);
        if same { u32::from(entry.count) } else { 0 }
    }

    /// Remembers the count of a piece of 32 to 126 bytes.
    pub(super) fn keep_long(&mut self, piece: &[u8], count: u32) {
        if !(WIDEST + 1..=LONGEST).contains(&piece.len()) {
            return;
        }
        let entry = &mut self.long[(key::hash_bytes(piece) >> 32) as usize & (LONG - 1)];
        if let (Some(bytes), Ok(count)) = (entry.bytes.get_mut(..piece.len()), u8::try_from(count)) {
            bytes.copy_from_slice(piece);
            entry.count = count;
            entry.len = piece.len() as u8;
        }
    }
}

/// The caches of an encoding. A thread holds one while it counts; with more threads than places, or in a child that was
/// forked while a place was held, it works with one of its own.
#[derive(Default)]
pub(super) struct Caches([Place; PLACES]);

const PLACES: usize = 16;

/// On a cache line of its own, so that threads do not take each other's away.
#[derive(Default)]
#[repr(align(64))]
struct Place(Mutex<Option<Box<Cache>>>);

thread_local! {
    /// The place that was free the last time: threads that count at the same time come to have one each.
    static FREE: Cell<usize> = const { Cell::new(0) };
}

impl Caches {
    /// Runs `work` with a cache that nobody else has.
    #[inline]
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        let first = FREE.get();
        for at in first..first + PLACES {
            let place = &self.0[at % PLACES].0;
            match place.try_lock() {
                Ok(mut held) => {
                    FREE.set(at % PLACES);
                    return work(held.get_or_insert_with(|| Box::new(Cache::new())));
                }
                Err(TryLockError::Poisoned(poisoned)) => {
                    place.clear_poison();
                    return work(PoisonError::into_inner(poisoned).insert(Box::new(Cache::new())));
                }
                Err(TryLockError::WouldBlock) => {}
            }
        }
        work(&mut Cache::new())
    }
}
