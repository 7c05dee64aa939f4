//! Where things end in JSON text.

use memchr::{memchr, memchr2};

use super::lanes::{LANE, ends_or_escapes, quotes};

/// Position behind white space.
#[inline]
pub(crate) fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// What follows the white space between two tokens, which is at most one space where a machine wrote it.
#[inline]
pub(super) fn gap(bytes: &[u8]) -> &[u8] {
    match bytes {
        [b'!'..=0xff, ..] => bytes,
        [b' ', rest @ ..] if matches!(rest, [b'!'..=0xff, ..]) => rest,
        _ => bytes.get(blank(bytes, 0)..).unwrap_or_default(),
    }
}

/// The number that begins `bytes` and what follows, if it is plain digits and ends before the bytes do.
#[inline]
pub(super) fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut count, mut rest) = (0_u64, bytes);
    while let [byte, behind @ ..] = rest {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let ended = matches!(byte, b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
            return (ended && bytes.len() - rest.len() < 19).then_some((count, rest));
        }
        count = count.wrapping_mul(10).wrapping_add(u64::from(digit));
        rest = behind;
    }
    None
}

/// The text that ends in `bytes` and what follows its quote; `None` if it has escapes or is cut.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Names and short texts end in one of the first lanes.
    if let Some((first, behind)) = bytes.split_first_chunk() {
        let found = ends_or_escapes(first);
        if found != 0 {
            return ended(bytes, found.trailing_zeros() as usize);
        }
        if let Some(second) = behind.first_chunk() {
            let found = ends_or_escapes(second);
            if found != 0 {
                return ended(bytes, LANE + found.trailing_zeros() as usize);
            }
        }
    }
    plain_long(bytes)
}

#[inline(never)]
fn plain_long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let read = (2 * LANE).min(bytes.len());
    if let Some(third) = bytes.get(read..)?.first_chunk() {
        let found = ends_or_escapes(third);
        if found != 0 {
            return ended(bytes, read + found.trailing_zeros() as usize);
        }
    }
    ended(bytes, memchr2(b'"', b'\\', bytes)?)
}

#[inline]
fn ended(bytes: &[u8], end: usize) -> Option<(&[u8], &[u8])> {
    match bytes.split_at_checked(end)? {
        (text, [b'"', behind @ ..]) => Some((text, behind)),
        _ => None,
    }
}

/// Position of the first quote.
#[inline]
pub(super) fn find_quote(bytes: &[u8]) -> Option<usize> {
    let (lanes, _) = bytes.as_chunks::<LANE>();
    for (number, lane) in lanes.iter().take(2).enumerate() {
        let found = quotes(lane);
        if found != 0 {
            return Some(number * LANE + found.trailing_zeros() as usize);
        }
    }
    let read = lanes.len().min(2) * LANE;
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
    behind_scalar(bytes.get(at..)?).map(|rest| bytes.len() - rest.len())
}

/// What follows a number or a word, if it ends before the bytes do.
#[inline]
pub(super) fn behind_scalar(mut bytes: &[u8]) -> Option<&[u8]> {
    while let [byte, behind @ ..] = bytes {
        if ENDS.get(usize::from(*byte)).is_some_and(|ends| *ends) {
            return Some(bytes);
        }
        bytes = behind;
    }
    None
}

/// The bytes that end a number or a word.
#[allow(clippy::indexing_slicing)] // when it is compiled
static ENDS: [bool; 256] = {
    let (mut ends, mut rest) = ([false; 256], b",}] \t\n\r:\"{[".as_slice());
    while let [byte, tail @ ..] = rest {
        ends[*byte as usize] = true;
        rest = tail;
    }
    ends
};
