//! Glob patterns for request paths: `*` matches any string, including slashes, and `?` any character.

/// Returns whether the pattern matches the whole path.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where to continue after the last star if the rest does not match.
    let mut star: Option<(usize, usize)> = None;
    while seen < path.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(b'?') => (at, seen) = (at + 1, seen + 1),
            Some(byte) if *byte == path[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (at, seen) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn glob_star_matches_slashes_and_backtracks() {
        assert!(matches("*", "/a/b"));
        assert!(matches("/users/*", "/users/user_1"));
        assert!(!matches("/users/*", "/users"));
        assert!(matches("/u*/?", "/users/1"));
        assert!(matches("*b*d", "abcbd"));
        assert!(!matches("/jwks", "/jwks/"));
    }
}
