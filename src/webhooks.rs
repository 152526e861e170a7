//! Webhooks as Svix signs them: is this delivery Clerk's, fresh, and what does it tell?
//!
//! Signed content is `<id>.<timestamp>.<raw body>`, HMAC-SHA256, base64, in a list of `v1,…`. Nothing is parsed before
//! the signature holds.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::ClerkUser;
use crate::config::{ConfigError, Secret};

/// The longest body that is looked at.
pub const LONGEST_BODY: usize = 1 << 20;
/// How far a delivery's time may be from now.
pub const TOLERANCE_S: i64 = 300;
const MOST_SIGNATURES: usize = 16;

/// Why a delivery is not Clerk's, or cannot be told to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookError {
    /// A header is missing, empty or there twice, or the body is too long.
    Malformed,
    /// The time is no number or too far from now.
    TimestampOutOfTolerance,
    /// No signature holds under any secret.
    InvalidSignature,
    /// What was signed is no event.
    InvalidPayload,
}

/// Signing keys, decoded.
pub struct SigningKeys(Vec<hmac::Key>);

impl SigningKeys {
    /// Decodes `whsec_…` texts.
    pub fn parse(texts: &[Secret]) -> Result<Self, ConfigError> {
        let wrong =
            || ConfigError::new("webhook_secrets", "not a signing secret; copy `whsec_…` from the webhook's page");
        let keys = texts.iter().map(|text| {
            let text = text.expose();
            let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)).map_err(|_| wrong())?;
            if key.is_empty() { Err(wrong()) } else { Ok(hmac::Key::new(hmac::HMAC_SHA256, &key)) }
        });
        Ok(SigningKeys(keys.collect::<Result<_, _>>()?))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The headers of a delivery that count: one family of three, `svix-…` or `webhook-…`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    svix: HeaderSet<'a>,
    plain: HeaderSet<'a>,
    has_duplicates: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct HeaderSet<'a> {
    id: Option<&'a [u8]>,
    timestamp: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// Takes note of one header line.
    pub fn header(&mut self, name: &[u8], value: &'a [u8]) {
        let name = name.to_ascii_lowercase();
        let slot = match &name[..] {
            b"svix-id" => &mut self.svix.id,
            b"svix-timestamp" => &mut self.svix.timestamp,
            b"svix-signature" => &mut self.svix.signature,
            b"webhook-id" => &mut self.plain.id,
            b"webhook-timestamp" => &mut self.plain.timestamp,
            b"webhook-signature" => &mut self.plain.signature,
            _ => return,
        };
        self.has_duplicates |= slot.replace(value).is_some();
    }
}

/// A delivery that Clerk made.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Its id: the same again when Svix delivers again.
    pub id: &'a str,
    body: &'a [u8],
}

/// Checks a delivery.
pub fn verify<'a>(
    secrets: &SigningKeys,
    headers: &Headers<'a>,
    body: &'a [u8],
    now_s: i64,
) -> Result<Delivery<'a>, WebhookError> {
    let family = if headers.svix.id.is_some() { &headers.svix } else { &headers.plain };
    let (Some(id), Some(timestamp), Some(signatures), false) =
        (family.id, family.timestamp, family.signature, headers.has_duplicates || body.len() > LONGEST_BODY)
    else {
        return Err(WebhookError::Malformed);
    };
    let id = std::str::from_utf8(id).ok().filter(|id| is_valid_id(id)).ok_or(WebhookError::Malformed)?;
    let digits = std::str::from_utf8(timestamp).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let sent_s: i64 = digits.and_then(|t| t.parse().ok()).ok_or(WebhookError::TimestampOutOfTolerance)?;
    if now_s.abs_diff(sent_s) > TOLERANCE_S.unsigned_abs() {
        return Err(WebhookError::TimestampOutOfTolerance);
    }
    let signed = [id.as_bytes(), b".", timestamp, b".", body].concat();
    let holds = signatures.split(|b| *b == b' ').take(MOST_SIGNATURES).any(|signature| {
        let tag = signature.strip_prefix(b"v1,").and_then(|tag| STANDARD.decode(tag).ok());
        // Constant in time, and all of the 32 bytes (CVE-2025-53548 was a check that was not made).
        tag.is_some_and(|tag| secrets.0.iter().any(|key| hmac::verify(key, &signed, &tag).is_ok()))
    });
    if holds { Ok(Delivery { id, body }) } else { Err(WebhookError::InvalidSignature) }
}

fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic())
}

/// What a delivery tells, as far as it matters here.
#[derive(Debug)]
pub struct Event {
    /// Clerk's instance, `ins_…`.
    pub instance_id: Option<String>,
    /// What happened.
    pub news: WebhookEvent,
}

/// What happened at Clerk.
#[derive(Debug, PartialEq)]
pub enum WebhookEvent {
    /// A user was made or changed; this is the user now.
    User(Box<ClerkUser>),
    /// A user is no more.
    UserDeleted(String),
    /// A session is over.
    SessionEnded(String),
    /// A session has tasks to do.
    SessionPending(String),
    /// A user's place in an organization changed.
    Membership {
        /// The user.
        user_id: String,
    },
    /// An organization is no more, or who is in it has changed.
    OrganizationChanged(String),
    /// What roles and permissions mean has changed.
    RolesChanged,
    /// Nothing that matters here.
    Other,
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct RawObject {
    id: String,
}

#[derive(Deserialize)]
struct RawMembership {
    public_user_data: Option<RawMember>,
    organization: Option<RawObject>,
}

#[derive(Deserialize)]
struct RawMember {
    user_id: String,
}

impl Delivery<'_> {
    /// Reads the event.
    pub fn event(&self) -> Result<Event, WebhookError> {
        let raw: RawEvent<'_> = serde_json::from_slice(self.body).map_err(|_| WebhookError::InvalidPayload)?;
        let data = raw.data.get();
        let id = || {
            serde_json::from_str::<RawObject>(data).map(|object| object.id).map_err(|_| WebhookError::InvalidPayload)
        };
        let news = match raw.kind.as_str() {
            "user.created" | "user.updated" => {
                WebhookEvent::User(Box::new(ClerkUser::parse(data.as_bytes()).ok_or(WebhookError::InvalidPayload)?))
            }
            "user.deleted" => WebhookEvent::UserDeleted(id()?),
            "session.revoked" | "session.ended" | "session.removed" => WebhookEvent::SessionEnded(id()?),
            "session.pending" => WebhookEvent::SessionPending(id()?),
            "organizationMembership.updated" | "organizationMembership.deleted" => {
                let membership: RawMembership = serde_json::from_str(data).map_err(|_| WebhookError::InvalidPayload)?;
                match (membership.public_user_data, membership.organization) {
                    (Some(member), _) => WebhookEvent::Membership { user_id: member.user_id },
                    // Somebody's in that organization.
                    (None, Some(organization)) => WebhookEvent::OrganizationChanged(organization.id),
                    (None, None) => return Err(WebhookError::InvalidPayload),
                }
            }
            "organization.deleted" => WebhookEvent::OrganizationChanged(id()?),
            kind if kind.starts_with("role.") || kind.starts_with("permission.") => WebhookEvent::RolesChanged,
            _ => WebhookEvent::Other,
        };
        Ok(Event { instance_id: raw.instance_id, news })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const NOW: i64 = 1_649_367_553;
    const GOOD: [(&str, &str); 3] = [
        ("svix-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
        ("svix-timestamp", "1649367553"),
        ("svix-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ];

    fn check(lines: &[(&str, &str)], body: &[u8], now_s: i64) -> Result<(), WebhookError> {
        let secrets = SigningKeys::parse(&[Secret::new("whsec_b3RoZXI="), Secret::new(SECRET)]).unwrap();
        let mut headers = Headers::default();
        lines.iter().for_each(|(name, value)| headers.header(name.as_bytes(), value.as_bytes()));
        verify(&secrets, &headers, body, now_s).map(drop)
    }

    #[test]
    fn w1_clerks_own_vector_holds_and_nothing_near_it() {
        assert_eq!(check(&GOOD, BODY, NOW), Ok(()));
        assert_eq!(
            check(
                &GOOD.map(|(n, v)| (n.strip_prefix("svix").map(|r| format!("webhook{r}")).unwrap().leak() as &str, v)),
                BODY,
                NOW
            ),
            Ok(())
        );
        assert_eq!(check(&GOOD, b"{}", NOW), Err(WebhookError::InvalidSignature));
        for (at, value) in [
            (0, "msg_other"),
            (2, "v1,AAAA"),
            (2, "v2,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
            (2, "v1,"),
            (2, ""),
        ] {
            let mut lines = GOOD;
            lines[at].1 = value;
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::InvalidSignature), "{value}");
        }
        let mut several = GOOD;
        several[2].1 = "v1a,x v1,AAAA v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw= v1,BBBB";
        assert_eq!(check(&several, BODY, NOW), Ok(()));
    }

    #[test]
    fn w1_each_header_once_and_of_one_family() {
        for line in GOOD {
            let lines: Vec<_> = GOOD.into_iter().filter(|other| *other != line).collect();
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::Malformed));
            let doubled: Vec<_> = GOOD.into_iter().chain([line]).collect();
            assert_eq!(check(&doubled, BODY, NOW), Err(WebhookError::Malformed));
        }
        let mixed = [GOOD[0], GOOD[1], ("webhook-signature", GOOD[2].1)];
        assert_eq!(check(&mixed, BODY, NOW), Err(WebhookError::Malformed));
        assert_eq!(check(&GOOD, &vec![b'x'; LONGEST_BODY + 1], NOW), Err(WebhookError::Malformed));
    }

    #[test]
    fn w2_times_within_five_minutes() {
        for (now, right) in [
            (NOW + 300, Ok(())),
            (NOW - 300, Ok(())),
            (NOW + 301, Err(WebhookError::TimestampOutOfTolerance)),
            (NOW - 301, Err(WebhookError::TimestampOutOfTolerance)),
        ] {
            assert_eq!(check(&GOOD, BODY, now), right);
        }
        for odd in ["-1649367553", "+1649367553", "1649367553.0", "", " 1649367553", "99999999999999999999"] {
            let mut lines = GOOD;
            lines[1].1 = odd;
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::TimestampOutOfTolerance), "{odd}");
        }
    }

    #[test]
    fn secrets_that_are_none_are_refused() {
        for odd in ["whsec_", "whsec_*", "not base64!"] {
            assert_eq!(SigningKeys::parse(&[Secret::new(odd)]).err().unwrap().setting, "webhook_secrets");
        }
    }

    #[test]
    fn events_are_told_by_their_types() {
        let news = |body: &str| Delivery { id: "x", body: body.as_bytes() }.event().map(|event| event.news);
        assert_eq!(
            news(r#"{"type":"user.deleted","data":{"id":"user_1","deleted":true}}"#),
            Ok(WebhookEvent::UserDeleted("user_1".into()))
        );
        assert_eq!(
            news(r#"{"type":"session.ended","data":{"id":"sess_1"}}"#),
            Ok(WebhookEvent::SessionEnded("sess_1".into()))
        );
        assert_eq!(news(r#"{"type":"role.updated","data":{}}"#), Ok(WebhookEvent::RolesChanged));
        assert_eq!(news(r#"{"type":"sms.created","data":{}}"#), Ok(WebhookEvent::Other));
        let user = news(r#"{"type":"user.updated","data":{"id":"user_1","banned":true}}"#);
        assert!(matches!(user, Ok(WebhookEvent::User(user)) if user.banned));
        for odd in ["", "[]", r#"{"type":"user.updated"}"#, r#"{"type":"user.deleted","data":{}}"#, r#"{"data":{}}"#] {
            assert_eq!(news(odd), Err(WebhookError::InvalidPayload), "{odd}");
        }
    }
}
