//! Compares the names of header lines, which are case-insensitive (RFC 9110 §5.1), a word at a time.

/// A lowercase name of 4 to 16 bytes: its first and its last bytes, as two words that may overlap.
pub(super) struct Name {
    len: usize,
    words: [u64; 2],
    /// The bit that is set in lowercase letters, for each byte that is a letter.
    letters: [u64; 2],
}

impl Name {
    pub const fn new(name: &[u8]) -> Name {
        let len = name.len();
        assert!(4 <= len && len <= 16);
        let width = if len < 8 { 4 } else { 8 };
        let (mut words, mut letters) = ([0; 2], [0; 2]);
        let mut i = 0;
        while i < 2 * width {
            let byte = name[if i < width { i } else { len + i - 2 * width }];
            let shift = 8 * (i % width);
            words[i / width] |= (byte as u64) << shift;
            letters[i / width] |= if byte.is_ascii_lowercase() { 0x20 << shift } else { 0 };
            i += 1;
        }
        Name { len, words, letters }
    }

    /// Returns whether it is this name, in any case. Without a call or a loop if the length is known.
    #[inline(always)]
    pub fn is(&self, name: &[u8]) -> bool {
        let [first, last] = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            [first, last].map(|word| u64::from_le_bytes(*word))
        } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            [first, last].map(|word| u64::from(u32::from_le_bytes(*word)))
        } else {
            return false;
        };
        name.len() == self.len
            && (first | self.letters[0]) ^ self.words[0] | (last | self.letters[1]) ^ self.words[1] == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_compared_without_case_and_otherwise_exactly() {
        for name in
            ["host", "cookie", "referer", "sec-fetch", "user-agent", ":authority", "sec-fetch-site", "x-forwarded-for1"]
        {
            let own = Name::new(name.as_bytes());
            assert!(own.is(name.as_bytes()) && own.is(name.to_uppercase().as_bytes()));
            for i in 0..name.len() {
                for byte in 0..=255 {
                    let mut other = name.as_bytes().to_vec();
                    other[i] = byte;
                    assert_eq!(own.is(&other), other.eq_ignore_ascii_case(name.as_bytes()), "{other:?}");
                }
            }
            assert!(!own.is(&name.as_bytes()[1..]) && !own.is(format!("{name}s").as_bytes()) && !own.is(b""));
        }
    }
}
