//! Lookup: the rows of `words` as one hash table, made when the crate is compiled.

use super::place::{Means, Place, Row};
use super::slot::Slots;
use super::words::LISTED;

/// Number of rows.
const ROWS_LEN: usize = LISTED.len();
const BITS: u32 = 10;
const SIZE: usize = 1 << BITS;
const EMPTY: u16 = u16::MAX;

static ROWS: [Row; ROWS_LEN] = numbered();
static KEYS: [Key; ROWS_LEN] = keys();
static TABLE: [u16; SIZE] = table();

/// How many rows lead to a place.
pub(super) const DOORS: usize = count_doors();
const _: () = assert!(DOORS <= 128, "a frame has one bit a door");
const _: () = assert!(ROWS_LEN * 2 < SIZE, "the table stays half empty");

impl Means {
    /// The slots that a member leads to, here or below. What stands twice is told twice; the first telling is void.
    pub(super) fn slots(self) -> Slots {
        let below = |place: Option<Place>| place.map_or(Slots::NONE, Place::slots);
        below(self.object).or(below(self.items))
    }
}

impl Place {
    /// What a member called `name` means here; `None` if nothing.
    #[inline(always)]
    #[allow(clippy::inline_always)]
    pub(crate) fn member(self, name: &[u8]) -> Option<&'static Means> {
        let key = Key::new(self, name);
        let mut at = key.hash();
        loop {
            let row = usize::from(*TABLE.get(at & (SIZE - 1))?);
            if KEYS.get(row)?.is(key) {
                let row = ROWS.get(row)?;
                // From 4 to 24 bytes the key says it all.
                if name.len().wrapping_sub(4) <= 20 || row.name.as_bytes() == name {
                    return Some(&row.means);
                }
            }
            at += 1;
        }
    }

    /// The slots that can be told here or below.
    pub(super) fn slots(self) -> Slots {
        BELOW.get(self as usize).copied().unwrap_or_default()
    }

    /// Every name, wherever it means something.
    #[cfg(feature = "python")]
    pub(crate) fn rows() -> &'static [Row] {
        &ROWS
    }
}

/// The first, the next and the last bytes of a name, its length and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    head: u64,
    middle: u64,
    tail: u64,
    rest: u64,
}

impl Key {
    #[inline]
    const fn new(place: Place, name: &[u8]) -> Self {
        let rest = (name.len() as u64) << 8 | place as u64;
        let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
        } else if let [first, .., last] = name {
            (*first as u64, *last as u64)
        } else if let [only] = name {
            (*only as u64, 0)
        } else {
            (0, 0)
        };
        let middle = match name {
            [_, _, _, _, _, _, _, _, middle @ ..] if middle.len() > 8 => match middle.first_chunk::<8>() {
                Some(middle) => u64::from_le_bytes(*middle),
                None => 0,
            },
            _ => 0,
        };
        Self { head, middle, tail, rest }
    }

    #[inline]
    const fn is(self, other: Self) -> bool {
        (self.head ^ other.head) | (self.middle ^ other.middle) | (self.tail ^ other.tail) | (self.rest ^ other.rest)
            == 0
    }

    #[inline]
    const fn hash(self) -> usize {
        let mixed =
            (self.head ^ self.tail.rotate_left(29) ^ self.rest.rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        #[allow(clippy::cast_possible_truncation)] // BITS of it
        {
            (mixed >> (64 - BITS)) as usize
        }
    }
}

#[allow(clippy::indexing_slicing)] // run by the compiler
const fn keys() -> [Key; ROWS_LEN] {
    let mut keys = [Key { head: 0, middle: 0, tail: 0, rest: 0 }; ROWS_LEN];
    let mut row = 0;
    while row < ROWS_LEN {
        keys[row] = Key::new(LISTED[row].0, LISTED[row].1.as_bytes());
        row += 1;
    }
    keys
}

#[allow(clippy::indexing_slicing, clippy::panic)] // run by the compiler
const fn table() -> [u16; SIZE] {
    let mut table = [EMPTY; SIZE];
    let mut row = 0;
    while row < ROWS_LEN {
        let name = LISTED[row].1.as_bytes();
        let mut at = Key::new(LISTED[row].0, name).hash() & (SIZE - 1);
        while table[at] != EMPTY {
            let other = &LISTED[table[at] as usize];
            assert!(
                !(other.0 as u8 == LISTED[row].0 as u8 && same(other.1.as_bytes(), name)),
                "a name stands twice in a place"
            );
            at = (at + 1) & (SIZE - 1);
        }
        #[allow(clippy::cast_possible_truncation)] // fewer rows than SIZE
        {
            table[at] = row as u16;
        }
        row += 1;
    }
    table
}

#[allow(clippy::indexing_slicing)]
const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[allow(clippy::indexing_slicing)]
const fn count_doors() -> usize {
    let (mut row, mut doors) = (0, 0);
    while row < ROWS_LEN {
        if LISTED[row].2.object.is_some() || LISTED[row].2.items.is_some() {
            doors += 1;
        }
        row += 1;
    }
    doors
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // at most 128 doors
const fn numbered() -> [Row; ROWS_LEN] {
    let mut rows = [Row { place: Place::Body, name: "", means: Means::NOTHING }; ROWS_LEN];
    let (mut row, mut doors) = (0, 0_u8);
    while row < ROWS_LEN {
        let (place, name, mut means) = LISTED[row];
        if means.object.is_some() || means.items.is_some() {
            means.door = doors;
            doors += 1;
        }
        rows[row] = Row { place, name, means };
        row += 1;
    }
    rows
}

const PLACES: usize = Place::XGroq as usize + 1;
static BELOW: [Slots; PLACES] = below();

#[allow(clippy::indexing_slicing)]
const fn below() -> [Slots; PLACES] {
    let mut sets = [Slots::NONE; PLACES];
    let mut round = 0;
    while round < 8 {
        let mut row = 0;
        while row < ROWS_LEN {
            let (place, _, means) = LISTED[row];
            if let Some(slot) = means.count {
                sets[place as usize].add(slot);
            }
            if let Some(object) = means.object {
                sets[place as usize] = sets[place as usize].or(sets[object as usize]);
            }
            if let Some(items) = means.items {
                let below = sets[items as usize].or(Slots::of(items.sums()));
                sets[place as usize] = sets[place as usize].or(below);
            }
            row += 1;
        }
        round += 1;
    }
    sets
}
