//! Rule: how the numbers of a dialect add up. The same few lines read every table.

use super::facts::Facts;
use super::slot::{Slot, Slots};
use crate::unit::Unit;
use crate::usage::{Counts, Flag, Flags};

/// Which total a number may have to be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// A number that some providers count inside a total and others beside it. The provider's own total decides; without
/// one, `added` does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) side: Side,
    /// The first of these that was said.
    pub(super) slots: &'static [Slot],
    /// Whether the provider's documentation counts it beside the total.
    pub(super) added: bool,
}

/// A unit: the first of its slots that was said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    unit: Unit,
    slots: &'static [Slot],
    any: Slots,
}

/// A unit: the first of `slots` that was said.
pub(super) const fn unit(unit: Unit, slots: &'static [Slot]) -> Row {
    Row { unit, slots, any: Slots::of(slots) }
}

/// How one family of providers reports usage.
#[derive(Debug)]
pub(super) struct Dialect {
    /// The dialect applies if any of these was said.
    pub(super) marks: Slots,
    /// The input: the first of these that was said.
    pub(super) input: &'static [Slot],
    /// The output: the first of these that was said.
    pub(super) output: &'static [Slot],
    /// The provider's own total.
    pub(super) total: &'static [Slot],
    /// Whether a total without an output leaves the output; otherwise it is what was put in.
    pub(super) rest_is_output: bool,
    /// What may have to be added to input and output.
    pub(super) beside: &'static [Beside],
    /// Units, each the first of its slots that was said.
    pub(super) units: &'static [Row],
}

/// At most this many numbers can stand beside the totals of one dialect.
const MOST_BESIDE: usize = 3;

impl Dialect {
    /// The counts that `facts` amount to. The totals are inclusive afterwards.
    pub(super) fn counts(&self, facts: &Facts, flags: &mut Flags) -> Counts {
        let mut counts = Counts::default();
        for row in self.units {
            if facts.any(row.any)
                && let Some(count) = first(facts, row.slots)
            {
                counts.set(row.unit, count);
            }
        }
        self.totals(facts, &mut counts, flags);
        counts
    }

    fn totals(&self, facts: &Facts, counts: &mut Counts, flags: &mut Flags) {
        let (input, output) = (first(facts, self.input), first(facts, self.output));
        let total = first(facts, self.total);
        let mut beside = [0; MOST_BESIDE];
        let mut chosen = 0_u8;
        for (at, (count, part)) in beside.iter_mut().zip(self.beside).enumerate() {
            *count = first(facts, part.slots).unwrap_or(0);
            if part.added && *count > 0 {
                chosen |= 1 << at;
            }
        }
        let base = input.unwrap_or(0).saturating_add(output.unwrap_or(0));
        let sum = |choice: u8| {
            let picked = beside.iter().enumerate().filter(|(at, _)| choice & (1 << at) != 0);
            picked.fold(base, |sum, (_, count)| sum.saturating_add(*count))
        };
        if let Some(total) = total
            && sum(chosen) != total
            && input.is_some()
            && output.is_some()
        {
            let fits = |choice: &u8| sum(*choice) == total;
            chosen = (0..1 << MOST_BESIDE).rev().find(fits).unwrap_or(chosen);
        }
        let added = |side| {
            let parts = beside.iter().zip(self.beside).enumerate();
            let parts = parts.filter(|(at, (_, part))| chosen & (1 << at) != 0 && part.side == side);
            parts.map(|(_, (count, _))| *count).reduce(u64::saturating_add)
        };
        let plus = |count: Option<u64>, more: Option<u64>| match (count, more) {
            (Some(count), Some(more)) => Some(count.saturating_add(more)),
            (count, more) => count.or(more),
        };
        let mut input = plus(input, added(Side::Input));
        let mut output = plus(output, added(Side::Output));
        if let Some(total) = total {
            match (input, output) {
                (None, None) => (input, output) = (Some(total), Some(0)),
                (None, Some(output)) => input = total.checked_sub(output),
                // What embeds or ranks reports its input and a total, which is what it bills.
                (Some(_), None) if self.rest_is_output => output = total.checked_sub(input.unwrap_or(0)),
                (Some(count), None) => (input, output) = (Some(count.max(total)), Some(0)),
                (Some(input), Some(count)) => {
                    let gap = total.saturating_sub(input.saturating_add(count));
                    if gap > 0 {
                        output = Some(count.saturating_add(gap));
                        flags.set(Flag::Gap);
                    }
                }
            }
        }
        for (unit, count) in [(Unit::Input, input), (Unit::Output, output)] {
            if let Some(count) = count {
                counts.set(unit, count);
            }
        }
    }
}

/// The first of `slots` that was said.
#[inline]
pub(super) fn first(facts: &Facts, slots: &[Slot]) -> Option<u64> {
    slots.iter().find_map(|slot| facts.get(*slot))
}
