//! Unique names: where they come from and how they are numbered.

use crate::api::ClerkUser;

/// The last number that is tried before the Clerk id, which is unique, has to do.
const LAST_NUMBER: u32 = 100;

/// The names that a user may get, one after another.
#[derive(Clone, Debug)]
pub struct Candidates {
    base: String,
    fallback: String,
    longest: usize,
    number: u32,
}

impl Candidates {
    /// From Clerk's username, or else the part of the address before the `@`, or else the Clerk id.
    pub fn of(user: &ClerkUser, longest: u32) -> Self {
        let longest = if longest == 0 { usize::MAX } else { longest as usize };
        let fallback = format!("clerk_{}", user.id);
        let own = user.username.as_deref().map(str::trim).filter(|name| !name.is_empty());
        let base = match (own, &user.email) {
            (Some(own), _) => own.to_owned(),
            (None, Some(email)) => {
                let local = email.address.split('@').next().unwrap_or_default().trim();
                if local.is_empty() { "clerk-user".to_owned() } else { local.to_owned() }
            }
            (None, None) => fallback.clone(),
        };
        Candidates { base: cut(&base, longest), fallback, longest, number: 1 }
    }

    /// The name to try now.
    pub fn current(&self) -> String {
        match self.number {
            1 => self.base.clone(),
            n if n <= LAST_NUMBER => self.numbered(n),
            // The end of an id differs from user to user, its beginning does not.
            _ => {
                let skip = self.fallback.chars().count().saturating_sub(self.longest);
                self.fallback.chars().skip(skip).collect()
            }
        }
    }

    /// Goes on to the next name; `false` when there is none.
    pub fn next(&mut self) -> bool {
        self.number += 1;
        self.number <= LAST_NUMBER + 1
    }

    /// Whether a name is one of the numbered ones: a row that has such a name keeps it while the plain one is taken.
    pub fn has_number(&self, name: &str) -> bool {
        let number = name.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
        number.is_some_and(|n| (2..=LAST_NUMBER).contains(&n) && self.numbered(n) == name)
    }

    fn numbered(&self, number: u32) -> String {
        let suffix = format!("-{number}");
        cut(&self.base, self.longest.saturating_sub(suffix.len())) + &suffix
    }
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
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
    fn sources_in_their_order() {
        let first = |u, e| Candidates::of(&user(u, e), 0).current();
        assert_eq!(first(Some("ada"), Some("x@y")), "ada");
        assert_eq!(first(Some("  "), Some("x@y")), "x");
        assert_eq!(first(None, Some("@y")), "clerk-user");
        assert_eq!(first(None, None), "clerk_user_2abc");
    }

    #[test]
    fn numbers_fit_into_the_column() {
        let mut names = Candidates::of(&user(Some("abcdefghijklmnop"), None), 10);
        assert_eq!(names.current(), "abcdefghij");
        assert!(names.next());
        assert_eq!(names.current(), "abcdefgh-2");
        names.number = 10;
        assert_eq!(names.current(), "abcdefg-10");
        assert!(names.has_number("abcdefgh-2") && names.has_number("abcdefg-10"));
        for other in ["abcdefghij", "abcdefgh-02", "abcdefg-2", "abcdefgh-1", "abcdefgh-"] {
            assert!(!names.has_number(other), "{other}");
        }
    }

    #[test]
    fn the_search_ends_with_the_id() {
        let mut names = Candidates::of(&user(Some("ada"), None), 0);
        let all: Vec<String> = std::iter::once(names.current())
            .chain(std::iter::from_fn(|| names.next().then(|| names.current())))
            .collect();
        assert_eq!(all.len(), 101);
        assert_eq!((all[99].as_str(), all[100].as_str()), ("ada-100", "clerk_user_2abc"));
    }
}
