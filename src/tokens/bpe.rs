//! Byte-pair encoding of one piece that is no token itself.

#![allow(clippy::indexing_slicing)] // indices stay below the number of symbols, which the caller bounds

use super::long;
use super::vocab::{NONE, Vocab};

/// Pieces up to this many bytes are merged step by step, longer ones by the linear search of [`long`].
pub(super) const SHORT: usize = 64;

/// The tokens of a piece of up to [`SHORT`] bytes while they merge.
pub(super) struct Symbols {
    ids: [u32; SHORT],
    /// What each symbol merges into with the next one.
    merged: [u32; SHORT],
    len: usize,
}

impl Symbols {
    /// Merges all that merges in `piece`, lowest rank first.
    #[inline]
    pub(super) fn of(vocab: &Vocab, piece: &[u8]) -> Self {
        let mut symbols = Self { ids: [0; SHORT], merged: [NONE; SHORT], len: piece.len().min(SHORT) };
        let len = symbols.len;
        for i in 0..len {
            symbols.ids[i] = vocab.byte(piece[i]);
            if i + 1 < len {
                symbols.merged[i] = vocab.byte_pair(piece[i], piece[i + 1]);
            }
        }
        symbols.merge(vocab);
        symbols
    }

    #[inline]
    fn merge(&mut self, vocab: &Vocab) {
        let mut len = self.len;
        while len > 1 {
            let (mut at, mut best) = (0, NONE);
            for (i, &merged) in self.merged[..len - 1].iter().enumerate() {
                if merged < best {
                    (at, best) = (i, merged);
                }
            }
            if best == NONE {
                break;
            }
            len -= 1;
            self.ids.copy_within(at + 1..=len, at);
            self.merged.copy_within(at + 1..=len, at);
            self.ids[at] = best;
            if at > 0 {
                self.merged[at - 1] = vocab.merge(self.ids[at - 1], best);
            }
            self.merged[at] = if at + 1 < len { vocab.merge(best, self.ids[at + 1]) } else { NONE };
        }
        self.len = len;
    }

    /// The tokens.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }
}

/// How many tokens a piece that is no token itself has.
pub(super) fn count(vocab: &Vocab, piece: &[u8]) -> usize {
    if piece.len() <= SHORT { Symbols::of(vocab, piece).len } else { long::count(vocab, piece) }
}

/// Appends the tokens of a piece that is no token itself.
pub(super) fn encode(vocab: &Vocab, piece: &[u8], ids: &mut Vec<u32>) {
    if piece.len() <= SHORT {
        ids.extend_from_slice(Symbols::of(vocab, piece).ids());
    } else {
        long::encode(vocab, piece, ids);
    }
}
