//! Server-sent events, line by line, at any split.

use super::Reader;
use crate::provider::Hints;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the start of a line or inside the name of its field.
    #[default]
    Field,
    /// Behind the colon of a data field.
    Colon,
    /// Inside data.
    Data,
    /// Inside a line that is not data.
    Other,
}

const FIELD: &[u8] = b"data";
const DONE: &[u8] = b"[DONE]";

/// Finds the data of events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    state: State,
    /// How much of the field's name is there.
    matched: usize,
    /// How much of `[DONE]` is there; more than its length if the data is something else.
    done: usize,
    /// The line is not blank.
    filled: bool,
    after_return: bool,
    /// A line that begins with a brace is data, too.
    bare: bool,
}

impl Lines {
    /// Lines of events; those that are `bare` JSON count as data if the caller knows that this is a stream.
    pub(super) fn new(bare: bool) -> Self {
        Self { bare, ..Self::default() }
    }

    /// Reads `bytes` and hands the data of events to `reader`.
    pub(super) fn read(&mut self, bytes: &[u8], reader: &mut Reader, hints: &Hints<'_>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.state {
                State::Field => {
                    if byte == b'\n' || byte == b'\r' {
                        self.end_line(byte, reader, hints);
                        at += 1;
                    } else if self.bare && byte == b'{' && self.matched == 0 {
                        (self.filled, self.after_return) = (true, false);
                        self.begin_data(reader);
                    } else if FIELD.get(self.matched) == Some(&byte) {
                        self.filled = true;
                        self.after_return = false;
                        self.matched += 1;
                        at += 1;
                    } else {
                        self.filled = true;
                        self.after_return = false;
                        let data = byte == b':' && self.matched == FIELD.len();
                        self.state = if data { State::Colon } else { State::Other };
                        at += 1;
                    }
                }
                State::Colon => {
                    at += usize::from(byte == b' ');
                    self.begin_data(reader);
                }
                State::Data | State::Other => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let end = memchr::memchr2(b'\n', b'\r', rest);
                    let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
                    if self.state == State::Data {
                        self.look_for_done(line, reader);
                        reader.read(line, hints);
                    }
                    at += line.len();
                    if let Some(byte) = bytes.get(at) {
                        self.end_line(*byte, reader, hints);
                        at += 1;
                    }
                }
            }
        }
    }

    fn begin_data(&mut self, reader: &mut Reader) {
        self.done = 0;
        self.state = State::Data;
        if reader.scanner.is_junk() {
            reader.scanner.reset();
        }
    }

    fn end_line(&mut self, byte: u8, reader: &mut Reader, hints: &Hints<'_>) {
        if self.state == State::Data {
            // Two lines of data are one text with a line feed between.
            reader.read(b"\n", hints);
        }
        let blank = !(self.filled || byte == b'\n' && self.after_return);
        if blank {
            reader.boundary(hints);
        }
        self.after_return = byte == b'\r';
        self.filled = false;
        self.matched = 0;
        self.state = State::Field;
    }

    fn look_for_done(&mut self, line: &[u8], reader: &mut Reader) {
        if self.done >= DONE.len() {
            return;
        }
        for byte in line.iter().take(DONE.len() - self.done) {
            if DONE.get(self.done) != Some(byte) {
                self.done = DONE.len() + 1;
                return;
            }
            self.done += 1;
        }
        if self.done == DONE.len() {
            reader.fold.end();
        }
    }
}
