//! Gemini: thoughts stand beside the visible output, the prompt of tools beside the input.
//!
//! Source: google-genai 2.34 `GenerateContentResponseUsageMetadata`, interactions `Usage`; read 2026-11-22.

use super::rule::{Beside, Dialect, Side};
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
        (Unit::CacheRead, &[Slot::GeminiCached]),
        (Unit::Reasoning, &[Slot::GeminiThoughts]),
        (Unit::ToolPrompt, &[Slot::GeminiTools]),
        (Unit::InputText, &[Slot::InText]),
        (Unit::InputAudio, &[Slot::InAudio]),
        (Unit::InputImage, &[Slot::InImage]),
        (Unit::InputVideo, &[Slot::InVideo]),
        (Unit::OutputText, &[Slot::OutText]),
        (Unit::OutputAudio, &[Slot::OutAudio]),
        (Unit::OutputImage, &[Slot::OutImage]),
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
        (Unit::CacheRead, &[Slot::TotalCached]),
        (Unit::Reasoning, &[Slot::TotalThought]),
        (Unit::ToolPrompt, &[Slot::TotalTools]),
        (Unit::InputText, &[Slot::InText]),
        (Unit::InputAudio, &[Slot::InAudio]),
        (Unit::InputImage, &[Slot::InImage]),
        (Unit::InputVideo, &[Slot::InVideo]),
        (Unit::OutputText, &[Slot::OutText]),
        (Unit::OutputAudio, &[Slot::OutAudio]),
        (Unit::OutputImage, &[Slot::OutImage]),
    ],
    ..GENERATE
};
