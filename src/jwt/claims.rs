//! Parses the claims of a token in both of Clerk's layouts (session token versions 1 and 2).

use serde::de::MapAccess;

use super::permissions;
use crate::json::{self, Claim, Json, MAX_EXACT_INTEGER, Nested, ObjectVisitor};

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

/// The claims of a token, each with its type checked but its value not validated; see [`Policy`](super::Policy).
///
/// Fields have the names of RFC 7519 and of Clerk's session token claims.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // see above
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
            "aud" => claims.aud = value()?.string_or_array(),
            "exp" => claims.exp = value()?.number(),
            "nbf" => claims.nbf = value()?.number(),
            "iat" => claims.iat = value()?.number(),
            "sts" => claims.sts = value()?.string(),
            "fva" => claims.fva = value()?.integer_pair(),
            "fea" => claims.features = value()?.string().get().cloned(),
            "pla" => claims.plans = value()?.string().get().cloned(),
            "client_id" => claims.client_id = value()?.string().get().cloned(),
            "v" => self.version = value()?.number(),
            "org_id" => self.org_id = value()?.string(),
            "org_slug" => self.org_slug = value()?.string(),
            "org_role" => self.org_role = value()?.string(),
            "org_permissions" => self.org_permissions = value()?.string_or_array(),
            "scp" => self.scp = value()?.string_or_array(),
            "scope" => self.scope = value()?.string(),
            "scopes" => self.m2m_scopes = value()?.string_or_array(),
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

    /// OAuth: `scp`, else `scope` split at spaces (RFC 9068 §2.2.3). M2M: `scopes` split at spaces, else `aud`.
    fn scopes(&self) -> Vec<String> {
        let split = |lists: &[String]| lists.iter().flat_map(|list| list.split(' ')).map(str::to_owned).collect();
        if let Some(scp) = self.scp.get() {
            scp.clone()
        } else if let Some(scope) = self.scope.get() {
            split(std::slice::from_ref(scope))
        } else if let Some(scopes) = self.m2m_scopes.get() {
            split(scopes)
        } else {
            self.claims.aud.get().cloned().unwrap_or_default()
        }
    }
}

impl Claims {
    /// Parses a decoded payload. Returns `None` if it is not exactly one JSON object, has a duplicate member, nests too deep
    /// or is not UTF-8.
    pub fn parse(payload: Vec<u8>) -> Option<Self> {
        let raw: Raw = json::object(&payload)?;
        let organization = raw.organization();
        let scopes = raw.scopes();
        let actor = raw.act.get().and_then(|act| act.sub.get()).cloned();
        let json = String::from_utf8(payload).ok()?;
        Some(Claims { json, organization, scopes, actor, ..raw.claims })
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
        Claims::parse(json.into()).unwrap()
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
    fn scopes_are_read_from_scp_scope_scopes_or_aud() {
        assert_eq!(claims(r#"{"scp":["a","b"],"scope":"c"}"#).scopes, ["a", "b"]);
        assert_eq!(claims(r#"{"scope":"a b"}"#).scopes, ["a", "b"]);
        assert_eq!(claims(r#"{"scopes":"mch_1 mch_2"}"#).scopes, ["mch_1", "mch_2"]);
        assert_eq!(claims(r#"{"aud":["mch_1"]}"#).scopes, ["mch_1"]);
    }
}
