//! What merging starts with: characters, where their bytes merge before anything merges across their ends.
//!
//! A merge makes a token whose rank is above those of its parts, so merges come in the order of their ranks. The first
//! one that tears a character makes a token that ends or starts inside of it. If the tokens that could do so beside its
//! neighbours have higher ranks than the character, it is one symbol before any of them can be made; so is the beginning
//! of a character, and a space with the character behind it.

#![allow(clippy::indexing_slicing)] // tables are as large as what indexes them, places are below the length

use std::collections::HashMap;
use std::hint::select_unpredictable;

use super::class;
use super::cut::{is_continuation, width};
use super::merging::{ID, ID_BITS};
use super::vocab::Vocab;

/// A byte that is in no text, where a part starts or ends.
const NOTHING: u8 = 0xFF;
/// A symbol that is no token: whatever stands beside it, it is torn.
const NO_SYMBOL: u32 = ID;

/// The symbols that characters are before anything merges across their ends. Each is a token, and above its id the number
/// of what tears it.
pub(super) struct Symbols {
    /// Each character below U+10000, and a space with this character where a part starts with them.
    characters: Box<[[u32; 2]]>,
    /// The first two bytes of longer characters.
    beginnings: Box<[u32]>,
    tearing: Vec<Tearing>,
}

/// Which bytes before a symbol, and which behind it, may merge with some of it before it is one.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Tearing {
    before: [u64; 4],
    behind: [u64; 4],
}

impl Tearing {
    #[inline]
    fn has(&self, before: u8, behind: u8) -> bool {
        let bit = |bits: &[u64; 4], byte: u8| bits[usize::from(byte >> 6)] >> (byte & 63) & 1;
        bit(&self.before, before) | bit(&self.behind, behind) != 0
    }
}

/// Bytes inside a character with which tokens end or start: the byte next to them in each of these tokens, and its id.
#[derive(Default)]
struct Edges(HashMap<u32, Vec<(u8, u32)>>);

impl Edges {
    fn add(&mut self, bytes: &[u8], beside: u8, id: u32) {
        self.0.entry(pack(bytes)).or_default().push((beside, id));
    }

    /// Marks the bytes beside `bytes` in tokens of lower rank than `id`.
    fn mark(&self, bytes: &[u8], id: u32, marks: &mut [u64; 4]) {
        for (beside, _) in self.0.get(&pack(bytes)).into_iter().flatten().filter(|(_, rank)| *rank < id) {
            marks[usize::from(beside >> 6)] |= 1 << (beside & 63);
        }
    }
}

impl Symbols {
    pub(super) fn new(vocab: &Vocab) -> Self {
        let mut symbols = Self {
            characters: vec![[NO_SYMBOL; 2]; 1 << 16].into(),
            beginnings: vec![NO_SYMBOL; 1 << 11].into(),
            tearing: vec![Tearing { before: [u64::MAX; 4], behind: [u64::MAX; 4] }],
        };
        let (mut ends, mut starts, mut first_start) = (Edges::default(), Edges::default(), ID);
        let mut found = Vec::new();
        for id in 0..vocab.len() as u32 {
            let [first, .., end] = *vocab.token(id).unwrap_or_default() else { continue };
            let token = vocab.token(id).unwrap_or_default();
            if is_continuation(first) {
                first_start = first_start.min(id);
                let rest = token.iter().take_while(|byte| is_continuation(**byte)).count();
                for at in 1..token.len().min(rest + 1).min(4) {
                    starts.add(&token[..at], token[at], id);
                }
            } else if end >= 0x80 && token.len() <= 4 {
                found.push(id);
            }
            if end >= 0x80
                && let Some(last) = (1..token.len()).rev().take(3).find(|at| !is_continuation(token[*at]))
                && token.len() - last < width(token[last])
            {
                ends.add(&token[last..], token[last - 1], id);
            }
        }
        let mut numbers = HashMap::new();
        for id in found {
            symbols.add(vocab, id, (&ends, &starts, first_start), &mut numbers);
        }
        symbols
    }

    /// Takes in a token that is a character or the beginning of one, maybe behind a space, if it can be a symbol.
    fn add(
        &mut self,
        vocab: &Vocab,
        id: u32,
        (ends, starts, first_start): (&Edges, &Edges, u32),
        numbers: &mut HashMap<Tearing, u32>,
    ) {
        let token = vocab.token(id).unwrap_or_default();
        let spaced = usize::from(token[0] == b' ');
        let character = &token[spaced..];
        if character.len() > 3 || character[0] < 0x80 || !character[1..].iter().all(|byte| is_continuation(*byte)) {
            return;
        }
        if spaced != 0 {
            // Only if the space takes the beginning of the character before anything behind it can.
            let first = vocab.parts(id).0;
            if vocab.width(first) == 1 || first > first_start || first > vocab.find(character) {
                return;
            }
        }
        let mut tearing = Tearing::default();
        for at in 1..character.len() {
            if spaced == 0 {
                ends.mark(&character[..at], id, &mut tearing.before);
            }
            starts.mark(&character[at..], id, &mut tearing.behind);
        }
        let next = self.tearing.len() as u32;
        let number = *numbers.entry(tearing).or_insert(next);
        if number >> (32 - ID_BITS) != 0 {
            return;
        }
        if number == next {
            self.tearing.push(tearing);
        }
        let symbol = number << ID_BITS | id;
        let code = std::str::from_utf8(character).ok().and_then(|text| text.chars().next());
        if let Some(symbols) = code.and_then(|code| self.characters.get_mut(code as usize)) {
            symbols[spaced] = symbol;
        } else if spaced == 0 && token.len() == 2 && width(token[0]) > 2 {
            self.beginnings[beginning(token[0], token[1])] = symbol;
        }
    }

    /// Writes the ids of the symbols of `text[start..end]` and says how many there are, if there is room.
    #[inline]
    pub(super) fn write(&self, vocab: &Vocab, text: &[u8], start: usize, end: usize, ids: &mut [u32]) -> Option<usize> {
        let byte = |at: usize| if at < end { text[at] } else { NOTHING };
        let (mut at, mut len, mut before) = (start, 0, NOTHING);
        if byte(at) == b' ' && byte(at + 1) >= 0x80 {
            let (code, width) = class::decode(text, at + 1);
            let symbol = self.character(code, 1);
            let torn = self.is_torn(symbol, before, byte(at + 1 + width));
            *ids.first_mut()? = symbol & ID;
            before = select_unpredictable(torn, before, byte(at + width));
            at = select_unpredictable(torn, at, at + 1 + width);
            len = usize::from(!torn);
        }
        while at < end {
            let room = ids.get_mut(len..)?.first_chunk_mut::<4>()?;
            let first = text[at];
            if first < 0x80 {
                room[0] = vocab.byte(first);
                (at, len, before) = (at + 1, len + 1, first);
                continue;
            }
            let (code, width) = class::decode(text, at);
            let whole = self.character(code, 0);
            let torn = self.is_torn(whole, before, byte(at + width));
            let last = byte(at + width - 1);
            let (start, start_torn) = if width == 2 {
                (vocab.byte(first), false)
            } else {
                let start = self.beginnings[beginning(first, byte(at + 1))];
                (start & ID, width == 4 || self.is_torn(start, before, byte(at + 2)))
            };
            #[allow(clippy::needless_bitwise_bool)] // nobody can foretell the first half
            if torn & start_torn {
                for (id, at) in room.iter_mut().zip(at..at + width) {
                    *id = vocab.byte(byte(at));
                }
                len += width;
            } else {
                // One symbol or two, without a branch that nobody can foretell.
                room[0] = select_unpredictable(torn, start, whole & ID);
                room[1] = vocab.byte(last);
                len += 1 + usize::from(torn);
            }
            (at, before) = (at + width, last);
        }
        Some(len)
    }

    #[inline]
    fn character(&self, code: u32, spaced: usize) -> u32 {
        self.characters.get(code as usize).map_or(NO_SYMBOL, |symbols| symbols[spaced])
    }

    #[inline]
    fn is_torn(&self, symbol: u32, before: u8, behind: u8) -> bool {
        self.tearing[(symbol >> ID_BITS) as usize].has(before, behind)
    }
}

/// Up to four bytes, the first one least significant.
fn pack(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte))
}

/// The place of the first two bytes of a character.
#[inline]
fn beginning(first: u8, second: u8) -> usize {
    usize::from(first & 0x1F) << 6 | usize::from(second & 0x3F)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::vocab::Vocab;
    use super::super::{bpe, long};

    #[test]
    fn characters_merge_as_their_bytes_do() {
        let data: [&[u8]; 3] = [
            include_bytes!("../../data/o200k_base.bpe"),
            include_bytes!("../../data/cl100k_base.bpe"),
            include_bytes!("../../data/p50k_base.bpe"),
        ];
        for data in data {
            let vocab = Vocab::from_bpe(data, usize::MAX);
            let words = prop_oneof![
                " ?[à-ɏḀ-ỿa-z]{1,12}",
                " ?[Α-ώ]{1,12}",
                " ?[Ѐ-ӿ]{1,16}",
                " ?[א-ת\u{591}-\u{5bd}]{1,12}",
                " ?[ء-ۓ]{1,16}",
                " ?[ऀ-ॿ]{1,20}",
                " ?[ঀ-෿]{1,12}",
                " ?[ก-๛]{1,40}",
                " ?[가-힣]{1,8}",
                " ?[ぁ-ヿ一-龥]{1,8}",
                "[‐-⁞ ]{1,4}",
                "[🌀-🙏\u{200d}]{1,4}",
                "\\PC{1,8}",
            ];
            let config = ProptestConfig::with_cases(5000);
            proptest!(config, |(words in prop::collection::vec(words, 1..3))| {
                let (piece, mut merged, mut searched) = (words.concat(), Vec::new(), Vec::new());
                bpe::encode(&vocab, piece.as_bytes(), &mut merged);
                long::encode(&vocab, piece.as_bytes(), &mut searched);
                prop_assert_eq!(merged, searched, "{:?}", piece);
            });
        }
    }
}
