//! The content of entries: strict JSON, with the id it is about and the time of its end. Pure.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::{ClerkUser, MachineToken, PrimaryEmail};
use crate::json;
use crate::revocation::TimedRevocation;

/// How far the clocks of two processes may differ.
const MAX_CLOCK_DIFFERENCE_MS: i64 = 300_000;

/// What every entry consists of.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Envelope<T> {
    id: String,
    sealed_at_ms: i64,
    expires_at_ms: i64,
    value: T,
}

/// Encodes an entry.
pub fn encode<T: Serialize>(id: &str, value: &T, now_ms: i64, ttl_ms: i64) -> Option<Vec<u8>> {
    let envelope =
        Envelope { id: id.to_owned(), sealed_at_ms: now_ms, expires_at_ms: now_ms.saturating_add(ttl_ms), value };
    serde_json::to_vec(&envelope).ok()
}

/// Which times of an entry decide whether it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// It must not be from the future, nor past its end.
    Both,
    /// It must not be past its end. It rejects, whatever the clock of the process that has made it.
    End,
    /// None: it is the engine that ends it.
    Neither,
}

/// Decodes an entry. Returns `None` unless it is well-formed, about this id, not from the future, and not past its end.
#[cfg(any(test, fuzzing))]
pub fn decode<T: DeserializeOwned>(id: &str, plaintext: &[u8], now_ms: i64) -> Option<T> {
    decode_by(Times::Both, id, plaintext, now_ms)
}

/// Decodes an entry. Returns `None` unless it is well-formed, about this id, and its times permit it.
pub fn decode_by<T: DeserializeOwned>(times: Times, id: &str, plaintext: &[u8], now_ms: i64) -> Option<T> {
    let envelope: Envelope<T> = json::derived(plaintext)?;
    let is_begun = envelope.sealed_at_ms <= now_ms.saturating_add(MAX_CLOCK_DIFFERENCE_MS);
    let has_ended = envelope.expires_at_ms <= now_ms;
    let is_valid = match times {
        Times::Both => is_begun && !has_ended,
        Times::End => !has_ended,
        Times::Neither => true,
    };
    (is_valid && envelope.id == id).then_some(envelope.value)
}

/// A user as Clerk returned it.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UserSnapshot {
    #[serde(deserialize_with = "json::only_object")]
    user: WireUser,
    /// When the fetch began, or the webhook event was received, by the clock of that process.
    pub fetched_at_ms: i64,
    /// The generation of the user when the fetch began.
    pub generation: String,
}

impl UserSnapshot {
    pub fn new(user: &ClerkUser, fetched_at_ms: i64, generation: String) -> Self {
        UserSnapshot { user: WireUser::from(user), fetched_at_ms, generation }
    }

    pub fn version_ms(&self) -> i64 {
        self.user.updated_at_ms
    }

    pub fn is_about(&self, id: &str) -> bool {
        self.user.id == id
    }

    pub fn is_blocked(&self) -> bool {
        self.user.banned || self.user.deprovisioned
    }

    pub fn into_user(self) -> ClerkUser {
        self.user.into()
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WireUser {
    id: String,
    username: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: WireEmail,
    image_url: Option<String>,
    last_active_at_ms: Option<i64>,
    external_id: Option<String>,
    banned: bool,
    locked: bool,
    deprovisioned: bool,
    updated_at_ms: i64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum WireEmail {
    NoAddress,
    NoPrimary,
    Unverified,
    Verified(String),
}

impl From<&ClerkUser> for WireUser {
    fn from(user: &ClerkUser) -> Self {
        let user = user.clone();
        WireUser {
            id: user.id,
            username: user.username,
            first_name: user.first_name,
            last_name: user.last_name,
            email: match user.email {
                PrimaryEmail::NoAddress => WireEmail::NoAddress,
                PrimaryEmail::NoPrimary => WireEmail::NoPrimary,
                PrimaryEmail::Unverified => WireEmail::Unverified,
                PrimaryEmail::Verified(address) => WireEmail::Verified(address),
            },
            image_url: user.image_url,
            last_active_at_ms: user.last_active_at_ms,
            external_id: user.external_id,
            banned: user.banned,
            locked: user.locked,
            deprovisioned: user.deprovisioned,
            updated_at_ms: user.updated_at_ms,
        }
    }
}

impl From<WireUser> for ClerkUser {
    fn from(user: WireUser) -> Self {
        ClerkUser {
            id: user.id,
            username: user.username,
            first_name: user.first_name,
            last_name: user.last_name,
            email: match user.email {
                WireEmail::NoAddress => PrimaryEmail::NoAddress,
                WireEmail::NoPrimary => PrimaryEmail::NoPrimary,
                WireEmail::Unverified => PrimaryEmail::Unverified,
                WireEmail::Verified(address) => PrimaryEmail::Verified(address),
            },
            image_url: user.image_url,
            last_active_at_ms: user.last_active_at_ms,
            external_id: user.external_id,
            banned: user.banned,
            locked: user.locked,
            deprovisioned: user.deprovisioned,
            updated_at_ms: user.updated_at_ms,
        }
    }
}

/// A machine token that Clerk has verified.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WireMachineToken {
    kind: String,
    id: String,
    subject: String,
    scopes: Vec<String>,
    client_id: Option<String>,
    name: Option<String>,
    claims: Option<String>,
    expires_at_ms: Option<i64>,
    /// When the call to Clerk began, by the clock of that process.
    pub verified_at_ms: i64,
    /// The generation of the token then.
    pub generation: String,
}

impl WireMachineToken {
    pub fn new(kind: &str, token: &MachineToken, verified_at_ms: i64, generation: String) -> Self {
        let token = token.clone();
        WireMachineToken {
            kind: kind.to_owned(),
            verified_at_ms,
            generation,
            id: token.id,
            subject: token.subject,
            scopes: token.scopes,
            client_id: token.client_id,
            name: token.name,
            claims: token.claims,
            expires_at_ms: token.expires_at_ms,
        }
    }

    /// Returns the token if it is of this kind and has not expired.
    pub fn into_token(self, kind: &str, now_ms: i64) -> Option<MachineToken> {
        let is_valid = self.kind == kind && self.expires_at_ms.is_none_or(|expires_at_ms| now_ms < expires_at_ms);
        is_valid.then_some(MachineToken {
            id: self.id,
            subject: self.subject,
            scopes: self.scopes,
            client_id: self.client_id,
            name: self.name,
            claims: self.claims,
            expires_at_ms: self.expires_at_ms,
        })
    }
}

/// What a process has changed, for the others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Nothing: the first entry of a stream.
    Start,
    /// Nothing: entries before this one may be lost, also for readers that see no gap.
    Gap,
    /// A session was revoked, or has to be checked again.
    Session { id: String, revocation: Option<TimedRevocation> },
    /// A user was revoked or changed.
    User {
        id: String,
        revocation: Option<TimedRevocation>,
        /// The version of the user, if a webhook event reported one.
        version_ms: Option<i64>,
    },
    /// The memberships of a user were changed.
    Memberships { user_id: String },
    /// An organization was changed.
    Organization { id: String },
    /// The result of the token with this SHA-256 is no longer valid.
    Token { hash: [u8; 32] },
    /// Roles or permissions were changed, or the application has invalidated everything.
    All { users: bool },
}

/// A [`Change`] in the stream.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The random number of the client that has sent it.
    pub sender: u64,
    /// Counts the messages of that client, so that one which is delivered twice is recognized.
    pub number: u64,
    pub sent_at_ms: i64,
    pub change: Change,
}

impl Message {
    pub fn encode(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    /// Decodes a message. Returns `None` unless it is well-formed and not from the future.
    pub fn decode(plaintext: &[u8], now_ms: i64) -> Option<Self> {
        let message: Message = json::derived(plaintext)?;
        (message.sent_at_ms <= now_ms.saturating_add(MAX_CLOCK_DIFFERENCE_MS)).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::Revocation;

    fn user() -> ClerkUser {
        ClerkUser {
            id: "user_1".into(),
            first_name: Some("Ada".into()),
            email: PrimaryEmail::Verified("ada@example.com".into()),
            banned: true,
            updated_at_ms: 5,
            ..ClerkUser::default()
        }
    }

    #[test]
    fn value_is_read_from_an_object_only() {
        let entry = |value: &str| {
            format!(r#"{{"id":"user_1","sealed_at_ms":0,"expires_at_ms":9,"value":{value}}}"#).into_bytes()
        };
        let decoded = |value: &str| decode::<json::Object<TimedRevocation>>("user_1", &entry(value), 0).is_some();
        assert!(decoded(r#"{"revocation":"banned","revoked_at_ms":1,"expires_at_ms":2}"#));
        assert!(!decoded(r#"["banned",1,2]"#));
    }

    #[test]
    fn user_survives_the_round_trip() {
        for email in [
            PrimaryEmail::NoAddress,
            PrimaryEmail::NoPrimary,
            PrimaryEmail::Unverified,
            PrimaryEmail::Verified("a@b".into()),
        ] {
            let user = ClerkUser { email, locked: true, external_id: Some("7".into()), ..user() };
            let bytes = encode("user_1", &UserSnapshot::new(&user, 1, "g".into()), 1000, 500).unwrap();
            let decoded: UserSnapshot = decode("user_1", &bytes, 1200).unwrap();
            assert_eq!((decoded.fetched_at_ms, decoded.generation.as_str()), (1, "g"));
            assert_eq!((decoded.version_ms(), decoded.into_user()), (5, user));
        }
    }

    #[test]
    fn entry_about_another_id_expired_or_from_the_future_is_refused() {
        let bytes = encode("user_1", &"value", 1_000_000, 500).unwrap();
        let decoded = |id: &str, now_ms| decode::<String>(id, &bytes, now_ms);
        for (times, before, after) in [(Times::End, true, false), (Times::Neither, true, true)] {
            let decoded = |now_ms| decode_by::<String>(times, "user_1", &bytes, now_ms).is_some();
            assert_eq!((decoded(0), decoded(i64::MAX)), (before, after), "{times:?}");
        }
        assert_eq!(decoded("user_1", 1_000_499).as_deref(), Some("value"));
        assert_eq!(decoded("user_1", 700_000).as_deref(), Some("value"));
        assert_eq!(
            [decoded("user_2", 1_000_000), decoded("user_1", 1_000_500), decoded("user_1", 699_999)],
            [None, None, None]
        );
    }

    #[test]
    fn malformed_content_is_refused() {
        let good =
            String::from_utf8(encode("user_1", &UserSnapshot::new(&user(), 1, "g".into()), 0, 9).unwrap()).unwrap();
        assert!(decode::<UserSnapshot>("user_1", good.as_bytes(), 0).is_some());
        for (from, to) in [
            ("\"banned\":true", "\"banned\":\"true\""),
            ("\"banned\":true", "\"banned\":true,\"banned\":false"),
            ("\"banned\":true,", ""),
            ("\"banned\":true", "\"banned\":true,\"new\":1"),
            ("\"updated_at_ms\":5", "\"updated_at_ms\":5.5"),
            ("\"verified\"", "\"trusted\""),
            ("\"sealed_at_ms\":0", "\"sealed_at_ms\":-1e400"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(decode::<UserSnapshot>("user_1", good.replace(from, to).as_bytes(), 0).is_none(), "{to}");
        }
        for malformed in ["", "null", "[]", "{}", "{\"id\":1}", &good[1..], &good[..good.len() - 1]] {
            assert!(decode::<UserSnapshot>("user_1", malformed.as_bytes(), 0).is_none(), "{malformed}");
        }
    }

    #[test]
    fn machine_token_is_returned_for_its_own_kind_until_it_expires() {
        let token = MachineToken {
            id: "oat_1".into(),
            subject: "user_1".into(),
            scopes: vec!["email".into()],
            client_id: Some("c".into()),
            name: None,
            claims: Some("{}".into()),
            expires_at_ms: Some(100),
        };
        let wire = || WireMachineToken::new("oauth_token", &token, 5, String::new());
        assert_eq!(wire().into_token("oauth_token", 99), Some(token.clone()));
        assert_eq!((wire().into_token("oauth_token", 100), wire().into_token("api_key", 0)), (None, None));
    }

    #[test]
    fn message_survives_the_round_trip_unless_it_is_from_the_future() {
        let revocation = Some(TimedRevocation { revocation: Revocation::Deleted, revoked_at_ms: 1, expires_at_ms: 2 });
        let changes = [
            Change::Start,
            Change::Gap,
            Change::Session { id: "sess_1".into(), revocation },
            Change::User { id: "user_1".into(), revocation, version_ms: Some(3) },
            Change::Memberships { user_id: "user_1".into() },
            Change::Organization { id: "org_1".into() },
            Change::Token { hash: [7; 32] },
            Change::All { users: true },
        ];
        for change in changes {
            let bytes = Message { sender: u64::MAX, number: 8, sent_at_ms: 1_000_000, change: change.clone() }
                .encode()
                .unwrap();
            assert_eq!(Message::decode(&bytes, 700_000).unwrap().change, change);
            assert!(Message::decode(&bytes, 699_999).is_none());
        }
    }
}
