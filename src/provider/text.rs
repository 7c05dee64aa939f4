//! Text: what stands inside JSON's quotes, the text a model delivers, and bodies wrapped in base64.

use std::borrow::Cow;

use super::facts::Facts;
use super::json::{Fed, Scanner};
use super::place::Place;
use super::slot::Note;

/// The bytes that a JSON text without its quotes stands for. Half a surrogate pair becomes U+FFFD.
pub(crate) fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let (plain, mut rest) = raw.split_at_checked(first).unwrap_or((raw, &[]));
    let mut out = plain.to_vec();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let [escape, tail @ ..] = rest else { break };
        rest = tail;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let (high, tail) = hex(rest);
                rest = tail;
                let mut point = high;
                if (0xD800..0xDC00).contains(&high)
                    && let [b'\\', b'u', low @ ..] = rest
                {
                    let (low, tail) = hex(low);
                    if (0xDC00..0xE000).contains(&low) {
                        point = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                        rest = tail;
                    }
                }
                let point = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    Cow::Owned(out)
}

/// Four hexadecimal digits at the start of `bytes`, and what follows; fewer or others stand for nothing valid.
fn hex(bytes: &[u8]) -> (u32, &[u8]) {
    let Some((digits, rest)) = bytes.split_at_checked(4) else { return (u32::MAX, &[]) };
    let digit = |value: Option<u32>, byte: &u8| Some(value? * 16 + char::from(*byte).to_digit(16)?);
    (digits.iter().fold(Some(0), digit).unwrap_or(u32::MAX), rest)
}

/// Where delivered text goes. Off unless somebody asks for it, so that a stream of any length costs no memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collector {
    kept: Option<String>,
}

impl Collector {
    /// Collects what is delivered, if `keep`.
    pub(crate) fn new(keep: bool) -> Self {
        Self { kept: keep.then(String::new) }
    }

    /// Whether it is worth to look into `place`.
    #[inline]
    pub(crate) const fn wants(&self, place: Place) -> bool {
        self.kept.is_some() || !place.is_text()
    }

    /// Whether it is worth to read texts of this kind.
    #[inline]
    pub(crate) fn flows(&self, note: Note) -> bool {
        self.kept.is_some() || note == Note::Wrapped
    }

    /// Takes a piece of text.
    pub(crate) fn take(&mut self, note: Note, text: &[u8]) {
        if let Some(kept) = &mut self.kept
            && note != Note::Wrapped
        {
            kept.push_str(&String::from_utf8_lossy(text));
        }
    }

    /// Takes what another one took.
    #[cfg(feature = "python")]
    pub(crate) fn append(&mut self, other: &Self) {
        if let (Some(kept), Some(more)) = (&mut self.kept, &other.kept) {
            kept.push_str(more);
        }
    }

    /// What was delivered so far.
    pub(crate) fn text(&self) -> Option<&str> {
        self.kept.as_deref()
    }
}

/// Reads one body out of base64.
#[cfg(feature = "python")]
pub(crate) fn unwrap_base64(text: &[u8], facts: &mut Facts, collector: &mut Collector) {
    Unwrapper::default().unwrap(text, facts, collector);
}

/// Reads bodies that come in pieces of base64 (Bedrock's chunks).
#[derive(Debug, Default)]
pub(crate) struct Unwrapper {
    scanner: Scanner,
}

impl Unwrapper {
    /// Decodes `text` and reads it into `facts`.
    pub(crate) fn unwrap(&mut self, text: &[u8], facts: &mut Facts, collector: &mut Collector) {
        let mut decoded = [0; 768];
        for piece in text.chunks(1024) {
            let read = base64(piece, &mut decoded);
            self.read(decoded.get(..read).unwrap_or_default(), facts, collector);
        }
    }

    fn read(&mut self, mut bytes: &[u8], facts: &mut Facts, collector: &mut Collector) {
        while let Fed::Document(read) = self.scanner.feed(bytes, facts, collector) {
            bytes = bytes.get(read..).unwrap_or_default();
        }
    }
}

/// Decodes up to 1024 digits, a multiple of four but at the very end; how many bytes they stand for.
fn base64(digits: &[u8], out: &mut [u8]) -> usize {
    let value = |digit: &u8| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let (mut bits, mut held, mut wrote) = (0_u32, 0, 0);
    for value in digits.iter().map_while(value) {
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            if let Some(slot) = out.get_mut(wrote) {
                #[allow(clippy::cast_possible_truncation)] // the low eight bits of it
                {
                    *slot = (bits >> held) as u8;
                }
                wrote += 1;
            }
        }
    }
    wrote
}
