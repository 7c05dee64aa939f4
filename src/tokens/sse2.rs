//! What only instructions do that every x86-64 processor has: the masks of a block, and fetching ahead.
//!
//! The only `unsafe` of the counters: the compiler cannot see that SSE2 is always there, and fetching takes a pointer.
//! With [`super::mask`]'s portable classification instead, English takes 33 % longer when it is new and 48 % longer when
//! it was seen before (EPYC, Zen 5, 2026-11-22); a test holds both to the same masks. Without fetching, new English takes
//! 20 % longer, new Chinese 20 %, new code 40 %, new random words and base64 twice as long (EPYC, Zen 5, 2026-11-28).

#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m128i, _MM_HINT_T0, _mm_add_epi8, _mm_cmpeq_epi8, _mm_cmpgt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_prefetch,
    _mm_set_epi64x, _mm_set1_epi8,
};

use super::mask::{BLOCK, Masks};

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
