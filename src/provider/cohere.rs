//! Cohere: `tokens` is what the model read and wrote, `billed_units` is what is paid.
//!
//! Source: cohere SDK `Usage`, `ApiMeta`; read 2026-11-22. Who states only billed units (generate, embed) is taken
//! at that.

use super::openai;
use super::rule::{Beside, Dialect, Side};
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
        (Unit::CacheRead, &[Slot::Cached]),
        (Unit::InputImage, &[Slot::BilledImage]),
        (Unit::BillableInput, &[Slot::BilledInput]),
        (Unit::BillableOutput, &[Slot::BilledOutput]),
        (Unit::SearchUnits, &[Slot::SearchUnits]),
        (Unit::Classifications, &[Slot::Classifications]),
    ],
    ..openai::CHAT
};
