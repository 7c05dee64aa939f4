//! Limit: what may be spent, by whom, on what, in which time; and the counter that a call falls on.

use super::period::{Period, Rolling};
use crate::call::Dim;
use crate::error::{Error, Kind, Result};
use crate::id::Micros;

/// What a limit can be told apart by.
pub const SCOPE: [Dim; 4] = [Dim::Tenant, Dim::User, Dim::Model, Dim::Operation];

/// Who spends: one label for each of [`SCOPE`].
pub type Who<'a> = [Option<&'a str>; SCOPE.len()];

/// The largest amount that is told from a larger one, so that sums stay within 64 bits.
pub const MOST: u64 = 1_000_000_000_000_000_000;

macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $text:literal)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The name used at every door.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// What has that name.
            pub fn from_name(name: &str) -> Result<Self> {
                match name {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(Error::new(Kind::Invalid, format!("'{name}' is none of {}", [$($text),+].join(", ")))),
                }
            }
        }
    };
}

names! {
    /// What is counted.
    Measure {
        /// Input and output tokens.
        Tokens "tokens"
        /// Requests.
        Calls "calls"
        /// Picodollars.
        Money "money"
    }
}

names! {
    /// What happens to a call that would pass the limit.
    Policy {
        /// It is made, and said to be over.
        Warn "warn"
        /// It is refused.
        Block "block"
        /// It is refused, unless it belongs to a run that has made calls before.
        Finish "finish"
    }
}

names! {
    /// What happens to a call whose price nobody knows, under a limit in money.
    Unpriced {
        /// It is refused.
        Refuse "refuse"
        /// It is made and costs the quota nothing; it is counted in the health.
        Allow "allow"
    }
}

/// Which values of one label a limit is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All together.
    Any,
    /// Each for itself; a call without the label counts as one more.
    Each,
    /// This one only.
    Is(Box<str>),
}

/// What may be spent; see the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Unique.
    pub name: Box<str>,
    /// Whom it is for, in the order of [`SCOPE`].
    pub scope: [Part; SCOPE.len()],
    /// What is counted.
    pub measure: Measure,
    /// In which time.
    pub period: Period,
    /// How much.
    pub amount: u64,
    /// What happens to a call that would pass it.
    pub policy: Policy,
    /// What happens to a call whose price nobody knows.
    pub unpriced: Unpriced,
    /// Shares of the amount, in thousandths, at which to warn.
    pub marks: Vec<u16>,
}

/// One sum that is held against a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Digest of everything that tells it from others.
    pub id: u128,
    /// The labels whose values have a counter each, and those values.
    pub key: String,
    /// When its time began.
    pub start: Micros,
    /// When its time ends, and the next counter begins at 0.
    pub end: Option<Micros>,
    /// For a rolling window.
    pub(super) rolling: Option<Rolling>,
}

const SEPARATOR: char = '\u{1f}';
/// Characters of a label that are shown.
const LONGEST_SHOWN: usize = 100;

impl Limit {
    /// Whether everything about it makes sense.
    pub fn check(self) -> Result<Self> {
        let bad = |text: &str| Err(Error::new(Kind::Invalid, text));
        let texts = self.scope.iter().filter_map(|part| if let Part::Is(text) = part { Some(text) } else { None });
        if self.name.is_empty() || self.name.len() > 255 {
            return bad("a limit has a name of 1 to 255 bytes");
        }
        if texts.chain([&self.name]).any(|text| text.chars().any(char::is_control) || text.len() > 1000) {
            return bad("names in a limit have no control characters and at most 1000 bytes");
        }
        if self.amount > MOST {
            return bad("a limit is at most 10^18, in tokens, calls or picodollars");
        }
        Ok(self)
    }

    /// The counter that a call of `who` at `at` falls on; `None` if the limit is not for it.
    pub fn counter(&self, who: &Who<'_>, at: Micros) -> Option<Counter> {
        let (mut key, mut exact) = (String::new(), String::new());
        for ((part, label), dim) in self.scope.iter().zip(who).zip(SCOPE) {
            match part {
                Part::Any => {}
                Part::Is(text) => {
                    if *label != Some(text) {
                        return None;
                    }
                }
                Part::Each => {
                    let between = if key.is_empty() { "" } else { ", " };
                    key = format!("{key}{between}{}={}", dim.name(), shown(label.unwrap_or("")));
                    // With its name, for a limit may come to be for each of something else, and its length, so that no
                    // label says what another part of the text would.
                    exact = match label {
                        Some(label) => format!("{exact}{SEPARATOR}{}:{}:{label}", dim.name(), label.len()),
                        None => format!("{exact}{SEPARATOR}{}", dim.name()),
                    };
                }
            }
        }
        let (start, end) = self.period.window(at);
        let text = [&*self.name, self.measure.name(), &self.period.text(), &start.to_string(), &exact].join("\u{1f}");
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let id = digest.as_ref().iter().take(16).fold(0, |id: u128, byte| id << 8 | u128::from(*byte));
        Some(Counter { id, key, start, end, rolling: self.period.part(at) })
    }

    /// One line of text that [`Limit::read`] understands.
    pub(super) fn text(&self) -> String {
        let scope = self.scope.iter().map(|part| match part {
            Part::Any => String::new(),
            Part::Each => "*".to_owned(),
            Part::Is(text) => format!("={text}"),
        });
        let marks: Vec<String> = self.marks.iter().map(u16::to_string).collect();
        let rest = [
            self.measure.name().to_owned(),
            self.period.text(),
            self.amount.to_string(),
            self.policy.name().to_owned(),
            self.unpriced.name().to_owned(),
            marks.join(","),
        ];
        [self.name.to_string()].into_iter().chain(scope).chain(rest).collect::<Vec<_>>().join("\u{1f}")
    }

    /// Reads what [`Limit::text`] wrote.
    pub(super) fn read(text: &str) -> Result<Self> {
        let damaged = || Error::new(Kind::Corrupt, "a limit of the quota cannot be read");
        let mut fields = text.split(SEPARATOR);
        let mut next = || fields.next().ok_or_else(damaged);
        let name = next()?.into();
        let mut part = || -> Result<Part> {
            Ok(match next()? {
                "" => Part::Any,
                "*" => Part::Each,
                text => Part::Is(text.strip_prefix('=').ok_or_else(damaged)?.into()),
            })
        };
        let scope = [part()?, part()?, part()?, part()?];
        let measure = Measure::from_name(next()?)?;
        let period = Period::parse(next()?)?;
        let amount = next()?.parse().map_err(|_| damaged())?;
        let policy = Policy::from_name(next()?)?;
        let unpriced = Unpriced::from_name(next()?)?;
        let marks = next()?.split(',').filter_map(|mark| mark.parse().ok()).collect();
        Ok(Self { name, scope, measure, period, amount, policy, unpriced, marks })
    }
}

/// A label for people to read: what a caller made up breaks no line of a log and fills no page.
fn shown(label: &str) -> String {
    let text: String = label.chars().take(LONGEST_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.len() < label.len() && label.chars().nth(LONGEST_SHOWN).is_some() { text + "…" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DAY;

    fn limit(period: Period, scope: [Part; 4]) -> Limit {
        Limit {
            name: "l".into(),
            scope,
            measure: Measure::Tokens,
            period,
            amount: 10,
            policy: Policy::Block,
            unpriced: Unpriced::Refuse,
            marks: vec![800, 1000],
        }
    }

    #[test]
    fn a_limit_is_for_whom_it_names_and_tells_apart_each() {
        let acme = limit(Period::Day, [Part::Is("acme".into()), Part::Each, Part::Any, Part::Any]);
        let of = |tenant, user, at| acme.counter(&[tenant, user, Some("m"), None], at).map(|counter| counter.id);
        assert_eq!(of(Some("other"), Some("ann"), 0), None);
        assert_eq!(of(None, Some("ann"), 0), None);
        assert_eq!(of(Some("acme"), Some("ann"), 0), of(Some("acme"), Some("ann"), DAY - 1));
        assert_ne!(of(Some("acme"), Some("ann"), 0), of(Some("acme"), Some("ann"), DAY));
        assert_ne!(of(Some("acme"), Some("ann"), 0), of(Some("acme"), Some("bob"), 0));
        assert!(of(Some("acme"), None, 0).is_some());
        assert_ne!(of(Some("acme"), None, 0), of(Some("acme"), Some(""), 0));
    }

    #[test]
    fn what_callers_call_themselves_mixes_no_counters_and_breaks_no_line() {
        let each = limit(Period::Day, [Part::Each, Part::Each, Part::Any, Part::Any]);
        let of = |tenant, user| each.counter(&[Some(tenant), Some(user), None, None], 0).unwrap();
        assert_ne!(of("a", "b, user=c").id, of("a, user=b", "c").id);
        assert_ne!(of("a\u{1f}1:b", "c").id, of("a", "b\u{1f}1:c").id);
        let id = |scope| limit(Period::Day, scope).counter(&[Some("a"), Some("a"), None, None], 0).unwrap().id;
        assert_ne!(
            id([Part::Each, Part::Any, Part::Any, Part::Any]),
            id([Part::Any, Part::Each, Part::Any, Part::Any])
        );
        let long = "u".repeat(9_999);
        let (one, other) = (of("a\nb", &long), of("a\nb", &format!("{long}!")));
        assert_ne!(one.id, other.id);
        assert_eq!(one.key, format!("tenant=a\u{fffd}b, user={}…", "u".repeat(100)));
    }

    #[test]
    fn a_limit_is_read_as_it_was_written() {
        for period in ["day", "month", "total", "90m", "30d"] {
            let scope = [Part::Is("=ä *".into()), Part::Each, Part::Any, Part::Is("*".into())];
            let limit = limit(Period::parse(period).unwrap(), scope);
            assert_eq!(Limit::read(&limit.text()).unwrap(), limit);
        }
    }
}
