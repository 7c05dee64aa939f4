//! What must hold for the text that some bytes stand for.

use std::sync::OnceLock;

use ragmeter::tokens::{Counter, EncodingName};
use tiktoken_rs::CoreBPE;

const FRAGMENTS: [&str; 64] = [
    "a",
    "b",
    "s",
    "S",
    "t",
    "T",
    "d",
    "m",
    "re",
    "VE",
    "lL",
    "'",
    "'",
    "ſ",
    "É",
    "é",
    "ß",
    "Ж",
    "ж",
    "ǅ",
    "ʰ",
    "ª",
    "中",
    "ب",
    "\u{64b}",
    "の",
    "カ",
    "ー",
    "한",
    "ก",
    "ि",
    "ह",
    "\u{301}",
    "\u{20dd}",
    "1",
    "2",
    "٣",
    "Ⅷ",
    "²",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{85}",
    ".",
    "/",
    "!",
    "_",
    "(",
    "，",
    "。",
    "🎉",
    "👍🏽",
    "\u{200d}",
    "\u{fe0f}",
    "\0",
    "\u{e000}",
    "<|endoftext|>",
    " the",
];

/// Text from bytes: as they are, or as a sequence of fragments that splitting patterns tell apart.
fn text(data: &[u8]) -> String {
    match data.split_first() {
        Some((kind, rest)) if kind & 0x40 != 0 => {
            let mut text = String::new();
            for byte in rest {
                let fragment = FRAGMENTS[usize::from(byte & 63)];
                for _ in 0..if byte & 0xC0 == 0xC0 { 1 + usize::from(*kind & 15) * 5 } else { 1 } {
                    text.push_str(fragment);
                }
            }
            text
        }
        Some((_, rest)) => String::from_utf8_lossy(rest).into_owned(),
        None => String::new(),
    }
}

fn oracles() -> &'static [(EncodingName, CoreBPE); 4] {
    static ORACLES: OnceLock<[(EncodingName, CoreBPE); 4]> = OnceLock::new();
    ORACLES.get_or_init(|| {
        [
            (EncodingName::O200kBase, tiktoken_rs::o200k_base().expect("embedded")),
            (EncodingName::Cl100kBase, tiktoken_rs::cl100k_base().expect("embedded")),
            (EncodingName::P50kBase, tiktoken_rs::p50k_base().expect("embedded")),
            (EncodingName::R50kBase, tiktoken_rs::r50k_base().expect("embedded")),
        ]
    })
}

/// Tokens, counts and limits are those of tiktoken.
pub fn same_as_tiktoken(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    let (name, oracle) = &oracles()[usize::from(which & 3)];
    let text = text(rest);
    let expected = oracle.encode_ordinary(&text);
    let encoding = name.get();
    assert_eq!(encoding.encode(&text), expected);
    assert_eq!(encoding.count(&text), expected.len());
    let limit = usize::from(which >> 2);
    assert_eq!(encoding.count_until(&text, limit), (expected.len() <= limit).then_some(expected.len()));
    let kept = encoding.decode_bytes(&expected[..limit.min(expected.len())]).expect("known tokens");
    assert_eq!(encoding.truncate_bytes(&text, limit), kept.len());
}

/// A text counts the same whole, in parts wherever they are split, and by its tokens; decoding gives it back.
pub fn same_however_split(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else { return };
    let encoding = EncodingName::ALL[usize::from(which) % EncodingName::ALL.len()].get();
    // Counters look at their text again from a kilobyte on, so small inputs repeat.
    let text = text(rest).repeat(1 + usize::from(which >> 3));
    let tokens = encoding.encode(&text);
    assert_eq!(encoding.count(&text), tokens.len());
    assert_eq!(encoding.decode_bytes(&tokens).as_deref(), Ok(text.as_bytes()));
    let mut counter = Counter::new(encoding);
    let (mut at, mut step) = (0, usize::from(which));
    while at < text.len() {
        step = (step * 37 + 11) % 257;
        let mut end = (at + step).min(text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        counter.feed(&text[at..end]);
        at = end;
    }
    assert_eq!(counter.tokens(), tokens.len());
}
