//! SQLite: one file in WAL mode, which many processes may use at once.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, params_from_iter};

use super::guard::Guard;
use super::{Care, Cell, Store, remember};
use crate::call::Dim;
use crate::error::{Error, Kind, Result};
use crate::ledger::batch::{Batch, ROLL_UPS, Row, Sum, Sums};
use crate::ledger::dialect::Dialect;
use crate::ledger::schema::{HEADS, column};
use crate::ledger::target::Engine;
use crate::unit::Unit;

/// A connection to a file.
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    file: Option<(u64, u64)>,
    /// Sets of labels that are known to be in the file.
    known: HashSet<i64>,
    /// Dropped after the connection.
    _guard: Option<Arc<Guard>>,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Kind::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Kind::Corrupt,
            Some(ErrorCode::ConstraintViolation) => Kind::Duplicate,
            Some(ErrorCode::TooBig | ErrorCode::TypeMismatch) => Kind::Unfit,
            _ => Kind::Refused,
        };
        Self::new(kind, error.to_string())
    }
}

/// Which file that is, where the system tells.
pub(super) fn file_at(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    return std::fs::metadata(path).ok().map(|file| {
        use std::os::unix::fs::MetadataExt;
        (file.dev(), file.ino())
    });
    #[cfg(not(unix))]
    return path.exists().then_some((0, 0));
}

impl Sqlite {
    pub(super) fn open(path: &str, care: Care) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let care = if care == Care::Full { "FULL" } else { "NORMAL" };
        // Not on every close: a fork closes the connection, and must not wait for the whole log to be moved.
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        for pragma in [
            "journal_mode = WAL".to_owned(),
            format!("synchronous = {care}"),
            "cache_size = -65536".to_owned(),
            "wal_autocheckpoint = 4000".to_owned(),
            "journal_size_limit = 67108864".to_owned(),
        ] {
            connection.prepare(&format!("PRAGMA {pragma}"))?.query([])?.next()?;
        }
        // The shared memory is there from the first look into the file on.
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
        let (path, known) = (PathBuf::from(path), HashSet::new());
        Ok(Self { connection, file: file_at(&path), _guard: Guard::of(&path), path, known })
    }

    fn write_all(&mut self, batch: &Batch) -> Result<(usize, Vec<i64>)> {
        let fresh = self.write_labels(batch)?;
        let is_new = self.write_rows(&batch.rows.iter().collect::<Vec<_>>())?;
        let new = batch.rows.iter().zip(&is_new).filter_map(|(row, is_new)| is_new.then_some(row));
        for ((table, key), sums) in ROLL_UPS.into_iter().zip(&Batch::sums(new)) {
            self.add(table, key, sums)?;
        }
        let mut insert = self.connection.prepare(
            "INSERT OR IGNORE INTO ragmeter_outbox (id, at, destination, subject, kind, body, state, attempts, next_at, \
             claimed_until, claim) VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, 0, 0)",
        )?;
        for event in &batch.events {
            let (id, at) = (event.id.0.to_be_bytes(), whole(event.at));
            insert.execute((id, at, &*event.destination, &*event.subject, &*event.kind, &*event.body, at))?;
        }
        Ok((is_new.into_iter().filter(|is_new| *is_new).count(), fresh))
    }

    fn write_labels(&self, batch: &Batch) -> Result<Vec<i64>> {
        let sets = batch.sets();
        let fresh: Vec<i64> = sets.keys().copied().filter(|id| !self.known.contains(id)).collect();
        if fresh.is_empty() {
            return Ok(fresh);
        }
        let columns: Vec<&str> = Dim::ALL.into_iter().map(column).collect();
        let marks = "?, ".repeat(Dim::COUNT);
        let mut insert = self.connection.prepare(&format!(
            "INSERT OR IGNORE INTO ragmeter_labels ({}, id) VALUES ({marks}?)",
            columns.join(", ")
        ))?;
        for set in fresh.iter().filter_map(|id| sets.get(id)) {
            let texts =
                Dim::ALL.into_iter().map(|dim| set.labels.get(dim).map_or(Value::Null, |text| text.to_owned().into()));
            insert.execute(params_from_iter(texts.chain([Value::Integer(set.id)])))?;
        }
        Ok(fresh)
    }

    /// For each row whether it was not there yet.
    fn write_rows(&self, rows: &[&Row]) -> Result<Vec<bool>> {
        let units = super::literal::units(rows.iter().map(|row| &row.counts));
        let names: String = units.iter().map(|unit| format!(", {}", unit.name())).collect();
        let mut insert = self.connection.prepare(&format!(
            "INSERT OR IGNORE INTO ragmeter_calls (id, part, at, labels, run, attempt, origin, flags, response_id, \
             service_tier, cost{names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?{})",
            ", ?".repeat(units.len())
        ))?;
        let mut is_new = Vec::with_capacity(rows.len());
        for row in rows {
            let mut at = 0;
            let mut bind = |value: ValueRef<'_>| {
                at += 1;
                insert.raw_bind_parameter(at, ToSqlOutput::Borrowed(value))
            };
            let id = row.id.to_be_bytes();
            bind(ValueRef::Blob(&id))?;
            bind(ValueRef::Integer(i64::from(row.part)))?;
            bind(ValueRef::Integer(whole(row.at)))?;
            bind(ValueRef::Integer(row.labels.id))?;
            let run = row.run.map(u128::to_be_bytes);
            bind(run.as_ref().map_or(ValueRef::Null, |run| ValueRef::Blob(run)))?;
            bind(ValueRef::Integer(i64::from(row.attempt)))?;
            bind(ValueRef::Integer(i64::from(row.origin)))?;
            bind(ValueRef::Integer(i64::from(row.flags)))?;
            bind(row.response_id.as_deref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())))?;
            bind(row.service_tier.as_deref().map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())))?;
            bind(row.cost.map_or(ValueRef::Null, ValueRef::Integer))?;
            for unit in &units {
                bind(row.counts.get(*unit).map_or(ValueRef::Null, |n| ValueRef::Integer(whole(n))))?;
            }
            is_new.push(insert.raw_execute()? == 1);
        }
        Ok(is_new)
    }

    fn add(&self, table: &str, key: &str, sums: &Sums) -> Result<()> {
        let units = super::literal::units(sums.values().map(|sum| &sum.counts));
        let names: Vec<&str> = HEADS.into_iter().chain(units.iter().map(|unit| unit.name())).collect();
        let table = format!("ragmeter_{table}");
        let end = Dialect(Engine::Sqlite).adding(&table, key, names.iter().copied());
        let mut insert = self.connection.prepare(&format!(
            "INSERT INTO {table} ({key}, {}) VALUES (?, ?{}){end}",
            names.join(", "),
            ", ?".repeat(names.len())
        ))?;
        for ((first, second), sum) in sums {
            insert.execute(params_from_iter(
                [*first, *second].map(Value::Integer).into_iter().chain(numbers(sum, &units)),
            ))?;
        }
        Ok(())
    }
}

fn numbers<'a>(sum: &Sum, units: &'a [Unit]) -> impl Iterator<Item = Value> + use<'a> {
    let (heads, counts) = (sum.heads(), sum.counts);
    let counts = units.iter().map(move |unit| counts.get(*unit).map_or(Value::Null, |n| Value::Integer(whole(n))));
    heads.into_iter().map(Value::Integer).chain(counts)
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Store for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect(Engine::Sqlite)
    }

    fn is_current(&self) -> bool {
        self.file == file_at(&self.path)
    }

    fn tidy(&mut self) {
        let _ = self.connection.busy_timeout(std::time::Duration::ZERO);
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn run(&mut self, sql: &str) -> Result<u64> {
        Ok(self.connection.prepare(sql)?.execute([]).map(|rows| rows as u64)?)
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>> {
        let mut statement = self.connection.prepare(sql)?;
        let width = statement.column_count();
        let cell = |value: ValueRef<'_>| match value {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Int(number),
            ValueRef::Real(number) => Cell::Text(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cell::Text(String::from_utf8_lossy(bytes).into_owned()),
        };
        let mut found = Vec::new();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            found.push((0..width).map(|at| row.get_ref(at).map(cell)).collect::<rusqlite::Result<_>>()?);
        }
        Ok(found)
    }

    fn write(&mut self, batch: &Batch) -> Result<usize> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        match self.write_all(batch).and_then(|done| Ok(self.connection.execute_batch("COMMIT").map(|()| done)?)) {
            Ok((new, fresh)) => {
                remember(&mut self.known, fresh);
                Ok(new)
            }
            Err(error) => {
                let _ = self.connection.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    fn insert(&mut self, rows: &[&Row]) -> Result<()> {
        self.write_rows(rows).map(drop)
    }
}
