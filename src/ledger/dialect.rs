//! Dialect: the words in which the three databases differ. Everything else is one SQL for all.

use super::target::Engine;

/// A dialect of SQL; see the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect(pub(crate) Engine);

impl Dialect {
    /// Type of a whole number.
    pub(crate) const fn int(self) -> &'static str {
        match self.0 {
            Engine::Sqlite => "INTEGER",
            Engine::Postgres | Engine::Mysql => "BIGINT",
        }
    }

    /// The same in a CAST.
    pub(crate) const fn cast(self) -> &'static str {
        match self.0 {
            Engine::Sqlite | Engine::Postgres => self.int(),
            Engine::Mysql => "SIGNED",
        }
    }

    /// Type of an [`crate::Id`].
    pub(crate) const fn id(self) -> &'static str {
        match self.0 {
            Engine::Sqlite => "BLOB",
            Engine::Postgres => "UUID",
            Engine::Mysql => "BINARY(16)",
        }
    }

    /// Type of a label. Bytes in MySQL, where texts that differ in case or end in a space may count as equal.
    pub(crate) const fn text(self) -> &'static str {
        match self.0 {
            Engine::Sqlite | Engine::Postgres => "TEXT",
            Engine::Mysql => "VARBINARY(1024)",
        }
    }

    /// Type of a long text.
    pub(crate) const fn long_text(self) -> &'static str {
        match self.0 {
            Engine::Sqlite | Engine::Postgres => "TEXT",
            Engine::Mysql => "LONGBLOB",
        }
    }

    /// An index on a column of type [`Dialect::text`].
    pub(crate) const fn prefix(self) -> &'static str {
        match self.0 {
            Engine::Sqlite | Engine::Postgres => "",
            Engine::Mysql => "(191)",
        }
    }

    /// What stands after the closing bracket of a table.
    pub(crate) const fn table_end(self) -> &'static str {
        match self.0 {
            Engine::Sqlite => " WITHOUT ROWID",
            Engine::Postgres => "",
            Engine::Mysql => " ENGINE=InnoDB",
        }
    }

    /// A text as it stands in a statement.
    pub(crate) fn quoted(self, text: &str) -> String {
        let text = text.replace('\0', "\u{fffd}");
        match self.0 {
            Engine::Sqlite | Engine::Postgres => format!("'{}'", text.replace('\'', "''")),
            Engine::Mysql if text.is_empty() => "''".to_owned(),
            Engine::Mysql => {
                use std::fmt::Write;
                text.bytes().fold("0x".to_owned(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            }
        }
    }

    /// A text or nothing.
    pub(crate) fn quoted_or_null(self, text: Option<&str>) -> String {
        text.map_or_else(|| "NULL".to_owned(), |text| self.quoted(text))
    }

    /// An id as it stands in a statement.
    pub(crate) fn literal(self, id: u128) -> String {
        match self.0 {
            Engine::Sqlite => format!("x'{id:032x}'"),
            Engine::Postgres => format!("'{id:032x}'::uuid"),
            Engine::Mysql => format!("0x{id:032x}"),
        }
    }

    /// An id that is selected, as 32 hexadecimal digits.
    pub(crate) fn digits(self, column: &str) -> String {
        match self.0 {
            Engine::Sqlite | Engine::Mysql => format!("lower(hex({column}))"),
            Engine::Postgres => format!("replace({column}::text, '-', '')"),
        }
    }

    /// The time of a server in microseconds since 1970; a file has none but ours.
    pub(crate) const fn time(self) -> Option<&'static str> {
        match self.0 {
            Engine::Sqlite => None,
            Engine::Postgres => Some("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
            Engine::Mysql => Some("timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6))"),
        }
    }

    /// `column` divided by `by`, rounded down.
    pub(crate) fn divided(self, column: &str, by: u64) -> String {
        match self.0 {
            Engine::Sqlite | Engine::Postgres => format!("({column} / {by})"),
            Engine::Mysql => format!("({column} DIV {by})"),
        }
    }

    /// The beginning of an INSERT that leaves rows alone that are there already, and its end.
    pub(crate) const fn insert_new(self) -> (&'static str, &'static str) {
        match self.0 {
            Engine::Sqlite => ("INSERT OR IGNORE INTO", ""),
            Engine::Postgres => ("INSERT INTO", " ON CONFLICT DO NOTHING"),
            Engine::Mysql => ("INSERT IGNORE INTO", ""),
        }
    }

    /// The end of an INSERT that adds `columns` to what is there; a count that is unknown on both sides stays so.
    pub(crate) fn adding<'a>(self, table: &str, key: &str, columns: impl Iterator<Item = &'a str>) -> String {
        let add = |column: &str| match self.0 {
            Engine::Sqlite | Engine::Postgres => {
                format!(
                    "{column} = coalesce({table}.{column} + excluded.{column}, excluded.{column}, {table}.{column})"
                )
            }
            Engine::Mysql => format!("{column} = coalesce({column} + VALUES({column}), VALUES({column}), {column})"),
        };
        let columns: Vec<String> = columns.map(add).collect();
        match self.0 {
            Engine::Sqlite | Engine::Postgres => format!(" ON CONFLICT ({key}) DO UPDATE SET {}", columns.join(", ")),
            Engine::Mysql => format!(" ON DUPLICATE KEY UPDATE {}", columns.join(", ")),
        }
    }

    /// The beginning of a SELECT that must walk the key of its first table, and what follows the names of its tables.
    /// Without these words a server whose statistics are old reads and sorts the whole table, for every page again, or
    /// reads all of the second table for each row of the first.
    pub(crate) const fn walking(self) -> (&'static str, &'static str) {
        match self.0 {
            Engine::Sqlite => ("SELECT", ""),
            // To compile the statement, or to start workers for it, takes longer than the page.
            Engine::Postgres => (
                "SET LOCAL max_parallel_workers_per_gather TO 0; SET LOCAL enable_sort TO off; \
                 SET LOCAL enable_seqscan TO off; SET LOCAL enable_bitmapscan TO off; SET LOCAL enable_hashjoin TO off; \
                 SET LOCAL enable_mergejoin TO off; SET LOCAL enable_material TO off; DO $$BEGIN \
                 IF current_setting('jit', true) IS NOT NULL THEN SET LOCAL jit TO off; END IF; END$$; SELECT",
                "",
            ),
            Engine::Mysql => ("SELECT STRAIGHT_JOIN", " FORCE INDEX (PRIMARY)"),
        }
    }

    /// What opens a transaction that will write.
    pub(crate) const fn begin(self) -> &'static str {
        match self.0 {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres | Engine::Mysql => "BEGIN",
        }
    }
}
