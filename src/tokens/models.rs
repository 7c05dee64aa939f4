//! Which encoding a model uses.

use super::registry::EncodingName::{self, Cl100kBase, Gpt2, O200kBase, O200kHarmony, P50kBase, P50kEdit, R50kBase};

/// The encoding of a model, as far as it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelEncoding {
    /// The encoding to count with.
    pub encoding: EncodingName,
    /// The model really uses it; otherwise its tokenizer is not public or not here, and counts are estimates.
    pub exact: bool,
}

/// Source: tiktoken 0.14.0, `model.py`.
const NAMES: [(&str, EncodingName); 46] = [
    ("o1", O200kBase),
    ("o3", O200kBase),
    ("o4-mini", O200kBase),
    ("gpt-5", O200kBase),
    ("gpt-4.1", O200kBase),
    ("gpt-4o", O200kBase),
    ("gpt-4", Cl100kBase),
    ("gpt-3.5-turbo", Cl100kBase),
    ("gpt-3.5", Cl100kBase),
    ("gpt-35-turbo", Cl100kBase),
    ("davinci-002", Cl100kBase),
    ("babbage-002", Cl100kBase),
    ("text-embedding-ada-002", Cl100kBase),
    ("text-embedding-3-small", Cl100kBase),
    ("text-embedding-3-large", Cl100kBase),
    ("text-davinci-003", P50kBase),
    ("text-davinci-002", P50kBase),
    ("text-davinci-001", R50kBase),
    ("text-curie-001", R50kBase),
    ("text-babbage-001", R50kBase),
    ("text-ada-001", R50kBase),
    ("davinci", R50kBase),
    ("curie", R50kBase),
    ("babbage", R50kBase),
    ("ada", R50kBase),
    ("code-davinci-002", P50kBase),
    ("code-davinci-001", P50kBase),
    ("code-cushman-002", P50kBase),
    ("code-cushman-001", P50kBase),
    ("davinci-codex", P50kBase),
    ("cushman-codex", P50kBase),
    ("text-davinci-edit-001", P50kEdit),
    ("code-davinci-edit-001", P50kEdit),
    ("text-similarity-davinci-001", R50kBase),
    ("text-similarity-curie-001", R50kBase),
    ("text-similarity-babbage-001", R50kBase),
    ("text-similarity-ada-001", R50kBase),
    ("text-search-davinci-doc-001", R50kBase),
    ("text-search-curie-doc-001", R50kBase),
    ("text-search-babbage-doc-001", R50kBase),
    ("text-search-ada-doc-001", R50kBase),
    ("code-search-babbage-code-001", R50kBase),
    ("code-search-ada-code-001", R50kBase),
    ("gpt2", Gpt2),
    ("gpt-2", Gpt2),
    // Azure lets the dot of a name go.
    ("gpt-35", Cl100kBase),
];

/// Beginnings of names, the longer one first where one begins with the other. From tiktoken 0.14.0, and behind them the
/// families that it does not know.
const PREFIXES: [(&str, EncodingName); 28] = [
    ("o1-", O200kBase),
    ("o3-", O200kBase),
    ("o4-mini-", O200kBase),
    ("gpt-5", O200kBase),
    ("gpt-4.5-", O200kBase),
    ("gpt-4.1-", O200kBase),
    ("chatgpt-4o-", O200kBase),
    ("gpt-4o-", O200kBase),
    ("gpt-4-", Cl100kBase),
    ("gpt-3.5-turbo-", Cl100kBase),
    ("gpt-35-turbo-", Cl100kBase),
    ("gpt-oss-", O200kHarmony),
    ("ft:gpt-4o", O200kBase),
    ("ft:gpt-4.1", O200kBase),
    ("ft:o4-mini", O200kBase),
    ("ft:gpt-4", Cl100kBase),
    ("ft:gpt-3.5-turbo", Cl100kBase),
    ("ft:davinci-002", Cl100kBase),
    ("ft:babbage-002", Cl100kBase),
    ("gpt-4.5", O200kBase),
    ("gpt-oss", O200kHarmony),
    ("o4-", O200kBase),
    ("chatgpt-", O200kBase),
    ("codex-", O200kBase),
    ("computer-use-", O200kBase),
    ("gpt-audio", O200kBase),
    ("gpt-realtime", O200kBase),
    ("text-embedding-3-", Cl100kBase),
];

/// The encoding that OpenAI or Azure OpenAI uses for a model, if it is known.
///
/// Accepts every name that tiktoken knows, newer ones, and names with the address of a provider in front, such as
/// `openrouter/openai/gpt-4o`, `azure/gpt-35-turbo` and `openai.gpt-oss-120b-1:0`.
pub fn known_encoding(model: &str) -> Option<EncodingName> {
    let model = bare(model);
    NAMES
        .iter()
        .find(|(name, _)| *name == model)
        .or_else(|| PREFIXES.iter().find(|(prefix, _)| model.starts_with(prefix)))
        .map(|(_, encoding)| *encoding)
}

/// The encoding to count a model's tokens with: its own, or `o200k_base` as an estimate.
pub fn encoding_for(model: &str) -> ModelEncoding {
    match known_encoding(model) {
        Some(encoding) => ModelEncoding { encoding, exact: true },
        None => ModelEncoding { encoding: O200kBase, exact: false },
    }
}

/// A model's name without what providers and gateways put in front of it.
fn bare(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("openai.").unwrap_or(name)
}
