//! Counts without making tokens: pieces are looked up in batches, so that one look-up does not wait for another.

#![allow(clippy::indexing_slicing)] // batch positions stay below the size of a batch

use super::cache::{self, Cache};
use super::class::{self, LETTER, LOWER, MARK, OTHER, PLAIN, SPACE, UPPER};
use super::foreign;
use super::key::{self, Key, Wide};
use super::mask::{self, BLOCK, Starts};
use super::scan::{self, Grammar, Pattern};
use super::vocab::{NONE, Vocab};

/// Pieces in a batch.
const BATCH: usize = 512;

/// Pieces that follow each other, and how many tokens each has.
pub(super) struct Batch {
    /// Where the pieces start, and the end of the last.
    bounds: [usize; BATCH + 1],
    counts: [u32; BATCH],
    /// Keys of the pieces, and where the tables have them.
    keys: [Key; BATCH],
    hashes: [u64; BATCH],
    len: usize,
}

/// Pieces of a batch that a step did not know; kept so that a call need not clear them.
pub(super) struct Lists {
    misses: [u16; BATCH],
    short: [u16; BATCH],
    middle: [u16; BATCH],
    wide: [u16; BATCH],
}

impl Default for Lists {
    fn default() -> Self {
        Self { misses: [0; BATCH], short: [0; BATCH], middle: [0; BATCH], wide: [0; BATCH] }
    }
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { bounds: [0; BATCH + 1], counts: [0; BATCH], keys: [Key::NONE; BATCH], hashes: [0; BATCH], len: 0 }
    }

    #[inline]
    fn key(&self, i: u16) -> (Key, u64) {
        (self.keys[usize::from(i)], self.hashes[usize::from(i)])
    }

    #[inline]
    fn ends(&self, i: u16) -> (usize, usize) {
        (self.bounds[usize::from(i)], self.bounds[usize::from(i) + 1])
    }

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
    (cache.batch.bounds[0], cache.batch.len) = (0, 0);
    let (mut at, mut total) = (0, 0);
    // Makes room for at least `room` pieces.
    macro_rules! flush {
        ($room:expr) => {
            if cache.batch.len + $room > BATCH {
                total += look_up(vocab, text, cache);
                if stop(&cache.batch, total) {
                    return total;
                }
                cache.batch.bounds[0] = cache.batch.bounds[cache.batch.len];
                cache.batch.len = 0;
            }
        };
    }
    macro_rules! push {
        ($end:expr) => {
            flush!(1);
            cache.batch.len += 1;
            cache.batch.bounds[cache.batch.len] = $end;
        };
    }
    while at < text.len() {
        if P::GRAMMAR != Grammar::R50k && a_block_pays(&text[at..]) {
            flush!(BLOCK);
            let padded;
            let (block, len) = if let Some(block) = text[at..].first_chunk::<BLOCK>() {
                (block, BLOCK)
            } else {
                padded = pad(&text[at..]);
                (&padded, text.len() - at)
            };
            let starts = starts::<P>(block, len);
            let (mut bits, mut last, mut place) = (starts.bits, 0, cache.batch.len);
            while bits != 0 {
                last = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                place += 1;
                cache.batch.bounds[place] = at + last;
            }
            cache.batch.len = place;
            at += last;
            if last != 0 && !starts.stopped {
                continue;
            }
        }
        // A word of the Far East, and nothing for `simple_word`: one guess, which is nearly always right.
        let eastern = text[at] >= 0xE3 || text[at] == b' ' && text.get(at + 1).is_some_and(|byte| *byte >= 0xE3);
        if P::GRAMMAR != Grammar::R50k
            && !eastern
            && let Some(end) = scan::simple_word::<P>(text, at)
            && end - at <= key::WIDEST
        {
            at = end;
            push!(at);
            continue;
        }
        // Runs of letters without case are cut into parts while they are scanned.
        let (start, mut part, mut word) = (at, at, false);
        if P::GRAMMAR != Grammar::R50k {
            let (first, code, width) = class::character(text, at);
            let second = if first & (OTHER | SPACE) != 0 { class::character(text, at + width).0 } else { first };
            word = second & (UPPER | LOWER) != 0;
            if second == PLAIN {
                let (joints, mut last) = (vocab.joints(), code);
                at += width;
                let class = loop {
                    flush!(1);
                    let Batch { bounds, len, .. } = &mut cache.batch;
                    let run = joints.cut_run(text, at, last, goes_on::<P>(), &mut bounds[*len + 1..]);
                    *len += run.cuts;
                    part = if run.cuts == 0 { part } else { bounds[*len] };
                    (at, last) = (run.end, run.last);
                    if let Some(class) = run.behind {
                        break class;
                    }
                };
                let ends = if P::GRAMMAR == Grammar::O200k {
                    class & (LETTER | MARK) == 0 && text.get(at) != Some(&b'\'')
                } else {
                    class & LETTER == 0
                };
                if ends {
                    push!(at);
                    continue;
                }
            }
        }
        at = P::piece(&text, start);
        // Letters with case are seldom cut; whole words are remembered.
        let whole = at - start <= if word { cache::LONGEST } else { key::LONGEST };
        if part == start && whole || text[start..at].is_ascii() {
            push!(at);
        } else {
            for (_, end) in vocab.joints().parts(&text[part..at]) {
                push!(part + end);
            }
        }
    }
    total += look_up(vocab, text, cache);
    stop(&cache.batch, total);
    total
}

/// What a run of letters without case goes on with.
const fn goes_on<P: Pattern>() -> u8 {
    match P::GRAMMAR {
        Grammar::O200k => PLAIN | MARK,
        _ => PLAIN,
    }
}

/// Whether it pays to look at a whole block.
#[inline]
fn a_block_pays(text: &[u8]) -> bool {
    match text.first_chunk() {
        Some(start) => foreign::pays(*start),
        None => text.is_ascii(),
    }
}

#[inline]
fn starts<P: Pattern>(block: &[u8; BLOCK], len: usize) -> Starts {
    if P::GRAMMAR == Grammar::O200k { mask::starts::<true>(block, len) } else { mask::starts::<false>(block, len) }
}

fn pad(text: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (to, from) in block.iter_mut().zip(text) {
        *to = *from;
    }
    block
}

/// Counts the pieces of a batch.
///
/// Each step asks one table for all pieces that the steps before did not know. It has the places of all of them fetched
/// first and does not branch on the answer: the processor waits for many at once.
#[inline]
fn look_up(vocab: &Vocab, text: &[u8], cache: &mut Cache) -> usize {
    let mut lists = cache.lists.take().unwrap_or_default();
    let Lists { misses, short, middle, wide } = &mut *lists;
    let (mut missing, mut wider, mut total) = (0, 0, 0);
    let len = cache.batch.len.min(BATCH);
    // Where words are long it is anybody's guess which are too long for a key.
    let long_words = cache.batch.bounds[len] - cache.batch.bounds[0] > len * 8;
    for i in 0..len {
        let (start, end) = (cache.batch.bounds[i], cache.batch.bounds[i + 1]);
        let key = if long_words { Key::of_any(text, start, end) } else { Key::of(text, start, end) };
        let hash = key.hash();
        cache.batch.keys[i] = key;
        cache.batch.hashes[i] = hash;
        cache.expect_hot(hash);
    }
    for i in 0..len {
        let count = cache.hot(cache.batch.keys[i], cache.batch.hashes[i]);
        cache.batch.counts[i] = count;
        total += count as usize;
        misses[missing & (BATCH - 1)] = i as u16;
        missing += usize::from(count == 0);
    }
    let (mut shorter, mut middling) = (0, 0);
    for &i in &misses[..missing] {
        let length = cache.batch.bounds[usize::from(i) + 1] - cache.batch.bounds[usize::from(i)];
        short[shorter] = i;
        shorter += usize::from(length <= key::SHORTEST);
        middle[middling] = i;
        middling += usize::from(length > key::SHORTEST && length <= key::LONGEST);
        wide[wider] = i;
        wider += usize::from(length > key::LONGEST);
    }
    missing = 0;
    macro_rules! ask {
        ($asked:expr, $has:ident, $expect:ident) => {
            for &i in $asked {
                vocab.$expect(cache.batch.hashes[usize::from(i)]);
            }
            for &i in $asked {
                let (key, hash) = cache.batch.key(i);
                let found = vocab.$has(key, hash);
                cache.batch.counts[usize::from(i)] = u32::from(found);
                total += usize::from(found);
                cache.keep_hot(key, hash, u32::from(found));
                misses[missing & (BATCH - 1)] = i;
                missing += usize::from(!found);
            }
        };
    }
    ask!(&short[..shorter], has_short, expect_short);
    ask!(&middle[..middling], has_middle, expect_middle);
    for &i in &misses[..missing] {
        cache.expect_multi(cache.batch.hashes[usize::from(i)]);
    }
    for asked in 0..std::mem::take(&mut missing) {
        let i = misses[asked];
        let (key, hash) = cache.batch.key(i);
        let count = cache.multi(key, hash);
        cache.batch.counts[usize::from(i)] = count;
        total += count as usize;
        cache.keep_hot(key, hash, count);
        misses[missing] = i;
        missing += usize::from(count == 0);
    }
    if wider != 0 {
        let (known, unknown) = look_up_wide(vocab, text, cache, &mut wide[..wider]);
        total += known;
        for &i in &wide[..unknown] {
            misses[missing & (BATCH - 1)] = i;
            missing += 1;
        }
    }
    if missing != 0 {
        total += merge(vocab, text, cache, &misses[..missing]);
    }
    cache.lists = Some(lists);
    total
}

/// Counts pieces of more than 15 bytes; says how many tokens there are, and of how many pieces, which are put in front,
/// nothing is known.
fn look_up_wide(vocab: &Vocab, text: &[u8], cache: &mut Cache, misses: &mut [u16]) -> (usize, usize) {
    let (mut missing, mut total) = (0, 0);
    for &i in misses.iter() {
        let (start, end) = cache.batch.ends(i);
        let hash = Wide::of(text, start, end).hash();
        cache.batch.hashes[usize::from(i)] = hash;
        cache.expect_wide(hash);
    }
    for asked in 0..misses.len() {
        let i = misses[asked];
        let (start, end) = cache.batch.ends(i);
        let key = Wide::of(text, start, end);
        let count = cache.wide(key, cache.batch.hashes[usize::from(i)]);
        cache.batch.counts[usize::from(i)] = count;
        total += count as usize;
        misses[missing] = i;
        missing += usize::from(count == 0);
    }
    for asked in 0..std::mem::take(&mut missing) {
        let i = misses[asked];
        let (start, end) = cache.batch.ends(i);
        let piece = &text[start..end];
        let known = if vocab.find_long(piece) == NONE { cache.long(piece) } else { 1 };
        cache.batch.counts[usize::from(i)] = known;
        total += known as usize;
        if known != 0 {
            cache.keep_wide(Wide::of(text, start, end), cache.batch.hashes[usize::from(i)], known);
        } else {
            misses[missing] = i;
            missing += 1;
        }
    }
    (total, missing)
}

/// Counts pieces that are neither tokens nor remembered, and remembers them.
fn merge(vocab: &Vocab, text: &[u8], cache: &mut Cache, pieces: &[u16]) -> usize {
    for &i in pieces {
        let (start, end) = cache.batch.ends(i);
        cache.merger.add(vocab, text, start, end, i, &mut cache.batch.counts);
    }
    cache.merger.run(vocab, &mut cache.batch.counts);
    let mut total = 0;
    for &i in pieces {
        let (start, end) = cache.batch.ends(i);
        let count = cache.batch.counts[usize::from(i)];
        total += count as usize;
        let (key, hash) = cache.batch.key(i);
        if key.is_some() {
            if !key.is_tiny() {
                cache.keep_multi(key, hash, count);
            }
            cache.keep_hot(key, hash, count);
        } else {
            cache.keep_wide(Wide::of(text, start, end), hash, count);
            cache.keep_long(&text[start..end], count);
        }
    }
    total
}
