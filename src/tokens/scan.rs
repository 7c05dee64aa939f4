//! Splits text into the pieces that tiktoken's regular expressions find, without a regular expression.
//!
//! Every scan is one pass over the piece and what the pattern looks ahead to, so a text takes linear time.

#![allow(clippy::indexing_slicing)] // indices come from `Source::class`, which never passes the end

use std::cell::Cell;

use super::class::{self, END, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, PLAIN, SYMBOL, UPPER, WHITE};

/// Text to be split.
pub(super) trait Source {
    /// The bytes, valid UTF-8.
    fn bytes(&self) -> &[u8];
    /// Notes that a decision depended on where the text ends.
    fn reached_end(&self);

    /// Class and width of the character at `at`.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.bytes().get(at) {
            Some(&byte) if byte < 0x80 => (class::ASCII[usize::from(byte)], 1),
            Some(&byte) if byte < 0xE0 => {
                let next = self.bytes().get(at + 1).copied().unwrap_or(0);
                (class::SMALL[usize::from(byte & 0x1F) << 6 | usize::from(next & 0x3F)], 2)
            }
            Some(_) => {
                let (code, width) = class::decode(self.bytes(), at);
                (class::of(code), width)
            }
            None => {
                self.reached_end();
                (END, 0)
            }
        }
    }

    /// The end of the run of `classes` that starts at `at`.
    #[inline]
    fn run(&self, mut at: usize, classes: u8) -> usize {
        loop {
            let (class, width) = self.class(at);
            if class & classes == 0 {
                return at;
            }
            at += width;
        }
    }

    /// Whether `byte` stands at `at`.
    #[inline]
    fn is(&self, at: usize, byte: u8) -> bool {
        let found = self.bytes().get(at);
        if found.is_none() {
            self.reached_end();
        }
        found == Some(&byte)
    }
}

impl Source for &[u8] {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self
    }

    #[inline]
    fn reached_end(&self) {}
}

/// The beginning of a text that goes on: knows whether a piece could change with what comes.
pub(super) struct Growing<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) open: Cell<bool>,
}

impl Source for Growing<'_> {
    fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn reached_end(&self) {
        self.open.set(true);
    }
}

/// A family of splitting patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// `gpt2`, `r50k_base`, `p50k_base`, `p50k_edit`.
    R50k,
    /// `cl100k_base`.
    Cl100k,
    /// `o200k_base`, `o200k_harmony`.
    O200k,
}

impl Grammar {
    /// The regular expression as tiktoken writes it.
    pub(super) const fn pattern(self) -> &'static str {
        match self {
            Self::R50k => R50K,
            Self::Cl100k => CL100K,
            Self::O200k => O200K,
        }
    }

    /// The family of a regular expression of tiktoken.
    pub(super) fn from_pattern(pattern: &str) -> Option<Self> {
        [Self::R50k, Self::Cl100k, Self::O200k].into_iter().find(|grammar| grammar.pattern() == pattern)
    }
}

const R50K: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s";
const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+",
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
);
const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// One grammar as a type, so that the hot loops are compiled for each.
pub(super) trait Pattern {
    /// Which it is.
    const GRAMMAR: Grammar;
    /// The end of the piece that starts at `at`, which is not the end of the text.
    fn piece(text: &impl Source, at: usize) -> usize;
}

/// [`R50K`].
pub(super) struct R50k;
/// [`CL100K`].
pub(super) struct Cl100k;
/// [`O200K`].
pub(super) struct O200k;

impl Pattern for R50k {
    const GRAMMAR: Grammar = Grammar::R50k;

    #[inline]
    fn piece(text: &impl Source, at: usize) -> usize {
        let (first, width) = text.class(at);
        if text.is(at, b'\'')
            && let Some(end) = contraction(text, at, false)
        {
            return end;
        }
        let (class, next) = if text.is(at, b' ') { (text.class(at + 1).0, at + 1) } else { (first, at) };
        for classes in [LETTER, NUMBER, SYMBOL] {
            if class & classes != 0 {
                return text.run(next, classes);
            }
        }
        white(text, at, width, Newlines::Plain)
    }
}

impl Pattern for Cl100k {
    const GRAMMAR: Grammar = Grammar::Cl100k;

    #[inline]
    fn piece(text: &impl Source, at: usize) -> usize {
        let (first, width) = text.class(at);
        if first & LETTER != 0 {
            return text.run(at + width, LETTER);
        }
        if first & NUMBER != 0 {
            return digits(text, at + width);
        }
        if first == OTHER
            && text.is(at, b'\'')
            && let Some(end) = contraction(text, at, true)
        {
            return end;
        }
        if first != NEWLINE {
            let (second, more) = text.class(at + width);
            if second & LETTER != 0 {
                return text.run(at + width + more, LETTER);
            }
            if let Some(symbols) = symbols(text, at, first, width, second) {
                return text.run(symbols, NEWLINE);
            }
        }
        white(text, at, width, Newlines::UnlessAtEnd)
    }
}

impl Pattern for O200k {
    const GRAMMAR: Grammar = Grammar::O200k;

    #[inline]
    fn piece(text: &impl Source, at: usize) -> usize {
        let (first, width) = text.class(at);
        if first & NUMBER != 0 {
            return digits(text, at + width);
        }
        if first & LETTER != 0
            && let Some(end) = lower_word(text, at).or_else(|| upper_word(text, at))
        {
            return contraction(text, end, true).unwrap_or(end);
        }
        if first != NEWLINE {
            // A mark may be the optional first character or the word itself.
            let word = lower_word(text, at + width)
                .or_else(|| if first == MARK { lower_word(text, at) } else { None })
                .or_else(|| upper_word(text, at + width));
            if let Some(end) = word {
                return contraction(text, end, true).unwrap_or(end);
            }
            let second = text.class(at + width).0;
            if let Some(mut end) = symbols(text, at, first, width, second) {
                loop {
                    end = text.run(end, NEWLINE);
                    if !text.is(end, b'/') {
                        return end;
                    }
                    end += 1;
                }
            }
        }
        white(text, at, width, Newlines::Always)
    }
}

/// The end of the piece at `at` if it is a word of a script with spaces: maybe a space, a letter, letters that are not
/// upper case, and then something that no word goes on with.
#[inline]
pub(super) fn simple_word<P: Pattern>(text: &[u8], at: usize) -> Option<usize> {
    let goes_on = if P::GRAMMAR == Grammar::O200k { LOWER | PLAIN | MARK } else { LOWER | PLAIN };
    let mut end = at + usize::from(text.get(at) == Some(&b' '));
    let mut wanted = LETTER;
    loop {
        let (class, width) = match *text.get(end..)? {
            [first, ..] if first < 0x80 => (class::ASCII[usize::from(first)], 1),
            [first, second, ..] if first < 0xE0 => {
                (class::SMALL[usize::from(first & 0x1F) << 6 | usize::from(second & 0x3F)], 2)
            }
            [0xE0, second, third, ..] if second < 0xB8 => {
                (class::SMALL[(usize::from(second & 0x3F) << 6 | usize::from(third & 0x3F)).min(class::SPACED - 1)], 3)
            }
            [_, ..] if wanted == goes_on => (class::of(class::decode(text, end).0), 0),
            _ => return None,
        };
        if class & wanted == 0 || width == 0 {
            let ends = class & (LETTER | goes_on) == 0 && text.get(end) != Some(&b'\'');
            return (ends && wanted == goes_on).then_some(end);
        }
        wanted = goes_on;
        end += width;
    }
}

/// The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+` at `at`.
#[inline]
fn lower_word(text: &impl Source, mut at: usize) -> Option<usize> {
    // Where the greedy first part may hand the second one its only character.
    let mut last_both = None;
    loop {
        let (class, width) = text.class(at);
        if class == LOWER {
            return Some(text.run(at + width, LOWER | PLAIN | MARK));
        }
        if class & (UPPER | PLAIN | MARK) == 0 {
            return last_both;
        }
        at += width;
        if class != UPPER {
            last_both = Some(at);
        }
    }
}

/// The end of `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` at `at`, where `lower_word` found nothing.
#[inline]
fn upper_word(text: &impl Source, at: usize) -> Option<usize> {
    let end = text.run(at, UPPER);
    (end > at).then_some(end)
}

/// The end of `'(s|t|re|ve|m|ll|d)` at `at`. Without case, `s` is also U+017F, the long s.
#[inline]
fn contraction(text: &impl Source, at: usize, any_case: bool) -> Option<usize> {
    if !text.is(at, b'\'') {
        return None;
    }
    let letter = |at: usize| {
        let Some(&byte) = text.bytes().get(at) else {
            text.reached_end();
            return 0;
        };
        if any_case && byte.is_ascii_uppercase() { byte | 0x20 } else { byte }
    };
    match letter(at + 1) {
        b's' | b'd' | b'm' | b't' => Some(at + 2),
        b'l' if letter(at + 2) == b'l' => Some(at + 3),
        b'v' | b'r' if letter(at + 2) == b'e' => Some(at + 3),
        0xC5 if any_case && letter(at + 2) == 0xBF => Some(at + 3),
        _ => None,
    }
}

/// The end of `\p{N}{1,3}`, whose first character ends at `at`.
#[inline]
fn digits(text: &impl Source, mut at: usize) -> usize {
    for _ in 0..2 {
        let (class, width) = text.class(at);
        if class != NUMBER {
            break;
        }
        at += width;
    }
    at
}

/// The end of ` ?[^\s\p{L}\p{N}]+` at `at`, whose first two characters are known.
#[inline]
fn symbols(text: &impl Source, at: usize, first: u8, width: usize, second: u8) -> Option<usize> {
    if first & SYMBOL != 0 || (second & SYMBOL != 0 && text.is(at, b' ')) {
        Some(text.run(at + width, SYMBOL))
    } else {
        None
    }
}

/// What the last alternatives do with newlines inside white space.
#[derive(PartialEq)]
enum Newlines {
    /// Nothing: `\s++$|\s+(?!\S)|\s`.
    Plain,
    /// The piece ends behind the last newline: `\s*[\r\n]+`.
    Always,
    /// The same, unless the text ends with this white space: `\s++$|\s*[\r\n]`.
    UnlessAtEnd,
}

/// The end of the white space at `at`.
#[inline]
fn white(text: &impl Source, at: usize, width: usize, newlines: Newlines) -> usize {
    let (mut end, mut last, mut behind_newline) = (at, at, None);
    let class = loop {
        let (class, width) = text.class(end);
        if class & WHITE == 0 {
            break class;
        }
        last = end;
        end += width;
        if class == NEWLINE {
            behind_newline = Some(end);
        }
    };
    match (behind_newline, newlines) {
        (Some(end), Newlines::Always) => end,
        (Some(end), Newlines::UnlessAtEnd) if class != END => end,
        _ if class == END => end,
        _ if last > at => last,
        _ => at + width,
    }
}
