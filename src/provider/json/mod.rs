//! Scanner: reads JSON text piece by piece and looks only where usage can stand.
//!
//! What means nothing is skipped without being taken apart, so a body costs little more than one look at each byte.
//! Between two pieces the scanner remembers where it is and at most one token, never the document. A document is an
//! object; the brackets and commas of an array around documents are passed over.

mod find;
mod lanes;
mod quick;
mod skip;
mod token;

use super::facts::Facts;
use super::number::Number;
use super::place::{Means, Place};
use super::slot::Note;
use super::text::{Collector, Unwrapper};
pub(crate) use find::blank;
use find::end_of_scalar;
use token::{MOST_TOKEN, hear_scalar, name_means};

/// How deep the places of usage nest at most; deeper ones are skipped.
const MOST_FRAMES: usize = 12;

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

    #[inline]
    fn place(&self) -> Place {
        self.depth.checked_sub(1).and_then(|top| self.frames.get(top)).map_or(Place::Body, |frame| frame.place)
    }

    #[inline]
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
    #[inline]
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

    #[inline]
    fn begin_value(&mut self, byte: u8, facts: &mut Facts, text: &Collector) {
        let means = self.means;
        if let Some(means) = means {
            self.tell_once(*means, facts);
        }
        match byte {
            b'{' => match means.and_then(|means| means.object) {
                Some(place) => self.begin_object(place, facts, text),
                None => self.skip_value(b'{', b'}', facts),
            },
            b'[' => match means.and_then(|means| means.items) {
                Some(place) if text.wants(place) => {
                    if means.is_some_and(|means| means.note == Some(Note::Vectors)) {
                        facts.vectors();
                    }
                    self.push(place, true);
                }
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

    /// A member that leads somewhere begins. What the same one has told before is void.
    #[inline]
    fn tell_once(&mut self, means: Means, facts: &mut Facts) {
        if means.object.is_none() && means.items.is_none() {
            return;
        }
        let top = self.depth.saturating_sub(1);
        if let Some(frame) = self.frames.get_mut(top) {
            let bit = 1 << means.door;
            if frame.opened & bit != 0 {
                facts.tell_again(means.slots());
            }
            frame.opened |= bit;
        }
    }

    /// An object of `place` begins, if it is worth to look into it; `self.means` is what it stands under.
    #[inline]
    fn begin_object(&mut self, place: Place, facts: &mut Facts, text: &Collector) {
        if text.wants(place) && facts.admits(place, self.place()) {
            facts.enter(place);
            self.push(place, false);
        } else {
            self.skip_value(b'{', b'}', facts);
        }
    }

    /// Skips an object or array; where a count belongs it is no count.
    #[cold]
    fn skip_value(&mut self, open: u8, close: u8, facts: &mut Facts) {
        if let Some(slot) = self.means.and_then(|means| means.count) {
            facts.count(slot, Number::Bad);
        }
        if self.means.is_some_and(|means| means.note == Some(Note::Vectors)) {
            facts.vectors();
        }
        self.skip(open, close);
    }
}
