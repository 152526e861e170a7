//! The claims of a token, in both of Clerk's layouts, before anybody has judged them.

use serde::de::MapAccess;

use super::json::{self, Claim, Json, MAX_SAFE, Nested, ObjectVisitor};
use super::permissions;

/// The organization that a session is active in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organization {
    /// `org_…`
    pub id: String,
    /// The name in addresses.
    pub slug: Option<String>,
    /// With the prefix `org:`.
    pub role: Option<String>,
    /// `org:<feature>:<permission>`; system permissions are never in a token.
    pub permissions: Vec<String>,
}

/// Everything a token says.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the names are those of RFC 7519 and of Clerk's documentation
pub struct Claims {
    /// The payload's text.
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
    /// `sub` of `act`: who acts in the user's place.
    pub actor: Option<String>,
    pub organization: Option<Organization>,
    /// `fea`, as it stands.
    pub features: Option<String>,
    /// `pla`, as it stands.
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
        *slot = map.next_value::<Json<'de>>()?.text();
        Ok(true)
    }
}

impl<'de> ObjectVisitor<'de> for Act {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "sub" {
            self.sub = map.next_value::<Json<'de>>()?.text();
        }
        Ok(name == "sub")
    }
}

impl<'de> ObjectVisitor<'de> for Raw {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let claims = &mut self.claims;
        let mut value = || map.next_value::<Json<'de>>();
        match name {
            "sub" => claims.sub = value()?.text(),
            "sid" => claims.sid = value()?.text(),
            "iss" => claims.iss = value()?.text(),
            "azp" => claims.azp = value()?.text(),
            "jti" => claims.jti = value()?.text(),
            "aud" => claims.aud = value()?.texts(),
            "exp" => claims.exp = value()?.number(),
            "nbf" => claims.nbf = value()?.number(),
            "iat" => claims.iat = value()?.number(),
            "sts" => claims.sts = value()?.text(),
            "fva" => claims.fva = value()?.pair(),
            "fea" => claims.features = value()?.text().get().cloned(),
            "pla" => claims.plans = value()?.text().get().cloned(),
            "client_id" => claims.client_id = value()?.text().get().cloned(),
            "v" => self.version = value()?.number(),
            "org_id" => self.org_id = value()?.text(),
            "org_slug" => self.org_slug = value()?.text(),
            "org_role" => self.org_role = value()?.text(),
            "org_permissions" => self.org_permissions = value()?.texts(),
            "scp" => self.scp = value()?.texts(),
            "scope" => self.scope = value()?.text(),
            "scopes" => self.m2m_scopes = value()?.texts(),
            "o" => self.o = map.next_value::<Nested<OrgV2>>()?.0,
            "act" => self.act = map.next_value::<Nested<Act>>()?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn filled(member: &Claim<String>) -> Option<String> {
    member.get().filter(|text| !text.is_empty()).cloned()
}

impl Raw {
    /// `v: 2` is the new layout; everything else, as Clerk's own SDK has it, the old one.
    fn organization(&self) -> Option<Organization> {
        if self.version == Claim::Present(2.0) {
            let o = self.o.get()?;
            let text = |member: &Claim<String>| filled(member).unwrap_or_default();
            return Some(Organization {
                id: filled(&o.id)?,
                slug: filled(&o.slug),
                role: filled(&o.role).map(|role| format!("org:{role}")),
                permissions: permissions::decode(
                    self.claims.features.as_deref().unwrap_or_default(),
                    &text(&o.permissions),
                    &text(&o.masks),
                ),
            });
        }
        Some(Organization {
            id: filled(&self.org_id)?,
            slug: filled(&self.org_slug),
            role: filled(&self.org_role),
            permissions: self.org_permissions.get().cloned().unwrap_or_default(),
        })
    }

    /// OAuth: `scp`, else the words of `scope` (RFC 9068 §2.2.3). M2M: the words of `scopes`, else `aud`.
    fn scopes(&self) -> Vec<String> {
        let words = |texts: &[String]| texts.iter().flat_map(|t| t.split(' ')).map(str::to_owned).collect();
        if let Some(scp) = self.scp.get() {
            scp.clone()
        } else if let Some(scope) = self.scope.get() {
            words(std::slice::from_ref(scope))
        } else if let Some(scopes) = self.m2m_scopes.get() {
            words(scopes)
        } else {
            self.claims.aud.get().cloned().unwrap_or_default()
        }
    }
}

impl Claims {
    /// Reads a payload. `None`: not one JSON object, a member twice, too deep, not UTF-8.
    pub fn parse(payload: Vec<u8>) -> Option<Self> {
        let raw: Raw = json::object(&payload)?;
        let organization = raw.organization();
        let scopes = raw.scopes();
        let actor = raw.act.get().and_then(|act| act.sub.get()).cloned();
        let json = String::from_utf8(payload).ok()?;
        Some(Claims { json, organization, scopes, actor, ..raw.claims })
    }

    /// A time claim in milliseconds. Fractions of a second are cut off, as JavaScript does; it never overflows.
    pub fn millis(claim: &Claim<f64>) -> Claim<i64> {
        match claim {
            Claim::Present(seconds) if seconds.is_finite() && seconds.abs() <= MAX_SAFE => {
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
    fn both_layouts_name_the_organization() {
        let v1 = claims(r#"{"org_id":"org_1","org_slug":"acme","org_role":"org:admin","org_permissions":["org:a:b"]}"#);
        let v2 = claims(r#"{"v":2,"fea":"o:a","o":{"id":"org_1","slg":"acme","rol":"admin","per":"b","fpm":"1"}}"#);
        assert_eq!(v1.organization, v2.organization);
        assert_eq!(v1.organization.unwrap().role.as_deref(), Some("org:admin"));
        for none in [r#"{"v":2,"org_id":"org_1"}"#, r#"{"v":2,"o":null}"#, r#"{"o":{"id":"org_1"}}"#, r#"{"org_id":5}"#]
        {
            assert_eq!(claims(none).organization, None, "{none}");
        }
    }

    #[test]
    fn a8_times_at_every_boundary() {
        let millis = |text: &str| Claims::millis(&claims(&format!(r#"{{"exp":{text}}}"#)).exp);
        for (text, right) in [
            ("0", 0),
            ("-0", 0),
            ("-1", -1000),
            ("0.5", 0),
            ("1.7e9", 1_700_000_000_000),
            ("2147483648", 2_147_483_648_000),
            ("4294967296", 4_294_967_296_000),
            ("9007199254740992", 9_007_199_254_740_992_000),
        ] {
            assert_eq!(millis(text), Claim::Present(right), "{text}");
        }
        for odd in ["1e30", "1e300", "18446744073709551616", "\"1\"", "null", "[]", "true", "{}"] {
            assert_eq!(millis(odd), Claim::Invalid, "{odd}");
        }
        assert_eq!(Claims::millis(&claims("{}").exp), Claim::Absent);
    }

    #[test]
    fn scopes_come_from_whichever_claim_holds_them() {
        assert_eq!(claims(r#"{"scp":["a","b"],"scope":"c"}"#).scopes, ["a", "b"]);
        assert_eq!(claims(r#"{"scope":"a b"}"#).scopes, ["a", "b"]);
        assert_eq!(claims(r#"{"scopes":"mch_1 mch_2"}"#).scopes, ["mch_1", "mch_2"]);
        assert_eq!(claims(r#"{"aud":["mch_1"]}"#).scopes, ["mch_1"]);
    }
}
