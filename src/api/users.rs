//! `GET /users/{id}`: a user, parsed leniently. Unknown members are ignored.

use std::time::Instant;

use serde::Deserialize;

use super::{Api, ApiError, Endpoint, MAX_OBJECT_LEN, Request};

/// An email address of a Clerk user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress {
    /// The address, without surrounding white space; never empty.
    pub address: String,
    /// Whether Clerk has verified that the user controls the address.
    pub verified: bool,
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
    /// The primary email address, or else the first one that is not empty.
    pub email: Option<EmailAddress>,
    /// Whether `email` is the primary address.
    pub email_is_primary: bool,
    /// The URL of the profile image.
    pub image_url: Option<String>,
    /// When the user was last active, in milliseconds since 1970; Clerk gives the day only.
    pub last_active_at_ms: Option<i64>,
    /// The application's id of the user, stored at Clerk.
    pub external_id: Option<String>,
    /// Whether the user is banned.
    pub banned: bool,
    /// Whether sign-in is locked for a while; sessions continue.
    pub locked: bool,
    /// Whether an organization's directory has removed the user.
    pub deprovisioned: bool,
    /// When the user was last changed, in milliseconds since 1970.
    pub updated_at_ms: i64,
}

#[derive(Deserialize)]
struct Raw {
    id: String,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    first_name: Option<String>,
    #[serde(default)]
    last_name: Option<String>,
    #[serde(default)]
    primary_email_address_id: Option<String>,
    #[serde(default)]
    email_addresses: Option<Vec<RawEmail>>,
    #[serde(default)]
    image_url: Option<String>,
    #[serde(default)]
    profile_image_url: Option<String>,
    #[serde(default, deserialize_with = "lenient_time")]
    last_active_at: Option<i64>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    banned: Option<bool>,
    #[serde(default)]
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
    verification: Option<RawVerification>,
}

#[derive(Deserialize)]
struct RawVerification {
    #[serde(default)]
    status: Option<String>,
}

impl ClerkUser {
    /// Parses a user object. Returns `None` if it is not a JSON object, has no `id`, or a member has another type than documented.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let raw: Raw = serde_json::from_slice(json).ok()?;
        let addresses = raw.email_addresses.unwrap_or_default();
        let primary_id = raw.primary_email_address_id.as_deref().filter(|id| !id.is_empty());
        let primary = primary_id.and_then(|id| addresses.iter().find(|a| a.id.as_deref() == Some(id)));
        let email = match primary {
            Some(primary) => primary.parse(),
            None => addresses.iter().find_map(RawEmail::parse),
        };
        let non_empty = |value: Option<String>| value.filter(|v| !v.is_empty());
        Some(ClerkUser {
            id: raw.id,
            username: non_empty(raw.username),
            first_name: non_empty(raw.first_name),
            last_name: non_empty(raw.last_name),
            email_is_primary: primary.is_some() && email.is_some(),
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

    /// Returns the primary email address if it is verified and has exactly one `@`: with several, parsers disagree about the
    /// domain. The only address that links a user to an existing row.
    pub fn verified_primary_email(&self) -> Option<&str> {
        let email = self.email.as_ref().filter(|email| self.email_is_primary && email.verified)?;
        (email.address.matches('@').count() == 1).then_some(email.address.as_str())
    }

    /// Returns whether the user is excluded permanently: banned or deprovisioned.
    pub fn is_blocked(&self) -> bool {
        self.banned || self.deprovisioned
    }
}

impl RawEmail {
    fn parse(&self) -> Option<EmailAddress> {
        let address = self.email_address.as_deref().map(str::trim).filter(|a| !a.is_empty())?;
        let status = self.verification.as_ref().and_then(|v| v.status.as_deref());
        Some(EmailAddress { address: address.into(), verified: status == Some("verified") })
    }
}

/// Reads a time from a number or a string of one. Anything else is `None`: a user without it is still usable.
fn lenient_time<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    use serde_json::Value;
    Ok(match Value::deserialize(input)? {
        // Drops fractions; saturates, and `to_millis` rejects the limits.
        Value::Number(number) => number.as_i64().or(number.as_f64().map(|n| n as i64)),
        Value::String(string) => string.parse().ok(),
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
    /// Fetches a user. `id` must be a valid user id: it becomes part of the URL.
    pub fn user(&self, id: &str, deadline: Instant) -> Result<ClerkUser, ApiError> {
        let url = self.url(&format!("users/{id}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: MAX_OBJECT_LEN };
        // A response about another user is malformed.
        self.call(Endpoint::Users, &request, deadline, |body| ClerkUser::parse(&body).filter(|user| user.id == id))
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
        assert_eq!(user(r#","new":{"x":[1]},"email_addresses":null,"banned":null"#).email, None);
        for malformed in ["null", "[]", "{}", "<html>", "", r#"{"id":5}"#] {
            assert_eq!(ClerkUser::parse(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn primary_email_is_chosen_with_its_verification() {
        let two = r#","email_addresses":[{"id":"a","email_address":"a@x"},{"id":"b","email_address":" b@x ","verification":{"status":"verified"}}]"#;
        let with = |primary: &str| user(&format!(r#"{two},"primary_email_address_id":{primary}"#));
        assert_eq!(with("\"b\"").email, Some(EmailAddress { address: "b@x".into(), verified: true }));
        assert!(with("\"b\"").email_is_primary);
        for first in ["\"z\"", "null", "\"\""] {
            assert_eq!(with(first).email.unwrap().address, "a@x");
            assert!(!with(first).email_is_primary);
        }
        let empty_first = r#","email_addresses":[{"id":"a","email_address":" "},{"id":"b","email_address":"b@x"}]"#;
        assert_eq!(user(empty_first).email.unwrap().address, "b@x");
        assert_eq!(user(&format!(r#"{empty_first},"primary_email_address_id":"a""#)).email, None);
        for status in ["\"unverified\"", "\"transferable\"", "null", "\"VERIFIED\""] {
            let one = user(&format!(
                r#","email_addresses":[{{"email_address":"a@x","verification":{{"status":{status}}}}}]"#
            ));
            assert!(!one.email.unwrap().verified);
        }
    }

    // Threat U4.
    #[test]
    fn verified_primary_email_requires_primary_verified_and_one_at_sign() {
        let email = |address: &str, verified: bool| Some(EmailAddress { address: address.into(), verified });
        let verified_primary = |email: Option<EmailAddress>, email_is_primary: bool| {
            let user = ClerkUser { email, email_is_primary, ..ClerkUser::default() };
            user.verified_primary_email().map(str::to_owned)
        };
        assert_eq!(verified_primary(email("a@x", true), true).as_deref(), Some("a@x"));
        for (email, is_primary) in [
            (email("a@x", false), true),
            (email("a@x", true), false),
            (email("a@b@x", true), true),
            (email("a", true), true),
            (None, true),
        ] {
            assert_eq!(verified_primary(email.clone(), is_primary), None, "{email:?} {is_primary}");
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
    fn image_url_wins_over_profile_image_url() {
        assert_eq!(user(r#","image_url":"new","profile_image_url":"old""#).image_url.as_deref(), Some("new"));
        assert_eq!(user(r#","profile_image_url":"old""#).image_url.as_deref(), Some("old"));
    }
}
