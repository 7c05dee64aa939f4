//! Names: what a member of a Python object means, found by the address of its interned name.
//!
//! Attribute names are interned, so that the same name is the same object wherever it stands. One glance at its address
//! replaces reading it; other texts, such as the keys that `json.loads` makes, are read.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use crate::provider::{Means, Place};

const BITS: u32 = 10;
const SIZE: usize = 1 << BITS;
/// How many attribute names without a meaning are remembered; each is kept for good.
const MOST_UNKNOWN: usize = 256;

type Row = (u64, &'static Means);

/// Every name that means something, by address.
pub(super) struct Names {
    table: Box<[Option<Row>]>,
    /// Names of attributes that mean nothing, by address, each where its address puts it.
    unknown: [AtomicU64; MOST_UNKNOWN],
    /// An interned text keeps its address for as long as somebody holds it.
    _held: Vec<Py<PyString>>,
}

impl Names {
    /// The names of this process.
    pub(super) fn get(py: Python<'_>) -> &'static Self {
        static NAMES: PyOnceLock<Names> = PyOnceLock::new();
        NAMES.get_or_init(py, || Self::new(py))
    }

    fn new(py: Python<'_>) -> Self {
        let (mut table, mut held) = (vec![None; SIZE].into_boxed_slice(), Vec::new());
        for row in Place::rows() {
            let name = PyString::intern(py, row.name);
            let key = key(&name, row.place);
            // What finds no room is read like any other text.
            if let Some(free) = table.iter_mut().skip(start(key)).find(|row| row.is_none()) {
                *free = Some((key, &row.means));
            }
            held.push(name.unbind());
        }
        Self { table, unknown: [const { AtomicU64::new(0) }; MOST_UNKNOWN], _held: held }
    }

    /// What a member called `name` means in an object of `place`; `None` if nothing.
    #[inline]
    pub(super) fn means(&self, name: &Bound<'_, PyString>, place: Place) -> Option<&'static Means> {
        let key = key(name, place);
        let mut at = start(key);
        while let Some(Some((known, means))) = self.table.get(at) {
            if *known == key {
                return Some(means);
            }
            at += 1;
        }
        place.member(name.to_str().ok()?.as_bytes())
    }

    /// The same for the name of an attribute, which stands in every object of its class.
    #[inline]
    pub(super) fn attribute(&self, name: &Bound<'_, PyString>, place: Place) -> Option<&'static Means> {
        let key = key(name, place);
        let unknown = self.unknown.get(start(key) % MOST_UNKNOWN)?;
        let kept = unknown.load(Ordering::Relaxed);
        if kept == key {
            return None;
        }
        let means = self.means(name, place);
        if means.is_none()
            && kept == 0
            && unknown.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // Nobody else can ever have this address.
            std::mem::forget(name.clone());
        }
        means
    }
}

/// An address has at most 56 bits.
#[inline]
fn key(name: &Bound<'_, PyString>, place: Place) -> u64 {
    (name.as_ptr() as u64) << 8 | place as u64
}

#[inline]
fn start(key: u64) -> usize {
    #[allow(clippy::cast_possible_truncation)] // BITS of it
    {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - BITS)) as usize
    }
}
