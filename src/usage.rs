//! Usage: what one call cost, or what several cost together.
//!
//! Totals are inclusive, subsets never exceed their total, unknown is `None` and never 0, counters saturate.
//! [`Counts`] holds the numbers and keeps these rules however it is filled; [`Usage`] adds where they came from.
//!
//! Not here: how a provider says it (`provider/`), who spent it (`call.rs`).

pub use crate::counts::Counts;
use crate::name::Name;
use crate::unit::Unit;

/// Where the counts came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The provider said so.
    #[default]
    Reported,
    /// We counted text.
    Estimated,
    /// The call happened and nobody knows its counts.
    Unknown,
    /// A sum over calls of different origins; no single call has it.
    Mixed,
}

impl Origin {
    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
            Self::Mixed => "mixed",
        }
    }

    /// The origin of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reported, Self::Estimated, Self::Unknown, Self::Mixed].into_iter().find(|o| o.name() == name)
    }

    fn with(self, other: Self) -> Self {
        if self == other { self } else { Self::Mixed }
    }
}

/// Something about a Usage that whoever reads a bill should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Flag {
    /// A subset exceeded its total and was cut to it.
    Clamped = 1,
    /// A subset was given without its total; the total is at least that.
    Inferred = 1 << 1,
    /// The provider's own total was larger than input and output; the rest was counted as output.
    Gap = 1 << 2,
    /// A count was not a number, negative or too large and was left out or cut.
    Malformed = 1 << 3,
    /// The stream or body ended before its end.
    Truncated = 1 << 4,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 5] = [Self::Clamped, Self::Inferred, Self::Gap, Self::Malformed, Self::Truncated];

    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clamped => "clamped",
            Self::Inferred => "inferred",
            Self::Gap => "gap",
            Self::Malformed => "malformed",
            Self::Truncated => "truncated",
        }
    }
}

/// A set of [`Flag`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u16);

impl Flags {
    /// Adds `flag`.
    pub fn set(&mut self, flag: Flag) {
        self.0 |= flag as u16;
    }

    /// Whether `flag` is in the set.
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag as u16 != 0
    }

    /// The flags of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// One bit a flag.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// The flags of those bits.
    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The flags that are set.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }
}

/// What a provider says about a call beside its counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// Provider that answered, by its OpenTelemetry name where it has one: `openai`, `anthropic`, `gcp.gemini`, …
    pub provider: Name,
    /// Model that answered, as the provider names it.
    pub model: Name,
    /// The provider's id of the answer.
    pub response_id: Name,
    /// Service tier the provider says it served.
    pub service_tier: Name,
    /// What the provider says the call cost, an exact decimal in US dollars.
    pub cost: Name,
    /// Usage of other models inside the same answer (Anthropic's advisor), not part of the counts.
    pub others: Vec<Usage>,
}

impl About {
    fn is_empty(&self) -> bool {
        let Self { provider, model, response_id, service_tier, cost, others } = self;
        others.is_empty() && [provider, model, response_id, service_tier, cost].into_iter().all(Name::is_none)
    }
}

/// The token counts of one call, or a sum of several.
///
/// `input` and `output` are inclusive totals, every other token count is a subset of one of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    counts: Counts,
    /// Where the counts came from.
    pub origin: Origin,
    /// What whoever reads a bill should know.
    pub flags: Flags,
    about: Option<Box<About>>,
}

impl Usage {
    /// A Usage of these counts, with the rules between units enforced.
    #[inline]
    pub fn new(mut counts: Counts, origin: Origin) -> Self {
        let flags = counts.settle();
        Self { counts, origin, flags, about: None }
    }

    /// Takes the counts that `fill` puts in, with the rules between units enforced and the flags that it returns.
    #[inline]
    pub(crate) fn report(&mut self, fill: impl FnOnce(&mut Counts) -> Flags) {
        self.flags = fill(&mut self.counts);
        self.flags = self.flags.union(self.counts.settle());
    }

    /// The Usage of a call of which no more than the totals is reported; nothing there is to be settled.
    #[inline]
    pub fn of_totals(input: Option<u64>, output: Option<u64>) -> Self {
        let mut usage = Self::unknown();
        for (unit, count) in [(Unit::Input, input), (Unit::Output, output)] {
            if let Some(count) = count {
                usage.counts.set(unit, count);
                usage.origin = Origin::Reported;
            }
        }
        usage
    }

    /// The Usage of a call that happened and whose counts nobody knows.
    #[inline]
    pub fn unknown() -> Self {
        Self { counts: Counts::UNKNOWN, origin: Origin::Unknown, flags: Flags::default(), about: None }
    }

    /// The same with what else the provider said.
    #[must_use]
    pub fn with_about(mut self, about: About) -> Self {
        self.set_about(Some(Box::new(about)));
        self
    }

    /// Says what else the provider said.
    #[inline]
    pub(crate) fn set_about(&mut self, about: Option<Box<About>>) {
        self.about = about.filter(|about| !about.is_empty());
    }

    /// The count of `unit`, if it is known.
    pub const fn get(&self, unit: Unit) -> Option<u64> {
        self.counts.get(unit)
    }

    /// All counts.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Input plus output. `None` unless both are known.
    pub fn total(&self) -> Option<u64> {
        self.counts.total()
    }

    /// What the provider said beside the counts.
    pub fn about(&self) -> Option<&About> {
        self.about.as_deref()
    }

    /// Divides the counts in proportion to `weights`, by largest remainder: the parts add up to the whole exactly, and
    /// in each of them subsets stay within their totals. Equal parts where all weights are 0.
    pub fn split(&self, weights: &[u64]) -> Vec<Usage> {
        let mut parts = vec![Usage { counts: Counts::UNKNOWN, ..self.clone() }; weights.len()];
        for (unit, count) in self.counts.iter() {
            let mut room: Vec<u64> = parts
                .iter()
                .map(|part| unit.parent().and_then(|parent| part.get(parent)).unwrap_or(u64::MAX))
                .collect();
            for ((part, share), room) in parts.iter_mut().zip(apportion(count, weights)).zip(&mut room) {
                part.counts.set(unit, share.min(*room));
                *room -= share.min(*room);
            }
            // What rounding took beyond a total finds room in other parts, for the totals together have enough.
            let mut left = count - parts.iter().filter_map(|part| part.get(unit)).sum::<u64>().min(count);
            for (part, room) in parts.iter_mut().zip(room) {
                part.counts.add(unit, left.min(room));
                left -= left.min(room);
            }
        }
        parts
    }

    /// Adds the counts of `other`. Where the origins differ the sum is [`Origin::Mixed`]; of provider, model and the
    /// rest only what both say alike is kept.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.flags = self.flags.union(other.flags);
        self.origin = self.origin.with(other.origin);
        self.about = match (self.about.take(), &other.about) {
            (Some(mine), Some(theirs)) if mine == *theirs => Some(mine),
            (Some(mine), Some(theirs)) => {
                let alike = |a: Name, b: &Name| if a == *b { a } else { Name::NONE };
                let about = About {
                    provider: alike(mine.provider, &theirs.provider),
                    model: alike(mine.model, &theirs.model),
                    ..About::default()
                };
                (!about.is_empty()).then(|| Box::new(about))
            }
            _ => None,
        };
    }
}

/// Divides `count` in proportion to `weights`, by largest remainder; ties go to the earlier part.
fn apportion(count: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    let weight = |at: &u64| if sum == 0 { 1 } else { u128::from(*at) };
    let sum = if sum == 0 { weights.len() as u128 } else { sum };
    // A count and a weight have 64 bits each, so their product fits.
    let quotas: Vec<u128> = weights.iter().map(|at| u128::from(count) * weight(at)).collect();
    let mut parts: Vec<u64> = quotas.iter().map(|quota| u64::try_from(quota / sum).unwrap_or(u64::MAX)).collect();
    let left = count - parts.iter().sum::<u64>();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(quotas.get(*at).map(|quota| quota % sum)));
    for at in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        if let Some(part) = parts.get_mut(at) {
            *part += 1;
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts() -> impl Strategy<Value = Counts> {
        let count = prop_oneof![0..5_u64, 0..1_000_000_u64, Just(u64::MAX), Just(u64::MAX - 1)];
        // From hardly anything known to nearly everything.
        let counts = prop_oneof![Just(0.1), Just(0.5), Just(0.9)].prop_flat_map(move |share| {
            proptest::collection::vec(proptest::option::weighted(share, count.clone()), Unit::COUNT)
        });
        counts.prop_map(|values| {
            let mut counts = Counts::default();
            for (unit, value) in Unit::ALL.into_iter().zip(values) {
                if let Some(value) = value {
                    counts.set(unit, value);
                }
            }
            counts
        })
    }

    fn keeps_the_rules(counts: &Counts) -> bool {
        Unit::ALL.into_iter().all(|unit| match (counts.get(unit), unit.parent()) {
            (Some(count), Some(parent)) => counts.get(parent).is_some_and(|total| count <= total),
            _ => true,
        })
    }

    proptest! {
        #[test]
        fn a_usage_keeps_the_rules_whatever_it_is_made_of(counts in counts()) {
            let usage = Usage::new(counts, Origin::Reported);
            prop_assert!(keeps_the_rules(usage.counts()));
            prop_assert_eq!(usage.flags == Flags::default(), *usage.counts() == counts);
        }

        #[test]
        fn a_known_total_is_never_changed_by_its_subsets(counts in counts()) {
            let usage = Usage::new(counts, Origin::Reported);
            for unit in [Unit::Input, Unit::Output] {
                if let Some(total) = counts.get(unit) {
                    prop_assert_eq!(usage.get(unit), Some(total));
                }
            }
        }

        #[test]
        fn a_sum_keeps_the_rules_and_does_not_depend_on_the_order(a in counts(), b in counts(), c in counts()) {
            let [a, b, c] = [a, b, c].map(|counts| Usage::new(counts, Origin::Reported));
            let sum = |parts: [&Usage; 3]| {
                let mut sum = Counts::default();
                for part in parts {
                    sum.merge(part.counts());
                }
                sum
            };
            let abc = sum([&a, &b, &c]);
            prop_assert!(keeps_the_rules(&abc));
            prop_assert_eq!(abc, sum([&c, &a, &b]));
        }
    }

    proptest! {
        #[test]
        fn the_parts_of_a_usage_keep_the_rules_and_add_up_to_it(
            counts in counts(),
            weights in proptest::collection::vec(prop_oneof![Just(0), 1..5_u64, any::<u64>()], 1..6),
        ) {
            let whole = Usage::new(counts, Origin::Reported);
            let parts = whole.split(&weights);
            prop_assert_eq!(parts.len(), weights.len());
            let mut sum = Counts::default();
            for part in &parts {
                prop_assert!(keeps_the_rules(part.counts()));
                sum.merge(part.counts());
            }
            prop_assert_eq!(&sum, whole.counts());
        }

        #[test]
        fn a_part_is_less_than_one_away_from_its_quota(count in 0..1_000_000_u64, weights in proptest::collection::vec(1..1000_u64, 1..8)) {
            let sum: u64 = weights.iter().sum();
            for (part, weight) in apportion(count, &weights).into_iter().zip(&weights) {
                prop_assert!((part * sum).abs_diff(count * weight) < sum);
            }
        }
    }

    #[test]
    fn unknown_is_not_zero() {
        let mut zero = Counts::default();
        zero.set(Unit::Input, 0);
        assert_ne!(zero, Counts::UNKNOWN);
        assert_eq!(zero.total(), None);
    }
}
