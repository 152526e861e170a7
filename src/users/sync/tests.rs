use super::*;
use crate::api::PrimaryEmail;

fn ada() -> ClerkUser {
    ClerkUser {
        id: "user_ada".into(),
        username: Some("ada".into()),
        first_name: Some("Ada".into()),
        email: PrimaryEmail::Verified("ada@example.com".into()),
        updated_at_ms: 10,
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

const VERSIONED: Schema = Schema { clerk_updated_at: true, ..ALL };
const WITHOUT_IDS: Schema = Schema { clerk_id: false, ..ALL };
const ALL: Schema = Schema {
    clerk_id: true,
    email: true,
    username: true,
    first_name: true,
    last_name: true,
    image_url: true,
    last_active_at: true,
    is_active: true,
    banned_by_clerk: true,
    clerk_updated_at: false,
    max_username_len: 0,
    max_email_len: 0,
    max_name_len: 0,
    max_image_url_len: 0,
};

fn start(schema: Schema, origin: Origin, user: ClerkUser, row_key: Option<&str>) -> (UserSync, Next) {
    let rules = SyncRules { schema, link: LinkByEmail::Verified, block_deactivated_email: true };
    UserSync::start(Snapshot { user: Arc::new(user), origin }, rules, row_key.map(str::to_owned))
}

fn same(a: &Option<String>, b: &str) -> bool {
    a.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(b))
}

/// A table in memory with unique usernames and Clerk ids.
fn respond(schema: Schema, rows: &mut Vec<Row>, request: &StoreRequest) -> StoreResponse {
    let found = |fits: &dyn Fn(&Row) -> bool| StoreResponse::Rows(rows.iter().filter(|r| fits(r)).cloned().collect());
    match request {
        StoreRequest::FindByKey { key } => found(&|r| r.key == *key),
        StoreRequest::FindByClerkId { clerk_id } => found(&|r| r.clerk_id.as_ref() == Some(clerk_id)),
        StoreRequest::FindByEmail { email } => found(&|r| same(&r.email, email)),
        StoreRequest::UsernameTaken { username, except_key } => StoreResponse::Taken(
            rows.iter().any(|r| same(&r.username, username) && Some(&r.key) != except_key.as_ref()),
        ),
        StoreRequest::Create { changes } => {
            let mut row = Row { key: (rows.len() + 1).to_string(), ..Row::default() };
            changes.apply(&mut row);
            let clash = |r: &Row| {
                (schema.clerk_id && r.clerk_id == row.clerk_id) || same(&r.username, row.username.as_ref().unwrap())
            };
            if rows.iter().any(clash) {
                return StoreResponse::Conflict;
            }
            rows.push(row.clone());
            StoreResponse::Created(row.key)
        }
        StoreRequest::Update { key, changes, condition } => {
            match rows.iter_mut().find(|r| r.key == *key && condition.allows(r)) {
                Some(row) => changes.apply(row),
                None => return StoreResponse::Conflict,
            }
            StoreResponse::Updated
        }
    }
}

/// Runs a sync of a fetched user.
fn run(user: ClerkUser, rows: &mut Vec<Row>) -> (Result<Row, Reason>, Vec<SyncEvent>) {
    run_with(ALL, user, None, rows)
}

fn run_with(
    schema: Schema,
    user: ClerkUser,
    row_key: Option<&str>,
    rows: &mut Vec<Row>,
) -> (Result<Row, Reason>, Vec<SyncEvent>) {
    let (mut sync, mut next) = start(schema, Origin::Fetched, user.clone(), row_key);
    for _ in 0..100 {
        match next {
            Ok(Transition::Request(request)) => next = sync.on_response(respond(schema, rows, &request)),
            // Clerk gives the same user again.
            Ok(Transition::FetchUser { is_older: false, .. }) => {
                next = sync.resume(Snapshot { user: Arc::new(user.clone()), origin: Origin::Fetched });
            }
            Ok(Transition::Done(row)) => return (Ok(row), sync.events),
            Ok(other) => panic!("{other:?}"),
            Err(reason) => return (Err(reason), sync.events),
        }
    }
    panic!("the sync does not end");
}

fn run_from(
    origin: Origin,
    schema: Schema,
    user: ClerkUser,
    row_key: Option<&str>,
    rows: &mut Vec<Row>,
) -> (Next, Vec<SyncEvent>) {
    let (mut sync, mut next) = start(schema, origin, user, row_key);
    for _ in 0..100 {
        match next {
            Ok(Transition::Request(request)) => next = sync.on_response(respond(schema, rows, &request)),
            end => return (end, sync.events),
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
    for email in [PrimaryEmail::Unverified, PrimaryEmail::NoPrimary, PrimaryEmail::NoAddress] {
        assert_eq!(linked(ClerkUser { email, ..ada() }, unlinked.clone()), (false, true));
    }
    assert_eq!(linked(ada(), row("1", Some("user_bob"), "ada@example.com", "bob")), (false, true));
}

// Threat U4.
#[test]
fn unverified_email_is_neither_looked_for_nor_written() {
    let mut rows = vec![row("1", None, "ada@example.com", "boss")];
    let user = ClerkUser { email: PrimaryEmail::Unverified, ..ada() };
    let (made, events) = run(user, &mut rows);
    assert_eq!((made.unwrap().email, events), (None, vec![SyncEvent::Created]));
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
    assert!(run_with(ALL, ada(), Some("1"), &mut rows).0.unwrap().is_active);
    assert!(!rows[0].banned_by_clerk);
    rows[0].is_active = false;
    assert!(!run_with(ALL, ada(), Some("1"), &mut rows).0.unwrap().is_active);
    run(banned, &mut rows).0.unwrap();
    assert!(!run_with(ALL, ada(), Some("1"), &mut rows).0.unwrap().is_active);
}

/// A row inactive because of a ban, written from version 10.
fn banned_row() -> Row {
    Row {
        is_active: false,
        banned_by_clerk: true,
        clerk_updated_at_ms: Some(10),
        ..row("1", Some("user_ada"), "ada@example.com", "ada")
    }
}

#[test]
fn ban_is_lifted_only_by_a_later_fetch_or_a_newer_event() {
    for (origin, schema, version, is_lifted) in [
        (Origin::Fetched, ALL, 10, false),
        (Origin::Fetched, VERSIONED, 10, false),
        (Origin::Fetched, VERSIONED, 11, false),
        (Origin::Event, VERSIONED, 11, true),
        (Origin::Event, VERSIONED, 10, false),
        (Origin::Event, VERSIONED, 9, false),
        (Origin::Event, ALL, 11, false),
        (Origin::Cached, VERSIONED, 11, false),
        (Origin::Cached, ALL, 11, false),
    ] {
        let mut rows = vec![banned_row()];
        let user = ClerkUser { updated_at_ms: version, ..ada() };
        let (next, _) = run_from(origin, schema, user, None, &mut rows);
        let what = format!("{origin:?} {} {version}", schema.clerk_updated_at);
        assert_eq!(rows[0].is_active, is_lifted, "{what}");
        match next.unwrap() {
            Transition::Done(row) => assert!(is_lifted && row.is_active, "{what}"),
            Transition::FetchUser { row, is_older } => {
                assert_eq!((row.unwrap(), is_older, is_lifted), (banned_row(), version < 10, false), "{what}");
            }
            Transition::Request(request) => panic!("{request:?}"),
        }
    }
}

#[test]
fn user_fetched_after_the_row_was_read_lifts_its_ban() {
    for (schema, version, is_lifted) in
        [(ALL, 10, true), (VERSIONED, 10, true), (VERSIONED, 12, true), (VERSIONED, 9, false)]
    {
        let mut rows = vec![banned_row()];
        let (mut sync, next) = start(schema, Origin::Cached, ada(), None);
        let Ok(Transition::Request(request)) = next else { panic!() };
        let next = sync.on_response(respond(schema, &mut rows, &request));
        assert!(matches!(next, Ok(Transition::FetchUser { .. })));
        let user = Arc::new(ClerkUser { updated_at_ms: version, ..ada() });
        let mut next = sync.resume(Snapshot { user, origin: Origin::Fetched });
        while let Ok(Transition::Request(request)) = &next {
            next = sync.on_response(respond(schema, &mut rows, request));
        }
        assert_eq!(rows[0].is_active, is_lifted, "{version}");
        assert_eq!(matches!(next, Ok(Transition::Done(_))), is_lifted, "{version}");
    }
}

#[test]
fn ban_that_came_after_the_row_was_read_is_not_lifted() {
    // The ban of a table without versions leaves the row's version as it was.
    for banned in [banned_row(), Row { clerk_updated_at_ms: None, ..banned_row() }] {
        let mut rows = vec![row("1", Some("user_ada"), "other@example.com", "ada")];
        let (mut sync, _) = start(ALL, Origin::Cached, ada(), None);
        assert!(matches!(sync.on_response(StoreResponse::Rows(rows.clone())), Ok(Transition::FetchUser { .. })));
        // The row is read again after the fetch.
        assert!(sync.resume(Snapshot { user: Arc::new(ada()), origin: Origin::Fetched }).is_ok());
        sync.on_response(StoreResponse::Rows(rows.clone())).unwrap();
        // No other row has the new address.
        let Ok(Transition::Request(write)) = sync.on_response(StoreResponse::Rows(vec![])) else { panic!() };
        // Another process has linked something else meanwhile, and the row is banned when it is read again.
        assert!(matches!(write, StoreRequest::Update { .. }));
        rows[0] = banned;
        assert!(matches!(sync.on_response(StoreResponse::Conflict), Ok(Transition::Request(_))));
        assert!(matches!(sync.on_response(StoreResponse::Rows(rows)), Ok(Transition::FetchUser { .. })));
    }
}

/// Runs a sync of a fetched user; `change` runs before the first write.
fn run_changing(user: ClerkUser, rows: &mut Vec<Row>, change: impl FnOnce(&mut Row)) -> (Row, Vec<UpdateCondition>) {
    let mut change = Some(change);
    let (mut sync, mut next) = start(ALL, Origin::Fetched, user.clone(), None);
    let mut conditions = Vec::new();
    loop {
        next = match next.unwrap() {
            Transition::Request(request) => {
                if let StoreRequest::Update { condition, .. } = &request {
                    conditions.push(*condition);
                    change.take().into_iter().for_each(|change| change(&mut rows[0]));
                }
                sync.on_response(respond(ALL, rows, &request))
            }
            Transition::FetchUser { .. } => {
                sync.resume(Snapshot { user: Arc::new(user.clone()), origin: Origin::Fetched })
            }
            Transition::Done(row) => return (row, conditions),
        };
    }
}

#[test]
fn row_deactivated_before_the_write_is_neither_activated_nor_marked_as_banned() {
    let by_application = |row: &mut Row| (row.is_active, row.banned_by_clerk) = (false, false);
    let mut rows = vec![banned_row()];
    let (row, conditions) = run_changing(ada(), &mut rows, by_application);
    assert!(!row.is_active && !rows[0].is_active && !rows[0].banned_by_clerk);
    assert!(conditions[0].only_if_banned && !conditions[0].only_if_active);

    let mut rows = vec![row_of_ada()];
    let (row, conditions) = run_changing(ClerkUser { banned: true, ..ada() }, &mut rows, by_application);
    assert!(!row.is_active && !rows[0].banned_by_clerk);
    assert!(conditions[0].only_if_active && !conditions[0].only_if_banned);
    // Other changes have no such condition.
    let renamed = ClerkUser { first_name: Some("Augusta".into()), ..ada() };
    let (row, conditions) = run_changing(renamed, &mut vec![row_of_ada()], by_application);
    assert!(!conditions[0].only_if_active && !conditions[0].only_if_banned);
    assert_eq!(row.first_name.as_deref(), Some("Augusta"));
}

fn row_of_ada() -> Row {
    row("1", Some("user_ada"), "ada@example.com", "ada")
}

#[test]
fn row_that_changed_during_the_fetch_is_read_again() {
    let mut rows = vec![banned_row()];
    let (mut sync, _) = start(ALL, Origin::Cached, ada(), None);
    let next = sync.on_response(StoreResponse::Rows(rows.clone()));
    assert!(matches!(next, Ok(Transition::FetchUser { .. })));
    // The application has deactivated it.
    rows[0].banned_by_clerk = false;
    let mut next = sync.resume(Snapshot { user: Arc::new(ada()), origin: Origin::Fetched });
    while let Ok(Transition::Request(request)) = &next {
        next = sync.on_response(respond(ALL, &mut rows, request));
    }
    assert!(matches!(next, Ok(Transition::Done(row)) if !row.is_active) && !rows[0].is_active);
}

#[test]
fn event_changes_a_row_of_unknown_version_only_after_a_fetch() {
    let mut rows = vec![row("1", Some("user_ada"), "new@example.com", "ada")];
    let (next, _) = run_from(Origin::Event, VERSIONED, ada(), None, &mut rows);
    assert!(matches!(next, Ok(Transition::FetchUser { row: Some(_), is_older: false })));
    assert_eq!(rows[0].email.as_deref(), Some("new@example.com"));
}

#[test]
fn ban_on_a_row_with_unknown_version_is_not_lifted_by_an_event() {
    let mut rows = vec![Row { clerk_updated_at_ms: None, ..banned_row() }];
    let (next, _) = run_from(Origin::Event, VERSIONED, ClerkUser { updated_at_ms: 99, ..ada() }, None, &mut rows);
    assert!(matches!(next, Ok(Transition::FetchUser { is_older: false, .. })) && !rows[0].is_active);
}

#[test]
fn older_snapshot_writes_nothing_whatever_its_origin() {
    for origin in [Origin::Cached, Origin::Event, Origin::Fetched] {
        let current = Row {
            first_name: Some("Newer".into()),
            clerk_updated_at_ms: Some(11),
            ..row("1", Some("user_ada"), "new@example.com", "ada")
        };
        for banned in [false, true] {
            let mut rows = vec![current.clone()];
            let (next, events) = run_from(origin, VERSIONED, ClerkUser { banned, ..ada() }, None, &mut rows);
            assert_eq!(next, Ok(Transition::FetchUser { row: Some(current.clone()), is_older: true }));
            assert_eq!((rows, events), (vec![current.clone()], vec![]));
        }
    }
}

#[test]
fn row_that_became_newer_before_the_write_is_read_again() {
    let (mut sync, next) = start(VERSIONED, Origin::Fetched, ada(), None);
    let mut rows = vec![Row { clerk_updated_at_ms: Some(1), ..row("1", Some("user_ada"), "old@example.com", "ada") }];
    let Ok(Transition::Request(request)) = next else { panic!("{next:?}") };
    sync.on_response(respond(VERSIONED, &mut rows, &request)).unwrap();
    let Ok(Transition::Request(write)) = sync.on_response(StoreResponse::Rows(vec![])) else { panic!() };
    let expected = UpdateCondition { max_version: Some(10), ..UpdateCondition::default() };
    assert!(matches!(&write, StoreRequest::Update { condition, .. } if *condition == expected), "{write:?}");
    rows[0].clerk_updated_at_ms = Some(11);
    let again = sync.on_response(respond(VERSIONED, &mut rows, &write));
    assert!(matches!(again, Ok(Transition::Request(StoreRequest::FindByClerkId { .. }))));
    let end = sync.on_response(StoreResponse::Rows(rows.clone()));
    assert!(matches!(end, Ok(Transition::FetchUser { is_older: true, .. })));
    assert_eq!(rows[0].email.as_deref(), Some("old@example.com"));
}

#[test]
fn cached_user_neither_creates_nor_links_nor_changes_a_row() {
    for origin in [Origin::Cached, Origin::Event] {
        for schema in [ALL, VERSIONED, WITHOUT_IDS] {
            for mut rows in [vec![], vec![row("1", None, "ada@example.com", "ada")]] {
                let before = rows.clone();
                let (next, events) = run_from(origin, schema, ada(), None, &mut rows);
                assert_eq!(next, Ok(Transition::FetchUser { row: None, is_older: false }), "{origin:?}");
                assert_eq!((rows, events), (before, vec![]));
            }
        }
        let mut rows = vec![row("1", Some("user_ada"), "new@example.com", "ada")];
        let (next, _) = run_from(origin, ALL, ada(), None, &mut rows);
        assert!(matches!(next, Ok(Transition::FetchUser { row: Some(_), is_older: false })));
        assert_eq!(rows[0].email.as_deref(), Some("new@example.com"));
    }
    // What is known to be newer than the row may be written.
    let mut rows = vec![Row { clerk_updated_at_ms: Some(9), ..row("1", Some("user_ada"), "old@example.com", "ada") }];
    run_from(Origin::Cached, VERSIONED, ada(), None, &mut rows).0.unwrap();
    assert_eq!((rows[0].email.as_deref(), rows[0].clerk_updated_at_ms), (Some("ada@example.com"), Some(10)));
}

#[test]
fn ban_event_deactivates_the_row_of_a_table_without_versions() {
    let mut rows =
        vec![Row { first_name: Some("Kept".into()), ..row("1", Some("user_ada"), "kept@example.com", "ada") }];
    let (next, events) = run_from(Origin::Event, ALL, ClerkUser { banned: true, ..ada() }, None, &mut rows);
    // What else has changed waits for a fetch.
    assert!(matches!(next, Ok(Transition::FetchUser { row: Some(row), .. }) if !row.is_active && row.banned_by_clerk));
    assert_eq!((rows[0].first_name.as_deref(), events), (Some("Kept"), vec![SyncEvent::Updated]));
}

#[test]
fn row_is_linked_only_while_it_is_unlinked() {
    let (mut sync, _) = start(ALL, Origin::Fetched, ada(), None);
    let mut rows = vec![row("1", None, "ada@example.com", "ada")];
    sync.on_response(StoreResponse::Rows(vec![])).unwrap();
    let Ok(Transition::Request(write)) = sync.on_response(StoreResponse::Rows(rows.clone())) else { panic!() };
    let is_conditional = |request: &StoreRequest| {
        matches!(request, StoreRequest::Update { condition: UpdateCondition { only_if_unlinked: true, .. }, .. })
    };
    assert!(is_conditional(&write), "{write:?}");
    // Another Clerk user was faster.
    rows[0].clerk_id = Some("user_bob".into());
    let mut next = sync.on_response(respond(ALL, &mut rows, &write));
    while let Ok(Transition::Request(request)) = &next {
        next = sync.on_response(respond(ALL, &mut rows, request));
    }
    assert!(matches!(next, Ok(Transition::Done(row)) if row.key == "2"));
    assert_eq!(rows[0].clerk_id.as_deref(), Some("user_bob"));
    assert_eq!(sync.events, [SyncEvent::LinkConflict, SyncEvent::Created]);
}

#[test]
fn own_row_found_by_address_is_no_link_conflict() {
    let (mut sync, _) = start(ALL, Origin::Fetched, ada(), None);
    sync.on_response(StoreResponse::Rows(vec![])).unwrap();
    let own = row("1", Some("user_ada"), "ada@example.com", "ada");
    assert_eq!(sync.on_response(StoreResponse::Rows(vec![own.clone()])), Ok(Transition::Done(own)));
    assert!(sync.events.is_empty());
}

#[test]
fn address_of_a_deactivated_row_is_refused_to_another_user() {
    let deactivated = Row { is_active: false, ..row("1", Some("user_old"), "ada@example.com", "ada") };
    assert_eq!(run(ada(), &mut vec![deactivated.clone()]).0, Err(Reason::UserInactive));
    // A ban at Clerk is Clerk's to enforce.
    let banned = Row { banned_by_clerk: true, ..deactivated.clone() };
    assert!(run(ada(), &mut vec![banned]).0.unwrap().is_active);
    let rules = SyncRules { schema: ALL, link: LinkByEmail::Verified, block_deactivated_email: false };
    let snapshot = Snapshot { user: Arc::new(ada()), origin: Origin::Fetched };
    let (mut sync, _) = UserSync::start(snapshot, rules, None);
    sync.on_response(StoreResponse::Rows(vec![])).unwrap();
    let next = sync.on_response(StoreResponse::Rows(vec![deactivated]));
    assert!(matches!(next, Ok(Transition::Request(StoreRequest::UsernameTaken { .. }))));
}

// Threat H2.
#[test]
fn store_returning_another_row_is_rejected() {
    for rows in
        [vec![row("1", Some("user_bob"), "b", "b")], vec![row("1", None, "b", "b")], vec![row("1", None, "b", "b"); 2]]
    {
        let (mut sync, _) = start(ALL, Origin::Fetched, ada(), None);
        assert_eq!(sync.on_response(StoreResponse::Rows(rows)), Err(Reason::LinkConflict));
    }
    let (mut sync, _) = start(ALL, Origin::Fetched, ada(), None);
    assert_eq!(sync.on_response(StoreResponse::Updated), Err(Reason::StoreError));
}

#[test]
fn row_without_a_key_is_a_store_error() {
    let unkeyed = || StoreResponse::Rows(vec![row("", Some("user_ada"), "ada@example.com", "ada")]);
    for origin in [Origin::Fetched, Origin::Event, Origin::Cached] {
        let (mut sync, _) = start(VERSIONED, origin, ada(), None);
        assert_eq!(sync.on_response(unkeyed()), Err(Reason::StoreError), "{origin:?}");
    }
    let (mut sync, _) = start(WITHOUT_IDS, Origin::Fetched, ada(), None);
    assert_eq!(sync.on_response(unkeyed()), Err(Reason::StoreError));
}

#[test]
fn concurrently_created_row_is_found_and_updated() {
    let (mut sync, _) = start(ALL, Origin::Fetched, ada(), None);
    let mut next = |response| sync.on_response(response).unwrap();
    assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Request(StoreRequest::FindByEmail { .. })));
    assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Request(StoreRequest::UsernameTaken { .. })));
    assert!(matches!(next(StoreResponse::Taken(false)), Transition::Request(StoreRequest::Create { .. })));
    assert!(matches!(next(StoreResponse::Conflict), Transition::Request(StoreRequest::FindByClerkId { .. })));
    let concurrent = Row { first_name: Some("Other".into()), ..row("9", Some("user_ada"), "ada@example.com", "ada") };
    let Transition::Request(StoreRequest::Update { key, changes, .. }) = next(StoreResponse::Rows(vec![concurrent]))
    else {
        panic!()
    };
    assert_eq!((key.as_str(), changes.first_name.as_deref()), ("9", Some("Ada")));
    assert!(matches!(next(StoreResponse::Updated), Transition::Done(row) if row.first_name.as_deref() == Some("Ada")));
}

/// Runs a sync against a table in which every write conflicts. Returns the names and addresses it tried.
fn run_conflicting(rows_by_email: Vec<Row>) -> (Next, Vec<(String, Option<String>)>, u32) {
    let (mut sync, mut next) = start(ALL, Origin::Fetched, ada(), None);
    let (mut tried, mut lookups) = (Vec::new(), 0);
    while let Ok(Transition::Request(request)) = &next {
        let response = match request {
            StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
            StoreRequest::Create { changes } => {
                tried.push((changes.username.clone().unwrap(), changes.email.clone().unwrap()));
                StoreResponse::Conflict
            }
            StoreRequest::FindByEmail { .. } => StoreResponse::Rows(rows_by_email.clone()),
            _ => {
                lookups += 1;
                StoreResponse::Rows(vec![])
            }
        };
        next = sync.on_response(response);
    }
    (next, tried, lookups)
}

#[test]
fn repeated_conflicts_read_the_row_again_and_end_unavailable() {
    let (with, without) = (Some("ada@example.com".to_owned()), None);
    let (end, tried, lookups) = run_conflicting(vec![row("7", Some("user_bob"), "ada@example.com", "bob")]);
    assert_eq!((end, lookups), (Err(Reason::StoreError), 6));
    let names: Vec<&str> = tried.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, [["ada"; 2].as_slice(), &["clerk_user_ada"; 4]].concat());
    let emails: Vec<_> = tried.into_iter().map(|(_, email)| email).collect();
    assert_eq!(emails, [with.clone(), with.clone(), with.clone(), without.clone(), without.clone(), without]);
    // An address that no row has is not left out.
    let (end, tried, _) = run_conflicting(vec![]);
    assert_eq!(end, Err(Reason::StoreError));
    assert!(tried.into_iter().all(|(_, email)| email == with));
}

#[test]
fn oversized_values_are_truncated_or_omitted() {
    let schema = Schema { max_name_len: 2, max_email_len: 5, max_image_url_len: 3, ..ALL };
    let user = ClerkUser { image_url: Some("http://long".into()), ..ada() };
    let (mut sync, request) = start(schema, Origin::Fetched, user, None);
    assert!(matches!(request, Ok(Transition::Request(StoreRequest::FindByClerkId { .. }))));
    assert!(matches!(
        sync.on_response(StoreResponse::Rows(vec![])).unwrap(),
        Transition::Request(StoreRequest::UsernameTaken { .. })
    ));
    let Transition::Request(StoreRequest::Create { changes }) = sync.on_response(StoreResponse::Taken(false)).unwrap()
    else {
        panic!()
    };
    assert_eq!((changes.first_name.as_deref(), changes.email, changes.image_url), (Some("Ad"), Some(None), Some(None)));
}

// Threat U4.
#[test]
fn table_without_clerk_ids_refuses_an_unverified_email() {
    let in_table = |user: ClerkUser, row_key: Option<&str>, rows: &mut Vec<Row>| {
        run_with(WITHOUT_IDS, user, row_key, rows).0.map(|row| row.key)
    };
    for email in [PrimaryEmail::Unverified, PrimaryEmail::NoPrimary] {
        for row_key in [None, Some("1")] {
            let mut rows = vec![row("1", None, "ada@example.com", "ada")];
            assert_eq!(
                in_table(ClerkUser { email: email.clone(), ..ada() }, row_key, &mut rows),
                Err(Reason::LinkConflict)
            );
            assert_eq!(rows.len(), 1);
        }
    }
    let mut rows = Vec::new();
    let without_email_at_clerk = ClerkUser { email: PrimaryEmail::NoAddress, ..ada() };
    assert_eq!(in_table(without_email_at_clerk.clone(), None, &mut rows), Ok("1".into()));
    assert_eq!(in_table(without_email_at_clerk, Some("1"), &mut rows), Ok("1".into()));
    assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
    assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
    // The key was given to another person.
    rows[1].email = Some("bob@example.com".into());
    assert_eq!(in_table(ada(), Some("2"), &mut rows), Ok("3".into()));
    assert_eq!(rows[1].email.as_deref(), Some("bob@example.com"));
}

#[test]
fn table_without_clerk_ids_keeps_email_on_username_conflict() {
    let (mut sync, _) = start(WITHOUT_IDS, Origin::Fetched, ada(), None);
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
    let Transition::Request(StoreRequest::Create { changes }) = sync.on_response(StoreResponse::Taken(false)).unwrap()
    else {
        panic!()
    };
    assert_eq!(changes.username.as_deref(), Some("ada-2"));
    assert_eq!(changes.email, Some(Some("ada@example.com".into())));
}

#[test]
fn popular_username_costs_at_most_four_queries() {
    let (mut sync, mut next) = start(ALL, Origin::Fetched, ada(), None);
    let mut asked = Vec::new();
    while let Ok(Transition::Request(request)) = &next {
        let response = match request {
            StoreRequest::UsernameTaken { username, .. } => {
                asked.push(username.clone());
                StoreResponse::Taken(true)
            }
            StoreRequest::Create { changes } => {
                assert!(changes.username.as_deref().unwrap().starts_with("clerk_user_ada-"));
                StoreResponse::Created("1".into())
            }
            _ => StoreResponse::Rows(vec![]),
        };
        next = sync.on_response(response);
    }
    assert_eq!(asked, ["ada", "ada-2", "ada-3", "clerk_user_ada"]);
    assert!(matches!(next, Ok(Transition::Done(_))));
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
    let (mut sync, _) = start(only_id, Origin::Fetched, ada(), None);
    let Transition::Request(StoreRequest::Create { changes }) = sync.on_response(StoreResponse::Rows(vec![])).unwrap()
    else {
        panic!()
    };
    assert_eq!(changes, RowChanges { clerk_id: Some("user_ada".into()), ..RowChanges::default() });
    // Without a column that says otherwise, a row is active.
    let made = Row { key: "1".into(), clerk_id: Some("user_ada".into()), is_active: true, ..Row::default() };
    assert_eq!(sync.on_response(StoreResponse::Created("1".into())), Ok(Transition::Done(made)));
}

#[test]
fn response_to_another_write_is_a_store_error() {
    let written = |rows: Vec<Row>, answer: StoreResponse| {
        let (mut sync, mut next) = start(Schema::default(), Origin::Fetched, ada(), None);
        loop {
            let response = match next.unwrap() {
                Transition::Request(request) if request.is_write() => break,
                Transition::Request(StoreRequest::UsernameTaken { .. }) => StoreResponse::Taken(false),
                Transition::Request(_) => StoreResponse::Rows(rows.clone()),
                other => panic!("nothing was written: {other:?}"),
            };
            next = sync.on_response(response);
        }
        (sync.on_response(answer).map(|_| ()), sync.events)
    };
    let existing = || vec![Row { first_name: None, ..row("1", Some("user_ada"), "ada@example.com", "ada") }];
    assert_eq!(written(existing(), StoreResponse::Updated), (Ok(()), vec![SyncEvent::Updated]));
    assert_eq!(written(existing(), StoreResponse::Created("2".into())), (Err(Reason::StoreError), vec![]));
    assert_eq!(written(vec![], StoreResponse::Updated), (Err(Reason::StoreError), vec![]));
}

#[test]
fn update_of_the_version_alone_is_no_event() {
    let own = Row { clerk_updated_at_ms: Some(9), ..row("1", Some("user_ada"), "ada@example.com", "ada") };
    let mut rows = vec![own.clone()];
    let (row, events) = run_with(VERSIONED, ada(), None, &mut rows);
    assert_eq!((row.unwrap().clerk_updated_at_ms, events), (Some(10), vec![]));
    rows[0] = Row { first_name: None, ..own };
    assert_eq!(run_with(VERSIONED, ada(), None, &mut rows).1, [SyncEvent::Updated]);
}

// Threat H2.
#[test]
fn written_row_in_a_response_is_that_of_the_user() {
    let written = |rows: Vec<Row>, answer: Vec<Row>| {
        let (mut sync, mut next) = start(ALL, Origin::Fetched, ada(), None);
        while let Ok(Transition::Request(request)) = &next
            && !request.is_write()
        {
            next = sync.on_response(respond(ALL, &mut rows.clone(), request));
        }
        (sync.on_response(StoreResponse::Rows(answer)), sync.events)
    };
    let own = Row { is_active: false, ..row("1", Some("user_ada"), "ada@example.com", "ada") };
    let before = vec![Row { first_name: None, is_active: true, ..own.clone() }];
    for (rows, event) in [(vec![], SyncEvent::Created), (before.clone(), SyncEvent::Updated)] {
        assert_eq!(written(rows, vec![own.clone()]), (Ok(Transition::Done(own.clone())), vec![event]));
    }
    let of_bob = Row { clerk_id: Some("user_bob".into()), ..own.clone() };
    let elsewhere = Row { key: "2".into(), ..own.clone() };
    for (rows, answer, reason) in [
        (vec![], vec![of_bob.clone()], Reason::LinkConflict),
        (before.clone(), vec![of_bob], Reason::LinkConflict),
        (before.clone(), vec![elsewhere], Reason::LinkConflict),
        (before.clone(), vec![], Reason::StoreError),
        (before, vec![own.clone(), own], Reason::StoreError),
    ] {
        assert_eq!(written(rows, answer), (Err(reason), vec![]));
    }
}

#[test]
fn new_address_of_a_deactivated_row_is_refused_and_a_ban_is_written() {
    let deactivated = Row { is_active: false, ..row("2", Some("user_old"), "ada@example.com", "old") };
    let own = row("1", Some("user_ada"), "before@example.com", "ada");
    let mut rows = vec![own.clone(), deactivated.clone()];
    assert_eq!(run(ada(), &mut rows), (Err(Reason::UserInactive), vec![]));
    assert_eq!(rows[0], own);
    let (row, events) = run(ClerkUser { banned: true, ..ada() }, &mut rows);
    let row = row.unwrap();
    assert_eq!((row.email.as_deref(), row.is_active, row.banned_by_clerk), (Some("before@example.com"), false, true));
    assert_eq!(events, [SyncEvent::Updated]);
    // The address of a row that is active, or of one's own, is written.
    rows = vec![own, Row { is_active: true, ..deactivated }];
    assert_eq!(run(ada(), &mut rows).0.unwrap().email.as_deref(), Some("ada@example.com"));
}

#[test]
fn holder_of_a_new_address_is_looked_for_only_if_it_may_be_blocked() {
    let looks = |schema: Schema, block_deactivated_email: bool, email: &str| {
        let rules = SyncRules { schema, link: LinkByEmail::Verified, block_deactivated_email };
        let snapshot = Snapshot { user: Arc::new(ada()), origin: Origin::Fetched };
        let (mut sync, mut next) = UserSync::start(snapshot, rules, None);
        let (mut rows, mut looks) = (vec![row("1", Some("user_ada"), email, "ada")], 0);
        while let Ok(Transition::Request(request)) = &next {
            looks += usize::from(matches!(request, StoreRequest::FindByEmail { .. }));
            next = sync.on_response(respond(schema, &mut rows, request));
        }
        assert_eq!(rows[0].email.as_deref(), Some("ada@example.com"));
        looks
    };
    assert_eq!(looks(ALL, true, "before@example.com"), 1);
    assert_eq!(looks(ALL, true, "ada@example.com"), 0);
    assert_eq!(looks(ALL, false, "before@example.com"), 0);
    assert_eq!(looks(Schema { is_active: false, ..ALL }, true, "before@example.com"), 0);
}

#[test]
fn username_of_a_row_is_left_alone_from_the_second_conflict_on() {
    let own = row("1", Some("user_ada"), "ada@example.com", "before");
    let (mut sync, mut next) = start(ALL, Origin::Fetched, ada(), None);
    let mut written = Vec::new();
    while let Ok(Transition::Request(request)) = &next {
        let response = match request {
            StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
            StoreRequest::FindByEmail { .. } => StoreResponse::Rows(vec![]),
            StoreRequest::Update { changes, .. } => {
                written.push(changes.username.clone());
                StoreResponse::Conflict
            }
            _ => StoreResponse::Rows(vec![Row { first_name: None, ..own.clone() }]),
        };
        next = sync.on_response(response);
    }
    assert_eq!(next, Err(Reason::StoreError));
    let ada = || Some("ada".to_owned());
    assert_eq!(written, [ada(), ada(), None, None, None, None]);
}

#[test]
fn address_is_left_out_after_three_conflicts_only_if_another_row_has_it() {
    let updates = |holders: Vec<Row>| {
        let own = row("1", Some("user_ada"), "before@example.com", "ada");
        let (mut sync, mut next) = start(ALL, Origin::Fetched, ada(), None);
        let mut written = Vec::new();
        while let Ok(Transition::Request(request)) = &next {
            let response = match request {
                StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
                StoreRequest::FindByEmail { .. } => StoreResponse::Rows(holders.clone()),
                StoreRequest::Update { changes, .. } => {
                    written.push(changes.email.is_some());
                    StoreResponse::Conflict
                }
                _ => StoreResponse::Rows(vec![Row { first_name: None, ..own.clone() }]),
            };
            next = sync.on_response(response);
        }
        assert_eq!(next, Err(Reason::StoreError));
        (written, sync.events)
    };
    let holder = row("2", Some("user_bob"), "ada@example.com", "bob");
    assert_eq!(updates(vec![holder]), (vec![true, true, true, false, false, false], vec![SyncEvent::LinkConflict]));
    assert_eq!(updates(vec![]), (vec![true; 6], vec![]));
}
