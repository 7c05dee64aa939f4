//! Fuzzing without a special toolchain: hand-written shapes, broken in every way a small generator can think of.
//!
//! Every run asks: does reading in pieces say the same as reading at once, do the counts keep their rules, does the
//! filter give back the same bytes at every split, does it stay quick. `RAGMETER_FUZZ_RUNS` sets how many runs,
//! `RAGMETER_FUZZ_SEED` where they begin; `make fuzz` does millions in release mode.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod shapes;

use std::time::{Duration, Instant};

use shapes::check::{Random, check};

/// What breaks readers.
const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"null",
    b"true",
    b"NaN",
    b"-1",
    b"0",
    b"1.0",
    b"1e3",
    b"-0.5e-999999999999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"\"12\"",
    b"{}",
    b"[]",
    b"data: ",
    b"data:",
    b"data",
    b"event: x\n",
    b": \n",
    b"[DONE]",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\0",
    b"\0\0\0\x10\0\0\0\0",
    b"\\u",
    b"\\ud83d",
    b"\\u0075sage",
    b"\"usage\":",
    b"\"usage\":null,",
    b",\"usage\":null",
    b"\"usageMetadata\":{",
    b"\"prompt_tokens\":5,",
    b"\"input_tokens\":5,",
    b"\"choices\":[],",
    b"\"choices\":[{\"usage\":{",
    b"\"response\":{",
    b"\"message\":{",
    b"\"iterations\":[{\"type\":\"compaction\",",
    b"\"type\":\"response.done\",",
    b"\"id\":\"x\",",
    b"\"bytes\":\"e30=\",",
    b"\"cost\":1e-29,",
];

fn mutate(random: &mut Random, shapes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(shapes).clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below((bytes.len() - at).min(24) + 1);
        match random.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 | 3 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
            4 => drop(bytes.splice(at..end, random.pick(TOKENS).iter().copied())),
            5 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let other = random.pick(shapes);
                let from = random.below(other.len());
                let to = from + random.below(other.len() - from + 1);
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            7 => bytes.extend(random.pick(shapes).iter().copied()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(random.next() >> 56).unwrap();
                }
            }
        }
    }
    bytes
}

#[test]
fn readers_agree_on_whatever_comes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let runs: u64 = number("RAGMETER_FUZZ_RUNS").unwrap_or(30_000);
    let first = number("RAGMETER_FUZZ_SEED").unwrap_or(1);
    let shapes = shapes::all();
    for seed in first..first + runs {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let bytes = mutate(&mut random, &shapes);
        let started = Instant::now();
        let outcome = std::panic::catch_unwind(|| check(&bytes, &mut Random(seed | 1)));
        let took = started.elapsed();
        assert!(
            outcome.is_ok() && took < Duration::from_secs(2),
            "RAGMETER_FUZZ_SEED={seed}, {took:?}: {}",
            bytes.escape_ascii()
        );
    }
}

/// Writes the shapes where `cargo fuzz` looks for seeds: `cargo test --test fuzz -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_seeds() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/readers");
    std::fs::create_dir_all(folder).unwrap();
    for (number, shape) in shapes::all().into_iter().enumerate() {
        std::fs::write(format!("{folder}/shape-{number}"), shape).unwrap();
    }
}
