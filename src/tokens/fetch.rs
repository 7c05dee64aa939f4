//! Tells the processor what will be read soon.
//!
//! The tables are larger than the nearest memory. Who asks many questions first has all the places fetched and then
//! compares: the processor waits for them at the same time.

/// Has the start of `place` fetched, where that is known how to do.
#[inline]
pub(super) fn fetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    super::sse2::prefetch(place);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
