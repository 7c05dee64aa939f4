//! OpenAI's chat shape, which most providers speak, and its responses shape.
//!
//! Source: openai 3.54.0 `CompletionUsage`, `CreateEmbeddingResponse`, `ResponseUsage`; xAI counts reasoning beside
//! the completion; Perplexity counts reasoning and citations beside both; read 2026-11-22.

use super::rule::{Beside, Dialect, Side};
use super::slot::{Slot, Slots};
use crate::unit::Unit;

const CACHED: &[Slot] = &[
    Slot::DetailCached,
    Slot::Cached,
    Slot::NumCached,
    Slot::CacheHit,
    Slot::CachedText,
    Slot::CacheRead,
    Slot::CacheReadAgain,
];
const CACHE_WRITE: &[Slot] = &[
    Slot::DetailCacheWrite,
    Slot::DetailCacheCreation,
    Slot::DetailCacheCreationInput,
    Slot::CacheWrite,
    Slot::CacheWriteAgain,
];
const REASONING: &[Slot] = &[Slot::DetailReasoning, Slot::DetailThinking, Slot::Reasoning];

const UNITS: &[(Unit, &[Slot])] = &[
    (Unit::CacheRead, CACHED),
    (Unit::CacheWrite, CACHE_WRITE),
    (Unit::CacheWrite5m, &[Slot::Cache5m]),
    (Unit::CacheWrite1h, &[Slot::Cache1h]),
    (Unit::InputText, &[Slot::InText, Slot::PromptText]),
    (Unit::InputAudio, &[Slot::InAudio, Slot::PromptAudio]),
    (Unit::InputImage, &[Slot::InImage, Slot::PromptImage, Slot::UsageImage]),
    (Unit::InputVideo, &[Slot::InVideo, Slot::UsageVideo]),
    (Unit::Citation, &[Slot::Citation]),
    (Unit::Reasoning, REASONING),
    (Unit::OutputText, &[Slot::OutText]),
    (Unit::OutputAudio, &[Slot::OutAudio]),
    (Unit::OutputImage, &[Slot::OutImage]),
    (Unit::AcceptedPrediction, &[Slot::Accepted]),
    (Unit::RejectedPrediction, &[Slot::Rejected]),
    (Unit::WebSearches, &[Slot::WebSearches]),
];

/// Chat, legacy completions, assistants, embeddings.
pub(super) const CHAT: Dialect = Dialect {
    marks: Slots::of(&[Slot::Prompt, Slot::Completion]),
    input: &[Slot::Prompt],
    output: &[Slot::Completion],
    total: &[Slot::Total],
    rest_is_output: false,
    beside: &[
        Beside { side: Side::Output, slots: REASONING, added: false },
        Beside { side: Side::Input, slots: &[Slot::Citation], added: false },
    ],
    units: UNITS,
};

/// The same from a provider that counts reasoning and citations beside the totals: xAI, Perplexity.
pub(super) const CHAT_BESIDE: Dialect = Dialect {
    beside: &[
        Beside { side: Side::Output, slots: REASONING, added: true },
        Beside { side: Side::Input, slots: &[Slot::Citation], added: true },
    ],
    ..CHAT
};

/// Responses, images, transcriptions, realtime; also `DashScope`'s own.
pub(super) const RESPONSES: Dialect =
    Dialect { marks: Slots::of(&[Slot::Input, Slot::Output]), input: &[Slot::Input], output: &[Slot::Output], ..CHAT };

/// Somebody who states a total and nothing else: embeddings and rerankers of Voyage, Jina, `DashScope`.
pub(super) const TOTAL: Dialect = Dialect {
    marks: Slots::of(&[Slot::Total, Slot::BodyTotal]),
    input: &[],
    output: &[],
    total: &[Slot::Total, Slot::BodyTotal],
    units: &[(Unit::InputText, &[Slot::UsageText]), (Unit::InputImage, &[Slot::UsageImage])],
    ..CHAT
};
