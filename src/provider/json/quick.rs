//! Members read at once, where their tokens are whole and plain; nearly all are.

use super::find::{behind_scalar, digits, gap, plain};
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
        let at = |rest: &[u8]| bytes.len() - rest.len();
        let mut rest = bytes.get(start..).unwrap_or_default();
        loop {
            let member = rest;
            let [b'"', behind @ ..] = rest else { return (at(member), false) };
            let Some((name, behind)) = plain(behind) else { return (at(member), false) };
            let [b':', behind @ ..] = gap(behind) else { return (at(member), false) };
            let value = gap(behind);
            let [byte, inner @ ..] = value else { return (at(member), false) };
            let means = self.place().member(name);
            self.state = State::After;
            match (byte, means) {
                (b'"', None) => {
                    if let Some((_, behind)) = plain(inner) {
                        rest = behind;
                    } else {
                        let Some(end) = self.end_of_text(bytes, at(inner)) else {
                            self.state = State::SkipText;
                            return (bytes.len(), false);
                        };
                        rest = bytes.get(end..).unwrap_or_default();
                    }
                }
                (b'0'..=b'9' | b'-' | b't' | b'f' | b'n', None) => {
                    rest = behind_scalar(value).unwrap_or_default();
                    if rest.is_empty() {
                        self.state = State::SkipScalar;
                        return (bytes.len(), false);
                    }
                }
                (b'0'..=b'9', Some(Means { count: Some(slot), note: None, object: None, items: None, .. })) => {
                    let Some((count, behind)) = digits(value) else { return self.value_left(at(value), means) };
                    facts.set(*slot, count);
                    rest = behind;
                }
                (b'"', Some(Means { count: None, note: Some(note), object: None, items: None, .. }))
                    if !note.flows() =>
                {
                    let Some((short, behind)) = plain(inner) else { return self.value_left(at(value), means) };
                    let Ok(short) = std::str::from_utf8(short) else { return self.value_left(at(value), means) };
                    facts.note(*note, short, self.depth);
                    rest = behind;
                }
                (b'{' | b'[', None) => {
                    self.skip(*byte, *byte + 2);
                    let Some(end) = self.end_of_nest(bytes, at(inner)) else { return (bytes.len(), false) };
                    rest = bytes.get(end..).unwrap_or_default();
                    self.state = State::After;
                }
                (b'{', Some(Means { object: Some(place), .. })) => {
                    self.means = means;
                    if let Some(means) = means {
                        self.tell_once(*means, facts);
                    }
                    self.begin_object(*place, facts, text);
                    if self.state == State::First {
                        rest = gap(inner);
                        continue;
                    }
                    let Some(end) = self.end_of_nest(bytes, at(inner)) else { return (bytes.len(), false) };
                    rest = bytes.get(end..).unwrap_or_default();
                    self.state = State::After;
                }
                (b'{' | b'[', Some(_)) => {
                    self.means = means;
                    self.begin_value(*byte, facts, text);
                    if self.state != State::SkipNest {
                        return (at(inner), false);
                    }
                    let Some(end) = self.end_of_nest(bytes, at(inner)) else { return (bytes.len(), false) };
                    rest = bytes.get(end..).unwrap_or_default();
                    self.state = State::After;
                }
                _ => return self.value_left(at(value), means),
            }
            loop {
                match gap(rest) {
                    [b',', behind @ ..] => {
                        self.state = State::Name;
                        rest = gap(behind);
                        break;
                    }
                    [b'}', behind @ ..] => {
                        if self.pop(facts) {
                            return (at(behind), true);
                        }
                        rest = behind;
                        if self.state != State::After {
                            return (at(rest), false);
                        }
                    }
                    other => return (at(other), false),
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
