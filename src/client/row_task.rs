//! One user's row: when it was last confirmed, and the store requests that find, check and update it. No I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::api::ClerkUser;
use crate::clock::Now;
use crate::config::LinkByEmail;
use crate::reason::Reason;
use crate::users::{Row, Schema, StoreError, StoreRequest, StoreResponse, SyncEvent, Transition, UserSync};

/// When the store last confirmed that a row exists and is active.
pub(super) struct RowCheck(AtomicI64);

impl RowCheck {
    /// Starts with a confirmation at `confirmed_ms`; `i64::MIN` for none.
    pub fn new(confirmed_ms: i64) -> Self {
        RowCheck(AtomicI64::new(confirmed_ms))
    }

    pub fn confirmed_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the confirmation is younger than `ttl_ms`.
    pub fn is_fresh(&self, now: Now, ttl_ms: i64) -> bool {
        now.mono_ms.saturating_sub(self.confirmed_ms()) < ttl_ms
    }

    pub fn confirm(&self, now: Now) {
        self.0.fetch_max(now.mono_ms, Ordering::Relaxed);
    }

    pub fn reset(&self) {
        self.0.store(i64::MIN, Ordering::Relaxed);
    }
}

/// The outcome of a task.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RowOutcome {
    /// The row of a check.
    Confirmed(Row),
    /// The row of a synchronization, up to date.
    Synced(Row),
    /// The row that was checked does not exist or belongs to another user.
    Missing,
    /// The rules of the synchronization reject the row.
    Refused(Reason),
    /// The store failed.
    Failed(StoreError),
}

/// A check or a synchronization of one row.
pub(super) struct RowTask {
    work: Work,
    request: StoreRequest,
}

enum Work {
    /// The Clerk id that the row must have, in tables with such a column.
    Check {
        key: String,
        clerk_id: Option<String>,
    },
    Sync(Box<UserSync>),
}

/// What follows a response.
#[expect(clippy::large_enum_variant, reason = "matched at once, never stored")]
pub(super) enum TaskStep {
    Ask(Box<RowTask>),
    /// Done, with what the synchronization did, for the events.
    Done(RowOutcome, Vec<SyncEvent>),
}

impl RowTask {
    /// Checks that the row with this key exists and still belongs to the user.
    pub fn check(key: &str, clerk_id: &str, schema: &Schema) -> Box<Self> {
        let key = key.to_owned();
        let request = StoreRequest::FindByKey { key: key.clone() };
        Box::new(RowTask { work: Work::Check { key, clerk_id: schema.clerk_id.then(|| clerk_id.to_owned()) }, request })
    }

    /// Finds or creates the user's row and updates it. `own_key` is the row of an earlier synchronization.
    pub fn sync(user: Arc<ClerkUser>, schema: Schema, link: LinkByEmail, own_key: Option<String>) -> Box<Self> {
        let (sync, request) = UserSync::start(user, schema, link, own_key);
        Box::new(RowTask { work: Work::Sync(Box::new(sync)), request })
    }

    /// Returns the request to the store.
    pub fn request(&self) -> &StoreRequest {
        &self.request
    }

    /// Takes the store's response.
    pub fn submit(self: Box<Self>, response: Result<StoreResponse, StoreError>) -> TaskStep {
        let response = match (response, self.work) {
            (Err(error), Work::Check { .. }) => return TaskStep::Done(RowOutcome::Failed(error), Vec::new()),
            (Err(error), Work::Sync(sync)) => return TaskStep::Done(RowOutcome::Failed(error), sync.events),
            (Ok(response), work) => (response, work),
        };
        match response {
            (StoreResponse::Rows(rows), Work::Check { key, clerk_id }) => {
                let row = matching_row(rows, &key, clerk_id.as_deref());
                TaskStep::Done(row.map_or(RowOutcome::Missing, RowOutcome::Confirmed), Vec::new())
            }
            (_, Work::Check { .. }) => TaskStep::Done(RowOutcome::Refused(Reason::StoreError), Vec::new()),
            (response, Work::Sync(mut sync)) => match sync.on_response(response) {
                Ok(Transition::Request(request)) => {
                    TaskStep::Ask(Box::new(RowTask { work: Work::Sync(sync), request }))
                }
                Ok(Transition::Done(row)) => TaskStep::Done(RowOutcome::Synced(row), sync.events),
                Err(reason) => TaskStep::Done(RowOutcome::Refused(reason), sync.events),
            },
        }
    }
}

/// Returns the row if the response is exactly one row with the requested key; another row, or two, count as missing.
fn matching_row(rows: Vec<Row>, key: &str, clerk_id: Option<&str>) -> Option<Row> {
    let [row] = <[Row; 1]>::try_from(rows).ok()?;
    (row.key == key && (clerk_id.is_none() || row.clerk_id.as_deref() == clerk_id)).then_some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: &str, clerk_id: &str) -> Row {
        Row { key: key.into(), clerk_id: Some(clerk_id.into()), is_active: true, ..Row::default() }
    }

    fn checked(schema: &Schema, response: Result<StoreResponse, StoreError>) -> RowOutcome {
        match RowTask::check("1", "user_1", schema).submit(response) {
            TaskStep::Done(outcome, events) if events.is_empty() => outcome,
            _ => panic!("a check is one question and no event"),
        }
    }

    #[test]
    fn check_finds_only_the_users_own_row() {
        let schema = Schema::default();
        let rows = |rows: &[Row]| checked(&schema, Ok(StoreResponse::Rows(rows.to_vec())));
        assert_eq!(rows(&[row("1", "user_1")]), RowOutcome::Confirmed(row("1", "user_1")));
        for others in [vec![], vec![row("2", "user_1")], vec![row("1", "user_2")], vec![row("1", "user_1"); 2]] {
            assert_eq!(rows(&others), RowOutcome::Missing, "{others:?}");
        }
        let without_ids = Schema { clerk_id: false, ..schema };
        let own = row("1", "anything");
        assert_eq!(checked(&without_ids, Ok(StoreResponse::Rows(vec![own.clone()]))), RowOutcome::Confirmed(own));
    }

    #[test]
    fn response_to_another_question_is_a_store_error() {
        let schema = Schema::default();
        assert_eq!(checked(&schema, Ok(StoreResponse::Updated)), RowOutcome::Refused(Reason::StoreError));
        assert_eq!(checked(&schema, Err(StoreError::Conflict)), RowOutcome::Failed(StoreError::Conflict));
        let user = Arc::new(ClerkUser { id: "user_1".into(), ..ClerkUser::default() });
        let task = RowTask::sync(user, schema, LinkByEmail::Verified, None);
        assert!(matches!(task.request(), StoreRequest::FindByClerkId { .. }));
        let step = task.submit(Ok(StoreResponse::Taken(true)));
        assert!(matches!(step, TaskStep::Done(RowOutcome::Refused(Reason::StoreError), _)));
    }

    #[test]
    fn confirmation_is_fresh_for_its_ttl() {
        let at = |mono_ms| Now { wall_ms: 0, mono_ms };
        let check = RowCheck::new(i64::MIN);
        assert!(!check.is_fresh(at(0), 1000));
        check.confirm(at(500));
        check.confirm(at(400));
        assert!(check.is_fresh(at(1499), 1000) && !check.is_fresh(at(1500), 1000) && !check.is_fresh(at(500), 0));
        check.reset();
        assert!(!check.is_fresh(at(500), 1000));
    }
}
