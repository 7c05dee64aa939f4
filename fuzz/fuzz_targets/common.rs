// Text from the fuzzer's bytes: as they are, or as a sequence of fragments that splitting patterns tell apart.

const FRAGMENTS: [&str; 64] = [
    "a", "b", "s", "S", "t", "T", "d", "m", "re", "VE", "lL", "'", "'", "ſ", "É", "é", "ß", "Ж", "ж", "ǅ", "ʰ", "ª",
    "中", "人", "民", "の", "カ", "ー", "한", "ก", "ि", "ह", "\u{301}", "\u{20dd}", "1", "2", "٣", "Ⅷ", "²", " ", " ",
    "  ", "\t", "\n", "\r", "\u{a0}", "\u{3000}", "\u{2028}", "\u{85}", ".", "/", "!", "_", "(", "，", "。", "🎉", "👍🏽",
    "\u{200d}", "\u{fe0f}", "\0", "\u{e000}", "<|endoftext|>", " the",
];

pub fn text(data: &[u8]) -> String {
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
