//! Tokens and counts are those of tiktoken.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ragmeter::tokens::EncodingName;
use tiktoken_rs::CoreBPE;

mod common;

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

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let (name, oracle) = &oracles()[usize::from(which & 3)];
    let text = common::text(rest);
    let expected = oracle.encode_ordinary(&text);
    let encoding = name.get();
    assert_eq!(encoding.encode(&text), expected);
    assert_eq!(encoding.count(&text), expected.len());
    let limit = usize::from(which >> 2);
    assert_eq!(encoding.count_until(&text, limit), (expected.len() <= limit).then_some(expected.len()));
    let kept = encoding.decode_bytes(&expected[..limit.min(expected.len())]).expect("known tokens");
    assert_eq!(encoding.truncate_bytes(&text, limit), kept.len());
});
