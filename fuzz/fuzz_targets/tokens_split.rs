//! A text counts the same whole, in parts wherever they are split, and by its tokens; decoding gives it back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ragmeter::tokens::{Counter, EncodingName};

mod common;

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let encoding = EncodingName::ALL[usize::from(which) % EncodingName::ALL.len()].get();
    // Counters look at their text again from a kilobyte on, so small inputs repeat.
    let text = common::text(rest).repeat(1 + usize::from(which >> 3));
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
});
