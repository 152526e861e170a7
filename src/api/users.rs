//! `GET /users/{id}`: the few members that matter, read leniently; absent, null and empty are kept apart where it counts.

use std::time::Instant;

use serde::Deserialize;

use super::{Api, ApiError, Endpoint, LONGEST_OBJECT, Request};

/// An address of a Clerk user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailAddress {
    /// The address, without white space around it; never empty.
    pub address: String,
    /// Whether Clerk has seen proof that the user controls it.
    pub verified: bool,
}

/// A user as Clerk knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClerkUser {
    /// `user_…`
    pub id: String,
    /// The user's own name, if the instance has such names.
    pub username: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The address that Clerk calls primary, or else the first that is not empty.
    pub email: Option<EmailAddress>,
    /// Whether `email` is the one that Clerk calls primary.
    pub email_is_primary: bool,
    /// The picture's address.
    pub image_url: Option<String>,
    /// When the user was last seen, in milliseconds since 1970; days, not moments.
    pub last_active_at_ms: Option<i64>,
    /// The host's own id for the user, kept at Clerk.
    pub external_id: Option<String>,
    /// May not sign in at all.
    pub banned: bool,
    /// May not sign in for a while; sessions go on.
    pub locked: bool,
    /// Removed by the organization's directory.
    pub deprovisioned: bool,
    /// When Clerk last changed the user, in milliseconds since 1970.
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
    #[serde(default, deserialize_with = "time")]
    last_active_at: Option<i64>,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    banned: Option<bool>,
    #[serde(default)]
    locked: Option<bool>,
    #[serde(default)]
    deprovisioned: Option<bool>,
    #[serde(default, deserialize_with = "time")]
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
    /// Reads a user object. Unknown members and values are passed over; the id has to be there.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let raw: Raw = serde_json::from_slice(json).ok()?;
        let addresses = raw.email_addresses.unwrap_or_default();
        let primary_id = raw.primary_email_address_id.as_deref().filter(|id| !id.is_empty());
        let primary = primary_id.and_then(|id| addresses.iter().find(|a| a.id.as_deref() == Some(id)));
        let email = match primary {
            Some(primary) => primary.read(),
            None => addresses.iter().find_map(RawEmail::read),
        };
        let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
        Some(ClerkUser {
            id: raw.id,
            username: filled(raw.username),
            first_name: filled(raw.first_name),
            last_name: filled(raw.last_name),
            email_is_primary: primary.is_some() && email.is_some(),
            email,
            image_url: filled(raw.image_url).or(filled(raw.profile_image_url)),
            last_active_at_ms: raw.last_active_at.and_then(millis),
            external_id: filled(raw.external_id),
            banned: raw.banned == Some(true),
            locked: raw.locked == Some(true),
            deprovisioned: raw.deprovisioned == Some(true),
            updated_at_ms: raw.updated_at.unwrap_or_default(),
        })
    }

    /// Whether Clerk keeps the user out for good.
    pub fn is_blocked(&self) -> bool {
        self.banned || self.deprovisioned
    }
}

impl RawEmail {
    fn read(&self) -> Option<EmailAddress> {
        let address = self.email_address.as_deref().map(str::trim).filter(|a| !a.is_empty())?;
        let status = self.verification.as_ref().and_then(|v| v.status.as_deref());
        Some(EmailAddress { address: address.into(), verified: status == Some("verified") })
    }
}

/// A time that is no number, nor the text of one, is none; the rest of the user is as good without it.
fn time<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    use serde_json::Value;
    Ok(match Value::deserialize(input)? {
        // A fraction is dropped, and what fits no integer becomes the largest, which is no time.
        Value::Number(number) => number.as_i64().or(number.as_f64().map(|n| n as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// Clerk speaks milliseconds; numbers that small can only be seconds. Years beyond 9999 fit no calendar.
fn millis(value: i64) -> Option<i64> {
    const LARGEST_SECONDS: u64 = 9_999_999_999;
    const YEAR_10000_MS: i64 = 253_402_300_800_000;
    let ms = if value.unsigned_abs() <= LARGEST_SECONDS { value * 1000 } else { value };
    (ms < YEAR_10000_MS && ms > -62_135_596_800_000).then_some(ms)
}

impl Api {
    /// The user with this id, which has the shape of one.
    pub fn user(&self, id: &str, deadline: Instant) -> Result<ClerkUser, ApiError> {
        let url = self.url(&format!("users/{id}"));
        let request = Request { url: &url, bearer: Some(self.secret()?), body: None, limit: LONGEST_OBJECT };
        // An answer about somebody else is no answer.
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
    fn only_the_id_has_to_be_there() {
        assert_eq!(user("").id, "user_1");
        assert_eq!(user(r#","new":{"x":[1]},"email_addresses":null,"banned":null"#).email, None);
        for odd in ["null", "[]", "{}", "<html>", "", r#"{"id":5}"#] {
            assert_eq!(ClerkUser::parse(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn the_primary_address_is_chosen_and_only_verified_means_verified() {
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

    #[test]
    fn times_are_milliseconds_unless_they_are_too_small_to_be() {
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
    fn a_time_that_cannot_be_read_costs_nobody_the_sign_in() {
        let at = |n: &str| user(&format!(r#","last_active_at":{n},"updated_at":{n}"#)).last_active_at_ms;
        for whole in ["1700690400000.0", "1700690400000.7", "\"1700690400000\""] {
            assert_eq!(at(whole), Some(1_700_690_400_000), "{whole}");
        }
        for odd in ["\"soon\"", "true", "[1]", "{}", "1e25", "-1e25", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(at(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_newer_picture_wins() {
        assert_eq!(user(r#","image_url":"new","profile_image_url":"old""#).image_url.as_deref(), Some("new"));
        assert_eq!(user(r#","profile_image_url":"old""#).image_url.as_deref(), Some("old"));
    }
}
