//! The authenticated caller: an immutable snapshot of token, user and row, in one allocation.

use std::fmt;

use crate::api::{ClerkUser, MachineToken};
use crate::jwt::{Authorization, AuthorizationParams, Claims};
use crate::token::TokenKind;
use crate::users::Row;

/// The attributes of an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::FromRepr, strum::VariantArray)]
#[non_exhaustive]
#[repr(i32)]
pub enum Attribute {
    /// `sub`: the Clerk user, or the machine.
    Subject = 0,
    /// The application's key of the user's row.
    UserKey = 1,
    /// `sid`
    SessionId = 2,
    /// `sts`
    SessionStatus = 3,
    /// `iss`
    Issuer = 4,
    /// `azp`
    AuthorizedParty = 5,
    /// The active organization's id.
    OrgId = 6,
    /// The active organization's slug.
    OrgSlug = 7,
    /// The role in the active organization, with the prefix `org:`.
    OrgRole = 8,
    /// The permissions in the active organization, separated by commas.
    OrgPermissions = 9,
    /// `fea`
    Features = 10,
    /// `pla`
    Plans = 11,
    /// `sub` of `act`: the impersonator.
    Actor = 12,
    /// Id of a machine token (`jti` of a JWT).
    TokenId = 13,
    /// The OAuth application.
    ClientId = 14,
    /// Scopes of a machine token, separated by spaces.
    Scopes = 15,
    /// The claims as JSON.
    Claims = 16,
    /// The user's primary e-mail address if Clerk has verified it, in `profile` and `sync` mode.
    Email = 17,
    /// The username.
    Username = 18,
    /// The first name.
    FirstName = 19,
    /// The last name.
    LastName = 20,
    /// The URL of the profile image.
    ImageUrl = 21,
    /// `external_id`: the application's id of the user, stored at Clerk.
    ExternalId = 22,
    /// The name of an API key.
    TokenName = 23,
}

impl Attribute {
    /// Every attribute.
    pub const ALL: &'static [Attribute] = <Attribute as strum::VariantArray>::VARIANTS;
}

const ATTRIBUTES: usize = Attribute::ALL.len();

#[derive(Clone, Copy, Default)]
struct Span {
    start: u32,
    /// One more than the length; 0 if absent.
    len1: u32,
}

/// The authenticated caller: the claims of the token, and in `profile` and `sync` mode the user's profile.
///
/// # Examples
///
/// ```
/// use clerk_auth::{Attribute, AuthorizationParams, Client, Reverification};
///
/// # let (jwt_key, token) = clerk_auth::internals::example();
/// # let client = Client::builder().jwt_key(jwt_key).build()?;
/// let result = client.verify_token(token);
/// let identity = result.identity().expect("a valid token");
/// assert_eq!(identity.user_id(), Some("user_ada"));
/// assert_eq!(identity.get(Attribute::OrgRole), Some("org:admin"));
/// assert_eq!(identity.get(Attribute::Email), None); // not a claim of the token
///
/// let has = |params| identity.has(&params);
/// assert!(has(AuthorizationParams { permission: Some("org:invoices:read"), ..Default::default() }));
/// assert!(has(AuthorizationParams { feature: Some("invoices"), ..Default::default() }));
/// assert!(has(AuthorizationParams { reverification: Reverification::preset("moderate"), ..Default::default() }));
/// assert!(!has(AuthorizationParams { role: Some("billing"), ..Default::default() }));
/// # Ok::<(), clerk_auth::Error>(())
/// ```
// Each attribute is followed by a NUL, so that C can read it in place.
#[derive(Clone)]
pub struct Identity {
    memory: Box<str>,
    spans: [Span; ATTRIBUTES],
    kind: TokenKind,
    expires_at_ms: i64,
    issued_at_s: Option<i64>,
    factor_ages: Option<[i64; 2]>,
}

struct Writer {
    memory: String,
    spans: [Span; ATTRIBUTES],
}

impl Writer {
    fn put(&mut self, attribute: Attribute, value: Option<&str>) {
        // A NUL inside would end the string early for C.
        if let Some(value) = value.filter(|v| !v.contains('\0')) {
            let start = self.memory.len() as u32;
            self.memory.push_str(value);
            self.memory.push('\0');
            self.spans[attribute as usize] = Span { start, len1: value.len() as u32 + 1 };
        }
    }

    fn put_user(&mut self, user: Option<&ClerkUser>) {
        let Some(user) = user else { return };
        self.put(Attribute::Email, user.verified_primary_email());
        self.put(Attribute::Username, user.username.as_deref());
        self.put(Attribute::FirstName, user.first_name.as_deref());
        self.put(Attribute::LastName, user.last_name.as_deref());
        self.put(Attribute::ImageUrl, user.image_url.as_deref());
        self.put(Attribute::ExternalId, user.external_id.as_deref());
    }
}

impl Identity {
    /// Makes the identity of a verified JWT, with the user and the row if there are any.
    pub(crate) fn of_claims(kind: TokenKind, claims: &Claims, user: Option<&ClerkUser>, row: Option<&Row>) -> Self {
        let mut w = Writer { memory: String::with_capacity(claims.json.len() + 384), spans: Default::default() };
        w.put(Attribute::Subject, claims.sub.as_deref());
        w.put(Attribute::UserKey, row.map(|row| row.key.as_str()));
        w.put(Attribute::SessionId, claims.sid.as_deref());
        w.put(Attribute::SessionStatus, claims.sts.as_deref());
        w.put(Attribute::Issuer, claims.iss.as_deref());
        w.put(Attribute::AuthorizedParty, claims.azp.as_deref());
        if let Some(org) = &claims.organization {
            w.put(Attribute::OrgId, Some(&org.id));
            w.put(Attribute::OrgSlug, org.slug.as_deref());
            w.put(Attribute::OrgRole, org.role.as_deref());
            w.put(Attribute::OrgPermissions, Some(&org.permissions.join(",")));
        }
        w.put(Attribute::Features, claims.features.as_deref());
        w.put(Attribute::Plans, claims.plans.as_deref());
        w.put(Attribute::Actor, claims.actor.as_deref());
        if kind != TokenKind::SessionToken {
            w.put(Attribute::TokenId, claims.jti.as_deref());
            w.put(Attribute::ClientId, claims.client_id.as_deref());
            w.put(Attribute::Scopes, Some(&claims.scopes.join(" ")));
        }
        w.put(Attribute::Claims, Some(&claims.json));
        w.put_user(user);
        let millis = |claim| Claims::millis(claim).get().copied();
        Identity {
            memory: w.memory.into(),
            spans: w.spans,
            kind,
            expires_at_ms: millis(&claims.exp).unwrap_or_default(),
            issued_at_s: millis(&claims.iat).map(|ms| ms / 1000),
            factor_ages: claims.fva.get().copied(),
        }
    }

    /// Makes the identity of an opaque token that Clerk has verified, with the user and the row if there are any.
    pub(crate) fn of_machine_token(
        kind: TokenKind,
        token: &MachineToken,
        user: Option<&ClerkUser>,
        row: Option<&Row>,
    ) -> Self {
        let mut w = Writer { memory: String::with_capacity(256), spans: Default::default() };
        w.put(Attribute::Subject, Some(&token.subject));
        w.put(Attribute::UserKey, row.map(|row| row.key.as_str()));
        w.put(Attribute::OrgId, Some(token.subject.as_str()).filter(|subject| subject.starts_with("org_")));
        w.put(Attribute::TokenId, Some(&token.id));
        w.put(Attribute::ClientId, token.client_id.as_deref());
        w.put(Attribute::Scopes, Some(&token.scopes.join(" ")));
        w.put(Attribute::TokenName, token.name.as_deref());
        w.put(Attribute::Claims, token.claims.as_deref());
        w.put_user(user);
        Identity {
            memory: w.memory.into(),
            spans: w.spans,
            kind,
            expires_at_ms: token.expires_at_ms.unwrap_or(0),
            issued_at_s: None,
            factor_ages: None,
        }
    }

    /// Returns Clerk's response about the opaque token of this identity.
    pub(crate) fn machine_token(&self) -> MachineToken {
        let string = |attribute| self.get(attribute).map(str::to_owned);
        let scopes = self.get(Attribute::Scopes).unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
        MachineToken {
            id: string(Attribute::TokenId).unwrap_or_default(),
            subject: self.subject().to_owned(),
            scopes: scopes.map(str::to_owned).collect(),
            client_id: string(Attribute::ClientId),
            name: string(Attribute::TokenName),
            claims: string(Attribute::Claims),
            expires_at_ms: Some(self.expires_at_ms).filter(|ms| *ms != 0),
        }
    }

    /// Returns an attribute, if it is present.
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        let Span { start, len1 } = self.spans[attribute as usize];
        let len = (len1 as usize).checked_sub(1)?;
        self.memory.get(start as usize..start as usize + len)
    }

    /// Returns the token's subject: the id of the Clerk user or the machine.
    pub fn subject(&self) -> &str {
        self.get(Attribute::Subject).unwrap_or_default()
    }

    /// Returns the id of the Clerk user, if the subject is a user.
    pub fn user_id(&self) -> Option<&str> {
        self.get(Attribute::Subject).filter(|subject| subject.starts_with("user_"))
    }

    /// Returns the id of the machine, if the subject is a machine.
    pub fn machine_id(&self) -> Option<&str> {
        self.get(Attribute::Subject).filter(|subject| subject.starts_with("mch_"))
    }

    /// Returns the token type.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Returns `exp` in milliseconds since 1970; 0 for an opaque token that does not expire.
    pub fn expires_at_ms(&self) -> i64 {
        self.expires_at_ms
    }

    /// Returns `iat` in seconds since 1970.
    pub fn issued_at_s(&self) -> Option<i64> {
        self.issued_at_s
    }

    /// Returns `fva`: minutes since each factor was verified, -1 for never.
    pub fn factor_ages(&self) -> Option<[i64; 2]> {
        self.factor_ages
    }

    /// Returns whether a user's session passes all checks. Always false for machine tokens.
    pub fn has(&self, params: &AuthorizationParams<'_>) -> bool {
        let authorization = Authorization {
            role: self.get(Attribute::OrgRole),
            permissions: self.get(Attribute::OrgPermissions).unwrap_or_default(),
            features: self.get(Attribute::Features).unwrap_or_default(),
            plans: self.get(Attribute::Plans).unwrap_or_default(),
            factor_verification_age: self.factor_ages,
        };
        self.kind == TokenKind::SessionToken && self.user_id().is_some() && authorization.has(params)
    }

    /// Returns the size in memory in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.memory.len()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({}, {})", self.kind.as_str(), self.subject())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_numbers_and_end_with_nul() {
        for (number, text) in Attribute::ALL.iter().copied().enumerate() {
            assert_eq!((text as usize, Attribute::from_repr(number as i32)), (number, Some(text)));
        }
        assert_eq!((Attribute::from_repr(-1), Attribute::from_repr(ATTRIBUTES as i32)), (None, None));
        let claims = Claims::parse(TokenKind::SessionToken, br#"{"sub":"user_1","sid":"a\u0000b"}"#.to_vec()).unwrap();
        let identity = Identity::of_claims(TokenKind::SessionToken, &claims, None, None);
        assert_eq!((identity.user_id(), identity.get(Attribute::SessionId)), (Some("user_1"), None));
        assert_eq!(&identity.memory[..7], "user_1\0");
    }
}
