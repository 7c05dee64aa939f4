//! Classes: what is known of classes, found by their address.
//!
//! Finding takes a glance or two and no lock. What was found out once is kept for good, and its class with it, so that no
//! other can ever have that address; of classes that find no room nothing is kept.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyType;

/// How far behind the place that its address gives it a class stands at most.
const REACH: usize = 8;

/// What is known of up to `SIZE` classes, a power of two.
pub(super) struct Classes<T, const SIZE: usize> {
    cells: [OnceLock<Row<T>>; SIZE],
}

struct Row<T> {
    class: Py<PyType>,
    tag: u8,
    known: T,
}

/// What was found of a class.
pub(super) enum Found<T> {
    Known(T),
    /// Nothing, and there is room to keep it.
    New,
    /// Nothing, and there is no room.
    Full,
}

impl<T, const SIZE: usize> Classes<T, SIZE> {
    pub(super) const fn new() -> Self {
        Self { cells: [const { OnceLock::new() }; SIZE] }
    }

    /// What is known under `tag` of the class of `object`.
    #[inline(always)]
    #[allow(clippy::inline_always)] // once an object, and the first glance finds it
    pub(super) fn find(&self, object: &Bound<'_, PyAny>, tag: u8) -> Found<&T> {
        let class = object.get_type_ptr() as usize;
        for cell in self.cells(class, tag) {
            match cell.get() {
                Some(row) if row.class.as_ptr() as usize == class && row.tag == tag => return Found::Known(&row.known),
                Some(_) => {}
                None => return Found::New,
            }
        }
        Found::Full
    }

    /// Keeps what is known under `tag` of `class`, if there is room.
    pub(super) fn keep(&self, class: &Bound<'_, PyType>, tag: u8, known: T) -> Option<&T> {
        let mut row = Row { class: class.clone().unbind(), tag, known };
        for cell in self.cells(class.as_ptr() as usize, tag) {
            match cell.set(row) {
                Ok(()) => return cell.get().map(|row| &row.known),
                Err(back) => row = back,
            }
        }
        None
    }

    #[inline]
    fn cells(&self, class: usize, tag: u8) -> impl Iterator<Item = &OnceLock<Row<T>>> {
        // Classes are aligned, so that the lowest bits of an address say nothing.
        let mixed = (class as u64 ^ u64::from(tag)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        #[allow(clippy::cast_possible_truncation)] // the upper half
        let first = (mixed >> 32) as usize;
        (0..REACH).filter_map(move |behind| self.cells.get(first.wrapping_add(behind) & (SIZE - 1)))
    }
}
