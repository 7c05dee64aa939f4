//! A Python object as a payload: dict, SDK object, dataclass, namespace, protobuf message.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::computed::Computed;
use super::items::{Attributes, Items, Said};
use super::kinds::{has_public, is_json, is_scalar, number, plain_tuple};
use super::model::{self, Model};
use super::names::{Columns, Lookup, Names};
use crate::provider::json::{Fed, Scanner};
use crate::provider::{Collector, Facts, Means, Note, Number, Place};

/// How deep places nest at most; the same as for JSON.
const MOST_DEPTH: usize = 12;
/// How many objects one answer is looked into for; lists of results are the longest.
const MOST_OBJECTS: u32 = 20_000;
/// The same for objects that are asked for every name there is.
const COST_OF_NAMES: u32 = 500;

/// Tells the members of `body` to `facts`. Whatever an object raises when it is looked at counts as not said.
pub(super) fn tell(body: &Bound<'_, PyAny>, facts: &mut Facts, text: &mut Collector) {
    let names = Names::get(body.py());
    let mut teller = Teller { facts, text, names, later: Vec::new(), choices: None, budget: MOST_OBJECTS };
    teller.object(body, Place::Body, 1);
    // Most choices hold nothing that counts, so they come last and only if they are wanted.
    if let Some((choices, depth)) = teller.choices.take()
        && (!teller.facts.says_usage() || teller.text.text().is_some())
    {
        teller.inner(Means::CHOICES, &choices, Place::Body, depth);
    }
}

struct Teller<'a, 'py> {
    facts: &'a mut Facts,
    text: &'a mut Collector,
    names: &'static Names,
    /// Members to look into when the dict they stand in is done, beyond the first few.
    later: Vec<(&'static Means, Bound<'py, PyAny>)>,
    choices: Option<(Bound<'py, PyAny>, usize)>,
    /// How many objects may still be looked into; something that makes up its members has no end.
    budget: u32,
}

/// How many members of a dict are usually looked into.
const FEW: usize = 3;

impl<'py> Teller<'_, 'py> {
    fn object(&mut self, object: &Bound<'py, PyAny>, place: Place, depth: usize) {
        if !self.enter(place, depth) {
            return;
        }
        if let Ok(dict) = object.cast::<PyDict>() {
            self.members(dict, false, place, depth);
        } else if let Some(model) = Model::of(object, place) {
            self.model(model, object, place, depth);
        } else {
            self.attributes(object, place, depth);
        }
        self.facts.leave(place);
    }

    /// An object of `place` begins, unless there were too many.
    #[inline]
    fn enter(&mut self, place: Place, depth: usize) -> bool {
        if depth > MOST_DEPTH || self.budget == 0 {
            return false;
        }
        self.budget -= 1;
        self.facts.enter(place);
        true
    }

    /// Hears the members of a dict.
    #[inline]
    fn members(&mut self, dict: &Bound<'py, PyDict>, attributes: bool, place: Place, depth: usize) {
        self.items(Items::new(dict, Lookup::new(self.names, place, attributes.then_some(&[]))), place, depth);
    }

    /// Hears plain values at once and looks into the others when the dict is done: that may run Python code, which may
    /// change the dict.
    fn items(&mut self, items: Items<'_, 'py>, place: Place, depth: usize) {
        let (mut few, first) = ([const { None }; FEW], self.later.len());
        for (means, said) in items {
            if let Some(value) = self.hear(*means, said, depth) {
                match few.iter_mut().find(|free| free.is_none()) {
                    Some(free) => *free = Some((means, value)),
                    None => self.later.push((means, value)),
                }
            }
        }
        for (means, value) in few.iter().map_while(Option::as_ref) {
            self.deep(**means, value, place, depth);
        }
        let mut next = first;
        while let Some((means, value)) = self.later.get(next).cloned() {
            next += 1;
            self.deep(*means, &value, place, depth);
        }
        self.later.truncate(first);
    }

    /// Hears the attributes of an object of a class that is known, and looks into them as soon as it comes to them.
    fn own(&mut self, own: &Bound<'py, PyDict>, columns: &'static Columns, place: Place, depth: usize) {
        let mut attributes = Attributes::new(own, columns);
        for (means, said) in &mut attributes {
            if let Some(value) = self.hear(*means, said, depth) {
                self.deep(*means, &value, place, depth);
            }
        }
        if let Some(rest) = attributes.rest(self.names, place) {
            self.items(rest, place, depth);
        }
    }

    /// Hears a plain value; any other is handed back to be looked into.
    #[inline(always)]
    #[allow(clippy::inline_always)] // once a member
    fn hear(&mut self, means: Means, said: Said<'py>, depth: usize) -> Option<Bound<'py, PyAny>> {
        match said {
            Said::Null => self.null(means),
            Said::Number(slot, number) => self.facts.count(slot, number),
            Said::Text(note, text) => self.note(note, &text.to_string_lossy(), depth),
            Said::Object(value) if means.says_something() && self.plain(means, &value, depth) => {}
            Said::Object(value) if means.items == Some(Place::Choice) => self.choices = Some((value, depth)),
            Said::Object(value) => return Some(value),
        }
        None
    }

    /// Looks into a value that is not plain.
    #[inline]
    fn deep(&mut self, means: Means, value: &Bound<'py, PyAny>, parent: Place, depth: usize) {
        if let Some(place) = means.object.filter(|_| !means.says_something())
            && !value.is_instance_of::<PyDict>()
            && let Some(model) = Model::known(value, place)
        {
            self.inner_model(model, value, place, parent, depth);
        } else {
            self.compound(means, value, parent, depth);
        }
    }

    fn null(&mut self, means: Means) {
        if let Some(slot) = means.count {
            self.facts.count(slot, Number::Null);
        } else if let Some(note) = means.note {
            self.facts.scalar_note(note, "null");
        }
    }

    /// Hears a value that runs no code when it is looked at; `false` if it may.
    #[inline]
    fn plain(&mut self, means: Means, value: &Bound<'py, PyAny>, depth: usize) -> bool {
        if value.is_none() {
            self.null(means);
        } else if let Ok(int) = value.cast_exact::<PyInt>() {
            let Some(slot) = means.count else { return means.note.is_none() };
            self.facts.count(slot, int.extract::<u64>().map_or(Number::Bad, Number::Count));
        } else if let Ok(text) = value.cast_exact::<PyString>() {
            self.text(means, &text.to_string_lossy(), depth);
        } else if let Some(slot) = means.count
            && means.note.is_none()
            && (is_json(value) && means.object.is_none() && means.items.is_none())
        {
            self.facts.count(slot, number(value));
        } else {
            return false;
        }
        true
    }

    fn model(&mut self, model: &'static Model, object: &Bound<'py, PyAny>, place: Place, depth: usize) {
        if let Some(own) = model::own(object) {
            self.own(&own, model.columns(), place, depth);
        }
        if let Some(more) = model.extra(object) {
            self.members(&more, false, place, depth);
        }
        if !model.computed().names().is_empty() && !self.facts.says_usage() {
            self.computed(model.computed(), object, place, depth);
        }
    }

    /// Asks for what the class makes up, for nothing was said of usage so far.
    fn computed(&mut self, computed: &Computed, object: &Bound<'py, PyAny>, place: Place, depth: usize) {
        for (name, means) in computed.names() {
            if let Ok(Some(value)) = object.getattr_opt(name) {
                self.member(**means, &value, place, depth);
            }
        }
    }

    fn attributes(&mut self, object: &Bound<'py, PyAny>, place: Place, depth: usize) {
        let py = object.py();
        let own = object.getattr(intern!(py, "__dict__")).ok();
        let own = own.as_ref().and_then(|own| own.cast::<PyDict>().ok());
        if let Some(own) = own {
            self.members(own, true, place, depth);
        }
        // What pydantic does not know by name.
        if let Ok(more) = object.getattr(intern!(py, "__pydantic_extra__")) {
            model::met(object);
            if let Ok(more) = more.cast::<PyDict>() {
                self.members(more, false, place, depth);
            }
        } else if own.is_none_or(|own| !has_public(own)) {
            self.names(object, place, depth);
        } else if !self.facts.says_usage() {
            Computed::of_plain(object, place, |computed| self.computed(computed, object, place, depth));
        }
    }

    /// Asks for every name there is; for objects that keep their members elsewhere: slots, protobuf, properties.
    fn names(&mut self, object: &Bound<'py, PyAny>, place: Place, depth: usize) {
        self.budget = self.budget.saturating_sub(COST_OF_NAMES);
        for row in Place::rows().iter().filter(|row| row.place == place) {
            if row.name.bytes().any(|byte| !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')) {
                continue;
            }
            if let Ok(Some(value)) = object.getattr_opt(row.name) {
                self.member(row.means, &value, place, depth);
            }
        }
    }

    fn member(&mut self, means: Means, value: &Bound<'py, PyAny>, parent: Place, depth: usize) {
        if !self.plain(means, value, depth) {
            self.compound(means, value, parent, depth);
        }
    }

    /// Hears or looks into a value that is not plain.
    fn compound(&mut self, means: Means, value: &Bound<'py, PyAny>, parent: Place, depth: usize) {
        if means.note == Some(Note::Vectors) {
            if !is_scalar(value) {
                self.facts.vectors();
            }
            // Numbers say nothing, but an embedding that is an object may have counted its text.
            if value.is_instance_of::<PyList>() {
                self.inner(means, value, parent, depth);
            }
            return;
        }
        if means.count.is_none() && means.note.is_none() {
            return self.inner(means, value, parent, depth);
        }
        if let Ok(text) = value.cast::<PyString>() {
            return self.text(means, &text.to_string_lossy(), depth);
        }
        if let Ok(bytes) = value.cast::<PyBytes>() {
            if means.note == Some(Note::Wrapped) {
                self.wrapped(bytes.as_bytes());
            }
            return;
        }
        if value.is_instance_of::<PyDict>() || value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            if let Some(slot) = means.count {
                self.facts.count(slot, Number::Bad);
            }
            return self.inner(means, value, parent, depth);
        }
        if let Some(slot) = means.count {
            self.facts.count(slot, number(value));
        }
        if let Some(note) = means.note {
            if means.object.is_some() && !value.is_instance_of::<PyFloat>() && !value.is_instance_of::<PyInt>() {
                return self.inner(means, value, parent, depth);
            }
            self.scalar(note, value, depth);
        }
    }

    /// An object or a list.
    fn inner(&mut self, means: Means, value: &Bound<'py, PyAny>, parent: Place, depth: usize) {
        if let Some(place) = means.object
            && !value.is_instance_of::<PyDict>()
            && let Some(model) = Model::of(value, place)
        {
            self.inner_model(model, value, place, parent, depth);
        } else if let Ok(list) = value.cast::<PyList>() {
            if let Some(place) = means.items.filter(|place| self.text.wants(*place)) {
                list.iter().for_each(|item| self.item(&item, place, depth));
            }
        } else if let Some(list) = plain_tuple(value) {
            if let Some(place) = means.items.filter(|place| self.text.wants(*place)) {
                list.iter().for_each(|item| self.item(&item, place, depth));
            }
        } else if is_scalar(value) {
            // Where an object belongs it says nothing.
        } else if let Some(place) = means.object.filter(|place| self.text.wants(*place)) {
            if self.facts.admits(place, parent) {
                self.object(value, place, depth + 1);
            }
        } else if let Some(place) = means.items.filter(|place| self.text.wants(*place))
            && !value.is_instance_of::<PyDict>()
            && let Ok(items) = value.try_iter()
        {
            // A repeated field of protobuf is no list.
            items.flatten().take(MOST_OBJECTS as usize).for_each(|item| self.item(&item, place, depth));
        }
    }

    #[inline]
    fn inner_model(
        &mut self,
        model: &'static Model,
        object: &Bound<'py, PyAny>,
        place: Place,
        parent: Place,
        depth: usize,
    ) {
        if self.text.wants(place) && self.facts.admits(place, parent) && self.enter(place, depth + 1) {
            self.model(model, object, place, depth + 1);
            self.facts.leave(place);
        }
    }

    fn item(&mut self, item: &Bound<'py, PyAny>, place: Place, depth: usize) {
        if !is_scalar(item) && !item.is_instance_of::<PyList>() && !item.is_none() {
            self.object(item, place, depth + 2);
        }
    }

    fn text(&mut self, means: Means, text: &str, depth: usize) {
        if let Some(slot) = means.count {
            self.facts.count(slot, Number::read(text.as_bytes()));
        }
        if let Some(note) = means.note {
            self.note(note, text, depth);
        }
    }

    fn note(&mut self, note: Note, text: &str, depth: usize) {
        match note {
            Note::Wrapped => self.wrapped_text(text.as_bytes()),
            _ if note.flows() => self.text.take(note, text.as_bytes()),
            _ => self.facts.note(note, text, depth),
        }
    }

    /// A float, a truth value, a decimal, or an enumeration whose value is a text.
    fn scalar(&mut self, note: Note, value: &Bound<'py, PyAny>, depth: usize) {
        if let Ok(truth) = value.cast::<PyBool>() {
            return self.facts.scalar_note(note, if truth.is_true() { "true" } else { "false" });
        }
        if note.is_decimal() {
            if let Ok(text) = value.str() {
                self.facts.scalar_note(note, &text.to_string_lossy());
            }
        } else if let Ok(Some(inner)) = value.getattr_opt(intern!(value.py(), "value"))
            && let Ok(text) = inner.cast::<PyString>()
        {
            self.facts.note(note, &text.to_string_lossy(), depth);
        }
    }

    fn wrapped(&mut self, bytes: &[u8]) {
        let (mut scanner, mut rest) = (Scanner::default(), bytes);
        while let Fed::Document(read) = scanner.feed(rest, self.facts, self.text) {
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    fn wrapped_text(&mut self, text: &[u8]) {
        crate::provider::unwrap_base64(text, self.facts, self.text);
    }
}
