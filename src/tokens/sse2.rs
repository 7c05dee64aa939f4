//! What only instructions do that every x86-64 processor has: the masks of a block, and fetching ahead. And one that all
//! have since 2011, of which it is asked: moving bytes, to write UTF-8.
//!
//! The only `unsafe` of the counters: the compiler cannot see that the instructions are there, and fetching takes a pointer.
//! With [`super::mask`]'s portable classification instead, English takes 33 % longer when it is new and 48 % longer when
//! it was seen before (EPYC, Zen 5, 2026-11-22); a test holds both to the same masks. Without fetching, new English takes
//! 20 % longer, new Chinese 20 %, new code 40 %, new random words and base64 twice as long (EPYC, Zen 5, 2026-11-28).

#![allow(unsafe_code)]
#![allow(clippy::indexing_slicing)] // a constant fills the table of moves

use std::arch::x86_64::{
    __m128i, _MM_HINT_T0, _mm_add_epi8, _mm_and_si128, _mm_andnot_si128, _mm_castsi128_ps, _mm_cmpeq_epi8,
    _mm_cmpgt_epi8, _mm_cmplt_epi32, _mm_cvtsi128_si64, _mm_movemask_epi8, _mm_movemask_ps, _mm_or_si128, _mm_prefetch,
    _mm_set_epi64x, _mm_set1_epi8, _mm_set1_epi32, _mm_setzero_si128, _mm_shuffle_epi8, _mm_slli_epi32, _mm_srli_epi32,
    _mm_unpackhi_epi16, _mm_unpackhi_epi64, _mm_unpacklo_epi16,
};

use super::mask::{BLOCK, Masks};
use super::text::{self, Unit};

/// Classifies a block.
#[inline]
pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
    // SAFETY: every x86-64 processor has SSE2; `classify` has no other condition, takes and returns plain values.
    unsafe { classify(block) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn classify(block: &[u8; BLOCK]) -> Masks {
    let mut masks = Masks::default();
    let (chunks, _) = block.as_chunks::<16>();
    for (i, chunk) in chunks.iter().enumerate() {
        add(&mut masks, chunk, i as u32 * 16);
    }
    masks
}

#[inline]
#[target_feature(enable = "sse2")]
fn add(masks: &mut Masks, chunk: &[u8; 16], shift: u32) {
    let all = u128::from_le_bytes(*chunk);
    let v = _mm_set_epi64x((all >> 64) as i64, all as i64);
    // Signed comparison: lifts low..=high to the top of the positive numbers.
    let range = |v: __m128i, low: u8, high: u8| {
        let lifted = _mm_add_epi8(v, _mm_set1_epi8((0x7F - high) as i8));
        _mm_cmpgt_epi8(lifted, _mm_set1_epi8((0x7E - (high - low)) as i8))
    };
    let is = |byte: u8| _mm_cmpeq_epi8(v, _mm_set1_epi8(byte as i8));
    let mask = |v: __m128i| u64::from(_mm_movemask_epi8(v) as u16) << shift;
    let space = is(b' ');
    masks.letter |= mask(range(_mm_or_si128(v, _mm_set1_epi8(0x20)), b'a', b'z'));
    masks.lower |= mask(range(v, b'a', b'z'));
    masks.digit |= mask(range(v, b'0', b'9'));
    masks.space |= mask(space);
    masks.newline |= mask(_mm_or_si128(is(b'\n'), is(b'\r')));
    masks.white |= mask(_mm_or_si128(space, range(v, 9, 13)));
    masks.quote |= mask(is(b'\''));
    masks.high |= mask(v);
}

/// The bytes of a block from `low` to `high`.
#[inline]
pub(super) fn range(block: &[u8; BLOCK], low: u8, high: u8) -> u64 {
    // SAFETY: as above.
    unsafe { find_range(block, low, high) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn find_range(block: &[u8; BLOCK], low: u8, high: u8) -> u64 {
    let (chunks, _) = block.as_chunks::<16>();
    chunks.iter().enumerate().fold(0, |mask, (i, chunk)| {
        let all = u128::from_le_bytes(*chunk);
        let v = _mm_set_epi64x((all >> 64) as i64, all as i64);
        let lifted = _mm_add_epi8(v, _mm_set1_epi8(0x7F_u8.wrapping_sub(high) as i8));
        let found = _mm_cmpgt_epi8(lifted, _mm_set1_epi8(0x7E_u8.wrapping_sub(high.wrapping_sub(low)) as i8));
        mask | u64::from(_mm_movemask_epi8(found) as u16) << (i * 16)
    })
}

/// Has the start of something fetched from memory before it is needed.
#[inline]
pub(super) fn prefetch<T>(place: &T) {
    // SAFETY: every x86-64 processor has SSE; a prefetch changes nothing that a program sees, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) }
}

/// Writes all units as UTF-8, or `None` at a surrogate.
#[inline]
pub(super) fn write<U: Unit>(units: &[U], out: &mut [u8]) -> Option<usize> {
    if is_x86_feature_detected!("ssse3") {
        // SAFETY: the processor has SSSE3; `write_by_four` has no other condition.
        unsafe { write_by_four(units, out) }
    } else {
        text::write_with(units, out, text::write_small)
    }
}

#[target_feature(enable = "ssse3")]
fn write_by_four<U: Unit>(units: &[U], out: &mut [u8]) -> Option<usize> {
    text::write_with(units, out, |block, out| {
        let (words, _) = block.as_chunks::<4>();
        let word = |i: usize| {
            words.get(i).map_or(0, |word| word.iter().rev().fold(0, |all, unit| all << 16 | i64::from(*unit)))
        };
        let (all, zero) = (_mm_set_epi64x(word(1), word(0)), _mm_setzero_si128());
        let mut at = 0;
        for four in [_mm_unpacklo_epi16(all, zero), _mm_unpackhi_epi16(all, zero)] {
            let (bytes, length) = four_units(four);
            if let Some(to) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *to = bytes;
            }
            at += length;
        }
        at
    })
}

/// Four code points below U+10000 as UTF-8, and how many bytes they take.
#[inline]
#[target_feature(enable = "ssse3")]
fn four_units(units: __m128i) -> ([u8; 16], usize) {
    let bits = |v: __m128i, bits: i32| _mm_and_si128(v, _mm_set1_epi32(bits));
    let with = |v: __m128i, bits: i32| _mm_or_si128(v, _mm_set1_epi32(bits));
    let either =
        |mask: __m128i, yes: __m128i, no: __m128i| _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no));
    let last = bits(units, 0x3F);
    let two = with(_mm_or_si128(_mm_srli_epi32::<6>(units), _mm_slli_epi32::<8>(last)), 0x80C0);
    let middle = bits(_mm_slli_epi32::<2>(units), 0x3F00);
    let ends = _mm_or_si128(_mm_srli_epi32::<12>(units), _mm_slli_epi32::<16>(last));
    let three = with(_mm_or_si128(middle, ends), 0x80_80E0);
    let (small, middling) =
        (_mm_cmplt_epi32(units, _mm_set1_epi32(0x80)), _mm_cmplt_epi32(units, _mm_set1_epi32(0x800)));
    let wide = either(small, units, either(middling, two, three));
    let lanes = |mask: __m128i| _mm_movemask_ps(_mm_castsi128_ps(mask)) as usize & 15;
    let (small, middling) = (lanes(small), lanes(middling));
    let order = MOVES.get(middling << 4 | small).copied().unwrap_or_default();
    let all = u128::from_le_bytes(order);
    let packed = _mm_shuffle_epi8(wide, _mm_set_epi64x((all >> 64) as i64, all as i64));
    let (low, high) = (_mm_cvtsi128_si64(packed), _mm_cvtsi128_si64(_mm_unpackhi_epi64(packed, packed)));
    let bytes = (u128::from(high as u64) << 64 | u128::from(low as u64)).to_le_bytes();
    (bytes, 12 - small.count_ones() as usize - middling.count_ones() as usize)
}

/// Which bytes of four code points of four bytes each are kept, for those below U+0800 and those below U+0080.
static MOVES: [[u8; 16]; 256] = {
    let mut all = [[0x80; 16]; 256];
    let mut index = 0;
    while index < 256 {
        let (mut at, mut lane) = (0, 0);
        while lane < 4 {
            let width = 3 - (index >> lane & 1) - (index >> (lane + 4) & 1);
            let mut byte = 0;
            while byte < width {
                all[index][at] = (lane * 4 + byte) as u8;
                at += 1;
                byte += 1;
            }
            lane += 1;
        }
        index += 1;
    }
    all
};
