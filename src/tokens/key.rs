//! A piece of up to 15 bytes as one number: its bytes, least significant first, and its length in bits 120 to 123.

/// Longest piece that is a key.
pub(super) const LONGEST: usize = 15;
/// Bits 124 to 127 are free for a count.
pub(super) const BITS: u32 = 124;
/// A key without what stands above it.
pub(super) const MASK: u128 = (1 << BITS) - 1;

/// The key of `text[start..end]`, or 0 if that is empty or longer than 15 bytes.
#[inline]
pub(super) fn of(text: &[u8], start: usize, end: usize) -> u128 {
    let length = end.wrapping_sub(start);
    if length > LONGEST {
        return 0;
    }
    let bytes = if let Some(Ok(window)) = text.get(start..start.wrapping_add(16)).map(<[u8; 16]>::try_from) {
        u128::from_le_bytes(window)
    } else {
        let mut window = [0; 16];
        for (to, from) in window.iter_mut().zip(text.get(start..).unwrap_or_default()) {
            *to = *from;
        }
        u128::from_le_bytes(window)
    };
    bytes & ((1 << (length * 8)) - 1) | (length as u128) << 120
}

/// Spreads a key over 64 bits.
#[inline]
pub(super) fn hash(key: u128) -> u64 {
    fold((key as u64) ^ 0x9E37_79B9_7F4A_7C15, ((key & MASK) >> 64) as u64 ^ 0xA076_1D64_78BD_642F)
}

/// Spreads two words over 64 bits.
#[inline]
pub(super) fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// Spreads any bytes over 64 bits.
pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0x9E37_79B9_7F4A_7C15;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        hash = fold(hash ^ u64::from_le_bytes(word), 0xE703_7ED1_A0B4_28DB);
    }
    hash
}

/// An index below `size`, from the high bits of a hash.
#[inline]
pub(super) fn index(hash: u64, size: usize) -> usize {
    ((u128::from(hash) * size as u128) >> 64) as usize
}
