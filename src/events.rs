//! What happened, for those who want to know: events for programs, log lines for people.

use crate::reason::Reason;
use crate::token::TokenHash;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Source {
    /// The token had been verified before.
    Cache = 1,
    /// The token was verified now.
    Verified = 2,
}

impl Source {
    pub(crate) const fn c_str(self) -> &'static std::ffi::CStr {
        match self {
            Source::Cache => c"cache",
            Source::Verified => c"verified",
        }
    }

    /// `cache` or `api`.
    pub fn as_str(self) -> &'static str {
        self.c_str().to_str().unwrap_or_default()
    }
}

/// Something that happened. Borrowed for the time of the call; holds no token, no secret and no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A request was signed in. One such event or one `AuthFailed` for each request with a credential.
    AuthSuccess {
        /// The host's key of the row, in `sync` mode.
        user_key: Option<&'a str>,
        /// The token's subject.
        clerk_id: &'a str,
        /// Where the answer came from.
        source: Source,
        /// The token's hash.
        token_hash: TokenHash,
    },
    /// A request was not signed in, though something was presented.
    AuthFailed {
        /// Why.
        reason: Reason,
        /// The token's hash, if there was a token.
        token_hash: Option<TokenHash>,
    },
    /// A token was not in the cache. Comes before its `AuthSuccess` or `AuthFailed`.
    CacheMiss {
        /// The token's hash.
        token_hash: TokenHash,
    },
    /// A row was made.
    UserCreated {
        /// The host's key of the row.
        user_key: &'a str,
        /// Its Clerk user.
        clerk_id: &'a str,
    },
    /// A row was brought up to date.
    UserUpdated {
        /// The host's key of the row.
        user_key: &'a str,
        /// Its Clerk user.
        clerk_id: &'a str,
    },
    /// A row that was nobody's was given to a Clerk user because of a verified address.
    UserLinked {
        /// The host's key of the row.
        user_key: &'a str,
        /// Its Clerk user from now on.
        clerk_id: &'a str,
    },
    /// A row has a Clerk user's address or name and belongs to somebody else; it was left alone.
    LinkConflict {
        /// The Clerk user.
        clerk_id: &'a str,
    },
    /// The key set was fetched.
    JwksRefreshed,
    /// Clerk asks for patience; until then nothing is asked.
    RateLimited {
        /// For how long.
        retry_after_ms: u64,
    },
    /// Clerk refuses the secret key: the server is set up wrongly, whoever may still be let in for a while.
    SecretKeyRejected,
    /// A webhook told that a user is no more.
    UserDeleted {
        /// The Clerk user that was.
        clerk_id: &'a str,
    },
    /// Clerk is out of reach; the user as last known was served.
    StaleUserServed {
        /// The Clerk user.
        clerk_id: &'a str,
    },
}

/// How grave a log line is. Smaller is graver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Level {
    /// Requests fail because of it.
    Error = 1,
    /// Something to look into.
    Warn = 2,
    /// Worth knowing.
    Info = 3,
    /// For those who look for a fault.
    Debug = 4,
}

type OnEvent = dyn Fn(&Event<'_>) + Send + Sync;
type OnLog = dyn Fn(Level, &str) + Send + Sync;

/// Who is told. Called on the caller's thread with no lock held.
#[derive(Default)]
pub struct EventHandlers {
    event: Option<Box<OnEvent>>,
    log: Option<(Level, Box<OnLog>)>,
}

impl EventHandlers {
    /// Whoever wants events.
    pub fn on_event(&mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) {
        self.event = Some(Box::new(listener));
    }

    /// Whoever wants log lines as grave as `level` or graver.
    pub fn on_log(&mut self, level: Level, listener: impl Fn(Level, &str) + Send + Sync + 'static) {
        self.log = Some((level, Box::new(listener)));
    }

    /// Tells of an event.
    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(listener) = &self.event {
            listener(&event);
        }
    }

    /// Writes a log line, whose text is only made if somebody reads it.
    pub(crate) fn log(&self, level: Level, text: impl FnOnce() -> String) {
        if let Some((most, listener)) = &self.log
            && level <= *most
        {
            listener(level, &text());
        }
    }
}

impl std::fmt::Debug for EventHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EventHandlers(event: {}, log: {})", self.event.is_some(), self.log.is_some())
    }
}
