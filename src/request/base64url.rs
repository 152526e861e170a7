//! base64url without padding (RFC 4648 §5), decoded on the stack, however long it is.

use std::mem::MaybeUninit;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};

use super::MAX_TOKEN_LEN;

/// Room for all decoded parts of a token of the maximum length.
#[derive(Debug)]
pub struct Decoded([MaybeUninit<u8>; MAX_TOKEN_LEN / 4 * 3]);

impl Default for Decoded {
    fn default() -> Self {
        Decoded([MaybeUninit::uninit(); MAX_TOKEN_LEN / 4 * 3])
    }
}

impl Decoded {
    /// Returns a decoder that uses the room from its beginning.
    pub(crate) fn decoder(&mut self) -> Decoder<'_> {
        Decoder(&mut self.0)
    }
}

/// Decodes one part after the other.
pub(crate) struct Decoder<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Decoder<'a> {
    /// Decodes a part. Returns `None` if it is malformed, has trailing bits that are not zero (RFC 4648 §3.5), or is too long.
    pub fn decode(&mut self, part: &[u8]) -> Option<&'a [u8]> {
        let len = URL_SAFE_NO_PAD.decoded_length(part).ok()?;
        let (room, rest) = std::mem::take(&mut self.0).split_at_mut_checked(len)?;
        self.0 = rest;
        URL_SAFE_NO_PAD.decode(part, room.as_out()).ok().map(|decoded| &*decoded)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::Decoded;

    // Threat U1: the vectorized decoder accepts what the plain one does, in each of its steps.
    #[test]
    fn decoder_agrees_with_the_plain_one() {
        let mut state = 1_u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for len in (0..200).chain([1023, 4096, 12_000]) {
            for case in 0..40 {
                let mut part = URL_SAFE_NO_PAD.encode((0..len).map(|_| random(256) as u8).collect::<Vec<_>>());
                // One character is replaced: another of the alphabet, perhaps with other trailing bits, or one of none.
                if case > 0 && !part.is_empty() {
                    let at = if case % 2 == 0 { part.len() - 1 } else { random(part.len()) };
                    let other = char::from(random(128) as u8).to_string();
                    part.replace_range(at..=at, if case % 3 == 0 { "" } else { &other });
                }
                let mut room = Decoded::default();
                let decoded = room.decoder().decode(part.as_bytes()).map(<[u8]>::to_vec);
                assert_eq!(decoded, URL_SAFE_NO_PAD.decode(&part).ok(), "{part}");
            }
        }
    }
}
