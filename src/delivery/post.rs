//! One request to a receiver, and what its answer means.

use std::io::Read;
use std::time::Duration;

use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::Destination;
use crate::calendar::Date;
use crate::id::{Micros, now};
use crate::ledger::outbox::Letter;
use crate::ledger::say;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it.
    Taken,
    /// Not now: why, and how long the receiver wants to hear nothing, if it says so.
    Later(String, Option<Duration>),
    /// There was no answer: why.
    Silence(String),
    /// Never: why.
    Never(String),
}

pub(super) fn agent(timeout: Duration) -> ureq::Agent {
    let tls = trusted().map_or_else(TlsConfig::default, |roots| TlsConfig::builder().root_certs(roots).build());
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("ragmeter/", env!("CARGO_PKG_VERSION")))
        .build();
    config.into()
}

/// Whom `SSL_CERT_FILE` says to trust instead of the well-known authorities, as it does to the host's own clients.
fn trusted() -> Option<RootCerts> {
    let path = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty())?;
    let read = std::fs::read(&path);
    let certificate = |item| if let Ok(PemItem::Certificate(found)) = item { Some(found) } else { None };
    let found: Vec<_> = parse_pem(read.as_deref().unwrap_or_default()).filter_map(certificate).collect();
    if found.is_empty() {
        say(&format!("there is no certificate in SSL_CERT_FILE ({})", path.display()), true);
        return None;
    }
    Some(found.into())
}

/// Posts `letter`.
pub(super) fn post(agent: &ureq::Agent, to: &Destination, letter: &Letter) -> Outcome {
    let (id, seconds) = (letter.id.to_string(), now() / 1_000_000);
    let mut request = agent
        .post(&*to.url)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", seconds.to_string())
        .header("ce-id", &id)
        .header("ce-specversion", "1.0")
        .header("ce-source", "ragmeter")
        .header("ce-type", format!("ragmeter.usage.{}", plain(&letter.kind)))
        .header("ce-subject", plain(&letter.subject))
        .header("ce-time", rfc3339(letter.at));
    if let Some(token) = &to.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(secret) = &to.secret {
        request = request.header("webhook-signature", secret.sign(&id, seconds, &letter.body));
    }
    match request.send(letter.body.as_str()) {
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            let wait = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()).and_then(retry_after);
            // So that the connection can be used again.
            let _ = answer.body_mut().as_reader().take(65_536).read_to_end(&mut Vec::new());
            judge(status, wait)
        }
        Err(error) => {
            let secret = to.token.as_deref();
            let text = crate::Error::new(crate::error::Kind::Unavailable, error.to_string()).without(secret);
            match error {
                ureq::Error::BadUri(_) => Outcome::Never("its URL is none".to_owned()),
                _ => Outcome::Silence(text.to_string()),
            }
        }
    }
}

fn judge(status: u16, wait: Option<Duration>) -> Outcome {
    match status {
        200..=299 => Outcome::Taken,
        // The others heal when somebody repairs something: a token, a route, a limit. These never do: the message
        // itself is what is wrong, or it is wanted no more.
        400 | 405 | 406 | 410 | 411 | 413..=415 | 422 | 431 => Outcome::Never(format!("HTTP {status}")),
        _ => Outcome::Later(format!("HTTP {status}"), wait),
    }
}

/// Seconds, or a date such as `Sun, 22 Nov 2026 05:00:00 GMT`.
fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut words = text.split_whitespace().skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = words.next()?;
    let month = months.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    if year > 9999 || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = Date { year, month, day }.begin()? / 1_000_000 + hour * 3600 + minute * 60 + second;
    Some(Duration::from_secs(seconds.saturating_sub(now() / 1_000_000)))
}

/// The time in the form that CloudEvents wants.
fn rfc3339(at: Micros) -> String {
    let (Date { year, month, day }, second) = (Date::of(at), at / 1_000_000 % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", at % 1_000_000)
}

/// What may stand in a header, percent-encoded as CloudEvents wants it.
fn plain(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().take(500).fold(String::new(), |mut plain, byte| {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'"' {
            plain.push(char::from(byte));
        } else {
            let _ = write!(plain, "%{byte:02X}");
        }
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_final_only_if_the_message_itself_is_wrong() {
        for status in [400, 410, 413, 422] {
            assert_eq!(judge(status, None), Outcome::Never(format!("HTTP {status}")));
        }
        for status in [301, 401, 403, 404, 408, 409, 425, 429, 500, 503] {
            assert!(matches!(judge(status, None), Outcome::Later(..)), "{status}");
        }
        assert_eq!(judge(204, None), Outcome::Taken);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after("17"), Some(Duration::from_secs(17)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(retry_after("Fri, 01 Jan 2100 00:00:00 GMT").unwrap() > Duration::from_secs(1_000_000_000));
        for none in
            ["soon", "Fri, 01 Jan 2100 18446744073709551615:00:00 GMT", "Fri, 01 Jan 18446744073709551615 0:0:0"]
        {
            assert_eq!(retry_after(none), None);
        }
    }

    #[test]
    fn time_is_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(rfc3339(1_795_323_723_000_000), "2026-11-22T05:02:03.000000Z");
    }

    #[test]
    fn a_header_holds_no_surprises() {
        assert_eq!(plain("doc 1\r\nx: y%"), "doc%201%0D%0Ax:%20y%25");
    }
}
