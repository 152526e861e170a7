//! The flow of a request with `handshake` on, around that of `authenticate`: Clerk's response, the rows of Clerk's decision table,
//! the refresh of an expired session, redirects. The pure rules are in `handshake/`.

use std::borrow::Cow;
use std::sync::Arc;

use super::auth_context::{AuthContext, VerifiedToken, issued_before_client_uat};
use super::auth_result::{AuthResult, Outcome, VerifyError};
use super::authenticate::{CacheLookup, Prepared};
use super::handshakes::Handshakes;
use super::inner::Inner;
use crate::api::RefreshRequest;
use crate::clock::{Io, Now};
use crate::config::Csrf;
use crate::events::{Event, HandshakeSource};
use crate::handshake::{self, ClerkResponse, Decision, Destination, Lines, Page, PageResponse};
use crate::identity::Attribute;
use crate::jwt::{Claims, Decoded, UnverifiedJwt};
use crate::reason::{Category, Reason};
use crate::request::{BrowserCookies, Credential, MAX_TOKEN_LEN, Request, TokenSource, extract_header};
use crate::token::{BegunHash, TokenHash, TokenKind};

/// In development a wrong clock is tolerated when the browser comes back.
const DEVELOPMENT_LEEWAY_MS: i64 = 86_400_000;

/// A request that was prepared, and what the handshake adds to its end.
pub(super) struct Attempt {
    pub prepared: Prepared,
    /// `None` for most requests.
    pub addition: Option<Box<Addition>>,
}

/// What the handshake adds to the end of a request.
#[derive(Default)]
pub(super) struct Addition {
    response: Option<PageResponse>,
    resolved: Option<(HandshakeSource, usize)>,
    failed: Option<Reason>,
}

impl From<Prepared> for Attempt {
    fn from(prepared: Prepared) -> Self {
        Attempt { prepared, addition: None }
    }
}

impl Attempt {
    fn addition(&mut self) -> &mut Addition {
        self.addition.get_or_insert_default()
    }
}

impl Addition {
    /// Adds cookies and redirect to the result of the request they belong to, and emits the events.
    pub fn attach(self, inner: &Inner, result: Arc<AuthResult>) -> Arc<AuthResult> {
        if let Some(reason) = self.failed {
            inner.backend.events.emit(Event::HandshakeFailed { reason });
        }
        if let Some((source, dropped_lines)) = self.resolved {
            inner.backend.events.emit(Event::HandshakeResolved { source, dropped_lines });
        }
        let Some(mut response) = self.response else { return result };
        // An outage is reported as such, not as a redirect to the same page.
        if matches!(result.outcome(), Outcome::Unavailable { .. }) {
            response.location = None;
        }
        Arc::new((*result).clone().with_response(response))
    }
}

impl Inner {
    fn handshakes_of(&self, request: &Request<'_>) -> Option<&Handshakes> {
        self.handshakes.as_deref().filter(|_| {
            // Without a target the caller cannot redirect.
            !request.page().target.is_empty() && self.settings.accepts.contains(&TokenKind::SessionToken)
        })
    }

    /// Looks the credential of a request up. Returns `None` for a page, whose handshake comes first.
    pub fn lookup_unless_page<'a>(&self, request: &Request<'a>) -> Option<CacheLookup<'a>> {
        self.handshakes_of(request).is_none().then(|| self.lookup(request))
    }

    /// Prepares a request; `found` is what was looked up. Returns `None` if `io` does not allow what is needed; then nothing was
    /// recorded.
    pub fn prepare_page(&self, request: &Request<'_>, found: Option<CacheLookup<'_>>, io: Io) -> Option<Attempt> {
        if let Some(found) = found {
            return self.prepare_found(found, io).map(Attempt::from);
        }
        let handshakes = self.handshakes_of(request)?;
        let now = self.clock.now();
        let rules = &self.settings.rules;
        let Ok(cookies) = BrowserCookies::read(request, rules, now.wall_ms.div_euclid(1000)) else {
            return self.prepare(request, io).map(Attempt::from);
        };
        let page = Page::read(request, cookies, &handshakes.settings);
        let mut flow = Flow { inner: self, handshakes, request, page, io, now, failed: None };
        let mut attempt = match extract_header(request, rules) {
            Ok(None) => flow.cookies(),
            Ok(Some(credential)) => flow.bearer(&credential),
            Err(_) => self.prepare(request, io).map(Attempt::from),
        }?;
        if flow.failed.is_some() {
            attempt.addition().failed = flow.failed;
        }
        Some(attempt)
    }
}

struct Flow<'f, 'a> {
    inner: &'f Inner,
    handshakes: &'f Handshakes,
    request: &'f Request<'a>,
    page: Page<'f, 'a>,
    io: Io,
    now: Now,
    /// Why a response of Clerk was not accepted.
    failed: Option<Reason>,
}

impl<'f, 'a> Flow<'f, 'a> {
    /// A request with an `Authorization` token: no cookie counts, and nothing is refreshed.
    fn bearer(&self, credential: &Credential<'a>) -> Option<Attempt> {
        let prepared = self.inner.prepare(self.request, self.io)?;
        let is_session = || {
            let token = credential.token_str().unwrap_or_default();
            UnverifiedJwt::parse(token, &mut Decoded::default()).is_ok_and(|jws| jws.kind() == TokenKind::SessionToken)
        };
        Some(match prepared {
            Prepared::Rejected(context, error) if may_recover(error.reason) && is_session() => {
                let word = handshake::refresh_word(error.reason, self.no_refresh_word());
                self.redirect(Some(context), error.reason, Destination::FrontendApi, &word, Some(credential.token))
            }
            prepared => prepared.into(),
        })
    }

    fn cookies(&mut self) -> Option<Attempt> {
        let is_forged = self.inner.settings.csrf == Csrf::Check
            && !self.request.is_same_origin(&self.inner.settings.policy.authorized_parties);
        let response = handshake::clerk_response(&self.page, &self.handshakes.settings).filter(|_| !is_forged);
        if let Some(response) = response
            && let Some(attempt) = self.resolve(&response)?
        {
            return Some(attempt);
        }
        match handshake::decide(&self.page, &self.handshakes.settings) {
            Decision::SignedOut(reason) => Some(self.done(AuthResult::from(reason), None)),
            Decision::Redirect(reason, destination) => {
                Some(self.redirect(None, reason, destination, reason.as_str(), self.page.cookies.session))
            }
            Decision::Verify(token) => self.verify(token),
        }
    }

    /// Reads Clerk's response. Returns `Some(None)` if it counts as not given.
    fn resolve(&mut self, response: &ClerkResponse<'_>) -> Option<Option<Attempt>> {
        let settings = &self.handshakes.settings;
        let (found, source, text) = match response {
            ClerkResponse::Nonce(nonce) => {
                let agent = self.request.page().user_agent.unwrap_or_default();
                let browser = [self.request.cookie_lines(), &[agent]].concat();
                let session_id = self.known_session();
                let session_id = session_id.as_deref();
                let payload =
                    self.handshakes.payload(nonce, &browser, session_id, self.now, self.io, &self.inner.backend);
                (payload.map(Option::unwrap_or_default), HandshakeSource::Nonce, nonce)
            }
            ClerkResponse::Token(token) => (self.payload_of_token(token), HandshakeSource::Token, token),
        };
        let lines = match found {
            Ok(lines) => lines,
            Err(VerifyError::WouldBlock) => return None,
            Err(VerifyError::Refused(error)) => {
                self.failed = Some(error.reason);
                let is_verdict = error.reason.category() == Category::InvalidToken;
                // In production, applications on sibling domains overwrite each other's cookie.
                let is_ignored = is_verdict && settings.instance.production;
                return Some((!is_ignored).then(|| self.done(error.into(), None)));
            }
        };
        let prepared = match lines.session(&settings.instance.suffix) {
            Some(session) => self.verify_response(session.as_bytes())?,
            None => return Some(Some(self.resolved(None, &lines, source, text))),
        };
        if let Prepared::Rejected(_, error) = &prepared
            && is_rejected_token(error.reason)
        {
            self.failed = Some(error.reason);
            return Some(None);
        }
        Some(Some(self.resolved(Some(prepared), &lines, source, text)))
    }

    /// Returns the id of the session of the request's session cookie, expired or not, if its signature can be verified at once.
    fn known_session(&self) -> Option<String> {
        let token = std::str::from_utf8(self.page.cookies.session?).ok()?;
        let mut decoded = Decoded::default();
        let jws = UnverifiedJwt::parse(token, &mut decoded).ok()?;
        if jws.kind() != TokenKind::SessionToken {
            return None;
        }
        self.inner.verify_signature(&jws, &BegunHash::default(), self.now, Io::CacheOnly).ok()?;
        jws.into_claims().sid.into_option().map(Cow::into_owned)
    }

    /// Verifies a handshake token. Its payload is all that counts in it.
    fn payload_of_token(&self, token: &str) -> Result<Arc<Lines>, VerifyError> {
        let mut decoded = Decoded::default();
        let jws = UnverifiedJwt::parse(token, &mut decoded)?;
        if jws.kind() != TokenKind::SessionToken || jws.is_contradictory() {
            return Err(Reason::TokenInvalid.into());
        }
        self.inner.verify_signature(&jws, &BegunHash::default(), self.now, self.io)?;
        let lines = Lines::of_token(jws.into_claims().json.as_bytes()).ok_or(Reason::TokenInvalid)?;
        Ok(Arc::new(lines))
    }

    /// Verifies the session token of a response.
    fn verify_response(&self, token: &[u8]) -> Option<Prepared> {
        let credential = Credential { token, source: TokenSource::Cookie, client_uat: None };
        let found = self.inner.lookup_credential(self.request, credential, self.now);
        match self.inner.prepare_found(found, self.io)? {
            Prepared::Rejected(mut context, error)
                if may_recover(error.reason) && !self.handshakes.settings.instance.production =>
            {
                self.inner.backend.events.log(crate::events::Level::Warn, || {
                    format!(
                        "a session that Clerk has just issued: {}; is the clock of this machine right?",
                        error.reason
                    )
                });
                context.leeway_ms = DEVELOPMENT_LEEWAY_MS;
                self.inner.prepare_found(CacheLookup::Miss(context, credential, BegunHash::default()), self.io)
            }
            prepared => Some(prepared),
        }
    }

    /// Ends a request with a response of Clerk. `prepared` is `None` if the response holds no session.
    fn resolved(&self, prepared: Option<Prepared>, lines: &Lines, source: HandshakeSource, response: &str) -> Attempt {
        let mut attempt = match prepared {
            Some(prepared) => prepared.into(),
            None => self.done(Reason::SessionTokenMissing.into(), None),
        };
        let settings = &self.handshakes.settings;
        let is_unchanged = || self.handshakes.may_redirect_unchanged(response, self.now);
        let redirects_unchanged = source != HandshakeSource::Refresh && !settings.instance.production && is_unchanged();
        let response = match source {
            HandshakeSource::Refresh => handshake::after_refresh(lines.kept.clone()),
            _ => handshake::after_response(&self.page, settings, lines.kept.clone(), redirects_unchanged),
        };
        let addition = attempt.addition();
        addition.response = Some(response);
        addition.resolved = Some((source, lines.dropped));
        attempt
    }

    /// Verifies the session cookie.
    fn verify(&mut self, token: &'a [u8]) -> Option<Attempt> {
        if token.len() > MAX_TOKEN_LEN {
            return Some(self.done(Reason::TokenInvalid.into(), None));
        }
        let client_uat = Some(self.page.cookies.client_uat);
        let credential = Credential { token, source: TokenSource::Cookie, client_uat };
        let found = self.inner.lookup_credential(self.request, credential, self.now);
        if let CacheLookup::Hit(context, cached) = &found {
            let issued_at_s = cached.identity().and_then(|identity| identity.issued_at_s());
            if issued_before_client_uat(issued_at_s, client_uat) {
                let reason = Reason::SessionTokenIatBeforeClientUat;
                let to = Destination::FrontendApi;
                return Some(self.redirect(Some(*context), reason, to, reason.as_str(), Some(token)));
            }
        }
        let prepared = self.inner.prepare_found(found, self.io)?;
        let (context, reason) = match &prepared {
            Prepared::Rejected(context, error) if error.reason == Reason::SessionPending => {
                (*context, self.after_verification(None))
            }
            Prepared::Rejected(context, error) if error.reason == Reason::TokenExpired => {
                return self.refresh_or_redirect(*context, &credential);
            }
            Prepared::Rejected(context, error)
                if may_recover(error.reason) || error.reason == Reason::SessionTokenIatBeforeClientUat =>
            {
                (*context, Some(error.reason))
            }
            Prepared::Hit(context, cached) => {
                let active = [Attribute::OrgId, Attribute::OrgSlug].map(|attribute| cached.get(attribute));
                (*context, self.after_verification(Some(active)))
            }
            Prepared::Resolved(context, token, _) => {
                (*context, self.after_verification(Some(active_organization(token))))
            }
            Prepared::Done(_) | Prepared::Rejected(..) => return Some(prepared.into()),
        };
        let Some(reason) = reason else { return Some(prepared.into()) };
        let word = handshake::refresh_word(reason, "");
        let is_needed = reason != Reason::ActiveOrganizationMismatch && reason != Reason::PrimaryDomainCrossOriginSync;
        match self.redirect_response(Destination::FrontendApi, &word, Some(token)) {
            // The session is valid: without a redirect the request is signed in.
            None if !is_needed => Some(prepared.into()),
            response => Some(self.end_redirect(Some(context), reason, response)),
        }
    }

    /// Why a request with a verified session is redirected nevertheless. `active` is the active organization's id and slug; `None`
    /// for a pending session.
    fn after_verification(&self, active: Option<[Option<&str>; 2]>) -> Option<Reason> {
        let settings = &self.handshakes.settings;
        if handshake::needs_cross_origin_sync(&self.page, settings) {
            return Some(Reason::PrimaryDomainCrossOriginSync);
        }
        let [id, slug] = active?;
        let is_other = handshake::wants_other_organization(&self.page, settings, id, slug);
        is_other.then_some(Reason::ActiveOrganizationMismatch)
    }

    /// An expired session: refreshed with its refresh cookie, or else redirected.
    fn refresh_or_redirect(&mut self, context: AuthContext, credential: &Credential<'a>) -> Option<Attempt> {
        let word = match self.refresh(credential)? {
            Ok(attempt) => return Some(attempt),
            Err(word) => word,
        };
        let word = handshake::refresh_word(Reason::TokenExpired, &word);
        Some(self.redirect(
            Some(context),
            Reason::TokenExpired,
            Destination::FrontendApi,
            &word,
            Some(credential.token),
        ))
    }

    /// Refreshes a session whose token is verified but for its expiry. The error is a word, as Clerk's SDKs write it.
    fn refresh(&mut self, credential: &Credential<'a>) -> Option<Result<Attempt, Arc<str>>> {
        let failed = |word: &str| Some(Err(Arc::from(word)));
        let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).ok();
        let refresh_token = self.page.cookies.refresh.and_then(text).filter(|_| self.handshakes.settings.refresh);
        let Some(refresh_token) = refresh_token.filter(|_| self.page.is_get) else {
            return failed(self.no_refresh_word());
        };
        let expired_token = credential.token_str().unwrap_or_default();
        let mut decoded = Decoded::default();
        let claims = UnverifiedJwt::parse(expired_token, &mut decoded).map(UnverifiedJwt::into_claims);
        let Ok(claims) = claims else { return failed("expired-session-token-decode-failed") };
        let Some(session_id) = claims.sid.as_deref().filter(|sid| !sid.is_empty()) else {
            return failed("expired-session-token-missing-sid-claim");
        };
        let is_id = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric());
        if session_id.len() > 128 || !session_id.strip_prefix("sess_").is_some_and(is_id) {
            return failed("unexpected-bapi-error");
        }
        // Clerk would refuse these.
        let Some(address) = self.page.address() else { return failed("refresh_request_origin_invalid") };
        match claims.azp.as_deref() {
            Some(azp) if azp == address.origin => {}
            Some(_) => return failed("refresh_request_origin_azp_mismatch"),
            None => return failed("expired_session_token_missing_azp"),
        }
        let lines = self.request.page();
        let headers = [
            ("user-agent", lines.user_agent),
            ("x-forwarded-for", lines.forwarded_for),
            ("origin", self.request.origin()),
        ];
        let headers: Vec<(&'static str, String)> = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, std::str::from_utf8(value?).ok()?.to_owned())))
            .collect();
        let request = RefreshRequest {
            session_id,
            expired_token,
            refresh_token,
            origin: &address.origin,
            suffixed_cookies: self.page.cookies.is_suffixed(),
            headers: &headers,
        };
        let Ok(refreshed) = self.handshakes.refresh(&request, self.now, self.io, &self.inner.backend) else {
            return None;
        };
        let lines = match refreshed {
            Ok(lines) => lines,
            Err(word) => return Some(Err(word)),
        };
        let Some(session) = lines.session(&self.handshakes.settings.instance.suffix) else {
            return failed("invalid-session-token");
        };
        let renewed = Credential { token: session.as_bytes(), source: TokenSource::Cookie, client_uat: None };
        let found = self.inner.lookup_credential(self.request, renewed, self.now);
        let prepared = self.inner.prepare_found(found, self.io)?;
        if !is_renewal(&prepared, &claims) {
            return failed("invalid-session-token");
        }
        Some(Ok(self.resolved(Some(prepared), &lines, HandshakeSource::Refresh, "")))
    }

    fn no_refresh_word(&self) -> &'static str {
        if self.page.is_get { "non-eligible-no-refresh-cookie" } else { "non-eligible-non-get" }
    }

    fn redirect_response(&self, to: Destination, word: &str, session: Option<&[u8]>) -> Option<PageResponse> {
        handshake::redirect(&self.page, &self.handshakes.settings, to, word, session)
    }

    /// Ends a request with a redirect, or where there can be none with the reason.
    fn redirect(
        &self,
        context: Option<AuthContext>,
        reason: Reason,
        to: Destination,
        word: &str,
        session: Option<&[u8]>,
    ) -> Attempt {
        let response = self.redirect_response(to, word, session);
        self.end_redirect(context, reason, response)
    }

    fn end_redirect(&self, context: Option<AuthContext>, reason: Reason, response: Option<PageResponse>) -> Attempt {
        let mut result = AuthResult::from(reason);
        let is_unknown_address = self.page.is_eligible && self.page.address().is_none();
        result.handshake_recommended = response.is_some() || is_unknown_address;
        if let Some(response) = response {
            self.inner.backend.events.emit(Event::HandshakeStarted { reason });
            result = result.with_response(response);
        }
        self.done(result, context)
    }

    fn done(&self, result: AuthResult, context: Option<AuthContext>) -> Attempt {
        let hash: Option<TokenHash> = context.map(|mut context| {
            self.inner.record_miss(&mut context);
            context.hash
        });
        let result = hash.iter().fold(result, AuthResult::with_token_hash);
        Prepared::Done(self.inner.record_outcome(hash, result.into())).into()
    }
}

fn active_organization(token: &VerifiedToken) -> [Option<&str>; 2] {
    [Attribute::OrgId, Attribute::OrgSlug].map(|attribute| token.identity.get(attribute))
}

/// Returns whether Clerk can renew a session whose token was rejected for this reason.
fn may_recover(reason: Reason) -> bool {
    matches!(reason, Reason::TokenExpired | Reason::TokenNotActiveYet | Reason::TokenIatInTheFuture)
}

/// Returns whether a token itself was rejected, rather than the user or the session that it names.
fn is_rejected_token(reason: Reason) -> bool {
    may_recover(reason)
        || matches!(
            reason,
            Reason::TokenInvalid
                | Reason::TokenInvalidSignature
                | Reason::TokenInvalidAuthorizedParties
                | Reason::TokenInvalidAudience
                | Reason::TokenInvalidIssuer
                | Reason::TokenTypeNotSupported
                | Reason::JwkKidMismatch
        )
}

/// Returns whether a token was accepted, or rejected for its user, and is of the same user and session as the expired one.
fn is_renewal(prepared: &Prepared, expired: &Claims<'_>) -> bool {
    let (subject, session) = match prepared {
        Prepared::Hit(_, cached) => (cached.get(Attribute::Subject), cached.get(Attribute::SessionId)),
        Prepared::Resolved(_, token, _) => (token.identity.get(Attribute::Subject), token.session_id()),
        Prepared::Rejected(_, error) => return !is_rejected_token(error.reason),
        Prepared::Done(_) => return false,
    };
    subject == expired.sub.as_deref() && session == expired.sid.as_deref()
}
