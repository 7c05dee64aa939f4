//! Config: how a ledger is kept, and what that promises.

use std::path::PathBuf;

use super::target::{Engine, Target};

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
    /// Whether whoever records settles the ledger himself afterwards where it is due, as the Python window does without
    /// the GIL.
    pub settled_by_caller: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { durability: Durability::default(), journal: None, journal_limit: 1 << 30, settled_by_caller: false }
    }
}

/// Beside the file of a ledger in SQLite, else in the user's folder for what programs keep.
pub(super) fn usual_folder(target: &Target) -> PathBuf {
    if target.engine == Engine::Sqlite {
        return PathBuf::from(format!("{}-spool", target.address));
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home).unwrap_or_else(std::env::temp_dir);
    let digest = ring::digest::digest(&ring::digest::SHA256, target.to_string().as_bytes());
    let name: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    state.join("ragmeter").join(name)
}
