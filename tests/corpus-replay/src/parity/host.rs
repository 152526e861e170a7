//! What a host makes of an answer: pages with a session of their own, and API views as Django REST framework has them.

use clerk_auth::internals::ffi::{CLERK_NO_CREDENTIALS, CLERK_OK};

use super::abi::AuthResult;
use crate::Result;

/// What the client of the host gets to see.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub http_status: i64,
    /// `WWW-Authenticate`
    pub challenge: Option<String>,
    /// The key of the row that is `request.user` to the view.
    pub user: Option<i64>,
}

impl AuthResult {
    pub fn is_signed_in(&self) -> bool {
        self.status == CLERK_OK
    }

    pub fn has_credentials(&self) -> bool {
        self.status != CLERK_NO_CREDENTIALS
    }

    pub fn user(&self) -> Option<i64> {
        self.user_key.as_deref()?.parse().ok()
    }
}

/// Without credentials a session stays whose it was; bad ones never fall back to it.
pub fn seen(path: &str, answer: Option<&AuthResult>, session: Option<i64>) -> Result<Seen> {
    let refused = |answer: Option<&AuthResult>| Seen {
        // Without a client there is no host: its configuration is wrong.
        http_status: answer.map_or(500, |answer| answer.http_status.into()),
        challenge: answer.and_then(|answer| answer.challenge.clone()),
        user: None,
    };
    let ok = |user| Seen { http_status: 200, challenge: None, user };
    let anonymous = answer.filter(|answer| !answer.has_credentials());
    Ok(match path {
        "untouched" => ok(None),
        "whoami" | "twice" => ok(match anonymous {
            Some(_) => session,
            None => answer.and_then(AuthResult::user),
        }),
        "drf" | "drf-any" | "drf-session" => match answer {
            Some(answer) if answer.is_signed_in() => ok(answer.user()),
            Some(_) if anonymous.is_some() && path == "drf-any" => ok(None),
            Some(_) if anonymous.is_some() && path == "drf-session" && session.is_some() => ok(session),
            _ => refused(answer),
        },
        _ => return Err(format!("path {path}: unknown").into()),
    })
}

#[cfg(test)]
mod tests {
    use clerk_auth::internals::ffi::CLERK_SIGNED_OUT;

    use super::*;

    fn answer(status: i32, http_status: i32) -> AuthResult {
        let user_key = (status == CLERK_OK).then(|| "7".to_owned());
        let challenge = (http_status == 401).then(|| "Bearer".to_owned());
        AuthResult { status, http_status, user_key, challenge, ..AuthResult::default() }
    }

    #[test]
    fn sessions_stand_in_for_missing_credentials_only() {
        let user = |status, path| seen(path, Some(&answer(status, 401)), Some(1)).unwrap().user;
        for path in ["whoami", "drf-session"] {
            assert_eq!([user(CLERK_OK, path), user(CLERK_NO_CREDENTIALS, path)], [Some(7), Some(1)]);
            assert_eq!(user(CLERK_SIGNED_OUT, path), None);
        }
        assert_eq!(user(CLERK_NO_CREDENTIALS, "drf"), None);
    }

    #[test]
    fn views_answer_as_the_library_says() {
        let status = |given, http, path| seen(path, Some(&answer(given, http)), None).unwrap().http_status;
        assert_eq!(status(CLERK_NO_CREDENTIALS, 401, "drf-any"), 200);
        assert_eq!(status(CLERK_NO_CREDENTIALS, 401, "drf-session"), 401);
        assert_eq!(status(CLERK_SIGNED_OUT, 403, "drf-any"), 403);
        assert_eq!(status(CLERK_SIGNED_OUT, 401, "whoami"), 200);
    }
}
