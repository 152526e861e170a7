//! Events for programs, and log lines for operators.

use crate::reason::Reason;
use crate::token::TokenHash;

/// Where a result came from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr, strum::VariantArray, strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum Source {
    /// The token was verified earlier, and the result was cached.
    Cache = 1,
    /// The token was verified by this call.
    Verified = 2,
}

impl Source {
    /// Returns `cache` or `verified`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Where Clerk's response to a handshake came from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::IntoStaticStr, strum::VariantArray, strum::VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
#[repr(i32)]
pub enum HandshakeSource {
    /// A nonce was exchanged at Clerk.
    Nonce = 1,
    /// A handshake token was verified.
    Token = 2,
    /// The session was refreshed with its refresh cookie.
    Refresh = 3,
}

impl HandshakeSource {
    /// Returns the name, such as `nonce`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// An event, borrowed for the call of the handler. Contains no token, no secret and no e-mail address.
///
/// [`ClientBuilder::on_event`](crate::ClientBuilder::on_event) sets the handler.
///
/// # Examples
///
/// Counting sign-ins:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use clerk_auth::{Client, Event};
///
/// # let (jwt_key, token) = clerk_auth::internals::example();
/// let sign_ins = Arc::new(AtomicU64::new(0));
/// let counter = sign_ins.clone();
/// let client = Client::builder()
///     .jwt_key(jwt_key)
///     .on_event(move |event| {
///         if let Event::AuthSuccess { .. } = event {
///             counter.fetch_add(1, Ordering::Relaxed);
///         }
///     })
///     .build()?;
/// # let authorization = format!("Bearer {token}");
/// # client.authenticate(clerk_auth::Request::new().header(b"Authorization", authorization.as_bytes()));
/// # assert_eq!(sign_ins.load(Ordering::Relaxed), 1);
/// # Ok::<(), clerk_auth::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A request was signed in. Each request with a credential emits this or `AuthFailed`, once.
    AuthSuccess {
        /// The application's key of the row, in `sync` mode.
        user_key: Option<&'a str>,
        /// The token's subject.
        clerk_id: &'a str,
        /// Where the result came from.
        source: Source,
        /// The token's hash.
        token_hash: TokenHash,
    },
    /// A credential was presented, and the request was not signed in.
    AuthFailed {
        /// Why.
        reason: Reason,
        /// The token's hash, if there was a token.
        token_hash: Option<TokenHash>,
    },
    /// A token was not in the cache. Emitted before its `AuthSuccess` or `AuthFailed`.
    CacheMiss {
        /// The token's hash.
        token_hash: TokenHash,
    },
    /// A row was created.
    UserCreated {
        /// The application's key of the row.
        user_key: &'a str,
        /// Its Clerk user.
        clerk_id: &'a str,
    },
    /// A row was updated.
    UserUpdated {
        /// The application's key of the row.
        user_key: &'a str,
        /// Its Clerk user.
        clerk_id: &'a str,
    },
    /// A row without a Clerk id was linked to a Clerk user by a verified e-mail address.
    UserLinked {
        /// The application's key of the row.
        user_key: &'a str,
        /// The Clerk user it was linked to.
        clerk_id: &'a str,
    },
    /// A row with the user's e-mail address or username belongs to another Clerk user, and was not changed.
    LinkConflict {
        /// The Clerk user.
        clerk_id: &'a str,
    },
    /// The JWK set was fetched.
    JwksRefreshed,
    /// Clerk is rate-limiting (429). No request is sent until then.
    RateLimited {
        /// The time to wait.
        retry_after_ms: u64,
    },
    /// Clerk rejects the secret key: the server is misconfigured, even if cached results are still accepted.
    SecretKeyRejected,
    /// A webhook reported that a user was deleted.
    UserDeleted {
        /// The deleted Clerk user.
        clerk_id: &'a str,
    },
    /// A token's key is not in the key set, which is not fetched again yet because it was just fetched for another token. After a
    /// rotation of Clerk's keys, tokens are rejected until then. Emitted once until the next such fetch.
    JwksFetchLimited {
        /// The time until the next fetch may begin.
        retry_after_ms: u64,
    },
    /// Clerk is unavailable, and a stale cached user was used.
    StaleUserServed {
        /// The Clerk user.
        clerk_id: &'a str,
    },
    /// A browser is redirected to Clerk. The request is not signed in.
    HandshakeStarted {
        /// Why.
        reason: Reason,
    },
    /// A browser came back from Clerk, or its session was refreshed: the response sets Clerk's cookies.
    HandshakeResolved {
        /// Where they came from.
        source: HandshakeSource,
        /// How many `Set-Cookie` lines were not passed on, because they are malformed or not for Clerk's cookies.
        dropped_lines: usize,
    },
    /// Clerk's response to a handshake was not accepted or could not be fetched.
    HandshakeFailed {
        /// Why.
        reason: Reason,
    },
    /// The shared cache cannot be used. Until [`Event::SharedCacheAvailable`] the process goes on without it.
    SharedCacheUnavailable,
    /// The shared cache can be used again.
    SharedCacheAvailable,
}

/// The severity of a log line. Smaller is more severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::FromRepr)]
#[non_exhaustive]
#[repr(i32)]
pub enum Level {
    /// Requests fail because of this.
    Error = 1,
    /// A problem that does not fail requests.
    Warn = 2,
    /// Informational.
    Info = 3,
    /// For debugging.
    Debug = 4,
}

type OnEvent = dyn Fn(&Event<'_>) + Send + Sync;
type OnLog = dyn Fn(Level, &str) + Send + Sync;

/// The event handler and the log handler. Both are called on the caller's thread with no lock held.
#[derive(Default)]
pub struct EventHandlers {
    event: Option<Box<OnEvent>>,
    log: Option<(Level, Box<OnLog>)>,
}

impl EventHandlers {
    /// Sets the event handler.
    pub fn on_event(&mut self, handler: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.event = Some(Box::new(handler));
    }

    /// Sets the handler of log lines at `level` and above.
    pub fn on_log(&mut self, level: Level, handler: impl Fn(Level, &str) + Send + Sync + 'static) {
        self.log = Some((level, Box::new(handler)));
    }

    /// Returns whether there is an event handler.
    pub(crate) fn has_listener(&self) -> bool {
        self.event.is_some()
    }

    /// Returns whether there is a log handler.
    pub(crate) fn has_log_handler(&self) -> bool {
        self.log.is_some()
    }

    /// Calls the event handler.
    pub(crate) fn emit(&self, event: Event<'_>) {
        if let Some(handler) = &self.event {
            handler(&event);
        }
    }

    /// Returns whether the log handler is called for lines at this level.
    pub(crate) fn is_logged(&self, level: Level) -> bool {
        self.log.as_ref().is_some_and(|(max_level, _)| level <= *max_level)
    }

    /// Calls the log handler if its level includes `level`. The message is built only then.
    pub(crate) fn log(&self, level: Level, message: impl FnOnce() -> String) {
        if let Some((_, handler)) = self.log.as_ref().filter(|_| self.is_logged(level)) {
            handler(level, &message());
        }
    }
}

impl std::fmt::Debug for EventHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventHandlers(event: {}, log: {})", self.event.is_some(), self.log.is_some())
    }
}
