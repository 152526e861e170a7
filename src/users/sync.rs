//! The sync of one user's row: a state machine that yields store requests, takes their responses and does no I/O.
//!
//! A row is found by Clerk id, or else by the verified primary email address if it belongs to no Clerk user yet, or else
//! created.

use std::sync::Arc;

use super::diff::{diff, fits};
use super::username::UsernameCandidates;
use super::{Row, RowChanges, Schema, StoreRequest, StoreResponse};
use crate::api::ClerkUser;
use crate::config::LinkByEmail;
use crate::reason::Reason;

/// What follows a response of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Another request to the store.
    Request(StoreRequest),
    /// The sync is done; this is the user's row.
    Done(Row),
}

/// What a sync did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncEvent {
    /// A row was created.
    Created,
    /// A row was updated.
    Updated,
    /// A row without a Clerk user was linked to the user by email address.
    Linked,
    /// Rows with the user's email address exist, but none could be linked.
    LinkConflict,
}

/// The response that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FindByKey,
    FindByClerkId,
    FindByEmail,
    CheckUsername,
    Write,
    Done,
}

/// The sync of one user's row.
#[derive(Debug)]
pub struct UserSync {
    user: Arc<ClerkUser>,
    schema: Schema,
    link: LinkByEmail,
    state: State,
    row: Option<Row>,
    row_key: Option<String>,
    is_linking: bool,
    omit_email: bool,
    omit_username: bool,
    conflicts: u32,
    usernames: UsernameCandidates,
    username: Option<String>,
    changes: RowChanges,
    /// What happened so far, in order.
    pub events: Vec<SyncEvent>,
}

impl UserSync {
    /// Starts a sync. Returns it and its first request. `row_key` is the key of the row that an earlier sync found for the user;
    /// used only for tables without a Clerk id column.
    pub fn start(
        user: Arc<ClerkUser>,
        schema: Schema,
        link: LinkByEmail,
        row_key: Option<String>,
    ) -> (Self, StoreRequest) {
        let usernames = UsernameCandidates::of(&user, schema.max_username_len);
        let mut sync = UserSync {
            user,
            schema,
            link,
            state: State::Done,
            row: None,
            row_key: None,
            is_linking: false,
            omit_email: false,
            omit_username: false,
            conflicts: 0,
            usernames,
            username: None,
            changes: RowChanges::default(),
            events: Vec::new(),
        };
        let request = match row_key.filter(|key| !key.is_empty()) {
            _ if schema.clerk_id => sync.find_by_clerk_id(),
            Some(key) => sync.find_by_key(key),
            None => sync.find_by_email(),
        };
        // Without a row there is always a request: at the latest the one that creates it.
        let request = request.unwrap_or_else(|| StoreRequest::Create { fields: sync.changes() });
        (sync, request)
    }

    /// Takes the store's response to the last request. Returns the next request, or the row.
    ///
    /// # Errors
    ///
    /// [`Reason::LinkConflict`] if the table has no row that may be used; [`Reason::StoreError`] if the response does not fit the
    /// request.
    pub fn on_response(&mut self, response: StoreResponse) -> Result<Transition, Reason> {
        let request = match (self.state, response) {
            (State::FindByKey, StoreResponse::Rows(rows)) => self.on_rows_by_key(rows),
            (State::FindByClerkId, StoreResponse::Rows(rows)) => self.on_rows_by_clerk_id(rows)?,
            (State::FindByEmail, StoreResponse::Rows(rows)) => self.on_rows_by_email(rows)?,
            (State::CheckUsername, StoreResponse::Taken(taken)) => self.on_username(taken),
            (State::Write, StoreResponse::Created(key)) => self.on_created(key)?,
            (State::Write, StoreResponse::Updated) => self.on_updated(),
            (State::Write, StoreResponse::Rows(rows)) => self.on_written_row(rows)?,
            (State::Write, StoreResponse::Conflict) => self.on_conflict()?,
            _ => return Err(Reason::StoreError),
        };
        match (request, &self.row) {
            (Some(request), _) => Ok(Transition::Request(request)),
            (None, Some(row)) => Ok(Transition::Done(row.clone())),
            (None, None) => Err(Reason::StoreError),
        }
    }

    fn find_by_key(&mut self, key: String) -> Option<StoreRequest> {
        self.state = State::FindByKey;
        self.row_key = Some(key.clone());
        Some(StoreRequest::FindByKey { key })
    }

    fn on_rows_by_key(&mut self, rows: Vec<Row>) -> Option<StoreRequest> {
        match <[Row; 1]>::try_from(rows) {
            // A table may reuse keys: the row must still have the user's address.
            Ok([row]) if Some(&row.key) == self.row_key.as_ref() && self.has_users_email(&row) => {
                self.row = Some(row);
                self.ask_username()
            }
            _ => self.find_by_email(),
        }
    }

    fn has_users_email(&self, row: &Row) -> bool {
        match (&row.email, &self.user.email) {
            (Some(own), Some(email)) => own.eq_ignore_ascii_case(&email.address),
            (own, email) => own.as_deref().unwrap_or_default().is_empty() && email.is_none(),
        }
    }

    fn find_by_clerk_id(&mut self) -> Option<StoreRequest> {
        self.state = State::FindByClerkId;
        Some(StoreRequest::FindByClerkId { clerk_id: self.user.id.clone() })
    }

    fn on_rows_by_clerk_id(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        match <[Row; 1]>::try_from(rows) {
            Ok([row]) if row.clerk_id.as_deref() == Some(&self.user.id) => {
                self.row = Some(row);
                Ok(self.ask_username())
            }
            // The row of another user, or several rows.
            Ok(_) => Err(Reason::LinkConflict),
            Err(rows) if rows.is_empty() && self.conflicts > 0 => Ok(self.ask_username()),
            Err(rows) if rows.is_empty() => Ok(self.find_by_email()),
            Err(_) => Err(Reason::LinkConflict),
        }
    }

    fn find_by_email(&mut self) -> Option<StoreRequest> {
        match &self.user.email {
            Some(email) if self.schema.email && fits(&email.address, self.schema.max_email_len) => {
                self.state = State::FindByEmail;
                Some(StoreRequest::FindByEmail { email: email.address.clone() })
            }
            _ => self.ask_username(),
        }
    }

    fn on_rows_by_email(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        let Some(email) = &self.user.email else { return Ok(self.ask_username()) };
        let is_verified = email.verified;
        let mut rows: Vec<Row> = rows.into_iter().filter(|row| self.has_users_email(row)).collect();
        let is_unlinked = rows.len() == 1 && rows[0].clerk_id.is_none();
        let may_link = self.link == LinkByEmail::Verified && self.user.verified_primary_email().is_some();
        if is_unlinked && may_link {
            self.row = rows.pop();
            self.is_linking = self.schema.clerk_id;
        } else if !rows.is_empty() {
            // Without Clerk ids, the next sync could not distinguish a new row from the existing ones.
            if !self.schema.clerk_id {
                return Err(Reason::LinkConflict);
            }
            self.record_link_conflict();
            // An unverified address must not appear in two rows, one of which may be its owner's.
            self.omit_email = !is_verified;
        }
        Ok(self.ask_username())
    }

    fn record_link_conflict(&mut self) {
        if !self.events.contains(&SyncEvent::LinkConflict) {
            self.events.push(SyncEvent::LinkConflict);
        }
    }

    /// Checks the current username candidate, or writes if none is needed.
    fn ask_username(&mut self) -> Option<StoreRequest> {
        if !self.schema.username || self.omit_username {
            return self.write();
        }
        let username = self.usernames.current();
        if self.row.as_ref().and_then(|row| row.username.as_deref()) == Some(&username) {
            return self.write();
        }
        self.state = State::CheckUsername;
        let except_key = self.row.as_ref().map(|row| row.key.clone());
        Some(StoreRequest::UsernameTaken { username, except_key })
    }

    fn on_username(&mut self, taken: bool) -> Option<StoreRequest> {
        if !taken {
            self.username = Some(self.usernames.current());
            return self.write();
        }
        let own = self.row.as_ref().and_then(|row| row.username.as_deref());
        if own.is_some_and(|own| self.usernames.is_numbered_variant(own)) || !self.usernames.advance() {
            return self.write();
        }
        self.ask_username()
    }

    fn write(&mut self) -> Option<StoreRequest> {
        self.changes = self.changes();
        self.state = State::Write;
        match &self.row {
            None => Some(StoreRequest::Create { fields: self.changes.clone() }),
            Some(_) if self.changes.is_empty() => {
                self.state = State::Done;
                None
            }
            Some(row) => Some(StoreRequest::Update { key: row.key.clone(), fields: self.changes.clone() }),
        }
    }

    fn changes(&self) -> RowChanges {
        let mut changes = diff(self.row.as_ref(), &self.user, &self.schema);
        if self.omit_email {
            changes.email = (self.row.is_none() && self.schema.email).then_some(None);
        }
        changes.username = self.username.clone().filter(|_| self.schema.username && !self.omit_username);
        changes
    }

    fn on_created(&mut self, key: String) -> Result<Option<StoreRequest>, Reason> {
        if key.is_empty() {
            return Err(Reason::StoreError);
        }
        let mut row = Row { key, is_active: true, ..Row::default() };
        self.changes.apply(&mut row);
        self.events.push(SyncEvent::Created);
        Ok(self.finish(row))
    }

    fn on_updated(&mut self) -> Option<StoreRequest> {
        if let Some(row) = &mut self.row {
            self.changes.apply(row);
        }
        self.events.push(self.update_event());
        self.state = State::Done;
        None
    }

    /// Takes the row as it is after the write: the table may have set `is_active` itself.
    fn on_written_row(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        let [row] = <[Row; 1]>::try_from(rows).map_err(|_| Reason::StoreError)?;
        let is_other = self.row.as_ref().is_some_and(|own| own.key != row.key);
        if row.key.is_empty() || is_other || (self.schema.clerk_id && row.clerk_id.as_deref() != Some(&self.user.id)) {
            return Err(Reason::LinkConflict);
        }
        self.events.push(if self.row.is_none() { SyncEvent::Created } else { self.update_event() });
        Ok(self.finish(row))
    }

    fn update_event(&self) -> SyncEvent {
        if self.is_linking { SyncEvent::Linked } else { SyncEvent::Updated }
    }

    fn finish(&mut self, row: Row) -> Option<StoreRequest> {
        self.row = Some(row);
        self.state = State::Done;
        None
    }

    /// Handles a unique column that already has a value. At first another request may have created the row: it is looked up again.
    /// Later the value belongs to another row: email address, then username are left out.
    fn on_conflict(&mut self) -> Result<Option<StoreRequest>, Reason> {
        self.conflicts += 1;
        self.usernames = UsernameCandidates::of(&self.user, self.schema.max_username_len);
        self.username = None;
        match self.conflicts {
            1 => {
                self.is_linking = false;
                return Ok(match (self.schema.clerk_id, self.row.take()) {
                    (true, _) => self.find_by_clerk_id(),
                    (false, Some(row)) => self.find_by_key(row.key),
                    (false, None) => self.find_by_email(),
                });
            }
            2 => self.omit_email = true,
            // A new row needs its username.
            3 if self.row.is_some() => self.omit_username = true,
            _ => return Err(Reason::LinkConflict),
        }
        self.record_link_conflict();
        Ok(self.ask_username())
    }
}

#[cfg(test)]
mod tests;
