//! PostgreSQL: calls by COPY, everything else by statements of many rows.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Cell, Store, literal, remember, tls};
use crate::error::{Error, Kind, Result};
use crate::ledger::batch::{Batch, Row};
use crate::ledger::dialect::Dialect;
use crate::ledger::target::{Engine, Target, Tls};

/// A connection to a server.
pub(super) struct Postgres {
    client: Client,
    known: HashSet<i64>,
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            if let Some(distrust) = tls::distrust(&error) {
                return distrust;
            }
            let text = std::error::Error::source(&error).map_or(error.to_string(), |why| format!("{error}: {why}"));
            return Self::new(Kind::Unavailable, text);
        };
        let code = db.code();
        let kind = if *code == SqlState::UNIQUE_VIOLATION {
            Kind::Duplicate
        } else if [SqlState::T_R_DEADLOCK_DETECTED, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::LOCK_NOT_AVAILABLE]
            .contains(code)
        {
            Kind::Busy
        } else {
            match code.code().get(..2) {
                Some("22") => Kind::Unfit,
                Some("08" | "53" | "57") => Kind::Unavailable,
                Some("XX") => Kind::Corrupt,
                _ => Kind::Refused,
            }
        };
        Self::new(kind, format!("{} ({})", db.message(), code.code()))
    }
}

impl Postgres {
    pub(super) fn connect(target: &Target) -> Result<Self> {
        // The driver's message may quote the URL.
        let mut config: Config = target.address.parse().map_err(|_| {
            Error::new(Kind::Invalid, "this is no URL of PostgreSQL; is something in it not percent-encoded?")
        })?;
        config.connect_timeout(Duration::from_secs(5)).tcp_user_timeout(Duration::from_secs(30));
        config.application_name("ragmeter");
        config.ssl_mode(match target.tls {
            Tls::Disable => SslMode::Disable,
            Tls::Prefer => SslMode::Prefer,
            Tls::Require | Tls::Verify => SslMode::Require,
        });
        let mut client = config.connect(MakeRustlsConnect::new(tls::config(target)?))?;
        client.batch_execute(
            "SET statement_timeout = '60s'; SET standard_conforming_strings = on; SET client_min_messages = error",
        )?;
        Ok(Self { client, known: HashSet::new() })
    }

    fn copy(&mut self, rows: &[&Row]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let units = literal::units(rows.iter().map(|row| &row.counts));
        let names: String = units.iter().map(|unit| format!(", {}", unit.name())).collect();
        let mut lines = String::with_capacity(rows.len() * 150);
        for row in rows {
            literal::line(&mut lines, row, &units);
        }
        let mut copy = self.client.copy_in(&format!("COPY ragmeter_calls ({}{names}) FROM STDIN", literal::COLUMNS))?;
        for piece in lines.as_bytes().chunks(1 << 16) {
            copy.write_all(piece).map_err(|error| Error::new(Kind::Unavailable, error.to_string()))?;
        }
        copy.finish()?;
        Ok(())
    }
}

impl Store for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect(Engine::Postgres)
    }

    fn run(&mut self, sql: &str) -> Result<u64> {
        let messages = self.client.simple_query(sql)?;
        Ok(messages
            .iter()
            .map(|message| if let SimpleQueryMessage::CommandComplete(rows) = message { *rows } else { 0 })
            .sum())
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>> {
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len()).map(|at| row.get(at).map_or(Cell::Null, |text| Cell::Text(text.to_owned()))).collect(),
            ),
            _ => None,
        };
        Ok(self.client.simple_query(sql)?.into_iter().filter_map(row).collect())
    }

    fn write(&mut self, batch: &Batch) -> Result<usize> {
        let known = std::mem::take(&mut self.known);
        let written = literal::write(self, batch, &known);
        self.known = known;
        let (new, fresh) = written?;
        remember(&mut self.known, fresh);
        Ok(new)
    }

    fn insert(&mut self, rows: &[&Row]) -> Result<()> {
        self.copy(rows)
    }
}
