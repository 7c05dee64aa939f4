//! Names: what a member of a Python object means, found by the address of its interned name.
//!
//! Attribute names are interned, so that the same name is the same object wherever it stands. One glance at its address
//! replaces reading it; other texts, such as the keys that `json.loads` makes, are read. Objects of one class keep their
//! attributes in the same order, so that of a class that is known not even the glance is needed.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

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
            let key = key(name.as_ptr() as usize, row.place);
            // What finds no room is read like any other text.
            if let Some(free) = table.iter_mut().skip(start(key)).find(|row| row.is_none()) {
                *free = Some((key, &row.means));
            }
            held.push(name.unbind());
        }
        Self { table, unknown: [const { AtomicU64::new(0) }; MOST_UNKNOWN], _held: held }
    }

    fn unknown(&self, key: u64) -> Option<&AtomicU64> {
        self.unknown.get(start(key) % MOST_UNKNOWN)
    }
}

/// What the names of one dict mean, asked in its order.
pub(super) struct Lookup {
    names: &'static Names,
    place: Place,
    /// Whether the names are those of attributes, which stand in every object of their class.
    attributes: bool,
    /// What is expected.
    next: &'static [Column],
}

/// What a name means.
pub(super) enum Known {
    Means(&'static Means),
    Nothing,
    /// It must be read.
    Unread,
}

impl Lookup {
    /// For a dict, or for the attributes of an object, which are expected in that order.
    #[inline]
    pub(super) fn new(names: &'static Names, place: Place, attributes: Option<&'static [Column]>) -> Self {
        Self { names, place, attributes: attributes.is_some(), next: attributes.unwrap_or_default() }
    }

    /// What the name at `address`, in its dict's order the next one, means.
    #[inline(always)]
    #[allow(clippy::inline_always)] // a comparison, nearly always
    pub(super) fn find(&mut self, address: usize) -> Known {
        if let [column, rest @ ..] = self.next
            && column.address == address
        {
            self.next = rest;
            return column.means.map_or(Known::Nothing, Known::Means);
        }
        self.search(address)
    }

    #[inline(never)]
    fn search(&mut self, address: usize) -> Known {
        if let Some(at) = self.next.iter().position(|column| column.address == address)
            && let Some([column, rest @ ..]) = self.next.get(at..)
        {
            self.next = rest;
            return column.means.map_or(Known::Nothing, Known::Means);
        }
        let key = key(address, self.place);
        if self.attributes && self.names.unknown(key).is_some_and(|kept| kept.load(Ordering::Relaxed) == key) {
            return Known::Nothing;
        }
        let mut at = start(key);
        while let Some(Some((known, means))) = self.names.table.get(at) {
            if *known == key {
                return Known::Means(means);
            }
            at += 1;
        }
        Known::Unread
    }

    /// The same for a name that must be read; `None` if it means nothing.
    pub(super) fn read(&self, name: &Bound<'_, PyString>) -> Option<&'static Means> {
        let means = self.place.member(name.to_str().ok()?.as_bytes());
        let key = key(name.as_ptr() as usize, self.place);
        if self.attributes
            && means.is_none()
            && let Some(kept) = self.names.unknown(key)
            && kept.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            // Nobody else can ever have this address.
            std::mem::forget(name.clone());
        }
        means
    }
}

/// A name and what it means where objects of some class stand in some place.
pub(super) struct Column {
    address: usize,
    means: Option<&'static Means>,
    /// Nobody else can ever have this address.
    _held: Py<PyString>,
}

/// Columns of one class that are kept at most.
const MOST_COLUMNS: usize = 64;

/// The names in `own`, and what they mean in `place`.
pub(super) fn columns(own: &Bound<'_, PyDict>, place: Place) -> Box<[Column]> {
    let column = |name: Bound<'_, PyAny>| {
        let name = name.cast_into_exact::<PyString>().ok()?;
        let means = place.member(name.to_str().ok()?.as_bytes());
        Some(Column { address: name.as_ptr() as usize, means, _held: name.unbind() })
    };
    own.keys().iter().map_while(column).take(MOST_COLUMNS).collect()
}

/// An address has at most 56 bits.
#[inline]
fn key(address: usize, place: Place) -> u64 {
    (address as u64) << 8 | place as u64
}

#[inline]
fn start(key: u64) -> usize {
    #[allow(clippy::cast_possible_truncation)] // BITS of it
    {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - BITS)) as usize
    }
}
