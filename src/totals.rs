//! Totals: what several calls cost together, and what the host's own cache of answers spared.

use crate::usage::{Counts, Flags, Origin, Usage};

/// What several calls cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Their counts.
    pub counts: Counts,
    /// How many calls the provider reported on.
    pub reported: u64,
    /// How many calls were estimated.
    pub estimated: u64,
    /// How many calls nobody knows the counts of.
    pub unknown: u64,
    /// What whoever reads a bill should know.
    pub flags: Flags,
    /// What the host's own cache of answers spared; no part of the counts.
    pub savings: Savings,
}

/// What a cache of the host's own spared: calls that were not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Savings {
    /// How many calls.
    pub hits: u64,
    /// How many of them were estimated, for nobody knows what the first call had cost.
    pub estimated_hits: u64,
    /// The tokens that they would have cost, in and out.
    pub tokens: u64,
}

impl Savings {
    /// One call that was not made.
    pub fn hit(tokens: u64, estimated: bool) -> Self {
        Self { hits: 1, estimated_hits: estimated.into(), tokens }
    }

    /// Adds other savings.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.hits = self.hits.saturating_add(other.hits);
        self.estimated_hits = self.estimated_hits.saturating_add(other.estimated_hits);
        self.tokens = self.tokens.saturating_add(other.tokens);
    }
}

impl Totals {
    /// Adds one call, or a part of one: its first part counts as the call, the others bring their counts only.
    pub(crate) fn add(&mut self, usage: &Usage, part: u32) {
        self.counts.merge(usage.counts());
        self.flags = self.flags.union(usage.flags);
        if part > 0 {
            return;
        }
        let calls = match usage.origin {
            Origin::Reported => &mut self.reported,
            Origin::Estimated | Origin::Mixed => &mut self.estimated,
            Origin::Unknown => &mut self.unknown,
        };
        *calls = calls.saturating_add(1);
    }

    /// Adds other totals.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.flags = self.flags.union(other.flags);
        self.reported = self.reported.saturating_add(other.reported);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.unknown = self.unknown.saturating_add(other.unknown);
        self.savings.merge(&other.savings);
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.reported.saturating_add(self.estimated).saturating_add(self.unknown)
    }

    /// The origin of the counts together.
    pub fn origin(&self) -> Origin {
        match (self.reported, self.estimated, self.unknown) {
            (_, 0, 0) => Origin::Reported,
            (0, _, 0) => Origin::Estimated,
            (0, 0, _) => Origin::Unknown,
            _ => Origin::Mixed,
        }
    }

    /// The same as a Usage.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::new(self.counts, self.origin());
        usage.flags = usage.flags.union(self.flags);
        usage
    }
}
