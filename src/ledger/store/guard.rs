//! Guard: what keeps another copy of `SQLite` in this process, such as Python's own, from harming ours.
//!
//! `SQLite`'s locks belong to the process, so two copies in one process do not see each other's. One that opens the file
//! takes itself for the first who uses it, and empties the memory that all users share; one that closes it takes itself
//! for the last, and deletes the log that ours writes to: nobody else would see any more what it writes. And whoever
//! closes a file in a process drops all locks that the process has on it. Locks that belong to an open file instead are
//! seen by both and stay. Where the system has none there is no guard.
//!
//! Source: `SQLite`'s `os_unix.c` (bytes) and "How To Corrupt An SQLite Database File", 2.2; read 2026-11-28.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The bytes of a database that whoever reads it holds a shared lock on.
const SHARED: (i64, i64) = (0x4000_0002, 510);
/// The byte of its shared memory on which every user has a shared lock.
const USERS: (i64, i64) = (128, 1);

/// Which file it is, and which shared memory.
type Place = [(u64, u64); 2];

/// The guards of this process. A file has one at most: closing a second would drop the locks of all connections.
static GUARDS: Mutex<Vec<(Place, Weak<Guard>)>> = Mutex::new(Vec::new());

/// Open files with locks of their own, as long as there are connections to what they guard.
pub(super) struct Guard {
    _files: [Option<File>; 2],
}

impl Guard {
    /// The guard of the database at `path`, for a connection that has looked into it. It must outlive the connection.
    pub(super) fn of(path: &Path) -> Option<Arc<Self>> {
        let memory = beside(path, "-shm");
        let place = [super::sqlite::file_at(path)?, super::sqlite::file_at(&memory)?];
        let mut guards = GUARDS.lock().unwrap_or_else(PoisonError::into_inner);
        guards.retain(|(_, guard)| guard.strong_count() > 0);
        let known = guards.iter().find(|(known, _)| *known == place);
        if let Some(guard) = known.and_then(|(_, guard)| guard.upgrade()) {
            return Some(guard);
        }
        let guard = Arc::new(Self { _files: [hold(path, SHARED), hold(&memory, USERS)] });
        guards.push((place, Arc::downgrade(&guard)));
        Some(guard)
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Opens a file and holds a shared lock on some of its bytes. Where it gets none the file stays open all the same: closing
/// it now would drop the locks of the connection.
#[cfg(target_os = "linux")]
fn hold(path: &Path, (start, length): (i64, i64)) -> Option<File> {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc::{F_RDLCK, SEEK_SET, flock};

    let file = File::open(path).ok()?;
    let (l_type, l_whence) = (i16::try_from(F_RDLCK).ok()?, i16::try_from(SEEK_SET).ok()?);
    let lock = flock { l_type, l_whence, l_start: start, l_len: length, l_pid: 0 };
    let _ = fcntl(&file, FcntlArg::F_OFD_SETLK(&lock));
    Some(file)
}

#[cfg(not(target_os = "linux"))]
fn hold(_path: &Path, _bytes: (i64, i64)) -> Option<File> {
    None
}
