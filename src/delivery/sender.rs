//! The sender: a thread that posts what waits in a ledger's outbox.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::post::{Outcome, agent, post};
use super::{Destination, Patience};
use crate::id::{Micros, now};
use crate::ledger::Counted;
use crate::ledger::outbox::{self, Letter};
use crate::ledger::{Ledger, say};

/// How many events are claimed at once.
const HANDFUL: usize = 20;
/// How often it is looked for events of other processes: at first, and after nothing was found for long.
const LOOK_AROUND: Duration = Duration::from_secs(1);
const LOOK_AROUND_IDLE: Duration = Duration::from_secs(5);

/// Posts what waits in the outbox of one ledger; see the page. Lives as long as the process.
pub struct Sender {
    ledger: &'static Ledger,
    destinations: Vec<Destination>,
    patience: Patience,
    /// The process whose thread runs; a forked child starts its own.
    runs_in: AtomicU32,
    stop: AtomicBool,
}

/// What a look into the outbox has found.
enum Round {
    /// Events that were due; more may be.
    Sent,
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

    /// Starts the thread in each process that uses the ledger, with its first call: what an earlier process has left in
    /// the outbox is sent by the next one, and no thread is there before a fork.
    pub fn start_when_used(&'static self) {
        self.ledger.when_used(move || self.start());
    }

    /// Starts the thread, if it does not run in this process yet.
    pub fn start(&'static self) {
        let pid = std::process::id();
        if self.runs_in.swap(pid, Ordering::AcqRel) == pid {
            return;
        }
        if thread::Builder::new().name("ragmeter-send".to_owned()).spawn(move || self.run()).is_err() {
            self.runs_in.store(0, Ordering::Release);
            say("no thread can be started to send usage; another process will", true);
        }
    }

    /// Tells the thread to end after the request it is at.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ledger.nudge();
    }

    fn run(&self) {
        let agent = agent(self.patience.timeout);
        let (mut is_down, mut idle, mut seen) = (false, LOOK_AROUND, 0);
        while !self.stop.load(Ordering::Acquire) && !self.ledger.is_closed() {
            let wait = match self.round(&agent) {
                Ok(Round::Sent) => {
                    (is_down, idle) = (false, LOOK_AROUND);
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

    /// Sends what is due.
    fn round(&self, agent: &ureq::Agent) -> crate::error::Result<Round> {
        if self.ledger.is_missing() {
            return Ok(Round::Empty);
        }
        let names: Vec<&str> = self.destinations().collect();
        let (letters, due) = self.ledger.read(true, |store| {
            let letters = outbox::claim(store, &names, HANDFUL)?;
            let due = if letters.is_empty() { outbox::next_due(store)? } else { None };
            Ok((letters, due))
        })?;
        if letters.is_empty() {
            let left = |due: Micros| Duration::from_micros(due.saturating_sub(now()));
            return Ok(due.map_or(Round::Empty, |due| Round::Waits(left(due))));
        }
        for letter in letters {
            let Some(to) = self.destinations.iter().find(|to| *to.name == *letter.destination) else { continue };
            // No connection is held meanwhile.
            let outcome = post(agent, to, &letter);
            self.ledger.read(true, |store| match outcome {
                Outcome::Taken => {
                    self.ledger.health.count(Counted::Sent, 1);
                    outbox::sent(store, &letter)
                }
                Outcome::Later(why, wait) => {
                    let next = self.next(&letter, wait);
                    self.missed(&letter, &why, next.is_none());
                    outbox::failed(store, &letter, &why, next)
                }
                Outcome::Never(why) => {
                    self.missed(&letter, &why, true);
                    outbox::failed(store, &letter, &why, None)
                }
            })?;
        }
        Ok(Round::Sent)
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

    /// When it is tried again; `None` if that is too late.
    fn next(&self, letter: &Letter, asked: Option<Duration>) -> Option<Micros> {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let doubled =
            self.patience.first_wait.saturating_mul(1 << letter.attempts.min(20)).min(self.patience.most_wait);
        // Between half of it and all of it, so that many events do not come back at the same moment.
        let spread = ring::digest::digest(
            &ring::digest::SHA256,
            &[letter.id.0.to_le_bytes(), u128::from(now()).to_le_bytes()].concat(),
        );
        let share = u64::from(spread.as_ref().first().copied().unwrap_or(0));
        let jittered = micros(doubled) / 2 + micros(doubled) / 2 / 256 * share;
        let next = now().saturating_add(jittered.max(asked.map_or(0, micros)));
        (next <= letter.at.saturating_add(micros(self.patience.give_up))).then_some(next)
    }
}
