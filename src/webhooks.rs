//! Svix webhooks: verification of a delivery, and its event.
//!
//! The signed content is `<id>.<timestamp>.<raw body>`; the header contains a list of `v1,<base64 of HMAC-SHA256>`. Nothing is
//! parsed before the signature is verified.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use smallvec::SmallVec;

use crate::api::ClerkUser;
use crate::config::{ConfigError, Secret};
use crate::json::{self, Object};

/// The maximum length of a body.
pub const MAX_BODY: usize = 1 << 20;
/// The maximum difference between a delivery's timestamp and now.
pub const TOLERANCE_S: i64 = 300;
const MAX_SIGNATURES: usize = 16;
/// The length of an HMAC-SHA256.
const TAG_LEN: usize = 32;

/// Why a webhook delivery is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebhookError {
    /// A header is missing, empty or duplicated, or the body is too long.
    Malformed,
    /// The timestamp is not a number or too far from now.
    TimestampOutOfTolerance,
    /// No signature is valid under any signing key.
    InvalidSignature,
    /// The signed body is not a valid event.
    InvalidPayload,
}

impl fmt::Display for WebhookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WebhookError::Malformed => "a signature header is missing or duplicated, or the body is larger than 1 MiB",
            WebhookError::TimestampOutOfTolerance => "the timestamp is more than five minutes from now",
            WebhookError::InvalidSignature => "the signature does not match any of webhook_secrets",
            WebhookError::InvalidPayload => "the body is not an event of Clerk",
        })
    }
}

impl std::error::Error for WebhookError {}

/// Decoded signing keys.
pub struct SigningKeys(Vec<hmac::Key>);

impl SigningKeys {
    /// Decodes `whsec_…` secrets.
    pub fn parse(secrets: &[Secret]) -> Result<Self, ConfigError> {
        let invalid_secret =
            || ConfigError::new("webhook_secrets", "not a signing secret; copy `whsec_…` from the webhook's page");
        let keys = secrets.iter().map(|secret| {
            let secret = secret.expose();
            let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).map_err(|_| invalid_secret())?;
            if key.is_empty() { Err(invalid_secret()) } else { Ok(hmac::Key::new(hmac::HMAC_SHA256, &key)) }
        });
        Ok(SigningKeys(keys.collect::<Result<_, _>>()?))
    }
}

/// The signature headers of a delivery: a set of three, `svix-…` or `webhook-…`.
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
    /// Creates a set without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one header line; others are ignored. To be called once per line.
    pub fn header(&mut self, name: &[u8], value: &'a [u8]) -> &mut Self {
        let slots: [(&[u8], _); 6] = [
            (b"svix-id", &mut self.svix.id),
            (b"svix-timestamp", &mut self.svix.timestamp),
            (b"svix-signature", &mut self.svix.signature),
            (b"webhook-id", &mut self.plain.id),
            (b"webhook-timestamp", &mut self.plain.timestamp),
            (b"webhook-signature", &mut self.plain.signature),
        ];
        let slot = slots.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        let Some((_, slot)) = slot else { return self };
        self.has_duplicates |= slot.replace(value).is_some();
        self
    }
}

/// A verified delivery.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// Its id, the same for each redelivery.
    pub id: &'a str,
    body: &'a [u8],
}

/// Verifies a delivery.
pub fn verify<'a>(
    secrets: &SigningKeys,
    headers: &Headers<'a>,
    body: &'a [u8],
    now_s: i64,
) -> Result<Delivery<'a>, WebhookError> {
    let header_set = if headers.svix.id.is_some() { &headers.svix } else { &headers.plain };
    let (Some(id), Some(timestamp), Some(signatures), false) =
        (header_set.id, header_set.timestamp, header_set.signature, headers.has_duplicates || body.len() > MAX_BODY)
    else {
        return Err(WebhookError::Malformed);
    };
    let id = std::str::from_utf8(id).ok().filter(|id| is_valid_id(id)).ok_or(WebhookError::Malformed)?;
    let digits = std::str::from_utf8(timestamp).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
    let sent_s: i64 = digits.and_then(|t| t.parse().ok()).ok_or(WebhookError::TimestampOutOfTolerance)?;
    if now_s.abs_diff(sent_s) > TOLERANCE_S.unsigned_abs() {
        return Err(WebhookError::TimestampOutOfTolerance);
    }
    // The HMAC is computed once for each key, and not at all without a signature that has its length.
    let tags: SmallVec<[[u8; TAG_LEN]; MAX_SIGNATURES]> =
        signatures.split(|b| *b == b' ').take(MAX_SIGNATURES).filter_map(parse_signature).collect();
    let is_valid = !tags.is_empty()
        && secrets.0.iter().any(|key| {
            let mut context = hmac::Context::with_key(key);
            [id.as_bytes(), b".", timestamp, b".", body].into_iter().for_each(|part| context.update(part));
            let expected = context.sign();
            // In constant time and over all bytes (CVE-2025-53548 was an omitted check).
            tags.iter().any(|tag| verify_slices_are_equal(expected.as_ref(), tag).is_ok())
        });
    if is_valid { Ok(Delivery { id, body }) } else { Err(WebhookError::InvalidSignature) }
}

/// Decodes `v1,<base64>`.
fn parse_signature(signature: &[u8]) -> Option<[u8; TAG_LEN]> {
    const ENCODED_LEN: usize = TAG_LEN.div_ceil(3) * 4;
    let tag = signature.strip_prefix(b"v1,").filter(|tag| tag.len() == ENCODED_LEN)?;
    STANDARD.decode(tag).ok()?.try_into().ok()
}

fn is_valid_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic())
}

/// The event of a delivery.
#[derive(Debug)]
pub struct Event {
    /// The Clerk instance, `ins_…`.
    pub instance_id: Option<String>,
    /// What happened.
    pub event: WebhookEvent,
}

/// What happened at Clerk.
#[derive(Debug, PartialEq)]
pub enum WebhookEvent {
    /// A user was created or changed; contains the user's new state.
    User(Box<ClerkUser>),
    /// A user was deleted.
    UserDeleted(String),
    /// A session has ended.
    SessionEnded(String),
    /// A session has pending tasks.
    SessionPending(String),
    /// A user's membership in an organization changed.
    Membership {
        /// The user.
        user_id: String,
    },
    /// An organization was deleted, or its members changed.
    OrganizationChanged(String),
    /// Roles or permissions changed.
    RolesChanged,
    /// Another event, without effect.
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
    public_user_data: Option<Object<RawMember>>,
    organization: Option<Object<RawObject>>,
}

#[derive(Deserialize)]
struct RawMember {
    user_id: String,
}

impl Delivery<'_> {
    /// Parses the event.
    pub fn event(&self) -> Result<Event, WebhookError> {
        let raw: RawEvent<'_> = json::derived(self.body).ok_or(WebhookError::InvalidPayload)?;
        let data = raw.data.get();
        let id =
            || json::derived::<RawObject>(data.as_bytes()).map(|object| object.id).ok_or(WebhookError::InvalidPayload);
        let event = match raw.kind.as_str() {
            "user.created" | "user.updated" => {
                WebhookEvent::User(Box::new(ClerkUser::parse(data.as_bytes()).ok_or(WebhookError::InvalidPayload)?))
            }
            "user.deleted" => WebhookEvent::UserDeleted(id()?),
            "session.revoked" | "session.ended" | "session.removed" => WebhookEvent::SessionEnded(id()?),
            "session.pending" => WebhookEvent::SessionPending(id()?),
            "organizationMembership.updated" | "organizationMembership.deleted" => {
                let membership: RawMembership = json::derived(data.as_bytes()).ok_or(WebhookError::InvalidPayload)?;
                match (membership.public_user_data, membership.organization) {
                    (Some(Object(member)), _) => WebhookEvent::Membership { user_id: member.user_id },
                    // Of an unknown member.
                    (None, Some(Object(organization))) => WebhookEvent::OrganizationChanged(organization.id),
                    (None, None) => return Err(WebhookError::InvalidPayload),
                }
            }
            "organization.deleted" => WebhookEvent::OrganizationChanged(id()?),
            kind if kind.starts_with("role.") || kind.starts_with("permission.") => WebhookEvent::RolesChanged,
            _ => WebhookEvent::Other,
        };
        Ok(Event { instance_id: raw.instance_id, event })
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
        for (name, value) in lines {
            headers.header(name.as_bytes(), value.as_bytes());
        }
        verify(&secrets, &headers, body, now_s).map(drop)
    }

    #[test]
    fn svix_test_vector_is_accepted_and_variants_are_not() {
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
    fn forged_delivery_costs_one_hmac_per_key() {
        let (body, short) = (vec![b'x'; MAX_BODY], vec![b'x'; MAX_BODY / 16]);
        let cost = |signature: &str, body: &[u8]| {
            let mut lines = GOOD;
            lines[2].1 = signature;
            let once = |_| {
                let begun = std::time::Instant::now();
                assert_eq!(check(&lines, body, NOW), Err(WebhookError::InvalidSignature));
                begun.elapsed()
            };
            // The least of several: the machine may be busy.
            (0..8).map(once).min()
        };
        let one = GOOD[2].1;
        let sixteen = [one; MAX_SIGNATURES].join(" ");
        assert!(cost(&sixteen, &body) < cost(one, &body).map(|cost| cost * 4));
        let wrong_lengths = ["v1,AAAA v1, v1,tZ1I4 v2,x"; 4].join(" ");
        assert!(cost(&wrong_lengths, &body) < cost(one, &short), "no HMAC at all");
        let seventeenth = format!("{} {one}", ["v1,x"; MAX_SIGNATURES].join(" "));
        let mut lines = GOOD;
        lines[2].1 = &seventeenth;
        assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::InvalidSignature));
    }

    #[test]
    fn id_that_is_no_short_printable_string_is_rejected() {
        for id in ["", "msg 1", "msg_\t", "msg_\u{e9}", &"m".repeat(257)] {
            let mut lines = GOOD;
            lines[0].1 = id;
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::Malformed), "{id}");
        }
        let (longest, mut lines) = ("m".repeat(256), GOOD);
        lines[0].1 = &longest;
        assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::InvalidSignature));
    }

    #[test]
    fn each_header_is_required_once_and_of_one_set() {
        for line in GOOD {
            let lines: Vec<_> = GOOD.into_iter().filter(|other| *other != line).collect();
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::Malformed));
            let doubled: Vec<_> = GOOD.into_iter().chain([line]).collect();
            assert_eq!(check(&doubled, BODY, NOW), Err(WebhookError::Malformed));
        }
        let mixed = [GOOD[0], GOOD[1], ("webhook-signature", GOOD[2].1)];
        assert_eq!(check(&mixed, BODY, NOW), Err(WebhookError::Malformed));
        assert_eq!(check(&GOOD, &vec![b'x'; MAX_BODY + 1], NOW), Err(WebhookError::Malformed));
    }

    #[test]
    fn timestamp_tolerance_is_5_minutes() {
        for (now, right) in [
            (NOW + 300, Ok(())),
            (NOW - 300, Ok(())),
            (NOW + 301, Err(WebhookError::TimestampOutOfTolerance)),
            (NOW - 301, Err(WebhookError::TimestampOutOfTolerance)),
        ] {
            assert_eq!(check(&GOOD, BODY, now), right);
        }
        for invalid in ["-1649367553", "+1649367553", "1649367553.0", "", " 1649367553", "99999999999999999999"] {
            let mut lines = GOOD;
            lines[1].1 = invalid;
            assert_eq!(check(&lines, BODY, NOW), Err(WebhookError::TimestampOutOfTolerance), "{invalid}");
        }
    }

    #[test]
    fn invalid_signing_secret_is_a_config_error() {
        for invalid in ["whsec_", "whsec_*", "not base64!"] {
            assert_eq!(SigningKeys::parse(&[Secret::new(invalid)]).err().unwrap().setting, "webhook_secrets");
        }
    }

    #[test]
    fn event_is_parsed_by_its_type() {
        let event = |body: &str| Delivery { id: "x", body: body.as_bytes() }.event().map(|event| event.event);
        assert_eq!(
            event(r#"{"type":"user.deleted","data":{"id":"user_1","deleted":true}}"#),
            Ok(WebhookEvent::UserDeleted("user_1".into()))
        );
        assert_eq!(
            event(r#"{"type":"session.ended","data":{"id":"sess_1"}}"#),
            Ok(WebhookEvent::SessionEnded("sess_1".into()))
        );
        assert_eq!(event(r#"{"type":"role.updated","data":{}}"#), Ok(WebhookEvent::RolesChanged));
        assert_eq!(event(r#"{"type":"sms.created","data":{}}"#), Ok(WebhookEvent::Other));
        let user = event(r#"{"type":"user.updated","data":{"id":"user_1","banned":true}}"#);
        assert!(matches!(user, Ok(WebhookEvent::User(user)) if user.banned));
        let id = || "x_1".to_owned();
        for (kinds, data, right) in [
            (
                &["session.revoked", "session.ended", "session.removed"][..],
                r#"{"id":"x_1"}"#,
                WebhookEvent::SessionEnded(id()),
            ),
            (&["session.pending"], r#"{"id":"x_1"}"#, WebhookEvent::SessionPending(id())),
            (&["organization.deleted"], r#"{"id":"x_1"}"#, WebhookEvent::OrganizationChanged(id())),
            (
                &["organizationMembership.updated", "organizationMembership.deleted"],
                r#"{"public_user_data":{"user_id":"x_1"},"organization":{"id":"org_1"}}"#,
                WebhookEvent::Membership { user_id: id() },
            ),
            (
                &["organizationMembership.updated", "organizationMembership.deleted"],
                r#"{"organization":{"id":"x_1"}}"#,
                WebhookEvent::OrganizationChanged(id()),
            ),
            (&["role.created", "role.deleted", "permission.updated"], "{}", WebhookEvent::RolesChanged),
            (
                &["session.created", "organization.updated", "rolex", "permissions.x", "email.created"],
                "{}",
                WebhookEvent::Other,
            ),
        ] {
            for kind in kinds {
                assert_eq!(event(&format!(r#"{{"type":"{kind}","data":{data}}}"#)).as_ref(), Ok(&right), "{kind}");
            }
        }
        for kind in ["user.created", "user.updated"] {
            let user = event(&format!(r#"{{"type":"{kind}","data":{{"id":"user_1"}}}}"#));
            assert!(matches!(user, Ok(WebhookEvent::User(user)) if user.id == "user_1"), "{kind}");
        }
        for invalid in [
            "",
            "[]",
            r#"{"type":"user.updated"}"#,
            r#"{"type":"user.deleted","data":{}}"#,
            r#"{"data":{}}"#,
            r#"["user.deleted",null,{"id":"user_1"}]"#,
            r#"{"type":"user.deleted","data":["user_1"]}"#,
            r#"{"type":"session.ended","data":["sess_1"]}"#,
            r#"{"type":"session.pending","data":{"id":1}}"#,
            r#"{"type":"organization.deleted","data":{}}"#,
            r#"{"type":"organizationMembership.deleted","data":{}}"#,
            r#"{"type":"user.updated","data":["user_1"]}"#,
            r#"{"type":"organizationMembership.updated","data":[["user_1"],null]}"#,
            r#"{"type":"organizationMembership.updated","data":{"public_user_data":["user_1"]}}"#,
        ] {
            assert_eq!(event(invalid), Err(WebhookError::InvalidPayload), "{invalid}");
        }
    }
}
