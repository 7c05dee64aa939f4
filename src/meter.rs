//! Meter: the one place where a call is handed on, to the runs around it and to whoever else listens.
//!
//! There is one meter a process, [`meter`]. It never fails: what it cannot place it counts, see [`Health`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::call::{Call, Dim, Labels, LabelsRef};
use crate::id::{Id, Micros, now};
use crate::run::{Deferred, Listener, Report, Run};
use crate::totals::Savings;
use crate::usage::{Origin, Usage};

/// Who pays for the calls made in some stretch of code: the innermost run and the labels in force there.
#[derive(Debug, Default)]
pub struct Scope {
    /// Innermost run, if there is one.
    pub run: Option<Arc<Run>>,
    /// Labels of the scope, those of the scopes around it included.
    pub labels: Labels,
}

/// One part of a call that several share.
#[derive(Debug, Default)]
pub struct Share {
    /// Whose part it is.
    pub labels: Labels,
    /// Its weight beside the others'.
    pub weight: u64,
    /// Where it counts, if that is not where the call was made.
    pub scope: Option<Arc<Scope>>,
}

/// What the meter has seen since the process started.
#[derive(Debug, Default)]
pub struct Health {
    /// Calls in a run, by origin: reported, estimated, unknown.
    attributed: [AtomicU64; 3],
    /// The same where no run was active.
    unattributed: [AtomicU64; 3],
    /// Values that could not be read at all.
    dropped: AtomicU64,
    /// Errors of hooks, kept away from the host.
    errors: AtomicU64,
}

/// The meter; see the page.
#[derive(Default)]
pub struct Meter {
    /// Counters of what was seen.
    pub health: Health,
    listening: AtomicBool,
    listeners: RwLock<Vec<Arc<dyn Listener>>>,
}

/// The meter of this process.
pub fn meter() -> &'static Meter {
    static METER: OnceLock<Meter> = OnceLock::new();
    METER.get_or_init(Meter::default)
}

impl Health {
    /// The counters by name.
    pub fn snapshot(&self) -> [(&'static str, u64); 7] {
        let load = |counters: &[AtomicU64; 3]| counters.each_ref().map(|n| n.load(Ordering::Relaxed));
        let ([reported, estimated, unknown], outside) = (load(&self.attributed), load(&self.unattributed));
        let [reported, estimated, unknown] = [reported + outside[0], estimated + outside[1], unknown + outside[2]];
        [
            ("calls", reported + estimated + unknown),
            ("reported", reported),
            ("estimated", estimated),
            ("unknown", unknown),
            ("unattributed", outside.iter().sum()),
            ("dropped", self.dropped.load(Ordering::Relaxed)),
            ("errors", self.errors.load(Ordering::Relaxed)),
        ]
    }

    fn count_call(&self, attributed: bool, origin: Origin) {
        let [reported, estimated, unknown] = if attributed { &self.attributed } else { &self.unattributed };
        match origin {
            Origin::Reported => reported,
            Origin::Estimated | Origin::Mixed => estimated,
            Origin::Unknown => unknown,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a value that could not be read.
    pub fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an error of a hook.
    pub fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

impl Meter {
    /// Lets `listener` hear every call from now on.
    pub fn listen(&self, listener: Arc<dyn Listener>) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).push(listener);
        self.listening.store(true, Ordering::Release);
    }

    /// Stops `listener` from hearing calls.
    pub fn unlisten(&self, listener: &Arc<dyn Listener>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| !Arc::ptr_eq(known, listener));
        self.listening.store(!listeners.is_empty(), Ordering::Release);
    }

    /// Records one call: counts it, then hands it on.
    pub fn record<'a>(&self, scope: Option<&'a Scope>, labels: LabelsRef<'a>, usage: &'a Usage, attempt: u32) {
        if self.admit(scope, usage.origin) {
            self.tell(scope, &mut Report { labels, usage, attempt, part: 0 }, None);
        }
    }

    /// Records a call, or its shares, under an id that was given to it when it began; that is its time, too. No other
    /// call must have the id.
    pub fn record_as<'a>(
        &self,
        id: Id,
        scope: Option<&'a Scope>,
        labels: LabelsRef<'a>,
        usage: &'a Usage,
        attempt: u32,
        shares: &'a [Share],
    ) {
        let when = (id, id.at());
        if !shares.is_empty() {
            self.share(scope, labels, usage, attempt, shares, Some(when));
        } else if self.admit(scope, usage.origin) {
            self.tell(scope, &mut Report { labels, usage, attempt, part: 0 }, Some(when));
        }
    }

    /// Records a call later, when somebody asks a run around it for a total. Where no run is, or somebody listens to
    /// everything, it is now.
    pub fn defer(&self, scope: Option<&Scope>, call: &Arc<dyn Deferred>) {
        let innermost = scope.and_then(|scope| scope.run.as_ref());
        if innermost.is_none() || self.listening.load(Ordering::Acquire) {
            return call.settle();
        }
        for run in std::iter::successors(innermost, |run| run.outer()) {
            Listener::defer(&**run, call);
        }
    }

    /// Records one call that several share, in proportion to their weights; the labels of a share win, and it counts in
    /// its own scope if it has one. For the runs together it is one call, its counts told apart.
    pub fn record_shared<'a>(
        &self,
        scope: Option<&'a Scope>,
        labels: LabelsRef<'a>,
        usage: &'a Usage,
        attempt: u32,
        shares: &'a [Share],
    ) {
        self.share(scope, labels, usage, attempt, shares, None);
    }

    fn share<'a>(
        &self,
        scope: Option<&'a Scope>,
        labels: LabelsRef<'a>,
        usage: &'a Usage,
        attempt: u32,
        shares: &'a [Share],
        when: Option<(Id, Micros)>,
    ) {
        let attributed = shares.iter().find_map(|share| share.scope.as_deref().filter(|scope| scope.run.is_some()));
        if !self.admit(attributed.or(scope), usage.origin) {
            return;
        }
        let weights: Vec<u64> = shares.iter().map(|share| share.weight).collect();
        let parts = usage.split(&weights);
        let when = when.or_else(|| Some(stamp()));
        for ((part, usage), share) in (0..).zip(&parts).zip(shares) {
            let mut labels_of_part = share.labels.as_ref();
            labels_of_part.underlay_ref(&labels);
            let scope = share.scope.as_deref().or(scope);
            self.tell(scope, &mut Report { labels: labels_of_part, usage, attempt, part }, when);
        }
    }

    /// Notes calls that a cache of the host's own spared, in the runs around and for whoever listens.
    pub fn save<'a>(&self, scope: Option<&'a Scope>, mut labels: LabelsRef<'a>, savings: &Savings) {
        if let Some(scope) = scope {
            labels.underlay(&scope.labels);
        }
        let innermost = scope.and_then(|scope| scope.run.as_ref());
        let runs = || std::iter::successors(innermost, |run| run.outer());
        for run in runs() {
            run.save(&labels, savings);
        }
        let everywhere = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        for listener in runs().flat_map(|run| run.listeners()).chain(everywhere.iter()) {
            if !told.contains(&listener.identity()) {
                told.push(listener.identity());
                listener.hear_savings(innermost.map(|run| run.id), &labels, savings);
            }
        }
    }

    /// Counts one call and says whether anybody wants to hear of it.
    pub(crate) fn admit(&self, scope: Option<&Scope>, origin: Origin) -> bool {
        let attributed = scope.is_some_and(|scope| scope.run.is_some());
        self.health.count_call(attributed, origin);
        attributed || self.listening.load(Ordering::Acquire)
    }

    /// Hands on one call: once to every run around it, then to the listeners. What its labels leave open is taken from
    /// what the provider said, then from the scope.
    pub(crate) fn tell<'a>(
        &self,
        scope: Option<&'a Scope>,
        report: &mut Report<'a>, // not by value: it is large, and this is called for every call
        when: Option<(Id, Micros)>,
    ) {
        let innermost = scope.and_then(|scope| scope.run.as_ref());
        if let Some(about) = report.usage.about() {
            for (dim, said) in [(Dim::Provider, &about.provider), (Dim::Model, &about.model)] {
                report.labels.set(dim, report.labels.get(dim).or(said.get()));
            }
        }
        if let Some(scope) = scope {
            report.labels.underlay(&scope.labels);
        }

        let runs = || std::iter::successors(innermost, |run| run.outer());
        let (mut heard, mut kept) = (self.listening.load(Ordering::Acquire), false);
        for run in runs() {
            heard |= run.is_heard();
            kept |= run.keeps_calls();
        }
        let when = when.or_else(|| (heard || kept).then(stamp));
        for run in runs() {
            run.add(report, when);
        }
        if let (true, Some((id, at))) = (heard, when) {
            let Report { labels, usage, attempt, part } = *report;
            let (labels, usage) = (Labels::from_ref(&labels), usage.clone());
            let call = Call { id, at, attempt, part, run: innermost.map(|run| run.id), labels, usage };
            let everywhere = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
            let mut told = Vec::new();
            for listener in runs().flat_map(|run| run.listeners()).chain(everywhere.iter()) {
                if !told.contains(&listener.identity()) {
                    told.push(listener.identity());
                    listener.hear(&call);
                }
            }
        }
    }
}

fn stamp() -> (Id, Micros) {
    let at = now();
    (Id::new(at), at)
}
