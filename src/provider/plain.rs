//! Providers that say one input and one output and nothing else.
//!
//! Source: ollama SDK `BaseGenerateResponse`; watsonx text generation; Bedrock user guide, model parameters of Titan
//! and Llama, `amazon-bedrock-invocationMetrics`, response headers; dashscope 2.0.2 applications; read 2026-11-22.

use super::openai;
use super::rule::{Beside, Dialect, Side, unit};
use super::slot::{Slot, Slots};
use crate::unit::Unit;

const PLAIN: Dialect = Dialect { total: &[], beside: &[], units: &[], ..openai::CHAT };

/// Ollama's own API. A prompt that is wholly cached is left out, and so stays unknown.
pub(super) const OLLAMA: Dialect = Dialect {
    marks: Slots::of(&[Slot::PromptEval, Slot::Eval]),
    input: &[Slot::PromptEval],
    output: &[Slot::Eval],
    ..PLAIN
};

/// watsonx, Titan and Vertex AI, a list of results.
pub(super) const RESULTS: Dialect = Dialect {
    marks: Slots::of(&[Slot::ResultInput, Slot::ResultOutput, Slot::TitanInput]),
    input: &[Slot::ResultInput, Slot::TitanInput, Slot::MetricsInput, Slot::HeaderInput],
    output: &[Slot::ResultOutput, Slot::TitanOutput, Slot::MetricsOutput, Slot::HeaderOutput],
    ..PLAIN
};

/// Llama on Bedrock.
pub(super) const LLAMA: Dialect = Dialect {
    marks: Slots::of(&[Slot::LlamaPrompt, Slot::LlamaGeneration]),
    input: &[Slot::LlamaPrompt, Slot::MetricsInput, Slot::HeaderInput],
    output: &[Slot::LlamaGeneration, Slot::MetricsOutput, Slot::HeaderOutput],
    ..PLAIN
};

/// Applications of `DashScope`, a list of models.
pub(super) const MODELS: Dialect = Dialect {
    marks: Slots::of(&[Slot::ModelInput, Slot::ModelOutput]),
    input: &[Slot::ModelInput],
    output: &[Slot::ModelOutput],
    ..PLAIN
};

/// What Bedrock and Replicate add to an answer whose body says nothing.
pub(super) const METRICS: Dialect = Dialect {
    marks: Slots::of(&[Slot::MetricsInput, Slot::MetricsOutput]),
    input: &[Slot::MetricsInput],
    output: &[Slot::MetricsOutput],
    beside: &[
        Beside { side: Side::Input, slots: &[Slot::MetricsCacheRead], added: true },
        Beside { side: Side::Input, slots: &[Slot::MetricsCacheWrite], added: true },
    ],
    units: &[unit(Unit::CacheRead, &[Slot::MetricsCacheRead]), unit(Unit::CacheWrite, &[Slot::MetricsCacheWrite])],
    ..PLAIN
};

/// Bedrock's headers, where neither body nor metrics say anything.
pub(super) const HEADERS: Dialect = Dialect {
    marks: Slots::of(&[Slot::HeaderInput, Slot::HeaderOutput]),
    input: &[Slot::HeaderInput],
    output: &[Slot::HeaderOutput],
    beside: &[
        Beside { side: Side::Input, slots: &[Slot::HeaderCacheRead], added: true },
        Beside { side: Side::Input, slots: &[Slot::HeaderCacheWrite], added: true },
    ],
    units: &[unit(Unit::CacheRead, &[Slot::HeaderCacheRead]), unit(Unit::CacheWrite, &[Slot::HeaderCacheWrite])],
    ..PLAIN
};
