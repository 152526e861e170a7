//! What a verified token's claims are judged by. The rules and their limits are those of Clerk's JavaScript SDK.

use super::claims::Claims;
use super::json::Claim;
use crate::reason::Reason;
use crate::token::{TokenKind, is_clerk_id};

/// The settings that claims are judged by.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What `azp` must be one of; empty: not checked.
    pub authorized_parties: Vec<String>,
    /// What `aud` must hold one of; empty: not checked.
    pub audience: Vec<String>,
    /// What `iss` must be one of; empty: not checked.
    pub issuer: Vec<String>,
    /// How far the clocks may be apart.
    pub clock_skew_ms: i64,
    /// Whether a session with `sts: pending` is rejected.
    pub treat_pending_as_signed_out: bool,
    /// The machine that an M2M token must name among its scopes.
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
    /// The first thing that is wrong with the claims.
    pub fn judge(&self, kind: TokenKind, claims: &Claims, wall_ms: i64) -> Result<(), Reason> {
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
            && self.expected_machine_id.as_ref().is_some_and(|machine| !claims.scopes.contains(machine))
        {
            return Err(Reason::TokenInvalidAudience);
        }
        Ok(())
    }

    /// The moment from which the token is no longer good, in milliseconds.
    pub fn ends_ms(&self, claims: &Claims) -> i64 {
        match Claims::millis(&claims.exp) {
            Claim::Present(exp) => exp.saturating_add(self.clock_skew_ms),
            _ => i64::MIN,
        }
    }

    /// Clerk's SDK skips the check when the token has no `aud`; configured means wanted, so here it is refused.
    fn audience(&self, claims: &Claims) -> Result<(), Reason> {
        let good = self.audience.is_empty()
            || claims.aud.get().is_some_and(|aud| aud.iter().any(|one| self.audience.contains(one)));
        good.then_some(()).ok_or(Reason::TokenInvalidAudience)
    }

    /// M2M tokens are minted by a server: there is no party to name.
    fn authorized_party(&self, kind: TokenKind, claims: &Claims) -> Result<(), Reason> {
        let good = self.authorized_parties.is_empty()
            || kind == TokenKind::M2mToken
            || claims.azp.get().is_some_and(|azp| !azp.is_empty() && self.authorized_parties.contains(azp));
        good.then_some(()).ok_or(Reason::TokenInvalidAuthorizedParties)
    }

    fn issuer(&self, claims: &Claims) -> Result<(), Reason> {
        let good = self.issuer.is_empty() || claims.iss.get().is_some_and(|iss| self.issuer.contains(iss));
        good.then_some(()).ok_or(Reason::TokenInvalidIssuer)
    }

    /// `exp` is required; at `exp + skew` a token is over, at `nbf - skew` and `iat - skew` it is good.
    fn times(&self, claims: &Claims, now: i64) -> Result<(), Reason> {
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

/// `sub` is required and becomes part of a URL and of table rows: Clerk's ids are a prefix and plain letters.
fn subject(kind: TokenKind, claims: &Claims) -> Result<(), Reason> {
    let prefix = if kind == TokenKind::M2mToken { "mch_" } else { "user_" };
    let good = claims.sub.get().is_some_and(|sub| is_clerk_id(sub, prefix));
    good.then_some(()).ok_or(Reason::TokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn judge(policy: &Policy, extra: &str) -> Result<(), Reason> {
        let json = format!(r#"{{"sub":"user_1"{extra}}}"#);
        policy.judge(TokenKind::SessionToken, &Claims::parse(json.into()).unwrap(), NOW)
    }

    #[test]
    fn times_at_their_limits() {
        let policy = Policy { clock_skew_ms: 5000, ..Policy::default() };
        let at = |name: &str, offset: i64| {
            let exp = if name == "exp" { String::new() } else { r#","exp":1700000060"#.into() };
            judge(&policy, &format!(r#"{exp},"{name}":{}"#, NOW / 1000 + offset))
        };
        assert_eq!(at("exp", -4), Ok(()));
        assert_eq!(at("exp", -5), Err(Reason::TokenExpired));
        assert_eq!(at("nbf", 5), Ok(()));
        assert_eq!(at("nbf", 6), Err(Reason::TokenNotActiveYet));
        assert_eq!(at("iat", 5), Ok(()));
        assert_eq!(at("iat", 6), Err(Reason::TokenIatInTheFuture));
        assert_eq!(judge(&policy, ""), Err(Reason::TokenInvalid));
        assert_eq!(judge(&policy, r#","exp":1700000060,"nbf":null"#), Err(Reason::TokenInvalid));
        assert_eq!(judge(&policy, r#","exp":-9007199254740992"#), Err(Reason::TokenExpired));
    }

    #[test]
    fn lists_that_are_configured_must_be_met() {
        let good = r#","exp":1700000060"#;
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
            assert_eq!(judge(&policy, &format!(r#"{good},"{claim}":"api""#)), Ok(()));
            for bad in ["", r#","X":"API""#, r#","X":"ap""#, r#","X":null"#, r#","X":"""#, r#","X":{"api":1}"#] {
                assert_eq!(judge(&policy, &format!("{good}{}", bad.replace('X', claim))), Err(reason), "{claim} {bad}");
            }
            assert_eq!(judge(&Policy::default(), &format!(r#"{good},"{claim}":"other""#)), Ok(()));
        }
    }

    #[test]
    fn pending_sessions_stay_out_unless_asked_for() {
        let pending = r#","exp":1700000060,"sts":"pending""#;
        assert_eq!(judge(&Policy::default(), pending), Err(Reason::SessionPending));
        assert_eq!(judge(&Policy { treat_pending_as_signed_out: false, ..Policy::default() }, pending), Ok(()));
        assert_eq!(judge(&Policy::default(), r#","exp":1700000060,"sts":"new""#), Ok(()));
        assert_eq!(judge(&Policy::default(), r#","exp":1700000060,"sts":5"#), Err(Reason::TokenInvalid));
    }
}
