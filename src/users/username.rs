//! The candidates for a user's unique username.

use std::hash::{BuildHasher, RandomState};

use super::diff::truncate;

/// The last number that is tried before the candidate made of the Clerk id.
const LAST_NUMBER: u32 = 3;
/// The last number that rows may have from an earlier version of this library.
const LAST_KNOWN_NUMBER: u32 = 100;

/// The usernames that a user may get, in order: the base, `<base>-2`, `<base>-3`, `clerk_<id>`.
#[derive(Clone, Debug)]
pub struct UsernameCandidates {
    base: String,
    fallback: String,
    max_len: u32,
    number: u32,
}

impl UsernameCandidates {
    /// Takes the base from Clerk's username, or else the local part of the verified email address, or else the Clerk id. No
    /// candidate is longer than `max_len` characters; 0 means unlimited. None begins or ends with white space.
    pub fn new(clerk_id: &str, username: Option<&str>, email: Option<&str>, max_len: u32) -> Self {
        let fallback = last_chars(&format!("clerk_{clerk_id}"), max_len);
        let cut = |name: &str| Some(truncate(name.trim(), max_len).trim().to_owned()).filter(|name| !name.is_empty());
        let local = |email: &str| cut(email.split('@').next().unwrap_or_default());
        let base = username.and_then(cut).or_else(|| Some(local(email?).unwrap_or_else(|| "clerk-user".to_owned())));
        UsernameCandidates { base: base.unwrap_or_else(|| fallback.clone()), fallback, max_len, number: 1 }
    }

    /// Returns the current candidate.
    pub fn current(&self) -> String {
        match self.number {
            1 => self.base.clone(),
            n if n <= LAST_NUMBER => self.numbered(n),
            _ => self.fallback.clone(),
        }
    }

    /// Moves to the next candidate. Returns `false` if there is none.
    pub fn advance(&mut self) -> bool {
        self.number += 1;
        self.number <= LAST_NUMBER + 1
    }

    /// Moves to the candidate made of the Clerk id.
    pub fn skip_to_fallback(&mut self) {
        self.number = LAST_NUMBER + 1;
    }

    /// Returns a name that cannot have been taken in advance, for a new row whose candidates are all taken.
    pub fn unpredictable(&self) -> String {
        last_chars(&format!("{}-{:016x}", self.fallback, RandomState::new().hash_one(&self.fallback)), self.max_len)
    }

    /// Returns whether a username is one of the numbered candidates. A row that has one keeps it while the base is taken.
    pub fn is_numbered_variant(&self, username: &str) -> bool {
        let number = username.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
        number.is_some_and(|n| (2..=LAST_KNOWN_NUMBER).contains(&n) && self.numbered(n) == username)
    }

    /// Returns whether a username is one of the candidates.
    pub fn contains(&self, username: &str) -> bool {
        username == self.base || username == self.fallback || self.is_numbered_variant(username)
    }

    fn numbered(&self, number: u32) -> String {
        let suffix = format!("-{number}");
        let base: String = match self.max_len {
            0 => self.base.clone(),
            max_len => self.base.chars().take((max_len as usize).saturating_sub(suffix.len())).collect(),
        };
        base.trim_end().to_owned() + &suffix
    }
}

/// Returns the last `max_len` characters, without white space around; 0 means unlimited. Ids differ at their end, not at their
/// beginning.
fn last_chars(name: &str, max_len: u32) -> String {
    let excess = match max_len {
        0 => 0,
        max_len => name.chars().count().saturating_sub(max_len as usize),
    };
    name.chars().skip(excess).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(username: Option<&str>, email: Option<&str>, max_len: u32) -> UsernameCandidates {
        UsernameCandidates::new("user_2abc", username, email, max_len)
    }

    #[test]
    fn base_comes_from_username_email_or_id() {
        let first = |username, email| candidates(username, email, 0).current();
        assert_eq!(first(Some("ada"), Some("x@y")), "ada");
        assert_eq!(first(Some("  "), Some("x@y")), "x");
        assert_eq!(first(None, Some("@y")), "clerk-user");
        assert_eq!(first(None, None), "clerk_user_2abc");
        assert_eq!(candidates(None, None, 8).current(), "ser_2abc");
    }

    #[test]
    fn numbered_candidate_fits_into_the_column() {
        let mut candidates = candidates(Some("abcdefghijklmnop"), None, 10);
        assert_eq!(candidates.current(), "abcdefghij");
        assert!(candidates.advance());
        assert_eq!(candidates.current(), "abcdefgh-2");
        assert!(candidates.is_numbered_variant("abcdefgh-2") && candidates.is_numbered_variant("abcdefg-10"));
        for other in ["abcdefghij", "abcdefgh-02", "abcdefg-2", "abcdefgh-1", "abcdefgh-"] {
            assert!(!candidates.is_numbered_variant(other), "{other}");
        }
    }

    #[test]
    fn candidate_is_trimmed_after_every_cut() {
        let mut spaced = candidates(Some(" abcdefgh  j k"), None, 10);
        let mut all = vec![spaced.current()];
        while spaced.advance() {
            all.push(spaced.current());
        }
        assert_eq!(all, ["abcdefgh", "abcdefgh-2", "abcdefgh-3", "_user_2abc"]);
        let mut cut_at_space = candidates(Some("abcdefg jk"), None, 10);
        cut_at_space.advance();
        assert_eq!(cut_at_space.current(), "abcdefg-2");
        assert_eq!(candidates(Some("         x"), None, 8).current(), "x");
    }

    #[test]
    fn fourth_and_last_candidate_is_the_clerk_id() {
        let mut candidates = candidates(Some("ada"), None, 0);
        let all: Vec<String> = std::iter::once(candidates.current())
            .chain(std::iter::from_fn(|| candidates.advance().then(|| candidates.current())))
            .collect();
        assert_eq!(all, ["ada", "ada-2", "ada-3", "clerk_user_2abc"]);
        let names = [candidates.unpredictable(), candidates.unpredictable()];
        assert!(names[0] != names[1] && names.iter().all(|name| name.starts_with("clerk_user_2abc-")));
        assert!(!candidates.contains(&names[0]) && candidates.contains("ada-7"));
    }
}
