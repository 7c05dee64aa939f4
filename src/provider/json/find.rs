//! Where things end in JSON text.

use memchr::{memchr, memchr2};

/// Position behind white space.
#[inline]
pub(crate) fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The number that begins at `at` and the position behind it, if it is plain digits and ends before the bytes do.
#[inline]
pub(super) fn digits(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let (mut count, mut end) = (0_u64, at);
    loop {
        let byte = *bytes.get(end)?;
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let ended = matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
            return (ended && end - at < 19).then_some((count, end));
        }
        count = count.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
}

/// Position of the quote that ends a text without escapes; `None` if it has some or is cut.
#[inline]
pub(super) fn find_plain(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    // Names and short texts end before a search has set itself up.
    let (words, _) = rest.as_chunks::<8>();
    for (number, word) in words.iter().take(4).enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = bytes_like(word, b'"') | bytes_like(word, b'\\');
        if found != 0 {
            let end = at + number * 8 + found.trailing_zeros() as usize / 8;
            return (bytes.get(end) == Some(&b'"')).then_some(end);
        }
    }
    let read = words.len().min(4) * 8;
    let end = at + read + memchr2(b'"', b'\\', rest.get(read..)?)?;
    (bytes.get(end) == Some(&b'"')).then_some(end)
}

/// The lowest set bit marks the first byte of `word` that is `byte`; 0 if there is none.
#[inline]
fn bytes_like(word: u64, byte: u8) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero & (ONES * 0x80)
}

/// Position of the first quote.
#[inline]
pub(super) fn find_quote(bytes: &[u8]) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().take(2).enumerate() {
        let found = bytes_like(u64::from_le_bytes(*word), b'"');
        if found != 0 {
            return Some(number * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let read = words.len().min(2) * 8;
    memchr(b'"', bytes.get(read..)?).map(|at| read + at)
}

/// Whether what follows `text` is escaped; `text` begins unescaped.
#[inline]
pub(super) fn is_escaped(text: &[u8]) -> bool {
    text.last() == Some(&b'\\') && text.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// Position of the byte that ends a number or a word; that byte does not belong to it.
#[inline]
pub(super) fn end_of_scalar(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let ends =
        |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':' | b'"' | b'{' | b'[');
    rest.iter().position(ends).map(|end| at + end)
}
