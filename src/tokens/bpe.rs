//! Byte-pair encoding of pieces that are no tokens themselves, several at a time.

#![allow(clippy::indexing_slicing)] // places are masked with the number of places, the rest is bounded by the caller

use super::long;
use super::merging::{Begun, ID, Merging, Question};
use super::vocab::{NONE, Vocab};

/// Room for the symbols of a part, and for one at each end that merges with nothing.
const PLACES: usize = 64;
/// Parts of more symbols are left to the linear search of [`long`].
const LONGEST: usize = PLACES - 2;
/// Places that are compared at once.
const ROW: usize = 16;
/// A rank with the place it stands at, so that the smallest number is the next merge.
const PLACE_BITS: u32 = 6;
/// This and more is no rank.
const NEVER: u32 = ID << PLACE_BITS;
/// Parts that merge at the same time.
const LANES: usize = 64;

/// The symbols of one part while they merge, from place 1 on.
#[derive(Clone, Copy)]
struct Lane {
    ids: [u32; PLACES],
    /// What the symbol at a place merges into with the next one, above its place. The bits of positive floats are ordered
    /// as the floats are, and of those every processor finds the smallest of four at once.
    ranks: [f32; PLACES],
    /// The places of symbols.
    live: u64,
    rows: usize,
    count: u32,
    /// Symbols whose ranks are still asked for.
    unranked: usize,
    /// Whose count it adds to.
    owner: u16,
}

impl Lane {
    const EMPTY: Self = Self {
        ids: [ID; PLACES],
        ranks: [f32::from_bits(NEVER); PLACES],
        live: 0,
        rows: 0,
        count: 0,
        unranked: 0,
        owner: 0,
    };

    /// Starts with the symbols of `text[start..end]`, unless they are too many.
    #[inline]
    fn start(&mut self, vocab: &Vocab, text: &[u8], start: usize, end: usize) -> bool {
        let part = &text[start..end];
        let symbols = if part.is_ascii() { self.bytes(vocab, part) } else { self.characters(vocab, text, start, end) };
        let Some(symbols) = symbols else { return false };
        self.ids[(symbols + 1) & (PLACES - 1)] = ID;
        self.live = u64::MAX >> ((PLACES - 2 - symbols) & (PLACES - 1));
        self.count = symbols as u32;
        true
    }

    #[inline]
    fn clear(&mut self, symbols: usize) {
        self.rows = symbols.saturating_sub(1) / ROW + 1;
        let (rows, _) = self.ranks.as_chunks_mut::<ROW>();
        for row in rows.iter_mut().take(self.rows) {
            *row = [f32::from_bits(NEVER); ROW];
        }
    }

    #[inline]
    fn bytes(&mut self, vocab: &Vocab, part: &[u8]) -> Option<usize> {
        if part.len() > LONGEST {
            return None;
        }
        let merging = vocab.merging();
        self.clear(part.len());
        for (id, &byte) in self.ids[1..].iter_mut().zip(part) {
            *id = vocab.byte(byte);
        }
        for (place, (rank, pair)) in self.ranks[1..].iter_mut().zip(part.windows(2)).enumerate() {
            *rank = to_rank(merging.byte_pair(pair[0], pair[1]), place + 1);
        }
        self.unranked = 0;
        Some(part.len())
    }

    #[inline]
    fn characters(&mut self, vocab: &Vocab, text: &[u8], start: usize, end: usize) -> Option<usize> {
        let merging = vocab.merging();
        let symbols = merging.symbols().write(vocab, text, start, end, &mut self.ids[1..=LONGEST])?;
        self.clear(symbols);
        for place in 1..symbols {
            merging.ask(self.ids[place & (PLACES - 1)], self.ids[(place + 1) & (PLACES - 1)]).expect(merging);
        }
        self.unranked = symbols;
        Some(symbols)
    }

    /// Takes in the ranks of all symbols.
    #[inline]
    fn rank(&mut self, merging: &Merging) {
        for place in 1..self.unranked {
            let pair = merging.ask(self.ids[place & (PLACES - 1)], self.ids[(place + 1) & (PLACES - 1)]);
            self.ranks[place & (PLACES - 1)] = to_rank(pair.answer(merging), place);
        }
    }

    /// Merges the two symbols with the lowest rank, of equal ranks the left ones, if any merge; asks for the ranks of the
    /// new symbol.
    #[inline]
    fn merge(&mut self, merging: &Merging, step: &mut Step) -> bool {
        let (rows, _) = self.ranks.as_chunks::<ROW>();
        let mut least = rows[0];
        for row in rows.iter().take(self.rows).skip(1) {
            least = std::array::from_fn(|i| if row[i] < least[i] { row[i] } else { least[i] });
        }
        let best = smallest(&least);
        if best >= NEVER {
            return false;
        }
        let (at, id) = (best as usize & (PLACES - 1), best >> PLACE_BITS);
        let behind = self.live & (u64::MAX - 1) << at;
        let gone = behind.trailing_zeros() as usize & (PLACES - 1);
        let next = (behind & behind.wrapping_sub(1)).trailing_zeros() as usize & (PLACES - 1);
        let before = (63 - (self.live & ((1 << at) - 1) | 1).leading_zeros() as usize) & (PLACES - 1);
        self.live ^= 1 << gone;
        self.count = self.count.wrapping_sub(1);
        self.ids[at] = id;
        self.ranks[gone] = f32::from_bits(NEVER);
        let (right, left) = (merging.begin(id, self.ids[next]), merging.begin(self.ids[before], id));
        right.expect(merging);
        left.expect(merging);
        // Written where it is read: a copy would wait for itself.
        (step.at, step.before, step.right, step.left) = (at as u8, before as u8, right, left);
        true
    }

    /// Takes in the ranks of the new symbol.
    #[inline]
    fn settle(&mut self, merging: &Merging, step: &Step, (right, left): (Question, Question)) {
        let (at, before) = (usize::from(step.at), usize::from(step.before));
        self.ranks[at & (PLACES - 1)] = to_rank(right.answer(merging), at);
        self.ranks[before & (PLACES - 1)] = to_rank(left.answer(merging), before);
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        (1..PLACES).filter(|at| self.live >> at & 1 != 0).map(|at| self.ids[at]).take(self.count as usize)
    }
}

/// A merge whose neighbours are still asked for.
#[derive(Clone, Copy, Default)]
struct Step {
    at: u8,
    before: u8,
    right: Begun,
    left: Begun,
}

impl Step {
    /// Has the answers fetched.
    #[inline]
    fn ask(&self, merging: &Merging) -> (Question, Question) {
        let (right, left) = (self.right.place(merging), self.left.place(merging));
        right.expect(merging);
        left.expect(merging);
        (right, left)
    }
}

/// The smallest of some ranks.
#[inline]
fn smallest(row: &[f32; ROW]) -> u32 {
    let min = |a: f32, b: f32| if a < b { a } else { b };
    let (fours, _) = row.as_chunks::<4>();
    let best: [f32; 4] = std::array::from_fn(|i| min(min(fours[0][i], fours[1][i]), min(fours[2][i], fours[3][i])));
    min(min(best[0], best[1]), min(best[2], best[3])).to_bits()
}

#[inline]
fn to_rank(merged: u32, place: usize) -> f32 {
    f32::from_bits(merged << PLACE_BITS | place as u32)
}

/// Parts wait for each other so that many merge at the same time: one alone would wait for memory at every step.
pub(super) struct Merger {
    lanes: Box<[Lane]>,
    len: usize,
    steps: [Step; LANES],
    questions: [(Question, Question); LANES],
}

impl Merger {
    pub(super) fn new() -> Self {
        Self {
            lanes: vec![Lane::EMPTY; LANES].into_boxed_slice(),
            len: 0,
            steps: [Step::default(); LANES],
            questions: [<(Question, Question)>::default(); LANES],
        }
    }

    /// Adds the tokens of the piece `text[start..end]`, which is no token, to `counts[owner]` now or when all are counted.
    #[inline]
    pub(super) fn add(&mut self, vocab: &Vocab, text: &[u8], start: usize, end: usize, owner: u16, counts: &mut [u32]) {
        let piece = &text[start..end];
        if let [first, second, third] = *piece {
            let merging = vocab.merging();
            let none = merging.byte_pair(first, second) & merging.byte_pair(second, third) == ID;
            counts[usize::from(owner)] += if none { 3 } else { 2 };
            return;
        }
        if piece.len() <= LONGEST || piece.is_ascii() {
            self.add_part(vocab, text, start, end, owner, counts);
            return;
        }
        for (from, to) in vocab.joints().parts(piece) {
            let part = &piece[from..to];
            if part.len() < piece.len() && vocab.find(part) != NONE {
                counts[usize::from(owner)] += 1;
            } else {
                self.add_part(vocab, text, start + from, start + to, owner, counts);
            }
        }
    }

    #[inline]
    fn add_part(&mut self, vocab: &Vocab, text: &[u8], start: usize, end: usize, owner: u16, counts: &mut [u32]) {
        if self.len == LANES {
            self.run(vocab, counts);
        }
        let lane = &mut self.lanes[self.len];
        lane.owner = owner;
        if lane.start(vocab, text, start, end) {
            self.len += 1;
        } else {
            counts[usize::from(owner)] += long::count(vocab, &text[start..end]) as u32;
        }
    }

    /// Counts the parts that wait.
    pub(super) fn run(&mut self, vocab: &Vocab, counts: &mut [u32]) {
        let mut len = std::mem::take(&mut self.len);
        if len == 0 {
            return;
        }
        let merging = vocab.merging();
        let mut active: [u8; LANES] = std::array::from_fn(|number| number as u8);
        for lane in self.lanes.iter_mut().take(len) {
            lane.rank(merging);
        }
        while len > 0 {
            let mut at = 0;
            while at < len {
                let lane = &mut self.lanes[usize::from(active[at]) & (LANES - 1)];
                if lane.merge(merging, &mut self.steps[at & (LANES - 1)]) {
                    at += 1;
                    continue;
                }
                counts[usize::from(lane.owner)] += lane.count;
                len -= 1;
                active.swap(at, len);
            }
            for (questions, step) in self.questions.iter_mut().zip(&self.steps).take(len) {
                *questions = step.ask(merging);
            }
            for ((number, step), questions) in active.iter().zip(&self.steps).zip(&self.questions).take(len) {
                self.lanes[usize::from(*number) & (LANES - 1)].settle(merging, step, *questions);
            }
        }
    }
}

/// Appends the tokens of a piece that is no token itself.
pub(super) fn encode(vocab: &Vocab, piece: &[u8], ids: &mut Vec<u32>) {
    let merging = vocab.merging();
    for (start, end) in vocab.joints().parts(piece) {
        let part = &piece[start..end];
        let id = if part.len() == piece.len() { NONE } else { vocab.find(part) };
        if id != NONE {
            ids.push(id);
            continue;
        }
        let mut lane = Lane::EMPTY;
        if lane.start(vocab, piece, start, end) {
            lane.rank(merging);
            let mut step = Step::default();
            while lane.merge(merging, &mut step) {
                lane.settle(merging, &step, step.ask(merging));
            }
            ids.extend(lane.ids());
        } else {
            long::encode(vocab, part, ids);
        }
    }
}
