//! What a character is to the splitting patterns: one of eight classes, Unicode 16 as tiktoken 0.14.0 has it.

#![allow(clippy::indexing_slicing)] // the table covers every 21-bit code point up to 0x10FFFF, `of` clips above

/// `\p{Lu}` and `\p{Lt}`.
pub(super) const UPPER: u8 = 1;
/// `\p{Ll}`.
pub(super) const LOWER: u8 = 2;
/// `\p{Lm}` and `\p{Lo}`: letters without case.
pub(super) const PLAIN: u8 = 4;
/// `\p{M}`.
pub(super) const MARK: u8 = 8;
/// `\p{N}`.
pub(super) const NUMBER: u8 = 16;
/// `\s` except the two newlines.
pub(super) const SPACE: u8 = 32;
/// `[\r\n]`.
pub(super) const NEWLINE: u8 = 64;
/// Everything else.
pub(super) const OTHER: u8 = 128;
/// Behind the last character.
pub(super) const END: u8 = 0;

/// `\p{L}`.
pub(super) const LETTER: u8 = UPPER | LOWER | PLAIN;
/// `\s`.
pub(super) const WHITE: u8 = SPACE | NEWLINE;
/// `[^\s\p{L}\p{N}]`.
pub(super) const SYMBOL: u8 = MARK | OTHER;

const BLOCKS: usize = 0x11_0000 / 128;
static TABLE: &[u8] = include_bytes!("../../data/classes.bin");

/// The class of each byte below 0x80; `OTHER` above.
pub(super) static ASCII: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => NEWLINE,
            b'\t' | 0x0B | 0x0C | b' ' => SPACE,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

/// Scripts that put spaces between words stand below this, but for Latin and Greek with rare accents.
pub(super) const SPACED: usize = 0xE00;

/// The class of each code point below [`SPACED`].
pub(super) static SMALL: [u8; SPACED] = {
    let mut classes = [0; SPACED];
    let mut code = 0;
    while code < SPACED {
        classes[code] = TABLE[BLOCKS + TABLE[code >> 7] as usize * 128 + (code & 127)];
        code += 1;
    }
    classes
};

/// The class of a code point.
#[inline]
pub(super) fn of(code: u32) -> u8 {
    let code = code.min(0x10_FFFF) as usize;
    TABLE[BLOCKS + usize::from(TABLE[code >> 7]) * 128 + (code & 127)]
}

/// Class, code point and width of the character at `at`.
#[inline]
pub(super) fn character(text: &[u8], at: usize) -> (u8, u32, usize) {
    match text.get(at) {
        Some(&byte) if byte < 0x80 => (ASCII[usize::from(byte)], u32::from(byte), 1),
        Some(_) => {
            let (code, width) = decode(text, at);
            (
                if width == 2 {
                    SMALL[code as usize & 0x7FF]
                } else if (0x4E00..0xA000).contains(&code) || (0xAC00..0xD7A4).contains(&code) {
                    PLAIN
                } else {
                    of(code)
                },
                code,
                width,
            )
        }
        None => (END, 0, 0),
    }
}

/// The code point of the UTF-8 sequence at `at`, which is not ASCII, and its width in bytes.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> (u32, usize) {
    let word = if let Some(Ok(word)) = bytes.get(at..at.wrapping_add(4)).map(<[u8; 4]>::try_from) {
        u32::from_le_bytes(word)
    } else {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().zip(bytes.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        u32::from_le_bytes(word)
    };
    let tail = |i: u32| word >> (8 * i) & 0x3F;
    match word & 0xFF {
        0..0xE0 => ((word & 0x1F) << 6 | tail(1), 2),
        0xE0..0xF0 => ((word & 0x0F) << 12 | tail(1) << 6 | tail(2), 3),
        _ => ((word & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4),
    }
}

#[cfg(test)]
mod tests {
    use regex_syntax::ParserBuilder;
    use regex_syntax::hir::{Class, HirKind};

    use super::{ASCII, LETTER, MARK, NEWLINE, NUMBER, OTHER, SPACE, SYMBOL, WHITE, of};

    /// The code points of a class as the regular expressions of tiktoken see it.
    fn members(pattern: &str) -> Vec<bool> {
        let hir = ParserBuilder::new().build().parse(pattern).expect("a class");
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else { panic!("{pattern} is no class") };
        let mut members = vec![false; 0x11_0000];
        for range in class.ranges() {
            members[range.start() as usize..=range.end() as usize].fill(true);
        }
        members
    }

    #[test]
    fn every_character_has_the_class_that_tiktoken_gives_it() {
        for (pattern, classes) in [
            (r"\p{L}", LETTER),
            (r"\p{N}", NUMBER),
            (r"\p{M}", MARK),
            (r"\s", WHITE),
            (r"[\r\n]", NEWLINE),
            (r"[^\s\p{L}\p{N}]", SYMBOL),
            (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", super::UPPER | super::PLAIN | MARK),
            (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", super::LOWER | super::PLAIN | MARK),
        ] {
            let members = members(pattern);
            for character in '\0'..=char::MAX {
                assert_eq!(
                    of(character.into()) & classes != 0,
                    members[character as usize],
                    "{character:?} in {pattern}"
                );
            }
        }
    }

    #[test]
    fn ascii_has_the_same_classes() {
        for byte in 0..128_u8 {
            assert_eq!(ASCII[usize::from(byte)], of(byte.into()), "{byte}");
        }
        assert_eq!((ASCII[9], ASCII[0]), (SPACE, OTHER));
    }
}
