//! Reading whatever comes: at once, in pieces, and through the filter.

#![no_main]

#[path = "../../tests/shapes/mod.rs"]
mod shapes;

use libfuzzer_sys::fuzz_target;
use shapes::check::{Random, check};

fuzz_target!(|bytes: &[u8]| {
    // The splits follow from the bytes, so that a failure is one file.
    let seed = bytes.iter().fold(1, |seed: u64, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    check(bytes, &mut Random(seed | 1));
});
