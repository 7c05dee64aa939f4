//! Amazon's event stream: binary frames around JSON.
//!
//! Source: AWS, `application/vnd.amazon.eventstream`; read 2026-11-22. A frame is its length, the length of its
//! headers, a checksum of these, headers, payload, a checksum of all; numbers are big-endian.
//!
//! A frame whose checksum is wrong counts nothing. If it is the checksum of the lengths, the next frame begins at the
//! next twelve bytes that are right in themselves.

use crc32fast::Hasher;

use super::Reader;
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
}

/// Finds the payloads of frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    state: State,
    /// The last bytes that may be lengths and their checksum.
    prelude: [u8; PRELUDE],
    filled: usize,
    /// The beginning of the next frame is being looked for.
    lost: bool,
    left: usize,
    payload: usize,
    checksum: Hasher,
    stated: u32,
}

impl Frames {
    /// Whether a frame has begun and not ended.
    pub(super) fn inside(&self) -> bool {
        self.state != State::Prelude || (self.filled > 0 && !self.lost)
    }

    /// Reads `bytes` and hands the payloads to `reader`.
    pub(super) fn read(&mut self, mut bytes: &[u8], reader: &mut Reader, hints: &Hints<'_>) {
        while let [byte, after @ ..] = bytes {
            if self.state == State::Prelude {
                self.begin(*byte, reader);
                bytes = after;
            } else {
                let (part, rest) = bytes.split_at_checked(self.left).unwrap_or((bytes, &[]));
                match self.state {
                    State::Checksum => part.iter().for_each(|byte| self.stated = self.stated << 8 | u32::from(*byte)),
                    State::Payload => reader.hold(part),
                    State::Headers | State::Prelude => {}
                }
                if self.state != State::Checksum {
                    self.checksum.update(part);
                }
                self.left -= part.len();
                bytes = rest;
            }
            self.advance(reader, hints);
        }
    }

    /// Takes one byte of what may be the beginning of a frame.
    fn begin(&mut self, byte: u8, reader: &mut Reader) {
        if self.filled == PRELUDE {
            self.prelude.rotate_left(1);
            self.filled -= 1;
        }
        if let Some(slot) = self.prelude.get_mut(self.filled) {
            *slot = byte;
        }
        self.filled += 1;
        if self.filled < PRELUDE {
            return;
        }
        if let Some((headers, payload)) = self.lengths() {
            self.checksum.reset();
            self.checksum.update(&self.prelude);
            (self.state, self.left, self.payload) = (State::Headers, headers, payload);
            (self.filled, self.lost, self.stated) = (0, false, 0);
        } else if !self.lost {
            self.lost = true;
            reader.damaged();
        }
    }

    /// The lengths of headers and payload, if the prelude is one.
    fn lengths(&self) -> Option<(usize, usize)> {
        let number = |at| Some(u32::from_be_bytes(*self.prelude.get(at..)?.first_chunk()?));
        let (total, headers) = (number(0)? as usize, number(4)? as usize);
        let payload = total.checked_sub(PRELUDE + CHECKSUM)?.checked_sub(headers)?;
        (number(8)? == crc32fast::hash(self.prelude.first_chunk::<8>()?)).then_some((headers, payload))
    }

    /// Goes on to the next part when the present one is complete; empty parts are passed at once.
    fn advance(&mut self, reader: &mut Reader, hints: &Hints<'_>) {
        while self.left == 0 {
            (self.state, self.left) = match self.state {
                State::Headers => (State::Payload, self.payload),
                State::Payload => (State::Checksum, CHECKSUM),
                State::Checksum => {
                    reader.release(self.stated == self.checksum.clone().finalize(), hints);
                    (State::Prelude, 0)
                }
                State::Prelude => return,
            };
        }
    }
}
