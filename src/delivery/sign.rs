//! Signatures as Standard Webhooks describes them.
//!
//! Source: standard-webhooks, `spec/standard-webhooks.md`: HMAC-SHA256 over `id.timestamp.body`, `v1,` and base64; a
//! secret is `whsec_` and base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::error::{Error, Kind, Result};

/// What requests are signed with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads `whsec_` and base64, or base64 alone.
    pub fn parse(text: &str) -> Result<Self> {
        let key =
            STANDARD.decode(text.trim().trim_start_matches("whsec_").as_bytes()).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Error::new(Kind::Invalid, "a webhook's secret is 'whsec_' and base64"))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// The signature of a message.
    pub fn sign(&self, id: &str, seconds: u64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_that_is_none_is_refused_without_repeating_it() {
        for text in ["", "whsec_", "not base64!"] {
            let Err(error) = Secret::parse(text) else { panic!("{text}") };
            assert!(text.is_empty() || text == "whsec_" || !error.to_string().contains(text));
        }
    }
}
