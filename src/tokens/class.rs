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

/// The class of a code point.
#[inline]
pub(super) fn of(code: u32) -> u8 {
    let code = code.min(0x10_FFFF) as usize;
    TABLE[BLOCKS + usize::from(TABLE[code >> 7]) * 128 + (code & 127)]
}

/// The code point of the UTF-8 sequence at `at`, which is not ASCII, and its width in bytes.
#[inline]
pub(super) fn decode(bytes: &[u8], at: usize) -> (u32, usize) {
    let byte = |i: usize| u32::from(bytes.get(at + i).copied().unwrap_or(0x80));
    let (first, second) = (byte(0), byte(1) & 0x3F);
    if first < 0xE0 {
        ((first & 0x1F) << 6 | second, 2)
    } else if first < 0xF0 {
        ((first & 0x0F) << 12 | second << 6 | byte(2) & 0x3F, 3)
    } else {
        ((first & 0x07) << 18 | second << 12 | (byte(2) & 0x3F) << 6 | byte(3) & 0x3F, 4)
    }
}
