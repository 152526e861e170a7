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
        subject(kind, claims)?;
        self.audience(claims)?;
        self.authorized_party(kind, claims)?;
        self.issuer(claims)?;
        self.times(claims, wall_ms)?;
        if matches!(claims.sid, Claim::Invalid) || matches!(claims.sts, Claim::Invalid) {
            return Err(Reason::TokenInvalid);
        }
        if claims.sts.as_deref() == Some("pending") && self.treat_pending_as_signed_out {
            return Err(Reason::SessionPending);
        }
        if kind == TokenKind::M2mToken
            && self.expected_machine_id.as_ref().is_some_and(|machine| !contains(&claims.scopes, machine))
        {
            return Err(Reason::TokenInvalidAudience);
        }
        Ok(())
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

    /// Stricter than Clerk's SDK, which skips the check for a token without `aud`.
    fn audience(&self, claims: &Claims<'_>) -> Result<(), Reason> {
        let accepted = self.audience.is_empty()
            || claims.aud.get().is_some_and(|aud| self.audience.iter().any(|accepted| contains(aud, accepted)));
        accepted.then_some(()).ok_or(Reason::TokenInvalidAudience)
    }

    /// M2M tokens are created by a server and have no `azp`.
    fn authorized_party(&self, kind: TokenKind, claims: &Claims<'_>) -> Result<(), Reason> {
        let accepted = self.authorized_parties.is_empty()
            || kind == TokenKind::M2mToken
            || claims
                .azp
                .get()
                .is_some_and(|azp| !azp.is_empty() && self.authorized_parties.iter().any(|party| party == azp));
        accepted.then_some(()).ok_or(Reason::TokenInvalidAuthorizedParties)
    }

    fn issuer(&self, claims: &Claims<'_>) -> Result<(), Reason> {
        let accepted = self.issuer.is_empty()
            || claims.iss.get().is_some_and(|iss| self.issuer.iter().any(|accepted| accepted == iss));
        accepted.then_some(()).ok_or(Reason::TokenInvalidIssuer)
    }

    /// `exp` is required. A token expires at `exp + skew` and is valid from `nbf - skew` and `iat - skew` on, both inclusive.
    fn times(&self, claims: &Claims<'_>, now: i64) -> Result<(), Reason> {
        let exp = Claims::millis(&claims.exp);
        let nbf = Claims::millis(&claims.nbf);
        let iat = Claims::millis(&claims.iat);
        let Claim::Present(exp) = exp else { return Err(Reason::TokenInvalid) };
        if nbf == Claim::Invalid || iat == Claim::Invalid {
            return Err(Reason::TokenInvalid);
        }
        let latest = now.saturating_add(self.clock_skew_ms);
        if exp <= now.saturating_sub(self.clock_skew_ms) {
            Err(Reason::TokenExpired)
        } else if nbf.get().is_some_and(|nbf| *nbf > latest) {
            Err(Reason::TokenNotActiveYet)
        } else if iat.get().is_some_and(|iat| *iat > latest) {
            Err(Reason::TokenIatInTheFuture)
        } else {
            Ok(())
        }
    }
}

fn contains(strings: &Strings<'_>, string: &str) -> bool {
    strings.iter().any(|one| one == string)
}

/// `sub` is required and must be a Clerk id: it becomes part of URLs and of table rows.
fn subject(kind: TokenKind, claims: &Claims<'_>) -> Result<(), Reason> {
    let prefix = if kind == TokenKind::M2mToken { "mch_" } else { "user_" };
    let is_id = claims.sub.get().is_some_and(|sub| is_clerk_id(sub, prefix));
    is_id.then_some(()).ok_or(Reason::TokenInvalid)
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
    fn pending_session_is_rejected_unless_allowed() {
        let pending = r#","exp":1700000060,"sts":"pending""#;
        assert_eq!(validate(&Policy::default(), pending), Err(Reason::SessionPending));
        assert_eq!(validate(&Policy { treat_pending_as_signed_out: false, ..Policy::default() }, pending), Ok(()));
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sts":"new""#), Ok(()));
        assert_eq!(validate(&Policy::default(), r#","exp":1700000060,"sts":5"#), Err(Reason::TokenInvalid));
    }
}
