//! The application's response to a result: pages with a session of their own, and API views like those of Django REST
//! framework.

use clerk_auth::internals::ffi::{CLERK_NO_CREDENTIALS, CLERK_OK};

use super::callbacks::AuthOutcome;
use crate::Result;

/// The response of a view.
#[derive(Debug, PartialEq, Eq)]
pub struct ViewResponse {
    pub http_status: i64,
    pub www_authenticate: Option<String>,
    /// The key of the row that is `request.user` in the view.
    pub user: Option<i64>,
}

impl AuthOutcome {
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

/// Returns the response of a view. The user of the session is used only if there are no credentials.
pub fn respond(path: &str, auth: Option<&AuthOutcome>, session: Option<i64>) -> Result<ViewResponse> {
    let rejected = |auth: Option<&AuthOutcome>| ViewResponse {
        // Without a client the application's configuration is invalid.
        http_status: auth.map_or(500, |auth| auth.http_status.into()),
        www_authenticate: auth.and_then(|auth| auth.www_authenticate.clone()),
        user: None,
    };
    let ok = |user| ViewResponse { http_status: 200, www_authenticate: None, user };
    let anonymous = auth.filter(|auth| !auth.has_credentials());
    Ok(match path {
        "untouched" => ok(None),
        "whoami" | "twice" => ok(match anonymous {
            Some(_) => session,
            None => auth.and_then(AuthOutcome::user),
        }),
        "drf" | "drf-any" | "drf-session" => match auth {
            Some(auth) if auth.is_signed_in() => ok(auth.user()),
            Some(_) if anonymous.is_some() && path == "drf-any" => ok(None),
            Some(_) if anonymous.is_some() && path == "drf-session" && session.is_some() => ok(session),
            _ => rejected(auth),
        },
        _ => return Err(format!("path {path}: unknown").into()),
    })
}

#[cfg(test)]
mod tests {
    use clerk_auth::internals::ffi::CLERK_SIGNED_OUT;

    use super::*;

    fn auth(status: i32, http_status: i32) -> AuthOutcome {
        let user_key = (status == CLERK_OK).then(|| "7".to_owned());
        let www_authenticate = (http_status == 401).then(|| "Bearer".to_owned());
        AuthOutcome { status, http_status, user_key, www_authenticate, ..AuthOutcome::default() }
    }

    #[test]
    fn session_is_used_only_without_credentials() {
        let user = |status, path| respond(path, Some(&auth(status, 401)), Some(1)).unwrap().user;
        for path in ["whoami", "drf-session"] {
            assert_eq!([user(CLERK_OK, path), user(CLERK_NO_CREDENTIALS, path)], [Some(7), Some(1)]);
            assert_eq!(user(CLERK_SIGNED_OUT, path), None);
        }
        assert_eq!(user(CLERK_NO_CREDENTIALS, "drf"), None);
    }

    #[test]
    fn api_views_use_the_http_status_of_the_result() {
        let status = |status, http, path| respond(path, Some(&auth(status, http)), None).unwrap().http_status;
        assert_eq!(status(CLERK_NO_CREDENTIALS, 401, "drf-any"), 200);
        assert_eq!(status(CLERK_NO_CREDENTIALS, 401, "drf-session"), 401);
        assert_eq!(status(CLERK_SIGNED_OUT, 403, "drf-any"), 403);
        assert_eq!(status(CLERK_SIGNED_OUT, 401, "whoami"), 200);
    }
}
