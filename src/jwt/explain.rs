//! Explains why a token is accepted or rejected, check by check: for the debug line of a rejected request and for
//! [`Client::explain`](crate::Client::explain). No I/O; what is read from the token is not trusted, truncated and escaped.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use super::claims::{Claims, Members};
use super::header::Header;
use super::policy::{CHECKS, ClaimCheck, Policy};
use super::{
    ALGORITHM, CATEGORY_TEMPLATE, Decoded, UnverifiedJwt, VerifyingKey, classify, is_base64url, kind_of_header,
    plain_kid, split,
};
use crate::json::{Claim, is_valid};
use crate::reason::Reason;
use crate::request::{MAX_TOKEN_LEN, TokenSource};
use crate::token::{BegunHash, TokenFormat, TokenKind, detect_format};

/// The longest value of a token that is shown, in characters.
const MAX_SHOWN: usize = 64;
const SIGNATURE: &str = "signature";
/// The number of key ids of a set that are shown.
const MAX_KIDS: usize = 4;

/// The outcome of one check of an [`Explanation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CheckStatus {
    /// The token passes.
    Ok,
    /// The token does not pass.
    Failed,
    /// The check does not apply, is not configured, or cannot be made without a request to Clerk.
    Skipped,
}

/// One check of an [`Explanation`]. Values of the token are truncated to 64 characters and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// What is checked, such as `exp` or `signature`.
    pub name: &'static str,
    /// The outcome.
    pub status: CheckStatus,
    /// What is required.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// How it may be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// The failure in one phrase, as in the debug line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    #[serde(skip)]
    pub(crate) reason: Option<Reason>,
}

/// Why a token is accepted or rejected, check by check, in the order of verification.
///
/// Contains neither the token nor its signature; the claims that are shown are `iss`, `azp`, `aud`, `sub`, `sid`, `sts` and the
/// times. For operators: it must not be sent to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    checks: Vec<Check>,
    kind: Option<TokenKind>,
    reason: Option<Reason>,
}

/// The keys that are known without a request.
#[derive(Clone, Debug)]
pub enum KnownKeys<K> {
    /// Configured keys; the key id is ignored.
    Pinned(K),
    /// A key set: its key ids, and the keys with the token's key id.
    Set(Vec<String>, Option<K>),
    /// The key set was not fetched yet; why the last fetch failed, if there was one.
    NotFetched(Option<String>),
    /// No key is configured.
    Missing,
}

/// What a token is checked against.
pub struct Expectations<'a, K> {
    pub policy: &'a Policy,
    pub accepts: &'a [TokenKind],
    pub source: TokenSource,
    /// Finds the keys with a key id.
    pub keys: &'a dyn Fn(Option<&str>) -> KnownKeys<K>,
    /// Whether there is certainly no key with a key id: then the token is rejected before its payload is parsed.
    pub is_refused: &'a dyn Fn(Option<&str>) -> bool,
    pub wall_ms: i64,
}

impl Explanation {
    /// Returns the checks, in the order of verification.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Returns the type of the token, as it claims; `None` if it has none.
    pub fn kind(&self) -> Option<TokenKind> {
        self.kind
    }

    /// Returns the reason with which the token is rejected; `None` if no check fails. Skipped checks may still reject it.
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// Returns whether the signature was verified. If not, a token without a failed check may be forged: the keys were not fetched
    /// yet, or Clerk verifies its type.
    pub fn is_signature_verified(&self) -> bool {
        self.checks.iter().any(|check| check.name == SIGNATURE && check.status == CheckStatus::Ok)
    }

    /// Returns the failure that decides, in one phrase: the text of the debug line. Empty if no check fails.
    pub fn summary(&self) -> &str {
        self.reason.and_then(|reason| self.failure(reason)).unwrap_or_default()
    }

    /// Returns the explanation as a JSON object: `rejected`, `reason`, `summary`, `kind`, `verified`, and `checks` with `name`, `status`,
    /// `expected`, `found`, `hint` and `failure`.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "rejected": self.reason.is_some(),
            "reason": self.reason.map(Reason::as_str),
            "summary": self.summary(),
            "kind": self.kind.map(TokenKind::as_str),
            "verified": self.is_signature_verified(),
            "checks": self.checks,
        })
        .to_string()
    }

    /// Returns the text of the first check that fails with this reason.
    pub(crate) fn failure(&self, reason: Reason) -> Option<&str> {
        self.checks.iter().find(|check| check.reason == Some(reason))?.failure.as_deref()
    }

    pub(crate) fn push(&mut self, check: Check) {
        self.reason = self.reason.or(check.reason);
        self.checks.push(check);
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, status, expected, found, hint, failure, .. } in &self.checks {
            let mark = match status {
                CheckStatus::Ok => "ok     ",
                CheckStatus::Failed => "FAILED ",
                CheckStatus::Skipped => "skipped",
            };
            write!(f, "{mark} {name}: {}", failure.as_ref().unwrap_or(found))?;
            if failure.is_none() && !expected.is_empty() {
                write!(f, " (expected: {expected})")?;
            }
            match hint {
                Some(hint) if *status != CheckStatus::Ok => writeln!(f, "; {hint}")?,
                _ => writeln!(f)?,
            }
        }
        match self.reason {
            Some(reason) => write!(f, "rejected: {reason}"),
            None if self.is_signature_verified() => f.write_str("no check fails"),
            None => f.write_str("no check fails, but the signature was not verified"),
        }
    }
}

impl Check {
    pub(crate) fn ok(name: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Check { name, status: CheckStatus::Ok, expected, found, hint: None, failure: None, reason: None }
    }

    pub(crate) fn skipped(name: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Check { status: CheckStatus::Skipped, ..Check::ok(name, expected, found) }
    }

    /// `failure` says what was found and, if that is not obvious, what was expected.
    pub(crate) fn failed(
        name: &'static str,
        reason: Reason,
        expected: impl Into<String>,
        found: impl Into<String>,
        failure: impl Into<String>,
    ) -> Self {
        let failure = Some(failure.into());
        Check { status: CheckStatus::Failed, failure, reason: Some(reason), ..Check::ok(name, expected, found) }
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Check { hint: Some(hint), ..self }
    }
}

/// Returns a value from a request in quotes: printable ASCII, the rest escaped, of bounded length.
pub fn quoted(value: &str) -> String {
    let mut shown = String::from("\"");
    let mut chars = value.chars();
    for c in chars.by_ref().take(MAX_SHOWN) {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            ' '..='~' => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown.push_str(if chars.next().is_some() { "…\"" } else { "\"" });
    shown
}

/// Does the same with bytes that may not be UTF-8; reads no more of them than is shown.
pub fn quoted_bytes(value: &[u8]) -> String {
    const MAX_CHAR_LEN: usize = 4;
    quoted(&String::from_utf8_lossy(&value[..value.len().min((MAX_SHOWN + 1) * MAX_CHAR_LEN)]))
}

/// Explains a token of any bytes.
pub fn explain<K: AsRef<[VerifyingKey]>>(token: &[u8], expectations: &Expectations<'_, K>) -> Explanation {
    let mut explanation = Explanation { checks: Vec::new(), kind: None, reason: None };
    match detect_format(token) {
        TokenFormat::Opaque(kind) => explain_opaque(token, kind, expectations, &mut explanation),
        TokenFormat::Jwt => {
            let mut payload = Vec::new();
            if let Some(claims) = explain_jwt(token, &mut payload, expectations, &mut explanation) {
                explain_claims(&claims, expectations, &mut explanation);
            }
        }
    }
    explanation
}

fn explain_opaque<K>(token: &[u8], kind: TokenKind, expectations: &Expectations<'_, K>, into: &mut Explanation) {
    into.kind = Some(kind);
    let found = format!("opaque {} of {} bytes", kind.as_str(), token.len());
    let is_plain = token.len() <= MAX_TOKEN_LEN && token.iter().all(u8::is_ascii_graphic);
    into.push(match is_plain {
        true => Check::ok("structure", "printable ASCII", found),
        false => malformed("printable ASCII", found),
    });
    into.push(type_check(kind, expectations, String::new()));
    into.push(Check::skipped("verification", "Clerk verifies opaque tokens", "not requested"));
}

fn malformed(expected: &str, found: String) -> Check {
    let failure = format!("{found}; expected {expected}");
    Check::failed("structure", Reason::TokenInvalid, expected, found, failure)
}

/// Returns the hint for what is often sent in place of a token.
fn mistake(token: &[u8]) -> Option<&'static str> {
    let starts =
        |prefix: &str| token.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    Some(match token {
        b"" => "the credential is empty",
        b"undefined" | b"null" | b"None" | b"[object Object]" | b"[object Promise]" => {
            "the client sends the name of a missing value: await the token before it is sent"
        }
        _ if starts("Bearer ") => "`Bearer` is there twice",
        _ if starts("sk_") => "this is a secret key: it must not leave the server; replace it",
        _ if starts("pk_") => "this is a publishable key; send the session token",
        _ if starts("whsec_") => "this is the secret of a webhook: it must not leave the server; replace it",
        _ if starts("__session=") => "this is a whole cookie; send its value",
        _ if token.starts_with(b"\"") || token.starts_with(b"'") => "remove the quotes",
        _ if token.len() > MAX_TOKEN_LEN => "keep the claims of the session token small",
        _ if token.iter().any(u8::is_ascii_whitespace) => "the token contains white space",
        _ if token.iter().filter(|b| **b == b'.').count() == 1 => "the token was cut",
        _ if token.ends_with(b".") => "the token is not signed",
        _ if token.contains(&b'%') => "the token is percent-encoded",
        _ if starts("__") => "this is a whole cookie; send the value of __session",
        _ if token.contains(&b'=') => "remove the padding (=)",
        _ => return None,
    })
}

/// Checks everything before the claims. Returns the claims if they can be read; they borrow `decoded`.
fn explain_jwt<'a, K: AsRef<[VerifyingKey]>>(
    token: &[u8],
    decoded: &'a mut Vec<u8>,
    expectations: &Expectations<'_, K>,
    into: &mut Explanation,
) -> Option<Claims<'a>> {
    const PARTS: &str = "three parts in base64url, separated by dots";
    let parts = std::str::from_utf8(token).ok().and_then(|token| Some((token, split(token.as_bytes())?)));
    let parts = parts.filter(|(_, (.., signature))| is_base64url(signature));
    let Some((token, (header, payload, _))) = parts else {
        let dots = token.iter().filter(|b| **b == b'.').count();
        let check = malformed(PARTS, format!("{} bytes with {dots} dots", token.len()));
        into.push(Check { hint: mistake(token), ..check });
        return None;
    };
    into.push(Check::ok("structure", PARTS, format!("{} bytes", token.len())));

    let header = URL_SAFE_NO_PAD.decode(header).ok();
    let Some(header) = header.as_deref().and_then(Header::parse) else {
        let expected =
            "a JSON object without duplicate members, with `alg` and without `crit`, `b64`, `zip`, `enc`, `cty`";
        let found = unreadable(header.as_deref());
        let check = Check::failed("header", Reason::TokenInvalid, expected, found, format!("header: {found}"));
        into.push(Check { hint: mistake(token.as_bytes()), ..check });
        return None;
    };
    into.push(Check::ok("header", "a JSON object", "a JSON object"));
    let alg = quoted(&header.alg);
    into.push(match header.alg == ALGORITHM {
        true => Check::ok("alg", ALGORITHM, alg),
        false => {
            let failure = format!("alg {alg}, expected {ALGORITHM}");
            Check::failed("alg", Reason::TokenInvalid, ALGORITHM, alg, failure).hint("Clerk signs with RS256 only")
        }
    });
    let payload = URL_SAFE_NO_PAD.decode_vec(payload, decoded).ok().map(|()| decoded.as_slice());
    let mut members = Members::default();
    if !payload.is_some_and(|payload| members.parse(payload)) {
        if let Some(kind) = payload.and_then(|payload| kind_of_header(&header, payload))
            && (expectations.is_refused)(plain_kid(header.kid.as_deref()))
        {
            into.push(type_check(kind, expectations, type_members(&header)));
            explain_signature(token, header.kid.as_deref(), expectations, into);
        }
        let found = unreadable(payload);
        let expected = "a JSON object without duplicate members";
        into.push(Check::failed("payload", Reason::TokenInvalid, expected, found, format!("payload: {found}")));
        return None;
    }
    let kind = match classify(&header, members.has_machine_subject()) {
        Ok((kind, is_contradictory)) => {
            into.kind = Some(kind);
            into.push(type_check(kind, expectations, type_members(&header)));
            if is_contradictory {
                let failure = format!("{} contradicts a subject that is a machine", type_members(&header));
                into.push(Check::failed("type", Reason::TokenInvalid, "one type", type_members(&header), failure));
            }
            kind
        }
        Err(reason) => {
            let found = type_members(&header);
            let check = Check::failed(
                "type",
                reason,
                accepted(expectations.accepts),
                &found,
                format!("{found}: no type of token that is accepted anywhere"),
            );
            into.push(match header.cat.as_deref() {
                Some(CATEGORY_TEMPLATE) => {
                    Check { failure: Some(format!("{found}: token of a JWT template")), ..check }
                        .hint("send the session token: getToken() without a template")
                }
                _ => check,
            });
            TokenKind::SessionToken
        }
    };
    explain_signature(token, header.kid.as_deref(), expectations, into);
    into.push(Check::ok("claims", "no duplicate members", "no duplicate members"));
    Some(std::mem::take(members.claims(kind)))
}

fn unreadable(decoded: Option<&[u8]>) -> &'static str {
    match decoded {
        None => "not base64url without padding",
        Some(json) if !is_valid(json) => "not JSON",
        Some(_) => "a duplicate, unsupported or wrong member",
    }
}

/// Shows the members of the header that determine the type.
fn type_members(header: &Header<'_>) -> String {
    let shown = |name: &str, value: &Option<_>| match value {
        Some(value) => format!("{name} {}", quoted(value as &std::borrow::Cow<'_, str>)),
        None => format!("no {name}"),
    };
    format!("{}, {}", shown("typ", &header.typ), shown("cat", &header.cat))
}

fn accepted(accepts: &[TokenKind]) -> String {
    accepts.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
}

fn type_check<K>(kind: TokenKind, expectations: &Expectations<'_, K>, members: String) -> Check {
    let expected = accepted(expectations.accepts);
    let found = if members.is_empty() { kind.as_str().to_owned() } else { format!("{} ({members})", kind.as_str()) };
    if !expectations.accepts.contains(&kind) {
        let failure = format!("{} not in accepts_token ({expected})", kind.as_str());
        let check = Check::failed("type", Reason::TokenTypeNotSupported, expected, found, failure);
        return check.hint("add the type to accepts_token if it is to be accepted");
    }
    if kind != TokenKind::SessionToken && expectations.source == TokenSource::Cookie {
        let failure = format!("{} in a cookie", kind.as_str());
        let check = Check::failed("type", Reason::TokenTypeNotSupported, "a session token", found, failure);
        return check.hint("machine tokens are accepted in the header only");
    }
    Check::ok("type", expected, found)
}

fn explain_signature<K: AsRef<[VerifyingKey]>>(
    token: &str,
    kid: Option<&str>,
    expectations: &Expectations<'_, K>,
    into: &mut Explanation,
) {
    const VERIFIED: &str = "a signature by a key of the instance";
    let mut decoded = Decoded::default();
    let jwt = UnverifiedJwt::for_signature(token, kid, &mut decoded);
    let hash = jwt.signing_hash(&BegunHash::default());
    let shown = kid.map_or_else(|| "no kid".to_owned(), |kid| format!("kid {}", quoted(kid)));
    let keys = match (expectations.keys)(jwt.kid()) {
        KnownKeys::Pinned(keys) => {
            into.push(Check::skipped("kid", "ignored with jwt_key", shown.clone()));
            Some(keys)
        }
        KnownKeys::Missing => {
            let failure = "no key is configured for JWTs";
            let check = Check::failed("kid", Reason::JwkFailedToResolve, "a configured key", shown.clone(), failure);
            into.push(check.hint("set secret_key, jwt_key or jwks_url"));
            None
        }
        KnownKeys::NotFetched(failure) => {
            let found = match failure {
                Some(failure) => format!("the key set could not be fetched: {failure}"),
                None => "the key set was not fetched yet; clerk_client_warm_up fetches it".to_owned(),
            };
            into.push(Check::skipped("kid", "the key set of the instance", found));
            None
        }
        KnownKeys::Set(kids, Some(keys)) => {
            into.push(Check::ok("kid", set(&kids), shown.clone()));
            Some(keys)
        }
        KnownKeys::Set(kids, None) => {
            let failure = match kid {
                Some(_) => format!("{shown} not in the set of {}: another instance's token?", set(&kids)),
                None => format!("{shown}, expected one of the set of {}", set(&kids)),
            };
            let check = Check::failed("kid", Reason::JwkKidMismatch, set(&kids), shown.clone(), failure);
            into.push(check.hint("compare the instance of the frontend's publishable key with that of secret_key"));
            None
        }
    };
    into.push(match keys {
        None => Check::skipped(SIGNATURE, VERIFIED, "no key to verify it with"),
        Some(keys) if jwt.verify_signature(&hash, keys.as_ref()).is_some() => {
            Check::ok(SIGNATURE, VERIFIED, "verified")
        }
        Some(keys) => {
            let count = keys.as_ref().len();
            let failure = format!("signature of none of {count} keys, {shown}: forged, changed, or another instance's");
            Check::failed(SIGNATURE, Reason::TokenInvalidSignature, VERIFIED, "not verified", failure)
                .hint("check that jwt_key or secret_key belongs to the instance that issued the token")
        }
    });
}

fn set(kids: &[String]) -> String {
    let mut shown: Vec<_> = kids.iter().take(MAX_KIDS).map(|kid| quoted(kid)).collect();
    if kids.len() > MAX_KIDS {
        shown.push(format!("{} more", kids.len() - MAX_KIDS));
    }
    if shown.is_empty() { "no keys".to_owned() } else { shown.join(", ") }
}

fn explain_claims<K>(claims: &Claims<'_>, expectations: &Expectations<'_, K>, into: &mut Explanation) {
    let kind = into.kind.unwrap_or(TokenKind::SessionToken);
    for check in CHECKS {
        let outcome = (check.run)(expectations.policy, kind, claims, expectations.wall_ms);
        into.push(explain_claim(check, outcome, kind, claims, expectations));
    }
}

fn explain_claim<K>(
    check: &ClaimCheck,
    outcome: Result<(), Reason>,
    kind: TokenKind,
    claims: &Claims<'_>,
    expectations: &Expectations<'_, K>,
) -> Check {
    let (policy, now_ms) = (expectations.policy, expectations.wall_ms);
    let skew_s = policy.clock_skew_ms as f64 / 1000.0;
    let name = check.name;
    // What is expected (empty: nothing), what was found, the failure unless it is "<found>, expected <expected>", and a hint.
    let (expected, found, failure, hint): (String, String, Option<String>, Option<&'static str>) = match name {
        "sub" => {
            let expected = if kind == TokenKind::M2mToken { "an id mch_…" } else { "an id user_…" };
            (expected.into(), string(name, &claims.sub), None, None)
        }
        "aud" => {
            let found = match &claims.aud {
                Claim::Present(aud) => format!("aud {}", list(aud)),
                other => absent(name, other),
            };
            let failure = match claims.aud {
                Claim::Present(_) => format!("{found} names no configured audience"),
                _ => format!("{found}, expected one of the setting audience"),
            };
            (configured("one of", &policy.audience), found, Some(failure), Some("compare it with the setting audience"))
        }
        "azp" if kind == TokenKind::M2mToken => (String::new(), "M2M tokens have no azp".into(), None, None),
        "azp" => {
            let found = string(name, &claims.azp);
            let (failure, hint) = match claims.azp {
                Claim::Absent => (
                    format!("{found}, expected one of authorized_parties"),
                    "tokens of a navigation without Origin have none: authorized_parties_missing = accept accepts them",
                ),
                Claim::Present(ref party) if is_nearly(party, &policy.authorized_parties) => (
                    format!("{found} not in authorized_parties"),
                    "the comparison is exact: an origin is in lower case, without a path and without a slash at its end",
                ),
                _ => (
                    format!("{found} not in authorized_parties"),
                    "add the origin of the frontend to authorized_parties",
                ),
            };
            (configured("one of", &policy.authorized_parties), found, Some(failure), Some(hint))
        }
        "iss" => {
            let found = string(name, &claims.iss);
            let failure = match claims.iss {
                Claim::Present(_) => format!("{found} not in issuer"),
                _ => format!("{found}, expected one of the setting issuer"),
            };
            (
                configured("one of", &policy.issuer),
                found,
                Some(failure),
                Some("another instance's token, or issuer is wrong"),
            )
        }
        "exp" | "nbf" | "iat" => {
            let (claim, is_exp) = match name {
                "exp" => (&claims.exp, true),
                "nbf" => (&claims.nbf, false),
                _ => (&claims.iat, false),
            };
            let found = match Claims::millis(claim) {
                Claim::Present(ms) => time(name, ms, now_ms),
                other => absent(name, &other),
            };
            let expected = match (is_exp, claim) {
                (false, Claim::Absent) => String::new(),
                (true, _) => format!("at most {skew_s} s ago"),
                (false, _) => format!("at most {skew_s} s ahead"),
            };
            let hint = match (outcome, is_exp) {
                (Err(Reason::TokenInvalid), _) => "the claim must be a number of seconds",
                (_, true) => "session tokens live 60 s: fetch one for each request, and check this machine's clock",
                (_, false) => "check this machine's clock",
            };
            let failure = match outcome {
                Err(Reason::TokenInvalid) => format!("{found}, expected a number"),
                _ => format!("{found}, skew {skew_s} s"),
            };
            (expected, found, Some(failure), Some(hint))
        }
        "sid" => {
            let expected = if claims.sid == Claim::Absent { "" } else { "a string" };
            (expected.into(), string(name, &claims.sid), None, None)
        }
        "sts" => {
            let expected = match claims.sts {
                Claim::Absent => String::new(),
                _ if policy.treat_pending_as_signed_out => "not pending".to_owned(),
                _ => "a string".to_owned(),
            };
            let hint =
                "the session has tasks left, such as choosing an organization; or set treat_pending_as_signed_out";
            let is_pending = outcome == Err(Reason::SessionPending);
            (expected, string(name, &claims.sts), None, is_pending.then_some(hint))
        }
        _ => {
            let expected = match (&policy.expected_machine_id, kind) {
                (Some(machine), TokenKind::M2mToken) => quoted(machine),
                _ => String::new(),
            };
            let failure = format!("scopes {} without expected_machine_id", list(&claims.scopes));
            (expected, format!("scopes {}", list(&claims.scopes)), Some(failure), None)
        }
    };
    match outcome {
        Ok(()) if expected.is_empty() => Check::skipped(name, "", found),
        Ok(()) => Check::ok(name, expected, found),
        Err(reason) => {
            let failure = failure.unwrap_or_else(|| format!("{found}, expected {expected}"));
            Check { hint, ..Check::failed(name, reason, expected, found, failure) }
        }
    }
}

/// Returns whether an origin differs from one of these only by its case or by slashes at the end.
fn is_nearly(party: &str, origins: &[String]) -> bool {
    let bare = |origin: &str| origin.trim_end_matches('/').to_ascii_lowercase();
    origins.iter().any(|origin| bare(origin) == bare(party))
}

fn absent<T>(name: &str, claim: &Claim<T>) -> String {
    match claim {
        Claim::Absent => format!("no {name}"),
        _ => format!("{name} of the wrong type"),
    }
}

fn string(name: &str, claim: &Claim<impl AsRef<str>>) -> String {
    claim.as_deref().map_or_else(|| absent(name, claim), |value| format!("{name} {}", quoted(value)))
}

fn list(values: &[impl AsRef<str>]) -> String {
    let mut shown: Vec<_> = values.iter().take(MAX_KIDS).map(|value| quoted(value.as_ref())).collect();
    if values.len() > MAX_KIDS {
        shown.push(format!("{} more", values.len() - MAX_KIDS));
    }
    format!("[{}]", shown.join(", "))
}

fn configured(what: &str, values: &[String]) -> String {
    if values.is_empty() { String::new() } else { format!("{what} {}", list(values)) }
}

/// Returns how long ago or ahead a time is: `exp 131 s ago`.
fn time(name: &str, ms: i64, now_ms: i64) -> String {
    let seconds = |ms: i64| (ms as f64 / 1000.0).round();
    match now_ms.saturating_sub(ms) {
        ago if ago >= 0 => format!("{name} {} s ago", seconds(ago)),
        ahead => format!("{name} {} s ahead", seconds(ahead.saturating_neg())),
    }
}
