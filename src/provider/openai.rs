//! OpenAI's chat shape, which most providers speak, and its responses shape.
//!
//! Source: openai 3.54.0 `CompletionUsage`, `CreateEmbeddingResponse`, `ResponseUsage`; xAI counts reasoning beside
//! the completion; Perplexity counts reasoning and citations beside both; read 2026-11-22. Mistral's agents guide counts
//! what connectors brought beside the prompt, and its chat what it heard; read 2026-11-28.

use super::rule::{Beside, Dialect, Row, Side, unit};
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

const AUDIO: &[Slot] = &[Slot::InAudio, Slot::PromptAudio];

const UNITS: &[Row] = &[
    unit(Unit::CacheRead, CACHED),
    unit(Unit::CacheWrite, CACHE_WRITE),
    unit(Unit::CacheWrite5m, &[Slot::Cache5m]),
    unit(Unit::CacheWrite1h, &[Slot::Cache1h]),
    unit(Unit::InputText, &[Slot::InText, Slot::PromptText]),
    unit(Unit::InputAudio, AUDIO),
    unit(Unit::InputImage, &[Slot::InImage, Slot::PromptImage, Slot::UsageImage]),
    unit(Unit::InputVideo, &[Slot::InVideo, Slot::UsageVideo]),
    unit(Unit::ToolPrompt, &[Slot::Connector]),
    unit(Unit::Citation, &[Slot::Citation]),
    unit(Unit::Reasoning, REASONING),
    unit(Unit::OutputText, &[Slot::OutText]),
    unit(Unit::OutputAudio, &[Slot::OutAudio]),
    unit(Unit::OutputImage, &[Slot::OutImage]),
    unit(Unit::AcceptedPrediction, &[Slot::Accepted]),
    unit(Unit::RejectedPrediction, &[Slot::Rejected]),
    unit(Unit::WebSearches, &[Slot::WebSearches]),
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
        Beside { side: Side::Input, slots: &[Slot::Connector], added: true },
        Beside { side: Side::Input, slots: AUDIO, added: false },
    ],
    units: UNITS,
};

/// xAI: reasoning stands beside the completion, and the total has it in.
pub(super) const XAI: Dialect =
    Dialect { beside: &[Beside { side: Side::Output, slots: REASONING, added: true }], ..CHAT };

/// Perplexity: reasoning and citations stand beside, are paid for, and the total leaves them out.
pub(super) const PERPLEXITY: Dialect = Dialect {
    total: &[],
    beside: &[
        Beside { side: Side::Output, slots: &[Slot::Reasoning], added: true },
        Beside { side: Side::Input, slots: &[Slot::Citation], added: true },
    ],
    ..CHAT
};

/// Responses, images, transcriptions, realtime; also `DashScope`'s own and LM Studio's.
pub(super) const RESPONSES: Dialect = Dialect {
    marks: Slots::of(&[Slot::Input, Slot::Output]),
    input: &[Slot::Input],
    output: &[Slot::Output, Slot::TotalOutput],
    ..CHAT
};

/// Somebody who states a total and nothing else: embeddings and rerankers of Voyage, Jina, `DashScope`.
pub(super) const TOTAL: Dialect = Dialect {
    marks: Slots::of(&[Slot::Total, Slot::BodyTotal]),
    input: &[],
    output: &[],
    total: &[Slot::Total, Slot::BodyTotal],
    units: &[unit(Unit::InputText, &[Slot::UsageText]), unit(Unit::InputImage, &[Slot::UsageImage])],
    ..CHAT
};
