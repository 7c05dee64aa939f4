//! Gemini: thoughts stand beside the visible output, the prompt of tools beside the input.
//!
//! Source: google-genai 2.34 `GenerateContentResponseUsageMetadata`, interactions `Usage`; read 2026-11-22.

use super::rule::{Beside, Dialect, Side, unit};
use super::slot::{Slot, Slots};
use crate::unit::Unit;

const VISIBLE: &[Slot] = &[Slot::GeminiCandidates, Slot::GeminiResponse, Slot::GeminiOmitted];

/// generateContent, Live, embeddings.
pub(super) const GENERATE: Dialect = Dialect {
    marks: Slots::of(&[
        Slot::GeminiPrompt,
        Slot::GeminiCandidates,
        Slot::GeminiResponse,
        Slot::GeminiThoughts,
        Slot::GeminiTools,
        Slot::GeminiOmitted,
    ]),
    input: &[Slot::GeminiPrompt, Slot::GeminiOmitted],
    output: VISIBLE,
    total: &[Slot::GeminiTotal],
    rest_is_output: true,
    beside: &[
        Beside { side: Side::Output, slots: &[Slot::GeminiThoughts], added: true },
        Beside { side: Side::Input, slots: &[Slot::GeminiTools], added: true },
    ],
    units: &[
        unit(Unit::CacheRead, &[Slot::GeminiCached]),
        unit(Unit::Reasoning, &[Slot::GeminiThoughts]),
        unit(Unit::ToolPrompt, &[Slot::GeminiTools]),
        unit(Unit::InputText, &[Slot::InText]),
        unit(Unit::InputAudio, &[Slot::InAudio]),
        unit(Unit::InputImage, &[Slot::InImage]),
        unit(Unit::InputVideo, &[Slot::InVideo]),
        unit(Unit::OutputText, &[Slot::OutText]),
        unit(Unit::OutputAudio, &[Slot::OutAudio]),
        unit(Unit::OutputImage, &[Slot::OutImage]),
    ],
};

/// Interactions.
pub(super) const INTERACTIONS: Dialect = Dialect {
    marks: Slots::of(&[Slot::TotalInput, Slot::TotalOutput]),
    input: &[Slot::TotalInput],
    output: &[Slot::TotalOutput],
    total: &[Slot::Total],
    beside: &[
        Beside { side: Side::Output, slots: &[Slot::TotalThought], added: true },
        Beside { side: Side::Input, slots: &[Slot::TotalTools], added: true },
    ],
    units: &[
        unit(Unit::CacheRead, &[Slot::TotalCached]),
        unit(Unit::Reasoning, &[Slot::TotalThought]),
        unit(Unit::ToolPrompt, &[Slot::TotalTools]),
        unit(Unit::InputText, &[Slot::InText]),
        unit(Unit::InputAudio, &[Slot::InAudio]),
        unit(Unit::InputImage, &[Slot::InImage]),
        unit(Unit::InputVideo, &[Slot::InVideo]),
        unit(Unit::OutputText, &[Slot::OutText]),
        unit(Unit::OutputAudio, &[Slot::OutAudio]),
        unit(Unit::OutputImage, &[Slot::OutImage]),
    ],
    ..GENERATE
};
