//! The messages of a server, looked at before the driver reads them: it would wait for one of any length.

use std::io;

use crate::users::sql::{Failure, MAX_READ};

/// The type and the length of a message.
const HEAD: usize = 5;

/// Follows the messages in what a server sends.
#[derive(Default)]
pub struct Messages {
    head: [u8; HEAD],
    /// How many bytes of `head` have been received.
    filled: usize,
    /// How many bytes of the message are still to come after `head`.
    rest: usize,
}

impl Messages {
    /// Checks the next bytes of the server.
    pub fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let [first, others @ ..] = bytes {
            if self.rest > 0 {
                let count = self.rest.min(bytes.len());
                self.rest -= count;
                bytes = &bytes[count..];
                continue;
            }
            self.head[self.filled] = *first;
            self.filled = (self.filled + 1) % HEAD;
            bytes = others;
            if self.filled == 0 {
                self.rest = self.length()?;
            }
        }
        Ok(())
    }

    /// Returns the length of what follows the head. The driver rejects a length that is too small.
    fn length(&self) -> io::Result<usize> {
        let [_, length @ ..] = self.head;
        let length = u32::from_be_bytes(length).saturating_sub(4) as usize;
        if length > MAX_READ { Err(io::Error::other(Failure::excess())) } else { Ok(length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_followed_however_they_are_divided() {
        let long = (MAX_READ as u32 + 5).to_be_bytes();
        let all = [&b"Z\0\0\0\x05I"[..], b"N\0\0\0\x04", b"D\0\0\0\x09Dffff", b"N", &long].concat();
        for size in 1..=all.len() {
            let mut messages = Messages::default();
            let failed = all.chunks(size).position(|chunk| messages.check(chunk).is_err());
            assert_eq!(failed, Some((all.len() - 1) / size), "{size}");
        }
    }
}
