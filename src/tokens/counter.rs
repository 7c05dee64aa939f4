//! Counts a text that comes in pieces.

#![allow(clippy::indexing_slicing)] // positions are piece boundaries

use std::borrow::Borrow;

use super::encoding::Encoding;

/// Counts a text that is fed in parts, exactly as if it had come at once, wherever it is split.
///
/// Keeps the last few pieces, whose tokens may change with what follows; for natural text some dozen bytes.
#[derive(Debug)]
pub struct Counter<E: Borrow<Encoding> = &'static Encoding> {
    encoding: E,
    /// Tokens of all that is not in `open`.
    settled: usize,
    open: String,
    /// Length of `open` from which it is worth looking for settled pieces again.
    patience: usize,
}

const PATIENCE: usize = 1 << 10;

impl<E: Borrow<Encoding>> Counter<E> {
    /// A counter of nothing yet.
    pub fn new(encoding: E) -> Self {
        Self { encoding, settled: 0, open: String::new(), patience: PATIENCE }
    }

    /// Adds text.
    pub fn feed(&mut self, text: &str) {
        self.open.push_str(text);
        if self.open.len() < self.patience {
            return;
        }
        let (settled, tokens) = self.encoding.borrow().settled(&self.open);
        self.settled += tokens;
        self.open.drain(..settled);
        // A piece of any length is looked at again only when it has doubled.
        self.patience = PATIENCE.max(self.open.len() * 2);
    }

    /// Number of tokens of all text so far.
    pub fn tokens(&self) -> usize {
        self.settled + self.encoding.borrow().count(&self.open)
    }

    /// Number of tokens if the text ended with `end`.
    pub fn tokens_with(&self, end: &str) -> usize {
        let mut open = self.open.clone();
        open.push_str(end);
        self.settled + self.encoding.borrow().count(&open)
    }
}
