//! The sender: threads that post what waits in a ledger's outbox.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::post::{Outcome, agent, post};
use super::{Destination, Patience};
use crate::id::{Micros, now};
use crate::ledger::Counted;
use crate::ledger::outbox::{self, Letter};
use crate::ledger::{Kept, Ledger, say};

/// How many events are claimed at once.
const HANDFUL: usize = 20;
/// How long claimed events are kept from others at least, and what of that is left when the last request must begin.
const CLAIM: Duration = Duration::from_secs(120);
const MARGIN: Duration = Duration::from_secs(10);
/// How often it is looked for events of other processes: at first, and after nothing was found for long.
const LOOK_AROUND: Duration = Duration::from_secs(1);
const LOOK_AROUND_IDLE: Duration = Duration::from_secs(5);
/// How long a receiver that does not answer, or asks to wait, is left alone at most before the next event is tried.
const MOST_PAUSE: Duration = Duration::from_secs(60);
/// An event is tried so often, however old it is.
const TRIES: u32 = 12;

/// Posts what waits in the outbox of one ledger, in a thread for each destination; see the page. Lives as long as the
/// process.
pub struct Sender {
    ledger: &'static Ledger,
    destinations: Vec<Destination>,
    patience: Patience,
    /// The process whose threads run; a forked child starts its own.
    runs_in: AtomicU32,
    stop: AtomicBool,
}

/// What a look into the outbox has found.
enum Round {
    /// Events that were due; more may be.
    Sent,
    /// A receiver that does not answer.
    Silence,
    /// A receiver that wants to be left alone for so long.
    Asked(Duration),
    /// Events that are not due, or claimed by somebody else; when the first may be.
    Waits(Duration),
    /// Nothing.
    Empty,
}

impl Sender {
    /// A sender that has not started.
    pub fn new(ledger: &'static Ledger, destinations: Vec<Destination>, patience: Patience) -> &'static Self {
        Box::leak(Box::new(Self {
            ledger,
            destinations,
            patience,
            runs_in: AtomicU32::new(0),
            stop: AtomicBool::new(false),
        }))
    }

    /// Names of the destinations.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.destinations.iter().map(|destination| &*destination.name)
    }

    /// Starts the threads in each process that uses the ledger, with its first call: what an earlier process has left in
    /// the outbox is sent by the next one, and no thread is there before a fork.
    pub fn start_when_used(&'static self) {
        self.ledger.when_used(move || self.start());
    }

    /// Starts the threads, if they do not run in this process yet.
    pub fn start(&'static self) {
        let pid = std::process::id();
        if self.runs_in.swap(pid, Ordering::AcqRel) == pid {
            return;
        }
        for to in &self.destinations {
            if thread::Builder::new().name("ragmeter-send".to_owned()).spawn(move || self.run(to)).is_err() {
                say("no thread can be started to send usage; another process will", true);
            }
        }
    }

    /// Tells the threads to end after the request they are at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ledger.nudge();
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.ledger.is_closed()
    }

    fn run(&self, to: &Destination) {
        let agent = agent(self.patience.timeout);
        let (mut is_down, mut idle, mut seen, mut silences, mut kept) = (false, LOOK_AROUND, 0, 0, None);
        while !self.is_over() {
            let round = self.round(&agent, to, &mut kept);
            if !matches!(round, Ok(Round::Sent)) {
                kept = None;
            }
            silences = if matches!(round, Ok(Round::Silence)) { silences + 1 } else { 0 };
            let wait = match round {
                Ok(Round::Sent) => {
                    (is_down, idle) = (false, LOOK_AROUND);
                    continue;
                }
                Ok(Round::Silence) => {
                    self.rest(self.doubled(silences - 1));
                    continue;
                }
                Ok(Round::Asked(wait)) => {
                    self.rest(wait);
                    continue;
                }
                Ok(Round::Waits(wait)) => {
                    (is_down, idle) = (false, LOOK_AROUND);
                    wait.clamp(Duration::from_millis(20), idle)
                }
                Ok(Round::Empty) => {
                    is_down = false;
                    let wait = idle;
                    idle = (idle * 2).min(LOOK_AROUND_IDLE);
                    wait
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_down, true) {
                        say(&format!("the outbox cannot be read: {error}"), true);
                    }
                    LOOK_AROUND * 2
                }
            };
            seen = self.ledger.wait_for_events(seen, wait, || self.stop.load(Ordering::Acquire));
        }
    }

    /// Leaves the receiver alone for some time.
    fn rest(&self, time: Duration) {
        let until = Instant::now() + time.min(MOST_PAUSE);
        while !self.is_over() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
    }

    /// Sends what is due.
    fn round(&self, agent: &ureq::Agent, to: &Destination, kept: &mut Kept) -> crate::error::Result<Round> {
        if self.ledger.is_missing() {
            return Ok(Round::Empty);
        }
        let (begin, hold) = (Instant::now(), CLAIM.max(self.patience.timeout.saturating_add(MARGIN).saturating_mul(2)));
        let until = now().saturating_add(micros(hold)).min(u64::MAX >> 1);
        let (letters, due) = self.ledger.use_kept(kept, |store| {
            let letters = outbox::claim(store, &to.name, HANDFUL, until)?;
            let due = if letters.is_empty() { outbox::next_due(store, &to.name)? } else { None };
            Ok((letters, due))
        })?;
        if letters.is_empty() {
            let left = |due: Micros| Duration::from_micros(due.saturating_sub(now()));
            return Ok(due.map_or(Round::Empty, |due| Round::Waits(left(due))));
        }
        let mut found = Round::Sent;
        for (at, letter) in letters.iter().enumerate() {
            let is_late = begin.elapsed().saturating_add(self.patience.timeout).saturating_add(MARGIN) > hold;
            if is_late || !matches!(found, Round::Sent) || self.is_over() {
                let rest = letters.get(at..).unwrap_or_default();
                self.ledger.use_kept(kept, |store| outbox::release(store, rest, until))?;
                break;
            }
            // No file is held open meanwhile.
            let outcome = post(agent, to, letter);
            found = match &outcome {
                Outcome::Silence(_) => Round::Silence,
                Outcome::Later(_, Some(wait)) => Round::Asked(*wait),
                _ => Round::Sent,
            };
            let trouble = self.judge(letter, outcome);
            let mut note = || {
                self.ledger.use_kept(kept, |store| match &trouble {
                    None => outbox::sent(store, letter),
                    Some((why, next)) => outbox::failed(store, letter, why, *next),
                })
            };
            // Once more, with a new connection: what the receiver has is not to be sent again.
            note().or_else(|_| note())?;
        }
        self.ledger.use_kept(kept, outbox::forget)?;
        Ok(found)
    }

    /// Why it was not taken and when it is tried again, if at all; `None` if it was taken.
    fn judge(&self, letter: &Letter, outcome: Outcome) -> Option<(String, Option<Micros>)> {
        let (why, next) = match outcome {
            Outcome::Taken => {
                self.ledger.health.count(Counted::Sent, 1);
                return None;
            }
            Outcome::Later(why, wait) => (why, self.next(letter, wait)),
            Outcome::Silence(why) => (why, self.next(letter, None)),
            Outcome::Never(why) => (why, None),
        };
        self.missed(letter, &why, next.is_none());
        Some((why, next))
    }

    fn missed(&self, letter: &Letter, why: &str, is_final: bool) {
        let health = &self.ledger.health;
        health.count(if is_final { Counted::Dead } else { Counted::SendFailures }, 1);
        if is_final {
            let (id, name) = (letter.id, &letter.destination);
            say(&format!("event {id} for {name} was given up ({why}); see `ragmeter outbox list`"), true);
        } else if health.is_time_to_speak() {
            say(&format!("usage could not be sent to {} ({why}); it will be tried again", letter.destination), true);
        }
    }

    /// What is waited after so many failures before this one.
    fn doubled(&self, failures: u32) -> Duration {
        self.patience.first_wait.saturating_mul(1 << failures.min(20)).min(self.patience.most_wait)
    }

    /// When it is tried again; `None` if that is too late.
    fn next(&self, letter: &Letter, asked: Option<Duration>) -> Option<Micros> {
        let doubled = micros(self.doubled(letter.attempts));
        // Between half of it and all of it, so that many events do not come back at the same moment.
        let spread = ring::digest::digest(
            &ring::digest::SHA256,
            &[letter.id.0.to_le_bytes(), u128::from(now()).to_le_bytes()].concat(),
        );
        let share = u64::from(spread.as_ref().first().copied().unwrap_or(0));
        let jittered = doubled / 2 + doubled / 2 / 256 * share;
        let next = now().saturating_add(jittered.max(asked.map_or(0, micros)));
        let is_young = next <= letter.at.saturating_add(micros(self.patience.give_up));
        (is_young || letter.attempts + 1 < TRIES).then_some(next)
    }
}

fn micros(time: Duration) -> Micros {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
