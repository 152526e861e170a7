//! The payload of a handshake or a refresh: `Set-Cookie` lines from Clerk. Only Clerk's own cookies are passed on, and nothing
//! that could end a header line.

use serde::de::MapAccess;

use crate::json::{AnyItems, ObjectVisitor, object};

const MAX_LINES: usize = 32;
const MAX_LINE_LEN: usize = 8 * 1024;
const MAX_LINES_LEN: usize = 32 * 1024;

/// The lines that are passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// In Clerk's order: it first clears cookies, then sets them.
    pub kept: Vec<String>,
    /// How many were dropped.
    pub dropped: usize,
}

impl Lines {
    /// Filters the lines of a handshake token's payload; `None` if it is no JSON object with unique members.
    pub fn of_token(payload: &[u8]) -> Option<Self> {
        let Payload(AnyItems(lines)) = object(payload)?;
        Some(Lines::filter(lines.into_option().unwrap_or_default()))
    }

    /// Filters the lines of a payload; `None` is what is no string.
    pub fn filter(lines: Vec<Option<String>>) -> Self {
        let mut filtered = Lines::default();
        let (mut len, mut is_full) = (0, false);
        for line in lines {
            match line.filter(|line| !is_full && is_clerks_cookie(line)) {
                // The order matters, so nothing that follows is kept either.
                Some(line) if filtered.kept.len() == MAX_LINES || len + line.len() > MAX_LINES_LEN => {
                    is_full = true;
                    filtered.dropped += 1;
                }
                Some(line) => {
                    len += line.len();
                    filtered.kept.push(line);
                }
                None => filtered.dropped += 1,
            }
        }
        filtered
    }

    /// Returns the session token that the lines set: the value of the last session cookie of the instance. `None` if there is
    /// none, or it is cleared.
    pub fn session(&self, suffix: &str) -> Option<&str> {
        let own = |line: &&String| {
            let rest = name(line).strip_prefix("__session");
            rest.is_some_and(|rest| rest.is_empty() || rest.strip_prefix('_') == Some(suffix))
        };
        let first_part = self.kept.iter().rfind(own)?.split(';').next()?;
        first_part.split('=').nth(1).map(str::trim).filter(|value| !value.is_empty())
    }
}

#[derive(Default)]
struct Payload(AnyItems);

impl<'de> ObjectVisitor<'de> for Payload {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "handshake" {
            self.0 = map.next_value()?;
        }
        Ok(name == "handshake")
    }
}

/// The name of a line's cookie; empty if it has none.
fn name(line: &str) -> &str {
    let first_part = line.split(';').next().unwrap_or_default();
    first_part.split_once('=').map_or("", |(name, _)| name)
}

fn is_clerks_cookie(line: &str) -> bool {
    let name = name(line);
    let is_clerks = ["__session", "__client", "__refresh", "__clerk"].iter().any(|prefix| name.starts_with(prefix));
    let is_token = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    is_clerks && is_token && line.len() <= MAX_LINE_LEN && line.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn filter(lines: &Value) -> Lines {
        Lines::of_token(json!({"handshake": lines}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn payload_of_a_token_is_an_object_with_unique_members() {
        let line = r#"["__session=a"]"#;
        let kept = |payload: &str| Lines::of_token(payload.as_bytes()).map(|lines| lines.kept.len());
        for (payload, lines) in [
            (format!(r#"{{"handshake":{line}}}"#), Some(1)),
            ("{}".into(), Some(0)),
            (r#"{"handshake":"__session=a"}"#.into(), Some(0)),
            (r#"{"handshake":{"0":"__session=a"}}"#.into(), Some(0)),
            (format!("[{line}]"), None),
            (format!(r#"{{"handshake":[],"handshake":{line}}}"#), None),
            (format!(r#"{{"handshake":{line},"x":{{"a":1,"a":2}}}}"#), None),
        ] {
            assert_eq!(kept(&payload), lines, "{payload}");
        }
        assert_eq!(Lines::of_token(b"{\"handshake\":[],\"x\":\"\xff\"}"), None);
    }

    #[test]
    fn line_that_is_no_cookie_of_clerk_is_dropped() {
        let good = "__session=a; Path=/; Max-Age=31536000; Secure; SameSite=Lax";
        for line in [
            json!("__session=a\r\nX-Evil: 1"),
            json!("__session=a\nb"),
            json!("__session=a\0"),
            json!("__session=\u{e9}"),
            json!("__session=a\t"),
            json!("__session\r\n=a"),
            json!("sessionid=1; Path=/"),
            json!("foo; __session=a"),
            json!("; __session=a"),
            json!(" __session=a"),
            json!("__session x=a"),
            json!("__Host-__session=a"),
            json!("__session"),
            json!(""),
            json!(5),
            json!(null),
            json!(["__session=a"]),
            json!(format!("__session={}", "a".repeat(MAX_LINE_LEN))),
        ] {
            let lines = filter(&json!([line, good]));
            assert_eq!((lines.kept, lines.dropped), (vec![good.to_owned()], 1), "{line}");
        }
    }

    #[test]
    fn number_and_length_of_lines_are_limited() {
        let many = filter(&json!(vec!["__client_uat=1"; 40]));
        assert_eq!((many.kept.len(), many.dropped), (32, 8));
        let long = filter(&json!(vec![format!("__session={}", "a".repeat(7000)); 8]));
        assert_eq!((long.kept.len(), long.dropped), (4, 4));
        let mut mixed = vec![format!("__session={}", "a".repeat(7000)); 5];
        mixed.push("__client_uat=1".into());
        let mixed = filter(&json!(mixed));
        assert_eq!((mixed.kept.len(), mixed.dropped), (4, 2), "what follows is dropped, too");
    }

    #[test]
    fn session_is_that_of_the_last_own_session_cookie() {
        for (lines, session) in [
            (json!(["__session=a; Path=/", "__session_own=b=c; Path=/"]), Some("b")),
            (json!(["__session=a", "__session_other=b", "__sessionx=c", "__session_ownx=d"]), Some("a")),
            (json!(["__session=a", "__session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]), None),
            (json!(["__client_uat=0"]), None),
        ] {
            assert_eq!(filter(&lines).session("own"), session, "{lines}");
        }
    }
}
