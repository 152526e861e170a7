//! Validates the claims of a token whose signature is verified, with the rules of Clerk's JavaScript SDK.

use super::claims::Claims;
use crate::json::{Claim, Strings};
use crate::reason::Reason;
use crate::token::{TokenKind, is_clerk_id};

/// The settings that claims are validated against.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The accepted values of `azp`; not checked if empty.
    pub authorized_parties: Vec<String>,
    /// Whether a token without `azp` is accepted nevertheless.
    pub accept_missing_azp: bool,
    /// The accepted audiences, one of which `aud` must name; not checked if empty.
    pub audience: Vec<String>,
    /// The accepted values of `iss`; not checked if empty.
    pub issuer: Vec<String>,
    /// The tolerated difference between the clocks of Clerk and of this server, in milliseconds.
    pub clock_skew_ms: i64,
    /// Whether a session with `sts: pending` is rejected.
    pub treat_pending_as_signed_out: bool,
    /// The machine id that the scopes of an M2M token must contain; not checked if `None`.
    pub expected_machine_id: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            authorized_parties: Vec::new(),
            accept_missing_azp: false,
            audience: Vec::new(),
            issuer: Vec::new(),
            clock_skew_ms: 0,
            treat_pending_as_signed_out: true,
            expected_machine_id: None,
        }
    }
}

impl Policy {
    /// Validates the claims of a token of type `kind` at the time `wall_ms`, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// The reason of the first check that fails.
    pub fn validate(&self, kind: TokenKind, claims: &Claims<'_>, wall_ms: i64) -> Result<(), Reason> {
        CHECKS.iter().try_for_each(|check| (check.run)(self, kind, claims, wall_ms))
    }

    /// Returns from when on the token is valid, clock skew included, in milliseconds since 1970.
    pub fn not_before_ms(&self, claims: &Claims<'_>) -> i64 {
        let times = [&claims.nbf, &claims.iat].map(|claim| match Claims::millis(claim) {
            Claim::Present(ms) => ms.saturating_sub(self.clock_skew_ms),
            _ => i64::MIN,
        });
        times[0].max(times[1])
    }

    /// Returns when the token expires, clock skew included, in milliseconds since 1970.
    pub fn expires_at_ms(&self, claims: &Claims<'_>) -> i64 {
        match Claims::millis(&claims.exp) {
            Claim::Present(exp) => exp.saturating_add(self.clock_skew_ms),
            _ => i64::MIN,
        }
    }

    /// The time until which, and from which on, a time is valid now, both inclusive.
    fn limits(&self, now_ms: i64) -> (i64, i64) {
        (now_ms.saturating_sub(self.clock_skew_ms), now_ms.saturating_add(self.clock_skew_ms))
    }
}

/// One check of the claims.
pub struct ClaimCheck {
    /// The claim.
    pub name: &'static str,
    /// The check at a time in milliseconds since 1970.
    pub run: fn(&Policy, TokenKind, &Claims<'_>, i64) -> Result<(), Reason>,
}

/// The checks of the claims, in order.
pub const CHECKS: &[ClaimCheck] = &[
    ClaimCheck { name: "sub", run: subject },
    ClaimCheck { name: "aud", run: audience },
    ClaimCheck { name: "azp", run: authorized_party },
    ClaimCheck { name: "iss", run: issuer },
    ClaimCheck { name: "exp", run: expiry },
    ClaimCheck { name: "nbf", run: not_before },
    ClaimCheck { name: "iat", run: issued_at },
    ClaimCheck { name: "sid", run: session },
    ClaimCheck { name: "sts", run: session_status },
    ClaimCheck { name: "scopes", run: machine_scopes },
];

fn contains(strings: &Strings<'_>, string: &str) -> bool {
    strings.iter().any(|one| one == string)
}

/// `sub` is required and must be a Clerk id: it becomes part of URLs and of table rows.
fn subject(_: &Policy, kind: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    let prefix = if kind == TokenKind::M2mToken { "mch_" } else { "user_" };
    let is_id = claims.sub.get().is_some_and(|sub| is_clerk_id(sub, prefix));
    is_id.then_some(()).ok_or(Reason::TokenInvalid)
}

/// Stricter than Clerk's SDK, which skips the check for a token without `aud`.
fn audience(policy: &Policy, _: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    let accepted = policy.audience.is_empty()
        || claims.aud.get().is_some_and(|aud| policy.audience.iter().any(|accepted| contains(aud, accepted)));
    accepted.then_some(()).ok_or(Reason::TokenInvalidAudience)
}

/// M2M tokens are created by a server and have no `azp`.
fn authorized_party(policy: &Policy, kind: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    let accepted = policy.authorized_parties.is_empty()
        || kind == TokenKind::M2mToken
        || match &claims.azp {
            Claim::Present(azp) => !azp.is_empty() && policy.authorized_parties.iter().any(|party| party == azp),
            Claim::Absent => policy.accept_missing_azp,
            Claim::Invalid => false,
        };
    accepted.then_some(()).ok_or(Reason::TokenInvalidAuthorizedParties)
}

fn issuer(policy: &Policy, _: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    let accepted = policy.issuer.is_empty()
        || claims.iss.get().is_some_and(|iss| policy.issuer.iter().any(|accepted| accepted == iss));
    accepted.then_some(()).ok_or(Reason::TokenInvalidIssuer)
}

/// `exp` is required. A token expires at `exp + skew` and is valid from `nbf - skew` and `iat - skew` on, both inclusive.
fn expiry(policy: &Policy, _: TokenKind, claims: &Claims<'_>, now: i64) -> Result<(), Reason> {
    match Claims::millis(&claims.exp) {
        Claim::Present(exp) if exp > policy.limits(now).0 => Ok(()),
        Claim::Present(_) => Err(Reason::TokenExpired),
        Claim::Absent | Claim::Invalid => Err(Reason::TokenInvalid),
    }
}

fn not_before(policy: &Policy, _: TokenKind, claims: &Claims<'_>, now: i64) -> Result<(), Reason> {
    has_begun(policy, &claims.nbf, Reason::TokenNotActiveYet, now)
}

fn issued_at(policy: &Policy, _: TokenKind, claims: &Claims<'_>, now: i64) -> Result<(), Reason> {
    has_begun(policy, &claims.iat, Reason::TokenIatInTheFuture, now)
}

fn has_begun(policy: &Policy, claim: &Claim<f64>, reason: Reason, now: i64) -> Result<(), Reason> {
    match Claims::millis(claim) {
        Claim::Absent => Ok(()),
        Claim::Present(begin) if begin <= policy.limits(now).1 => Ok(()),
        Claim::Present(_) => Err(reason),
        Claim::Invalid => Err(Reason::TokenInvalid),
    }
}

fn session(_: &Policy, _: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    if claims.sid == Claim::Invalid { Err(Reason::TokenInvalid) } else { Ok(()) }
}

fn session_status(policy: &Policy, _: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    match &claims.sts {
        Claim::Invalid => Err(Reason::TokenInvalid),
        Claim::Present(sts) if sts == "pending" && policy.treat_pending_as_signed_out => Err(Reason::SessionPending),
        Claim::Present(_) | Claim::Absent => Ok(()),
    }
}

fn machine_scopes(policy: &Policy, kind: TokenKind, claims: &Claims<'_>, _: i64) -> Result<(), Reason> {
    let machine = policy.expected_machine_id.as_ref().filter(|_| kind == TokenKind::M2mToken);
    let accepted = machine.is_none_or(|machine| contains(&claims.scopes, machine));
    accepted.then_some(()).ok_or(Reason::TokenInvalidAudience)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn validate(policy: &Policy, extra: &str) -> Result<(), Reason> {
        let json = format!(r#"{{"sub":"user_1"{extra}}}"#);
        let claims = Claims::parse(TokenKind::SessionToken, json.as_bytes()).unwrap();
        policy.validate(TokenKind::SessionToken, &claims, NOW)
    }

    #[test]
    fn time_claims_at_their_limits_respect_clock_skew() {
        let policy = Policy { clock_skew_ms: 5000, ..Policy::default() };
        let at = |name: &str, offset: i64| {
            let exp = if name == "exp" { String::new() } else { r#","exp":1700000060"#.into() };
            validate(&policy, &format!(r#"{exp},"{name}":{}"#, NOW / 1000 + offset))
        };
        assert_eq!(at("exp", -4), Ok(()));
        assert_eq!(at("exp", -5), Err(Reason::TokenExpired));
        assert_eq!(at("nbf", 5), Ok(()));
        assert_eq!(at("nbf", 6), Err(Reason::TokenNotActiveYet));
        assert_eq!(at("iat", 5), Ok(()));
        assert_eq!(at("iat", 6), Err(Reason::TokenIatInTheFuture));
        assert_eq!(validate(&policy, ""), Err(Reason::TokenInvalid));
        assert_eq!(validate(&policy, r#","exp":1700000060,"nbf":null"#), Err(Reason::TokenInvalid));
        assert_eq!(validate(&policy, r#","exp":-9007199254740992"#), Err(Reason::TokenExpired));
    }

    #[test]
    fn configured_audience_azp_and_issuer_are_required() {
        let valid = r#","exp":1700000060"#;
        let list = |v: &str| vec![v.to_owned()];
        for (policy, claim, reason) in [
            (Policy { audience: list("api"), ..Policy::default() }, "aud", Reason::TokenInvalidAudience),
            (
                Policy { authorized_parties: list("api"), ..Policy::default() },
                "azp",
                Reason::TokenInvalidAuthorizedParties,
            ),
            (Policy { issuer: list("api"), ..Policy::default() }, "iss", Reason::TokenInvalidIssuer),
        ] {
            assert_eq!(validate(&policy, &format!(r#"{valid},"{claim}":"api""#)), Ok(()));
            for invalid in ["", r#","X":"API""#, r#","X":"ap""#, r#","X":null"#, r#","X":"""#, r#","X":{"api":1}"#] {
                assert_eq!(
                    validate(&policy, &format!("{valid}{}", invalid.replace('X', claim))),
                    Err(reason),
                    "{claim} {invalid}"
                );
            }
            assert_eq!(validate(&Policy::default(), &format!(r#"{valid},"{claim}":"other""#)), Ok(()));
        }
    }

    #[test]
    fn missing_azp_is_accepted_only_by_the_setting() {
        let parties = vec!["https://a.example".to_owned()];
        let strict = Policy { authorized_parties: parties, ..Policy::default() };
        let lenient = Policy { accept_missing_azp: true, ..strict.clone() };
        let with = |policy: &Policy, azp: &str| validate(policy, &format!(r#","exp":1700000060{azp}"#));
        let refused = Err(Reason::TokenInvalidAuthorizedParties);
        assert_eq!((with(&strict, ""), with(&lenient, "")), (refused, Ok(())));
        for policy in [&strict, &lenient] {
            assert_eq!(with(policy, r#","azp":"https://a.example""#), Ok(()));
            for azp in
                [r#""""#, r#""https://b.example""#, r#""https://a.example/""#, "null", "5", r#"["https://a.example"]"#]
            {
                assert_eq!(with(policy, &format!(r#","azp":{azp}"#)), refused, "{azp}");
            }
        }
    }

    #[test]
    fn pending_session_is_rejected_unless_allowed() {
        let pending = r#","exp":1700000060,"sts":"pending""#;
        assert_eq!(validate(&Policy::default(), pending), Err(Reason::SessionPending));
        assert_eq!(validate(&Policy { treat_pending_as_signed_out: false, ..Policy::default() }, pending), Ok(()));
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sts":"new""#), Ok(()));
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sts":5"#), Err(Reason::TokenInvalid));
    }

    #[test]
    fn subject_is_an_id_of_the_kind_that_the_token_is_for() {
        let valid = |kind: TokenKind, sub: &str| {
            let json = format!(r#"{{"sub":{sub},"exp":1700000060}}"#);
            Policy::default().validate(kind, &Claims::parse(kind, json.as_bytes()).unwrap(), NOW)
        };
        for kind in [TokenKind::SessionToken, TokenKind::OauthToken, TokenKind::M2mToken] {
            let (own, other) = if kind == TokenKind::M2mToken { ("mch_1", "user_1") } else { ("user_1", "mch_1") };
            assert_eq!(valid(kind, &format!("{own:?}")), Ok(()), "{kind:?}");
            for sub in [other, "", "user_", "mch_", "org_1", "user_1/x", "user_..", "User_1"] {
                assert_eq!(valid(kind, &format!("{sub:?}")), Err(Reason::TokenInvalid), "{kind:?} {sub}");
            }
            for sub in ["null", "5", r#"["user_1"]"#, r#"{"user_1":"mch_1"}"#] {
                assert_eq!(valid(kind, sub), Err(Reason::TokenInvalid), "{kind:?} {sub}");
            }
        }
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sid":"sess_1""#), Ok(()));
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sid":5"#), Err(Reason::TokenInvalid));
    }

    #[test]
    fn expected_machine_is_among_the_scopes_of_m2m_tokens() {
        let expected = Policy { expected_machine_id: Some("mch_9".into()), ..Policy::default() };
        let parties = Policy { authorized_parties: vec!["https://a.example".into()], ..expected.clone() };
        let valid = |policy: &Policy, kind: TokenKind, sub: &str, scopes: &str| {
            let json = format!(r#"{{"sub":"{sub}","exp":1700000060,"azp":"https://a.example","scopes":{scopes}}}"#);
            policy.validate(kind, &Claims::parse(kind, json.as_bytes()).unwrap(), NOW)
        };
        for policy in [&expected, &parties] {
            assert_eq!(valid(policy, TokenKind::M2mToken, "mch_1", r#"["mch_2","mch_9"]"#), Ok(()));
            for scopes in ["[]", r#"["mch_99"]"#, r#"["MCH_9"]"#, "null"] {
                let outcome = valid(policy, TokenKind::M2mToken, "mch_1", scopes);
                assert_eq!(outcome, Err(Reason::TokenInvalidAudience), "{scopes}");
            }
            for kind in [TokenKind::SessionToken, TokenKind::OauthToken] {
                assert_eq!(valid(policy, kind, "user_1", "[]"), Ok(()), "{kind:?}");
            }
        }
        assert_eq!(valid(&Policy::default(), TokenKind::M2mToken, "mch_1", "[]"), Ok(()));
    }

    #[test]
    fn validity_ends_and_begins_with_the_clock_skew() {
        let policy = Policy { clock_skew_ms: 5000, ..Policy::default() };
        let times = |claims: &str| {
            let json = format!(r#"{{"sub":"user_1"{claims}}}"#);
            let claims = Claims::parse(TokenKind::SessionToken, json.as_bytes()).unwrap();
            (policy.not_before_ms(&claims), policy.expires_at_ms(&claims))
        };
        assert_eq!(times(r#","nbf":100,"iat":200,"exp":300"#), (195_000, 305_000));
        assert_eq!(times(r#","nbf":200,"iat":100"#), (195_000, i64::MIN));
        assert_eq!(times(r#","iat":100,"exp":"300""#), (95_000, i64::MIN));
        assert_eq!(times(r#","nbf":"100""#), (i64::MIN, i64::MIN));
    }
}
