//! Byte-pair encoding of a long piece in linear time.
//!
//! Byte-pair encoding of a text is the only sequence of tokens in which each two neighbours, encoded together, stay
//! these two (`compatible`). So the search goes from left to right with the longest token that fits, takes a shorter one if
//! the neighbours are not compatible, steps back if there is none, and remembers the dead ends: each place is left
//! backwards at most once.

#![allow(clippy::indexing_slicing)] // positions are at most the length of the piece, ids come from the vocabulary

use super::vocab::{NONE, Vocab};

/// Number of tokens of `piece`.
pub(super) fn count(vocab: &Vocab, piece: &[u8]) -> usize {
    search(vocab, piece).len()
}

/// Appends the tokens of `piece`.
pub(super) fn encode(vocab: &Vocab, piece: &[u8], ids: &mut Vec<u32>) {
    ids.extend(search(vocab, piece));
}

fn search(vocab: &Vocab, piece: &[u8]) -> Vec<u32> {
    let prefixes = vocab.prefixes();
    let mut dead = vec![0_u64; piece.len() / 64 + 1];
    let (mut at, mut tokens) = (0, Vec::new());
    let mut next = prefixes.longest(piece);
    loop {
        let end = at + vocab.width(next);
        let last = tokens.last().copied();
        let fits = dead[end / 64] >> (end % 64) & 1 == 0 && last.is_none_or(|last| compatible(vocab, last, next));
        if fits {
            tokens.push(next);
            at = end;
            if at == piece.len() {
                return tokens;
            }
            next = prefixes.longest(&piece[at..]);
            continue;
        }
        next = prefixes.shorter(next);
        while next == NONE {
            // Nothing fits here: this place is dead, try a shorter token before it.
            dead[at / 64] |= 1 << (at % 64);
            let Some(last) = tokens.pop() else { return tokens };
            at -= vocab.width(last);
            next = prefixes.shorter(last);
        }
    }
}

/// Whether encoding the bytes of both tokens together gives these two tokens.
///
/// Undoes the merges of both from the highest rank down; wherever the inner ends would have merged before a merge that
/// was undone, encoding both together goes another way.
fn compatible(vocab: &Vocab, mut left: u32, mut right: u32) -> bool {
    let mut limit = NONE;
    loop {
        if vocab.merge(left, right) < limit {
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

/// All prefixes of all tokens.
pub(super) struct Prefixes {
    /// Open addressing: node << 8 | byte → node. Node 0 is the empty prefix.
    slots: Vec<(u32, u32)>,
    /// The token that a node is, or `NONE`.
    tokens: Vec<u32>,
    /// For each token the longest token that it starts with.
    shorter: Vec<u32>,
}

impl Prefixes {
    pub(super) fn new(vocab: &Vocab) -> Self {
        let ids = 0..vocab.len() as u32;
        let bytes: usize = ids.clone().filter_map(|id| vocab.token(id)).map(<[u8]>::len).sum();
        let mut prefixes = Self {
            slots: vec![(NONE, 0); bytes.next_power_of_two()],
            tokens: vec![NONE],
            shorter: vec![NONE; vocab.len()],
        };
        for id in ids.clone() {
            let mut node = 0;
            for &byte in vocab.token(id).unwrap_or_default() {
                let (slot, found) = prefixes.slot(node, byte);
                node = if found == NONE {
                    let new = prefixes.tokens.len() as u32;
                    prefixes.tokens.push(NONE);
                    prefixes.slots[slot] = (node << 8 | u32::from(byte), new);
                    new
                } else {
                    found
                };
            }
            if node != 0 {
                prefixes.tokens[node as usize] = id;
            }
        }
        for id in ids {
            let token = vocab.token(id).unwrap_or_default();
            if let Some((_, start)) = token.split_last() {
                prefixes.shorter[id as usize] = prefixes.longest(start);
            }
        }
        prefixes
    }

    #[inline]
    fn slot(&self, node: u32, byte: u8) -> (usize, u32) {
        let key = node << 8 | u32::from(byte);
        let mut slot = (u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & (self.slots.len() - 1);
        loop {
            let (found, node) = self.slots[slot];
            if found == key {
                return (slot, node);
            }
            if found == NONE {
                return (slot, NONE);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// The longest token that `bytes` start with, or `NONE` if there is no byte.
    #[inline]
    fn longest(&self, bytes: &[u8]) -> u32 {
        let (mut node, mut best) = (0, NONE);
        for &byte in bytes {
            node = self.slot(node, byte).1;
            if node == NONE {
                break;
            }
            let token = self.tokens[node as usize];
            if token != NONE {
                best = token;
            }
        }
        best
    }

    #[inline]
    fn shorter(&self, token: u32) -> u32 {
        self.shorter[token as usize]
    }
}
