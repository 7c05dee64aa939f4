//! Fold: the events of a stream, made into one usage.
//!
//! The newest number replaces the older one, field by field; nothing is ever added up but the responses of a live
//! session, each of which is paid for.

use super::facts::{Facts, Kind};
use super::slot::{Slot, Slots};
use super::{Hints, says_usage, usage};
use crate::usage::{About, Usage};

const GEMINI_BESIDE: [Slot; 3] = [Slot::GeminiCached, Slot::GeminiThoughts, Slot::GeminiTools];
const GEMINI_SNAPSHOT: Slots = Slots::of(&[Slot::GeminiPrompt, Slot::GeminiCandidates, Slot::GeminiResponse]);
const GEMINI: Slots = Slots::of(&[
    Slot::GeminiPrompt,
    Slot::GeminiCandidates,
    Slot::GeminiResponse,
    Slot::GeminiThoughts,
    Slot::GeminiTools,
    Slot::GeminiCached,
    Slot::GeminiTotal,
    Slot::InText,
    Slot::InAudio,
    Slot::InImage,
    Slot::InVideo,
    Slot::OutText,
    Slot::OutAudio,
    Slot::OutImage,
]);

/// What the events so far amount to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fold {
    now: Facts,
    /// Responses of a live session that are complete; the id is that of the newest.
    complete: Option<Usage>,
    newest: Option<(Option<Box<str>>, Usage)>,
    /// Usage of other models, such as the one that writes down what the user says.
    others: Vec<Usage>,
}

/// How many transcriptions of one session are kept as lines of their own.
const MOST_OTHERS: usize = 1024;

impl Fold {
    /// Takes what one event said and leaves `facts` empty.
    pub(crate) fn take(&mut self, facts: &mut Facts, hints: &Hints<'_>) {
        facts.complete();
        if facts.kind == Kind::Transcribed {
            if let Some(line) = usage(facts, hints)
                && self.others.len() < MOST_OTHERS
            {
                self.others.push(line);
            }
            facts.clear();
            return;
        }
        self.now.take_notes(facts);
        if says_usage(facts) {
            if facts.any(GEMINI_SNAPSHOT) {
                self.take_snapshot(facts);
            } else {
                self.now.take_counts(facts);
            }
        }
        if matches!(facts.kind, Kind::RealtimeDone | Kind::TurnDone) {
            self.complete_one(hints);
        }
        facts.clear();
    }

    /// Gemini repeats everything in every chunk, but a later one may leave out what an earlier one said. What is part
    /// of the input stays; what stands beside it stays if the newest total has it in.
    fn take_snapshot(&mut self, facts: &mut Facts) {
        let old = GEMINI_BESIDE.map(|slot| (slot, self.now.get(slot)));
        self.now.forget(GEMINI);
        self.now.take_counts(facts);
        let sum = |facts: &Facts| {
            let slots = [
                Slot::GeminiPrompt,
                Slot::GeminiCandidates,
                Slot::GeminiResponse,
                Slot::GeminiThoughts,
                Slot::GeminiTools,
            ];
            slots.iter().fold(0_u64, |sum, slot| sum.saturating_add(facts.get(*slot).unwrap_or(0)))
        };
        for (slot, count) in old {
            let Some(count) = count.filter(|_| self.now.get(slot).is_none()) else { continue };
            let fits = |total| sum(&self.now).saturating_add(count) <= total;
            if slot == Slot::GeminiCached || self.now.get(Slot::GeminiTotal).is_some_and(fits) {
                self.now.set(slot, count);
            }
        }
    }

    fn complete_one(&mut self, hints: &Hints<'_>) {
        let id = self.response_id().map(Box::from);
        let Some(now) = usage(&self.now, hints) else { return };
        self.now.forget(Slots::ALL);
        if let Some((newest, usage)) = self.newest.take()
            && (id.is_none() || newest != id)
        {
            match &mut self.complete {
                Some(sum) => sum.merge(&usage),
                None => self.complete = Some(usage),
            }
        }
        self.newest = Some((id, now));
    }

    /// The usage so far.
    pub(crate) fn usage(&self, hints: &Hints<'_>) -> Option<Usage> {
        let parts = [self.complete.clone(), self.newest.clone().map(|(_, usage)| usage), usage(&self.now, hints)];
        let mut sum = parts.into_iter().flatten().reduce(|mut sum, part| {
            sum.merge(&part);
            sum
        });
        if !self.others.is_empty() {
            let mut whole = sum.unwrap_or_else(Usage::unknown);
            let mut about: About = whole.about().cloned().unwrap_or_default();
            about.others.extend(self.others.iter().cloned());
            whole = whole.with_about(about);
            sum = Some(whole);
        }
        sum
    }

    /// The stream ended inside an event.
    pub(crate) fn cut(&mut self) {
        self.now.truncated = true;
    }

    /// A part of the stream could not be read.
    pub(crate) fn broken(&mut self) {
        self.now.malformed = true;
    }

    /// Whether an event said that the answer has ended.
    pub(crate) fn done(&self) -> bool {
        self.now.done
    }

    /// The answer has ended, as something beside the events says.
    pub(crate) fn end(&mut self) {
        self.now.done = true;
    }

    /// Model that answers, as the provider names it.
    pub(crate) fn model(&self) -> Option<&str> {
        self.now.about.as_ref()?.model.get()
    }

    /// The provider's id of the answer.
    pub(crate) fn response_id(&self) -> Option<&str> {
        self.now.about.as_ref()?.response_id.get()
    }

    /// Puts a number that stands beside the body.
    pub(crate) fn set(&mut self, slot: Slot, count: u64) {
        self.now.set(slot, count);
    }
}
