//! Health: what went wrong while reading, counted by reason.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why something could not be read as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A body or an event is not JSON.
    MalformedBody,
    /// A body or a stream ends inside a document.
    TruncatedBody,
    /// An answer says nothing of usage.
    NoUsage,
    /// A count is no count: negative, broken, a truth value, too large.
    BadCount,
    /// Reading failed by a mistake of ours.
    Panic,
    /// Something was handed over that is neither text nor an object with members.
    Unreadable,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::MalformedBody, Self::TruncatedBody, Self::NoUsage, Self::BadCount, Self::Panic, Self::Unreadable];

    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MalformedBody => "malformed_body",
            Self::TruncatedBody => "truncated_body",
            Self::NoUsage => "no_usage",
            Self::BadCount => "bad_count",
            Self::Panic => "panic",
            Self::Unreadable => "unreadable",
        }
    }
}

/// Counters by [`Reason`].
#[derive(Debug)]
pub struct Health {
    counts: [AtomicU64; Reason::ALL.len()],
}

/// The counters of this process.
pub static HEALTH: Health = Health::new();

impl Health {
    /// Counters at zero.
    pub const fn new() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; Reason::ALL.len()] }
    }

    /// Counts one more of `reason`.
    pub fn add(&self, reason: Reason) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every reason and how often it happened.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
