//! The sync of a user's row: with a store that answers anything, and with an honest one.

use std::sync::{Arc, OnceLock};

use clerk_auth::LinkByEmail;
use clerk_auth::internals::ClerkUser;
use clerk_auth::internals::parts::{Origin, PrimaryEmail, Snapshot, SyncRules, Transition, UserSync};
use clerk_auth::users::{Row, RowChanges, Schema, StoreRequest, StoreResponse};

use crate::input::Input;
use crate::limits::watch;

/// More steps than any sync needs.
const MAX_STEPS: usize = 200;

fn name(input: &mut Input<'_>) -> Option<String> {
    let names = ["ada", "bob", "ADA", "ada-2", "clerk_user_a", "", " ", "a@x", "b@x", "A@X", "long-long-long-name"];
    match input.byte() {
        0..=40 => None,
        n @ 41..=200 => Some(names[usize::from(n) % names.len()].to_owned()),
        _ => Some(input.string()),
    }
}

fn id(input: &mut Input<'_>) -> String {
    input.one_of(&["user_a", "user_b", "USER_A"]).to_owned()
}

fn user(input: &mut Input<'_>) -> ClerkUser {
    let email = match input.below(5) {
        0 => PrimaryEmail::NoAddress,
        1 => PrimaryEmail::NoPrimary,
        2 => PrimaryEmail::Unverified,
        _ => PrimaryEmail::Verified(input.one_of(&["a@x", "b@x", "A@X"]).to_owned()),
    };
    let non_empty = |name: Option<String>| name.filter(|name| !name.is_empty() && !name.contains('\0'));
    ClerkUser {
        id: "user_a".into(),
        username: non_empty(name(input)),
        first_name: non_empty(name(input)),
        last_name: non_empty(name(input)),
        email,
        image_url: non_empty(name(input)),
        last_active_at_ms: input.flag().then(|| i64::from(input.byte())),
        banned: input.byte() & 3 == 3,
        deprovisioned: input.byte() & 7 == 7,
        updated_at_ms: i64::from(input.byte() % 4),
        ..ClerkUser::default()
    }
}

fn schema(input: &mut Input<'_>) -> Schema {
    let bits = u16::from(input.byte()) | u16::from(input.byte()) << 8;
    let has = |bit: u16| bits & 1 << bit == 0;
    let clerk_id = has(0);
    Schema {
        clerk_id,
        email: has(1) || !clerk_id,
        username: has(2),
        first_name: has(3),
        last_name: has(4),
        image_url: has(5),
        last_active_at: has(6),
        is_active: has(7),
        banned_by_clerk: has(8),
        clerk_updated_at: !has(9),
        max_username_len: if has(10) { 0 } else { 5 },
        max_email_len: if has(11) { 0 } else { 3 },
        max_name_len: if has(12) { 0 } else { 2 },
        max_image_url_len: if has(13) { 0 } else { 4 },
    }
}

fn row(input: &mut Input<'_>) -> Row {
    Row {
        key: input.one_of(&["1", "2", "3", "", "1"]).to_owned(),
        clerk_id: input.flag().then(|| id(input)),
        email: name(input),
        username: name(input),
        first_name: name(input),
        last_name: name(input),
        image_url: name(input),
        last_active_at_ms: input.flag().then(|| i64::from(input.byte())),
        is_active: input.byte() & 3 != 3,
        banned_by_clerk: input.byte() & 3 == 3,
        clerk_updated_at_ms: input.flag().then(|| i64::from(input.byte() % 4)),
    }
}

/// A table that does what it is asked to do.
struct Table {
    rows: Vec<Row>,
    schema: Schema,
    writes: usize,
}

fn same(own: Option<&String>, other: &str) -> bool {
    own.is_some_and(|own| own.eq_ignore_ascii_case(other))
}

fn apply(changes: &RowChanges, row: &mut Row) {
    fn set<T: Clone>(column: &mut T, value: &Option<T>) {
        if let Some(value) = value {
            *column = value.clone();
        }
    }
    set(&mut row.clerk_id, &changes.clerk_id.clone().map(Some));
    set(&mut row.email, &changes.email);
    set(&mut row.username, &changes.username.clone().map(Some));
    set(&mut row.first_name, &changes.first_name.clone().map(Some));
    set(&mut row.last_name, &changes.last_name.clone().map(Some));
    set(&mut row.image_url, &changes.image_url);
    set(&mut row.last_active_at_ms, &changes.last_active_at_ms);
    set(&mut row.is_active, &changes.is_active);
    set(&mut row.banned_by_clerk, &changes.banned_by_clerk);
    set(&mut row.clerk_updated_at_ms, &changes.clerk_updated_at_ms.map(Some));
}

impl Table {
    fn find(&self, fits: impl Fn(&Row) -> bool) -> StoreResponse {
        StoreResponse::Rows(self.rows.iter().filter(|row| fits(row)).cloned().collect())
    }

    /// Whether a row may have these values beside the others: Clerk ids and usernames are unique.
    fn is_free(&self, key: &str, row: &Row) -> bool {
        let differs = |own: &Option<String>, other: &Option<String>| match (own, other) {
            (Some(own), Some(other)) => !own.eq_ignore_ascii_case(other),
            _ => true,
        };
        self.rows.iter().filter(|other| other.key != key).all(|other| {
            (!self.schema.clerk_id || row.clerk_id.is_none() || row.clerk_id != other.clerk_id)
                && (!self.schema.username || differs(&row.username, &other.username))
        })
    }

    fn execute(&mut self, request: &StoreRequest) -> StoreResponse {
        match request {
            StoreRequest::FindByKey { key } => self.find(|row| row.key == *key),
            StoreRequest::FindByClerkId { clerk_id } => self.find(|row| row.clerk_id.as_ref() == Some(clerk_id)),
            StoreRequest::FindByEmail { email } => self.find(|row| same(row.email.as_ref(), email)),
            StoreRequest::UsernameTaken { username, except_key } => StoreResponse::Taken(
                self.rows
                    .iter()
                    .any(|row| same(row.username.as_ref(), username) && except_key.as_ref() != Some(&row.key)),
            ),
            StoreRequest::Create { changes } => {
                let key = format!("new-{}", self.rows.len());
                let mut row = Row { key: key.clone(), is_active: true, ..Row::default() };
                apply(changes, &mut row);
                if !self.is_free(&key, &row) {
                    return StoreResponse::Conflict;
                }
                self.writes += 1;
                self.rows.push(row);
                StoreResponse::Created(key)
            }
            StoreRequest::Update { key, changes, condition } => {
                let Some(at) = self.rows.iter().position(|row| row.key == *key) else { return StoreResponse::Conflict };
                let mut row = self.rows[at].clone();
                if !condition.allows(&row) {
                    return StoreResponse::Conflict;
                }
                apply(changes, &mut row);
                if !self.is_free(key, &row) {
                    return StoreResponse::Conflict;
                }
                self.writes += 1;
                self.rows[at] = row;
                StoreResponse::Updated
            }
        }
    }
}

/// What no store may make the sync ask for.
fn check_request(request: &StoreRequest, user: &ClerkUser, seen: &[Row], schema: &Schema) {
    let changes = match request {
        StoreRequest::Create { changes } => changes,
        StoreRequest::Update { key, changes, condition } => {
            let rows: Vec<_> = seen.iter().filter(|row| row.key == *key).collect();
            assert!(!rows.is_empty(), "a row that the store never returned is updated");
            assert!(!key.is_empty() && !changes.is_empty(), "an update of nothing");
            if schema.clerk_id {
                let is_own = |row: &&&Row| row.clerk_id.as_ref().is_none_or(|id| *id == user.id);
                assert!(rows.iter().any(|row| is_own(&row)), "another user's row is updated");
                let was_linked = rows.iter().any(|row| row.clerk_id.as_ref() == Some(&user.id));
                assert!(was_linked || condition.only_if_unlinked, "linked without the condition");
            }
            if changes.is_active == Some(true) {
                assert!(rows.iter().any(|row| row.banned_by_clerk && !row.is_active), "activated without a ban");
                assert!(!user.is_blocked(), "a blocked user is activated");
                assert!(condition.only_if_banned, "activated without the condition");
            }
            assert!(changes.is_active != Some(false) || condition.only_if_active, "banned without the condition");
            assert!(!schema.clerk_updated_at || condition.max_version == Some(user.updated_at_ms));
            changes
        }
        _ => return,
    };
    assert!(changes.clerk_id.as_ref().is_none_or(|id| *id == user.id), "another user's id is written");
    let own = user.verified_primary_email();
    let email = changes.email.as_ref().and_then(Option::as_deref);
    assert!(email.is_none() || email == own, "an address that Clerk has not verified is written");
    let has = [
        (changes.clerk_id.is_some(), schema.clerk_id),
        (changes.email.is_some(), schema.email),
        (changes.username.is_some(), schema.username),
        (changes.first_name.is_some(), schema.first_name),
        (changes.last_name.is_some(), schema.last_name),
        (changes.image_url.is_some(), schema.image_url),
        (changes.last_active_at_ms.is_some(), schema.last_active_at),
        (changes.is_active.is_some(), schema.is_active),
        (changes.banned_by_clerk.is_some(), schema.is_active && schema.banned_by_clerk),
        (changes.clerk_updated_at_ms.is_some(), schema.clerk_updated_at),
    ];
    assert!(has.iter().all(|(written, exists)| *exists || !written), "a column that does not exist is written");
    let length = |value: Option<&str>, max: u32| max == 0 || value.is_none_or(|v| v.chars().count() <= max as usize);
    assert!(length(email, schema.max_email_len) && length(changes.username.as_deref(), schema.max_username_len));
    assert!(length(changes.first_name.as_deref(), schema.max_name_len));
}

/// Whether requests and responses are printed, to understand a finding.
fn is_traced() -> bool {
    static IS_TRACED: OnceLock<bool> = OnceLock::new();
    *IS_TRACED.get_or_init(|| std::env::var_os("FUZZ_TRACE").is_some())
}

/// Runs one sync. Returns the row, if it succeeded.
fn run(
    user: &Arc<ClerkUser>,
    origin: Origin,
    rules: SyncRules,
    row_key: Option<String>,
    mut answer: impl FnMut(&StoreRequest) -> StoreResponse,
) -> Option<Row> {
    let snapshot = |origin| Snapshot { user: user.clone(), origin };
    if is_traced() {
        eprintln!("{origin:?} {row_key:?} {user:?} {rules:?}");
    }
    let (mut sync, mut next) = watch(|| UserSync::start(snapshot(origin), rules, row_key));
    let mut seen: Vec<Row> = Vec::new();
    let mut fetches = 0;
    for _ in 0..MAX_STEPS {
        match next {
            Ok(Transition::Done(row)) => {
                assert!(!row.key.is_empty());
                assert!(!rules.schema.clerk_id || row.clerk_id.as_ref() == Some(&user.id), "another user's row");
                return Some(row);
            }
            Ok(Transition::FetchUser { .. }) => {
                fetches += 1;
                // As `client/webhooks.rs`, which gives up after three.
                if fetches > 3 {
                    return None;
                }
                next = watch(|| sync.resume(snapshot(Origin::Fetched)));
            }
            Ok(Transition::Request(request)) => {
                check_request(&request, user, &seen, &rules.schema);
                let response = answer(&request);
                if let StoreResponse::Rows(rows) = &response {
                    seen.extend(rows.iter().cloned());
                }
                if is_traced() {
                    eprintln!("{request:?}\n    {response:?}");
                }
                next = watch(|| sync.on_response(response));
            }
            Err(_) => return None,
        }
    }
    panic!("the sync does not end");
}

/// Input: the user, the rules, then the answers of a hostile store or the rows of an honest one.
pub fn sync(data: &[u8]) {
    let mut input = Input(data);
    let is_honest = input.flag();
    let origin = input.one_of(&[Origin::Cached, Origin::Event, Origin::Fetched]);
    let rules = SyncRules {
        schema: schema(&mut input),
        link: input.one_of(&[LinkByEmail::Verified, LinkByEmail::Never]),
        block_deactivated_email: input.flag(),
    };
    let row_key = input.one_of(&[None, Some("1"), Some("2"), Some("")]).map(str::to_owned);
    let user = Arc::new(user(&mut input));
    if !is_honest {
        run(&user, origin, rules, row_key, |_| match input.below(8) {
            0..=3 => StoreResponse::Rows((0..input.below(4)).map(|_| row(&mut input)).collect()),
            4 => StoreResponse::Taken(input.flag()),
            5 => StoreResponse::Created(input.one_of(&["9", ""]).to_owned()),
            6 => StoreResponse::Updated,
            _ => StoreResponse::Conflict,
        });
        return;
    }
    let mut table = Table { rows: Vec::new(), schema: rules.schema, writes: 0 };
    for key in 0..input.below(5) {
        let row = Row { key: (key + 1).to_string(), ..row(&mut input) };
        if table.is_free(&row.key, &row) {
            table.rows.push(row);
        }
    }
    let before = table.rows.clone();
    let Some(first) = run(&user, origin, rules, row_key, |request| table.execute(request)) else { return };
    if rules.schema.clerk_id {
        for old in before.iter().filter(|row| row.clerk_id.as_ref().is_some_and(|id| *id != user.id)) {
            assert!(table.rows.contains(old), "another user's row has changed");
        }
        let own = table.rows.iter().filter(|row| row.clerk_id.as_ref() == Some(&user.id));
        assert_eq!(own.count(), 1, "not exactly one row of the user");
    }
    for old in before.iter().filter(|row| !row.is_active && !row.banned_by_clerk) {
        assert!(table.rows.iter().any(|row| row.key == old.key && !row.is_active), "re-activated");
    }
    if user.is_blocked() && rules.schema.is_active && origin == Origin::Fetched {
        assert!(!first.is_active, "a blocked user stays active");
    }
    // The same user once more changes nothing.
    let writes = table.writes;
    let again = run(&user, Origin::Fetched, rules, Some(first.key.clone()), |request| table.execute(request));
    let again = again.expect("a second sync of the same user fails");
    assert_eq!(again.key, first.key, "the second sync finds another row");
    if origin == Origin::Fetched {
        assert_eq!(table.writes, writes, "the second sync writes again");
    }
}
