//! Work: the two threads of a ledger. The keeper moves the queue to the journal, the committer the journal to the
//! database.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, Found, Maker};
use super::journal::Reader;
use super::store::{self, Store};
use super::target::Engine;
use super::{Counted, Ledger, TICK, lock, say};
use crate::error::{Error, Kind, Result};

/// Entries of one transaction.
const MOST_ENTRIES: usize = 8192;
/// Bytes of the journal that are read at once.
const PIECE: usize = 4 << 20;
/// The longest entry and its frame.
const LONGEST: usize = 17 << 20;
/// How often to look for journals of processes that are gone.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// A keeper that has found nothing for so many ticks waits to be woken.
const IDLE_TICKS: u32 = 50;
const MOST_PATIENCE: Duration = Duration::from_secs(2);

/// Starts the threads.
pub(super) fn start(ledger: &'static Ledger) {
    let keeper = thread::Builder::new().name("ragmeter-keep".to_owned()).spawn(move || keep(ledger));
    let committer = if ledger.cut_off.load(Ordering::Relaxed) {
        lock(&ledger.progress).stopped = true;
        Ok(())
    } else {
        thread::Builder::new().name("ragmeter-commit".to_owned()).spawn(move || Committer::new(ledger).run()).map(drop)
    };
    if keeper.is_err() || committer.is_err() {
        // No thread can be had: whoever records writes the journal himself, a later process commits.
        lock(&ledger.queue).closing = true;
        say(&format!("ledger {}: no thread can be started; calls go to the journal only", ledger.target), true);
    }
    if !ledger.cut_off.load(Ordering::Relaxed) {
        lock(&ledger.beginnings).iter().for_each(|begin| begin());
    }
}

fn keep(ledger: &'static Ledger) {
    let mut idle = 0;
    loop {
        {
            let mut queue = lock(&ledger.queue);
            if queue.closing {
                break;
            }
            idle = if queue.bytes.is_empty() { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                queue.asleep = true;
                while queue.asleep && !queue.closing {
                    queue = ledger.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                idle = 0;
            }
        }
        thread::sleep(TICK);
        ledger.settle();
        ledger.moved.notify_all();
    }
    ledger.settle();
    ledger.moved.notify_all();
}

/// Lets the host's threads go first where they want the same core: writing has time, a loop that answers has none.
fn give_way() {
    // On Linux each thread has a niceness of its own; elsewhere it would be that of the whole process.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(5);
}

struct Committer {
    ledger: &'static Ledger,
    /// The connection to a server; that of a file is in the ledger's slot.
    store: Option<Box<dyn Store>>,
    maker: Maker,
    reader: Option<Reader>,
    piece: Vec<u8>,
    damaged: bool,
    is_down: bool,
    /// The file that was written to is gone.
    has_moved: bool,
    looked_around: Option<Instant>,
}

impl Committer {
    fn new(ledger: &'static Ledger) -> Self {
        Self {
            ledger,
            store: None,
            maker: Maker::default(),
            reader: None,
            piece: Vec::new(),
            damaged: false,
            is_down: false,
            has_moved: false,
            looked_around: None,
        }
    }

    fn run(mut self) {
        give_way();
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) if self.bring_exposed() => {}
                Ok(false) => {
                    if self.rest(Duration::from_secs(1)) {
                        break;
                    }
                }
                Err(error) => {
                    self.reader = None;
                    self.complain(&format!("its journal cannot be read: {error}"));
                    if self.rest(MOST_PATIENCE) {
                        break;
                    }
                }
            }
        }
        if !self.is_down {
            // Removes the file whose whole content is in the database by now.
            let _ = self.step();
        }
        if let Some(mut store) = lock(&self.ledger.slot).take() {
            store.tidy();
        }
        self.store = None;
        lock(&self.ledger.progress).stopped = true;
        self.ledger.moved.notify_all();
    }

    /// Waits for something to do; whether to stop.
    fn rest(&self, patience: Duration) -> bool {
        let progress = lock(&self.ledger.progress);
        if progress.stop {
            return true;
        }
        if self.ledger.look.load(Ordering::Acquire) {
            return false;
        }
        let waited = self.ledger.moved.wait_timeout(progress, patience).unwrap_or_else(PoisonError::into_inner);
        waited.0.stop && self.ledger.appended.load(Ordering::Acquire) <= waited.0.committed
    }

    fn is_stopping(&self) -> bool {
        lock(&self.ledger.progress).stop
    }

    /// Deals with the next piece of the journal; whether there was one.
    fn step(&mut self) -> std::io::Result<bool> {
        let is_due = self.looked_around.is_none_or(|at| at.elapsed() > LOOK_AROUND) && !self.is_stopping();
        if is_due || self.ledger.look.load(Ordering::Acquire) {
            self.looked_around = Some(Instant::now());
            let adopted = lock(&self.ledger.journal).adopt();
            self.ledger.look.store(false, Ordering::Release);
            let adopted = adopted?;
            self.ledger.health.count(Counted::Adopted, adopted as u64);
        }
        let oldest = lock(&self.ledger.journal).oldest();
        let Some((path, length, is_adopted)) = oldest else { return Ok(false) };
        if self.reader.as_ref().is_none_or(|reader| reader.path != path) {
            self.reader = Some(Reader::open(&path)?);
            self.damaged = false;
        }
        let Some(reader) = &mut self.reader else { return Ok(false) };
        if reader.offset >= length {
            let offset = reader.offset;
            let mut journal = lock(&self.ledger.journal);
            let closing = lock(&self.ledger.queue).closing;
            journal.finish(&path, offset, self.damaged, closing);
            self.ledger.moved.notify_all();
            let more = journal.oldest().is_some_and(|(next, length, _)| next != path || length > offset);
            return Ok(more);
        }
        reader.read(length, PIECE, &mut self.piece)?;
        let mut found = self.maker.read(&self.piece, MOST_ENTRIES);
        if found.used == 0 && found.cut && self.piece.len() == PIECE {
            reader.read(length, LONGEST, &mut self.piece)?;
            found = self.maker.read(&self.piece, MOST_ENTRIES);
        }
        if found.used == 0 {
            // The end is missing, or a damaged length says so: what looks like an entry further on is one.
            let rest = self.piece.get(1..).unwrap_or_default();
            let skipped = 1 + memchr::memchr(0xA7, rest).unwrap_or(rest.len());
            found = Found { used: skipped, damaged: skipped, ..Found::default() };
        }
        let (used, damaged) = (found.used as u64, found.damaged as u64);
        if damaged > 0 {
            self.ledger.health.count(Counted::DamagedBytes, damaged);
            if !std::mem::replace(&mut self.damaged, true) {
                let path = path.display();
                say(
                    &format!(
                        "ledger {}: bytes of its journal {path} cannot be read; what can be is kept",
                        self.ledger.target
                    ),
                    true,
                );
            }
        }
        let has_events = !found.batch.events.is_empty();
        if !self.commit(found.batch) {
            return Ok(false);
        }
        if has_events {
            lock(&self.ledger.progress).events += 1;
            self.ledger.moved.notify_all();
        }
        if let Some(reader) = &mut self.reader {
            reader.offset += used;
        }
        if !is_adopted {
            lock(&self.ledger.progress).committed += used;
            self.ledger.moved.notify_all();
        }
        Ok(true)
    }

    /// Brings what waits in memory because the journal cannot be written; whether there was any.
    fn bring_exposed(&mut self) -> bool {
        let Some(ticket) = self.ledger.copy_exposed(PIECE, &mut self.piece) else { return false };
        let found = self.maker.read(&self.piece, MOST_ENTRIES);
        let (used, entries) = (found.used, found.entries);
        let has_events = !found.batch.events.is_empty();
        if used == 0 || !self.commit(found.batch) {
            return false;
        }
        self.ledger.forget_exposed(ticket, used, entries);
        if has_events {
            lock(&self.ledger.progress).events += 1;
        }
        self.ledger.moved.notify_all();
        true
    }

    /// Writes a batch, however long it takes; `false` if it was told to stop before.
    fn commit(&mut self, mut batch: Batch) -> bool {
        if batch.rows.is_empty() && batch.events.is_empty() {
            return true;
        }
        let mut patience = Duration::from_millis(20);
        loop {
            let attempted = self.attempt(&batch);
            if std::mem::take(&mut self.has_moved) {
                say(&format!("ledger {}: the file is not there any more; a new one is made", self.ledger.target), true);
            }
            match attempted {
                Ok(new) => {
                    let health = &self.ledger.health;
                    health.count(Counted::Batches, 1);
                    health.count(Counted::Written, new as u64);
                    health.count(Counted::Repeated, (batch.rows.len() - new) as u64);
                    if std::mem::take(&mut self.is_down) {
                        say(&format!("ledger {}: takes calls again", self.ledger.target), false);
                    }
                    return true;
                }
                Err(error) if error.kind == Kind::Unfit => {
                    let (rows, events) = (batch.rows.len(), batch.events.len());
                    if rows + events == 1 {
                        self.set_aside(&batch, &error);
                        return true;
                    }
                    let rest =
                        Batch { rows: batch.rows.split_off(rows / 2), events: batch.events.split_off(events / 2) };
                    let (first, second) = if rows / 2 + events / 2 == 0 {
                        (
                            Batch { rows: rest.rows, ..Batch::default() },
                            Batch { events: rest.events, ..Batch::default() },
                        )
                    } else {
                        (batch, rest)
                    };
                    return self.commit(first) && self.commit(second);
                }
                Err(error) if matches!(error.kind, Kind::Busy | Kind::Duplicate) => {
                    // Spread by the process's own clock, so that two do not meet again.
                    thread::sleep(Duration::from_micros(1000 + crate::id::now() % 9000));
                }
                Err(error) => {
                    self.store = None;
                    if self.ledger.target.engine == Engine::Sqlite {
                        lock(&self.ledger.slot).take();
                    }
                    if !std::mem::replace(&mut self.is_down, true) {
                        self.ledger.health.count(Counted::Outages, 1);
                        say(
                            &format!("ledger {error}; calls wait in the journal {}", self.ledger.folder.display()),
                            true,
                        );
                    }
                    let until = Instant::now() + patience;
                    while Instant::now() < until {
                        if self.is_stopping() {
                            return false;
                        }
                        thread::sleep(TICK);
                    }
                    patience = (patience * 2).min(MOST_PATIENCE);
                }
            }
        }
    }

    fn attempt(&mut self, batch: &Batch) -> Result<usize> {
        let ledger = self.ledger;
        let mut slot;
        let place = if ledger.target.engine == Engine::Sqlite {
            slot = lock(&ledger.slot);
            &mut *slot
        } else {
            &mut self.store
        };
        if place.as_ref().is_some_and(|store| !store.is_current()) {
            *place = None;
            self.has_moved = true;
        }
        let store = match place {
            Some(store) => store,
            None => place.insert(store::connect(&ledger.target, ledger.care())?),
        };
        store.write(batch).map_err(|error| {
            Error::new(error.kind, format!("{}: {error}", ledger.target)).without(ledger.target.password())
        })
    }

    fn set_aside(&self, batch: &Batch, error: &Error) {
        self.ledger.health.count(Counted::SetAside, 1);
        let text = format!("{error}: {batch:?}\n");
        let kept = lock(&self.ledger.journal).set_aside(text.as_bytes());
        let where_to = if kept.is_ok() { "stands in refused.entries beside the journal" } else { "is lost" };
        self.complain(&format!("the database does not take a call ({error}); it {where_to}"));
    }

    fn complain(&self, text: &str) {
        if self.ledger.health.is_time_to_speak() {
            say(&format!("ledger {}: {text}", self.ledger.target), true);
        }
    }
}
