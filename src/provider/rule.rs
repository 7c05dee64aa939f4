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
}

/// A unit: the first of `slots` that was said.
pub(super) const fn unit(unit: Unit, slots: &'static [Slot]) -> Row {
    Row { unit, slots }
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

/// A dialect with its units in the order of the slots, so that only what was said is looked at.
#[derive(Debug)]
pub(super) struct Ready {
    dialect: Dialect,
    /// The slots that fill a unit.
    any: Slots,
    /// The row of each of them.
    row_of: [u8; Slot::COUNT],
    /// What the documentation counts beside the totals.
    added: Slots,
}

impl Ready {
    #[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)] // run by the compiler
    pub(super) const fn new(dialect: Dialect) -> Self {
        let (mut any, mut row_of, mut row) = (Slots::NONE, [0; Slot::COUNT], 0);
        while row < dialect.units.len() {
            let mut rest = dialect.units[row].slots;
            while let [slot, tail @ ..] = rest {
                assert!(!any.has(*slot), "a slot fills two units");
                any.add(*slot);
                row_of[*slot as usize] = row as u8;
                rest = tail;
            }
            row += 1;
        }
        let (mut added, mut rest) = (Slots::NONE, dialect.beside);
        while let [part, tail @ ..] = rest {
            if part.added {
                added = added.or(Slots::of(part.slots));
            }
            rest = tail;
        }
        Self { dialect, any, row_of, added }
    }

    /// Whether `facts` say anything that this dialect reads.
    #[inline]
    pub(super) const fn applies(&self, facts: &Facts) -> bool {
        facts.any(self.dialect.marks)
    }

    /// Fills in the counts that `facts` amount to. The totals are inclusive afterwards.
    pub(super) fn count(&self, facts: &Facts, counts: &mut Counts, flags: &mut Flags) {
        facts.said(self.any, |slot, count| {
            let row = self.row_of.get(slot).and_then(|row| self.dialect.units.get(usize::from(*row)));
            if let Some(Row { unit, slots }) = row {
                let count = if let [_] = slots { Some(count) } else { first(facts, slots) };
                counts.set(*unit, count.unwrap_or(0));
            }
        });
        self.totals(facts, counts, flags);
    }

    fn totals(&self, facts: &Facts, counts: &mut Counts, flags: &mut Flags) {
        let dialect = &self.dialect;
        let (input, output) = (first(facts, dialect.input), first(facts, dialect.output));
        let total = first(facts, dialect.total);
        if let (Some(input), Some(output), Some(total)) = (input, output, total)
            && input.saturating_add(output) == total
            && !facts.any(self.added)
        {
            counts.set(Unit::Input, input);
            counts.set(Unit::Output, output);
        } else {
            dialect.add_up(facts, [input, output, total], counts, flags);
        }
    }
}

impl Dialect {
    /// Makes totals of what was said as input, output and the provider's own total, by arithmetic.
    fn add_up(&self, facts: &Facts, said: [Option<u64>; 3], counts: &mut Counts, flags: &mut Flags) {
        let [input, output, total] = said;
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
                (Some(read), Some(wrote)) => {
                    let gap = total.saturating_sub(read.saturating_add(wrote));
                    if gap > 0 && facts.milliseconds().is_some_and(|heard| heard > 0) {
                        // Mistral counts what it heard in the total alone: 12.5 tokens a second, by half minutes.
                        input = Some(read.saturating_add(gap));
                        counts.add(Unit::InputAudio, gap);
                    } else if gap > 0 {
                        output = Some(wrote.saturating_add(gap));
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
