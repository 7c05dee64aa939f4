//! Amazon's event stream: binary frames around JSON.
//!
//! Source: AWS, `application/vnd.amazon.eventstream`; read 2026-11-22. A frame is its length, the length of its
//! headers, a checksum of these, headers, payload, a checksum of all; numbers are big-endian.

use super::Reader;
use crate::health::{HEALTH, Reason};
use crate::provider::Hints;

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Prelude,
    Headers,
    Payload,
    Checksum,
    /// Not a frame; nothing behind it can be found.
    Lost,
}

/// Finds the payloads of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frames {
    state: State,
    prelude: [u8; PRELUDE],
    filled: usize,
    left: usize,
    payload: usize,
}

impl Frames {
    /// Whether a frame has begun and not ended.
    pub(super) fn inside(&self) -> bool {
        !matches!(self.state, State::Prelude | State::Lost) || self.filled > 0
    }

    /// Reads `bytes` and hands the payloads to `reader`.
    pub(super) fn read(&mut self, mut bytes: &[u8], reader: &mut Reader, hints: &Hints<'_>) {
        while !bytes.is_empty() && self.state != State::Lost {
            if self.state == State::Prelude {
                let want = (PRELUDE - self.filled).min(bytes.len());
                let (head, rest) = bytes.split_at_checked(want).unwrap_or((bytes, &[]));
                for (slot, byte) in self.prelude.iter_mut().skip(self.filled).zip(head) {
                    *slot = *byte;
                }
                self.filled += head.len();
                bytes = rest;
                if self.filled == PRELUDE {
                    self.filled = 0;
                    self.begin(reader);
                }
                continue;
            }
            let (part, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
            if self.state == State::Payload {
                reader.read(part, hints);
            }
            self.left -= part.len();
            bytes = rest;
            self.advance(reader, hints);
        }
    }

    fn begin(&mut self, reader: &mut Reader) {
        let number =
            |at| self.prelude.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes);
        let (total, headers) = (number(0) as usize, number(4) as usize);
        if let Some(payload) = total.checked_sub(PRELUDE + CHECKSUM).and_then(|rest| rest.checked_sub(headers)) {
            self.state = State::Headers;
            self.left = headers;
            self.payload = payload;
        } else {
            self.state = State::Lost;
            reader.fold.broken();
            HEALTH.add(Reason::MalformedBody);
        }
    }

    /// Goes on to the next part when the present one is complete; empty parts are passed at once.
    fn advance(&mut self, reader: &mut Reader, hints: &Hints<'_>) {
        while self.left == 0 {
            (self.state, self.left) = match self.state {
                State::Headers => (State::Payload, self.payload),
                State::Payload => {
                    reader.boundary(hints);
                    (State::Checksum, CHECKSUM)
                }
                State::Checksum => (State::Prelude, 0),
                State::Prelude | State::Lost => return,
            };
        }
    }
}
