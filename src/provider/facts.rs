//! Facts: everything one body or one event of a stream says, in the provider's own terms.

use super::decimal::Decimal;
use super::item::{Iteration, Label};
use super::number::Number;
use super::place::Place;
use super::slot::{Note, Slot, Slots};
use crate::usage::About;

/// What kind of body or event this is, as far as the rules must know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any other.
    #[default]
    Plain,
    /// A response of a realtime session is complete; every one of them counts.
    RealtimeDone,
    /// A turn of a live session is over; every turn counts.
    TurnDone,
    /// Audio of the user was written down by a model of its own.
    Transcribed,
    /// The answer has ended, completely or not.
    Ended,
}

/// What one document says.
#[allow(clippy::struct_excessive_bools)] // each says something of its own
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    known: Slots,
    values: [u64; Slot::COUNT],
    pub(super) malformed: bool,
    pub(super) truncated: bool,
    pub(super) done: bool,
    pub(super) kind: Kind,
    byok: bool,
    pub(super) embeds: bool,
    /// The usage that is being heard stands in a choice.
    of_choice: bool,
    malformed_before: bool,
    /// Usage of a choice, until it is known that the body has none of its own.
    choice: Option<Box<Facts>>,
    label: Label,
    /// What was said beside numbers; keeps its place when it is forgotten.
    pub(super) about: Option<Box<About>>,
    pub(super) request_id: Option<Box<str>>,
    item_model: Option<Box<str>>,
    cost: Option<Decimal>,
    upstream: Option<Decimal>,
    seconds: Option<Decimal>,
    pub(super) iterations: Vec<Iteration>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            known: Slots::NONE,
            values: [0; Slot::COUNT],
            malformed: false,
            truncated: false,
            done: false,
            kind: Kind::Plain,
            byok: false,
            embeds: false,
            of_choice: false,
            malformed_before: false,
            choice: None,
            label: Label::None,
            about: None,
            request_id: None,
            item_model: None,
            cost: None,
            upstream: None,
            seconds: None,
            iterations: Vec::new(),
        }
    }
}

/// How many iterations of one answer are kept; the API makes a handful.
const MOST_ITERATIONS: usize = 1024;

impl Facts {
    /// The number in `slot`, if it was said.
    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<u64> {
        if self.known.has(slot) { self.values.get(slot as usize).copied() } else { None }
    }

    /// Whether any of `slots` was said.
    #[inline]
    pub(super) const fn any(&self, slots: Slots) -> bool {
        self.known.meets(slots)
    }

    /// Hands the numbers of `slots` that were said to `take`, by the number of their slot.
    #[inline]
    pub(super) fn said(&self, slots: Slots, mut take: impl FnMut(usize, u64)) {
        self.known.and(slots).each(|at| {
            if let Some(count) = self.values.get(at) {
                take(at, *count);
            }
        });
    }

    /// Puts a number that the caller knows.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, count: u64) {
        if let Some(value) = self.values.get_mut(slot as usize) {
            *value = count;
            self.known.add(slot);
        }
    }

    /// Forgets `slots`.
    pub(super) fn forget(&mut self, slots: Slots) {
        self.known = self.known.without(slots);
    }

    /// Hears a number.
    #[inline]
    pub(crate) fn count(&mut self, slot: Slot, number: Number) {
        match number {
            Number::Count(count) => self.set(slot, count),
            Number::Null => self.known.remove(slot),
            Number::Bad => {
                self.known.remove(slot);
                self.malformed = true;
            }
        }
    }

    /// Hears a text; `depth` is 1 for the members of the body itself.
    pub(crate) fn note(&mut self, note: Note, text: &str, depth: usize) {
        let boxed = || (!text.is_empty()).then(|| Box::from(text));
        match note {
            Note::Model | Note::Id | Note::Tier if text.is_empty() => {}
            Note::Model => self.about().model.set(text),
            Note::Id => self.about().response_id.set(text),
            Note::Tier => self.about().service_tier.set(text),
            Note::RequestId => self.request_id = boxed(),
            Note::ItemModel => self.item_model = boxed(),
            Note::Label => self.label = Label::read(text),
            Note::Kind if depth == 1 => self.hear_kind(text),
            Note::Traffic => self.set(Slot::GeminiOmitted, 0),
            Note::Finish => self.done |= !text.is_empty(),
            Note::Vectors | Note::Kind | Note::Wrapped | Note::Delivered | Note::Arguments => {}
            Note::Done | Note::TurnDone | Note::Byok | Note::Cost | Note::UpstreamCost | Note::Seconds => {
                self.scalar_note(note, text);
            }
        }
    }

    #[inline]
    fn about(&mut self) -> &mut About {
        self.about.get_or_insert_default()
    }

    /// Hears that the body holds vectors.
    pub(crate) fn vectors(&mut self) {
        self.embeds = true;
    }

    /// Hears a scalar where a text belongs: yes, no, or an exact decimal.
    pub(crate) fn scalar_note(&mut self, note: Note, text: &str) {
        match note {
            Note::Done => self.done |= text == "true",
            Note::TurnDone if text == "true" => self.kind = Kind::TurnDone,
            Note::Byok => self.byok = text == "true",
            Note::Cost => self.cost = Decimal::read(text),
            Note::UpstreamCost => self.upstream = Decimal::read(text),
            Note::Seconds => self.seconds = Decimal::read(text),
            _ => {}
        }
    }

    fn hear_kind(&mut self, kind: &str) {
        self.kind = match kind {
            "response.done" => Kind::RealtimeDone,
            "conversation.item.input_audio_transcription.completed" => Kind::Transcribed,
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "message_stop"
            | "message-end"
            | "stream-end"
            | "interaction.completed"
            | "transcript.text.done" => Kind::Ended,
            _ => Kind::Plain,
        };
        self.done |= matches!(self.kind, Kind::Ended | Kind::RealtimeDone);
    }

    /// Whether an object called usage, or one like it, was heard.
    pub(crate) fn says_usage(&self) -> bool {
        self.any(Place::Usage.slots())
    }

    /// Whether usage that stands in an object of `parent` is to be heard. Moonshot repeats it in a choice, where it
    /// counts only if the body has none of its own.
    #[inline]
    pub(crate) fn admits(&mut self, place: Place, parent: Place) -> bool {
        if place as u8 != Place::Usage as u8 {
            return true;
        }
        self.of_choice = parent == Place::Choice;
        if self.of_choice && self.says_usage() {
            self.of_choice = false;
            return false;
        }
        if self.of_choice {
            self.malformed_before = self.malformed;
        }
        true
    }

    /// An object of `place` begins.
    #[inline]
    pub(crate) fn enter(&mut self, place: Place) {
        const ITEM: Slots =
            Slots::of(&[Slot::ItemCount, Slot::ItemInput, Slot::ItemOutput, Slot::ItemCacheRead, Slot::ItemCacheWrite]);
        if place.is_item() {
            self.forget(ITEM);
            self.label = Label::None;
            self.item_model = None;
        }
    }

    /// A member that leads somewhere stands for the second time: what the first one said is void.
    #[cold]
    pub(super) fn tell_again(&mut self, slots: Slots) {
        self.forget(slots);
        if slots.has(Slot::ItemCacheRead) {
            self.iterations.clear();
        }
    }

    /// An object of `place` ends.
    #[inline]
    pub(crate) fn leave(&mut self, place: Place) {
        if place.is_item() {
            self.leave_item(place);
        } else if self.of_choice && place == Place::Usage {
            self.put_aside();
        }
    }

    #[cold]
    fn put_aside(&mut self) {
        let slots = Place::Usage.slots();
        let mut choice = Self { known: self.known.and(slots), values: self.values, ..Self::default() };
        choice.malformed = std::mem::replace(&mut self.malformed, self.malformed_before);
        (choice.cost, choice.upstream) = (self.cost.take(), self.upstream.take());
        (choice.seconds, choice.byok) = (self.seconds.take(), std::mem::take(&mut self.byok));
        choice.iterations = std::mem::take(&mut self.iterations);
        self.choice = Some(Box::new(choice));
        self.forget(slots);
        self.of_choice = false;
    }

    /// The body is complete: usage of a choice counts if the body has none.
    #[inline]
    pub(crate) fn complete(&mut self) {
        if let Some(mut choice) = self.choice.take()
            && !self.says_usage()
        {
            self.malformed |= choice.malformed;
            self.take_counts(&mut choice);
        }
    }

    fn leave_item(&mut self, place: Place) {
        let (label, count) = (self.label, self.get(Slot::ItemCount));
        let (input, output) = (self.get(Slot::ItemInput), self.get(Slot::ItemOutput));
        match place {
            Place::InputModality | Place::ToolModality => self.sum(label.input(), count),
            Place::OutputModality => self.sum(label.output(), count),
            Place::CacheDetail => self.sum(label.lifetime(), count),
            Place::Result => {
                self.sum(Some(Slot::ResultInput), input);
                self.sum(Some(Slot::ResultOutput), output);
            }
            Place::Statistics => self.sum(Some(Slot::ResultInput), input),
            Place::Model => {
                self.sum(Some(Slot::ModelInput), input);
                self.sum(Some(Slot::ModelOutput), output);
            }
            Place::Iteration | Place::Drawn if self.iterations.len() >= MOST_ITERATIONS => self.malformed = true,
            // Nothing was drawn: OpenAI says 0 of every tool that it hosts.
            Place::Drawn if input.unwrap_or(0) == 0 && output.unwrap_or(0) == 0 => {}
            Place::Drawn => {
                let cached = self.get(Slot::ItemCacheRead);
                let input = input.map(|input| input.saturating_sub(cached.unwrap_or(0)));
                let line = Iteration { label: Label::Drawn, input, output, cache_read: cached, ..Iteration::default() };
                self.iterations.push(line);
            }
            Place::Iteration => {
                let iteration = Iteration {
                    label,
                    model: self.item_model.take(),
                    input,
                    output,
                    cache_read: self.get(Slot::ItemCacheRead),
                    cache_write: self.get(Slot::ItemCacheWrite),
                };
                self.iterations.push(iteration);
            }
            _ => {}
        }
    }

    fn sum(&mut self, slot: Option<Slot>, count: Option<u64>) {
        if let (Some(slot), Some(count)) = (slot, count) {
            self.set(slot, self.get(slot).unwrap_or(0).saturating_add(count));
        }
    }

    /// The cost in dollars that the provider states.
    pub(super) fn cost(&self) -> Option<Decimal> {
        // protobuf cannot tell 0 from nothing said.
        if let Some(ticks) = self.get(Slot::Ticks).filter(|ticks| *ticks > 0) {
            return Decimal::new(u128::from(ticks), 10);
        }
        let cost = self.cost?;
        if self.byok { self.upstream.map_or(Some(cost), |upstream| cost.plus(upstream)) } else { Some(cost) }
    }

    /// Whether this is an answer of its own, not one of several in a session.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Plain | Kind::Ended)
    }

    /// Whether something is said that is paid for without tokens: pages, characters, seconds, or the price itself.
    pub(super) fn says_other(&self) -> bool {
        self.any(Slots::of(&[Slot::Pages, Slot::Characters]))
            || self.milliseconds().is_some()
            || self.cost().is_some_and(|cost| !cost.is_zero())
    }

    /// Milliseconds of audio that the provider states.
    pub(super) fn milliseconds(&self) -> Option<u64> {
        self.seconds?.floor(3)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.known = Slots::NONE;
        (self.malformed, self.truncated, self.done, self.byok) = (false, false, false, false);
        (self.of_choice, self.embeds, self.choice) = (false, false, None);
        (self.kind, self.label) = (Kind::Plain, Label::None);
        (self.request_id, self.item_model) = (None, None);
        if let Some(about) = &mut self.about {
            about.model.clear();
            about.response_id.clear();
            about.service_tier.clear();
        }
        (self.cost, self.upstream, self.seconds) = (None, None, None);
        self.iterations.clear();
    }

    /// Takes over every number of `newer`, which is about the same answer.
    pub(super) fn take_counts(&mut self, newer: &mut Self) {
        // watsonx counts the input in its first event and says 0 in the others.
        if newer.get(Slot::ResultInput) == Some(0) && self.get(Slot::ResultInput).is_some() {
            newer.forget(Slots::of(&[Slot::ResultInput]));
        }
        newer.said(Slots::ALL, |at, count| {
            if let Some(mine) = self.values.get_mut(at) {
                *mine = count;
            }
        });
        self.known = self.known.or(newer.known);
        self.cost = newer.cost.or(self.cost);
        self.upstream = newer.upstream.or(self.upstream);
        self.seconds = newer.seconds.or(self.seconds);
        self.byok |= newer.byok;
        if !newer.iterations.is_empty() {
            self.iterations = std::mem::take(&mut newer.iterations);
        }
    }

    /// Takes over what `newer` says beside numbers.
    pub(super) fn take_notes(&mut self, newer: &mut Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.about, &newer.about) {
            for (mine, theirs) in [
                (&mut mine.model, &theirs.model),
                (&mut mine.response_id, &theirs.response_id),
                (&mut mine.service_tier, &theirs.service_tier),
            ] {
                if let Some(name) = theirs.get() {
                    mine.set(name);
                }
            }
        } else if self.about.is_none() {
            self.about = newer.about.take();
        }
        if newer.request_id.is_some() {
            self.request_id = newer.request_id.take();
        }
        self.embeds |= newer.embeds;
        self.malformed |= newer.malformed;
        self.truncated |= newer.truncated;
        self.done |= newer.done;
    }
}
