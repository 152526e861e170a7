//! The messages of a server, looked at before the driver reads them: it would wait for one of any length, and send the password itself
//! to a server that asks for it.

use std::io;

use crate::users::sql::{Failure, MAX_READ};

/// The type and the length of a message.
const HEAD: usize = 5;
/// How many rows a statement may return, and how many messages a server may send for it: each takes more memory than bytes.
const MAX_ROWS: u32 = 64;
const MAX_MESSAGES: u32 = 1024;
/// A request to authenticate has a code after them.
const HEAD_AND_CODE: usize = 9;

/// Follows the messages in what a server sends.
#[derive(Default)]
pub struct Messages {
    head: [u8; HEAD_AND_CODE],
    /// How many bytes of `head` have been received.
    filled: usize,
    /// How many bytes of the message are still to come.
    rest: usize,
    /// The messages, and the rows among them, since the server was last ready for a statement.
    messages: u32,
    rows: u32,
}

impl Messages {
    /// Checks the next bytes of the server.
    pub fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes.iter();
        while let Some(byte) = bytes.next() {
            if self.filled < HEAD {
                self.head[self.filled] = *byte;
                self.filled += 1;
                if self.filled == HEAD {
                    self.rest = self.length()?;
                    self.count()?;
                }
            } else {
                self.rest -= 1;
                if self.head[0] == b'R' && self.filled < HEAD_AND_CODE {
                    self.head[self.filled] = *byte;
                    self.filled += 1;
                    if self.filled == HEAD_AND_CODE {
                        self.check_code()?;
                    }
                } else if let Some(last) = self.rest.min(bytes.len()).checked_sub(1) {
                    bytes.nth(last);
                    self.rest -= last + 1;
                }
            }
            if self.filled >= HEAD && self.rest == 0 {
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Counts a message by its head.
    fn count(&mut self) -> io::Result<()> {
        match self.head[0] {
            b'Z' => (self.messages, self.rows) = (0, 0),
            b'D' => self.rows += 1,
            _ => {}
        }
        self.messages += 1;
        match self.rows > MAX_ROWS || self.messages > MAX_MESSAGES {
            true => Err(io::Error::other(Failure::excess())),
            false => Ok(()),
        }
    }

    /// Returns the length of what follows the head. The driver rejects a length that is too small.
    fn length(&self) -> io::Result<usize> {
        let [_, a, b, c, d, ..] = self.head;
        let length = u32::from_be_bytes([a, b, c, d]).saturating_sub(4) as usize;
        if length > MAX_READ { Err(io::Error::other(Failure::excess())) } else { Ok(length) }
    }

    /// Accepts the end of an authentication, MD5, and the three steps of SCRAM.
    fn check_code(&self) -> io::Result<()> {
        let [.., a, b, c, d] = self.head;
        match u32::from_be_bytes([a, b, c, d]) {
            0 | 5 | 10..=12 => Ok(()),
            _ => Err(io::Error::other(Failure::other(
                "the server asks for the password itself, or for another proof; only SCRAM and MD5 are supported",
            ))),
        }
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

    #[test]
    fn request_for_the_password_is_refused_wherever_it_is() {
        let notice = b"N\0\0\0\x06xx";
        let request = |code: u8| [&notice[..], b"R\0\0\0\x08\0\0\0", &[code]].concat();
        for code in 0..=255 {
            let is_good = matches!(code, 0 | 5 | 10..=12);
            for size in 1..=16 {
                let mut messages = Messages::default();
                let good = request(10);
                let sent = [&good[..4], &good[4..], &request(code), notice].concat();
                assert_eq!(sent.chunks(size).all(|chunk| messages.check(chunk).is_ok()), is_good, "{code} {size}");
            }
        }
    }
}
