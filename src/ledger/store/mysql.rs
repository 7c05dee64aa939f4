//! MySQL and MariaDB: statements of many rows.

use std::collections::HashSet;
use std::time::Duration;

use mysql::error::tls::TlsError;
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts, Value};

use super::{Cell, Store, literal, remember, tls};
use crate::error::{Error, Kind, Result};
use crate::ledger::batch::{Batch, Row};
use crate::ledger::dialect::Dialect;
use crate::ledger::target::{Engine, Target, Tls};

/// A connection to a server.
pub(super) struct Mysql {
    conn: Conn,
    known: HashSet<i64>,
}

impl From<mysql::Error> for Error {
    fn from(error: mysql::Error) -> Self {
        let mysql::Error::MySqlError(said) = &error else {
            let cause: &(dyn std::error::Error + 'static) = match &error {
                mysql::Error::TlsError(TlsError::Tls(error)) => error,
                mysql::Error::IoError(error) => error,
                mysql::Error::CodecError(error) => error,
                other => other,
            };
            if let Some(distrust) = tls::distrust(cause) {
                return distrust;
            }
            return Self::new(Kind::Unavailable, error.to_string());
        };
        let kind = match said.code {
            1062 => Kind::Duplicate,
            1205 | 1213 => Kind::Busy,
            1040 | 1053 | 1203 | 1077..=1080 | 1152..=1161 | 1317 | 1927 | 3024 => Kind::Unavailable,
            _ if said.state.starts_with("22") => Kind::Unfit,
            1264 | 1366 | 1406 => Kind::Unfit,
            1034 | 1035 | 1194 | 1195 => Kind::Corrupt,
            _ => Kind::Refused,
        };
        Self::new(kind, format!("{} ({})", said.message, said.code))
    }
}

impl Mysql {
    pub(super) fn connect(target: &Target) -> Result<Self> {
        let opts = Opts::from_url(&target.address).map_err(|_| {
            Error::new(Kind::Invalid, "this is no URL of MySQL; is something in it not percent-encoded?")
        })?;
        let opts = OptsBuilder::from_opts(opts)
            .prefer_socket(false)
            .tcp_connect_timeout(Some(Duration::from_secs(5)))
            .read_timeout(Some(Duration::from_secs(600)))
            .write_timeout(Some(Duration::from_secs(60)));
        let mut ssl = SslOpts::default();
        if target.tls == Tls::Verify {
            tls::config(target)?; // the driver takes a file without a certificate for none to add
        } else {
            ssl = ssl.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true);
        }
        if let Some(path) = &target.roots {
            ssl = ssl.with_root_cert_path(Some(path.clone()));
        }
        let protected = opts.clone().ssl_opts(Some(ssl));
        let mut conn = match target.tls {
            Tls::Disable => Conn::new(opts)?,
            Tls::Require | Tls::Verify => Conn::new(protected)?,
            Tls::Prefer => match Conn::new(protected) {
                Err(mysql::Error::DriverError(_) | mysql::Error::TlsError(_)) => Conn::new(opts)?,
                other => other?,
            },
        };
        // No gaps are locked that another writer needs, and no text is silently cut.
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")?;
        conn.query_drop("SET SESSION sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = 20")?;
        Ok(Self { conn, known: HashSet::new() })
    }
}

impl Store for Mysql {
    fn dialect(&self) -> Dialect {
        Dialect(Engine::Mysql)
    }

    fn run(&mut self, sql: &str) -> Result<u64> {
        self.conn.query_drop(sql)?;
        Ok(self.conn.affected_rows())
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>> {
        let cell = |value: Value| match value {
            Value::NULL => Cell::Null,
            Value::Bytes(bytes) => Cell::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Value::Int(number) => Cell::Int(number),
            Value::UInt(number) => i64::try_from(number).map_or(Cell::Null, Cell::Int),
            other => Cell::Text(other.as_sql(true)),
        };
        let rows: Vec<mysql::Row> = self.conn.query(sql)?;
        Ok(rows.into_iter().map(|row| row.unwrap().into_iter().map(cell).collect()).collect())
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
        let units = literal::units(rows.iter().map(|row| &row.counts));
        let names: String = units.iter().map(|unit| format!(", {}", unit.name())).collect();
        let into = format!("INSERT INTO ragmeter_calls ({}{names})", literal::COLUMNS);
        let dialect = self.dialect();
        literal::insert_values(self, &into, rows.iter().map(|row| literal::values(row, &units, dialect)), "")
    }
}
