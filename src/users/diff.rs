//! Compares a row with its Clerk user.

use super::{Row, RowChanges, Schema};
use crate::api::{ClerkUser, PrimaryEmail};

/// Returns the changes that make `row` equal to `user`; all columns of a new row if `row` is `None`.
///
/// Covers only columns that exist in `schema`. The username is not among them: only the store knows whether it is free.
pub fn diff(row: Option<&Row>, user: &ClerkUser, schema: &Schema) -> RowChanges {
    let is_new = row.is_none();
    let empty = Row::default();
    let old = row.unwrap_or(&empty);
    let required = |exists: bool, old: &Option<String>, new: &Option<String>| {
        let new = truncate(new.as_deref().unwrap_or_default(), schema.max_name_len);
        (exists && (is_new || old.as_deref() != Some(&new))).then_some(new)
    };
    // A truncated address or URL is useless: a value that does not fit is omitted.
    let nullable = |exists: bool, old: &Option<String>, new: Option<&str>, max_len: u32| {
        let new = new.filter(|new| fits(new, max_len));
        let old = old.as_deref().filter(|old| !old.is_empty());
        (exists && (is_new || old != new)).then(|| new.map(str::to_owned))
    };
    let last_active_at_ms = user.last_active_at_ms;
    let (is_active, banned_by_clerk) = activation(row, user, schema);
    let email = match &user.email {
        // What Clerk has not verified replaces nothing.
        PrimaryEmail::Unverified if !is_new => None,
        _ => nullable(schema.email, &old.email, user.verified_primary_email(), schema.max_email_len),
    };
    RowChanges {
        clerk_id: (schema.clerk_id && old.clerk_id.as_deref() != Some(&user.id)).then(|| user.id.clone()),
        email,
        username: None,
        first_name: required(schema.first_name, &old.first_name, &user.first_name),
        last_name: required(schema.last_name, &old.last_name, &user.last_name),
        image_url: nullable(schema.image_url, &old.image_url, user.image_url.as_deref(), schema.max_image_url_len),
        last_active_at_ms: (schema.last_active_at && (is_new || old.last_active_at_ms != last_active_at_ms))
            .then_some(last_active_at_ms),
        is_active: is_active.filter(|_| schema.is_active),
        banned_by_clerk: banned_by_clerk.filter(|_| schema.is_active && schema.banned_by_clerk),
        clerk_updated_at_ms: (schema.clerk_updated_at && old.clerk_updated_at_ms != Some(user.updated_at_ms))
            .then_some(user.updated_at_ms),
    }
}

/// Returns the changes of `is_active` and `banned_by_clerk`. A user who is blocked at Clerk is deactivated; only a row that
/// was deactivated for that reason is re-activated, never one that the application deactivated.
fn activation(row: Option<&Row>, user: &ClerkUser, schema: &Schema) -> (Option<bool>, Option<bool>) {
    let is_blocked = user.is_blocked();
    match row {
        None => (Some(!is_blocked), Some(is_blocked)),
        Some(row) if is_blocked && row.is_active => (Some(false), Some(true)),
        Some(row) if lifts_ban(row, user, schema) => (Some(true), Some(false)),
        Some(_) => (None, None),
    }
}

/// Returns whether a row is inactive because of a ban that the user no longer has.
pub fn lifts_ban(row: &Row, user: &ClerkUser, schema: &Schema) -> bool {
    schema.is_active && schema.banned_by_clerk && !user.is_blocked() && !row.is_active && row.banned_by_clerk
}

/// Returns the changes that deactivate the row of a user who is blocked at Clerk; they need no proof that the user is current.
pub fn deactivation(row: &Row, user: &ClerkUser, schema: &Schema) -> RowChanges {
    let is_deactivated = (user.is_blocked() && row.is_active).then_some(());
    RowChanges {
        is_active: is_deactivated.filter(|()| schema.is_active).map(|()| false),
        banned_by_clerk: is_deactivated.filter(|()| schema.is_active && schema.banned_by_clerk).map(|()| true),
        ..RowChanges::default()
    }
}

/// Returns whether a value fits into a column of `max_len` characters; 0 means unlimited.
pub fn fits(value: &str, max_len: u32) -> bool {
    max_len == 0 || value.chars().count() <= max_len as usize
}

/// Returns the first `max_len` characters; 0 means unlimited.
pub fn truncate(value: &str, max_len: u32) -> String {
    match max_len {
        0 => value.to_owned(),
        max_len => value.chars().take(max_len as usize).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada() -> ClerkUser {
        ClerkUser {
            id: "user_ada".into(),
            username: Some("ada".into()),
            first_name: Some("Ada".into()),
            email: PrimaryEmail::Verified("ada@example.com".into()),
            image_url: Some("https://img/1".into()),
            last_active_at_ms: Some(7),
            ..ClerkUser::default()
        }
    }

    fn blocked() -> ClerkUser {
        ClerkUser { banned: true, ..ada() }
    }

    /// The row after a sync of `ada`.
    fn synced() -> Row {
        let mut row = Row { key: "1".into(), ..Row::default() };
        diff(None, &ada(), &Schema::default()).apply(&mut row);
        row
    }

    #[test]
    fn new_row_gets_every_column_but_the_username() {
        let expected = RowChanges {
            clerk_id: Some("user_ada".into()),
            email: Some(Some("ada@example.com".into())),
            username: None,
            first_name: Some("Ada".into()),
            last_name: Some(String::new()),
            image_url: Some(Some("https://img/1".into())),
            last_active_at_ms: Some(Some(7)),
            is_active: Some(true),
            banned_by_clerk: Some(false),
            clerk_updated_at_ms: None,
        };
        assert_eq!(diff(None, &ada(), &Schema::default()), expected);
    }

    #[test]
    fn equal_row_has_no_changes() {
        assert!(diff(Some(&synced()), &ada(), &Schema::default()).is_empty());
        let without_email = Row { email: Some(String::new()), ..synced() };
        assert!(
            diff(Some(&without_email), &ClerkUser { email: PrimaryEmail::NoAddress, ..ada() }, &Schema::default())
                .is_empty()
        );
    }

    #[test]
    fn changed_column_is_the_only_change() {
        let none = RowChanges::default;
        let of = |user: ClerkUser| diff(Some(&synced()), &user, &Schema::default());
        assert_eq!(
            of(ClerkUser { first_name: None, ..ada() }),
            RowChanges { first_name: Some(String::new()), ..none() }
        );
        assert_eq!(
            of(ClerkUser { last_name: Some("L".into()), ..ada() }),
            RowChanges { last_name: Some("L".into()), ..none() }
        );
        assert_eq!(
            of(ClerkUser { email: PrimaryEmail::NoAddress, ..ada() }),
            RowChanges { email: Some(None), ..none() }
        );
        assert_eq!(of(ClerkUser { image_url: None, ..ada() }), RowChanges { image_url: Some(None), ..none() });
        let never_active = ClerkUser { last_active_at_ms: None, ..ada() };
        assert_eq!(of(never_active), RowChanges { last_active_at_ms: Some(None), ..none() });
        let other_id = ClerkUser { id: "user_2".into(), ..ada() };
        assert_eq!(of(other_id), RowChanges { clerk_id: Some("user_2".into()), ..none() });
    }

    #[test]
    fn unverified_email_replaces_nothing_and_a_missing_one_clears_the_column() {
        let email =
            |email: PrimaryEmail| diff(Some(&synced()), &ClerkUser { email, ..ada() }, &Schema::default()).email;
        assert_eq!(email(PrimaryEmail::Unverified), None);
        assert_eq!([email(PrimaryEmail::NoPrimary), email(PrimaryEmail::NoAddress)], [Some(None), Some(None)]);
        let new = ClerkUser { email: PrimaryEmail::Unverified, ..ada() };
        assert_eq!(diff(None, &new, &Schema::default()).email, Some(None));
    }

    #[test]
    fn version_is_written_if_the_table_has_the_column() {
        let schema = Schema { clerk_updated_at: true, ..Schema::default() };
        let user = ClerkUser { updated_at_ms: 5, ..ada() };
        assert_eq!(diff(None, &user, &schema).clerk_updated_at_ms, Some(5));
        let row = Row { clerk_updated_at_ms: Some(5), ..synced() };
        assert!(diff(Some(&row), &user, &schema).is_empty());
        assert_eq!(diff(Some(&row), &ClerkUser { updated_at_ms: 6, ..ada() }, &schema).clerk_updated_at_ms, Some(6));
    }

    #[test]
    fn missing_columns_are_never_written() {
        let schema = Schema {
            clerk_id: false,
            email: false,
            username: false,
            first_name: false,
            last_name: false,
            image_url: false,
            last_active_at: false,
            is_active: false,
            banned_by_clerk: false,
            ..Schema::default()
        };
        assert!(diff(None, &ada(), &schema).is_empty());
        assert!(diff(Some(&synced()), &ClerkUser { id: "user_2".into(), ..ClerkUser::default() }, &schema).is_empty());
    }

    #[test]
    fn names_are_truncated_and_addresses_left_out_if_too_long() {
        let schema = Schema { max_name_len: 2, max_email_len: 14, max_image_url_len: 12, ..Schema::default() };
        let changes = diff(None, &ClerkUser { first_name: Some("äöü".into()), ..ada() }, &schema);
        assert_eq!(changes.first_name.as_deref(), Some("äö"));
        assert_eq!((changes.email, changes.image_url), (Some(None), Some(None)));
        let fitting = Schema { max_email_len: 15, max_image_url_len: 13, ..schema };
        assert!(diff(Some(&synced()), &ada(), &fitting).email.is_none());
    }

    #[test]
    fn block_at_clerk_deactivates_and_its_end_reactivates() {
        let mut row = synced();
        diff(Some(&row), &blocked(), &Schema::default()).apply(&mut row);
        assert_eq!((row.is_active, row.banned_by_clerk), (false, true));
        assert!(diff(Some(&row), &blocked(), &Schema::default()).is_empty());
        diff(Some(&row), &ada(), &Schema::default()).apply(&mut row);
        assert_eq!((row.is_active, row.banned_by_clerk), (true, false));
    }

    #[test]
    fn row_deactivated_by_the_application_is_never_reactivated() {
        let row = Row { is_active: false, ..synced() };
        assert!(diff(Some(&row), &ada(), &Schema::default()).is_empty());
        assert!(diff(Some(&row), &blocked(), &Schema::default()).is_empty());
        let without_column = Schema { banned_by_clerk: false, ..Schema::default() };
        let row = Row { is_active: false, banned_by_clerk: true, ..synced() };
        assert!(diff(Some(&row), &ada(), &without_column).is_empty());
    }
}
