//! Stream: the bytes of an answer, in pieces of any size, to events, to folded usage.
//!
//! A stream may be server-sent events, JSON lines, an array of JSON objects, Amazon's event stream, or one plain
//! body; the first byte tells. Nothing is kept but a token that the end of a piece has cut, so memory does not grow
//! with the stream.
//!
//! Not here: what the events mean (`provider/`).

mod amazon;
mod filter;
mod sse;

pub use filter::StreamFilter;

use crate::health::{HEALTH, Reason};
use crate::provider::json::{self, Fed, Scanner};
use crate::provider::{Collector, Facts, Fold, Hints};
use crate::usage::Usage;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// Nothing but white space so far.
    #[default]
    Open,
    Json,
    Sse,
    Amazon,
    /// One JSON document, because the caller says so.
    Body,
    /// Behind that document.
    Behind,
    /// What cannot be read any further.
    Alien,
}

impl Format {
    fn of(first: u8, stream: Option<bool>) -> Self {
        match (first, stream) {
            (b'{', Some(false)) => Self::Body,
            (b'{' | b'[' | 0x1e, _) => Self::Json,
            (_, Some(false)) => Self::Alien,
            (0, _) => Self::Amazon,
            _ => Self::Sse,
        }
    }
}

/// What the caller knows, kept.
#[derive(Debug, Default)]
struct Known {
    provider: Option<Box<str>>,
    api: Option<Box<str>>,
    stream: Option<bool>,
}

impl Known {
    fn hints(&self) -> Hints<'_> {
        Hints { provider: self.provider.as_deref(), api: self.api.as_deref(), stream: self.stream }
    }
}

/// Reads the usage of one answer from its bytes, in pieces of any size.
///
/// # Example
/// ```
/// let mut stream = ragmeter::UsageStream::new(ragmeter::Hints::default());
/// stream.feed(b"data: {\"choices\":[],\"usage\":{\"prompt_tok");
/// stream.feed(b"ens\":12,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n");
/// assert_eq!(stream.finish().and_then(|usage| usage.total()), Some(15));
/// ```
#[derive(Debug, Default)]
pub struct UsageStream {
    known: Known,
    format: Format,
    reader: Reader,
    sse: sse::Lines,
    amazon: amazon::Frames,
    finished: bool,
}

/// Documents to facts to folded usage.
#[derive(Debug, Default)]
struct Reader {
    scanner: Scanner,
    facts: Facts,
    fold: Fold,
    text: Collector,
}

impl Reader {
    fn read(&mut self, mut bytes: &[u8], hints: &Hints<'_>) {
        loop {
            match self.scanner.feed(bytes, &mut self.facts, &mut self.text) {
                Fed::All => return,
                Fed::Document(read) => {
                    self.fold.take(&mut self.facts, hints);
                    bytes = bytes.get(read..).unwrap_or_default();
                }
                Fed::Broken(read) => {
                    self.broken(hints);
                    bytes = bytes.get(read..).unwrap_or_default();
                }
            }
        }
    }

    /// Reads documents that count when they are released.
    fn hold(&mut self, mut bytes: &[u8]) {
        while let Fed::Document(read) | Fed::Broken(read) = self.scanner.feed(bytes, &mut self.facts, &mut self.text) {
            bytes = bytes.get(read..).unwrap_or_default();
        }
    }

    /// Lets count what was held, unless it arrived damaged.
    fn release(&mut self, intact: bool, hints: &Hints<'_>) {
        if !intact {
            self.facts.clear();
            self.damaged();
        } else if self.scanner.inside() || self.scanner.is_junk() {
            self.broken(hints);
        } else {
            self.fold.take(&mut self.facts, hints);
        }
        self.scanner.reset();
    }

    /// A part of the answer is lost.
    fn damaged(&mut self) {
        self.fold.broken();
        HEALTH.add(Reason::MalformedBody);
    }

    fn broken(&mut self, hints: &Hints<'_>) {
        self.damaged();
        self.fold.take(&mut self.facts, hints);
    }

    /// A boundary that no document crosses.
    fn boundary(&mut self, hints: &Hints<'_>) {
        if self.scanner.inside() {
            self.broken(hints);
        }
        self.scanner.reset();
    }

    fn cut(&mut self, hints: &Hints<'_>) {
        if self.scanner.inside() {
            self.fold.cut();
            self.fold.take(&mut self.facts, hints);
            HEALTH.add(Reason::TruncatedBody);
        }
        self.scanner.reset();
    }
}

impl UsageStream {
    /// A reader for one answer.
    pub fn new(hints: Hints<'_>) -> Self {
        let Hints { provider, api, stream } = hints;
        let known = Known { provider: provider.map(Box::from), api: api.map(Box::from), stream };
        Self { known, sse: sse::Lines::new(stream == Some(true)), ..Self::default() }
    }

    /// The same, which also keeps the text and the arguments of tool calls that the model delivers.
    #[must_use]
    pub fn keeping_text(mut self) -> Self {
        self.reader.text = Collector::new(true);
        self
    }

    /// Reads the next bytes of the answer. After [`UsageStream::finish`] it does nothing.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.finished {
            return;
        }
        let Self { known, reader, sse, amazon, .. } = self;
        let hints = known.hints();
        let mut bytes = bytes;
        if self.format == Format::Open {
            // White space and a byte order mark say nothing.
            let blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
            let start = bytes.iter().position(|byte| !blank(byte)).unwrap_or(bytes.len());
            bytes = bytes.get(start..).unwrap_or_default();
            let Some(first) = bytes.first() else { return };
            self.format = Format::of(*first, known.stream);
            if self.format == Format::Alien {
                reader.damaged();
            }
        }
        match self.format {
            Format::Json => read_json(reader, bytes, &hints),
            Format::Sse => sse.read(bytes, reader, &hints),
            Format::Amazon => amazon.read(bytes, reader, &hints),
            Format::Body | Format::Behind => self.format = read_one(reader, bytes, &hints, self.format),
            Format::Open | Format::Alien => {}
        }
    }

    /// Ends the answer; its usage, if it said any.
    pub fn finish(&mut self) -> Option<Usage> {
        if !self.finished {
            self.finished = true;
            let Self { known, reader, amazon, .. } = self;
            let hints = known.hints();
            if amazon.inside() {
                reader.fold.cut();
                reader.fold.take(&mut reader.facts, &hints);
            }
            reader.cut(&hints);
        }
        self.usage()
    }

    /// The usage so far.
    pub fn usage(&self) -> Option<Usage> {
        self.reader.fold.usage(&self.known.hints())
    }

    /// Model that answers, as the provider names it.
    pub fn model(&self) -> Option<&str> {
        self.reader.fold.model()
    }

    /// The provider's id of the answer.
    pub fn response_id(&self) -> Option<&str> {
        self.reader.fold.response_id()
    }

    /// Whether the provider said that the answer has ended, completely or not.
    pub fn done(&self) -> bool {
        self.reader.fold.done()
    }

    /// The text and the arguments of tool calls delivered so far; `None` unless they are kept.
    pub fn text(&self) -> Option<&str> {
        self.reader.text.text()
    }

    /// Whether the delivered text is kept.
    #[cfg(feature = "python")]
    pub(crate) fn keeps_text(&self) -> bool {
        self.reader.text.text().is_some()
    }

    /// Takes a document that somebody else has read.
    #[cfg(feature = "python")]
    pub(crate) fn feed_facts(&mut self, facts: &mut Facts, text: &Collector) {
        if !self.finished {
            let Self { known, reader, .. } = self;
            reader.text.append(text);
            reader.fold.take(facts, &known.hints());
        }
    }

    /// Reads a header of the answer; some providers state counts there that the body leaves out.
    pub fn header(&mut self, name: &str, value: &str) {
        if let Some((slot, count)) = crate::provider::header(name, value) {
            self.reader.fold.set(slot, count);
        }
    }
}

/// JSON, JSON lines, an array of objects. What is broken is passed over up to the next line.
fn read_json(reader: &mut Reader, mut bytes: &[u8], hints: &Hints<'_>) {
    while !bytes.is_empty() {
        if reader.scanner.is_junk() {
            let Some(line) = memchr::memchr(b'\n', bytes) else { return };
            bytes = bytes.get(line + 1..).unwrap_or_default();
            reader.scanner.reset();
            continue;
        }
        match reader.scanner.feed(bytes, &mut reader.facts, &mut reader.text) {
            Fed::All => return,
            Fed::Document(read) => {
                reader.fold.take(&mut reader.facts, hints);
                bytes = bytes.get(read..).unwrap_or_default();
            }
            Fed::Broken(read) => {
                reader.broken(hints);
                bytes = bytes.get(read..).unwrap_or_default();
            }
        }
    }
}

/// One document. What stands behind it is no part of it.
fn read_one(reader: &mut Reader, mut bytes: &[u8], hints: &Hints<'_>, format: Format) -> Format {
    if format == Format::Body {
        match reader.scanner.feed(bytes, &mut reader.facts, &mut reader.text) {
            Fed::All => return Format::Body,
            Fed::Document(read) => {
                reader.fold.take(&mut reader.facts, hints);
                bytes = bytes.get(read..).unwrap_or_default();
            }
            Fed::Broken(_) => {
                reader.broken(hints);
                return Format::Alien;
            }
        }
    }
    if json::blank(bytes, 0) == bytes.len() {
        return Format::Behind;
    }
    reader.damaged();
    Format::Alien
}

/// Reads the usage of a whole answer: a JSON body or a stream of any format.
#[inline]
pub fn read_usage(bytes: &[u8], hints: &Hints<'_>) -> Option<Usage> {
    let mut facts = Facts::default();
    if read_body(bytes, &mut facts) {
        return crate::provider::usage_of(&mut facts, hints);
    }
    let mut stream = UsageStream::new(*hints);
    stream.feed(bytes);
    stream.finish()
}

/// Reads one plain body; `false` if the bytes are anything else.
fn read_body(bytes: &[u8], facts: &mut Facts) -> bool {
    if bytes.first() != Some(&b'{') {
        return false;
    }
    let (mut scanner, mut text) = (Scanner::default(), Collector::default());
    let Fed::Document(read) = scanner.feed(bytes, facts, &mut text) else { return false };
    json::blank(bytes, read) == bytes.len() && facts.is_plain()
}
