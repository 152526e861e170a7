//! Parses the claims of a token in both of Clerk's layouts (session token versions 1 and 2), by the class of the token: what is
//! a claim of another class is a custom claim, which only [`Claims::json`] holds.

use std::borrow::Cow;

use serde::de::MapAccess;

use super::permissions;
use crate::json::{self, Claim, IntegerPair, Json, MAX_EXACT_INTEGER, Nested, ObjectVisitor, Strings, UnreadStrings};
use crate::token::TokenKind;

/// The active organization of a session.
#[derive(Clone, Debug)]
pub struct Organization<'a> {
    /// The organization's id, `org_…`.
    pub id: Cow<'a, str>,
    slug: Option<Cow<'a, str>>,
    role: Option<Cow<'a, str>>,
    permissions: Permissions<'a>,
}

/// The permissions of a session, as the layout of its token has them.
#[derive(Clone, Debug)]
enum Permissions<'a> {
    /// Version 1: a list.
    List(Strings<'a>),
    /// Version 2: features, permissions and masks.
    Masks([Option<Cow<'a, str>>; 3]),
}

// Inlined, these functions would read members before the check that there is an organization: harmless, but valgrind reports it.
impl Organization<'_> {
    /// Returns the slug.
    #[inline(never)]
    pub fn slug(&self) -> Option<&str> {
        self.slug.as_deref()
    }

    /// Appends the user's role with the prefix `org:`. Returns whether there is one.
    #[inline(never)]
    pub fn push_role(&self, memory: &mut String) -> bool {
        let Some(role) = &self.role else { return false };
        if let Permissions::Masks(_) = self.permissions {
            memory.push_str("org:");
        }
        memory.push_str(role);
        true
    }

    /// Appends the user's permissions, `org:<feature>:<permission>`, separated by commas. Tokens never contain system permissions.
    #[inline(never)]
    pub fn push_permissions(&self, memory: &mut String) {
        match &self.permissions {
            Permissions::List(permissions) => push_joined(memory, permissions, ','),
            Permissions::Masks(lists) => {
                let [features, permissions, masks] = lists.each_ref().map(|list| list.as_deref().unwrap_or_default());
                permissions::push(memory, features, permissions, masks);
            }
        }
    }
}

/// Appends strings with a separator between them.
pub fn push_joined(memory: &mut String, values: &[impl AsRef<str>], separator: char) {
    for (i, value) in values.iter().enumerate() {
        if i > 0 {
            memory.push(separator);
        }
        memory.push_str(value.as_ref());
    }
}

/// The claims of a token, each with its type checked but its value not validated; see `Policy`. Borrow the payload.
///
/// Fields have the names of RFC 7519 and of Clerk's session token claims. Only session tokens have a session, an organization,
/// an actor, features, plans and factor ages; only machine tokens have scopes; only OAuth tokens have a client.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "see above")]
pub struct Claims<'a> {
    /// The payload as it was signed: one JSON object.
    pub json: &'a str,
    pub sub: Claim<Cow<'a, str>>,
    pub sid: Claim<Cow<'a, str>>,
    pub iss: Claim<Cow<'a, str>>,
    pub azp: Claim<Cow<'a, str>>,
    pub jti: Claim<Cow<'a, str>>,
    pub aud: Claim<Strings<'a>>,
    pub exp: Claim<f64>,
    pub nbf: Claim<f64>,
    pub iat: Claim<f64>,
    pub sts: Claim<Cow<'a, str>>,
    pub fva: Claim<[i64; 2]>,
    /// `sub` of `act`: the user who impersonates the subject.
    pub actor: Option<Cow<'a, str>>,
    pub organization: Option<Organization<'a>>,
    /// `fea`, unchanged.
    pub features: Option<Cow<'a, str>>,
    /// `pla`, unchanged.
    pub plans: Option<Cow<'a, str>>,
    pub scopes: Strings<'a>,
    pub client_id: Option<Cow<'a, str>>,
}

/// The members of a payload, whatever the class of the token.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    claims: Claims<'a>,
    version: Claim<f64>,
    o: Claim<OrgV2<'a>>,
    act: Claim<Act<'a>>,
    org_id: Claim<Cow<'a, str>>,
    org_slug: Claim<Cow<'a, str>>,
    org_role: Claim<Cow<'a, str>>,
    // Lists are read once the signature is verified: they take many times their length.
    aud: UnreadStrings<'a>,
    org_permissions: UnreadStrings<'a>,
    scp: UnreadStrings<'a>,
    scope: Claim<Cow<'a, str>>,
    m2m_scopes: UnreadStrings<'a>,
}

#[derive(Debug, Default)]
struct OrgV2<'a> {
    id: Claim<Cow<'a, str>>,
    slug: Claim<Cow<'a, str>>,
    role: Claim<Cow<'a, str>>,
    permissions: Claim<Cow<'a, str>>,
    masks: Claim<Cow<'a, str>>,
}

#[derive(Debug, Default)]
struct Act<'a> {
    sub: Claim<Cow<'a, str>>,
}

impl<'de> ObjectVisitor<'de> for OrgV2<'de> {
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

impl<'de> ObjectVisitor<'de> for Act<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name == "sub" {
            self.sub = map.next_value::<Json<'de>>()?.string();
        }
        Ok(name == "sub")
    }
}

impl<'de> ObjectVisitor<'de> for Members<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let claims = &mut self.claims;
        let mut value = || map.next_value::<Json<'de>>();
        match name {
            "sub" => claims.sub = value()?.string(),
            "sid" => claims.sid = value()?.string(),
            "iss" => claims.iss = value()?.string(),
            "azp" => claims.azp = value()?.string(),
            "jti" => claims.jti = value()?.string(),
            "aud" => self.aud = map.next_value()?,
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
            "org_permissions" => self.org_permissions = map.next_value()?,
            "scp" => self.scp = map.next_value()?,
            "scope" => self.scope = value()?.string(),
            "scopes" => self.m2m_scopes = map.next_value()?,
            "o" => self.o = map.next_value::<Nested<OrgV2<'de>>>()?.0,
            "act" => self.act = map.next_value::<Nested<Act<'de>>>()?.0,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn non_empty<'a>(claim: &Claim<Cow<'a, str>>) -> Option<Cow<'a, str>> {
    claim.get().filter(|value| !value.is_empty()).cloned()
}

impl<'a> Members<'a> {
    /// Parses a payload into empty members. Returns false if it is not exactly one JSON object, holds a duplicate member at any
    /// depth, nests too deep or is not UTF-8.
    pub fn parse(&mut self, payload: &'a [u8]) -> bool {
        let Ok(json) = std::str::from_utf8(payload) else { return false };
        self.claims.json = json;
        json::object_into(self, json)
    }

    /// Returns whether `sub` is the id of a machine.
    pub fn has_machine_subject(&self) -> bool {
        self.claims.sub.as_deref().is_some_and(|sub| sub.starts_with("mch_"))
    }

    /// Returns `iat` in seconds since 1970.
    pub fn issued_at_s(&self) -> Option<i64> {
        self.claims.issued_at_s()
    }

    /// `v: 2` selects the layout with `o`; any other version is read as layout 1, like Clerk's SDK.
    fn organization(&self) -> Option<Organization<'a>> {
        if self.version == Claim::Present(2.0) {
            let o = self.o.get()?;
            let lists = [self.claims.features.clone(), o.permissions.get().cloned(), o.masks.get().cloned()];
            return Some(Organization {
                id: non_empty(&o.id)?,
                slug: non_empty(&o.slug),
                role: non_empty(&o.role),
                permissions: Permissions::Masks(lists),
            });
        }
        Some(Organization {
            id: non_empty(&self.org_id)?,
            slug: non_empty(&self.org_slug),
            role: non_empty(&self.org_role),
            permissions: Permissions::List(self.org_permissions.read().into_option().unwrap_or_default()),
        })
    }

    /// OAuth: `scp`, else `scope` (RFC 9068 §2.2.3). M2M: `scopes`, else `aud`. A claim of the wrong type grants nothing.
    fn scopes(&self, kind: TokenKind) -> Strings<'a> {
        let split = |list: &str| -> Vec<_> {
            list.split(' ').filter(|scope| !scope.is_empty()).map(|scope| Cow::Owned(scope.to_owned())).collect()
        };
        let (first, second) = match kind {
            TokenKind::OauthToken => (self.scp.read(), self.scope.get().map(|scope| split(scope))),
            TokenKind::M2mToken => (self.m2m_scopes.read(), self.claims.aud.get().cloned()),
            TokenKind::SessionToken | TokenKind::ApiKey => return Vec::new(),
        };
        match first {
            Claim::Present(scopes) => scopes.iter().flat_map(|list| split(list)).collect(),
            Claim::Invalid => Vec::new(),
            Claim::Absent => second.unwrap_or_default(),
        }
    }

    /// Returns the claims of a token of this class: those that only other classes have become absent.
    pub fn claims(&mut self, kind: TokenKind) -> &mut Claims<'a> {
        self.claims.aud = self.aud.read();
        let scopes = self.scopes(kind);
        let organization = self.organization().filter(|_| kind == TokenKind::SessionToken);
        let claims = &mut self.claims;
        (claims.scopes, claims.organization) = (scopes, organization);
        if kind == TokenKind::SessionToken {
            claims.actor = self.act.get().and_then(|act| act.sub.get()).cloned();
        } else {
            (claims.sid, claims.sts, claims.fva) = (Claim::Absent, Claim::Absent, Claim::Absent);
            (claims.features, claims.plans) = (None, None);
        }
        if kind != TokenKind::OauthToken {
            claims.client_id = None;
        }
        claims
    }
}

impl<'a> Claims<'a> {
    /// Parses the decoded payload of a token of this class. Returns `None` if it is malformed.
    pub fn parse(kind: TokenKind, payload: &'a [u8]) -> Option<Self> {
        let mut members = Members::default();
        members.parse(payload).then(|| std::mem::take(members.claims(kind)))
    }

    /// Returns `iat` in seconds since 1970.
    pub fn issued_at_s(&self) -> Option<i64> {
        Claims::millis(&self.iat).get().map(|ms| ms / 1000)
    }

    /// Converts a time claim (NumericDate) to milliseconds. Drops fractions of a second, like Clerk's SDK; never overflows.
    pub fn millis(claim: &Claim<f64>) -> Claim<i64> {
        match claim {
            Claim::Present(seconds) if seconds.is_finite() && seconds.abs() <= MAX_EXACT_INTEGER => {
                Claim::Present((*seconds as i64).saturating_mul(1000))
            }
            Claim::Absent => Claim::Absent,
            _ => Claim::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(json: &str) -> Claims<'_> {
        Claims::parse(TokenKind::SessionToken, json.as_bytes()).unwrap()
    }

    #[test]
    fn organization_is_read_from_both_layouts() {
        for json in [
            r#"{"org_id":"org_1","org_slug":"acme","org_role":"org:admin","org_permissions":["org:a:b","org:a:c"]}"#,
            r#"{"v":2,"fea":"o:a","o":{"id":"org_1","slg":"acme","rol":"admin","per":"b,c","fpm":"3"}}"#,
        ] {
            let organization = claims(json).organization.unwrap();
            let (mut role, mut permissions) = (String::new(), String::new());
            assert!(organization.push_role(&mut role));
            organization.push_permissions(&mut permissions);
            assert_eq!((&*organization.id, organization.slug.as_deref()), ("org_1", Some("acme")));
            assert_eq!((role.as_str(), permissions.as_str()), ("org:admin", "org:a:b,org:a:c"));
        }
        for none in [r#"{"v":2,"org_id":"org_1"}"#, r#"{"v":2,"o":null}"#, r#"{"o":{"id":"org_1"}}"#, r#"{"org_id":5}"#]
        {
            assert!(claims(none).organization.is_none(), "{none}");
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
        let scopes = |kind, json: &'static str| Claims::parse(kind, json.as_bytes()).unwrap().scopes;
        let all = r#"{"scp":["a","b"],"scope":"c","scopes":"mch_1 mch_2","aud":["mch_3"]}"#;
        assert_eq!(scopes(TokenKind::OauthToken, all), ["a", "b"]);
        assert_eq!(scopes(TokenKind::OauthToken, r#"{"scope":"a  b","aud":["c"]}"#), ["a", "b"]);
        assert_eq!(scopes(TokenKind::M2mToken, all), ["mch_1", "mch_2"]);
        assert_eq!(scopes(TokenKind::M2mToken, r#"{"aud":["mch_1"]}"#), ["mch_1"]);
        assert!(scopes(TokenKind::SessionToken, all).is_empty());
    }
}
