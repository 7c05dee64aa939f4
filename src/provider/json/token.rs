//! Tokens: texts and scalars, whole or cut by the end of a piece.

use super::Scanner;
use super::find::{end_of_scalar, find_quote, is_escaped};
use crate::provider::facts::Facts;
use crate::provider::number::Number;
use crate::provider::place::{Means, Place};
use crate::provider::slot::Note;
use crate::provider::text::{self, Collector};

/// How many bytes of a name, number or short text are kept when a piece ends inside it.
pub(super) const MOST_TOKEN: usize = 4096;
/// The same for delivered text and for a wrapped body, which Bedrock limits to 24 MB.
const MOST_FLOW: usize = 32 << 20;

impl Scanner {
    /// The text that ends in `bytes`, without its quotes, and the position behind it. What an earlier piece cut is in
    /// `self.token`, and so is then the whole text.
    pub(super) fn take_text<'b>(&mut self, bytes: &'b [u8], at: usize, most: usize) -> Option<(&'b [u8], usize)> {
        let end = self.end_of_text(bytes, at);
        let raw = bytes.get(at..end.map_or(bytes.len(), |end| end - 1)).unwrap_or_default();
        if end.is_none() || !self.token.is_empty() {
            self.keep(raw, most);
        }
        Some((raw, end?))
    }

    pub(super) fn most_text(&self) -> usize {
        let flows = self.means.and_then(|means| means.note).is_some_and(Note::flows);
        if flows { MOST_FLOW } else { MOST_TOKEN }
    }

    pub(super) fn take_scalar(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let end = end_of_scalar(bytes, at);
        if end.is_none() || !self.token.is_empty() {
            self.keep(bytes.get(at..end.unwrap_or(bytes.len())).unwrap_or_default(), MOST_TOKEN);
        }
        end
    }

    fn keep(&mut self, raw: &[u8], most: usize) {
        if self.token.len() + raw.len() > most {
            self.too_long = true;
        }
        let room = most.saturating_sub(self.token.len()).min(raw.len());
        self.token.extend_from_slice(raw.get(..room).unwrap_or_default());
    }

    pub(super) fn forget_token(&mut self) {
        self.token.clear();
        self.too_long = false;
    }

    pub(super) fn token_means(&self, place: Place) -> Option<&'static Means> {
        if self.too_long { None } else { name_means(place, &self.token) }
    }

    /// Position behind the quote that ends a text.
    #[inline]
    pub(super) fn end_of_text(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        if at >= bytes.len() {
            return None; // and what is escaped is still to come
        }
        let start = at + usize::from(std::mem::take(&mut self.escape));
        let mut at = start;
        // Texts have many more escapes than quotes in them, so only quotes are looked for and then looked behind.
        while let Some(quote) = bytes.get(at..).and_then(find_quote) {
            let end = at + quote;
            if !is_escaped(bytes.get(start..end).unwrap_or_default()) {
                return Some(end + 1);
            }
            at = end + 1;
        }
        self.escape = is_escaped(bytes.get(start..).unwrap_or_default());
        None
    }

    #[inline]
    pub(super) fn hear_text(&mut self, raw: &[u8], facts: &mut Facts, collector: &mut Collector) {
        let Some(means) = self.means else { return };
        let raw = if self.token.is_empty() { raw } else { &self.token };
        if let Some(slot) = means.count {
            let number = if self.too_long { Number::Bad } else { Number::read(&text::unescape(raw)) };
            facts.count(slot, number);
        }
        match means.note {
            Some(Note::Wrapped) => {
                let mut unwrapper = self.wrapped.take().unwrap_or_default();
                unwrapper.unwrap(&text::unescape(raw), facts, collector);
                self.wrapped = Some(unwrapper);
            }
            Some(note) if note.flows() => collector.take(note, &text::unescape(raw)),
            Some(note) if !self.too_long => match std::str::from_utf8(raw) {
                Ok(plain) if !plain.contains('\\') => facts.note(note, plain, self.depth),
                _ => facts.note(note, &String::from_utf8_lossy(&text::unescape(raw)), self.depth),
            },
            _ => {}
        }
    }
}

#[inline]
pub(super) fn name_means(place: Place, name: &[u8]) -> Option<&'static Means> {
    place.member(name).or_else(|| {
        // An escape in a name is legal and never seen.
        if name.contains(&b'\\') { place.member(&text::unescape(name)) } else { None }
    })
}

#[inline]
pub(super) fn hear_scalar(means: Means, raw: &[u8], too_long: bool, facts: &mut Facts) {
    if let Some(slot) = means.count {
        facts.count(slot, if too_long { Number::Bad } else { Number::read(raw) });
    }
    if let Some(note) = means.note {
        facts.scalar_note(note, std::str::from_utf8(raw).unwrap_or_default());
    }
}
