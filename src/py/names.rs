//! Names: what a member of a Python object means, found by the address of its interned name.
//!
//! Attribute names are interned, so that the same name is the same object wherever it stands. One glance at its address
//! replaces reading it; other texts, such as the keys that `json.loads` makes, are read. Objects of one class keep their
//! attributes in the same order, so that of a class that is known not even the glance is needed, and only what means
//! something is looked at.

use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use super::items::NUMBERED;
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

/// The attributes of the objects of one class where they stand in one place.
pub(super) struct Columns {
    all: Box<[Column]>,
    /// Those to be looked at in an object that is laid out like the one they were learned from: first those that lead
    /// nowhere, for to look into another object may run Python code.
    told: Box<[Column]>,
    /// Nobody else can ever have their addresses.
    _held: Box<[Py<PyString>]>,
}

/// A name and what it means where objects of some class stand in some place.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) address: usize,
    pub(super) means: Option<&'static Means>,
    /// Number of the attribute.
    pub(super) number: isize,
}

/// Columns of one class that are kept at most.
const MOST_COLUMNS: usize = 64;

impl Columns {
    /// The names in `own`, and what they mean in `place`.
    pub(super) fn new(own: &Bound<'_, PyDict>, place: Place) -> Self {
        let names = own.keys().iter().map_while(|name| name.cast_into_exact::<PyString>().ok()).take(MOST_COLUMNS);
        let held: Box<[Py<PyString>]> = names.map(Bound::unbind).collect();
        let column = |(name, number): (&Py<PyString>, isize)| {
            let means = name.to_str(own.py()).ok().and_then(|name| place.member(name.as_bytes()));
            Column { address: name.as_ptr() as usize, means, number }
        };
        let all: Box<[Column]> = held.iter().zip(0..).map(column).collect();
        let leads = |column: &&Column| column.means.is_some_and(|means| means.leads());
        let (doors, others): (Vec<&Column>, Vec<&Column>) = all.iter().partition(leads);
        // The last one is looked at to see whether what stands before it stands where it should.
        let last = all.last().map(|column| column.number);
        let others = others.into_iter().filter(|column| column.means.is_some() || Some(column.number) == last);
        let told = others.chain(doors).copied().filter(|_| NUMBERED).collect();
        Self { all, told, _held: held }
    }

    /// All of them, in their order.
    #[inline]
    pub(super) fn all(&self) -> &[Column] {
        &self.all
    }

    /// Those to be looked at, in the order in which to do so.
    #[inline]
    pub(super) fn told(&self) -> &[Column] {
        &self.told
    }
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
