//! Journal: the files beside the process that hold what the database does not hold yet.
//!
//! Each process writes files of its own and keeps them locked; a file whose lock is free was left behind by a process
//! that is gone, and belongs to whoever locks it first. Files are read in order of their names, which begin with the
//! time they were made at.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::id::now;

/// First bytes of a file; the number is the version of the format.
const HEAD: &[u8; 8] = b"ragmetr1";
/// A file that has grown beyond this is followed by a new one.
const SEGMENT: u64 = 16 << 20;

/// Why something could not be put into the journal.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The journal is as large as it may get.
    Full,
    /// The file system did not take it.
    Io(io::Error),
}

/// A file of the journal; locked as long as it is open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    file: File,
    pub(super) length: u64,
}

/// The journal of this process; see the page.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    limit: u64,
    sync: bool,
    /// The last one is written to.
    own: VecDeque<Segment>,
    /// Left behind by processes that are gone.
    adopted: VecDeque<Segment>,
    /// How many bytes of entries were ever appended.
    pub(super) appended: u64,
}

impl Segment {
    fn create(folder: &Path) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(folder)?;
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(format!("{:016x}-{pid}-{count}.journal", now()));
        // It gets its name when it is locked: before, it would look as if its owner were gone.
        let unnamed = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create_new(true).open(&unnamed)?;
        let named = file.lock().and_then(|()| file.write_all(HEAD)).and_then(|()| fs::rename(&unnamed, &path));
        if let Err(error) = named {
            let _ = fs::remove_file(&unnamed);
            return Err(error);
        }
        Ok(Self { path, file, length: HEAD.len() as u64 })
    }

    /// The file, if nobody holds it; `None` if somebody does.
    fn adopt(path: &Path) -> io::Result<Option<Self>> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held it may have finished and removed it between the two steps.
        if !path.exists() {
            return Ok(None);
        }
        let mut head = [0; HEAD.len()];
        let is_whole = file.read_exact(&mut head).is_ok();
        if is_whole && head != *HEAD && head.starts_with(b"ragmetr") {
            return Ok(None); // a newer format: the ragmeter that wrote it will read it
        }
        let length = file.metadata()?.len();
        Ok(Some(Self { path: path.into(), file, length }))
    }

    fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a file of the journal piece by piece.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) path: PathBuf,
    file: File,
    /// How far it has been dealt with.
    pub(super) offset: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut head = [0; HEAD.len()];
        let offset = match file.read_exact(&mut head) {
            Ok(()) if head == *HEAD => HEAD.len() as u64,
            _ => 0,
        };
        Ok(Self { path: path.into(), file, offset })
    }

    /// At most `most` bytes from where it stands up to `end`.
    pub(super) fn read(&mut self, end: u64, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        let length = end.saturating_sub(self.offset).min(most as u64);
        self.file.seek(SeekFrom::Start(self.offset))?;
        (&self.file).take(length).read_to_end(into)?;
        Ok(())
    }
}

impl Journal {
    pub(super) fn new(folder: PathBuf, limit: u64, sync: bool) -> Self {
        Self { folder, limit, sync, own: VecDeque::new(), adopted: VecDeque::new(), appended: 0 }
    }

    /// Writes whole entries at the end; all of them or none.
    pub(super) fn append(&mut self, entries: &[u8]) -> Result<(), Trouble> {
        if self.bytes().saturating_add(entries.len() as u64) > self.limit {
            return Err(Trouble::Full);
        }
        let fresh = self.own.back().is_none_or(|segment| segment.length > SEGMENT);
        if fresh {
            self.own.push_back(Segment::create(&self.folder).map_err(Trouble::Io)?);
        }
        let Some(segment) = self.own.back_mut() else { return Err(Trouble::Full) };
        let written = segment.file.write_all(entries).and_then(|()| {
            if self.sync {
                segment.file.sync_data()?;
            }
            if self.sync && fresh {
                File::open(&self.folder)?.sync_all()?;
            }
            Ok(())
        });
        if let Err(error) = written {
            let back = segment.file.set_len(segment.length);
            let _ = segment.file.seek(SeekFrom::Start(segment.length));
            if back.is_err() {
                // What is after a torn entry is found again by its checksum; a new file is safer still.
                segment.length = segment.length.max(SEGMENT + 1);
            }
            return Err(Trouble::Io(error));
        }
        segment.length += entries.len() as u64;
        self.appended += entries.len() as u64;
        Ok(())
    }

    /// How many bytes the files of this process take.
    pub(super) fn bytes(&self) -> u64 {
        self.own.iter().chain(&self.adopted).map(|segment| segment.length).sum()
    }

    /// The file to deal with next and its length; those that were left behind come first.
    pub(super) fn oldest(&self) -> Option<(PathBuf, u64, bool)> {
        let adopted = self.adopted.front().map(|segment| (segment, true));
        let (segment, is_adopted) = adopted.or_else(|| Some((self.own.front()?, false)))?;
        Some((segment.path.clone(), segment.length, is_adopted))
    }

    /// Forgets the file at `path`, which was dealt with up to `offset`, unless it is still written to. `aside` keeps it
    /// under another name.
    pub(super) fn finish(&mut self, path: &Path, offset: u64, aside: bool, closing: bool) {
        let done = |segment: &Segment| segment.path == path && segment.length <= offset;
        let finished = if self.adopted.front().is_some_and(done) {
            self.adopted.pop_front()
        } else if self.own.front().is_some_and(done) && (self.own.len() > 1 || closing || offset > SEGMENT / 4) {
            self.own.pop_front()
        } else {
            None
        };
        match finished {
            Some(segment) if aside => {
                let _ = fs::rename(&segment.path, segment.path.with_extension("damaged"));
            }
            Some(segment) => segment.remove(),
            None => {}
        }
    }

    /// Takes over what processes that are gone have left behind.
    pub(super) fn adopt(&mut self) -> io::Result<usize> {
        let mut paths: Vec<PathBuf> = match fs::read_dir(&self.folder) {
            Ok(found) => found.filter_map(|entry| Some(entry.ok()?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        paths.retain(|path| path.extension().is_some_and(|end| end == "journal"));
        paths.retain(|path| !self.own.iter().chain(&self.adopted).any(|segment| segment.path == *path));
        paths.sort();
        let (before, mut trouble) = (self.adopted.len(), None);
        for path in paths {
            match Segment::adopt(&path) {
                Ok(Some(segment)) => self.adopted.push_back(segment),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => trouble = Some(error),
            }
        }
        match (self.adopted.len() - before, trouble) {
            (0, Some(error)) => Err(error),
            (adopted, _) => Ok(adopted), // of what cannot be read the next look tells
        }
    }

    /// Whether files that were left behind are still to be dealt with.
    pub(super) fn has_adopted(&self) -> bool {
        !self.adopted.is_empty()
    }

    /// Lets go of every file without removing it: another process owns them now.
    pub(super) fn let_go(&mut self) {
        self.own.clear();
        self.adopted.clear();
        self.appended = 0;
    }

    /// Appends entries that no database takes to a file that is only ever read by people.
    pub(super) fn set_aside(&self, entry: &[u8]) -> io::Result<()> {
        let path = self.folder.join("refused.entries");
        OpenOptions::new().create(true).append(true).open(path)?.write_all(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ragmeter-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_is_appended_is_read_in_order_and_then_removed() {
        let folder = folder("order");
        let mut journal = Journal::new(folder.clone(), 1 << 30, true);
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        let (path, length, adopted) = journal.oldest().unwrap();
        let (mut reader, mut read) = (Reader::open(&path).unwrap(), Vec::new());
        reader.read(length, 100, &mut read).unwrap();
        assert_eq!((&*read, adopted), (&b"onetwo"[..], false));
        journal.finish(&path, length, false, true);
        assert!(journal.oldest().is_none() && fs::read_dir(&folder).unwrap().next().is_none());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_is_adopted_once_its_owner_is_gone_and_by_one_only() {
        let folder = folder("adopt");
        let mut owner = Journal::new(folder.clone(), 1 << 30, false);
        owner.append(b"left behind").unwrap();
        let mut heir = Journal::new(folder.clone(), 1 << 30, false);
        assert_eq!(heir.adopt().unwrap(), 0);
        drop(owner);
        assert_eq!(heir.adopt().unwrap(), 1);
        assert_eq!(Journal::new(folder.clone(), 1 << 30, false).adopt().unwrap(), 0);
        assert!(heir.oldest().unwrap().2);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nobody_adopts_a_file_that_is_being_made() {
        let folder = folder("being-made");
        let owners = std::thread::spawn({
            let folder = folder.clone();
            move || {
                let owner = |_| {
                    let mut owner = Journal::new(folder.clone(), 1 << 30, false);
                    owner.append(b"mine").unwrap();
                    owner
                };
                (0..300).map(owner).collect::<Vec<_>>()
            }
        });
        let mut heir = Journal::new(folder.clone(), 1 << 30, false);
        while !owners.is_finished() {
            assert_eq!(heir.adopt().unwrap(), 0);
        }
        drop(owners.join().unwrap());
        assert_eq!(heir.adopt().unwrap(), 300);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_nobody_from_the_others() {
        let folder = folder("unreadable");
        fs::create_dir_all(folder.join("0.journal")).unwrap();
        let mut owner = Journal::new(folder.clone(), 1 << 30, false);
        owner.append(b"left behind").unwrap();
        drop(owner);
        let mut heir = Journal::new(folder.clone(), 1 << 30, false);
        assert_eq!(heir.adopt().unwrap(), 1);
        assert!(heir.adopt().is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nothing_is_taken_beyond_the_limit() {
        let folder = folder("limit");
        let mut journal = Journal::new(folder.clone(), 100, false);
        journal.append(&[1; 60]).unwrap();
        assert!(matches!(journal.append(&[1; 60]), Err(Trouble::Full)));
        assert_eq!(journal.oldest().unwrap().1, 68);
        fs::remove_dir_all(folder).unwrap();
    }
}
