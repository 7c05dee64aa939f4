//! Members read at once, where their tokens are whole and plain; nearly all are.

use super::find::{blank, digits, end_of_scalar, find_plain};
use super::{Scanner, State};
use crate::provider::facts::Facts;
use crate::provider::place::Means;
use crate::provider::text::Collector;

impl Scanner {
    /// Reads members of objects as long as their tokens are whole and plain; what is not is left to the states. Says
    /// where it stopped and whether the document is complete.
    #[inline]
    pub(super) fn members(
        &mut self,
        bytes: &[u8],
        start: usize,
        facts: &mut Facts,
        text: &mut Collector,
    ) -> (usize, bool) {
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
}
