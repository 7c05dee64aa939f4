//! The encodings of OpenAI by name, built from data inside the library when they are first asked for.

use std::sync::{Arc, OnceLock};

use super::encoding::Encoding;
use super::scan::Grammar;
use super::special::Specials;
use super::vocab::Vocab;

static CL100K: &[u8] = include_bytes!("../../data/cl100k_base.bpe");
static O200K: &[u8] = include_bytes!("../../data/o200k_base.bpe");
/// Its first 50256 tokens are `r50k_base`.
static P50K: &[u8] = include_bytes!("../../data/p50k_base.bpe");

const END_OF_TEXT: &str = "<|endoftext|>";
const FIM: [&str; 3] = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"];
const END_OF_PROMPT: &str = "<|endofprompt|>";
/// Names of the ids 199998 to 200012 of `o200k_harmony`; the others up to 201087 are reserved.
const HARMONY: [(u32, &str); 9] = [
    (199_998, "<|startoftext|>"),
    (199_999, END_OF_TEXT),
    (200_002, "<|return|>"),
    (200_003, "<|constrain|>"),
    (200_005, "<|channel|>"),
    (200_006, "<|start|>"),
    (200_007, "<|end|>"),
    (200_008, "<|message|>"),
    (200_012, "<|call|>"),
];

/// A built-in encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EncodingName {
    /// The first vocabulary, equal to `r50k_base`.
    Gpt2,
    /// GPT-3.
    R50kBase,
    /// Codex and the text-davinci models.
    P50kBase,
    /// The edit models.
    P50kEdit,
    /// GPT-3.5, GPT-4 and the embedding models.
    Cl100kBase,
    /// GPT-4o and later.
    O200kBase,
    /// gpt-oss.
    O200kHarmony,
}

impl EncodingName {
    /// Every built-in encoding.
    pub const ALL: [Self; 7] = [
        Self::Gpt2,
        Self::R50kBase,
        Self::P50kBase,
        Self::P50kEdit,
        Self::Cl100kBase,
        Self::O200kBase,
        Self::O200kHarmony,
    ];

    /// The name that tiktoken gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::R50kBase => "r50k_base",
            Self::P50kBase => "p50k_base",
            Self::P50kEdit => "p50k_edit",
            Self::Cl100kBase => "cl100k_base",
            Self::O200kBase => "o200k_base",
            Self::O200kHarmony => "o200k_harmony",
        }
    }

    /// The encoding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| encoding.name() == name)
    }

    /// The encoding itself. The first call builds it, which takes some milliseconds.
    pub fn get(self) -> &'static Encoding {
        static ENCODINGS: [OnceLock<Encoding>; 7] = [const { OnceLock::new() }; 7];
        let [gpt2, r50k, p50k, edit, cl100k, o200k, harmony] = &ENCODINGS;
        let place = match self {
            Self::Gpt2 => gpt2,
            Self::R50kBase => r50k,
            Self::P50kBase => p50k,
            Self::P50kEdit => edit,
            Self::Cl100kBase => cl100k,
            Self::O200kBase => o200k,
            Self::O200kHarmony => harmony,
        };
        place.get_or_init(|| {
            let (grammar, vocab) = self.vocab();
            Encoding::new(self.name(), grammar, vocab, Specials::new(self.specials()))
        })
    }

    fn vocab(self) -> (Grammar, Arc<Vocab>) {
        static R50K_VOCAB: OnceLock<Arc<Vocab>> = OnceLock::new();
        static P50K_VOCAB: OnceLock<Arc<Vocab>> = OnceLock::new();
        static CL100K_VOCAB: OnceLock<Arc<Vocab>> = OnceLock::new();
        static O200K_VOCAB: OnceLock<Arc<Vocab>> = OnceLock::new();
        let (grammar, place, data, limit) = match self {
            Self::Gpt2 | Self::R50kBase => (Grammar::R50k, &R50K_VOCAB, P50K, 50_256),
            Self::P50kBase | Self::P50kEdit => (Grammar::R50k, &P50K_VOCAB, P50K, usize::MAX),
            Self::Cl100kBase => (Grammar::Cl100k, &CL100K_VOCAB, CL100K, usize::MAX),
            Self::O200kBase | Self::O200kHarmony => (Grammar::O200k, &O200K_VOCAB, O200K, usize::MAX),
        };
        (grammar, Arc::clone(place.get_or_init(|| Arc::new(Vocab::from_bpe(data, limit)))))
    }

    fn specials(self) -> Vec<(String, u32)> {
        let named = |tokens: &[(&str, u32)]| tokens.iter().map(|&(text, id)| (text.to_owned(), id)).collect();
        let [prefix, middle, suffix] = FIM;
        match self {
            Self::Gpt2 | Self::R50kBase | Self::P50kBase => named(&[(END_OF_TEXT, 50_256)]),
            Self::P50kEdit => named(&[(END_OF_TEXT, 50_256), (prefix, 50_281), (middle, 50_282), (suffix, 50_283)]),
            Self::Cl100kBase => named(&[
                (END_OF_TEXT, 100_257),
                (prefix, 100_258),
                (middle, 100_259),
                (suffix, 100_260),
                (END_OF_PROMPT, 100_276),
            ]),
            Self::O200kBase => named(&[(END_OF_TEXT, 199_999), (END_OF_PROMPT, 200_018)]),
            Self::O200kHarmony => {
                let mut tokens: Vec<_> = (200_000..201_088).map(|id| (format!("<|reserved_{id}|>"), id)).collect();
                for (id, text) in HARMONY {
                    tokens.retain(|(_, other)| *other != id);
                    tokens.push((text.to_owned(), id));
                }
                tokens.push((END_OF_PROMPT.to_owned(), 200_018));
                tokens
            }
        }
    }
}
