//! Entry: how a call or an event stands in the journal.
//!
//! One entry is `magic (2) length (4) checksum (4) content`, little-endian. The order of units and labels is part of
//! the format: new ones are added at the end only (a test in `schema.rs` holds the order).

use std::borrow::Cow;

use crate::call::{Call, Dim, Labels, LabelsRef};
use crate::id::{Id, Micros};
use crate::unit::Unit;
use crate::usage::Counts;

const MAGIC: [u8; 2] = [0xA7, 0x4D];
const HEAD: usize = 10;
const CALL: u8 = 1;
const EVENT: u8 = 2;
/// The longest label that is kept; the rest of it is cut off.
const MOST_LABEL: usize = 1024;
/// The largest count that is kept, so that no sum of a ledger overflows.
pub(crate) const MOST_COUNT: u64 = 1_000_000_000_000;
/// An entry larger than this is a damaged length.
const MOST_ENTRY: usize = 16 << 20;

/// Something that happened to a run and is told to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique, for ever and everywhere.
    pub id: Id,
    /// When it happened.
    pub at: Micros,
    /// Whom it is for: a name of the delivery's configuration.
    pub destination: Box<str>,
    /// What it is about; events about the same thing are sent in order.
    pub subject: Box<str>,
    /// What happened.
    pub kind: Box<str>,
    /// What is sent, JSON.
    pub body: Box<str>,
}

/// A call as the database holds it; its labels are still encoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallEntry<'a> {
    pub(crate) id: Id,
    pub(crate) at: Micros,
    pub(crate) part: u32,
    pub(crate) attempt: u32,
    pub(crate) run: Option<Id>,
    pub(crate) origin: u8,
    pub(crate) flags: u16,
    pub(crate) labels: &'a [u8],
    pub(crate) counts: Counts,
    pub(crate) response_id: Option<&'a str>,
    pub(crate) service_tier: Option<&'a str>,
    pub(crate) cost: Option<&'a str>,
}

/// What the journal holds.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // read one at a time, and nearly all are calls
pub(crate) enum Entry<'a> {
    Call(CallEntry<'a>),
    Event(Event),
}

/// Writes `call` at the end of `to`.
pub(crate) fn put_call(to: &mut Vec<u8>, call: &Call) {
    frame(to, |to| {
        to.push(CALL);
        to.extend_from_slice(&call.id.0.to_le_bytes());
        to.extend_from_slice(&call.at.to_le_bytes());
        to.extend_from_slice(&call.part.to_le_bytes());
        to.extend_from_slice(&call.attempt.to_le_bytes());
        to.extend_from_slice(&call.run.map_or(0, |run| run.0).to_le_bytes());
        to.push(call.usage.origin as u8);
        to.extend_from_slice(&call.usage.flags.bits().to_le_bytes());
        let about = call.usage.about();
        for text in [
            about.and_then(|about| about.response_id.get()),
            about.and_then(|about| about.service_tier.get()),
            about.and_then(|about| about.cost.get()),
        ] {
            put_text(to, &kept(text.unwrap_or_default()));
        }
        let at = to.len();
        to.extend_from_slice(&[0; 4]);
        let mut known = 0_u32;
        for (unit, count) in call.usage.counts().iter() {
            known |= 1 << unit.index();
            to.extend_from_slice(&count.min(MOST_COUNT).to_le_bytes());
        }
        if let Some(place) = to.get_mut(at..at + 4) {
            place.copy_from_slice(&known.to_le_bytes());
        }
        put_labels(to, &call.labels.as_ref());
    });
}

/// Writes `event` at the end of `to`.
pub(crate) fn put_event(to: &mut Vec<u8>, event: &Event) {
    frame(to, |to| {
        to.push(EVENT);
        to.extend_from_slice(&event.id.0.to_le_bytes());
        to.extend_from_slice(&event.at.to_le_bytes());
        for text in [&event.destination, &event.subject, &event.kind] {
            put_text(to, &kept(text));
        }
        to.extend_from_slice(event.body.replace('\0', "\u{fffd}").as_bytes());
    });
}

/// Labels in the form that their id is made of: one bit for each that is set, then their texts.
pub(crate) fn put_labels(to: &mut Vec<u8>, labels: &LabelsRef<'_>) {
    let at = to.len();
    to.extend_from_slice(&[0; 2]);
    let mut set = 0_u16;
    for (bit, dim) in Dim::ALL.into_iter().enumerate() {
        if let Some(text) = labels.get(dim).filter(|text| !text.is_empty()) {
            set |= 1 << bit;
            put_text(to, &kept(text));
        }
    }
    if let Some(place) = to.get_mut(at..at + 2) {
        place.copy_from_slice(&set.to_le_bytes());
    }
}

/// Reads what [`put_labels`] wrote.
pub(crate) fn labels_of(bytes: &[u8]) -> Option<Labels> {
    let mut from = Bytes(bytes);
    let (set, mut labels) = (u16::from_le_bytes(from.array()?), Labels::default());
    for (bit, dim) in Dim::ALL.into_iter().enumerate() {
        if set & 1 << bit != 0 {
            labels.set(dim, from.text()?);
        }
    }
    Some(labels)
}

/// A label as the ledger keeps it: no longer than it may be, and without the NUL that PostgreSQL does not take.
pub(crate) fn kept(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        return Cow::Owned(cut(&text.replace('\0', "\u{fffd}")).to_owned());
    }
    Cow::Borrowed(cut(text))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MOST_LABEL);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    let text = cut(text);
    to.extend_from_slice(&u16::try_from(text.len()).unwrap_or_default().to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

fn frame(to: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = to.len();
    to.extend_from_slice(&MAGIC);
    to.extend_from_slice(&[0; HEAD - 2]);
    content(to);
    let (length, checksum) = match to.get(at + HEAD..) {
        Some(content) => (u32::try_from(content.len()).unwrap_or_default(), crc32fast::hash(content)),
        None => return,
    };
    if let Some(place) = to.get_mut(at + 2..at + 6) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    if let Some(place) = to.get_mut(at + 6..at + HEAD) {
        place.copy_from_slice(&checksum.to_le_bytes());
    }
}

/// What stands at the beginning of some bytes of a journal.
#[derive(Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // nearly always the largest
pub(crate) enum Next<'a> {
    /// An entry, and how many bytes it takes.
    Entry(Entry<'a>, usize),
    /// The beginning of an entry whose end is missing.
    Cut,
    /// No entry; so many bytes until there may be one.
    Damaged(usize),
}

/// Reads the entry at the beginning of `bytes`, which are not empty.
pub(crate) fn next(bytes: &[u8]) -> Next<'_> {
    match framed(bytes) {
        Some(Some(content)) => match parse(content) {
            Some(entry) => Next::Entry(entry, HEAD + content.len()),
            None => Next::Damaged(HEAD + content.len()),
        },
        Some(None) => Next::Cut,
        None => {
            let rest = bytes.get(1..).unwrap_or_default();
            Next::Damaged(1 + memchr::memchr(MAGIC[0], rest).unwrap_or(rest.len()))
        }
    }
}

/// The content of the entry; `Some(None)` if its end is missing, `None` if it is damaged.
#[allow(clippy::option_option)]
fn framed(bytes: &[u8]) -> Option<Option<&[u8]>> {
    if !bytes.starts_with(MAGIC.get(..bytes.len().min(2))?) {
        return None;
    }
    let Some(head) = bytes.get(2..HEAD) else { return Some(None) };
    let mut head = Bytes(head);
    let (length, checksum) = (u32::from_le_bytes(head.array()?) as usize, u32::from_le_bytes(head.array()?));
    if length > MOST_ENTRY {
        return None;
    }
    match bytes.get(HEAD..HEAD + length) {
        Some(content) => (crc32fast::hash(content) == checksum).then_some(Some(content)),
        None => Some(None),
    }
}

fn parse(content: &[u8]) -> Option<Entry<'_>> {
    let mut from = Bytes(content);
    let kind = from.array::<1>()?[0];
    let (id, at) = (Id(u128::from_le_bytes(from.array()?)), u64::from_le_bytes(from.array()?));
    if kind == EVENT {
        let [destination, subject, kind] = [from.text()?.into(), from.text()?.into(), from.text()?.into()];
        let body = std::str::from_utf8(from.0).ok()?.into();
        return Some(Entry::Event(Event { id, at, destination, subject, kind, body }));
    }
    if kind != CALL {
        return None;
    }
    let (part, attempt) = (u32::from_le_bytes(from.array()?), u32::from_le_bytes(from.array()?));
    let run = u128::from_le_bytes(from.array()?);
    let origin = from.array::<1>()?[0];
    let flags = u16::from_le_bytes(from.array()?);
    let mut text = || Some(Some(from.text()?).filter(|text| !text.is_empty()));
    let (response_id, service_tier, cost) = (text()?, text()?, text()?);
    let known = u32::from_le_bytes(from.array()?);
    let mut counts = Counts::UNKNOWN;
    for unit in Unit::ALL {
        if known & 1 << unit.index() != 0 {
            counts.set(unit, u64::from_le_bytes(from.array()?));
        }
    }
    let run = (run != 0).then_some(Id(run));
    let labels = from.0;
    Some(Entry::Call(CallEntry {
        id,
        at,
        part,
        attempt,
        run,
        origin,
        flags,
        labels,
        counts,
        response_id,
        service_tier,
        cost,
    }))
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_le_bytes(self.array()?);
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;
    use crate::usage::{About, Origin, Usage};
    use proptest::prelude::*;

    fn call(input: u64, model: &str) -> Call {
        let mut counts = Counts::default();
        counts.set(Unit::Input, input);
        counts.set(Unit::Characters, 7);
        let mut labels = Labels::default();
        labels.set(Dim::Model, model);
        labels.set(Dim::Tool, "grep");
        let about = About { cost: Name::from("0.0012"), ..About::default() };
        let usage = Usage::new(counts, Origin::Estimated).with_about(about);
        Call { id: Id::new(99), at: 99, attempt: 2, part: 1, run: Some(Id(5)), labels, usage }
    }

    proptest! {
        #[test]
        fn a_call_comes_back_as_it_went(input in 0..MOST_COUNT, model in "[a-zA-Zäöü0-9/.-]{1,40}") {
            let (call, mut bytes) = (call(input, &model), Vec::new());
            put_call(&mut bytes, &call);
            let Next::Entry(Entry::Call(read), length) = next(&bytes) else { panic!("no call") };
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!((read.id, read.at, read.part, read.attempt, read.run), (call.id, 99, 1, 2, Some(Id(5))));
            prop_assert_eq!(&read.counts, call.usage.counts());
            prop_assert_eq!((read.cost, read.response_id), (Some("0.0012"), None));
            prop_assert_eq!(labels_of(read.labels), Some(call.labels));
        }

        #[test]
        fn no_bytes_make_it_panic_or_stand_still(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            match next(&bytes) {
                Next::Entry(_, step) | Next::Damaged(step) => prop_assert!(step > 0 && step <= bytes.len()),
                Next::Cut => {}
            }
        }

        #[test]
        fn a_changed_byte_is_noticed(at in 0..100_usize, bit in 0..8_u32) {
            let mut bytes = Vec::new();
            put_call(&mut bytes, &call(5, "m"));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(next(&bytes), Next::Entry(..)));
        }
    }

    #[test]
    fn an_entry_that_ends_too_early_is_cut_not_damaged() {
        let mut bytes = Vec::new();
        put_call(&mut bytes, &call(5, "m"));
        for end in 1..bytes.len() {
            assert_eq!(next(&bytes[..end]), Next::Cut, "{end}");
        }
    }

    #[test]
    fn an_event_comes_back_as_it_went() {
        let body = format!("{{\"metrics\": \"{}\"}}", "x".repeat(5000));
        let event = Event {
            id: Id(1),
            at: 2,
            destination: "billing".into(),
            subject: "t1".into(),
            kind: "query".into(),
            body: body.into(),
        };
        let mut bytes = Vec::new();
        put_event(&mut bytes, &event);
        assert_eq!(next(&bytes), Next::Entry(Entry::Event(event), bytes.len()));
    }
}
