//! Byte-pair encoding of a piece that is no token itself.

#![allow(clippy::indexing_slicing)] // indices stay below the number of symbols, which the caller bounds

use super::class;
use super::long;
use super::merging::Merging;
use super::vocab::{NONE, Vocab};

/// Parts up to this many bytes are merged step by step, longer ones by the linear search of [`long`].
const SHORT: usize = 64;
/// Most parts are not longer than this.
const TINY: usize = 16;
/// Nor words of scripts with two bytes a letter than this.
const MIDDLE: usize = 32;
/// A rank with the place it stands at, so that the smallest number is the next merge.
const PLACE_BITS: u32 = 6;
/// No rank.
const NEVER: i32 = i32::MAX;

/// Merges asked for lately, so that the same words do not fetch them from the large table again.
pub(super) struct Memo(Box<[u64]>);

const MEMO: usize = 1 << 15;

impl Memo {
    pub(super) fn new() -> Self {
        Self(vec![u64::MAX; MEMO].into_boxed_slice())
    }

    /// [`Merging::merge`], remembered.
    #[inline]
    fn merge(&mut self, merging: &Merging, left: u32, right: u32) -> u32 {
        let pair = u64::from(left) << 21 | u64::from(right);
        let place = (pair.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize & (MEMO - 1);
        let entry = self.0[place];
        let merged = if entry >> 22 == pair {
            (entry & 0x3F_FFFF) as u32
        } else {
            let merged = merging.merge(left, right) & 0x3F_FFFF;
            self.0[place] = pair << 22 | u64::from(merged);
            merged
        };
        if merged == 0x3F_FFFF { NONE } else { merged }
    }
}

/// The tokens of up to `N` bytes while they merge. A symbol stands at the place of its first byte.
struct Symbols<const N: usize> {
    ids: [u32; N],
    /// What the symbol at a place merges into with the next one, above its place; `NEVER` if nothing.
    merges: [i32; N],
    /// The places of symbols.
    live: u64,
    len: usize,
}

impl<const N: usize> Symbols<N> {
    /// The tokens of `part`. `whole` if no token may span a part of a character and something outside of it: then
    /// characters that are tokens need not be merged from their bytes.
    #[inline]
    fn of(vocab: &Vocab, memo: &mut Memo, part: &[u8], whole: bool) -> Self {
        let len = part.len().min(N);
        let (live, merging) = (u64::MAX >> (SHORT - len), vocab.merging());
        let mut symbols = Self { ids: [0; N], merges: [NEVER; N], live, len };
        if whole {
            symbols.start_with_characters(vocab, memo, part);
        } else {
            symbols.start_with_bytes(vocab, part);
        }
        if whole {
            symbols.merge(|left, right| memo.merge(merging, left, right));
        } else {
            symbols.merge(|left, right| merging.merge(left, right));
        }
        symbols
    }

    #[inline]
    fn start_with_bytes(&mut self, vocab: &Vocab, part: &[u8]) {
        let merging = vocab.merging();
        for (id, &byte) in self.ids.iter_mut().zip(part) {
            *id = vocab.byte(byte);
        }
        for (at, (merge, pair)) in self.merges.iter_mut().zip(part.windows(2)).enumerate() {
            *merge = rank(merging.byte_pair(pair[0], pair[1]), at);
        }
    }

    #[inline]
    fn start_with_characters(&mut self, vocab: &Vocab, memo: &mut Memo, part: &[u8]) {
        let (merging, mut at) = (vocab.merging(), 0);
        while at < self.len {
            let (code, width) = if part[at] < 0x80 { (u32::from(part[at]), 1) } else { class::decode(part, at) };
            let id = merging.character(code);
            if id != NONE && at + width <= self.len {
                self.ids[at] = id;
                self.live &= !(((1 << width) - 2) << at);
                at += width;
            } else {
                self.ids[at] = vocab.byte(part[at]);
                at += 1;
                while at < self.len && part[at] & 0xC0 == 0x80 {
                    self.ids[at] = vocab.byte(part[at]);
                    at += 1;
                }
            }
        }
        let (mut left, mut rest) = (0, self.live & !1);
        while rest != 0 {
            let right = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            self.merges[left] = rank(memo.merge(merging, self.ids[left], self.ids[right]), left);
            left = right;
        }
    }

    /// Merges all that merges, lowest rank first, of equal ranks the left one.
    #[inline]
    fn merge(&mut self, mut merged: impl FnMut(u32, u32) -> u32) {
        loop {
            let (rows, _) = self.merges.as_chunks::<TINY>();
            let rows = rows.iter().take(if N == TINY { 1 } else { self.len.div_ceil(TINY) });
            let best = rows.fold([NEVER; 4], |best, row| {
                let (fours, _) = row.as_chunks::<4>();
                fours.iter().fold(best, |best, four| std::array::from_fn(|i| best[i].min(four[i])))
            });
            let best = best[0].min(best[1]).min(best[2].min(best[3]));
            if best == NEVER {
                return;
            }
            let (at, id) = ((best & ((1 << PLACE_BITS) - 1)) as usize & (N - 1), (best >> PLACE_BITS) as u32);
            let behind = self.live & (u64::MAX - 1) << at;
            let gone = behind.trailing_zeros() as usize & (N - 1);
            self.live &= !(1 << gone);
            self.merges[gone] = NEVER;
            self.ids[at] = id;
            let behind = behind & behind.wrapping_sub(1);
            self.merges[at] = if behind == 0 {
                NEVER
            } else {
                rank(merged(id, self.ids[behind.trailing_zeros() as usize & (N - 1)]), at)
            };
            let before = self.live & ((1 << at) - 1);
            if before != 0 {
                let before = ((SHORT - 1) - before.leading_zeros() as usize) & (N - 1);
                self.merges[before] = rank(merged(self.ids[before], id), before);
            }
        }
    }

    fn count(&self) -> usize {
        self.live.count_ones() as usize
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        (0..self.len).filter(|at| self.live >> at & 1 != 0).map(|at| self.ids[at])
    }
}

#[inline]
fn rank(merged: u32, at: usize) -> i32 {
    if merged == NONE { NEVER } else { (merged << PLACE_BITS | at as u32) as i32 }
}

/// How many tokens a piece that is no token itself has.
#[inline]
pub(super) fn count(vocab: &Vocab, memo: &mut Memo, piece: &[u8]) -> usize {
    if let [first, second, third] = *piece {
        let merging = vocab.merging();
        return if merging.byte_pair(first, second) & merging.byte_pair(second, third) == NONE { 3 } else { 2 };
    }
    if piece.is_ascii() {
        return count_part(vocab, memo, piece, false);
    }
    let mut total = 0;
    for (start, end, whole) in vocab.joints().parts(piece) {
        let part = &piece[start..end];
        let token = part.len() < piece.len() && vocab.find(part) != NONE;
        total += if token { 1 } else { count_part(vocab, memo, part, whole) };
    }
    total
}

#[inline]
fn count_part(vocab: &Vocab, memo: &mut Memo, part: &[u8], whole: bool) -> usize {
    if part.len() <= TINY {
        Symbols::<TINY>::of(vocab, memo, part, whole).count()
    } else if part.len() <= MIDDLE {
        Symbols::<MIDDLE>::of(vocab, memo, part, whole).count()
    } else if part.len() <= SHORT {
        Symbols::<SHORT>::of(vocab, memo, part, whole).count()
    } else {
        long::count(vocab, part)
    }
}

/// Appends the tokens of a piece that is no token itself.
pub(super) fn encode(vocab: &Vocab, memo: &mut Memo, piece: &[u8], ids: &mut Vec<u32>) {
    for (start, end, whole) in vocab.joints().parts(piece) {
        let part = &piece[start..end];
        let id = if part.len() == piece.len() { NONE } else { vocab.find(part) };
        if id != NONE {
            ids.push(id);
        } else if part.len() <= TINY {
            ids.extend(Symbols::<TINY>::of(vocab, memo, part, whole).ids());
        } else if part.len() <= SHORT {
            ids.extend(Symbols::<SHORT>::of(vocab, memo, part, whole).ids());
        } else {
            long::encode(vocab, part, ids);
        }
    }
}
