//! The deactivation of a deleted user's row: a state machine that yields store requests, takes their responses and does no I/O.

use super::{Row, RowChanges, RowOwner, Schema, StoreRequest, StoreResponse, UpdateCondition};
use crate::reason::Reason;

/// Conflicts after which a deactivation ends.
const MAX_CONFLICTS: u32 = 6;

/// The deactivation of the row of a user that Clerk has deleted. The row is then as one that the application has deactivated:
/// no snapshot of the user, however late, activates it again.
#[derive(Debug)]
pub struct Deactivation {
    clerk_id: String,
    schema: Schema,
    /// The row that is being written.
    row: Option<Row>,
    conflicts: u32,
}

/// What follows a response of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeactivationStep {
    /// Another request to the store.
    Request(StoreRequest),
    /// The user has no row.
    NoRow,
    /// The row is deactivated; whether it was written.
    Done(Row, bool),
}

impl Deactivation {
    /// Starts a deactivation. Returns it and the first request. The table must have columns for Clerk ids and `is_active`.
    pub fn start(clerk_id: String, schema: Schema) -> (Self, StoreRequest) {
        let deactivation = Deactivation { clerk_id, schema, row: None, conflicts: 0 };
        let request = deactivation.find();
        (deactivation, request)
    }

    /// Takes the store's response to the last request. Returns what to do next.
    ///
    /// # Errors
    ///
    /// [`Reason::LinkConflict`] for the row of another user, or several rows; [`Reason::StoreError`] if the response does not fit
    /// the request, or after too many conflicts.
    pub fn on_response(&mut self, response: StoreResponse) -> Result<DeactivationStep, Reason> {
        match (self.row.take(), response) {
            (None, StoreResponse::Rows(rows)) if rows.is_empty() => Ok(DeactivationStep::NoRow),
            (None, StoreResponse::Rows(rows)) => self.deactivate(self.own_row(rows)?),
            (Some(mut row), StoreResponse::Updated) => {
                self.changes().apply(&mut row);
                Ok(DeactivationStep::Done(row, true))
            }
            (Some(row), StoreResponse::Rows(rows)) => {
                let written = self.own_row(rows)?;
                if written.key != row.key || written.is_active {
                    return Err(Reason::StoreError);
                }
                Ok(DeactivationStep::Done(written, true))
            }
            // The row has been deleted or changed: it is looked up again.
            (Some(_), StoreResponse::Conflict) => {
                self.conflicts += 1;
                if self.conflicts == MAX_CONFLICTS {
                    return Err(Reason::StoreError);
                }
                Ok(DeactivationStep::Request(self.find()))
            }
            _ => Err(Reason::StoreError),
        }
    }

    fn find(&self) -> StoreRequest {
        StoreRequest::FindByClerkId { clerk_id: self.clerk_id.clone() }
    }

    fn own_row(&self, rows: Vec<Row>) -> Result<Row, Reason> {
        match <[Row; 1]>::try_from(rows) {
            Ok([row]) if row.key.is_empty() => Err(Reason::StoreError),
            Ok([row]) if RowOwner::new(&self.clerk_id, None, None).owns(&row, &self.schema) => Ok(row),
            Ok(_) | Err(_) => Err(Reason::LinkConflict),
        }
    }

    /// A row that is inactive because of a ban is written too: a late event could lift the ban.
    fn deactivate(&mut self, row: Row) -> Result<DeactivationStep, Reason> {
        let is_banned = self.schema.banned_by_clerk && row.banned_by_clerk;
        if !(row.is_active || is_banned) {
            return Ok(DeactivationStep::Done(row, false));
        }
        // Without a condition: whatever was written meanwhile, the user is deleted.
        let (key, condition) = (row.key.clone(), UpdateCondition::default());
        self.row = Some(row);
        Ok(DeactivationStep::Request(StoreRequest::Update { key, changes: self.changes(), condition }))
    }

    fn changes(&self) -> RowChanges {
        RowChanges {
            is_active: Some(false),
            banned_by_clerk: self.schema.banned_by_clerk.then_some(false),
            ..RowChanges::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(is_active: bool, banned_by_clerk: bool) -> Row {
        Row { key: "1".into(), clerk_id: Some("user_1".into()), is_active, banned_by_clerk, ..Row::default() }
    }

    fn start(schema: Schema) -> Deactivation {
        let (deactivation, first) = Deactivation::start("user_1".into(), schema);
        assert_eq!(first, StoreRequest::FindByClerkId { clerk_id: "user_1".into() });
        deactivation
    }

    fn update(banned_by_clerk: Option<bool>) -> DeactivationStep {
        let changes = RowChanges { is_active: Some(false), banned_by_clerk, ..RowChanges::default() };
        let condition = UpdateCondition::default();
        DeactivationStep::Request(StoreRequest::Update { key: "1".into(), changes, condition })
    }

    #[test]
    fn active_and_banned_rows_are_written_as_deactivated() {
        for found in [row(true, false), row(false, true), row(true, true)] {
            let mut deactivation = start(Schema::default());
            assert_eq!(deactivation.on_response(StoreResponse::Rows(vec![found])), Ok(update(Some(false))));
            let done = deactivation.on_response(StoreResponse::Updated);
            assert_eq!(done, Ok(DeactivationStep::Done(row(false, false), true)));
        }
        let mut without_bans = start(Schema { banned_by_clerk: false, ..Schema::default() });
        assert_eq!(without_bans.on_response(StoreResponse::Rows(vec![row(true, false)])), Ok(update(None)));
    }

    #[test]
    fn row_that_is_deactivated_or_missing_is_not_written() {
        let found = start(Schema::default()).on_response(StoreResponse::Rows(vec![row(false, false)]));
        assert_eq!(found, Ok(DeactivationStep::Done(row(false, false), false)));
        assert_eq!(start(Schema::default()).on_response(StoreResponse::Rows(vec![])), Ok(DeactivationStep::NoRow));
    }

    #[test]
    fn row_of_another_user_or_several_rows_are_a_conflict() {
        let of_another = Row { clerk_id: Some("USER_1".into()), ..row(true, false) };
        for rows in [vec![of_another], vec![row(true, false); 2]] {
            assert_eq!(start(Schema::default()).on_response(StoreResponse::Rows(rows)), Err(Reason::LinkConflict));
        }
    }

    #[test]
    fn changed_row_is_looked_up_again_a_limited_number_of_times() {
        let mut deactivation = start(Schema::default());
        for conflicts in 1..=MAX_CONFLICTS {
            assert_eq!(deactivation.on_response(StoreResponse::Rows(vec![row(true, false)])), Ok(update(Some(false))));
            match deactivation.on_response(StoreResponse::Conflict) {
                Ok(DeactivationStep::Request(StoreRequest::FindByClerkId { .. })) => assert!(conflicts < MAX_CONFLICTS),
                ended => assert_eq!((ended, conflicts), (Err(Reason::StoreError), MAX_CONFLICTS)),
            }
        }
    }

    #[test]
    fn response_that_does_not_fit_is_a_store_error() {
        for response in [StoreResponse::Updated, StoreResponse::Taken(true), StoreResponse::Conflict] {
            assert_eq!(start(Schema::default()).on_response(response), Err(Reason::StoreError));
        }
        for written in [vec![row(true, false)], vec![Row { key: "2".into(), ..row(false, false) }]] {
            let mut deactivation = start(Schema::default());
            deactivation.on_response(StoreResponse::Rows(vec![row(true, false)])).unwrap();
            assert_eq!(deactivation.on_response(StoreResponse::Rows(written)), Err(Reason::StoreError));
        }
    }
}
