//! Target: where the ledger is, read from a URL. Shows itself without its password.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

/// How a connection is protected; the names are those of `sslmode` in PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Disable,
    /// If the server can.
    #[default]
    Prefer,
    /// Always, whoever the server is.
    Require,
    /// Always, with a certificate that proves the server's name.
    Verify,
}

/// What kind of database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file, made when it is missing.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
    /// A MySQL or MariaDB server.
    Mysql,
}

/// Where the ledger is; see the page.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// What kind of database it is.
    pub engine: Engine,
    /// What the driver is told: a path or a URL without the options that are ours.
    pub(crate) address: Box<str>,
    /// How the connection is protected.
    pub tls: Tls,
    /// File of certificates to trust instead of the well-known ones; with MySQL's driver, beside them.
    pub(crate) roots: Option<PathBuf>,
    shown: Box<str>,
    password: Option<Box<str>>,
}

impl Target {
    /// Reads `sqlite:PATH`, `postgresql://…` or `mysql://…`, with `?sslmode=` and `&sslrootcert=` for the servers.
    pub fn parse(url: &str) -> Result<Self> {
        let bad = |text: &str| Error::new(Kind::Invalid, text);
        let (scheme, rest) = url
            .split_once(':')
            .ok_or_else(|| bad("a ledger's URL begins with 'sqlite:', 'postgresql:' or 'mysql:'"))?;
        let engine = match scheme {
            "sqlite" | "sqlite3" => Engine::Sqlite,
            "postgresql" | "postgres" => Engine::Postgres,
            "mysql" | "mariadb" => Engine::Mysql,
            _ => return Err(bad("a ledger's URL begins with 'sqlite:', 'postgresql:' or 'mysql:'")),
        };
        if engine == Engine::Sqlite {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            // Two slashes would be the root of the file system to SQLite, and are this folder to nobody else's URLs.
            if (path != rest && !path.starts_with('/'))
                || path.is_empty()
                || path.contains(":memory:")
                || path.contains('\0')
            {
                return Err(bad("a ledger in SQLite is a file: 'sqlite:ledger.db' or 'sqlite:///var/lib/ledger.db'"));
            }
            let (address, shown) = (path.into(), format!("sqlite:{path}").into());
            return Ok(Self { engine, address, tls: Tls::Disable, roots: None, shown, password: None });
        }
        let rest =
            rest.strip_prefix("//").ok_or_else(|| bad("a server's URL is 'scheme://user:password@host/database'"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.contains('@') && !rest.contains('@') {
            return Err(bad("a '?' in a user's name or password is written '%3F'"));
        }
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (user, password) = login.split_once(':').map_or((login, None), |(user, word)| (user, Some(word)));
        let (host, database) = place.split_once('/').unwrap_or((place, ""));
        if database.is_empty() {
            return Err(bad("a server's URL names its database: 'scheme://user:password@host/database'"));
        }
        let (mut tls, mut roots, mut kept) = (Tls::default(), None, Vec::new());
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode" | "ssl-mode", mode)) => {
                    tls = match mode.to_ascii_lowercase().replace('_', "-").as_str() {
                        "disable" | "disabled" => Tls::Disable,
                        "allow" | "prefer" | "preferred" => Tls::Prefer,
                        "require" | "required" => Tls::Require,
                        "verify-ca" | "verify-full" | "verify-identity" => Tls::Verify,
                        _ => return Err(bad("sslmode is disable, prefer, require or verify-full")),
                    };
                }
                Some(("sslrootcert" | "ssl-ca", path)) => roots = Some(PathBuf::from(path)),
                _ => kept.push(option),
            }
        }
        let kept = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let login = if login.is_empty() { String::new() } else { format!("{login}@") };
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let scheme = if engine == Engine::Postgres { "postgresql" } else { "mysql" };
        Ok(Self {
            engine,
            address: format!("{scheme}://{login}{place}{kept}").into(),
            tls,
            roots,
            shown: format!("{scheme}://{user}{host}/{database}").into(),
            password: password.filter(|word| !word.is_empty()).map(Into::into),
        })
    }

    /// The password in plain, to keep it out of messages.
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for url in ["postgresql://me:s3cret@db:5432/bills?sslmode=verify-full", "mysql://me:s3cret@db/bills?x=y"] {
            let target = Target::parse(url).unwrap();
            assert!(!format!("{target} {target:?}").contains("s3cret"));
            assert_eq!(target.password(), Some("s3cret"));
            assert!(target.to_string().ends_with("/bills"), "{target}");
        }
    }

    #[test]
    fn a_path_is_taken_in_every_spelling() {
        for (url, path) in [("sqlite:a.db", "a.db"), ("sqlite:/x/a.db", "/x/a.db"), ("sqlite:///x/a.db", "/x/a.db")] {
            assert_eq!(&*Target::parse(url).unwrap().address, path);
        }
    }

    #[test]
    fn what_names_no_database_is_refused_without_repeating_it() {
        for url in [
            "",
            "ledger.db",
            "oracle://a:s3cret@b/c",
            "sqlite:",
            "postgresql:s3cret",
            "mysql://a:s3cret@b",
            "mysql://a:s3cret/x?y@b/c",
            "sqlite::memory:",
            "sqlite://ledger.db",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
