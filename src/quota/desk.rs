//! Desk: where everybody in this process who wants something of the sums comes. Whoever is served takes along what the
//! others want at that moment, so that many callers share one transaction or one round trip; first of all what was put
//! off, so that whoever comes later finds it done.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::book::{Keeper, Line, Op, Outcome};
use super::clock::Clock;
use super::health::count;
use super::limit::Limit;
use super::{Quota, Warning, lock};
use crate::error::{Error, Kind, Result};
use crate::id::{Id, Micros};

/// After a failure to connect, everybody is told so for this long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody else may be in the way.
const BUSY: Duration = Duration::from_secs(30);
/// How long what nobody waits for is left to be taken along.
const SOON: Duration = Duration::from_millis(1);
/// How many operations are done in one go.
const MOST: usize = 256;
/// For how many leases after some have lapsed the ledger is asked about them: a journal may bring it the calls later.
const WATCH: Micros = 10;
/// How often it is said that a limit which only warns is passed, and of how many counters that is remembered.
const REPEAT: Micros = 3_600_000_000;
const MOST_PASSED: usize = 10_000;
/// How many operations wait for better times.
const MOST_LATE: usize = 100_000;

/// The limits, as they were when they were read.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) number: i64,
    pub(super) limits: Vec<Arc<Limit>>,
}

#[derive(Default)]
pub(super) struct Slot {
    pub(super) keeper: Option<Box<dyn Keeper>>,
    down: Option<(Instant, Error)>,
}

struct Job {
    ops: Vec<Op>,
    answer: Mutex<Option<Result<Vec<Outcome>>>>,
    thread: Thread,
}

/// Who waits to be served, and whether somebody serves.
#[derive(Default)]
struct Queue {
    jobs: Vec<Arc<Job>>,
    serving: bool,
}

/// A reservation of this process.
struct Kept {
    lines: Arc<[Line]>,
    until: Micros,
    /// Somebody is about to settle it or to give it back; until that is done it is renewed all the same.
    closing: bool,
}

/// What is to be done without being asked.
#[derive(Default)]
struct Tended {
    held: HashMap<Id, Kept>,
    late: Vec<Op>,
    /// What was put off could not be done: it waits for the thread, and is not taken along by others.
    stuck: bool,
    /// What is to be said about settlements that nobody waited for.
    said: Vec<Warning>,
    /// Until when to look whether the ledger knows what became of reservations that have lapsed.
    watch: Micros,
    swept: bool,
    running: bool,
}

impl Tended {
    fn is_quiet(&self) -> bool {
        self.late.is_empty() && self.said.is_empty() && !self.swept
    }

    /// Takes what was put off, if it is not stuck or whoever comes does `nothing` else.
    fn take_late(&mut self, nothing: bool) -> Vec<Op> {
        let many = if self.stuck && !nothing { 0 } else { self.late.len().min(MOST) };
        self.late.drain(..many).collect()
    }
}

/// See the page. There is one in each process; a forked child gets a new one.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) slot: Mutex<Slot>,
    pub(super) clock: Clock,
    queue: Mutex<Queue>,
    pub(super) edition: Mutex<Option<Arc<Edition>>>,
    /// When it was said last of a counter that it is over its limit.
    passed: Mutex<HashMap<u128, Micros>>,
    tended: Mutex<Tended>,
    /// For the thread that tends.
    wake: Condvar,
    /// Why nothing can be done here: a child that was forked in the middle of SQLite's work.
    cut_off: bool,
}

impl Desk {
    pub(super) fn new(cut_off: bool) -> Self {
        Self { cut_off, ..Self::default() }
    }

    /// Does `ops`, in that order, in one go with whatever else is wanted now.
    pub(super) fn ask(&'static self, quota: &'static Quota, ops: Vec<Op>) -> Result<Vec<Outcome>> {
        let job = Arc::new(Job { ops, answer: Mutex::default(), thread: std::thread::current() });
        let mut queue = lock(&self.queue);
        queue.jobs.push(Arc::clone(&job));
        loop {
            if let Some(answer) = lock(&job.answer).take() {
                return answer;
            }
            if queue.serving {
                drop(queue);
                std::thread::park(); // whoever serves wakes those whom he has served, and one to serve next
                queue = lock(&self.queue);
                continue;
            }
            queue.serving = true;
            let batch = next_batch(&mut queue.jobs);
            drop(queue);
            self.serve_batch(quota, batch);
            queue = lock(&self.queue);
            queue.serving = false;
            if let Some(next) = queue.jobs.first() {
                next.thread.unpark();
            }
        }
    }

    fn serve_batch(&'static self, quota: &'static Quota, batch: Vec<Arc<Job>>) {
        let late = lock(&self.tended).take_late(batch.iter().all(|job| job.ops.is_empty()));
        let renewals = self.due(quota);
        let wishes = late.iter().chain(batch.iter().flat_map(|job| &job.ops)).chain(&renewals);
        let ops: Vec<Op> = wishes.cloned().collect();
        let run = |keeper: &mut dyn Keeper, again: bool| Ok((keeper.run(&ops, again, &self.clock)?, keeper.swept()));
        let done = if ops.is_empty() { Ok(Default::default()) } else { self.with(quota, run) };
        let put_off = late.len();
        match &done {
            Ok((outcomes, swept)) => self.note_done(quota, &ops, outcomes, put_off, *swept),
            Err(_) => self.put_back(quota, late, &renewals),
        }
        let mut outcomes = done.map(|(outcomes, _)| outcomes.into_iter().skip(put_off));
        for job in batch {
            let answer = outcomes.as_mut().map(|all| all.by_ref().take(job.ops.len()).collect());
            *lock(&job.answer) = Some(answer.map_err(|error| error.clone()));
            job.thread.unpark();
        }
    }

    /// Keeps what was reserved alive from now on, and no longer what was settled or given back. It is done here, and not
    /// by whoever asked: he may not wake up for a while. The first `put_off` were asked for by nobody who waits.
    fn note_done(&'static self, quota: &'static Quota, ops: &[Op], outcomes: &[Outcome], put_off: usize, swept: bool) {
        let mut tended = lock(&self.tended);
        tended.stuck &= put_off == 0;
        for (at, (op, outcome)) in ops.iter().zip(outcomes).enumerate() {
            let Outcome::Done { lapsed, .. } = outcome else { continue };
            if *lapsed && op.id().is_some_and(|id| tended.held.contains_key(&id)) {
                count(&quota.health.lapsed);
            }
            if let (true, Op::Settle { lines, actual, .. }) = (at < put_off, op) {
                tended.said.extend(quota.marks(lines, actual, outcome));
            }
            match op {
                Op::Reserve { id, lines, lease, .. } if !lines.is_empty() => {
                    let until = self.clock.now().saturating_add(*lease);
                    tended.held.insert(*id, Kept { lines: Arc::clone(lines), until, closing: false });
                }
                Op::Settle { id, .. } | Op::Release { id, .. } => {
                    tended.held.remove(id);
                }
                _ => {}
            }
        }
        if swept {
            tended.swept = true;
            tended.watch = self.clock.now().saturating_add(quota.lease.saturating_mul(WATCH));
        }
        if !tended.held.is_empty() || !tended.is_quiet() {
            self.start(quota, &mut tended);
        }
        if !tended.is_quiet() {
            self.wake.notify_one();
        }
    }

    /// What is to be renewed by now. It goes along with whatever this process wants next, so that a reservation lapses
    /// only if its process gets nothing through.
    fn due(&self, quota: &Quota) -> Vec<Op> {
        let (at, lease) = (self.clock.now(), quota.lease);
        let mut tended = lock(&self.tended);
        let due = tended.held.iter_mut().filter(|(_, kept)| kept.until < at + lease * 2 / 3).take(MOST);
        due.map(|(id, kept)| {
            kept.until = at + lease;
            Op::Renew { id: *id, lines: Arc::clone(&kept.lines), lease }
        })
        .collect()
    }

    fn put_back(&self, quota: &Quota, late: Vec<Op>, renewals: &[Op]) {
        let mut tended = lock(&self.tended);
        if !tended.stuck {
            for op in &late {
                count_late(quota, op);
            }
        }
        tended.stuck |= !late.is_empty();
        tended.late.splice(..0, late);
        for id in renewals.iter().filter_map(Op::id) {
            if let Some(kept) = tended.held.get_mut(&id) {
                kept.until = 0;
            }
        }
    }

    /// Whether it is news that a counter is over a limit which only warns; for every call it would be too much.
    pub(super) fn is_news(&self, counter: u128) -> bool {
        let (mut passed, at) = (lock(&self.passed), self.clock.now());
        if passed.len() >= MOST_PASSED {
            passed.clear();
        }
        let last = passed.entry(counter).or_default();
        let is_news = *last + REPEAT <= at;
        if is_news {
            *last = at;
        }
        is_news
    }

    /// Lets `work` use the connection.
    pub(super) fn with<T>(&self, quota: &Quota, work: impl FnMut(&mut dyn Keeper, bool) -> Result<T>) -> Result<T> {
        self.serve(quota, &mut lock(&self.slot), work)
    }

    fn serve<T>(
        &self,
        quota: &Quota,
        slot: &mut Slot,
        mut work: impl FnMut(&mut dyn Keeper, bool) -> Result<T>,
    ) -> Result<T> {
        if self.cut_off {
            let text = "this process was forked while its parent was using SQLite; open the quota anew";
            return Err(Error::new(Kind::Unavailable, text));
        }
        if let Some((until, error)) = &slot.down
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let mut work = |keeper: &mut dyn Keeper, again: bool| {
            self.clock.set(|| keeper.time())?;
            work(keeper, again)
        };
        let (begin, mut again) = (Instant::now(), false);
        loop {
            let fresh = slot.keeper.is_none();
            let done = match &mut slot.keeper {
                Some(keeper) => work(&mut **keeper, again),
                empty => quota.place.connect().and_then(|keeper| work(&mut **empty.insert(keeper), again)),
            };
            let error = match done {
                Ok(done) => {
                    slot.down = None;
                    return Ok(done);
                }
                Err(error) => quota.place.said(&error),
            };
            match error.kind {
                Kind::Busy if begin.elapsed() < BUSY => {
                    std::thread::sleep(Duration::from_micros(500 + u64::from(std::process::id()) % 16 * 100));
                }
                Kind::Invalid | Kind::Newer | Kind::Unfit => return Err(error),
                // The connection may have been closed while nobody used it.
                _ if !fresh => {
                    slot.keeper = None;
                    again = true;
                }
                _ => {
                    slot.keeper = None;
                    slot.down = Some((Instant::now() + PAUSE, error.clone()));
                    count(&quota.health.outages);
                    return Err(error);
                }
            }
        }
    }

    /// Says that a reservation is about to be settled or given back; whether nobody has said so before.
    pub(super) fn close(&self, id: Id) -> bool {
        lock(&self.tended).held.get_mut(&id).is_some_and(|kept| !std::mem::replace(&mut kept.closing, true))
    }

    /// Does `op` soon.
    pub(super) fn later(&'static self, quota: &'static Quota, op: Op) {
        let mut tended = lock(&self.tended);
        if tended.late.len() >= MOST_LATE {
            count(&quota.health.lost);
            op.id().and_then(|id| tended.held.remove(&id));
            return;
        }
        if tended.stuck {
            count_late(quota, &op);
        }
        tended.late.push(op);
        self.start(quota, &mut tended);
        self.wake.notify_one();
    }

    fn start(&'static self, quota: &'static Quota, tended: &mut Tended) {
        if !tended.running {
            let tend = move || self.tend(quota);
            tended.running = std::thread::Builder::new().name("ragmeter-quota".to_owned()).spawn(tend).is_ok();
        }
    }

    /// Renews reservations, does what was put off, and tells what there is to tell, as long as there is any of it.
    fn tend(&'static self, quota: &'static Quota) {
        quota.tell_lapsed(); // of processes that were killed before this one began
        let mut told_at = self.clock.now();
        loop {
            let mut tended = lock(&self.tended);
            if tended.is_quiet() {
                let third = Duration::from_micros(quota.lease / 3);
                tended = self.wake.wait_timeout(tended, third).map_or_else(|error| error.into_inner().0, |(t, _)| t);
            }
            let watching = self.clock.now() < tended.watch;
            if tended.is_quiet() && tended.held.is_empty() && !watching {
                tended.running = false;
                return;
            }
            let any_late = !tended.late.is_empty();
            let (said, swept) = (std::mem::take(&mut tended.said), std::mem::take(&mut tended.swept));
            drop(tended);
            if any_late {
                std::thread::sleep(SOON); // whoever comes meanwhile takes it along
            }
            if self.catch_up(quota).is_err() {
                std::thread::sleep(PAUSE / 2);
            }
            // After renewing: whoever hears of it may take his time.
            quota.tell(&said);
            if swept || (watching && self.clock.now() >= told_at.saturating_add(quota.lease / 3)) {
                told_at = self.clock.now();
                quota.tell_lapsed();
            }
        }
    }

    /// Does what was put off and renews what is due.
    pub(super) fn catch_up(&'static self, quota: &'static Quota) -> Result<()> {
        loop {
            self.ask(quota, Vec::new())?;
            if self.waiting() == 0 {
                return Ok(());
            }
        }
    }

    /// What is to be said about settlements that nobody waited for.
    pub(super) fn said(&self) -> Vec<Warning> {
        std::mem::take(&mut lock(&self.tended).said)
    }

    /// How much waits for better times.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.tended).late.len()
    }
}

fn count_late(quota: &Quota, op: &Op) {
    if matches!(op, Op::Settle { .. }) {
        count(&quota.health.late);
    }
}

fn next_batch(jobs: &mut Vec<Arc<Job>>) -> Vec<Arc<Job>> {
    let mut size = 0;
    let fits = |job: &&Arc<Job>| {
        size += job.ops.len();
        size <= MOST || size == job.ops.len()
    };
    let many = jobs.iter().take_while(fits).count();
    jobs.drain(..many).collect()
}
