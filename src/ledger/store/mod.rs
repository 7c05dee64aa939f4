//! Store: a connection to one of the databases.

mod guard;
mod literal;
mod mysql;
mod postgres;
mod sqlite;
mod tls;

use std::collections::HashSet;

use super::batch::{Batch, Row};
use super::dialect::Dialect;
use super::schema;
use super::target::{Engine, Target};
use crate::error::{Error, Kind, Result};

/// One value of a row that was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

impl Cell {
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Null => None,
            Self::Int(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    pub(crate) fn count(&self) -> Option<u64> {
        u64::try_from(self.int()?).ok()
    }

    pub(crate) fn id(&self) -> Option<u128> {
        u128::from_str_radix(self.text()?, 16).ok()
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Int(_) => None,
        }
    }

    pub(crate) fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Int(number) => Some(number.to_string()),
            Self::Null => None,
        }
    }
}

/// A connection; see the page.
pub(crate) trait Store: Send {
    /// Its way of speaking.
    fn dialect(&self) -> Dialect;

    /// Whether what it writes to is still where it was opened.
    fn is_current(&self) -> bool {
        true
    }

    /// Leaves the database as somebody finds it best who copies it, if nobody else uses it.
    fn tidy(&mut self) {}

    /// Runs one statement; how many rows it changed.
    fn run(&mut self, sql: &str) -> Result<u64>;

    /// Selects.
    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>>;

    /// Writes a batch in one transaction: all of it or nothing, and of what is there already nothing. How many calls
    /// were new.
    fn write(&mut self, batch: &Batch) -> Result<usize>;

    /// Inserts rows; fails with [`Kind::Duplicate`] if one of them is there already.
    fn insert(&mut self, rows: &[&Row]) -> Result<()>;

    /// The one number that is selected; 0 if there is none.
    fn number(&mut self, sql: &str) -> Result<i64> {
        Ok(self.rows(sql)?.first().and_then(|row| row.first()?.int()).unwrap_or(0))
    }
}

/// How careful a database of one file is with what it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// A power cut may undo the newest commits; they are still in the journal or were in memory.
    Usual,
    /// A commit survives a power cut.
    Full,
}

/// How many sets of labels a connection remembers to have written.
const MOST_KNOWN: usize = 100_000;

/// Remembers the sets of labels that have been written; all are forgotten when they are too many, and written again.
fn remember(known: &mut HashSet<i64>, fresh: Vec<i64>) {
    if known.len() > MOST_KNOWN {
        known.clear();
    }
    known.extend(fresh);
}

/// Opens a connection and brings the schema up to date.
pub(crate) fn connect(target: &Target, care: Care) -> Result<Box<dyn Store>> {
    let open = || -> Result<Box<dyn Store>> {
        let mut store: Box<dyn Store> = match target.engine {
            Engine::Sqlite => Box::new(sqlite::Sqlite::open(&target.address, care)?),
            Engine::Postgres => Box::new(postgres::Postgres::connect(target)?),
            Engine::Mysql => Box::new(mysql::Mysql::connect(target)?),
        };
        schema::migrate(&mut *store)?;
        Ok(store)
    };
    let said = |error: Error| Error::new(error.kind, format!("{target}: {error}")).without(target.password());
    let mut tries = 0;
    loop {
        match open() {
            Err(error) if error.kind == Kind::Busy && tries < 50 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other.map_err(said),
        }
    }
}
