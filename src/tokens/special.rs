//! Special tokens: text that stands for one id, if the caller allows it.

#![allow(clippy::indexing_slicing)] // positions come from the search

use std::collections::HashMap;

/// The special tokens of an encoding.
#[derive(Clone, Debug, Default)]
pub(super) struct Specials {
    ids: HashMap<Box<str>, u32>,
    texts: HashMap<u32, Box<str>>,
    /// Their lengths in bytes, longest first.
    lengths: Vec<usize>,
    /// Their first bytes.
    first: Vec<u8>,
}

impl Specials {
    pub(super) fn new(tokens: impl IntoIterator<Item = (String, u32)>) -> Self {
        let mut specials = Self::default();
        for (text, id) in tokens {
            if let Some(&first) = text.as_bytes().first() {
                specials.first.push(first);
                specials.lengths.push(text.len());
                specials.ids.insert(text.clone().into(), id);
                specials.texts.insert(id, text.into());
            }
        }
        specials.first.sort_unstable();
        specials.first.dedup();
        specials.lengths.sort_unstable_by(|a, b| b.cmp(a));
        specials.lengths.dedup();
        specials
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.ids.iter().map(|(text, id)| (&**text, *id))
    }

    pub(super) fn id(&self, text: &str) -> Option<u32> {
        self.ids.get(text).copied()
    }

    pub(super) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(&id).map(|text| &**text)
    }

    /// The first special token in `text` at or behind `from` that `wanted` accepts: where, its text and its id.
    pub(super) fn find<'t>(
        &self,
        text: &'t str,
        from: usize,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Option<(usize, &'t str, u32)> {
        let bytes = text.as_bytes();
        let mut at = from;
        while at < bytes.len() {
            at += bytes[at..].iter().position(|byte| self.first.contains(byte))?;
            for &length in &self.lengths {
                if let Some(token) = text.get(at..at + length)
                    && let Some(id) = self.id(token)
                    && wanted(token)
                {
                    return Some((at, token, id));
                }
            }
            at += 1;
        }
        None
    }
}
