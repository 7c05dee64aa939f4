//! What the counters promise, whatever the text.

use proptest::prelude::*;
use ragmeter::tokens::{Counter, EncodingName, encoding_for, known_encoding};

/// Text of what splitting patterns tell apart.
fn text() -> impl Strategy<Value = String> {
    let fragments = [
        "a",
        "S",
        "fooBar",
        " the",
        "'s",
        "'LL",
        "'ſ",
        "É",
        "Жж",
        "ǅʰ",
        "中国",
        "人民",
        "のカー",
        "한국",
        "हिन्दी",
        " क्या।",
        "سَلام",
        "é÷À",
        "\u{301}",
        "123",
        "4567",
        "٣",
        " ",
        "   ",
        "\t",
        "\n",
        "\r\n",
        "\u{a0}",
        "\u{3000}",
        ".",
        "...",
        "//\n/",
        "，",
        "🎉",
        "👍🏽",
        "\0",
        "<|endoftext|>",
        "https://x.y/",
    ];
    let fragment = (prop::sample::select(fragments.to_vec()), prop_oneof![9 => Just(1_usize), 1 => 2..80_usize])
        .prop_map(|(fragment, times)| fragment.repeat(times));
    prop::collection::vec(prop_oneof![8 => fragment, 1 => any::<String>()], 0..40).prop_map(|parts| parts.concat())
}

fn encoding() -> impl Strategy<Value = EncodingName> {
    prop::sample::select(EncodingName::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_text_counts_as_many_tokens_as_it_has(name in encoding(), text in text()) {
        let encoding = name.get();
        let tokens = encoding.encode(&text);
        prop_assert_eq!(encoding.count(&text), tokens.len());
        prop_assert_eq!(encoding.decode_bytes(&tokens), Ok(text.into_bytes()));
    }

    #[test]
    fn a_text_counts_the_same_wherever_it_is_split(name in encoding(), text in text(), step in 1..300_usize, times in 1..9_usize) {
        let text = text.repeat(times);
        let mut counter = Counter::new(name.get());
        let mut part = String::new();
        for (i, character) in text.chars().enumerate() {
            part.push(character);
            if i % step == 0 {
                counter.feed(&part);
                part.clear();
            }
        }
        counter.feed(&part);
        prop_assert_eq!(counter.tokens(), name.get().count(&text));
    }

    #[test]
    fn a_limit_keeps_the_first_tokens(name in encoding(), text in text(), limit in 0..200_usize) {
        let encoding = name.get();
        let tokens = encoding.encode(&text);
        let kept = encoding.decode_bytes(&tokens[..limit.min(tokens.len())]).expect("known tokens");
        prop_assert_eq!(encoding.truncate_bytes(&text, limit), kept.len());
        prop_assert!(encoding.truncate(&text, limit).len() <= kept.len());
        prop_assert!(encoding.truncate(&text, limit).len() + 4 > kept.len());
        let fits = (tokens.len() <= limit).then_some(tokens.len());
        prop_assert_eq!(encoding.count_until(&text, limit), fits);
    }
}

#[test]
fn a_batch_counts_each_text_by_itself() {
    let encoding = EncodingName::O200kBase.get();
    let texts: Vec<String> = (0..500).map(|i| format!("chunk {i}: {}", "text, 文本. ".repeat(i))).collect();
    let counts: Vec<usize> = texts.iter().map(|text| encoding.count(text)).collect();
    for threads in [1, 2, 7] {
        assert_eq!(encoding.count_batch(&texts, threads), counts);
    }
    assert!(encoding.count_batch::<String>(&[], 4).is_empty());
}

#[test]
fn threads_do_not_disturb_each_other() {
    let encoding = EncodingName::Cl100kBase.get();
    let text = "Many threads, one encoding: это текст, 文本。 ".repeat(200);
    let expected = encoding.count(&text);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| (0..10).for_each(|_| assert_eq!(encoding.count(&text), expected)));
        }
    });
}

#[test]
fn long_pieces_are_encoded_as_short_ones() {
    // A long piece goes another way than the merges of a short one; the token sequence of a run of one letter is known.
    let encoding = EncodingName::Cl100kBase.get();
    for unit in ["a", " ", "\n", "=", "ab", "xyz", "\u{301}", "ก"] {
        let text = unit.repeat(3000);
        let tokens = encoding.encode(&text);
        assert_eq!(encoding.decode_bytes(&tokens), Ok(text.clone().into_bytes()), "{unit:?}");
        assert_eq!(encoding.count(&text), tokens.len(), "{unit:?}");
    }
    assert_eq!(encoding.count(&"a".repeat(1000)), 125);
}

#[test]
fn pieces_with_as_many_symbols_as_there_is_room_for_are_encoded() {
    for name in EncodingName::ALL {
        for length in 1..90 {
            for unit in ["ก", "𠮷", "क𠮷", "हि", "\u{e3e}𝔸"] {
                let text: String = unit.chars().cycle().take(length).collect();
                let tokens = name.get().encode(&text);
                assert_eq!(name.get().decode_bytes(&tokens), Ok(text.clone().into_bytes()), "{text:?}");
                assert_eq!(name.get().count(&text), tokens.len(), "{text:?}");
            }
        }
    }
}

#[test]
fn a_piece_counts_the_same_when_it_is_remembered() {
    for name in [EncodingName::Cl100kBase, EncodingName::O200kBase] {
        for length in 1..200 {
            for unit in ["=", "-+", " ", "qzx", "ж", "🎉"] {
                let text: String = unit.chars().cycle().take(length).collect();
                let tokens = name.get().encode(&text).len();
                assert_eq!([name.get().count(&text), name.get().count(&text)], [tokens, tokens], "{text:?}");
            }
        }
    }
}

#[test]
fn special_tokens_are_text_unless_they_are_allowed() {
    let encoding = EncodingName::O200kHarmony.get();
    let text = "<|start|>user<|message|>Hi<|end|>";
    assert_eq!(encoding.encode_with_special(text, |_| true), [200_006, 1_428, 200_008, 12_194, 200_007]);
    let but_one = encoding.encode_with_special(text, |token| token != "<|end|>");
    assert_eq!(but_one.len(), 4 + encoding.count("<|end|>"));
    assert_eq!(encoding.encode_with_special(text, |_| false).len(), encoding.count(text));
    assert_eq!(encoding.find_special(text, |token| token == "<|message|>"), Some("<|message|>"));
}

#[test]
fn an_unknown_token_is_refused() {
    let error = EncodingName::Gpt2.get().decode_bytes(&[1, 50_257]).expect_err("one more than the last");
    assert_eq!(error.to_string(), "Invalid token for decoding: 50257");
}

#[test]
fn models_are_found_by_name_prefix_and_address() {
    for (model, encoding) in [
        ("gpt-4o-2024-08-06", EncodingName::O200kBase),
        ("openrouter/openai/gpt-5-mini", EncodingName::O200kBase),
        ("azure/gpt-35-turbo", EncodingName::Cl100kBase),
        ("openai.gpt-oss-120b-1:0", EncodingName::O200kHarmony),
        ("ft:gpt-4.1-mini-2025-04-14:acme::id", EncodingName::O200kBase),
        ("ft:gpt-4-0613:acme", EncodingName::Cl100kBase),
        ("text-embedding-3-large", EncodingName::Cl100kBase),
        ("davinci", EncodingName::R50kBase),
    ] {
        assert_eq!(known_encoding(model), Some(encoding), "{model}");
        assert!(encoding_for(model).exact);
    }
    for model in ["claude-opus-4-8", "gemini-3-pro", "qwen/qwen3-32b", ""] {
        assert_eq!(known_encoding(model), None, "{model}");
        assert!(!encoding_for(model).exact);
    }
}
