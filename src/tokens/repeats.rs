//! Byte-pair encoding of a long piece that says the same over and over, a merge at a time for all places at once.
//!
//! A merge makes a token whose rank is above those of its parts, so no merge makes one of a lower rank possible: each
//! rank is done with once all its places are merged, from left to right. The places that wait are kept by rank.
//!
//! The piece is worked on in windows. What two windows make fits together if the tokens where they meet do
//! (`long::compatible`); otherwise they meet earlier.

#![allow(clippy::indexing_slicing)] // places are below the length of the window, ids come from the vocabulary

use std::collections::BTreeMap;

use super::cycle;
use super::long::compatible;
use super::vocab::{NONE, Vocab};

/// Bytes that are worked on together at first.
const WINDOW: usize = 1 << 7;

/// No place.
const NOWHERE: u32 = u32::MAX;

/// The tokens of `piece`.
pub(super) fn tokens(vocab: &Vocab, piece: &[u8]) -> Vec<u32> {
    let mut tokens: Vec<u32> = Vec::new();
    let (mut at, mut window, mut doubtful) = (0, WINDOW, 0);
    while at < piece.len() {
        let end = piece.len().min(at + window);
        let mut found = Window::new(vocab, &piece[at..end]).merged();
        if end < piece.len() {
            if found.len() < 2 {
                window *= 2;
                continue;
            }
            // The tokens at the end would be others if more followed.
            found.truncate(found.len() / 2);
        }
        let fits = match (tokens.last(), found.first()) {
            (Some(last), Some(first)) => compatible(vocab, *last, *first),
            _ => true,
        };
        if fits {
            at += found.iter().map(|id| vocab.width(*id)).sum::<usize>();
            tokens.append(&mut found);
            at = cycle::go_on(vocab, piece, &mut tokens, at);
            if at > doubtful {
                window = WINDOW;
            }
        } else {
            // Not a place where two tokens meet after all: take the last one back and look further, until past this place.
            doubtful = doubtful.max(at);
            at -= tokens.pop().map_or(0, |last| vocab.width(last));
            window *= 2;
        }
    }
    tokens
}

/// The symbols of a window, a list by places: each stands where its first byte does.
struct Window<'a> {
    vocab: &'a Vocab,
    ids: Vec<u32>,
    before: Vec<u32>,
    behind: Vec<u32>,
    /// Places that merge into a token, by its id. Some are out of date.
    waiting: BTreeMap<u32, Vec<u32>>,
    /// The pair that was asked for last, and what it merges into: the next one is often the same.
    asked: (u32, u32, u32),
}

impl<'a> Window<'a> {
    fn new(vocab: &'a Vocab, bytes: &[u8]) -> Self {
        let len = bytes.len() as u32;
        let mut window = Self {
            vocab,
            ids: bytes.iter().map(|byte| vocab.byte(*byte)).collect(),
            before: (0..len).map(|place| place.wrapping_sub(1)).collect(),
            behind: (1..len).chain([NOWHERE]).collect(),
            waiting: BTreeMap::new(),
            asked: (NONE, NONE, NONE),
        };
        (0..len).for_each(|place| window.wait(place));
        window
    }

    /// Lets a place wait for its merge with the next one, if there is one.
    fn wait(&mut self, place: u32) {
        let next = self.behind[place as usize];
        if next == NOWHERE {
            return;
        }
        let (left, right) = (self.ids[place as usize], self.ids[next as usize]);
        if (left, right) != (self.asked.0, self.asked.1) {
            self.asked = (left, right, self.vocab.merging().merge(left, right));
        }
        if self.asked.2 != NONE {
            self.waiting.entry(self.asked.2).or_default().push(place);
        }
    }

    fn merged(mut self) -> Vec<u32> {
        while let Some((id, mut places)) = self.waiting.pop_first() {
            let parts = self.vocab.parts(id);
            if !places.is_sorted() {
                places.sort_unstable();
            }
            places.retain(|place| self.merge(*place, parts, id));
            for place in places {
                self.wait(place);
                let before = self.before[place as usize];
                if before != NOWHERE && self.ids[before as usize] != id {
                    self.wait(before);
                }
            }
        }
        let mut tokens = Vec::new();
        let mut place = 0;
        while place != NOWHERE {
            tokens.push(self.ids[place as usize]);
            place = self.behind[place as usize];
        }
        tokens
    }

    /// Merges the symbol at a place with the next one if they still are what they were.
    fn merge(&mut self, place: u32, (left, right): (u32, u32), id: u32) -> bool {
        let next = self.behind[place as usize];
        if next == NOWHERE || self.ids[place as usize] != left || self.ids[next as usize] != right {
            return false;
        }
        let last = self.behind[next as usize];
        self.ids[place as usize] = id;
        self.ids[next as usize] = NONE;
        self.behind[place as usize] = last;
        if last != NOWHERE {
            self.before[last as usize] = place;
        }
        true
    }
}
