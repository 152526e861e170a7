//! The authenticated caller: an immutable snapshot of token, user and row.

use std::fmt;
use std::sync::Arc;

use crate::api::{ClerkUser, MachineToken};
use crate::jwt::{Authorization, AuthorizationParams, Claims, Organization, push_joined};
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

/// A set of attributes: the bit of each is its number.
type Attributes = u32;

const fn set_of(attributes: &[Attribute]) -> Attributes {
    let (mut set, mut i) = (0, 0);
    while i < attributes.len() {
        set |= 1 << attributes[i] as u32;
        i += 1;
    }
    set
}

/// The attributes that many tokens have in common: those of the instance, the organization and the role.
const SHARED: Attributes = {
    use Attribute::*;
    set_of(&[
        SessionStatus,
        Issuer,
        AuthorizedParty,
        OrgId,
        OrgSlug,
        OrgRole,
        OrgPermissions,
        Features,
        Plans,
        ClientId,
        Scopes,
    ])
};

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
#[derive(Clone)]
pub struct Identity {
    strings: Strings,
    expires_at_ms: i64,
    /// `NONE` if it is not known.
    issued_at_s: i64,
    /// The first is `NONE` if they are not known.
    factor_ages: [i64; 2],
    kind: TokenKind,
}

const NONE: i64 = i64::MIN;

/// All attributes. Each is followed by a NUL, so that C can read it in place; none contains one.
#[derive(Clone)]
struct Strings {
    /// The attributes of the token alone, then those of [`SHARED`] unless `shared` has them; each group in its order.
    memory: String,
    shared: Option<Arc<SharedStrings>>,
    /// The length of the first group.
    own_len: u32,
    present: Attributes,
}

/// What many tokens have in common: the attributes of [`SHARED`], and the key that verified them. Stored once for all of them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SharedStrings {
    pub strings: Box<str>,
    /// `None` for opaque tokens.
    pub key_id: Option<[u8; 32]>,
}

impl Strings {
    /// `write` appends the value of an attribute and returns whether there is one. `may_have_nul`: whether a value may contain a NUL.
    fn new(capacity: usize, may_have_nul: bool, mut write: impl FnMut(Attribute, &mut String) -> bool) -> Self {
        let (mut memory, mut own_len, mut present) = (String::with_capacity(capacity), 0, 0);
        for group in [!SHARED, SHARED] {
            own_len = memory.len() as u32;
            for attribute in Attribute::ALL.iter().copied().filter(|a| group & set_of(&[*a]) != 0) {
                let start = memory.len();
                let is_present = write(attribute, &mut memory);
                // A NUL inside would end the string early for C.
                if is_present && !(may_have_nul && memchr::memchr(0, &memory.as_bytes()[start..]).is_some()) {
                    memory.push('\0');
                    present |= set_of(&[attribute]);
                } else {
                    memory.truncate(start);
                }
            }
        }
        Strings { memory, shared: None, own_len, present }
    }

    fn groups(&self) -> (&str, &str) {
        let (own, rest) = self.memory.split_at_checked(self.own_len as usize).unwrap_or_default();
        (own, self.shared.as_ref().map_or(rest, |shared| &*shared.strings))
    }

    fn has(&self, attribute: Attribute) -> bool {
        self.present & set_of(&[attribute]) != 0
    }

    fn get(&self, attribute: Attribute) -> Option<&str> {
        if !self.has(attribute) {
            return None;
        }
        let bit = set_of(&[attribute]);
        let (own, shared) = self.groups();
        let (group, mut strings) = if SHARED & bit == 0 { (!SHARED, own) } else { (SHARED, shared) };
        let end = |strings: &str| memchr::memchr(0, strings.as_bytes());
        for _ in 0..(self.present & group & (bit - 1)).count_ones() {
            strings = strings.get(end(strings)? + 1..)?;
        }
        strings.get(..end(strings)?)
    }
}

fn push(memory: &mut String, value: Option<&str>) -> bool {
    value.inspect(|value| memory.push_str(value)).is_some()
}

/// Returns an attribute that comes from the user.
fn of_user(user: &ClerkUser, attribute: Attribute) -> Option<&str> {
    match attribute {
        Attribute::Email => user.verified_primary_email(),
        Attribute::Username => user.username.as_deref(),
        Attribute::FirstName => user.first_name.as_deref(),
        Attribute::LastName => user.last_name.as_deref(),
        Attribute::ImageUrl => user.image_url.as_deref(),
        Attribute::ExternalId => user.external_id.as_deref(),
        _ => None,
    }
}

fn is_of_user(attribute: Attribute) -> bool {
    use Attribute::{Email, ExternalId, FirstName, ImageUrl, LastName, Username};
    matches!(attribute, Email | Username | FirstName | LastName | ImageUrl | ExternalId)
}

impl Identity {
    /// Makes the identity of a verified JWT, without user and row.
    pub(crate) fn of_claims(kind: TokenKind, claims: &Claims<'_>) -> Self {
        let organization = claims.organization.as_ref();
        let is_machine = kind != TokenKind::SessionToken;
        // JSON has no NUL but as an escape.
        let may_have_nul = memchr::memchr(b'\\', claims.json.as_bytes()).is_some();
        let strings = Strings::new(claims.json.len() + 384, may_have_nul, |attribute, memory| {
            let value = match attribute {
                Attribute::Subject => claims.sub.as_deref(),
                Attribute::SessionId => claims.sid.as_deref(),
                Attribute::SessionStatus => claims.sts.as_deref(),
                Attribute::Issuer => claims.iss.as_deref(),
                Attribute::AuthorizedParty => claims.azp.as_deref(),
                Attribute::OrgId => organization.map(|organization| &*organization.id),
                Attribute::OrgSlug => organization.and_then(Organization::slug),
                Attribute::OrgRole => {
                    return organization.is_some_and(|organization| organization.push_role(memory));
                }
                Attribute::OrgPermissions => {
                    return organization.inspect(|organization| organization.push_permissions(memory)).is_some();
                }
                Attribute::Features => claims.features.as_deref(),
                Attribute::Plans => claims.plans.as_deref(),
                Attribute::Actor => claims.actor.as_deref(),
                Attribute::TokenId if is_machine => claims.jti.as_deref(),
                Attribute::ClientId if is_machine => claims.client_id.as_deref(),
                Attribute::Scopes if is_machine => {
                    push_joined(memory, &claims.scopes, ' ');
                    return true;
                }
                Attribute::Claims => Some(claims.json),
                _ => None,
            };
            push(memory, value)
        });
        let millis = |claim| Claims::millis(claim).get().copied();
        Identity {
            strings,
            expires_at_ms: millis(&claims.exp).unwrap_or_default(),
            issued_at_s: claims.issued_at_s().map_or(NONE, |seconds| seconds.max(NONE + 1)),
            factor_ages: claims.fva.get().map_or([NONE; 2], |[first, second]| [*first.max(&(NONE + 1)), *second]),
            kind,
        }
    }

    /// Makes the identity of an opaque token that Clerk has verified, without user and row.
    pub(crate) fn of_machine_token(kind: TokenKind, token: &MachineToken) -> Self {
        let strings = Strings::new(256, true, |attribute, memory| {
            let value = match attribute {
                Attribute::Subject => Some(&*token.subject),
                Attribute::OrgId => Some(&*token.subject).filter(|subject| subject.starts_with("org_")),
                Attribute::TokenId => Some(&*token.id),
                Attribute::ClientId => token.client_id.as_deref(),
                Attribute::Scopes => {
                    push_joined(memory, &token.scopes, ' ');
                    return true;
                }
                Attribute::TokenName => token.name.as_deref(),
                Attribute::Claims => token.claims.as_deref(),
                _ => None,
            };
            push(memory, value)
        });
        let expires_at_ms = token.expires_at_ms.unwrap_or(0);
        Identity { strings, expires_at_ms, issued_at_s: NONE, factor_ages: [NONE; 2], kind }
    }

    /// Returns the identity of the same token with this user and row, whatever user and row it has now; `None` if it has neither
    /// and gets none.
    pub(crate) fn with_user(&self, user: Option<&ClerkUser>, row: Option<&Row>) -> Option<Self> {
        let is_replaced = |attribute| attribute == Attribute::UserKey || is_of_user(attribute);
        let has_none = || Attribute::ALL.iter().all(|a| !is_replaced(*a) || !self.has_attribute(*a));
        if user.is_none() && row.is_none() && has_none() {
            return None;
        }
        let strings = Strings::new(self.size() + 256, true, |attribute, memory| {
            let value = match attribute {
                Attribute::UserKey => row.map(|row| &*row.key),
                attribute if is_of_user(attribute) => user.and_then(|user| of_user(user, attribute)),
                attribute => self.get(attribute),
            };
            push(memory, value)
        });
        let Identity { kind, expires_at_ms, issued_at_s, factor_ages, .. } = *self;
        Some(Identity { strings, expires_at_ms, issued_at_s, factor_ages, kind })
    }

    /// Returns the strings that many tokens have in common, each with a NUL.
    pub(crate) fn shared(&self) -> &str {
        self.strings.groups().1
    }

    /// Returns a copy that refers to `shared`, which has the strings of [`Self::shared`], instead of containing them.
    pub(crate) fn sharing(&self, shared: Arc<SharedStrings>) -> Self {
        let memory = self.strings.groups().0.to_owned();
        let strings = Strings { memory, shared: Some(shared), ..self.strings };
        Identity { strings, ..*self }
    }

    /// Returns the strings that this identity shares with others; `None` if it contains all of its own.
    pub(crate) fn shares(&self) -> Option<&Arc<SharedStrings>> {
        self.strings.shared.as_ref()
    }

    /// Returns whether an attribute is present, without looking for it.
    pub(crate) fn has_attribute(&self, attribute: Attribute) -> bool {
        self.strings.has(attribute)
    }

    /// Returns an attribute, if it is present.
    pub fn get(&self, attribute: Attribute) -> Option<&str> {
        self.strings.get(attribute)
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
        Some(self.issued_at_s).filter(|seconds| *seconds != NONE)
    }

    /// Returns `fva`: minutes since each factor was verified, -1 for never.
    pub fn factor_ages(&self) -> Option<[i64; 2]> {
        Some(self.factor_ages).filter(|ages| ages[0] != NONE)
    }

    /// Returns whether a user's session passes all checks. Always false for machine tokens.
    pub fn has(&self, params: &AuthorizationParams<'_>) -> bool {
        let authorization = Authorization {
            role: self.get(Attribute::OrgRole),
            permissions: self.get(Attribute::OrgPermissions).unwrap_or_default(),
            features: self.get(Attribute::Features).unwrap_or_default(),
            plans: self.get(Attribute::Plans).unwrap_or_default(),
            factor_verification_age: self.factor_ages(),
        };
        self.kind == TokenKind::SessionToken && self.user_id().is_some() && authorization.has(params)
    }

    /// Returns the size in memory in bytes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.strings.groups().0.len() + self.shared().len()
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
        assert_eq!((Attribute::from_repr(-1), Attribute::from_repr(Attribute::ALL.len() as i32)), (None, None));
        let json = br#"{"sub":"user_1","sid":"a\u0000b","iss":"https://x","o":{"id":"org_1"},"v":2}"#;
        let claims = Claims::parse(TokenKind::SessionToken, json).unwrap();
        let identity = Identity::of_claims(TokenKind::SessionToken, &claims);
        assert_eq!((identity.user_id(), identity.get(Attribute::SessionId)), (Some("user_1"), None));
        assert_eq!(
            (identity.get(Attribute::Issuer), identity.get(Attribute::OrgPermissions)),
            (Some("https://x"), Some(""))
        );
        assert_eq!((identity.get(Attribute::UserKey), identity.get(Attribute::TokenName)), (None, None));
        assert_eq!(identity.shared(), "https://x\0org_1\0\0");
        let shared = Arc::new(SharedStrings { strings: identity.shared().into(), key_id: None });
        let sharing = identity.sharing(shared);
        assert_eq!(
            sharing.strings.memory.split_once('\0').unwrap(),
            ("user_1", &*format!("{}\0", String::from_utf8_lossy(json)))
        );
        for attribute in Attribute::ALL {
            assert_eq!(sharing.get(*attribute), identity.get(*attribute));
            let in_memory = identity.get(*attribute).map(|value| format!("{value}\0"));
            assert!(in_memory.is_none_or(|value| identity.strings.memory.contains(&value)));
        }
    }

    #[test]
    fn user_and_row_replace_those_of_the_identity() {
        let claims = Claims::parse(TokenKind::SessionToken, br#"{"sub":"user_1","sts":"active"}"#).unwrap();
        let identity = Identity::of_claims(TokenKind::SessionToken, &claims);
        let user = ClerkUser { id: "user_1".into(), first_name: Some("Ada".into()), ..ClerkUser::default() };
        let row = Row { key: "42".into(), ..Row::default() };
        let of = |identity: &Identity| {
            [Attribute::UserKey, Attribute::FirstName, Attribute::SessionStatus]
                .map(|a| identity.get(a).map(str::to_owned))
        };
        let [key, name, status] = ["42", "Ada", "active"].map(|value| Some(value.to_owned()));
        let with_user = identity.with_user(Some(&user), Some(&row)).unwrap();
        assert_eq!(of(&with_user), [key.clone(), name, status.clone()]);
        assert_eq!(of(&with_user.with_user(None, Some(&row)).unwrap()), [key, None, status.clone()]);
        assert_eq!(of(&with_user.with_user(None, None).unwrap()), [None, None, status]);
        assert!(identity.with_user(None, None).is_none());
    }
}
