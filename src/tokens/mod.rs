//! Offline token counters, exact to the token for every encoding that OpenAI publishes.
//!
//! ```text
//! text ──► pieces (mask, scan) ──► look-up (key, cache, vocab) ──► count
//!              └─ not ASCII: cut       └─ no token: bpe, long
//! ```
//!
//! Not here: what a model's requests cost beside their text; that is [`messages`](self).

// Ids and lengths of pieces are far below 2^32; hashes are cut on purpose.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod bpe;
mod cache;
mod class;
mod count;
mod cut;
mod encoding;
mod key;
mod long;
mod mask;
mod registry;
mod scan;
mod special;
mod vocab;

pub use encoding::{Encoding, UnknownToken};
pub use registry::EncodingName;
