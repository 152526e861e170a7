use super::*;
use crate::api::EmailAddress;

fn ada() -> ClerkUser {
    ClerkUser {
        id: "user_ada".into(),
        username: Some("ada".into()),
        first_name: Some("Ada".into()),
        email: Some(EmailAddress { address: "ada@example.com".into(), verified: true }),
        email_is_primary: true,
        ..ClerkUser::default()
    }
}

fn row(key: &str, clerk_id: Option<&str>, email: &str, username: &str) -> Row {
    Row {
        key: key.into(),
        clerk_id: clerk_id.map(Into::into),
        email: Some(email.into()),
        username: Some(username.into()),
        first_name: Some("Ada".into()),
        last_name: Some(String::new()),
        is_active: true,
        ..Row::default()
    }
}

/// Runs a sync against a table in memory with unique usernames and Clerk ids.
fn run(user: ClerkUser, rows: &mut Vec<Row>) -> (Result<Row, Reason>, Vec<SyncEvent>) {
    run_with(Schema::default(), user, None, rows)
}

fn run_with(
    schema: Schema,
    user: ClerkUser,
    row_key: Option<&str>,
    rows: &mut Vec<Row>,
) -> (Result<Row, Reason>, Vec<SyncEvent>) {
    let row_key = row_key.map(str::to_owned);
    let (mut sync, mut request) = UserSync::start(Arc::new(user), schema, LinkByEmail::Verified, row_key);
    for _ in 0..400 {
        let same = |a: &Option<String>, b: &str| a.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(b));
        let response = match &request {
            StoreRequest::FindByKey { key } => {
                StoreResponse::Rows(rows.iter().filter(|r| r.key == *key).cloned().collect())
            }
            StoreRequest::FindByClerkId { clerk_id } => {
                StoreResponse::Rows(rows.iter().filter(|r| r.clerk_id.as_ref() == Some(clerk_id)).cloned().collect())
            }
            StoreRequest::FindByEmail { email } => {
                StoreResponse::Rows(rows.iter().filter(|r| same(&r.email, email)).cloned().collect())
            }
            StoreRequest::UsernameTaken { username, except_key } => StoreResponse::Taken(
                rows.iter().any(|r| same(&r.username, username) && Some(&r.key) != except_key.as_ref()),
            ),
            StoreRequest::Create { fields } => {
                let mut row = Row { key: (rows.len() + 1).to_string(), ..Row::default() };
                fields.apply(&mut row);
                let clash = |r: &Row| {
                    (schema.clerk_id && r.clerk_id == row.clerk_id) || same(&r.username, row.username.as_ref().unwrap())
                };
                if rows.iter().any(clash) {
                    StoreResponse::Conflict
                } else {
                    rows.push(row.clone());
                    StoreResponse::Created(row.key)
                }
            }
            StoreRequest::Update { key, fields } => {
                fields.apply(rows.iter_mut().find(|r| r.key == *key).unwrap());
                StoreResponse::Updated
            }
        };
        match sync.on_response(response) {
            Ok(Transition::Request(next)) => request = next,
            Ok(Transition::Done(row)) => return (Ok(row), sync.events),
            Err(reason) => return (Err(reason), sync.events),
        }
    }
    panic!("the sync does not end");
}

#[test]
fn second_sync_of_unchanged_user_writes_nothing() {
    let mut rows = Vec::new();
    let (made, events) = run(ada(), &mut rows);
    assert_eq!((made.unwrap(), events), (rows[0].clone(), vec![SyncEvent::Created]));
    let (again, events) = run(ada(), &mut rows);
    assert_eq!((again.unwrap(), events), (rows[0].clone(), vec![]));
}

// Threat U4.
#[test]
fn row_is_linked_only_by_verified_primary_email_and_if_unlinked() {
    let linked = |user: ClerkUser, row: Row| {
        let mut rows = vec![row.clone()];
        let (made, _) = run(user, &mut rows);
        let first_unchanged = rows[0] == row;
        (made.unwrap().key == "1", first_unchanged)
    };
    let unlinked = row("1", None, "ADA@example.com", "ada");
    assert_eq!(linked(ada(), unlinked.clone()), (true, false));
    let mut unverified = ada();
    unverified.email.as_mut().unwrap().verified = false;
    assert_eq!(linked(unverified, unlinked.clone()), (false, true));
    let not_primary = ClerkUser { email_is_primary: false, ..ada() };
    assert_eq!(linked(not_primary, unlinked.clone()), (false, true));
    assert_eq!(linked(ada(), row("1", Some("user_bob"), "ada@example.com", "bob")), (false, true));
    let mut two_ats = ada();
    two_ats.email.as_mut().unwrap().address = "a@b@example.com".into();
    assert_eq!(linked(two_ats, row("1", None, "a@b@example.com", "bob")), (false, true));
}

// Threat U4.
#[test]
fn unverified_email_of_existing_row_is_omitted() {
    let mut rows = vec![row("1", None, "ada@example.com", "boss")];
    let mut user = ada();
    user.email.as_mut().unwrap().verified = false;
    let (made, events) = run(user, &mut rows);
    assert_eq!((made.unwrap().email, events), (None, vec![SyncEvent::LinkConflict, SyncEvent::Created]));
}

#[test]
fn two_rows_with_the_email_are_not_linked() {
    let mut rows = vec![row("1", None, "ada@example.com", "a"), row("2", None, "Ada@example.com", "b")];
    let (made, events) = run(ada(), &mut rows);
    assert_eq!((made.unwrap().key.as_str(), events), ("3", vec![SyncEvent::LinkConflict, SyncEvent::Created]));
}

#[test]
fn username_suffix_is_stable() {
    let mut rows =
        vec![row("1", Some("user_x"), "x@example.com", "ADA"), row("2", Some("user_y"), "y@example.com", "ada-3")];
    assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-2"));
    rows.remove(1);
    rows[1].username = Some("ada-7".into());
    let before = rows.clone();
    assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-7"));
    assert_eq!(rows, before);
}

#[test]
fn sync_never_reactivates_row_deactivated_by_the_application() {
    let banned = ClerkUser { banned: true, ..ada() };
    let mut rows = Vec::new();
    run(ada(), &mut rows).0.unwrap();
    assert!(!run(banned.clone(), &mut rows).0.unwrap().is_active);
    assert!(rows[0].banned_by_clerk);
    assert!(run(ada(), &mut rows).0.unwrap().is_active);
    assert!(!rows[0].banned_by_clerk);
    rows[0].is_active = false;
    assert!(!run(ada(), &mut rows).0.unwrap().is_active);
    run(banned, &mut rows).0.unwrap();
    assert!(!run(ada(), &mut rows).0.unwrap().is_active);
}

// Threat H2.
#[test]
fn store_returning_another_row_is_rejected() {
    for rows in [vec![row("1", Some("user_bob"), "b", "b")], vec![row("1", None, "b", "b")], vec![Row::default(); 2]] {
        let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
        assert_eq!(sync.on_response(StoreResponse::Rows(rows)).unwrap_err(), Reason::LinkConflict);
    }
    let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
    assert_eq!(sync.on_response(StoreResponse::Updated).unwrap_err(), Reason::StoreError);
}

#[test]
fn concurrently_created_row_is_found_and_updated() {
    let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
    let mut next = |response| sync.on_response(response).unwrap();
    assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Request(StoreRequest::FindByEmail { .. })));
    assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Request(StoreRequest::UsernameTaken { .. })));
    assert!(matches!(next(StoreResponse::Taken(false)), Transition::Request(StoreRequest::Create { .. })));
    assert!(matches!(next(StoreResponse::Conflict), Transition::Request(StoreRequest::FindByClerkId { .. })));
    let concurrent = Row { first_name: Some("Other".into()), ..row("9", Some("user_ada"), "ada@example.com", "ada") };
    let Transition::Request(StoreRequest::Update { key, fields }) = next(StoreResponse::Rows(vec![concurrent])) else {
        panic!()
    };
    assert_eq!((key.as_str(), fields.first_name.as_deref()), ("9", Some("Ada")));
    assert!(matches!(next(StoreResponse::Updated), Transition::Done(row) if row.first_name.as_deref() == Some("Ada")));
}

#[test]
fn endless_conflicts_are_rejected() {
    let (mut sync, mut request) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
    let mut without_email = false;
    let refused = (0..50).find_map(|_| {
        let response = match &request {
            StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
            StoreRequest::Create { fields } => {
                without_email |= fields.email == Some(None);
                StoreResponse::Conflict
            }
            _ => StoreResponse::Rows(vec![]),
        };
        match sync.on_response(response) {
            Ok(Transition::Request(next)) => {
                request = next;
                None
            }
            other => Some(other),
        }
    });
    assert_eq!((refused, without_email), (Some(Err(Reason::LinkConflict)), true));
}

#[test]
fn oversized_values_are_truncated_or_omitted() {
    let schema = Schema { max_name_len: 2, max_email_len: 5, max_image_url_len: 3, ..Schema::default() };
    let user = ClerkUser { image_url: Some("http://long".into()), ..ada() };
    let (mut sync, request) = UserSync::start(Arc::new(user), schema, LinkByEmail::Verified, None);
    assert!(matches!(request, StoreRequest::FindByClerkId { .. }));
    assert!(matches!(
        sync.on_response(StoreResponse::Rows(vec![])).unwrap(),
        Transition::Request(StoreRequest::UsernameTaken { .. })
    ));
    let Transition::Request(StoreRequest::Create { fields }) = sync.on_response(StoreResponse::Taken(false)).unwrap()
    else {
        panic!()
    };
    assert_eq!((fields.first_name.as_deref(), fields.email, fields.image_url), (Some("Ad"), Some(None), Some(None)));
}

// Threat U4.
#[test]
fn table_without_clerk_ids_gets_no_second_row_for_an_email() {
    let in_table = |user: ClerkUser, row_key: Option<&str>, rows: &mut Vec<Row>| {
        run_with(Schema { clerk_id: false, ..Schema::default() }, user, row_key, rows).0.map(|row| row.key)
    };
    let unverified =
        ClerkUser { email: Some(EmailAddress { address: "ada@example.com".into(), verified: false }), ..ada() };
    let not_primary = ClerkUser { email_is_primary: false, ..ada() };
    for user in [unverified, not_primary] {
        let mut rows = Vec::new();
        assert_eq!(in_table(user.clone(), None, &mut rows), Ok("1".into()));
        assert_eq!(in_table(user.clone(), None, &mut rows), Err(Reason::LinkConflict));
        // The row of an earlier sync is used again, unless it has another address by now.
        assert_eq!(in_table(user.clone(), Some("1"), &mut rows), Ok("1".into()));
        rows[0].email = Some("bob@example.com".into());
        assert_eq!(in_table(user, Some("1"), &mut rows), Ok("2".into()));
        assert_eq!(rows[0].email.as_deref(), Some("bob@example.com"));
    }
    let mut rows = Vec::new();
    let without_email_at_clerk = ClerkUser { email: None, ..ada() };
    assert_eq!(in_table(without_email_at_clerk.clone(), None, &mut rows), Ok("1".into()));
    assert_eq!(in_table(without_email_at_clerk, Some("1"), &mut rows), Ok("1".into()));
    assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
    assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
}

#[test]
fn table_without_clerk_ids_keeps_email_on_username_conflict() {
    let (mut sync, _) =
        UserSync::start(Arc::new(ada()), Schema { clerk_id: false, ..Schema::default() }, LinkByEmail::Verified, None);
    assert!(matches!(
        sync.on_response(StoreResponse::Rows(vec![])).unwrap(),
        Transition::Request(StoreRequest::UsernameTaken { .. })
    ));
    assert!(matches!(
        sync.on_response(StoreResponse::Taken(false)).unwrap(),
        Transition::Request(StoreRequest::Create { .. })
    ));
    let Transition::Request(StoreRequest::FindByEmail { .. }) = sync.on_response(StoreResponse::Conflict).unwrap()
    else {
        panic!()
    };
    assert!(matches!(
        sync.on_response(StoreResponse::Rows(vec![])).unwrap(),
        Transition::Request(StoreRequest::UsernameTaken { .. })
    ));
    assert!(matches!(
        sync.on_response(StoreResponse::Taken(true)).unwrap(),
        Transition::Request(StoreRequest::UsernameTaken { .. })
    ));
    let Transition::Request(StoreRequest::Create { fields }) = sync.on_response(StoreResponse::Taken(false)).unwrap()
    else {
        panic!()
    };
    assert_eq!(fields.username.as_deref(), Some("ada-2"));
    assert_eq!(fields.email, Some(Some("ada@example.com".into())));
}

#[test]
fn fallback_username_is_replaced_by_a_better_one() {
    let mut rows = vec![row("1", Some("user_bob"), "bob@example.com", "ada")];
    rows.push(row("2", Some("user_ada"), "ada@example.com", "clerk_user_ada"));
    assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-2"));
    assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-2"));
}

#[test]
fn missing_columns_are_never_written() {
    let only_id = Schema {
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
    let (mut sync, _) = UserSync::start(Arc::new(ada()), only_id, LinkByEmail::Verified, None);
    let Transition::Request(StoreRequest::Create { fields }) = sync.on_response(StoreResponse::Rows(vec![])).unwrap()
    else {
        panic!()
    };
    assert_eq!(fields, RowChanges { clerk_id: Some("user_ada".into()), ..RowChanges::default() });
}

#[test]
fn answer_to_another_write_is_a_store_error() {
    let written = |rows: Vec<Row>, answer: StoreResponse| {
        let (mut sync, mut request) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
        while !request.is_write() {
            let response = match request {
                StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
                _ => StoreResponse::Rows(rows.clone()),
            };
            request = match sync.on_response(response).unwrap() {
                Transition::Request(next) => next,
                Transition::Done(row) => panic!("nothing was written: {row:?}"),
            };
        }
        (sync.on_response(answer).map(|_| ()), sync.events)
    };
    let existing = || vec![Row { first_name: None, ..row("1", Some("user_ada"), "ada@example.com", "ada") }];
    assert_eq!(written(existing(), StoreResponse::Updated), (Ok(()), vec![SyncEvent::Updated]));
    assert_eq!(written(existing(), StoreResponse::Created("2".into())), (Err(Reason::StoreError), vec![]));
    assert_eq!(written(vec![], StoreResponse::Updated), (Err(Reason::StoreError), vec![]));
}
