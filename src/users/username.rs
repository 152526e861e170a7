//! The candidates for a user's unique username.

use super::diff::truncate;
use crate::api::ClerkUser;

/// The last number that is tried before the candidate made of the Clerk id, which is unique.
const LAST_NUMBER: u32 = 100;

/// The usernames that a user may get, in order: the base, `<base>-2` to `<base>-100`, `clerk_<id>`.
#[derive(Clone, Debug)]
pub struct UsernameCandidates {
    base: String,
    fallback: String,
    max_len: u32,
    number: u32,
}

impl UsernameCandidates {
    /// Takes the base from Clerk's username, or else the local part of the email address, or else the Clerk id. No candidate is
    /// longer than `max_len` characters; 0 means unlimited.
    pub fn of(user: &ClerkUser, max_len: u32) -> Self {
        let fallback = format!("clerk_{}", user.id);
        let username = user.username.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let base = match (username, &user.email) {
            (Some(username), _) => username.to_owned(),
            (None, Some(email)) => {
                let local = email.address.split('@').next().unwrap_or_default().trim();
                if local.is_empty() { "clerk-user".to_owned() } else { local.to_owned() }
            }
            (None, None) => fallback.clone(),
        };
        UsernameCandidates { base: truncate(&base, max_len), fallback, max_len, number: 1 }
    }

    /// Returns the current candidate.
    pub fn current(&self) -> String {
        match self.number {
            1 => self.base.clone(),
            n if n <= LAST_NUMBER => self.numbered(n),
            _ => self.fallback_suffix(),
        }
    }

    /// Moves to the next candidate. Returns `false` if there is none.
    pub fn advance(&mut self) -> bool {
        self.number += 1;
        self.number <= LAST_NUMBER + 1
    }

    /// Returns whether a username is one of the numbered candidates. A row that has one is not renamed while the base is taken.
    pub fn is_numbered_variant(&self, username: &str) -> bool {
        let number = username.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
        number.is_some_and(|n| (2..=LAST_NUMBER).contains(&n) && self.numbered(n) == username)
    }

    fn numbered(&self, number: u32) -> String {
        let suffix = format!("-{number}");
        let base = match self.max_len {
            0 => self.base.clone(),
            max_len => self.base.chars().take((max_len as usize).saturating_sub(suffix.len())).collect(),
        };
        base + &suffix
    }

    /// Truncates the id at its start: ids differ at the end.
    fn fallback_suffix(&self) -> String {
        let excess = match self.max_len {
            0 => 0,
            max_len => self.fallback.chars().count().saturating_sub(max_len as usize),
        };
        self.fallback.chars().skip(excess).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::EmailAddress;

    fn user(username: Option<&str>, email: Option<&str>) -> ClerkUser {
        ClerkUser {
            id: "user_2abc".into(),
            username: username.map(Into::into),
            email: email.map(|e| EmailAddress { address: e.into(), verified: true }),
            ..ClerkUser::default()
        }
    }

    #[test]
    fn base_comes_from_username_email_or_id() {
        let first = |username, email| UsernameCandidates::of(&user(username, email), 0).current();
        assert_eq!(first(Some("ada"), Some("x@y")), "ada");
        assert_eq!(first(Some("  "), Some("x@y")), "x");
        assert_eq!(first(None, Some("@y")), "clerk-user");
        assert_eq!(first(None, None), "clerk_user_2abc");
    }

    #[test]
    fn numbered_candidate_fits_into_the_column() {
        let mut candidates = UsernameCandidates::of(&user(Some("abcdefghijklmnop"), None), 10);
        assert_eq!(candidates.current(), "abcdefghij");
        assert!(candidates.advance());
        assert_eq!(candidates.current(), "abcdefgh-2");
        candidates.number = 10;
        assert_eq!(candidates.current(), "abcdefg-10");
        assert!(candidates.is_numbered_variant("abcdefgh-2") && candidates.is_numbered_variant("abcdefg-10"));
        for other in ["abcdefghij", "abcdefgh-02", "abcdefg-2", "abcdefgh-1", "abcdefgh-"] {
            assert!(!candidates.is_numbered_variant(other), "{other}");
        }
    }

    #[test]
    fn last_candidate_is_the_clerk_id() {
        let mut candidates = UsernameCandidates::of(&user(Some("ada"), None), 0);
        let all: Vec<String> = std::iter::once(candidates.current())
            .chain(std::iter::from_fn(|| candidates.advance().then(|| candidates.current())))
            .collect();
        assert_eq!(all.len(), 101);
        assert_eq!((all[99].as_str(), all[100].as_str()), ("ada-100", "clerk_user_2abc"));
    }
}
