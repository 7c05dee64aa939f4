//! Cohere: `tokens` is what the model read and wrote, `billed_units` is what is paid.
//!
//! Source: cohere SDK `Usage`, `ApiMeta`; read 2026-11-22. Reasoning is part of what the model wrote; seen 2026-11-28. Who
//! states only billed units (generate, embed) is taken at that.

use super::openai;
use super::rule::{Beside, Dialect, Side, unit};
use super::slot::{Slot, Slots};
use crate::unit::Unit;

/// Chat v1 and v2, generate, embed, rerank, classify.
pub(super) const COHERE: Dialect = Dialect {
    marks: Slots::of(&[
        Slot::TokensInput,
        Slot::TokensOutput,
        Slot::BilledInput,
        Slot::BilledOutput,
        Slot::BilledImage,
        Slot::SearchUnits,
        Slot::Classifications,
    ]),
    input: &[Slot::TokensInput, Slot::BilledInput],
    output: &[Slot::TokensOutput, Slot::BilledOutput],
    total: &[],
    beside: &[Beside { side: Side::Input, slots: &[Slot::BilledImage], added: true }],
    units: &[
        unit(Unit::CacheRead, &[Slot::Cached]),
        unit(Unit::Reasoning, &[Slot::DetailReasoning]),
        unit(Unit::InputImage, &[Slot::BilledImage]),
        unit(Unit::BillableInput, &[Slot::BilledInput]),
        unit(Unit::BillableOutput, &[Slot::BilledOutput]),
        unit(Unit::SearchUnits, &[Slot::SearchUnits]),
        unit(Unit::Classifications, &[Slot::Classifications]),
    ],
    ..openai::CHAT
};
