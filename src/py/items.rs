//! Items: the members of a dict that mean something, one by one.
//!
//! An answer of the OpenAI SDK has 25 members. `PyO3` hands out each of them with two new references and two checks that
//! the dict is as it was; here only what is handed out is held.

#![allow(unsafe_code)] // what a dict lends is looked at before anything else can happen

use std::ops::ControlFlow;
use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyString};

use super::names::{Column, Columns, Known, Lookup, Names};
use crate::provider::{Means, Note, Number, Place, Slot};

/// What stands under a name.
pub(super) enum Said<'py> {
    /// `None`.
    Null,
    /// An `int` where a count belongs.
    Number(Slot, Number),
    /// A `str` where a text belongs.
    Text(Note, Bound<'py, PyString>),
    /// Any other.
    Object(Bound<'py, PyAny>),
}

/// Whether the place of a member in a dict is its number, as it is in every `CPython` so far.
pub(super) const NUMBERED: bool = cfg!(not(any(PyPy, GraalPy)));

/// What a dict holds: a name and its value, which it lends until anything else happens to it.
type Lent = (*mut ffi::PyObject, *mut ffi::PyObject);

/// The member of `dict` at the place `at`, which goes on to the next one.
///
/// # Safety
///
/// Where there is no GIL, the thread holds the dict's lock.
#[inline(always)]
#[allow(clippy::inline_always)] // every member goes through here, and through memory if this is a call
unsafe fn next(dict: &Bound<'_, PyDict>, at: &mut ffi::Py_ssize_t) -> Option<Lent> {
    let (mut name, mut value) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the dict is one, and the thread is attached. The place is checked against the dict as it is now.
    let found = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut *at, &raw mut name, &raw mut value) };
    (found != 0).then_some((name, value))
}

/// What `value` is where `means` is meant.
///
/// # Safety
///
/// The value lives.
#[inline(always)]
#[allow(clippy::inline_always)] // as above
unsafe fn said<'py>(py: Python<'py>, means: &Means, value: *mut ffi::PyObject) -> Said<'py> {
    // SAFETY: the address of `None` is only compared.
    if unsafe { value == ffi::Py_None() } {
        return Said::Null;
    }
    if let Some(slot) = means.count {
        // SAFETY: the value lives. Of a plain int the number is read without running any code, and without an exception.
        let (number, overflow) = unsafe {
            let mut overflow = i32::from(ffi::PyLong_CheckExact(value) == 0);
            let number = if overflow == 0 { ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow) } else { 0 };
            (number, overflow)
        };
        if overflow == 0 {
            return Said::Number(slot, u64::try_from(number).map_or(Number::Bad, Number::Count));
        }
    }
    // SAFETY: the value lives.
    let value = unsafe { Bound::from_borrowed_ptr(py, value) };
    match means.note {
        Some(note) if means.count.is_none() => match value.cast_into_exact::<PyString>() {
            Ok(text) => Said::Text(note, text),
            Err(other) => Said::Object(other.into_inner()),
        },
        _ => Said::Object(value),
    }
}

/// The members of a dict that mean something, in its order. Should the dict change on the way, some of them may be
/// missing.
pub(super) struct Items<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    lookup: Lookup,
    at: ffi::Py_ssize_t,
    left: usize,
    /// What was handed out before.
    heard: &'static [Column],
}

impl<'a, 'py> Items<'a, 'py> {
    #[inline]
    pub(super) fn new(dict: &'a Bound<'py, PyDict>, lookup: Lookup) -> Self {
        Self { dict, lookup, at: 0, left: dict.len(), heard: &[] }
    }

    /// Goes on by one member; breaks with it if it means something, and with nothing at the end.
    #[inline(always)]
    #[allow(clippy::inline_always)] // as above
    fn step(&mut self) -> ControlFlow<Option<(&'static Means, Said<'py>)>> {
        let Some(left) = self.left.checked_sub(1) else { return ControlFlow::Break(None) };
        self.left = left;
        let py = self.dict.py();
        // SAFETY: the caller holds the lock.
        let Some((name, value)) = (unsafe { next(self.dict, &mut self.at) }) else { return ControlFlow::Break(None) };
        if self.heard.iter().any(|column| column.address == name as usize) {
            return ControlFlow::Continue(());
        }
        match self.lookup.find(name as usize) {
            // SAFETY: the dict holds the value, for nothing has run since it lent it.
            Known::Means(means) => ControlFlow::Break(Some((means, unsafe { said(py, means, value) }))),
            Known::Nothing => ControlFlow::Continue(()),
            Known::Unread => {
                // SAFETY: the dict holds both, for nothing has run since it lent them.
                let (name, value) =
                    unsafe { (Bound::from_borrowed_ptr(py, name), Bound::from_borrowed_ptr(py, value)) };
                match name.cast::<PyString>().ok().and_then(|name| self.lookup.read(name)) {
                    None => ControlFlow::Continue(()),
                    // SAFETY: the value is held here.
                    Some(means) => ControlFlow::Break(Some((means, unsafe { said(py, means, value.as_ptr()) }))),
                }
            }
        }
    }
}

impl<'py> Iterator for Items<'_, 'py> {
    type Item = (&'static Means, Said<'py>);

    #[inline(always)]
    #[allow(clippy::inline_always)]
    fn next(&mut self) -> Option<Self::Item> {
        let dict = self.dict;
        loop {
            if let ControlFlow::Break(found) = with_critical_section(dict, || self.step()) {
                return found;
            }
        }
    }
}

/// The attributes that mean something of an object whose class is known, as long as they stand where they are expected.
pub(super) struct Attributes<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    columns: &'static Columns,
    /// Those that were not there yet.
    left: &'static [Column],
}

impl<'a, 'py> Attributes<'a, 'py> {
    #[inline]
    pub(super) fn new(dict: &'a Bound<'py, PyDict>, columns: &'static Columns) -> Self {
        Self { dict, columns, left: columns.told() }
    }

    /// What must be searched for because the object is not laid out as expected.
    #[inline]
    pub(super) fn rest(self, names: &'static Names, place: Place) -> Option<Items<'a, 'py>> {
        let (all, told) = (self.columns.all(), self.columns.told());
        if NUMBERED && self.left.is_empty() && all.len() == self.dict.len() {
            return None;
        }
        let heard = told.get(..told.len() - self.left.len()).unwrap_or_default();
        Some(Items { heard, ..Items::new(self.dict, Lookup::new(names, place, Some(all))) })
    }

    /// Goes on by one attribute.
    #[inline(always)]
    #[allow(clippy::inline_always)] // as above
    fn step(&mut self) -> ControlFlow<Option<(&'static Means, Said<'py>)>> {
        let [column, left @ ..] = self.left else { return ControlFlow::Break(None) };
        // SAFETY: the caller holds the lock.
        match unsafe { next(self.dict, &mut { column.number }) } {
            Some((name, value)) if name as usize == column.address => {
                self.left = left;
                let Some(means) = column.means else { return ControlFlow::Continue(()) };
                // SAFETY: the dict holds the value, for nothing has run since it lent it.
                ControlFlow::Break(Some((means, unsafe { said(self.dict.py(), means, value) })))
            }
            _ => ControlFlow::Break(None),
        }
    }
}

impl<'py> Iterator for Attributes<'_, 'py> {
    type Item = (&'static Means, Said<'py>);

    #[inline(always)]
    #[allow(clippy::inline_always)]
    fn next(&mut self) -> Option<Self::Item> {
        let dict = self.dict;
        loop {
            if let ControlFlow::Break(found) = with_critical_section(dict, || self.step()) {
                return found;
            }
        }
    }
}
