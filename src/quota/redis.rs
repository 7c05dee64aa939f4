//! The sums in Redis or Valkey: one script an operation, so that each is done wholly or not at all; operations that are
//! asked for at the same time share a round trip.

use std::collections::HashMap;
use std::time::Duration;

use redis::{Cmd, Connection, ErrorKind, IntoConnectionInfo, Pipeline, RedisError, Value};

use super::book::{Keeper, Lapsed, Level, Line, MOST_LAPSED, Note, Op, Outcome};
use super::clock::Clock;
use super::limit::Limit;
use crate::error::{Error, Kind, Result};
use crate::id::{self, Id, Micros};

const SCRIPT: &str = include_str!("book.lua");
/// How many notes are kept.
const MOST_NOTES: isize = 10_000;

/// Where a Redis is. Shows itself without its password.
#[derive(Clone)]
pub(super) struct Place {
    url: Box<str>,
    shown: Box<str>,
    password: Option<Box<str>>,
    /// All keys begin with this; the braces keep them on one node of a cluster.
    prefix: Box<str>,
}

impl Place {
    /// Reads `redis://[user:password@]host[:port][/number]`, `rediss://` for TLS, `valkey(s)://` for the same, with
    /// `?namespace=` for several quotas in one database. `None` if the URL is another kind's.
    pub(super) fn parse(url: &str) -> Option<Result<Self>> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" => "rediss",
            _ => return None,
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let options: Vec<&str> = query.split('&').filter(|option| !option.is_empty()).collect();
        let name = options.iter().find_map(|option| option.strip_prefix("namespace=")).unwrap_or("ragmeter");
        let kept: Vec<&str> = options.iter().copied().filter(|option| !option.starts_with("namespace=")).collect();
        let (login, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let password = login.split_once(':').map(|(_, word)| word).filter(|word| !word.is_empty());
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        let place = Self {
            url: format!("{scheme}://{rest}{query}").into(),
            shown: format!("{scheme}://{place}").into(),
            password: password.map(Into::into),
            prefix: format!("{{{name}}}:quota:").into(),
        };
        if name.is_empty() || name.contains(['{', '}']) || (&*place.url).into_connection_info().is_err() {
            let text = "a Redis URL is 'redis://user:password@host:port/number', '?namespace=' has no braces";
            return Some(Err(Error::new(Kind::Invalid, text)));
        }
        Some(Ok(place))
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        let kind = match error.kind() {
            ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Server(_)
            | ErrorKind::Extension => Kind::Refused,
            _ => Kind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

/// A connection to Redis.
pub(super) struct Redis {
    connection: Connection,
    prefix: Box<str>,
    script: redis::Script,
    /// Whether reservations have lapsed that nobody was told of.
    swept: bool,
}

impl Redis {
    pub(super) fn connect(place: &Place) -> Result<Self> {
        let client = redis::Client::open(&*place.url)?;
        let connection = client.get_connection_with_timeout(Duration::from_secs(5))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.set_write_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { connection, prefix: place.prefix.clone(), script: redis::Script::new(SCRIPT), swept: false })
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn command(&self, now: Micros, op: &Op, again: bool) -> Cmd {
        let (name, lease, edition) = match op {
            Op::Reserve { lease, edition, .. } => (if again { "again" } else { "reserve" }, *lease, *edition),
            Op::Settle { .. } | Op::Release { .. } => ("settle", 0, 0),
            Op::Renew { lease, .. } => ("renew", *lease, 0),
            Op::Look { .. } => ("look", 0, 0),
        };
        let lines = op.lines();
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(2 + 2 * lines.len());
        command.arg(self.key("edition")).arg(self.key("lapsed"));
        for line in lines.iter() {
            for kind in ["c", "l"] {
                command.arg(format!("{}{kind}:{:032x}", self.prefix, line.counter.id));
            }
        }
        let id = op.id().map_or_else(String::new, |id: Id| format!("{:032x}", id.0));
        command.arg(name).arg(now).arg(id).arg(now.saturating_add(lease)).arg(edition);
        for (at, line) in lines.iter().enumerate() {
            let actual = match op {
                Op::Settle { actual, .. } => actual.get(at).copied().unwrap_or_default().min(super::limit::MOST),
                _ => 0,
            };
            let change = i128::from(actual) - i128::from(line.amount);
            command
                .arg(format!("{:032x}", line.counter.id))
                .arg(format!("{}\u{1f}{}\u{1f}{}", line.limit.name, line.counter.start, line.counter.key))
                .arg(line.amount)
                .arg(line.limit.amount)
                .arg(u8::from(line.hard))
                .arg(actual)
                .arg(change.to_string());
            match line.counter.rolling {
                Some(rolling) => command.arg(rolling.part).arg(rolling.gone),
                None => command.arg("").arg(""),
            };
            match line.limit.period.kept() {
                Some(kept) => command.arg(kept / 1_000_000),
                None => command.arg(""),
            };
        }
        command
    }

    fn attempt(&mut self, ops: &[Op], again: bool, now: Micros) -> redis::RedisResult<Vec<Value>> {
        let mut pipeline = Pipeline::with_capacity(ops.len());
        for op in ops {
            pipeline.add_command(self.command(now, op, again));
        }
        pipeline.query(&mut self.connection)
    }
}

impl Keeper for Redis {
    fn limits(&mut self) -> Result<(i64, Vec<Limit>)> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().get(self.key("edition")).hvals(self.key("limits"));
        let (edition, texts): (Option<i64>, Vec<String>) = pipeline.query(&mut self.connection)?;
        let mut limits = texts.iter().map(|text| Limit::read(text)).collect::<Result<Vec<_>>>()?;
        limits.sort_by(|one, other| one.name.cmp(&other.name));
        Ok((edition.unwrap_or(0), limits))
    }

    fn put(&mut self, limit: &Limit) -> Result<()> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().hset(self.key("limits"), &*limit.name, limit.text()).ignore();
        pipeline.incr(self.key("edition"), 1).ignore();
        Ok(pipeline.query(&mut self.connection)?)
    }

    fn remove(&mut self, name: &str) -> Result<bool> {
        let mut pipeline = redis::pipe();
        pipeline.atomic().hdel(self.key("limits"), name).incr(self.key("edition"), 1).ignore();
        let (removed,): (i64,) = pipeline.query(&mut self.connection)?;
        Ok(removed > 0)
    }

    fn run(&mut self, ops: &[Op], again: bool, clock: &Clock) -> Result<Vec<Outcome>> {
        let replies = match self.attempt(ops, again, clock.now()) {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.script.prepare_invoke().load(&mut self.connection)?;
                self.attempt(ops, true, clock.now())
            }
            replies => replies,
        }?;
        ops.iter().zip(&replies).map(|(op, reply)| outcome(op.lines(), reply, &mut self.swept)).collect()
    }

    fn swept(&mut self) -> bool {
        std::mem::take(&mut self.swept)
    }

    fn lapsed(&mut self, _now: Micros) -> Result<Vec<Lapsed>> {
        let members: Vec<String> =
            redis::cmd("ZRANGE").arg(self.key("lapsed")).arg(0).arg(MOST_LAPSED - 1).query(&mut self.connection)?;
        let mut counts: HashMap<&str, Option<String>> = HashMap::new();
        let mut found = Vec::with_capacity(members.len());
        for member in &members {
            let [counter, id, amount] = member.split(':').collect::<Vec<_>>()[..] else { continue };
            if !counts.contains_key(counter) {
                let key = format!("{}c:{counter}", self.prefix);
                let text = redis::cmd("HGET").arg(key).arg("n").query(&mut self.connection)?;
                counts.insert(counter, text);
            }
            let text = counts.get(counter).and_then(Option::as_deref).unwrap_or_default();
            let mut fields = text.splitn(3, '\u{1f}');
            let (Some(limit), Some(start), Some(key)) = (fields.next(), fields.next(), fields.next()) else { continue };
            if let (Ok(counter), Ok(id), Ok(amount), Ok(start)) =
                (u128::from_str_radix(counter, 16), u128::from_str_radix(id, 16), amount.parse(), start.parse())
            {
                found.push(Lapsed { id: Id(id), counter, limit: limit.into(), key: key.into(), start, amount });
            }
        }
        Ok(found)
    }

    fn time(&mut self) -> Result<Micros> {
        match redis::cmd("TIME").query::<(u64, u64)>(&mut self.connection) {
            Ok((seconds, micros)) => Ok(seconds.saturating_mul(1_000_000).saturating_add(micros)),
            // We may not ask: ours has to do.
            Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => Ok(id::now()),
            Err(error) => Err(error.into()),
        }
    }

    fn ping(&mut self) -> Result<()> {
        Ok(redis::cmd("PING").query::<String>(&mut self.connection).map(drop)?)
    }

    fn note(&mut self, note: &Note) -> Result<()> {
        let at = note.at.to_string();
        let text = [&at, &note.kind, &note.limit, &note.who, &note.text].map(|field| field.replace('\u{1f}', " "));
        let mut pipeline = redis::pipe();
        pipeline.lpush(self.key("notes"), text.join("\u{1f}")).ignore();
        pipeline.ltrim(self.key("notes"), 0, MOST_NOTES - 1).ignore();
        Ok(pipeline.query(&mut self.connection)?)
    }

    fn notes(&mut self, most: usize) -> Result<Vec<Note>> {
        let last = isize::try_from(most).unwrap_or(isize::MAX).saturating_sub(1);
        let texts: Vec<String> =
            redis::cmd("LRANGE").arg(self.key("notes")).arg(0).arg(last).query(&mut self.connection)?;
        let note = |text: &String| {
            let mut fields = text.split('\u{1f}').map(str::to_owned);
            let at = fields.next()?.parse().ok()?;
            Some(Note { at, kind: fields.next()?, limit: fields.next()?, who: fields.next()?, text: fields.next()? })
        };
        Ok(texts.iter().filter_map(note).collect())
    }
}

/// Reads what the script returned.
fn outcome(lines: &[Line], reply: &Value, swept: &mut bool) -> Result<Outcome> {
    let strange = || Error::new(Kind::Corrupt, "the quota's script in Redis answered something strange");
    let Value::Array(values) = reply else { return Err(strange()) };
    let (status, rest) = values.split_first().ok_or_else(strange)?;
    let Value::Int(status) = status else { return Err(strange()) };
    if *status == -1 {
        return Ok(Outcome::Stale);
    }
    let (count, rest) = rest.split_last().ok_or_else(strange)?;
    *swept |= *count != Value::Int(0);
    let of = |line: &Line, values: &[Value]| -> Result<Level> {
        let [taken, used, oldest] = values else { return Err(strange()) };
        let number = |value: &Value| match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::BulkString(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        let (taken, used): (u64, u64) = (number(taken).unwrap_or(0), number(used).unwrap_or(0));
        let frees_at = number(oldest).and_then(|part| Some(line.counter.rolling?.over_at(part)));
        Ok(Level { used, reserved: taken.saturating_sub(used), frees_at })
    };
    if *status > 0 {
        let line = usize::try_from(*status - 1).unwrap_or(0);
        return Ok(Outcome::Refused { line, level: of(lines.get(line).ok_or_else(strange)?, rest)? });
    }
    let levels = lines.iter().zip(rest.chunks(3)).map(|(line, values)| of(line, values)).collect::<Result<Vec<_>>>()?;
    let over = (0..).zip(lines).zip(&levels).filter(|((_, line), level)| level.is_over(0, line.limit.amount));
    Ok(Outcome::Done { over: over.map(|((at, _), _)| at).collect(), levels, lapsed: *status < 0 })
}
