//! Scanner: reads JSON text piece by piece and looks only where usage can stand.
//!
//! What means nothing is skipped without being taken apart, so a body costs little more than one look at each byte.
//! Between two pieces the scanner remembers where it is and at most one token, never the document. A document is an
//! object; the brackets and commas of an array around documents are passed over.

use memchr::{memchr, memchr2, memchr3};

use super::facts::Facts;
use super::number::Number;
use super::slot::Note;
use super::text::{self, Collector, Unwrapper};
use super::words::{Means, Place};

/// How deep the places of usage nest at most; deeper ones are skipped.
const MOST_FRAMES: usize = 12;
/// How many bytes of a name, number or short text are kept when a piece ends inside it.
const MOST_TOKEN: usize = 4096;
/// The same for delivered text and for a wrapped body, which Bedrock limits to 24 MB.
const MOST_FLOW: usize = 32 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between documents.
    #[default]
    Between,
    /// After `{`.
    First,
    /// After the comma of an object.
    Name,
    /// Inside a name.
    InName,
    /// Before a colon.
    Colon,
    /// Before a value.
    Value,
    /// Inside a text that means something.
    InText,
    /// Inside a scalar that means something.
    InScalar,
    /// After a value inside an object.
    After,
    /// Inside a list, before an item or after one.
    Item,
    /// Inside a text that means nothing.
    SkipText,
    /// Inside a scalar that means nothing.
    SkipScalar,
    /// Inside an object or array that means nothing.
    SkipNest,
    /// Inside a text in there.
    SkipNestText,
    /// The document is broken; the rest is passed over.
    Junk,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    place: Place,
    list: bool,
    opened: u128,
}

/// Reads JSON text piece by piece.
#[derive(Debug)]
pub(crate) struct Scanner {
    state: State,
    frames: [Frame; MOST_FRAMES],
    depth: usize,
    means: Option<&'static Means>,
    /// A token that the end of a piece has cut.
    token: Vec<u8>,
    too_long: bool,
    /// The last byte of the piece was a backslash that is not escaped itself.
    escape: bool,
    open: u8,
    close: u8,
    nest: u64,
    wrapped: Option<Box<Unwrapper>>,
}

/// Why [`Scanner::feed`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// All bytes are read.
    All,
    /// A document is complete; the bytes after this many are not read yet.
    Document(usize),
    /// A document turned out to be broken; the bytes after this many are not read yet.
    Broken(usize),
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Between,
            frames: [Frame { place: Place::Body, list: false, opened: 0 }; MOST_FRAMES],
            depth: 0,
            means: None,
            token: Vec::new(),
            too_long: false,
            escape: false,
            open: 0,
            close: 0,
            nest: 0,
            wrapped: None,
        }
    }
}

impl Scanner {
    /// Whether a document has begun and not ended.
    pub(crate) fn inside(&self) -> bool {
        !matches!(self.state, State::Between | State::Junk | State::SkipText | State::SkipScalar) || self.depth > 0
    }

    /// Whether the rest of a broken document is being passed over.
    pub(crate) fn is_junk(&self) -> bool {
        self.state == State::Junk
    }

    /// Forgets a document that will not be completed.
    pub(crate) fn reset(&mut self) {
        self.state = State::Between;
        self.depth = 0;
        self.token.clear();
        self.too_long = false;
        self.escape = false;
        self.wrapped = None;
    }

    #[allow(clippy::too_many_lines)] // one state after the other
    /// Reads `bytes` up to the end of a document or of the bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], facts: &mut Facts, text: &mut Collector) -> Fed {
        let (mut at, mut slowly) = (0, false);
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Between => match byte {
                    b'{' => {
                        self.depth = 0;
                        self.push(Place::Body, false);
                        at += 1;
                    }
                    b'"' => {
                        self.state = State::SkipText;
                        at += 1;
                    }
                    b' ' | b'\t' | b'\n' | b'\r' | b',' | b'[' | b']' | 0x1e | 0xef | 0xbb | 0xbf => at += 1,
                    b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => {
                        self.state = State::SkipScalar;
                        at += 1;
                    }
                    _ => {
                        self.state = State::Junk;
                        return Fed::Broken(at);
                    }
                },
                State::First | State::Name => match byte {
                    b'"' if !slowly => match self.members(bytes, at, facts, text) {
                        (read, true) => return Fed::Document(read),
                        (read, false) => {
                            slowly = read == at && matches!(self.state, State::First | State::Name);
                            at = read;
                        }
                    },
                    b'"' => {
                        slowly = false;
                        self.state = State::InName;
                        at += 1;
                    }
                    b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                    b'}' if self.state == State::First => {
                        at += 1;
                        if self.pop(facts) {
                            return Fed::Document(at);
                        }
                    }
                    _ => return self.broken(at),
                },
                State::InName => match self.take_text(bytes, at, MOST_TOKEN) {
                    None => return Fed::All,
                    Some((name, end)) => {
                        let place = self.place();
                        self.means =
                            if self.token.is_empty() { name_means(place, name) } else { self.token_means(place) };
                        self.forget_token();
                        at = end;
                        self.state = State::Colon;
                        // The colon nearly always follows at once.
                        if bytes.get(at) == Some(&b':') {
                            at += 1;
                            self.state = State::Value;
                        }
                    }
                },
                State::Colon => match byte {
                    b':' => {
                        at += 1;
                        self.state = State::Value;
                    }
                    b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                    _ => return self.broken(at),
                },
                State::Value => match byte {
                    b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                    b'}' | b']' | b',' | b':' => return self.broken(at),
                    _ => {
                        at += usize::from(matches!(byte, b'{' | b'[' | b'"'));
                        self.begin_value(byte, facts, text);
                    }
                },
                State::InText => match self.take_text(bytes, at, self.most_text()) {
                    None => return Fed::All,
                    Some((raw, end)) => {
                        self.hear_text(raw, facts, text);
                        self.forget_token();
                        at = end;
                        self.state = State::After;
                    }
                },
                State::InScalar => match self.take_scalar(bytes, at) {
                    None => return Fed::All,
                    Some(end) => {
                        let raw =
                            if self.token.is_empty() { bytes.get(at..end).unwrap_or_default() } else { &self.token };
                        if let Some(means) = self.means {
                            hear_scalar(*means, raw, self.too_long, facts);
                        }
                        self.forget_token();
                        at = end;
                        self.state = State::After;
                    }
                },
                State::After => match byte {
                    b',' => {
                        at += 1;
                        self.state = State::Name;
                    }
                    b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                    b'}' => {
                        at += 1;
                        if self.pop(facts) {
                            return Fed::Document(at);
                        }
                    }
                    _ => return self.broken(at),
                },
                State::Item => {
                    at += 1;
                    match byte {
                        b'{' => {
                            facts.enter(self.place());
                            self.push(self.place(), false);
                        }
                        b'[' => self.skip(b'[', b']'),
                        b'"' => self.state = State::SkipText,
                        b']' => {
                            self.pop(facts);
                        }
                        b' ' | b'\t' | b'\n' | b'\r' | b',' => {}
                        b'}' | b':' => return self.broken(at),
                        _ => self.state = State::SkipScalar,
                    }
                }
                State::SkipText => match self.end_of_text(bytes, at) {
                    None => return Fed::All,
                    Some(end) => {
                        at = end;
                        self.state = self.after_skip();
                    }
                },
                State::SkipScalar => match end_of_scalar(bytes, at) {
                    None => return Fed::All,
                    Some(end) => {
                        at = end;
                        self.state = self.after_skip();
                    }
                },
                State::SkipNest => match self.end_of_nest(bytes, at) {
                    None => return Fed::All,
                    Some(end) => {
                        at = end;
                        self.state = self.after_skip();
                    }
                },
                State::SkipNestText => match self.end_of_text(bytes, at) {
                    None => return Fed::All,
                    Some(end) => {
                        at = end;
                        self.state = State::SkipNest;
                    }
                },
                State::Junk => return Fed::All,
            }
        }
        Fed::All
    }

    /// Reads members of objects as long as their tokens are whole and plain; what is not is left to the states. Says
    /// where it stopped and whether the document is complete.
    #[inline]
    fn members(&mut self, bytes: &[u8], start: usize, facts: &mut Facts, text: &mut Collector) -> (usize, bool) {
        let mut at = start;
        loop {
            let name_at = at;
            if bytes.get(at) != Some(&b'"') {
                return (at, false);
            }
            let Some(name_end) = find_plain(bytes, at + 1) else { return (name_at, false) };
            at = blank(bytes, name_end + 1);
            if bytes.get(at) != Some(&b':') {
                return (name_at, false);
            }
            at = blank(bytes, at + 1);
            let name = bytes.get(name_at + 1..name_end).unwrap_or_default();
            let means = self.place().member(name);
            let Some(&byte) = bytes.get(at) else { return (name_at, false) };
            self.state = State::After;
            match (byte, means) {
                (b'"', None) => {
                    let Some(end) = self.end_of_text(bytes, at + 1) else {
                        self.state = State::SkipText;
                        return (bytes.len(), false);
                    };
                    at = end;
                }
                (b'0'..=b'9' | b'-' | b't' | b'f' | b'n', None) => {
                    at = end_of_scalar(bytes, at).unwrap_or(bytes.len());
                    if at == bytes.len() {
                        self.state = State::SkipScalar;
                        return (at, false);
                    }
                }
                (b'0'..=b'9', Some(Means { count: Some(slot), note: None, object: None, items: None, .. })) => {
                    let Some((count, end)) = digits(bytes, at) else { return self.value_left(at, means) };
                    facts.set(*slot, count);
                    at = end;
                }
                (b'"', Some(Means { count: None, note: Some(note), object: None, items: None, .. }))
                    if !note.flows() =>
                {
                    let end = find_plain(bytes, at + 1);
                    let Some((end, short)) = end.and_then(|end| Some((end, bytes.get(at + 1..end)?))) else {
                        return self.value_left(at, means);
                    };
                    match std::str::from_utf8(short) {
                        Ok(plain) => facts.note(*note, plain, self.depth),
                        Err(_) => return self.value_left(at, means),
                    }
                    at = end + 1;
                }
                (b'{' | b'[', None) => {
                    self.skip(byte, byte + 2);
                    let Some(end) = self.end_of_nest(bytes, at + 1) else { return (bytes.len(), false) };
                    at = end;
                    self.state = State::After;
                }
                (b'{' | b'[', _) => {
                    self.means = means;
                    self.begin_value(byte, facts, text);
                    at += 1;
                    match self.state {
                        State::SkipNest => {
                            let Some(end) = self.end_of_nest(bytes, at) else { return (bytes.len(), false) };
                            at = end;
                            self.state = State::After;
                        }
                        State::First => {
                            at = blank(bytes, at);
                            continue;
                        }
                        _ => return (at, false),
                    }
                }
                _ => return self.value_left(at, means),
            }
            at = blank(bytes, at);
            loop {
                match bytes.get(at) {
                    Some(b',') => {
                        self.state = State::Name;
                        at = blank(bytes, at + 1);
                        break;
                    }
                    Some(b'}') => {
                        if self.pop(facts) {
                            return (at + 1, true);
                        }
                        at = blank(bytes, at + 1);
                        if self.state != State::After {
                            return (at, false);
                        }
                    }
                    _ => return (at, false),
                }
            }
        }
    }

    fn value_left(&mut self, at: usize, means: Option<&'static Means>) -> (usize, bool) {
        self.means = means;
        self.state = State::Value;
        (at, false)
    }

    #[inline]
    fn place(&self) -> Place {
        self.depth.checked_sub(1).and_then(|top| self.frames.get(top)).map_or(Place::Body, |frame| frame.place)
    }

    fn push(&mut self, place: Place, list: bool) {
        let frame = Frame { place, list, opened: 0 };
        if let Some(slot) = self.frames.get_mut(self.depth) {
            *slot = frame;
            self.depth += 1;
            self.state = if list { State::Item } else { State::First };
        } else if list {
            self.skip(b'[', b']');
        } else {
            self.skip(b'{', b'}');
        }
    }

    /// Ends the innermost object or list; `true` if it was the document.
    fn pop(&mut self, facts: &mut Facts) -> bool {
        let Some(top) = self.depth.checked_sub(1) else { return true };
        if let Some(frame) = self.frames.get(top)
            && !frame.list
        {
            facts.leave(frame.place);
        }
        self.depth = top;
        self.state = self.after_skip();
        top == 0
    }

    fn after_skip(&self) -> State {
        match self.depth.checked_sub(1).and_then(|top| self.frames.get(top)) {
            None => State::Between,
            Some(frame) if frame.list => State::Item,
            Some(_) => State::After,
        }
    }

    fn broken(&mut self, at: usize) -> Fed {
        self.reset();
        self.state = State::Junk;
        Fed::Broken(at)
    }

    fn skip(&mut self, open: u8, close: u8) {
        (self.open, self.close, self.nest) = (open, close, 1);
        self.state = State::SkipNest;
    }

    fn begin_value(&mut self, byte: u8, facts: &mut Facts, text: &Collector) {
        let means = self.means;
        if let Some(means) = means
            && (means.object.is_some() || means.items.is_some())
        {
            let top = self.depth.saturating_sub(1);
            if let Some(frame) = self.frames.get_mut(top) {
                let bit = 1 << means.door;
                if frame.opened & bit != 0 {
                    facts.tell_again(means.slots());
                }
                frame.opened |= bit;
            }
        }
        match byte {
            b'{' => match means.and_then(|means| means.object) {
                Some(place) if text.wants(place) && facts.admits(place, self.place()) => {
                    facts.enter(place);
                    self.push(place, false);
                }
                _ => self.skip_value(b'{', b'}', facts),
            },
            b'[' => match means.and_then(|means| means.items) {
                Some(place) if text.wants(place) => self.push(place, true),
                _ => self.skip_value(b'[', b']', facts),
            },
            b'"' => {
                let heard = means.is_some_and(|means| {
                    means.count.is_some() || means.note.is_some_and(|note| !note.flows() || text.flows(note))
                });
                self.state = if heard { State::InText } else { State::SkipText };
            }
            _ => {
                let heard = means.is_some_and(|means| means.count.is_some() || means.note.is_some());
                self.state = if heard { State::InScalar } else { State::SkipScalar };
            }
        }
    }

    /// Skips an object or array; where a count belongs it is no count.
    fn skip_value(&mut self, open: u8, close: u8, facts: &mut Facts) {
        if let Some(slot) = self.means.and_then(|means| means.count) {
            facts.count(slot, Number::Bad);
        }
        if self.means.is_some_and(|means| means.note == Some(Note::Vectors)) {
            facts.vectors();
        }
        self.skip(open, close);
    }

    /// The text that ends in `bytes`, without its quotes, and the position behind it. What an earlier piece cut is in
    /// `self.token`, and so is then the whole text.
    fn take_text<'b>(&mut self, bytes: &'b [u8], at: usize, most: usize) -> Option<(&'b [u8], usize)> {
        let end = self.end_of_text(bytes, at);
        let raw = bytes.get(at..end.map_or(bytes.len(), |end| end - 1)).unwrap_or_default();
        if end.is_none() || !self.token.is_empty() {
            self.keep(raw, most);
        }
        Some((raw, end?))
    }

    fn most_text(&self) -> usize {
        let flows = self.means.and_then(|means| means.note).is_some_and(Note::flows);
        if flows { MOST_FLOW } else { MOST_TOKEN }
    }

    fn take_scalar(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
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

    fn forget_token(&mut self) {
        self.token.clear();
        self.too_long = false;
    }

    fn token_means(&self, place: Place) -> Option<&'static Means> {
        if self.too_long { None } else { name_means(place, &self.token) }
    }

    /// Position behind the quote that ends a text.
    #[inline]
    fn end_of_text(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
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

    /// Position behind the bracket that ends what is skipped. Only brackets of its own sort are counted.
    fn end_of_nest(&mut self, bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            let rest = bytes.get(at..)?;
            at += memchr3(b'"', self.open, self.close, rest)?;
            match bytes.get(at) {
                Some(b'"') => {
                    let Some(end) = self.end_of_text(bytes, at + 1) else {
                        self.state = State::SkipNestText;
                        return None;
                    };
                    at = end;
                }
                Some(byte) if *byte == self.open => {
                    self.nest = self.nest.saturating_add(1);
                    at += 1;
                }
                _ => {
                    self.nest -= 1;
                    at += 1;
                    if self.nest == 0 {
                        return Some(at);
                    }
                }
            }
        }
    }

    #[inline]
    fn hear_text(&mut self, raw: &[u8], facts: &mut Facts, collector: &mut Collector) {
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
fn name_means(place: Place, name: &[u8]) -> Option<&'static Means> {
    place.member(name).or_else(|| {
        // An escape in a name is legal and never seen.
        if name.contains(&b'\\') { place.member(&text::unescape(name)) } else { None }
    })
}

#[inline]
fn hear_scalar(means: Means, raw: &[u8], too_long: bool, facts: &mut Facts) {
    if let Some(slot) = means.count {
        facts.count(slot, if too_long { Number::Bad } else { Number::read(raw) });
    }
    if let Some(note) = means.note {
        facts.scalar_note(note, std::str::from_utf8(raw).unwrap_or_default());
    }
}

/// Position behind white space.
#[inline]
fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The number that begins at `at` and the position behind it, if it is plain digits and ends before the bytes do.
#[inline]
fn digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (mut count, mut end) = (0_u64, at);
    loop {
        let byte = *bytes.get(end)?;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let ended = matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
            return (ended && end - at < 19).then_some((count, end));
        }
        count = count.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
}

/// Position of the quote that ends a text without escapes; `None` if it has some or is cut.
#[inline]
fn find_plain(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    // Names and short texts end before a search has set itself up.
    let (words, _) = rest.as_chunks::<8>();
    for (number, word) in words.iter().take(4).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = bytes_like(word, b'"') | bytes_like(word, b'\\');
        if found != 0 {
            let end = at + number * 8 + found.trailing_zeros() as usize / 8;
            return (bytes.get(end) == Some(&b'"')).then_some(end);
        }
    }
    let read = words.len().min(4) * 8;
    let end = at + read + memchr2(b'"', b'\\', rest.get(read..)?)?;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// The lowest set bit marks the first byte of `word` that is `byte`; 0 if there is none.
#[inline]
fn bytes_like(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & (ONES * 0x80)
}

/// Position of the first quote.
#[inline]
fn find_quote(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().take(2).enumerate() {
        let found = bytes_like(u64::from_le_bytes(*word), b'"');
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let read = words.len().min(2) * 8;
    memchr(b'"', bytes.get(read..)?).map(|at| read + at)
}

/// Whether what follows `text` is escaped; `text` begins unescaped.
#[inline]
fn is_escaped(text: &[u8]) -> bool {
    text.last() == Some(&b'\\') && text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Position of the byte that ends a number or a word; that byte does not belong to it.
#[inline]
fn end_of_scalar(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let ends =
        |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':' | b'"' | b'{' | b'[');
    rest.iter().position(ends).map(|end| at + end)
}
