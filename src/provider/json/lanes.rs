//! Lanes: which of many bytes are certain ones, looked at together; a bit for each byte, bit 0 is the first.
//!
//! It takes an `unsafe` block, because the compiler cannot see that every x86-64 processor has SSE2. With words of
//! eight bytes and `memchr` instead, a body of 638 bytes takes 20 % more instructions. A test holds both ways to the same
//! bits.

/// Bytes that a name or a short text is looked at in.
pub(super) const LANE: usize = 16;
/// Bytes that what is skipped is looked at in.
pub(super) const BLOCK: usize = 64;

/// The quotes and backslashes of a lane.
#[inline]
pub(super) fn ends_or_escapes(lane: &[u8; LANE]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return sse2::either(lane, b'"', b'\\');
    #[cfg(not(target_arch = "x86_64"))]
    portable::either(lane, b'"', b'\\')
}

/// The quotes of a lane.
#[inline]
pub(super) fn quotes(lane: &[u8; LANE]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    return sse2::either(lane, b'"', b'"');
    #[cfg(not(target_arch = "x86_64"))]
    portable::either(lane, b'"', b'"')
}

/// The bytes of a block that are each of `these`.
#[inline]
pub(super) fn marks<const N: usize>(block: &[u8; BLOCK], these: [u8; N]) -> [u64; N] {
    #[cfg(target_arch = "x86_64")]
    return sse2::marks(block, these);
    #[cfg(not(target_arch = "x86_64"))]
    portable::marks(block, these)
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, clippy::cast_possible_wrap, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // bits
mod sse2 {
    use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};

    use super::{BLOCK, LANE};

    #[inline]
    pub(super) fn either(lane: &[u8; LANE], one: u8, other: u8) -> u32 {
        // SAFETY: every x86-64 processor has SSE2; nothing else is asked for, plain values go in and out.
        unsafe { either_of(lane, one, other) }
    }

    #[inline]
    pub(super) fn marks<const N: usize>(block: &[u8; BLOCK], these: [u8; N]) -> [u64; N] {
        // SAFETY: as above.
        unsafe { marks_of(block, these) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(lane: &[u8; LANE]) -> __m128i {
        let all = u128::from_le_bytes(*lane);
        _mm_set_epi64x((all >> 64) as i64, all as i64)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn either_of(lane: &[u8; LANE], one: u8, other: u8) -> u32 {
        let lane = load(lane);
        let is = |byte: u8| _mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8));
        _mm_movemask_epi8(_mm_or_si128(is(one), is(other))) as u32
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn marks_of<const N: usize>(block: &[u8; BLOCK], these: [u8; N]) -> [u64; N] {
        let mut marks = [0; N];
        for (number, lane) in block.as_chunks::<LANE>().0.iter().enumerate() {
            let lane = load(lane);
            for (mark, byte) in marks.iter_mut().zip(these) {
                let found = _mm_movemask_epi8(_mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8)));
                *mark |= u64::from(found as u16) << (number * LANE);
            }
        }
        marks
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{BLOCK, LANE};

    pub(super) fn either(lane: &[u8; LANE], one: u8, other: u8) -> u32 {
        lane.iter().rev().fold(0, |bits, byte| bits << 1 | u32::from(*byte == one || *byte == other))
    }

    pub(super) fn marks<const N: usize>(block: &[u8; BLOCK], these: [u8; N]) -> [u64; N] {
        these.map(|this| {
            let mut marks = 0;
            for word in block.as_chunks::<8>().0.iter().rev() {
                // The high bit of each byte that is `this`, then the eight of them side by side.
                let differs = u64::from_le_bytes(*word) ^ (0x0101_0101_0101_0101 * u64::from(this));
                let low = (differs & 0x7F7F_7F7F_7F7F_7F7F) + 0x7F7F_7F7F_7F7F_7F7F;
                let same = !(low | differs) & 0x8080_8080_8080_8080;
                marks = marks << 8 | (same >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            }
            marks
        })
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_find_the_same(block in proptest::array::uniform32(proptest::sample::select(&b"\"\\{}[]!#\x00\x80\xa2\xff"[..]))) {
            let block: [u8; BLOCK] = std::array::from_fn(|at| block[at / 2].wrapping_add(u8::from(at % 7 == 6)));
            let these = *b"\"\\{}";
            prop_assert_eq!(marks(&block, these), portable::marks(&block, these));
            let lane = block.first_chunk().unwrap();
            prop_assert_eq!(ends_or_escapes(lane), portable::either(lane, b'"', b'\\'));
        }
    }
}
