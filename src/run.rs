//! Run: a unit of work with a beginning and an end, and what the calls inside it cost.
//!
//! Runs nest; a call counts once in every run around it. A run keeps one total for each distinct set of labels and
//! sums those up when asked, so recording touches one entry and allocates only when a new set of labels appears.
//!
//! Not here: which runs are around a call (`meter.rs`).

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::call::{Call, Dim, Labels, LabelsRef};
use crate::id::{Id, Micros, now};
use crate::totals::{Savings, Totals};
use crate::usage::Usage;

/// Hears of calls one by one, after the runs. Must not block: it is called where the user's call ends.
pub trait Listener: Send + Sync {
    /// Takes one call.
    fn hear(&self, call: &Call);

    /// Takes calls that were not made, in `run` or the runs around it.
    fn hear_savings(&self, _run: Option<Id>, _labels: &LabelsRef<'_>, _savings: &Savings) {}

    /// What tells listeners apart: who listens to several runs around a call hears it once.
    fn identity(&self) -> usize;

    /// Takes a call that is worked out later. Who cannot wait has it worked out now, and hears it like any other.
    fn defer(&self, call: &Arc<dyn Deferred>) {
        call.settle();
    }
}

/// A call whose usage is worked out when somebody asks for a total: an estimate that has to count long texts.
pub trait Deferred: Send + Sync {
    /// Records the call now, or waits until the thread that is about it has. Doing it again does nothing.
    fn settle(&self);
}

/// A unit of work; see the page.
pub struct Run {
    /// Unique id.
    pub id: Id,
    /// What the user calls it.
    pub name: Option<Box<str>>,
    /// When it began.
    pub began: Micros,
    outer: Option<Arc<Run>>,
    keep: usize,
    state: Mutex<State>,
    listeners: OnceLock<Box<[Arc<dyn Listener>]>>,
    deferred: Mutex<Vec<Arc<dyn Deferred>>>,
}

/// How many calls may wait to be worked out: they keep their texts alive.
const MOST_DEFERRED: usize = 64;

#[derive(Debug, Default)]
struct State {
    entries: Vec<(Labels, Totals)>,
    index: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// Entry of the newest call; most calls have the labels of the one before.
    newest: usize,
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    entry: usize,
    id: Id,
    at: Micros,
    attempt: u32,
    part: u32,
    usage: Usage,
}

/// A call on its way, borrowed from whoever reports it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who spent it.
    pub labels: LabelsRef<'a>,
    /// What it cost.
    pub usage: &'a Usage,
    /// 1 for the first try of the host, 2 for the next, …
    pub attempt: u32,
    /// 0, or which part it is of a call that several share.
    pub part: u32,
}

impl Run {
    /// A new run inside `outer`. The `keep` newest calls are kept one by one, older ones only in the totals.
    pub fn new(name: Option<&str>, outer: Option<Arc<Run>>, keep: usize) -> Self {
        let began = now();
        Self::with_id(Id::new(began), name, outer, keep, began)
    }

    /// A run that has its id from elsewhere: it goes on in this process.
    pub fn with_id(id: Id, name: Option<&str>, outer: Option<Arc<Run>>, keep: usize, began: Micros) -> Self {
        Self {
            id,
            name: name.map(Box::from),
            began,
            outer,
            keep,
            state: Mutex::default(),
            listeners: OnceLock::new(),
            deferred: Mutex::default(),
        }
    }

    /// Lets `listeners` hear every call of this run and of the runs inside it. They are set once, before the first call.
    pub fn listen(&self, listeners: Vec<Arc<dyn Listener>>) {
        // A second set is refused: whoever made the run has already said who listens.
        let _ = self.listeners.set(listeners.into());
    }

    /// Who hears the calls of this run one by one.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &Arc<dyn Listener>> {
        self.listeners.get().into_iter().flatten()
    }

    /// Whether anybody hears them.
    pub(crate) fn is_heard(&self) -> bool {
        self.listeners.get().is_some_and(|listeners| !listeners.is_empty())
    }

    /// The run around this one.
    pub fn outer(&self) -> Option<&Arc<Run>> {
        self.outer.as_ref()
    }

    /// Whether a report to this run needs a time and an id.
    pub(crate) fn keeps_calls(&self) -> bool {
        self.keep > 0
    }

    // A panic elsewhere must not end metering: the totals are as good as they were.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one call to this run alone; the meter walks the runs around it.
    #[inline]
    pub(crate) fn add(&self, report: &Report<'_>, when: Option<(Id, Micros)>) {
        let mut state = self.state();
        let entry = state.entry(&report.labels);
        if let Some((_, totals)) = state.entries.get_mut(entry) {
            totals.add(report.usage, report.part);
        }
        if let (Some((id, at)), true) = (when, self.keep > 0) {
            if state.kept.len() == self.keep {
                state.kept.pop_front();
            }
            let (attempt, part, usage) = (report.attempt, report.part, report.usage.clone());
            state.kept.push_back(Kept { entry, id, at, attempt, part, usage });
        }
    }

    /// Adds calls that were not made to this run alone.
    pub(crate) fn save(&self, labels: &LabelsRef<'_>, savings: &Savings) {
        let mut state = self.state();
        let entry = state.entry(labels);
        if let Some((_, totals)) = state.entries.get_mut(entry) {
            totals.savings.merge(savings);
        }
    }

    fn deferred(&self) -> MutexGuard<'_, Vec<Arc<dyn Deferred>>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn defer(&self, call: &Arc<dyn Deferred>) {
        let waiting = {
            let mut deferred = self.deferred();
            deferred.push(Arc::clone(call));
            deferred.len()
        };
        if waiting >= MOST_DEFERRED {
            self.settle();
        }
    }

    /// Works out the calls that wait for it. No lock is held meanwhile: they record themselves in this run. They wait
    /// until that is done, so that nobody else reads totals that lack them.
    fn settle(&self) {
        let waiting = self.deferred().clone();
        for call in &waiting {
            call.settle();
        }
        self.deferred().retain(|call| !waiting.iter().any(|done| Arc::ptr_eq(done, call)));
    }

    /// What all its calls cost.
    pub fn totals(&self) -> Totals {
        self.settle();
        let mut sum = Totals::default();
        for (_, totals) in &self.state().entries {
            sum.merge(totals);
        }
        sum
    }

    /// What its calls cost, told apart by `dims`, in order of first appearance.
    pub fn by(&self, dims: &[Dim]) -> Vec<(Vec<Option<Arc<str>>>, Totals)> {
        self.settle();
        let mut groups: Vec<(Vec<Option<Arc<str>>>, Totals)> = Vec::new();
        let mut index = HashMap::new();
        for (labels, totals) in &self.state().entries {
            let key: Vec<Option<Arc<str>>> = dims.iter().map(|dim| labels.shared(*dim)).collect();
            let at = *index.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Totals::default()));
                groups.len() - 1
            });
            if let Some((_, sum)) = groups.get_mut(at) {
                sum.merge(totals);
            }
        }
        groups
    }

    /// The newest calls, oldest first, as many as the run was asked to keep.
    pub fn calls(&self) -> Vec<Call> {
        self.settle();
        let state = self.state();
        let call = |kept: &Kept| {
            Some(Call {
                id: kept.id,
                at: kept.at,
                attempt: kept.attempt,
                part: kept.part,
                run: Some(self.id),
                labels: state.entries.get(kept.entry)?.0.clone(),
                usage: kept.usage.clone(),
            })
        };
        state.kept.iter().filter_map(call).collect()
    }
}

/// A run can listen to another one: it counts the calls of work that is not inside it.
impl Listener for Run {
    fn hear(&self, call: &Call) {
        let report =
            Report { labels: call.labels.as_ref(), usage: &call.usage, attempt: call.attempt, part: call.part };
        self.add(&report, Some((call.id, call.at)));
        for listener in self.listeners() {
            listener.hear(call);
        }
    }

    fn hear_savings(&self, run: Option<Id>, labels: &LabelsRef<'_>, savings: &Savings) {
        self.save(labels, savings);
        for listener in self.listeners() {
            listener.hear_savings(run, labels, savings);
        }
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn defer(&self, call: &Arc<dyn Deferred>) {
        Run::defer(self, call);
        for listener in self.listeners() {
            listener.defer(call);
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

static CARRIED: Mutex<Option<HashMap<Id, Weak<Run>>>> = Mutex::new(None);

/// Lets [`carried`] find `run` by its id as long as somebody uses it.
pub fn carry(run: &Arc<Run>) {
    let mut carried = CARRIED.lock().unwrap_or_else(PoisonError::into_inner);
    let carried = carried.get_or_insert_default();
    if carried.len() == carried.capacity() {
        carried.retain(|_, run| run.strong_count() > 0);
    }
    carried.insert(run.id, Arc::downgrade(run));
}

/// The run of that id, if it was carried out of this process and is still in use.
pub fn carried(id: Id) -> Option<Arc<Run>> {
    CARRIED.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&id)?.upgrade()
}

impl State {
    #[inline]
    fn entry(&mut self, labels: &LabelsRef<'_>) -> usize {
        if let Some((newest, _)) = self.entries.get(self.newest)
            && newest.matches(labels)
        {
            return self.newest;
        }
        let hash = self.hasher.hash_one(labels);
        let found = self.index.find(hash, |at| self.entries.get(*at).is_some_and(|(known, _)| known.matches(labels)));
        self.newest = if let Some(at) = found {
            *at
        } else {
            let at = self.entries.len();
            self.entries.push((Labels::from_ref(labels), Totals::default()));
            let (entries, hasher) = (&self.entries, &self.hasher);
            let rehash = |at: &usize| entries.get(*at).map_or(0, |(labels, _)| hasher.hash_one(labels.as_ref()));
            self.index.insert_unique(hash, at, rehash);
            at
        };
        self.newest
    }
}
