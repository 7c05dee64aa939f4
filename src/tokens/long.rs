//! Byte-pair encoding of a long piece in linear time.
//!
//! Byte-pair encoding of a text is the only sequence of tokens in which each two neighbours, encoded together, stay
//! these two (`compatible`). So the search goes from left to right with the longest token that fits, takes a shorter one if
//! the neighbours are not compatible, steps back if there is none, and remembers the dead ends: each place is left
//! backwards at most once.
//!
//! Where many tokens must be tried for each that fits, as in a long line of dashes, merging is quicker (`repeats`). What
//! repeats itself is searched for a few rounds only (`cycle`).

#![allow(clippy::indexing_slicing)] // positions are at most the length of the piece, ids come from the vocabulary

use super::cycle;
use super::repeats;
use super::vocab::{NONE, Vocab};

/// How many tokens are tried beyond five for each four bytes before the search is given up. Random letters take one a
/// byte, what repeats itself up to 25.
const PATIENCE: usize = 64;
/// After so many tokens it pays to look whether they repeat themselves.
const OFTEN: usize = 32;

/// Number of tokens of `piece`.
pub(super) fn count(vocab: &Vocab, piece: &[u8]) -> usize {
    search(vocab, piece).len()
}

/// Appends the tokens of `piece`.
pub(super) fn encode(vocab: &Vocab, piece: &[u8], ids: &mut Vec<u32>) {
    ids.extend(search(vocab, piece));
}

fn search(vocab: &Vocab, piece: &[u8]) -> Vec<u32> {
    let mut dead = vec![0_u64; piece.len() / 64 + 1];
    let (mut at, mut tokens) = (0, Vec::new());
    let mut next = vocab.longest(piece);
    let (mut tries, mut copied) = (0, 0);
    loop {
        tries += 1;
        if tries > at + at / 4 + PATIENCE {
            return repeats::tokens(vocab, piece);
        }
        let end = at + vocab.width(next);
        let last = tokens.last().copied();
        let fits = dead[end / 64] >> (end % 64) & 1 == 0 && last.is_none_or(|last| compatible(vocab, last, next));
        if fits {
            tokens.push(next);
            at = end;
            if tokens.len().is_multiple_of(OFTEN) {
                at = cycle::go_on(vocab, piece, &mut tokens, at);
                copied = if at > end { tokens.len() } else { copied };
            }
            if at == piece.len() {
                return tokens;
            }
            next = vocab.longest(&piece[at..]);
            continue;
        }
        next = shorter(vocab, &piece[at..end]);
        while next == NONE {
            // Nothing fits here: this place is dead, try a shorter token before it.
            dead[at / 64] |= 1 << (at % 64);
            let Some(last) = tokens.pop() else { return tokens };
            if tokens.len() < copied {
                // Of what was copied nobody knows which longer tokens do not fit.
                return repeats::tokens(vocab, piece);
            }
            at -= vocab.width(last);
            next = shorter(vocab, &piece[at..at + vocab.width(last)]);
        }
    }
}

/// The longest token that the bytes of a token start with, but for itself.
fn shorter(vocab: &Vocab, token: &[u8]) -> u32 {
    vocab.longest(&token[..token.len() - 1])
}

/// Whether encoding the bytes of both tokens together gives these two tokens.
///
/// Undoes the merges of both from the highest rank down; wherever the inner ends would have merged before a merge that
/// was undone, encoding both together goes another way.
pub(super) fn compatible(vocab: &Vocab, mut left: u32, mut right: u32) -> bool {
    let mut limit = NONE;
    loop {
        if vocab.merging().merge(left, right) < limit {
            return false;
        }
        let (undo_left, undo_right) = (vocab.parts(left), vocab.parts(right));
        let (left_is_byte, right_is_byte) = (undo_left.0 == left, undo_right.0 == right);
        // Of two equal ranks the left one merges first, so the right one is undone first.
        if !left_is_byte && (right_is_byte || left > right) {
            limit = left;
            left = undo_left.1;
        } else if !right_is_byte {
            limit = right.saturating_add(1);
            right = undo_right.0;
        } else {
            return true;
        }
    }
}
