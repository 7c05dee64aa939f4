//! Writes `data/classes.bin` from the Unicode tables of regex-syntax, the version that tiktoken 0.14.0 links.
//!
//! `cargo run --example classes`. Layout: one byte for each block of 128 code points, then the blocks that differ,
//! a byte of flags (`src/tokens/class.rs`) for each code point.

#![allow(clippy::indexing_slicing)] // the table has an entry for each code point

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, HirKind};

const FLAGS: [(&str, u8); 8] = [
    (r"[\p{Lu}\p{Lt}]", 1),
    (r"\p{Ll}", 2),
    (r"[\p{Lm}\p{Lo}]", 4),
    (r"\p{M}", 8),
    (r"\p{N}", 16),
    (r"[\s--[\r\n]]", 32),
    (r"[\r\n]", 64),
    (r"[^\s\p{L}\p{M}\p{N}]", 128),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut flags = vec![0_u8; 0x11_0000];
    for (pattern, flag) in FLAGS {
        let hir = ParserBuilder::new().unicode(true).build().parse(pattern)?;
        let HirKind::Class(Class::Unicode(class)) = hir.kind() else { return Err(pattern.into()) };
        for range in class.ranges() {
            flags[range.start() as usize..=range.end() as usize].iter_mut().for_each(|seen| *seen |= flag);
        }
    }
    // Surrogates are in no class of a `str`.
    flags[0xD800..0xE000].fill(128);
    assert!(flags.iter().all(|seen| seen.is_power_of_two()), "the classes are a partition");
    let (mut index, mut blocks) = (Vec::new(), Vec::<&[u8]>::new());
    for block in flags.chunks(128) {
        let place = blocks.iter().position(|seen| *seen == block).unwrap_or(blocks.len());
        if place == blocks.len() {
            blocks.push(block);
        }
        index.push(u8::try_from(place)?);
    }
    index.extend(blocks.concat());
    std::fs::write("data/classes.bin", index)?;
    Ok(())
}
