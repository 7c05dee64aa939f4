//! Ledger: the durable book of calls. Append, roll up, never edit.
//!
//! ```text
//! hear ──► queue ──► journal ──► database
//!          memory    a file      calls, roll-ups and outbox in one transaction
//! ```
//!
//! `hear` never waits for a database. The keeper thread moves the queue to the journal every [`TICK`], the committer
//! thread reads the journal and writes batches; both start with the first call, in each process anew. What the database
//! has is removed from the journal. A batch may reach the database twice (a crash between commit and removal): calls
//! and events have unique ids, a repeat adds nothing.
//!
//! The levels of [`Durability`] differ only in when a call reaches the journal: after at most [`TICK`], before `hear`
//! returns, or on the disk itself before `hear` returns.
//!
//! Order of locks: slot, journal, queue, progress. Nothing is logged while one of them is held.

#![allow(clippy::format_collect, clippy::format_push_string)] // statements are texts of many parts

mod batch;
pub(crate) mod dialect;
mod entry;
pub mod fork;
mod health;
mod journal;
pub mod outbox;
pub mod query;
pub(crate) mod schema;
pub(crate) mod store;
pub mod target;
mod upkeep;
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use batch::Sum;
pub use entry::Event;
pub use health::Health;
pub use query::{CallRow, Filter, UsageRow};
pub use upkeep::Difference;

use crate::call::Call;
use crate::error::{Error, Kind, Result};
use crate::meter::Meter;
use crate::run::Listener;
pub(crate) use health::Trouble as Counted;
use journal::{Journal, Trouble};
use store::{Care, Store};
use target::{Engine, Target};

/// How long a call stays in memory at most while the ledger is `relaxed`.
pub const TICK: Duration = Duration::from_millis(20);
/// A queue of this many bytes is moved to the journal by whoever fills it.
const FULL_QUEUE: usize = 4 << 20;
/// What a queue may hold while even the journal cannot be written.
const MOST_QUEUE: usize = 64 << 20;

/// From when on a call is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A kill loses at most the last 50 milliseconds.
    #[default]
    Relaxed,
    /// Survives a kill as soon as it is recorded.
    Journal,
    /// Survives a power cut as soon as it is recorded.
    Fsync,
}

impl Durability {
    /// The level of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "relaxed" => Some(Self::Relaxed),
            "journal" => Some(Self::Journal),
            "fsync" => Some(Self::Fsync),
            _ => None,
        }
    }

    /// The name used at every door.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Journal => "journal",
            Self::Fsync => "fsync",
        }
    }
}

/// How a ledger is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// From when on a call is safe.
    pub durability: Durability,
    /// Folder of the journal; `None` for the usual one.
    pub journal: Option<PathBuf>,
    /// How many bytes the journal of a process may take.
    pub journal_limit: u64,
    /// Whether whoever records calls [`Ledger::settle`] himself afterwards, as the Python window does without the GIL.
    pub settled_by_caller: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { durability: Durability::default(), journal: None, journal_limit: 1 << 30, settled_by_caller: false }
    }
}

/// The durable book of calls; see the page. Lives as long as the process.
pub struct Ledger {
    /// Where it is.
    pub target: Target,
    /// What happened to it.
    pub health: Health,
    config: Config,
    folder: PathBuf,
    /// The connection of a database of one file, which must be closed before a fork.
    slot: Mutex<Option<Box<dyn Store>>>,
    journal: Mutex<Journal>,
    queue: Mutex<Queue>,
    filled: Condvar,
    progress: Mutex<Progress>,
    moved: Condvar,
    appended: AtomicU64,
    /// Whether the committer is to look for journals of processes that are gone.
    look: AtomicBool,
    /// A forked child that cannot use its copy of the database's library: it only keeps a journal.
    cut_off: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    spare: Vec<u8>,
    entries: u64,
    /// How many of the entries were counted as exposed.
    exposed: u64,
    running: bool,
    asleep: bool,
    closing: bool,
}

#[derive(Debug, Default)]
struct Progress {
    committed: u64,
    stop: bool,
    stopped: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hears what the ledger has to say to people: the text, and whether it is bad news.
pub type Notice = Box<dyn Fn(&str, bool) + Send + Sync>;

static NOTICE: OnceLock<Notice> = OnceLock::new();

/// Lets `notice` hear what ledgers and deliveries have to say; the first one stays.
pub fn set_notice(notice: Notice) {
    let _ = NOTICE.set(notice);
}

pub(crate) fn say(text: &str, bad: bool) {
    if let Some(notice) = NOTICE.get() {
        notice(text, bad);
    }
}

impl Ledger {
    /// Makes a ledger of that URL. Does not connect: see [`Ledger::check`].
    pub fn open(url: &str, config: Config) -> Result<&'static Self> {
        let target = Target::parse(url)?;
        let folder = match &config.journal {
            Some(folder) => folder.clone(),
            None => usual_folder(&target),
        };
        let journal = Journal::new(folder.clone(), config.journal_limit, config.durability == Durability::Fsync);
        // It outlives every thread that uses it, and a forked child finds it where it was.
        let ledger: &'static Self = Box::leak(Box::new(Self {
            target,
            health: Health::default(),
            config,
            folder,
            slot: Mutex::default(),
            journal: Mutex::new(journal),
            queue: Mutex::default(),
            filled: Condvar::new(),
            progress: Mutex::default(),
            moved: Condvar::new(),
            appended: AtomicU64::new(0),
            look: AtomicBool::new(true),
            cut_off: AtomicBool::new(false),
        }));
        fork::register(ledger);
        Ok(ledger)
    }

    /// Connects and brings the schema up to date.
    pub fn check(&self) -> Result<()> {
        self.read(false, |_| Ok(()))
    }

    /// From when on a call is safe.
    pub fn durability(&self) -> Durability {
        self.config.durability
    }

    /// Folder of the journal.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Hears every call of `meter` from now on; the answer ends it when given to [`Meter::unlisten`].
    pub fn attach(&'static self, meter: &Meter) -> Arc<dyn Listener> {
        let ear: Arc<dyn Listener> = Arc::new(Ear(self));
        meter.listen(Arc::clone(&ear));
        ear
    }

    /// Takes one call.
    pub fn append(&'static self, call: &Call) {
        self.enqueue(|bytes| entry::put_call(bytes, call));
    }

    /// Takes one event, to be sent after every call that was appended before it is in the database.
    pub fn append_event(&'static self, event: &Event) {
        self.enqueue(|bytes| entry::put_event(bytes, event));
    }

    fn enqueue(&'static self, put: impl FnOnce(&mut Vec<u8>)) {
        let (start, wake, settle) = {
            let mut queue = lock(&self.queue);
            put(&mut queue.bytes);
            queue.entries += 1;
            let start = !std::mem::replace(&mut queue.running, true);
            let wake = std::mem::take(&mut queue.asleep);
            let now = self.config.durability != Durability::Relaxed && !self.config.settled_by_caller;
            (start, wake, now || queue.closing || queue.bytes.len() > FULL_QUEUE)
        };
        self.health.count(Counted::Heard, 1);
        if start {
            work::start(self);
        }
        if wake {
            self.filled.notify_one();
        }
        if settle {
            self.settle();
        }
    }

    /// Makes what was appended as safe as the ledger's durability says. Waits for the file system, never for the
    /// database.
    pub fn settle(&self) {
        let mut news = None;
        {
            let mut journal = lock(&self.journal);
            let (mut bytes, entries, exposed) = {
                let mut queue = lock(&self.queue);
                if queue.bytes.is_empty() {
                    return;
                }
                let spare = std::mem::take(&mut queue.spare);
                let bytes = std::mem::replace(&mut queue.bytes, spare);
                (bytes, std::mem::take(&mut queue.entries), std::mem::take(&mut queue.exposed))
            };
            match journal.append(&bytes) {
                Ok(()) => {}
                Err(Trouble::Full) => {
                    self.health.count(Counted::Refused, entries);
                    let limit = self.config.journal_limit;
                    news = Some(format!("its journal has reached {limit} bytes and takes no more; calls are LOST"));
                }
                Err(Trouble::Io(error)) => {
                    self.health.count(Counted::Exposed, entries.saturating_sub(exposed));
                    let mut queue = lock(&self.queue);
                    if bytes.len() + queue.bytes.len() > MOST_QUEUE {
                        self.health.count(Counted::Refused, entries);
                        news =
                            Some(format!("its journal cannot be written ({error}) and memory is full; calls are LOST"));
                    } else {
                        news = Some(format!(
                            "its journal cannot be written ({error}); calls wait in memory, not yet safe"
                        ));
                        bytes.extend_from_slice(&queue.bytes);
                        std::mem::swap(&mut queue.bytes, &mut bytes);
                        queue.entries += entries;
                        queue.exposed = entries;
                    }
                }
            }
            bytes.clear();
            lock(&self.queue).spare = bytes;
            self.appended.store(journal.appended, Ordering::Release);
        }
        if let Some(news) = news
            && self.health.is_time_to_speak()
        {
            say(&format!("ledger {}: {news}", self.target), true);
        }
    }

    /// Waits until the database has every call appended so far, and those that processes which are gone left in their
    /// journals; whether it has.
    pub fn flush(&'static self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        self.settle();
        let start = {
            let mut queue = lock(&self.queue);
            !queue.closing && !std::mem::replace(&mut queue.running, true)
        };
        if start {
            work::start(self);
        }
        let aim = self.appended.load(Ordering::Acquire);
        self.look.store(true, Ordering::Release);
        self.moved.notify_all();
        loop {
            let left_behind = self.look.load(Ordering::Acquire) || lock(&self.journal).has_adopted();
            let progress = lock(&self.progress);
            if progress.committed >= aim && (!left_behind || progress.stopped) {
                drop(progress);
                return lock(&self.queue).exposed == 0;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || progress.stopped {
                return false;
            }
            drop(self.moved.wait_timeout(progress, left.min(TICK)));
        }
    }

    /// Flushes and ends the threads. What the database does not take in time stays in the journal for the next process.
    /// Calls that come later go straight to the journal.
    pub fn close(&'static self, timeout: Duration) -> bool {
        let flushed = !lock(&self.queue).running || self.flush(timeout);
        let running = {
            let mut queue = lock(&self.queue);
            queue.closing = true;
            queue.asleep = false;
            std::mem::replace(&mut queue.running, true)
        };
        self.filled.notify_one();
        self.settle();
        if !running {
            return flushed;
        }
        let mut progress = lock(&self.progress);
        progress.stop = true;
        self.moved.notify_all();
        let deadline = Instant::now() + Duration::from_millis(500);
        while !progress.stopped && Instant::now() < deadline {
            progress = self.moved.wait_timeout(progress, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
        flushed
    }

    /// Lets `work` use a connection of its own.
    pub(crate) fn read<T>(&self, must_exist: bool, work: impl FnOnce(&mut dyn Store) -> Result<T>) -> Result<T> {
        if self.cut_off.load(Ordering::Relaxed) {
            return Err(Error::new(
                Kind::Unavailable,
                "this process was forked while its parent was using SQLite; read the ledger from another one",
            ));
        }
        let missing = self.target.engine == Engine::Sqlite && !std::path::Path::new(&*self.target.address).exists();
        if must_exist && missing {
            return Err(Error::new(Kind::Unavailable, format!("there is no ledger at {}", self.target)));
        }
        let _reading = fork::reading();
        let mut store = store::connect(&self.target, self.care())?;
        let secret = self.target.password();
        work(&mut *store).map_err(|error| Error::new(error.kind, format!("{}: {error}", self.target)).without(secret))
    }

    fn care(&self) -> Care {
        if self.config.durability == Durability::Fsync { Care::Full } else { Care::Usual }
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("target", &self.target).finish_non_exhaustive()
    }
}

struct Ear(&'static Ledger);

impl Listener for Ear {
    fn hear(&self, call: &Call) {
        self.0.append(call);
    }

    fn identity(&self) -> usize {
        std::ptr::from_ref(self.0).addr()
    }
}

/// Beside the file of a ledger in SQLite, else in the user's folder for what programs keep.
fn usual_folder(target: &Target) -> PathBuf {
    if target.engine == Engine::Sqlite {
        return PathBuf::from(format!("{}-spool", target.address));
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(std::env::temp_dir);
    let digest = ring::digest::digest(&ring::digest::SHA256, target.to_string().as_bytes());
    let name: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    state.join("ragmeter").join(name)
}
