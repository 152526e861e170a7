//! The settings: one row makes the field of `Config`, the default, the run-time information, the README's table and the
//! lists of the bindings.

use super::Setting;
use super::parse::Value;
use super::secret::Secret;
use crate::token::TokenKind;

/// What a client finds out about the user of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum UserMode {
    /// The claims of the token, nothing else.
    Claims,
    /// The Clerk user as well, fetched and cached.
    Profile,
    /// The application's own row, found, created or updated through the user store.
    Sync,
}

/// Whether an existing row may be linked to a Clerk user by its e-mail address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum LinkByEmail {
    /// Rows are found by Clerk id only.
    Never,
    /// A row without a Clerk id is linked if Clerk has verified the address.
    #[default]
    Verified,
}

/// Whether requests with a cookie are checked for cross-site request forgery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Csrf {
    /// They are not; the application has its own check.
    #[default]
    Off,
    /// A cookie on an unsafe method needs `Sec-Fetch-Site` or `Origin` of the same origin or an authorized party.
    Check,
}

/// Whether pages are kept signed in by the browser handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Handshake {
    /// They are not; a stale session cookie is refused.
    #[default]
    Off,
    /// A document request with a stale session cookie is redirected to Clerk and back.
    On,
}

/// Where the response of a handshake is read from the query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum HandshakeQuery {
    /// With development instances only: production instances respond with cookies.
    #[default]
    Development,
    /// With every instance.
    Always,
}

/// What is done with a token without `azp` where `authorized_parties` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum AuthorizedPartiesMissing {
    /// It is rejected.
    #[default]
    Refuse,
    /// It is accepted: Clerk issues such tokens for navigations without an `Origin`, and to servers.
    Accept,
}

/// The type of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A UTF-8 string.
    String,
    /// A string that is never shown.
    Secret,
    /// Strings; in one string they are separated by commas.
    List,
    /// Secrets; in one string they are separated by commas.
    SecretList,
    /// An integer within the limits.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// `true` or `false`.
    Bool,
    /// One of these names.
    Enum(&'static [&'static str]),
    /// One or more of these names, separated by commas.
    EnumSet(&'static [&'static str]),
}

/// A group of settings, as the README lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Group {
    /// What tokens are verified with.
    Keys,
    /// What is checked in a token.
    TokenChecks,
    /// How long results are cached.
    Caching,
    /// What is done about users.
    Users,
    /// How Clerk is reached.
    Network,
    /// What webhooks are accepted and applied.
    Webhooks,
    /// How pages are kept signed in by the browser handshake.
    Handshake,
}

impl Group {
    /// Every group, in the order of the README.
    pub const ALL: &'static [Group] = <Group as strum::VariantArray>::VARIANTS;

    /// Returns the name, such as `token_checks`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The field's type.
macro_rules! field {
    (String) => { Option<String> };
    (Url) => { String };
    (Secret) => { Option<Secret> };
    (List) => { Vec<String> };
    (SecretList) => { Vec<Secret> };
    (Int $range:tt) => { i64 };
    (Bool) => { bool };
    (UserMode) => { Option<UserMode> };
    (LinkByEmail) => { LinkByEmail };
    (Csrf) => { Csrf };
    (Handshake) => { Handshake };
    (HandshakeQuery) => { HandshakeQuery };
    (AuthorizedPartiesMissing) => { AuthorizedPartiesMissing };
    (TokenKinds) => { Vec<TokenKind> };
}

macro_rules! kind {
    (Url) => {
        Kind::String
    };
    (Int ($min:literal to $max:literal)) => {
        Kind::Int { min: $min, max: $max }
    };
    (UserMode) => {
        Kind::Enum(<UserMode as strum::VariantNames>::VARIANTS)
    };
    (LinkByEmail) => {
        Kind::Enum(<LinkByEmail as strum::VariantNames>::VARIANTS)
    };
    (Csrf) => {
        Kind::Enum(<Csrf as strum::VariantNames>::VARIANTS)
    };
    (Handshake) => {
        Kind::Enum(<Handshake as strum::VariantNames>::VARIANTS)
    };
    (HandshakeQuery) => {
        Kind::Enum(<HandshakeQuery as strum::VariantNames>::VARIANTS)
    };
    (AuthorizedPartiesMissing) => {
        Kind::Enum(<AuthorizedPartiesMissing as strum::VariantNames>::VARIANTS)
    };
    (TokenKinds) => {
        Kind::EnumSet(&TOKEN_KINDS)
    };
    ($plain:ident) => {
        Kind::$plain
    };
}

macro_rules! settings {
    ($($group:ident {
        $($(#[doc = $doc:literal])+ $name:ident: $kind:ident $(($($range:tt)+))? = $default:literal $(from $env:literal)?;)+
    })+) => {
        /// All settings, as given; [`crate::ClientBuilder::build`] validates them.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($($(#[doc = $doc])+ pub $name: field!($kind $(($($range)+))?),)+)+
        }

        impl Config {
            /// Every setting without a value.
            pub(super) fn unset() -> Self {
                Config { $($($name: Default::default(),)+)+ }
            }
        }

        /// All settings, in the order of the README's tables.
        pub const SETTINGS: &[Setting] = &[
            $($(Setting {
                name: before_nul(concat!(stringify!($name), "\0")),
                kind: kind!($kind $(($($range)+))?),
                group: Group::$group,
                default: before_nul(concat!($default, "\0")),
                env: before_nul(concat!($($env,)? "\0")),
                doc: before_nul(concat!($($doc,)+ "\0")).split_at(1).1,
                field: |config: &mut Config| -> &mut dyn Value { &mut config.$name },
            },)+)+
        ];
    };
}

/// Returns the string without its last byte, a NUL that remains in memory for C.
const fn before_nul(text: &'static str) -> &'static str {
    text.split_at(text.len() - 1).0
}

const TOKEN_KINDS: [&str; TokenKind::ALL.len() + 1] = {
    let mut names = ["any"; TokenKind::ALL.len() + 1];
    let mut i = 0;
    while i < TokenKind::ALL.len() {
        names[i] = <TokenKind as strum::VariantNames>::VARIANTS[i];
        i += 1;
    }
    names
};

// A row: the description, then `name: Kind = default from variable`. An empty default is no value. `ClientBuilder` makes a
// setter of each.
#[rustfmt::skip]
macro_rules! rows { ($callback:ident) => { $callback! {
    Keys {
        /// Clerk's secret key (`sk_live_…`); fetches signing keys and users
        secret_key: Secret = "" from "CLERK_SECRET_KEY";
        /// publishable key (`pk_live_…`); selects this instance's own suffixed session cookie
        publishable_key: String = "" from "CLERK_PUBLISHABLE_KEY";
        /// public key for verification without network: PEM (also with escaped or missing line breaks), bare base64, JWK or JWK
        /// set
        jwt_key: String = "" from "CLERK_JWT_KEY";
        /// machine secret key; verifies opaque M2M tokens granted to that machine, instead of the secret key
        machine_secret_key: Secret = "" from "CLERK_MACHINE_SECRET_KEY";
        /// JWK set as a JSON string, for a start without network
        jwks: String = "";
        /// public URL of the JWK set (`https://<frontend API>/.well-known/jwks.json`), fetched without the secret key
        jwks_url: String = "";
    }
    TokenChecks {
        /// token types that are accepted; machine tokens in the `Authorization` header only
        accepts_token: TokenKinds = "session_token";
        /// origins of which `azp` must be one, compared exactly; empty: not checked
        authorized_parties: List = "" from "CLERK_AUTH_PARTIES";
        /// `accept`: a token without `azp` passes `authorized_parties`, as Clerk issues them for navigations without an `Origin`
        /// and to servers; a wrong or empty `azp` is rejected all the same
        authorized_parties_missing: AuthorizedPartiesMissing = "refuse";
        /// audiences of which `aud` must contain one; empty: not checked
        audience: List = "" from "CLERK_AUDIENCE";
        /// issuers of which `iss` must be one; empty: not checked
        issuer: List = "";
        /// machine (`mch_…`) that an M2M token must be scoped to
        expected_machine_id: String = "";
        /// tolerated difference between this clock and Clerk's
        clock_skew_ms: Int(0 to 300_000) = 5000 from "CLERK_CLOCK_SKEW_IN_MS";
        /// reject sessions with pending tasks (choosing an organization, setting up MFA)
        treat_pending_as_signed_out: Bool = true;
        /// accept an `Authorization` value that is a bare token, without `Bearer`
        allow_bare_token: Bool = false;
        /// check the `__client_uat` cookie too, so that signing out takes effect before the token expires
        check_client_uat: Bool = false;
        /// read the suffixed session cookie only, not `__session`, which sites on sibling domains may set as well; needs
        /// `publishable_key`
        require_suffixed_cookie: Bool = false;
        /// `check`: a cookie on a method other than GET, HEAD, OPTIONS and TRACE needs a `Sec-Fetch-Site` or `Origin` that
        /// shows the request's own origin or one of `authorized_parties`
        csrf: Csrf = "off";
        /// how long a session check (a request to Clerk whether the session is active) is cached; 0: no session checks
        session_check_ttl_s: Int(0 to 3600) = 0;
        /// read tokens from the `Authorization` header only, never from a cookie; not together with `handshake`,
        /// `check_client_uat` or `require_suffixed_cookie`, which read cookies
        ignore_cookies: Bool = false;
    }
    Caching {
        /// how long a verified token is cached, at most until it expires; 0: not cached
        cache_ttl_s: Int(0 to 86_400) = 300 from "CLERK_CACHE_TIMEOUT";
        /// how many verified tokens, and how many users, are cached
        cache_capacity: Int(1 to 1_000_000) = 10_000;
        /// how long a verified opaque machine token is cached; 0: not cached, so that revoking it takes effect at once
        machine_cache_ttl_s: Int(0 to 300) = 0;
        /// how long a fetched user is fresh; 0: fetched for each new token
        user_ttl_s: Int(0 to 86_400) = 300;
        /// how old a fetched user may be when Clerk is unavailable (stale-if-error); 0: stale users are not used
        user_stale_if_error_s: Int(0 to 86_400) = 3600;
        /// how long a row check (the user's row exists and is active) is cached, and so how late a change of the row by the
        /// application may take effect; 0: the store is queried for each request, so that `clerk_authenticate_cached` never has
        /// a result
        row_check_ttl_s: Int(0 to 3600) = 0;
        /// URL of the cache that processes share: `redis://`, `rediss://` (TLS), `redis+sentinel://host,host/master` or
        /// `redis+cluster://host,host`, with `user:password@` before the host if needed; unset: none
        shared_cache: Secret = "" from "CLERK_SHARED_CACHE";
        /// secret that the entries of the shared cache are sealed with, at least 32 characters; two while it is rotated, of which
        /// the first seals; needs `publishable_key`, which names the instance; unset: `secret_key`
        shared_cache_secret: SecretList = "" from "CLERK_SHARED_CACHE_SECRET";
        /// certificates (PEM) to trust for `rediss://` instead of the system's
        shared_cache_ca_pem: String = "";
        /// whether requests that need the shared cache, and webhooks that revoke tokens, get 503 without it, and no client is
        /// created; `false`: the process goes on with its own caches
        shared_cache_required: Bool = false;
        /// how many users a process fetches from Clerk per second where no other process is known not to fetch them as well:
        /// without a shared cache, while it cannot be used, or for as long afterwards; 0: not limited
        clerk_calls_per_s: Int(0 to 10_000) = 0;
    }
    Users {
        /// `claims`: the token alone; `profile`: the Clerk user, cached; `sync`: the application's own row; unset: `sync`
        /// with a user store, else `claims`
        user_mode: UserMode = "";
        /// ready-made user table, instead of a user store: `sqlite:path`, `postgres://user:password@host/database` or
        /// `mysql://user:password@host/database` (MySQL, MariaDB)
        database: Secret = "" from "CLERK_DATABASE_URL";
        /// whether a row without a Clerk id is linked by an address that Clerk has verified
        link_by_email: LinkByEmail = "verified";
        /// accept a user's API keys and OAuth tokens without the Clerk user and the row; a deactivated row, or a ban of which
        /// no webhook was received, then does not reject them
        machine_tokens_skip_user: Bool = false;
        /// reject a new Clerk user whose verified address is in a row that the application deactivated
        block_deactivated_email: Bool = true;
        /// deactivate the row of a user that Clerk has deleted when the webhook `user.deleted` arrives, as the application would:
        /// nothing activates it again; needs `user_mode` `sync` and columns for the Clerk id and `is_active`
        deactivate_deleted_users: Bool = false;
    }
    Network {
        /// base URL of the Backend API, with or without `/v1`, for every call; `http` only on loopback
        api_url: Url = "https://api.clerk.com" from "CLERK_API_URL";
        /// time limit of a call to Clerk, with all retries: name lookup, connection, TLS, response
        timeout_ms: Int(1 to 60_000) = 5000 from "CLERK_TIMEOUT_MS";
        /// certificates (PEM) to trust instead of the system's
        ca_pem: String = "";
        /// HTTP proxy for calls to Clerk; proxy variables of the environment are ignored
        proxy: String = "";
        /// `User-Agent` of calls to Clerk; unset: `clerk-auth@<version>`
        user_agent: String = "";
    }
    Webhooks {
        /// signing secrets of webhook endpoints (`whsec_…`), several during rotation
        webhook_secrets: SecretList = "" from "CLERK_WEBHOOK_SIGNING_SECRET";
        /// id of the Clerk instance (`ins_…`); webhooks of other instances are ignored
        instance_id: String = "";
        /// how long ended sessions and deleted users are rejected after a webhook; must be at least the lifetime of a
        /// session token
        revocation_ttl_s: Int(60 to 315_360_000) = 86_400;
    }
    Handshake {
        /// `on`: a document request with a stale session cookie is redirected to Clerk and comes back signed in; needs
        /// `publishable_key` and `secret_key`
        handshake: Handshake = "off";
        /// with `handshake`: renew an expired session with its refresh cookie, without a redirect
        refresh: Bool = true;
        /// origins under which browsers reach the application (`https://app.example.com`), compared exactly; empty:
        /// `authorized_parties`. With neither, any host of a request counts
        public_origin: List = "";
        /// read the host and the scheme of the public URL from `X-Forwarded-Host` and `X-Forwarded-Proto`; only behind a
        /// proxy that sets or removes both
        trust_forwarded: Bool = false;
        /// URL of a proxy in front of Clerk's Frontend API, or its path on the application's own origin, such as
        /// `/__clerk`
        proxy_url: String = "" from "CLERK_PROXY_URL";
        /// domain of this application if it is a satellite, such as `satellite.example.net`
        domain: String = "" from "CLERK_DOMAIN";
        /// whether the application is a satellite: it shares the sessions of a primary application on another domain
        is_satellite: Bool = false from "CLERK_IS_SATELLITE";
        /// URL of the primary application's sign-in page; needed by a satellite of a development instance
        sign_in_url: String = "" from "CLERK_SIGN_IN_URL";
        /// whether a satellite asks the primary domain about visitors without cookies at their first request
        satellite_auto_sync: Bool = false;
        /// origins of satellites to which the primary application of a development instance passes sessions on
        satellite_origins: List = "";
        /// `development`: production instances read the response of a handshake from cookies only; `always`: from the query
        /// too
        handshake_query: HandshakeQuery = "development";
        /// pass the stale session token to Clerk in the redirect, so that it can be renewed even during an outage there
        handshake_send_session: Bool = true;
        /// redirect a visitor who follows a link from another site to Clerk once; only for applications on several domains
        cross_origin_sync: Bool = false;
        /// paths that belong to an organization, such as `/orgs/:slug` or `/orgs/:slug/(.*)`
        organization_patterns: List = "";
        /// paths that belong to the personal account, such as `/me` or `/me/(.*)`
        personal_account_patterns: List = "";
    }
} } }
pub(crate) use rows;

rows!(settings);
