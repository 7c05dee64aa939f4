//! Counts without making tokens: pieces are looked up in batches, so that one look-up does not wait for another.

#![allow(clippy::indexing_slicing)] // batch positions stay below the size of a batch

use super::bpe;
use super::cache::{self, Cache};
use super::key::{self, BITS, MASK};
use super::mask::{self, BLOCK};
use super::scan::{Grammar, Pattern};
use super::vocab::{NONE, Vocab};

/// Pieces in a batch.
const BATCH: usize = 128;

/// Pieces that follow each other, and how many tokens each has.
pub(super) struct Batch {
    /// Where the pieces start, and the end of the last.
    bounds: [usize; BATCH + 1],
    counts: [u32; BATCH],
    len: usize,
}

impl Batch {
    /// The pieces with their counts.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.bounds.windows(2).zip(&self.counts).take(self.len).map(|(ends, count)| (ends[0], ends[1], *count as usize))
    }
}

/// Counts the tokens of `text`, which is valid UTF-8, until `stop` says so of a batch and the count up to its end.
pub(super) fn count<P: Pattern>(
    vocab: &Vocab,
    text: &[u8],
    cache: &mut Cache,
    mut stop: impl FnMut(&Batch, usize) -> bool,
) -> usize {
    let mut batch = Batch { bounds: [0; BATCH + 1], counts: [0; BATCH], len: 0 };
    let (mut at, mut total) = (0, 0);
    // Makes room for at least `room` pieces.
    macro_rules! flush {
        ($room:expr) => {
            if batch.len + $room > BATCH {
                total += look_up(vocab, text, cache, &mut batch);
                if stop(&batch, total) {
                    return total;
                }
                batch.bounds[0] = batch.bounds[batch.len];
                batch.len = 0;
            }
        };
    }
    macro_rules! push {
        ($end:expr) => {
            flush!(1);
            batch.len += 1;
            batch.bounds[batch.len] = $end;
        };
    }
    while at < text.len() {
        if P::GRAMMAR != Grammar::R50k && text[at] < 0x80 {
            flush!(BLOCK);
            let padded;
            let (block, len) = if let Some(block) = text[at..].first_chunk::<BLOCK>() {
                (block, BLOCK)
            } else {
                padded = pad(&text[at..]);
                (&padded, text.len() - at)
            };
            let starts = if P::GRAMMAR == Grammar::O200k {
                mask::starts::<true>(block, len)
            } else {
                mask::starts::<false>(block, len)
            };
            let (mut bits, mut last) = (starts.bits, 0);
            let mut place = batch.len;
            while bits != 0 {
                last = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                place += 1;
                batch.bounds[place] = at + last;
            }
            batch.len = place;
            at += last;
            if last != 0 && !starts.stopped {
                continue;
            }
        }
        let end = P::piece(&text, at);
        if text[at..end].is_ascii() {
            push!(end);
        } else {
            for end in vocab.joints().cuts(text, at, end) {
                push!(end);
            }
        }
        at = end;
    }
    total += look_up(vocab, text, cache, &mut batch);
    stop(&batch, total);
    total
}

fn pad(text: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(text) {
        *to = *from;
    }
    block
}

/// Counts the pieces of a batch.
#[inline]
fn look_up(vocab: &Vocab, text: &[u8], cache: &mut Cache, batch: &mut Batch) -> usize {
    let len = batch.len.min(BATCH);
    let mut misses = [0_u8; BATCH];
    let (mut missing, mut total) = (0, 0);
    for i in 0..len {
        let key = key::of(text, batch.bounds[i], batch.bounds[i + 1]);
        let hash = key::hash(key);
        let entry = cache.hot(hash);
        let hit = entry & MASK == key && key != 0;
        let count = if hit { (entry >> BITS) as u32 } else { 0 };
        batch.counts[i] = count;
        total += count as usize;
        misses[missing] = i as u8;
        missing += usize::from(!hit);
    }
    for &i in &misses[..missing] {
        let i = usize::from(i);
        let piece = &text[batch.bounds[i]..batch.bounds[i + 1]];
        let key = key::of(text, batch.bounds[i], batch.bounds[i + 1]);
        let hash = key::hash(key);
        let count = if key == 0 { count_long(vocab, cache, piece) } else { count_key(vocab, cache, piece, key, hash) };
        batch.counts[i] = count;
        total += count as usize;
    }
    total
}

#[inline]
fn count_key(vocab: &Vocab, cache: &mut Cache, piece: &[u8], key: u128, hash: u64) -> u32 {
    let count = if vocab.has_key(key, hash) {
        1
    } else if let Some(count) = cache.multi(key, hash) {
        count
    } else {
        let count = bpe::count(vocab, piece) as u32;
        cache.keep_multi(key, hash, count);
        count
    };
    cache.keep_hot(key, hash, count);
    count
}

#[inline(never)]
fn count_long(vocab: &Vocab, cache: &mut Cache, piece: &[u8]) -> u32 {
    if piece.len() > cache::LONGEST {
        return if vocab.find_long(piece) == NONE { bpe::count(vocab, piece) as u32 } else { 1 };
    }
    let hash = key::hash_bytes(piece);
    if let Some(count) = cache.long(piece, hash) {
        return count;
    }
    let count = if vocab.find_long(piece) == NONE { bpe::count(vocab, piece) as u32 } else { 1 };
    cache.keep_long(piece, hash, count);
    count
}
