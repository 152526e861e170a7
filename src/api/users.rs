//! `GET /users/{id}`: a user, parsed leniently. Unknown members are ignored.

use serde::Deserialize;
use std::borrow::Cow;

use super::{Api, ApiError, Call, Caller, Endpoint, MAX_OBJECT_LEN, Request};
use crate::clock::Deadline;
use crate::json::{self, Items, Json, Object};

/// A user's primary e-mail address, as Clerk reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PrimaryEmail {
    /// The user has no address at all.
    #[default]
    NoAddress,
    /// The user has addresses, but none is the primary one.
    NoPrimary,
    /// Clerk has not verified that the user controls the primary address, or it is not an address.
    Unverified,
    /// The address, which Clerk has verified: without surrounding white space, with exactly one `@`.
    Verified(String),
}

/// A snapshot of a user at Clerk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClerkUser {
    /// The user id, `user_…`.
    pub id: String,
    /// The username, if the instance uses usernames.
    pub username: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The primary e-mail address.
    pub email: PrimaryEmail,
    /// The URL of the profile image.
    pub image_url: Option<String>,
    /// When the user was last active, in milliseconds since 1970; Clerk gives the day only.
    pub last_active_at_ms: Option<i64>,
    /// `external_id`: the application's id of the user, stored at Clerk.
    pub external_id: Option<String>,
    /// Whether the user is banned.
    pub banned: bool,
    /// Whether sign-in is locked for a while; sessions continue.
    pub locked: bool,
    /// Whether an organization's directory has removed the user.
    pub deprovisioned: bool,
    /// When the user was last changed, in milliseconds since 1970: the version of the snapshot.
    pub updated_at_ms: i64,
}

/// What decides who the user is, which address counts and whether the user is blocked must have the documented type; another
/// member of a wrong type counts as absent.
#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default, deserialize_with = "lenient_string")]
    username: Option<String>,
    #[serde(default, deserialize_with = "lenient_string")]
    first_name: Option<String>,
    #[serde(default, deserialize_with = "lenient_string")]
    last_name: Option<String>,
    #[serde(default)]
    primary_email_address_id: Option<String>,
    #[serde(default)]
    email_addresses: Option<Items<Object<RawEmail>>>,
    #[serde(default, deserialize_with = "lenient_string")]
    image_url: Option<String>,
    #[serde(default, deserialize_with = "lenient_string")]
    profile_image_url: Option<String>,
    #[serde(default, deserialize_with = "lenient_time")]
    last_active_at: Option<i64>,
    #[serde(default, deserialize_with = "lenient_string")]
    external_id: Option<String>,
    #[serde(default)]
    banned: Option<bool>,
    #[serde(default, deserialize_with = "lenient_bool")]
    locked: Option<bool>,
    #[serde(default)]
    deprovisioned: Option<bool>,
    #[serde(default, deserialize_with = "lenient_time")]
    updated_at: Option<i64>,
}

#[derive(Deserialize)]
struct RawEmail {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    email_address: Option<String>,
    #[serde(default)]
    verification: Option<Object<RawVerification>>,
}

#[derive(Deserialize)]
struct RawVerification {
    #[serde(default)]
    status: Option<String>,
}

impl ClerkUser {
    /// Parses a user object. Returns `None` if it is not a JSON object, has no `id`, or has a wrong type in `id`, the addresses,
    /// `banned` or `deprovisioned`: a user who may be blocked is not taken for one who is not.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let raw: Raw = json::derived(json)?;
        let addresses: Vec<_> = raw
            .email_addresses
            .into_iter()
            .flat_map(|Items(addresses)| addresses)
            .map(|Object(address)| address)
            .collect();
        let primary_id = raw.primary_email_address_id.as_deref().filter(|id| !id.is_empty());
        let primary = primary_id.map(|id| addresses.iter().find(|address| address.id.as_deref() == Some(id)));
        let email = match primary {
            Some(primary) => {
                primary.and_then(RawEmail::verified).map_or(PrimaryEmail::Unverified, PrimaryEmail::Verified)
            }
            None if addresses.is_empty() => PrimaryEmail::NoAddress,
            None => PrimaryEmail::NoPrimary,
        };
        // A NUL would end the string early for C, and databases refuse it.
        let non_empty = |value: Option<String>| value.filter(|v| !v.is_empty() && !v.contains('\0'));
        Some(ClerkUser {
            id: raw.id,
            username: non_empty(raw.username),
            first_name: non_empty(raw.first_name),
            last_name: non_empty(raw.last_name),
            email,
            image_url: non_empty(raw.image_url).or(non_empty(raw.profile_image_url)),
            last_active_at_ms: raw.last_active_at.and_then(to_millis),
            external_id: non_empty(raw.external_id),
            banned: raw.banned == Some(true),
            locked: raw.locked == Some(true),
            deprovisioned: raw.deprovisioned == Some(true),
            updated_at_ms: raw.updated_at.unwrap_or_default(),
        })
    }

    /// Returns the primary e-mail address if Clerk has verified it. No other address counts anywhere.
    pub fn verified_primary_email(&self) -> Option<&str> {
        match &self.email {
            PrimaryEmail::Verified(address) => Some(address),
            PrimaryEmail::NoAddress | PrimaryEmail::NoPrimary | PrimaryEmail::Unverified => None,
        }
    }

    /// Returns whether the user is excluded permanently: banned or deprovisioned.
    pub fn is_blocked(&self) -> bool {
        self.banned || self.deprovisioned
    }
}

impl RawEmail {
    /// Returns the address if it is verified and has exactly one `@`: with several, parsers disagree about the domain.
    fn verified(&self) -> Option<String> {
        let address = self.email_address.as_deref().map(str::trim)?;
        let status = self.verification.as_ref().and_then(|Object(v)| v.status.as_deref());
        let is_address = address.matches('@').count() == 1 && !address.contains('\0');
        (is_address && status == Some("verified")).then(|| address.to_owned())
    }
}

fn lenient_string<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Json::deserialize(input)?.string().into_option().map(Cow::into_owned))
}

fn lenient_bool<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    Ok(match Json::deserialize(input)? {
        Json::Bool(value) => Some(value),
        _ => None,
    })
}

/// Reads a time from a number or a string of one. Anything else is `None`: a user without it is still usable.
fn lenient_time<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    Ok(match Json::deserialize(input)? {
        // Drops fractions; saturates, and `to_millis` rejects the limits.
        Json::Number(number) => Some(number as i64),
        Json::String(string) => string.parse().ok(),
        _ => None,
    })
}

/// Returns milliseconds since 1970. Clerk uses milliseconds; small numbers are taken for seconds. `None` outside the years 1 to 9999.
fn to_millis(value: i64) -> Option<i64> {
    const MAX_SECONDS: u64 = 9_999_999_999;
    const YEAR_1_MS: i64 = -62_135_596_800_000;
    const YEAR_10000_MS: i64 = 253_402_300_800_000;
    let ms = if value.unsigned_abs() <= MAX_SECONDS { value * 1000 } else { value };
    (ms < YEAR_10000_MS && ms > YEAR_1_MS).then_some(ms)
}

impl Api {
    /// Returns the error of a fetch while the circuit is open; `None` if a call may be sent.
    pub fn users_circuit_error(&self) -> Option<ApiError> {
        let open_ms = self.open_for_ms(Endpoint::Users, Caller::Known, self.clock.now().mono_ms)?;
        Some(self.open_error(Endpoint::Users, Caller::Known, open_ms))
    }

    /// Fetches a user. `id` must be a valid user id: it becomes part of the URL.
    pub fn user(&self, id: &str, deadline: Deadline) -> Result<ClerkUser, ApiError> {
        let url = self.url(&format!("users/{id}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: MAX_OBJECT_LEN };
        // A response about another user is malformed.
        let call = Call { endpoint: Endpoint::Users, caller: Caller::Known, key: id };
        self.call(call, &request, deadline, |body| ClerkUser::parse(&body).filter(|user| user.id == id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(members: &str) -> ClerkUser {
        ClerkUser::parse(format!(r#"{{"id":"user_1"{members}}}"#).as_bytes()).unwrap()
    }

    #[test]
    fn user_without_id_is_rejected() {
        assert_eq!(user("").id, "user_1");
        assert_eq!(user(r#","new":{"x":[1]},"email_addresses":null,"banned":null"#).email, PrimaryEmail::NoAddress);
        for malformed in [
            "null",
            "[]",
            "{}",
            "<html>",
            "",
            r#"{"id":5}"#,
            r#"["user_1"]"#,
            r#"{"id":"user_1","email_addresses":[["a","a@x",["verified"]]]}"#,
            r#"{"id":"user_1","email_addresses":[{"email_address":"a@x","verification":["verified"]}]}"#,
        ] {
            assert_eq!(ClerkUser::parse(malformed.as_bytes()), None, "{malformed}");
        }
    }

    // Threat U4.
    #[test]
    fn only_the_verified_primary_email_counts() {
        let two = r#","email_addresses":[{"id":"a","email_address":"a@x"},{"id":"b","email_address":" b@x ","verification":{"status":"verified"}}]"#;
        let with = |primary: &str| user(&format!(r#"{two},"primary_email_address_id":{primary}"#)).email;
        assert_eq!(with("\"b\""), PrimaryEmail::Verified("b@x".into()));
        assert_eq!([with("\"a\""), with("\"z\"")], [PrimaryEmail::Unverified, PrimaryEmail::Unverified]);
        // Neither the first nor the only verified address replaces a missing primary one.
        assert_eq!([with("null"), with("\"\"")], [PrimaryEmail::NoPrimary, PrimaryEmail::NoPrimary]);
        let one = |address: &str, status: &str| {
            user(&format!(
                r#","email_addresses":[{{"id":"a","email_address":"{address}","verification":{{"status":{status}}}}}],"primary_email_address_id":"a""#
            ))
        };
        assert_eq!(one("a@x", "\"verified\"").verified_primary_email(), Some("a@x"));
        for status in ["\"unverified\"", "\"transferable\"", "null", "\"VERIFIED\""] {
            assert_eq!(one("a@x", status).verified_primary_email(), None, "{status}");
        }
        for address in [" ", "a", "a@b@x"] {
            assert_eq!(one(address, "\"verified\"").email, PrimaryEmail::Unverified, "{address}");
        }
    }

    #[test]
    fn small_times_are_read_as_seconds() {
        let at = |n: &str| user(&format!(r#","last_active_at":{n}"#)).last_active_at_ms;
        assert_eq!(at("1700690400000"), Some(1_700_690_400_000));
        assert_eq!(at("1700690400"), Some(1_700_690_400_000));
        assert_eq!(at("9999999999"), Some(9_999_999_999_000));
        assert_eq!(at("10000000000"), Some(10_000_000_000));
        assert_eq!(at("0"), Some(0));
        assert_eq!(at("-1"), Some(-1000));
        assert_eq!(at("253402300800000"), None);
        assert_eq!(at("null"), None);
    }

    #[test]
    fn malformed_time_does_not_reject_the_user() {
        let at = |n: &str| user(&format!(r#","last_active_at":{n},"updated_at":{n}"#)).last_active_at_ms;
        for accepted in ["1700690400000.0", "1700690400000.7", "\"1700690400000\""] {
            assert_eq!(at(accepted), Some(1_700_690_400_000), "{accepted}");
        }
        for malformed in
            ["\"soon\"", "true", "[1]", "{}", "1e25", "-1e25", "9223372036854775807", "-9223372036854775808"]
        {
            assert_eq!(at(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn optional_member_of_a_wrong_type_counts_as_absent() {
        let members =
            ["username", "first_name", "last_name", "image_url", "profile_image_url", "external_id", "locked", "new"];
        let plain = user("");
        for member in members {
            for wrong in ["1", "1.5", "null", "[]", r#"["x"]"#, "{}", r#"{"a":[{"b":1}]}"#] {
                assert_eq!(user(&format!(r#","{member}":{wrong}"#)), plain, "{member}: {wrong}");
            }
        }
        assert_eq!(user(r#","locked":"true","image_url":false,"username":true"#), plain);
        assert!(user(r#","locked":true"#).locked);
        assert!(user(r#","username":false,"banned":true"#).is_blocked());
    }

    #[test]
    fn security_relevant_member_of_a_wrong_type_rejects_the_user() {
        let wrong = |member: &str| ClerkUser::parse(format!(r#"{{"id":"user_1",{member}}}"#).as_bytes());
        for member in ["banned", "deprovisioned"] {
            for value in ["1", "0", "\"true\"", "\"false\"", "[]", "{}", "[true]"] {
                assert_eq!(wrong(&format!(r#""{member}":{value}"#)), None, "{member}: {value}");
            }
        }
        for value in ["5", "true", "[]", "{}"] {
            assert_eq!(wrong(&format!(r#""primary_email_address_id":{value}"#)), None, "{value}");
        }
        for value in ["5", "true", r#""a@x""#, "{}", "[5]", r#"["a@x"]"#, r#"[{"id":"a","verification":true}]"#] {
            assert_eq!(wrong(&format!(r#""email_addresses":{value}"#)), None, "{value}");
        }
    }

    #[test]
    fn image_url_wins_over_profile_image_url() {
        assert_eq!(user(r#","image_url":"new","profile_image_url":"old""#).image_url.as_deref(), Some("new"));
        assert_eq!(user(r#","profile_image_url":"old""#).image_url.as_deref(), Some("old"));
    }
}
