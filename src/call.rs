//! Call: one request to a model API, what it cost and who spent it.
//!
//! Who spent it is a set of [`Labels`], one text for each [`Dim`]. The labels of a call are those of the scope around
//! it, overlaid with its own.
//!
//! Not here: how calls add up (`run.rs`), who hears of them (`meter.rs`).

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::id::{Id, Micros};
use crate::usage::Usage;

macro_rules! dims {
    ($($(#[$doc:meta])* $variant:ident $name:literal)+) => {
        /// One thing that spending is told apart by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Dim { $($(#[$doc])* $variant),+ }

        impl Dim {
            /// Every dimension.
            pub const ALL: [Dim; [$(Dim::$variant),+].len()] = [$(Dim::$variant),+];

            /// How many dimensions there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name used at every door.
            pub const fn name(self) -> &'static str {
                match self { $(Dim::$variant => $name),+ }
            }
        }
    };
}

dims! {
    /// Whose API was called, by its OpenTelemetry name where it has one.
    Provider "provider"
    /// Model that answered.
    Model "model"
    /// `chat`, `embeddings`, `rerank`, `image2text`, `speech2text`, `tts`, `ocr`.
    Operation "operation"
    /// What the host needed the answer for: extract, glean, keyword, query, summary, …
    Role "role"
    /// Document that was being processed.
    Document "document"
    /// Upload or job that the document came with.
    TrackId "track_id"
    /// File that the document was read from.
    FilePath "file_path"
    /// Who pays.
    Tenant "tenant"
    /// Who asked.
    User "user"
    /// Conversation that the call belongs to.
    Session "session"
    /// Component of an agent that made the call.
    Component "component"
    /// Tool of an agent that made the call.
    Tool "tool"
}

impl Dim {
    /// The dimension of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dim| dim.name() == name)
    }
}

/// At most one text for each [`Dim`], borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelsRef<'a> {
    /// One bit a dimension that is set, so that the many empty ones cost nothing.
    set: u16,
    texts: [Option<&'a str>; Dim::COUNT],
}

const _: () = assert!(Dim::COUNT <= 16, "LabelsRef::set has one bit a dimension");

#[allow(clippy::indexing_slicing)] // one entry a dimension
impl<'a> LabelsRef<'a> {
    /// The label of `dim`.
    pub const fn get(&self, dim: Dim) -> Option<&'a str> {
        self.texts[dim as usize]
    }

    /// Sets the label of `dim`; `None` leaves it as it is.
    pub const fn set(&mut self, dim: Dim, label: Option<&'a str>) {
        if label.is_some() {
            self.set |= 1 << dim as u8;
            self.texts[dim as usize] = label;
        }
    }

    /// Takes the labels that are not set here from `lower`.
    pub fn underlay(&mut self, lower: &'a Labels) {
        for at in bits(lower.set & !self.set) {
            self.texts[at] = lower.texts[at].as_deref();
        }
        self.set |= lower.set;
    }

    /// The same with borrowed labels.
    pub fn underlay_ref(&mut self, lower: &LabelsRef<'a>) {
        for at in bits(lower.set & !self.set) {
            self.texts[at] = lower.texts[at];
        }
        self.set |= lower.set;
    }
}

/// At most one text for each [`Dim`], cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    set: u16,
    texts: [Option<Arc<str>>; Dim::COUNT],
}

#[allow(clippy::indexing_slicing)] // one entry a dimension
impl Labels {
    /// Labels that own copies of `labels`.
    pub fn from_ref(labels: &LabelsRef<'_>) -> Self {
        let mut owned = Self { set: labels.set, ..Self::default() };
        for at in bits(labels.set) {
            owned.texts[at] = labels.texts[at].map(Arc::from);
        }
        owned
    }

    /// The label of `dim`.
    pub fn get(&self, dim: Dim) -> Option<&str> {
        self.texts[dim as usize].as_deref()
    }

    /// The label of `dim`, to keep.
    pub(crate) fn shared(&self, dim: Dim) -> Option<Arc<str>> {
        self.texts[dim as usize].clone()
    }

    /// Replaces the label of `dim`.
    pub fn set(&mut self, dim: Dim, label: &str) {
        self.set |= 1 << dim as u8;
        self.texts[dim as usize] = Some(Arc::from(label));
    }

    /// The same, borrowed.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        let mut labels = LabelsRef::default();
        labels.underlay(self);
        labels
    }

    /// Whether these are the same labels.
    pub(crate) fn matches(&self, labels: &LabelsRef<'_>) -> bool {
        self.set == labels.set && bits(self.set).all(|at| self.texts[at].as_deref() == labels.texts[at])
    }

    /// The labels that are set.
    pub fn iter(&self) -> impl Iterator<Item = (Dim, &str)> {
        Dim::ALL.into_iter().filter_map(|dim| Some((dim, self.get(dim)?)))
    }
}

impl Hash for LabelsRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.set.hash(state);
        bits(self.set).filter_map(|at| self.texts.get(at)).for_each(|text| text.hash(state));
    }
}

/// The positions of the bits that are set.
fn bits(mut set: u16) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (set != 0).then_some(set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(at)
    })
}

/// One request to a model API.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Unique, for ever and everywhere.
    pub id: Id,
    /// When it was recorded.
    pub at: Micros,
    /// 1 for the first try of the host, 2 for the next, …
    pub attempt: u32,
    /// 0, or which part it is of a call that several share; the parts have one id and add up to the call.
    pub part: u32,
    /// Innermost run around it.
    pub run: Option<Id>,
    /// Who spent it.
    pub labels: Labels,
    /// What it cost.
    pub usage: Usage,
}
