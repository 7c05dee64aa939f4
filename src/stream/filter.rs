//! Filter: what the user would have seen if nobody had asked the provider for usage.
//!
//! Source: OpenAI, `stream_options.include_usage`; read 2026-11-22. It adds `"usage": null` to every chunk and one
//! chunk more, with empty `choices` and the usage.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use super::UsageStream;
use crate::provider::Hints;
use crate::provider::json::blank;
use crate::usage::Usage;

/// How many bytes of an event are held back; a longer one is passed on as it is.
const MOST_HELD: usize = 16 << 20;

/// Passes the bytes of a stream of server-sent events on, reads the usage, and takes out what asking for it added.
///
/// # Example
/// ```
/// let mut filter = ragmeter::StreamFilter::new(true, false);
/// let seen = filter.feed(b"data: {\"choices\":[{\"index\":0}],\"usage\":null}\n\ndata: {\"choices\":[],\"us");
/// assert_eq!(seen, b"data: {\"choices\":[{\"index\":0}]}\n\n");
/// assert_eq!(filter.feed(b"age\":{\"prompt_tokens\":4,\"completion_tokens\":2}}\n\n"), b"");
/// assert_eq!(filter.usage().and_then(|usage| usage.total()), Some(6));
/// ```
#[derive(Debug)]
pub struct StreamFilter {
    stream: UsageStream,
    swallow: bool,
    held: Vec<u8>,
    /// How much of `held` holds no end of an event.
    searched: usize,
    /// An event was too long to be held; its rest is passed on.
    passing: bool,
}

impl StreamFilter {
    /// A filter for one stream. Without `swallow_usage` every byte is passed on at once.
    pub fn new(swallow_usage: bool, keep_text: bool) -> Self {
        let stream = UsageStream::new(Hints::default());
        Self {
            stream: if keep_text { stream.keeping_text() } else { stream },
            swallow: swallow_usage,
            held: Vec::new(),
            searched: 0,
            passing: false,
        }
    }

    /// Reads the next bytes and gives back those to pass on. An incomplete event is held back.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.stream.feed(bytes);
        if !self.swallow {
            return bytes.to_vec();
        }
        let mut out = Vec::new();
        self.held.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(end) = end_of_event(&self.held, start, self.searched) {
            let event = self.held.get(start..end).unwrap_or_default();
            if self.passing {
                out.extend_from_slice(event);
                self.passing = false;
            } else {
                pass_event(event, &mut out);
            }
            start = end;
            self.searched = end;
        }
        self.held.drain(..start);
        if self.passing || self.held.len() > MOST_HELD {
            // Two bytes may be the beginning of a blank line.
            let keep = self.held.len().saturating_sub(3);
            out.extend(self.held.drain(..keep));
            self.passing = true;
        }
        self.searched = self.held.len().saturating_sub(3);
        out
    }

    /// Ends the stream and gives back what was held.
    pub fn finish(&mut self) -> Vec<u8> {
        self.stream.finish();
        let held = std::mem::take(&mut self.held);
        self.searched = 0;
        if self.passing {
            return held;
        }
        let mut out = Vec::with_capacity(held.len());
        pass_event(&held, &mut out);
        out
    }

    /// The usage so far.
    pub fn usage(&self) -> Option<Usage> {
        self.stream.usage()
    }

    /// The reader of the stream: model, id, text, whether the answer has ended.
    pub fn stream(&self) -> &UsageStream {
        &self.stream
    }
}

/// Position behind the blank line that ends the event which begins at `start`; nothing ends before `from`.
fn end_of_event(bytes: &[u8], start: usize, from: usize) -> Option<usize> {
    let mut at = from.max(start);
    loop {
        let feed = at + memchr(b'\n', bytes.get(at..)?)?;
        let rest = bytes.get(feed + 1..)?;
        match rest {
            [b'\n', ..] => return Some(feed + 2),
            [b'\r', b'\n', ..] => return Some(feed + 3),
            _ => {}
        }
        at = feed + 1;
    }
}

/// Passes one event on, without what asking for usage added.
fn pass_event(event: &[u8], out: &mut Vec<u8>) {
    let Some(data) = data_of(event).filter(|data| {
        let json = event.get(data.clone()).unwrap_or_default();
        memmem::find(json, b"\"usage\"").is_some()
    }) else {
        out.extend_from_slice(event);
        return;
    };
    let json = event.get(data.clone()).unwrap_or_default();
    let Some(added) = added_by_asking(json) else {
        out.extend_from_slice(event);
        return;
    };
    if added.whole {
        return;
    }
    let mut at = 0;
    for member in added.members {
        let range = at..data.start + member.start;
        out.extend_from_slice(event.get(range).unwrap_or_default());
        at = data.start + member.end;
    }
    out.extend_from_slice(event.get(at..).unwrap_or_default());
}

/// Where the one line of data of an event is; `None` if there are none or several.
fn data_of(event: &[u8]) -> Option<Range<usize>> {
    let (mut at, mut found) = (0, None);
    while at < event.len() {
        let rest = event.get(at..)?;
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end)?;
        if let Some(data) = line.strip_prefix(b"data:") {
            if found.is_some() {
                return None;
            }
            let start = at + 5 + usize::from(data.first() == Some(&b' '));
            found = Some(start..at + line.strip_suffix(b"\r").unwrap_or(line).len());
        }
        at += end + 1;
    }
    found
}

/// What asking for usage added to a chunk.
struct Added {
    /// All of it.
    whole: bool,
    /// Members, each with its comma.
    members: Vec<Range<usize>>,
}

fn added_by_asking(json: &[u8]) -> Option<Added> {
    let (mut no_choices, mut usage, mut azure) = (false, false, false);
    let mut members = Vec::new();
    let mut at = blank(json, 0);
    if json.get(at) != Some(&b'{') {
        return None;
    }
    at = blank(json, at + 1);
    let mut comma = None;
    while json.get(at) == Some(&b'"') {
        let start = at;
        let name_end = end_of_text(json, at + 1)?;
        let name = json.get(at + 1..name_end - 1)?;
        at = blank(json, name_end);
        if json.get(at) != Some(&b':') {
            return None;
        }
        at = blank(json, at + 1);
        let value_start = at;
        at = end_of_value(json, at)?;
        let value = json.get(value_start..at)?;
        match name {
            b"choices" => {
                no_choices = value.len() >= 2 && value.first() == Some(&b'[') && blank(value, 1) + 1 == value.len();
            }
            b"prompt_filter_results" => azure = true,
            b"usage" => usage = value.first() == Some(&b'{'),
            _ => {}
        }
        let end = at;
        at = blank(json, at);
        let more = json.get(at) == Some(&b',');
        if name == b"usage" && value == b"null" {
            match &mut comma {
                Some(comma) => members.push(std::mem::replace(comma, at)..end),
                None if more => members.push(start..blank(json, at + 1)),
                None => members.push(start..end),
            }
        } else {
            comma = Some(at);
        }
        if !more {
            break;
        }
        at = blank(json, at + 1);
    }
    (json.get(at) == Some(&b'}')).then_some(Added { whole: no_choices && usage && !azure, members })
}

/// Position behind the quote that ends the text in which `at` is.
fn end_of_text(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn end_of_value(bytes: &[u8], at: usize) -> Option<usize> {
    let (open, close) = match bytes.get(at)? {
        b'"' => return end_of_text(bytes, at + 1),
        b'{' => (b'{', b'}'),
        b'[' => (b'[', b']'),
        _ => {
            let rest = bytes.get(at..)?;
            let length = rest.iter().position(|b| matches!(b, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r'))?;
            return (length > 0).then_some(at + length);
        }
    };
    let (mut at, mut depth) = (at + 1, 1_u64);
    while depth > 0 {
        at += memchr3(b'"', open, close, bytes.get(at..)?)?;
        match bytes.get(at) {
            Some(b'"') => at = end_of_text(bytes, at + 1)?,
            Some(byte) => {
                depth = if *byte == open { depth + 1 } else { depth - 1 };
                at += 1;
            }
            None => return None,
        }
    }
    Some(at)
}
