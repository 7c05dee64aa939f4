//! Item: one entry of a list that usage is divided into: a modality, a lifetime, a round.

use super::slot::Slot;

/// Usage inside an answer that is not plainly part of its totals (Anthropic's iterations).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Iteration {
    pub(super) label: Label,
    pub(super) model: Option<Box<str>>,
    pub(super) input: Option<u64>,
    pub(super) output: Option<u64>,
    pub(super) cache_read: Option<u64>,
    pub(super) cache_write: Option<u64>,
}

/// What an item of a list is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Label {
    #[default]
    None,
    Text,
    Audio,
    Image,
    Video,
    FiveMinutes,
    OneHour,
    Compaction,
    Advisor,
    /// What a tool that draws has used; no text says so.
    Drawn,
    Fallback,
    Other,
}

impl Label {
    pub(super) fn read(text: &str) -> Self {
        match text {
            "TEXT" | "text" => Self::Text,
            "AUDIO" | "audio" => Self::Audio,
            // A page of a document is shown to the model as an image.
            "IMAGE" | "image" | "DOCUMENT" | "document" => Self::Image,
            "VIDEO" | "video" => Self::Video,
            "5m" => Self::FiveMinutes,
            "1h" => Self::OneHour,
            "compaction" => Self::Compaction,
            "advisor_message" => Self::Advisor,
            "fallback_message" => Self::Fallback,
            _ => Self::Other,
        }
    }

    pub(super) const fn input(self) -> Option<Slot> {
        match self {
            Self::Text => Some(Slot::InText),
            Self::Audio => Some(Slot::InAudio),
            Self::Image => Some(Slot::InImage),
            Self::Video => Some(Slot::InVideo),
            _ => None,
        }
    }

    pub(super) const fn output(self) -> Option<Slot> {
        match self {
            Self::Text => Some(Slot::OutText),
            Self::Audio => Some(Slot::OutAudio),
            Self::Image => Some(Slot::OutImage),
            _ => None,
        }
    }

    pub(super) const fn lifetime(self) -> Option<Slot> {
        match self {
            Self::FiveMinutes => Some(Slot::Cache5m),
            Self::OneHour => Some(Slot::Cache1h),
            _ => None,
        }
    }
}
