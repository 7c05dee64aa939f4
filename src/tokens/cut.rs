//! Where a piece can be cut without changing its tokens: between two characters that no token joins.
//!
//! A merge across a boundary makes a token that spans it. So if no token of the vocabulary has these two characters
//! side by side, and none that starts or ends inside a character fits around the boundary, what stands left and right
//! of it is encoded apart. In scripts without spaces this leaves words of a few characters.

#![allow(clippy::indexing_slicing)] // tables are as large as the masks of their indices

use super::class;
use super::vocab::Vocab;

/// log2 of the bits that remember pairs of characters.
const PAIR_BITS: u32 = 20;

/// Which neighbours some token joins.
pub(super) struct Joints {
    /// Bloom filter of whole characters side by side.
    pairs: Box<[u64]>,
    /// Last byte on the left, first byte on the right, of tokens that hold a part of a character.
    broken: Box<[u64]>,
}

/// Characters of a run.
pub(super) struct Run {
    /// Where they end.
    pub(super) end: usize,
    /// The last character.
    pub(super) last: u32,
    /// How often they can be cut.
    pub(super) cuts: usize,
    /// The class of what comes behind, unless there was no more room.
    pub(super) behind: Option<u8>,
}

impl Joints {
    pub(super) fn new(vocab: &Vocab) -> Self {
        let mut joints = Self { pairs: vec![0; 1 << (PAIR_BITS - 6)].into(), broken: vec![0; 1 << 10].into() };
        for id in 0..vocab.len() as u32 {
            let token = vocab.token(id).unwrap_or_default();
            if token.is_ascii() {
                continue;
            }
            let mut left = Some(0);
            for at in 1..token.len() {
                if is_continuation(token[at]) {
                    continue;
                }
                let whole_left = left.and_then(|left| character(&token[left..at]));
                let whole_right = character(&token[at..(at + width(token[at])).min(token.len())]);
                if let (Some(left), Some(right)) = (whole_left, whole_right) {
                    let (word, bit) = pair_bit(left, right);
                    joints.pairs[word] |= bit;
                } else {
                    let (word, bit) = byte_bit(token[at - 1], token[at]);
                    joints.broken[word] |= bit;
                }
                left = Some(at);
            }
        }
        joints
    }

    /// Whether a token that has both characters whole may span the boundary between them.
    #[inline]
    pub(super) fn pair(&self, left: u32, right: u32) -> bool {
        let (word, bit) = pair_bit(left, right);
        self.pairs[word] & bit != 0
    }

    /// Whether a token that has a part of a character may span the boundary behind the last byte of a character and
    /// before the first of another.
    #[inline]
    pub(super) fn broken(&self, left_byte: u8, right_byte: u8) -> bool {
        let (word, bit) = byte_bit(left_byte, right_byte);
        self.broken[word] & bit != 0
    }

    /// Whether a piece must not be cut between two characters, of which one is not ASCII.
    #[inline]
    pub(super) fn joined(&self, left: u32, right: u32, left_byte: u8, right_byte: u8) -> bool {
        self.pair(left, right) | self.broken(left_byte, right_byte)
    }

    /// Goes on behind the character `last` with characters of these classes while there is room for their places, and
    /// writes down the places of cuts.
    #[inline]
    pub(super) fn cut_run(&self, text: &[u8], at: usize, last: u32, classes: u8, places: &mut [usize]) -> Run {
        let mut run = Run { end: at, last, cuts: 0, behind: None };
        let mut left = text[at - 1];
        while let Some(place) = places.get_mut(run.cuts) {
            let (class, code, width) = match text.get(run.end..).and_then(<[u8]>::first_chunk::<3>) {
                Some(&[first, second, third]) if first & 0xF0 == 0xE0 => {
                    let code = u32::from(first & 0x0F) << 12 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
                    (class::of(code), code, 3)
                }
                _ => class::character(text, run.end),
            };
            if class & classes == 0 {
                run.behind = Some(class);
                break;
            }
            // Nobody can foretell where cuts are: the place is noted in any case, and kept if it is one.
            *place = run.end;
            run.cuts += usize::from(!self.joined(run.last, code, left, text[run.end]));
            run.end += width;
            (run.last, left) = (code, text[run.end - 1]);
        }
        run
    }

    /// The parts of a piece: where each starts and ends.
    pub(super) fn parts<'a>(&'a self, piece: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let (mut at, mut start, mut last) = (0, 0, 0);
        std::iter::from_fn(move || {
            while at < piece.len() {
                let (place, first) = (at, piece[at]);
                let (code, width) = if first < 0x80 { (u32::from(first), 1) } else { class::decode(piece, place) };
                at += width;
                let (left, right) = (std::mem::replace(&mut last, code), code);
                if place == start || left | right < 0x80 {
                    continue;
                }
                if !self.joined(left, right, piece[place - 1], first) {
                    return Some((std::mem::replace(&mut start, place), place));
                }
            }
            (start < piece.len()).then(|| (std::mem::replace(&mut start, piece.len()), piece.len()))
        })
    }
}

pub(super) fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

pub(super) fn width(first: u8) -> usize {
    match first {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

/// The code point of bytes that are exactly one character.
fn character(bytes: &[u8]) -> Option<u32> {
    let mut characters = std::str::from_utf8(bytes).ok()?.chars();
    let character = characters.next()?;
    characters.next().is_none().then_some(u32::from(character))
}

#[inline]
fn pair_bit(left: u32, right: u32) -> (usize, u64) {
    let hash = (u64::from(left) << 21 | u64::from(right)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PAIR_BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

#[inline]
fn byte_bit(left: u8, right: u8) -> (usize, u64) {
    (usize::from(left) << 2 | usize::from(right >> 6), 1 << (right & 63))
}
