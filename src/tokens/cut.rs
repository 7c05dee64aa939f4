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

    /// Whether a token may span the boundary between two characters, of which `left_byte` is the last byte of the
    /// left one and `right_byte` the first of the right one.
    #[inline]
    pub(super) fn joined(&self, left: u32, right: u32, left_byte: u8, right_byte: u8) -> bool {
        let (word, bit) = pair_bit(left, right);
        if self.pairs[word] & bit != 0 {
            return true;
        }
        let (word, bit) = byte_bit(left_byte, right_byte);
        self.broken[word] & bit != 0
    }

    /// The ends of the parts of `text[start..end]`, which is not empty.
    #[inline]
    pub(super) fn cuts<'a>(&'a self, text: &'a [u8], start: usize, end: usize) -> impl Iterator<Item = usize> + 'a {
        let (mut at, mut part, mut last) = (start, start, 0);
        std::iter::from_fn(move || {
            while at < end {
                let (place, first) = (at, text[at]);
                let (code, width) = if first < 0x80 { (u32::from(first), 1) } else { class::decode(text, place) };
                at += width;
                let cut = place > part && (code | last) >= 0x80 && !self.joined(last, code, text[place - 1], first);
                last = code;
                if cut {
                    part = place;
                    return Some(place);
                }
            }
            (part < end).then(|| {
                part = end;
                end
            })
        })
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}

fn width(first: u8) -> usize {
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
