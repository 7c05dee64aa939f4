//! Computed: attributes that lead to usage and that no object keeps, for its class makes them up: properties, whatever
//! else stands in a class, what `__getattr__` answers.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::classes::{Classes, Found};
use crate::provider::{Means, Place};

static CLASSES: Classes<Computed, 512> = Classes::new();

/// The names of the attributes that the objects of one class have, and that lead to usage where they stand in one place.
pub(super) struct Computed(Box<[(Py<PyString>, &'static Means)]>);

impl Computed {
    /// The properties of a class.
    pub(super) fn properties(class: &Bound<'_, PyType>, place: Place) -> Self {
        let property = class.py().import("builtins").and_then(|builtins| builtins.getattr("property"));
        Self::of(class, place, |found| {
            property.as_ref().is_ok_and(|property| found.is_instance(property).unwrap_or(false))
        })
    }

    /// Hands what the class of `object` has to `ask`. It is found out once, if there is room to keep it.
    pub(super) fn of_plain(object: &Bound<'_, PyAny>, place: Place, ask: impl FnOnce(&Self)) {
        match CLASSES.find(object, place as u8) {
            Found::Known(known) => ask(known),
            Found::Full => ask(&Self::plain(&object.get_type(), place)),
            Found::New => {
                let class = object.get_type();
                if let Some(known) = CLASSES.keep(&class, place as u8, Self::plain(&class, place)) {
                    ask(known);
                }
            }
        }
    }

    /// What a class has that is no method, or every name if it makes up attributes as it is asked for them.
    #[cold]
    fn plain(class: &Bound<'_, PyType>, place: Place) -> Self {
        if class.hasattr("__getattr__").unwrap_or(false) {
            return Self::named(class.py(), place, |name| {
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            });
        }
        Self::of(class, place, |found| !found.is_callable())
    }

    fn of(class: &Bound<'_, PyType>, place: Place, is: impl Fn(Bound<'_, PyAny>) -> bool) -> Self {
        Self::named(class.py(), place, |name| class.getattr_opt(name).is_ok_and(|found| found.is_some_and(&is)))
    }

    fn named(py: Python<'_>, place: Place, has: impl Fn(&str) -> bool) -> Self {
        let rows = Place::rows().iter().filter(|row| row.place == place && row.means.object == Some(Place::Usage));
        let rows = rows.filter(|row| has(row.name));
        Self(rows.map(|row| (PyString::intern(py, row.name).unbind(), &row.means)).collect())
    }

    /// Each name and what it means.
    #[inline]
    pub(super) fn names(&self) -> &[(Py<PyString>, &'static Means)] {
        &self.0
    }
}
