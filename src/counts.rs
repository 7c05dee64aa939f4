//! Counts: how much there is of each unit.
//!
//! They keep the rules however they are filled: totals are inclusive, subsets never exceed their total, what nobody spoke
//! of is unknown and never 0, nothing overflows.

use crate::unit::Unit;
use crate::usage::{Flag, Flags};

/// Counts by [`Unit`]; a unit nobody spoke of is unknown, not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    known: u32,
    values: [u64; Unit::COUNT],
}

const _: () = assert!(Unit::COUNT <= 32, "Counts::known has one bit a unit");

/// The bits of the units that are a subset of another.
#[allow(clippy::indexing_slicing)] // when it is compiled
const SUBSETS: u32 = {
    let (mut bits, mut at) = (0, 0);
    while at < Unit::COUNT {
        if Unit::ALL[at].parent().is_some() {
            bits |= 1 << at;
        }
        at += 1;
    }
    bits
};

/// The total of each unit that is a subset.
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // when it is compiled
const PARENTS: [u8; Unit::COUNT] = {
    let (mut parents, mut at) = ([0; Unit::COUNT], 0);
    while at < Unit::COUNT {
        if let Some(parent) = Unit::ALL[at].parent() {
            parents[at] = parent.index() as u8;
        }
        at += 1;
    }
    parents
};

impl Default for Counts {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Counts {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { known: 0, values: [0; Unit::COUNT] };

    const fn bit(unit: Unit) -> u32 {
        1 << unit.index()
    }

    /// The count of `unit`, if it is known.
    #[allow(clippy::indexing_slicing)] // an index below COUNT, by construction of Unit
    pub const fn get(&self, unit: Unit) -> Option<u64> {
        if self.known & Self::bit(unit) == 0 { None } else { Some(self.values[unit.index()]) }
    }

    /// Replaces the count of `unit`. The rules between units are kept by [`Counts::settle`].
    #[allow(clippy::indexing_slicing)]
    pub const fn set(&mut self, unit: Unit, count: u64) {
        self.known |= Self::bit(unit);
        self.values[unit.index()] = count;
    }

    /// Makes the count of `unit` unknown again.
    #[allow(clippy::indexing_slicing)]
    pub const fn clear(&mut self, unit: Unit) {
        self.known &= !Self::bit(unit);
        self.values[unit.index()] = 0;
    }

    /// Adds to the count of `unit`; unknown becomes known. Saturates.
    #[allow(clippy::indexing_slicing)]
    pub const fn add(&mut self, unit: Unit, count: u64) {
        self.known |= Self::bit(unit);
        self.values[unit.index()] = self.values[unit.index()].saturating_add(count);
    }

    /// Whether no count is known.
    pub const fn is_unknown(&self) -> bool {
        self.known == 0
    }

    /// The known counts, in the order of the registry.
    pub fn iter(&self) -> impl Iterator<Item = (Unit, u64)> + '_ {
        Unit::ALL.into_iter().filter_map(|unit| Some((unit, self.get(unit)?)))
    }

    /// Input plus output. `None` unless both are known. Saturates.
    pub fn total(&self) -> Option<u64> {
        Some(self.get(Unit::Input)?.saturating_add(self.get(Unit::Output)?))
    }

    /// Enforces the rules between units and says which had to be enforced: a total that is unknown while a subset of
    /// it is known becomes the largest such subset; a subset above its total is cut to it.
    #[inline]
    pub fn settle(&mut self) -> Flags {
        if self.keeps_the_rules() { Flags::default() } else { self.enforce() }
    }

    #[inline]
    #[allow(clippy::indexing_slicing)] // indices below COUNT
    const fn keeps_the_rules(&self) -> bool {
        let mut left = self.known & SUBSETS;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            let parent = PARENTS[at] as usize;
            if self.known & 1 << parent == 0 || self.values[at] > self.values[parent] {
                return false;
            }
        }
        true
    }

    #[cold]
    fn enforce(&mut self) -> Flags {
        let mut flags = Flags::default();
        let mut inferred = 0;
        // Backwards, subsets come before their totals.
        let mut left = self.known & SUBSETS;
        while let Some(unit) = Self::last(left) {
            left &= !Self::bit(unit);
            let (Some(count), Some(parent)) = (self.get(unit), unit.parent()) else { continue };
            let unknown = self.get(parent).is_none();
            if unknown || (inferred & Self::bit(parent) != 0 && self.get(parent) < Some(count)) {
                self.set(parent, count);
                inferred |= Self::bit(parent);
                left |= Self::bit(parent) & SUBSETS;
                flags.set(Flag::Inferred);
            }
        }
        let mut left = self.known & SUBSETS;
        while let Some(unit) = Self::first(left) {
            left &= !Self::bit(unit);
            let (Some(count), Some(parent)) = (self.get(unit), unit.parent()) else { continue };
            if let Some(total) = self.get(parent)
                && count > total
            {
                self.set(unit, total);
                flags.set(Flag::Clamped);
            }
        }
        flags
    }

    fn first(units: u32) -> Option<Unit> {
        Unit::ALL.get(units.trailing_zeros() as usize).copied()
    }

    fn last(units: u32) -> Option<Unit> {
        Unit::ALL.get(31_usize.wrapping_sub(units.leading_zeros() as usize)).copied()
    }

    /// Adds every known count of `other`. Saturates; what both do not know stays unknown.
    #[allow(clippy::indexing_slicing)]
    pub fn merge(&mut self, other: &Self) {
        self.known |= other.known;
        let mut left = other.known;
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            self.values[at] = self.values[at].saturating_add(other.values[at]);
            left &= left - 1;
        }
    }
}
