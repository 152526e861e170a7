//! Whose row a row is.

use super::username::UsernameCandidates;
use super::{Row, Schema};
use crate::api::{ClerkUser, PrimaryEmail};

/// What distinguishes a user's row from the rows of other users.
#[derive(Clone, Debug)]
pub struct RowOwner {
    clerk_id: String,
    /// The verified primary address.
    email: Option<String>,
    username: Option<String>,
}

impl RowOwner {
    /// The owner with these attributes; `email` is the verified primary address.
    pub fn new(clerk_id: &str, email: Option<&str>, username: Option<&str>) -> Self {
        let owned = |value: Option<&str>| value.map(str::to_owned);
        RowOwner { clerk_id: clerk_id.to_owned(), email: owned(email), username: owned(username) }
    }

    /// Returns whether a row belongs to this user: by the Clerk id; in a table without Clerk ids by the verified primary address.
    /// A user without any address is known there by the username that a sync gave them.
    pub fn owns(&self, row: &Row, schema: &Schema) -> bool {
        if schema.clerk_id {
            return row.clerk_id.as_deref() == Some(&self.clerk_id);
        }
        match (&self.email, row.email.as_deref().filter(|email| !email.is_empty())) {
            (Some(own), Some(email)) => own.eq_ignore_ascii_case(email),
            (None, None) => row.username.as_deref().is_some_and(|name| {
                let (id, username) = (&self.clerk_id, self.username.as_deref());
                UsernameCandidates::new(id, username, None, schema.max_username_len).contains(name)
            }),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl From<&ClerkUser> for RowOwner {
    fn from(user: &ClerkUser) -> Self {
        RowOwner::new(&user.id, user.verified_primary_email(), user.username.as_deref())
    }
}

/// Returns whether a row of this table can be recognized as the user's. Without Clerk ids nothing but a verified address does, or
/// the username of a user who has no address at all.
pub fn may_own_row(user: &ClerkUser, schema: &Schema) -> bool {
    schema.clerk_id
        || match &user.email {
            PrimaryEmail::Verified(address) => schema.email && super::diff::fits(address, schema.max_email_len),
            PrimaryEmail::NoAddress => schema.username,
            PrimaryEmail::NoPrimary | PrimaryEmail::Unverified => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(clerk_id: &str, email: &str, username: &str) -> Row {
        let some = |value: &str| Some(value.to_owned()).filter(|value| !value.is_empty());
        Row {
            key: "1".into(),
            clerk_id: some(clerk_id),
            email: some(email),
            username: some(username),
            ..Row::default()
        }
    }

    #[test]
    fn row_is_owned_by_its_clerk_id_alone() {
        let (ada, schema) = (RowOwner::new("user_ada", Some("ada@x"), Some("ada")), Schema::default());
        assert!(ada.owns(&row("user_ada", "other@x", "other"), &schema));
        for other in ["", "user_bob", "USER_ADA"] {
            assert!(!ada.owns(&row(other, "ada@x", "ada"), &schema), "{other}");
        }
    }

    #[test]
    fn row_without_clerk_ids_is_owned_by_the_verified_address() {
        let schema = Schema { clerk_id: false, ..Schema::default() };
        let ada = RowOwner::new("user_ada", Some("ada@x"), Some("ada"));
        assert!(ada.owns(&row("", "ADA@x", "any"), &schema));
        assert!(!ada.owns(&row("", "bob@x", "ada"), &schema) && !ada.owns(&row("", "", "ada"), &schema));
        let without_address = RowOwner::new("user_ada", None, Some("ada"));
        for own in ["ada", "ada-2", "clerk_user_ada"] {
            assert!(without_address.owns(&row("", "", own), &schema), "{own}");
        }
        assert!(
            !without_address.owns(&row("", "", "bob"), &schema) && !without_address.owns(&row("", "", ""), &schema)
        );
        assert!(!without_address.owns(&row("", "ada@x", "ada"), &schema));
    }
}
