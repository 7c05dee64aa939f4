//! Place: a kind of JSON object, and what the members of such objects mean.
//!
//! Not here: what the members are called (`words`).

use super::slot::{Note, Slot};
use Place::{
    CacheDetail, Drawn, InputModality, Iteration, Model, OutputModality, Said, Statistics, ToolCall, ToolModality,
};

/// A kind of object that usage stands in, or on the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Place {
    /// The body, or an object that repeats the body's shape one level down.
    Body,
    /// The usage itself, under any of its names.
    Usage,
    /// What the input was made of.
    InputDetails,
    /// What the output was made of.
    OutputDetails,
    /// What the cached input was made of (OpenAI realtime).
    CachedDetails,
    /// Cache writes by lifetime (Anthropic).
    CacheCreation,
    /// Cache writes by lifetime, an item of a list (Bedrock).
    CacheDetail,
    /// Calls of the provider's own tools.
    ServerTools,
    /// Usage of hosted tools, beside that of the model (OpenAI).
    ToolUsage,
    /// What the model behind a tool that draws read and wrote (OpenAI).
    Drawn,
    /// Speech and text so far (Nova Sonic).
    Spoken,
    /// One round inside an answer (Anthropic).
    Iteration,
    /// What is billed (Cohere).
    Billed,
    /// What the model read and wrote (Cohere).
    Tokens,
    /// Meta data around usage (Cohere v1).
    Meta,
    /// One modality of the input (Gemini).
    InputModality,
    /// One modality of the output (Gemini).
    OutputModality,
    /// One modality of the tool-use prompt (Gemini).
    ToolModality,
    /// One result (watsonx, Titan).
    Result,
    /// One prediction (Vertex AI), one embedding (google-genai).
    Prediction,
    /// What one embedded text counted (Vertex AI).
    Statistics,
    /// One model of an application (DashScope).
    Model,
    /// One choice.
    Choice,
    /// What a chunk adds.
    Delta,
    /// A part of a turn (Gemini Live).
    Turn,
    /// A candidate (Gemini).
    Candidate,
    /// A message.
    Message,
    /// A part of a message; nothing but text is in it.
    Said,
    /// A tool call or its function.
    ToolCall,
    /// Counts that Bedrock adds to a stream.
    BedrockMetrics,
    /// Counts of a prediction (Replicate).
    Metrics,
    /// Cost, item by item.
    CostDetails,
    /// A piece of another body, in base64 (Bedrock).
    Wrapped,
    /// What boto3 says of an answer, with its headers inside.
    BotoMeta,
    /// Headers of an answer (Bedrock).
    Headers,
    /// How a text was generated (TGI).
    Generated,
    /// Groq's own corner; the last place.
    XGroq,
}

/// What a member means, by the type of its value.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))] // one step to hand it on
pub(crate) struct Means {
    /// Where a number or a numeric text goes.
    pub count: Option<Slot>,
    /// Where a text goes.
    pub note: Option<Note>,
    /// What an object is.
    pub object: Option<Place>,
    /// What the objects in an array are.
    pub items: Option<Place>,
    /// Number of this row among those that lead to a place, for finding members that stand twice.
    pub(super) door: u8,
}

impl Means {
    pub(super) const NOTHING: Self = Self { count: None, note: None, object: None, items: None, door: 0 };

    /// The choices of an answer.
    #[cfg(feature = "python")]
    pub(crate) const CHOICES: Self = items(Place::Choice);

    /// Whether a number or a text means something.
    #[cfg(feature = "python")]
    #[inline]
    pub(crate) const fn says_something(self) -> bool {
        self.count.is_some() || self.note.is_some()
    }

    /// Whether it leads to another place.
    #[cfg(feature = "python")]
    pub(crate) const fn leads(self) -> bool {
        self.object.is_some() || self.items.is_some()
    }

    pub(super) const fn or_object(self, place: Place) -> Self {
        Self { object: Some(place), ..self }
    }

    pub(super) const fn or_items(self, place: Place) -> Self {
        Self { items: Some(place), ..self }
    }

    pub(super) const fn or_text(self, note: Note) -> Self {
        Self { note: Some(note), ..self }
    }
}

pub(super) const fn count(slot: Slot) -> Means {
    Means { count: Some(slot), ..Means::NOTHING }
}

pub(super) const fn text(note: Note) -> Means {
    Means { note: Some(note), ..Means::NOTHING }
}

pub(super) const fn object(place: Place) -> Means {
    Means::NOTHING.or_object(place)
}

pub(super) const fn items(place: Place) -> Means {
    Means::NOTHING.or_items(place)
}

/// One name in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The kind of object the name stands in.
    #[cfg_attr(not(feature = "python"), allow(dead_code))]
    pub place: Place,
    /// The name.
    pub name: &'static str,
    /// What it means there.
    pub means: Means,
}

impl Place {
    /// Whether nothing but delivered text can stand here.
    pub(crate) const fn is_text(self) -> bool {
        matches!(self, Said | ToolCall)
    }

    /// Whether this is an item of a list, to be summed up when it is complete.
    pub(crate) const fn is_item(self) -> bool {
        matches!(
            self,
            InputModality
                | OutputModality
                | ToolModality
                | CacheDetail
                | Iteration
                | Drawn
                | Self::Result
                | Statistics
                | Model
        )
    }

    /// Slots that the items of a list of this place end in when they are complete.
    pub(super) const fn sums(self) -> &'static [Slot] {
        match self {
            InputModality | ToolModality => &[Slot::InText, Slot::InAudio, Slot::InImage, Slot::InVideo],
            OutputModality => &[Slot::OutText, Slot::OutAudio, Slot::OutImage],
            CacheDetail => &[Slot::Cache5m, Slot::Cache1h],
            Self::Result => &[Slot::ResultInput, Slot::ResultOutput],
            Statistics => &[Slot::ResultInput],
            Model => &[Slot::ModelInput, Slot::ModelOutput],
            _ => &[],
        }
    }
}
