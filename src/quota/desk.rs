//! Desk: where everybody in this process who wants something of the sums comes. Whoever is served takes along what the
//! others want at that moment, so that many callers share one transaction or one round trip.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::book::{Keeper, Line, Op, Outcome};
use super::health::count;
use super::limit::Limit;
use super::{Quota, lock};
use crate::error::{Error, Kind, Result};
use crate::id::{Id, Micros, now};

/// After a failure to connect, everybody is told so for this long.
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody else may be in the way.
const BUSY: Duration = Duration::from_secs(30);
/// How many operations are done in one go.
const MOST: usize = 256;
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
}

/// What the tender looks after.
#[derive(Default)]
pub(super) struct Tended {
    held: HashMap<Id, (Arc<[Line]>, Micros)>,
    late: Vec<Op>,
    running: bool,
}

/// See the page. There is one in each process; a forked child gets a new one.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) slot: Mutex<Slot>,
    jobs: Mutex<Vec<Arc<Job>>>,
    pub(super) edition: Mutex<Option<Arc<Edition>>>,
    tended: Mutex<Tended>,
    wake: Condvar,
    /// Why nothing can be done here: a child that was forked in the middle of SQLite's work.
    cut_off: bool,
}

impl Desk {
    pub(super) fn new(cut_off: bool) -> Self {
        Self { cut_off, ..Self::default() }
    }

    /// Does `ops`, in that order, in one go with whatever else is wanted now.
    pub(super) fn ask(&self, quota: &Quota, ops: Vec<Op>) -> Result<Vec<Outcome>> {
        let job = Arc::new(Job { ops, answer: Mutex::default() });
        lock(&self.jobs).push(Arc::clone(&job));
        let mut slot = lock(&self.slot);
        loop {
            if let Some(answer) = lock(&job.answer).take() {
                return answer;
            }
            let batch = self.next_batch();
            if batch.is_empty() {
                return Err(Error::new(Kind::Unavailable, "the quota's desk lost a wish"));
            }
            let ops: Vec<Op> = batch.iter().flat_map(|job| job.ops.iter().cloned()).collect();
            let done = self.serve(quota, &mut slot, |keeper, again| keeper.run(now(), &ops, again));
            let mut outcomes = done.map(Vec::into_iter);
            for job in batch {
                let answer = outcomes.as_mut().map(|all| all.by_ref().take(job.ops.len()).collect());
                *lock(&job.answer) = Some(answer.map_err(|error| error.clone()));
            }
        }
    }

    fn next_batch(&self) -> Vec<Arc<Job>> {
        let mut jobs = lock(&self.jobs);
        let mut size = 0;
        let fits = |job: &&Arc<Job>| {
            size += job.ops.len();
            size <= MOST || size == job.ops.len()
        };
        let many = jobs.iter().take_while(fits).count();
        jobs.drain(..many).collect()
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

    /// Keeps a reservation alive from now on.
    pub(super) fn hold(&'static self, quota: &'static Quota, id: Id, lines: &Arc<[Line]>, expires: Micros) {
        let mut tended = lock(&self.tended);
        tended.held.insert(id, (Arc::clone(lines), expires));
        self.start(quota, &mut tended);
    }

    /// Keeps it alive no longer; whether it was.
    pub(super) fn let_go(&self, id: Id) -> bool {
        lock(&self.tended).held.remove(&id).is_some()
    }

    /// Does `op` soon.
    pub(super) fn later(&'static self, quota: &'static Quota, op: Op) {
        let mut tended = lock(&self.tended);
        if tended.late.len() >= MOST_LATE {
            count(&quota.health.lost);
            return;
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

    /// Renews reservations and does what came too early, as long as there is any of either.
    fn tend(&self, quota: &Quota) {
        loop {
            let mut tended = lock(&self.tended);
            if tended.late.is_empty() {
                let third = Duration::from_micros(quota.lease / 3);
                tended = self.wake.wait_timeout(tended, third).map_or_else(|error| error.into_inner().0, |(t, _)| t);
            }
            if tended.late.is_empty() && tended.held.is_empty() {
                tended.running = false;
                return;
            }
            drop(tended);
            if self.catch_up(quota).is_err() {
                std::thread::sleep(PAUSE / 2);
            }
        }
    }

    /// Does what was put off and renews what is due.
    pub(super) fn catch_up(&self, quota: &Quota) -> Result<()> {
        let at = now();
        let (late, mut ops) = {
            let mut tended = lock(&self.tended);
            let late = std::mem::take(&mut tended.late);
            let expires = at + quota.lease;
            let due = tended.held.iter_mut().filter(|(_, (_, until))| *until < at + quota.lease * 2 / 3);
            let renew = |(id, (lines, until)): (&Id, &mut (Arc<[Line]>, Micros))| {
                *until = expires;
                Op::Renew { id: *id, lines: Arc::clone(lines), expires }
            };
            (late, due.map(renew).collect::<Vec<_>>())
        };
        ops.extend(late.iter().cloned());
        if ops.is_empty() {
            return Ok(());
        }
        self.ask(quota, ops).map(drop).inspect_err(|_| {
            let mut tended = lock(&self.tended);
            tended.held.values_mut().for_each(|(_, until)| *until = (*until).min(at));
            let newer = std::mem::replace(&mut tended.late, late);
            tended.late.extend(newer);
        })
    }

    /// How much waits for better times.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.tended).late.len()
    }
}
