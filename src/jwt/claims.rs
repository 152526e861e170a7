//! Parses the claims of a token in both of Clerk's layouts (session token versions 1 and 2), by the class of the token: what is
//! a claim of another class is a custom claim, which only [`Claims::json`] holds.

use serde::de::MapAccess;

use super::permissions;
use crate::json::{self, Claim, IntegerPair, Json, MAX_EXACT_INTEGER, Nested, ObjectVisitor, StringOrArray};
use crate::token::TokenKind;

/// The active organization of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organization {
    /// The organization's id, `org_…`.
    pub id: String,
    /// The organization's slug.
    pub slug: Option<String>,
    /// The user's role with the prefix `org:`.
    pub role: Option<String>,
    /// The user's permissions, `org:<feature>:<permission>`. Tokens never contain system permissions.
    pub permissions: Vec<String>,
}

/// The claims of a token, each with its type checked but its value not validated; see `Policy`.
///
/// Fields have the names of RFC 7519 and of Clerk's session token claims. Only session tokens have a session, an organization,
/// an actor, features, plans and factor ages; only machine tokens have scopes; only OAuth tokens have a client.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "see above")]
pub struct Claims {
    /// The payload as it was signed: one JSON object.
    pub json: String,
    pub sub: Claim<String>,
    pub sid: Claim<String>,
    pub iss: Claim<String>,
    pub azp: Claim<String>,
    pub jti: Claim<String>,
    pub aud: Claim<Vec<String>>,
    pub exp: Claim<f64>,
    pub nbf: Claim<f64>,
    pub iat: Claim<f64>,
    pub sts: Claim<String>,
    pub fva: Claim<[i64; 2]>,
    /// `sub` of `act`: the user who impersonates the subject.
    pub actor: Option<String>,
    pub organization: Option<Organization>,
    /// `fea`, unchanged.
    pub features: Option<String>,
    /// `pla`, unchanged.
    pub plans: Option<String>,
    pub scopes: Vec<String>,
    pub client_id: Option<String>,
}

/// The members of a payload, whatever the class of the token.
#[derive(Default)]
struct Raw {
    claims: Claims,
    version: Claim<f64>,
    o: Claim<OrgV2>,
    act: Claim<Act>,
    org_id: Claim<String>,
    org_slug: Claim<String>,
    org_role: Claim<String>,
    org_permissions: Claim<Vec<String>>,
    scp: Claim<Vec<String>>,
    scope: Claim<String>,
    m2m_scopes: Claim<Vec<String>>,
}

#[derive(Default)]
struct OrgV2 {
    id: Claim<String>,
    slug: Claim<String>,
    role: Claim<String>,
    permissions: Claim<String>,
    masks: Claim<String>,
}

#[derive(Default)]
struct Act {
    sub: Claim<String>,
}

impl<'de> ObjectVisitor<'de> for OrgV2 {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let slot = match name {
            "id" => &mut self.id,
            "slg" => &mut self.slug,
            "rol" => &mut self.role,
            "per" => &mut self.permissions,
            "fpm" => &mut self.masks,
            _ => return Ok(false),
        };
        *slot = map.next_value::<Json<'de>>()?.string();
        Ok(true)
    }
}

impl<'de> ObjectVisitor<'de> for Act {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "sub" {
            self.sub = map.next_value::<Json<'de>>()?.string();
        }
        Ok(name == "sub")
    }
}

impl<'de> ObjectVisitor<'de> for Raw {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let claims = &mut self.claims;
        let mut value = || map.next_value::<Json<'de>>();
        match name {
            "sub" => claims.sub = value()?.string(),
            "sid" => claims.sid = value()?.string(),
            "iss" => claims.iss = value()?.string(),
            "azp" => claims.azp = value()?.string(),
            "jti" => claims.jti = value()?.string(),
            "aud" => claims.aud = map.next_value::<StringOrArray>()?.0,
            "exp" => claims.exp = value()?.number(),
            "nbf" => claims.nbf = value()?.number(),
            "iat" => claims.iat = value()?.number(),
            "sts" => claims.sts = value()?.string(),
            "fva" => claims.fva = map.next_value::<IntegerPair>()?.0,
            "fea" => claims.features = value()?.string().into_option(),
            "pla" => claims.plans = value()?.string().into_option(),
            "client_id" => claims.client_id = value()?.string().into_option(),
            "v" => self.version = value()?.number(),
            "org_id" => self.org_id = value()?.string(),
            "org_slug" => self.org_slug = value()?.string(),
            "org_role" => self.org_role = value()?.string(),
            "org_permissions" => self.org_permissions = map.next_value::<StringOrArray>()?.0,
            "scp" => self.scp = map.next_value::<StringOrArray>()?.0,
            "scope" => self.scope = value()?.string(),
            "scopes" => self.m2m_scopes = map.next_value::<StringOrArray>()?.0,
            "o" => self.o = map.next_value::<Nested<OrgV2>>()?.0,
            "act" => self.act = map.next_value::<Nested<Act>>()?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn non_empty(claim: &Claim<String>) -> Option<String> {
    claim.get().filter(|value| !value.is_empty()).cloned()
}

impl Raw {
    /// `v: 2` selects the layout with `o`; any other version is read as layout 1, like Clerk's SDK.
    fn organization(&self) -> Option<Organization> {
        if self.version == Claim::Present(2.0) {
            let o = self.o.get()?;
            return Some(Organization {
                id: non_empty(&o.id)?,
                slug: non_empty(&o.slug),
                role: non_empty(&o.role).map(|role| format!("org:{role}")),
                permissions: permissions::decode(
                    self.claims.features.as_deref().unwrap_or_default(),
                    o.permissions.as_deref().unwrap_or_default(),
                    o.masks.as_deref().unwrap_or_default(),
                ),
            });
        }
        Some(Organization {
            id: non_empty(&self.org_id)?,
            slug: non_empty(&self.org_slug),
            role: non_empty(&self.org_role),
            permissions: self.org_permissions.get().cloned().unwrap_or_default(),
        })
    }

    /// OAuth: `scp`, else `scope` (RFC 9068 §2.2.3). M2M: `scopes`, else `aud`. A claim of the wrong type grants nothing.
    fn scopes(&self, kind: TokenKind) -> Vec<String> {
        let split =
            |list: &str| list.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let (first, second) = match kind {
            TokenKind::OauthToken => (&self.scp, self.scope.get().map(|scope| split(scope))),
            TokenKind::M2mToken => (&self.m2m_scopes, self.claims.aud.get().cloned()),
            TokenKind::SessionToken | TokenKind::ApiKey => return Vec::new(),
        };
        match first {
            Claim::Present(scopes) => scopes.iter().flat_map(|list| split(list)).collect(),
            Claim::Invalid => Vec::new(),
            Claim::Absent => second.unwrap_or_default(),
        }
    }
}

impl Claims {
    /// Parses the decoded payload of a token of this class. Returns `None` if it is not exactly one JSON object, holds a
    /// duplicate member at any depth, nests too deep or is not UTF-8.
    pub fn parse(kind: TokenKind, payload: Vec<u8>) -> Option<Self> {
        let raw: Raw = json::object(&payload)?;
        let json = String::from_utf8(payload).ok()?;
        let scopes = raw.scopes(kind);
        if kind == TokenKind::SessionToken {
            let organization = raw.organization();
            let actor = raw.act.get().and_then(|act| act.sub.get()).cloned();
            return Some(Claims { json, scopes, organization, actor, client_id: None, ..raw.claims });
        }
        let Claims { sub, iss, azp, jti, aud, exp, nbf, iat, client_id, .. } = raw.claims;
        let client_id = client_id.filter(|_| kind == TokenKind::OauthToken);
        Some(Claims { json, scopes, sub, iss, azp, jti, aud, exp, nbf, iat, client_id, ..Claims::default() })
    }

    /// Returns `iat` in seconds since 1970.
    pub fn issued_at_s(&self) -> Option<i64> {
        Claims::millis(&self.iat).get().map(|ms| ms / 1000)
    }

    /// Converts a time claim (NumericDate) to milliseconds. Drops fractions of a second, like Clerk's SDK; never overflows.
    pub fn millis(claim: &Claim<f64>) -> Claim<i64> {
        match claim {
            Claim::Present(seconds) if seconds.is_finite() && seconds.abs() <= MAX_EXACT_INTEGER => {
                Claim::Present((seconds.trunc() as i64).saturating_mul(1000))
            }
            Claim::Absent => Claim::Absent,
            _ => Claim::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::parse(TokenKind::SessionToken, json.into()).unwrap()
    }

    #[test]
    fn organization_is_read_from_both_layouts() {
        let v1 = claims(r#"{"org_id":"org_1","org_slug":"acme","org_role":"org:admin","org_permissions":["org:a:b"]}"#);
        let v2 = claims(r#"{"v":2,"fea":"o:a","o":{"id":"org_1","slg":"acme","rol":"admin","per":"b","fpm":"1"}}"#);
        assert_eq!(v1.organization, v2.organization);
        assert_eq!(v1.organization.unwrap().role.as_deref(), Some("org:admin"));
        for none in [r#"{"v":2,"org_id":"org_1"}"#, r#"{"v":2,"o":null}"#, r#"{"o":{"id":"org_1"}}"#, r#"{"org_id":5}"#]
        {
            assert_eq!(claims(none).organization, None, "{none}");
        }
    }

    // Threat A8.
    #[test]
    fn numeric_dates_at_boundaries_convert_or_are_invalid() {
        let millis = |value: &str| Claims::millis(&claims(&format!(r#"{{"exp":{value}}}"#)).exp);
        for (value, expected) in [
            ("0", 0),
            ("-0", 0),
            ("-1", -1000),
            ("0.5", 0),
            ("1.7e9", 1_700_000_000_000),
            ("2147483648", 2_147_483_648_000),
            ("4294967296", 4_294_967_296_000),
            ("9007199254740992", 9_007_199_254_740_992_000),
        ] {
            assert_eq!(millis(value), Claim::Present(expected), "{value}");
        }
        for malformed in ["1e30", "1e300", "18446744073709551616", "\"1\"", "null", "[]", "true", "{}"] {
            assert_eq!(millis(malformed), Claim::Invalid, "{malformed}");
        }
        assert_eq!(Claims::millis(&claims("{}").exp), Claim::Absent);
    }

    #[test]
    fn scopes_are_read_by_class() {
        let scopes = |kind, json: &str| Claims::parse(kind, json.into()).unwrap().scopes;
        let all = r#"{"scp":["a","b"],"scope":"c","scopes":"mch_1 mch_2","aud":["mch_3"]}"#;
        assert_eq!(scopes(TokenKind::OauthToken, all), ["a", "b"]);
        assert_eq!(scopes(TokenKind::OauthToken, r#"{"scope":"a  b","aud":["c"]}"#), ["a", "b"]);
        assert_eq!(scopes(TokenKind::M2mToken, all), ["mch_1", "mch_2"]);
        assert_eq!(scopes(TokenKind::M2mToken, r#"{"aud":["mch_1"]}"#), ["mch_1"]);
        assert!(scopes(TokenKind::SessionToken, all).is_empty());
    }
}
