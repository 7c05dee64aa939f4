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

use super::names::{Known, Lookup};
use crate::provider::{Means, Number};

/// What stands under a name.
pub(super) enum Said<'py> {
    /// `None`.
    Null,
    /// An `int` where a count belongs.
    Number(Number),
    /// Any other.
    Object(Bound<'py, PyAny>),
}

/// The members of a dict that mean something, in its order. Should the dict change on the way, some of them may be
/// missing.
pub(super) struct Items<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    lookup: Lookup,
    at: ffi::Py_ssize_t,
    left: usize,
}

impl<'a, 'py> Items<'a, 'py> {
    #[inline]
    pub(super) fn new(dict: &'a Bound<'py, PyDict>, lookup: Lookup) -> Self {
        Self { dict, lookup, at: 0, left: dict.len() }
    }

    /// Goes on by one member; breaks with it if it means something, and with nothing at the end.
    #[inline(always)]
    #[allow(clippy::inline_always)] // every member goes through here, and through memory if this is a call
    fn step(&mut self) -> ControlFlow<Option<(&'static Means, Said<'py>)>> {
        let Some(left) = self.left.checked_sub(1) else { return ControlFlow::Break(None) };
        self.left = left;
        let py = self.dict.py();
        let (mut name, mut value) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the dict is one, the thread is attached and, where there is no GIL, holds the dict's lock. The place is
        // checked against the dict as it is now.
        if unsafe { ffi::PyDict_Next(self.dict.as_ptr(), &raw mut self.at, &raw mut name, &raw mut value) } == 0 {
            return ControlFlow::Break(None);
        }
        let means = match self.lookup.find(name as usize) {
            Known::Means(means) => means,
            Known::Nothing => return ControlFlow::Continue(()),
            Known::Unread => {
                // SAFETY: the dict holds both, for nothing has run since it lent them.
                let (name, value) =
                    unsafe { (Bound::from_borrowed_ptr(py, name), Bound::from_borrowed_ptr(py, value)) };
                return match name.cast::<PyString>().ok().and_then(|name| self.lookup.read(name)) {
                    None => ControlFlow::Continue(()),
                    Some(means) if value.is_none() => ControlFlow::Break(Some((means, Said::Null))),
                    Some(means) => ControlFlow::Break(Some((means, Said::Object(value)))),
                };
            }
        };
        // SAFETY: as above; the address of `None` is only compared.
        if unsafe { value == ffi::Py_None() } {
            return ControlFlow::Break(Some((means, Said::Null)));
        }
        if means.count.is_some() {
            // SAFETY: as above. Of a plain int the number is read without running any code, and without an exception.
            let (number, overflow) = unsafe {
                let mut overflow = i32::from(ffi::PyLong_CheckExact(value) == 0);
                let number =
                    if overflow == 0 { ffi::PyLong_AsLongLongAndOverflow(value, &raw mut overflow) } else { 0 };
                (number, overflow)
            };
            if overflow == 0 {
                let number = u64::try_from(number).map_or(Number::Bad, Number::Count);
                return ControlFlow::Break(Some((means, Said::Number(number))));
            }
        }
        // SAFETY: as above.
        ControlFlow::Break(Some((means, Said::Object(unsafe { Bound::from_borrowed_ptr(py, value) }))))
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
