//! Text that is to be counted: UTF-8, or code points of one, two or four bytes each as CPython keeps them.
//!
//! CPython's own encoder takes up to a third of the time in which a text is counted, and the `str` keeps what it wrote.

use std::hint::select_unpredictable;

/// Code points that are written at once.
pub(super) const BLOCK: usize = 8;
/// Bytes that a block may take, and room for what is written behind the last of them.
pub(super) const ROOM: usize = BLOCK * 4 + 4;

/// A text. Of code points that are surrogates a pair is one character and a lone one is U+FFFD.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// UTF-8.
    Utf8(&'a str),
    /// Code points below U+0100.
    One(&'a [u8]),
    /// Code points below U+10000.
    Two(&'a [u16]),
    /// Any code points.
    Four(&'a [u32]),
}

impl Text<'_> {
    /// Number of bytes that it takes as it is.
    pub fn size(self) -> usize {
        match self {
            Self::Utf8(text) => text.len(),
            Self::One(units) => units.len(),
            Self::Two(units) => units.len() * 2,
            Self::Four(units) => units.len() * 4,
        }
    }

    /// The text as UTF-8, which `room` holds if it has to be written.
    #[inline]
    pub(super) fn utf8<'t>(&'t self, room: &'t mut Vec<u8>) -> &'t [u8] {
        let written = match *self {
            Self::Utf8(text) => return text.as_bytes(),
            Self::One(units) => write(units, room),
            Self::Two(units) => write(units, room),
            Self::Four(units) => write(units, room),
        };
        let length = written.unwrap_or_else(|| {
            *room = self.lossy().into_bytes();
            room.len()
        });
        room.get(..length).unwrap_or_default()
    }

    #[cold]
    fn lossy(&self) -> String {
        match *self {
            Self::Utf8(text) => text.to_owned(),
            Self::One(units) => units.iter().copied().map(char::from).collect(),
            Self::Two(units) => String::from_utf16_lossy(units),
            Self::Four(units) => String::from_utf16_lossy(&to_utf16(units)),
        }
    }
}

fn to_utf16(units: &[u32]) -> Vec<u16> {
    let mut all = Vec::with_capacity(units.len());
    for &unit in units {
        match char::from_u32(unit) {
            Some(character) => all.extend_from_slice(character.encode_utf16(&mut [0; 2])),
            None => all.push(u16::try_from(unit).unwrap_or(0xFFFD)),
        }
    }
    all
}

/// Writes all units, or `None` at a surrogate.
#[inline]
fn write<U: Unit>(units: &[U], out: &mut Vec<u8>) -> Option<usize> {
    let needed = units.len() * U::WIDEST + ROOM;
    if out.len() < needed {
        out.resize(needed, 0);
    }
    #[cfg(target_arch = "x86_64")]
    return super::sse2::write(units, out);
    #[cfg(not(target_arch = "x86_64"))]
    write_with(units, out, write_small)
}

/// Writes all units, each block with `write_block` if none of it is above U+FFFF or a surrogate.
#[inline]
pub(super) fn write_with<U: Unit>(
    units: &[U],
    out: &mut [u8],
    mut write_block: impl FnMut(&[u16; BLOCK], &mut [u8; ROOM]) -> usize,
) -> Option<usize> {
    let mut at = 0;
    let mut write = |block: &[U; BLOCK]| {
        let out = out.get_mut(at..)?.first_chunk_mut()?;
        at += match U::narrow(block) {
            Some(block) if block.iter().fold(0, |all, unit| all | unit) < 0x80 => {
                for (to, &unit) in out.iter_mut().zip(&block) {
                    *to = unit as u8;
                }
                BLOCK
            }
            Some(block) if block.iter().map(|unit| u16::from(unit & 0xF800 == 0xD800)).max() == Some(1) => return None,
            Some(block) => write_block(&block, out),
            None => write_any(block, out)?,
        };
        Some(at)
    };
    let (blocks, rest) = units.as_chunks();
    for block in blocks {
        write(block)?;
    }
    let mut block = [U::default(); BLOCK];
    for (to, &from) in block.iter_mut().zip(rest) {
        *to = from;
    }
    write(&block).map(|end| end - (BLOCK - rest.len()))
}

/// Writes a block that has nothing above U+FFFF and no surrogate, and says how many bytes it took.
pub(super) fn write_small(block: &[u16; BLOCK], out: &mut [u8; ROOM]) -> usize {
    let mut at = 0;
    for &unit in block {
        let unit = u32::from(unit);
        let (first, last) = (unit >> 6 & 0x3F, unit & 0x3F);
        let two = 0x80C0 | unit >> 6 & 0x1F | last << 8;
        let three = 0x80_80E0 | unit >> 12 | first << 8 | last << 16;
        let word = select_unpredictable(unit < 0x80, unit, select_unpredictable(unit < 0x800, two, three));
        if let Some(to) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *to = word.to_le_bytes();
        }
        at += 1 + usize::from(unit >= 0x80) + usize::from(unit >= 0x800);
    }
    at
}

/// Writes a block of any units, or `None` at a surrogate.
fn write_any<U: Unit>(block: &[U; BLOCK], out: &mut [u8; ROOM]) -> Option<usize> {
    let mut at = 0;
    for &unit in block {
        at += char::from_u32(unit.into())?.encode_utf8(out.get_mut(at..at + 4)?).len();
    }
    Some(at)
}

/// What a code point is kept in.
pub(super) trait Unit: Copy + Default + Into<u32> {
    /// Bytes that it takes at most.
    const WIDEST: usize;
    /// A block whose code points all are below U+10000.
    fn narrow(block: &[Self; BLOCK]) -> Option<[u16; BLOCK]>;
}

impl Unit for u8 {
    const WIDEST: usize = 2;

    #[inline]
    fn narrow(block: &[Self; BLOCK]) -> Option<[u16; BLOCK]> {
        Some(block.map(u16::from))
    }
}

impl Unit for u16 {
    const WIDEST: usize = 3;

    #[inline]
    fn narrow(block: &[Self; BLOCK]) -> Option<[u16; BLOCK]> {
        Some(*block)
    }
}

impl Unit for u32 {
    const WIDEST: usize = 4;

    #[inline]
    fn narrow(block: &[Self; BLOCK]) -> Option<[u16; BLOCK]> {
        (block.iter().fold(0, |all, unit| all | unit) < 0x1_0000).then(|| block.map(|unit| unit as u16))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ROOM, Text, write_small, write_with};

    /// The text as UTF-8, which is the same on every processor.
    fn utf8(units: Text<'_>) -> Vec<u8> {
        let text = units.utf8(&mut b"something that was there before".to_vec()).to_vec();
        let mut slow = vec![0; units.size() * 3 + ROOM];
        let written = match units {
            Text::Utf8(_) => None,
            Text::One(units) => write_with(units, &mut slow, write_small),
            Text::Two(units) => write_with(units, &mut slow, write_small),
            Text::Four(units) => write_with(units, &mut slow, write_small),
        };
        assert!(written.is_none_or(|written| slow[..written] == text));
        text
    }

    #[test]
    fn every_code_point_is_written_as_it_should_be() {
        for code in 0..=0x10_FFFF_u32 {
            let expected = char::from_u32(code).unwrap_or('\u{FFFD}').to_string().into_bytes();
            assert_eq!(utf8(Text::Four(&[code])), expected, "{code:x} of four bytes");
            if let Ok(code) = u16::try_from(code) {
                assert_eq!(utf8(Text::Two(&[code])), expected, "{code:x} of two bytes");
            }
            if let Ok(code) = u8::try_from(code) {
                assert_eq!(utf8(Text::One(&[code])), expected, "{code:x} of one byte");
            }
        }
    }

    proptest! {
        #[test]
        fn units_are_what_utf_16_says_they_are(units in prop::collection::vec(prop_oneof![
            0..0x80_u16, 0x80..0x800_u16, 0x800..=0xFFFF_u16, 0xD800..0xE000_u16,
        ], 0..80)) {
            let expected = String::from_utf16_lossy(&units);
            prop_assert_eq!(utf8(Text::Two(&units)), expected.as_bytes());
            let wide: Vec<u32> = units.iter().map(|unit| u32::from(*unit)).collect();
            prop_assert_eq!(utf8(Text::Four(&wide)), expected.as_bytes());
        }

        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let units: Vec<u32> = text.chars().map(u32::from).collect();
            prop_assert_eq!(utf8(Text::Four(&units)), text.as_bytes());
        }
    }
}
