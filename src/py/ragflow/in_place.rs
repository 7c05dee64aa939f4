//! In place: a dict's ints, added to where they lie.
//!
//! Of what recording into a dict costs, most is making four ints, putting them in and freeing those before them. An int
//! that nobody but the dict holds can be written over instead and nobody can tell, as `CPython` does with tuples in `zip`
//! and with `text += more`. Whoever has read a count from the dict holds it, and keeps what was read.
#![allow(unsafe_code)] // Python has no call that writes over an int

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString};
use pyo3::{Borrowed, ffi};

/// `CPython`'s int of one digit.
#[repr(C)]
struct OneDigit {
    head: ffi::PyObject,
    /// Number of digits and sign, said differently by different releases.
    size: usize,
    digit: u32,
}

/// Ints smaller than this may be `CPython`'s own, which everybody shares.
const LEAST: i64 = 1 << 12;
/// The first int of two digits.
const END: i64 = 1 << 30;

/// Adds to the first items of a dict if their keys are `keys` in this order and their values plain ints of 64 bits.
///
/// What could not be added in place is in the answer, to be put into the dict. `None` if it is no such dict; nothing is
/// added then. Runs no Python code.
pub(super) fn add<const N: usize>(
    dict: &Bound<'_, PyDict>,
    keys: [&Bound<'_, PyString>; N],
    counts: [i64; N],
) -> Option<[Option<i64>; N]> {
    let py = dict.py();
    let one_digit = one_digit(py);
    let mut at = 0;
    let mut found = [(std::ptr::null_mut(), 0); N];
    for ((found, key), count) in found.iter_mut().zip(keys).zip(counts) {
        let (mut known, mut value) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the dict is one and nothing changes it meanwhile: no Python code runs, and the GIL is held. What it
        // lends, a value, is looked at while it is in the dict.
        let value = unsafe {
            if ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut known, &raw mut value) == 0
                || known != key.as_ptr()
            {
                return None;
            }
            Borrowed::from_ptr(py, value)
        };
        let sum = value.cast_exact::<PyInt>().ok()?.extract::<i64>().ok()?.checked_add(count)?;
        *found = (value.as_ptr(), sum);
    }
    Some(found.map(|(value, sum)| {
        let value = value.cast::<OneDigit>();
        let digit = u32::try_from(sum).ok().filter(|_| (LEAST..END).contains(&sum));
        // SAFETY: `value` is an int, in the dict as above, and laid out as `one_digit` has found them to be. It has one
        // digit, which the sum fits into, and no owner but the dict.
        unsafe {
            match digit {
                Some(digit) if one_digit == Some((*value).size) && ffi::Py_REFCNT(value.cast()) == 1 => {
                    (*value).digit = digit;
                    None
                }
                _ => Some(sum),
            }
        }
    }))
}

/// What `size` is in an int of one digit; `None` if this Python's ints are laid out differently.
fn one_digit(py: Python<'_>) -> Option<usize> {
    static SIZE: PyOnceLock<Option<usize>> = PyOnceLock::new();
    *SIZE.get_or_init(py, || {
        let look = |int: i64| {
            let int = int.into_pyobject(py).ok()?;
            // SAFETY: an int other than 0 has a digit, and before it a word, in every `CPython` there is.
            let OneDigit { size, digit, .. } = unsafe { int.as_ptr().cast::<OneDigit>().read() };
            Some((size, digit))
        };
        let (size, least) = look(LEAST)?;
        let (same, most) = look(END - 1)?;
        let others = [look(END)?.0, look(-LEAST)?.0];
        let expected = same == size && i64::from(least) == LEAST && i64::from(most) == END - 1;
        (expected && !others.contains(&size)).then_some(size)
    })
}
