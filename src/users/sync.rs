//! The sync of one user's row: a state machine that yields store requests, takes their responses and does no I/O.
//!
//! A row is found by Clerk id, or else by the verified primary email address if it belongs to no Clerk user yet, or else
//! created. What a snapshot may write depends on where it comes from and on the version of the row: an older one writes nothing.

use std::sync::Arc;

use super::diff::{deactivation, diff, fits, lifts_ban};
use super::owner::{RowOwner, may_own_row};
use super::username::UsernameCandidates;
use super::{Row, RowChanges, Schema, StoreRequest, StoreResponse, UpdateCondition};
use crate::api::ClerkUser;
use crate::config::LinkByEmail;
use crate::reason::Reason;

/// Conflicts after which a sync ends.
const MAX_CONFLICTS: u32 = 6;

/// Where a snapshot of a user comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A cache.
    Cached,
    /// A webhook event, which may be late.
    Event,
    /// Clerk, for the attempt that runs the sync.
    Fetched,
}

/// A user as Clerk described them.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The user.
    pub user: Arc<ClerkUser>,
    /// Where it comes from.
    pub origin: Origin,
}

/// The table and the settings of a sync.
#[derive(Clone, Copy, Debug)]
pub struct SyncRules {
    /// The columns of the table.
    pub schema: Schema,
    /// Whether rows are linked by address.
    pub link: LinkByEmail,
    /// Whether an address of a row that the application deactivated is refused to other Clerk users.
    pub block_deactivated_email: bool,
}

/// What follows a response of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Another request to the store.
    Request(StoreRequest),
    /// The sync is done; this is the user's row.
    Done(Row),
    /// The snapshot may not write what would have to be written: the user has to be fetched from Clerk, then the sync continues
    /// with [`UserSync::resume`].
    FetchUser {
        /// The user's row, if there is one.
        row: Option<Row>,
        /// Whether the row was written from a newer version of the user.
        is_older: bool,
    },
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

type Next = Result<Transition, Reason>;

/// The sync of one user's row.
#[derive(Debug)]
pub struct UserSync {
    snapshot: Snapshot,
    rules: SyncRules,
    state: State,
    row: Option<Row>,
    row_key: Option<String>,
    /// The row that was read before the snapshot was fetched: only of this row a ban is lifted.
    read_before: Option<Row>,
    is_linking: bool,
    /// Whether the row is only deactivated, because the snapshot may not write the rest.
    is_partial: bool,
    /// Whether the address is in a row that cannot be the user's.
    is_email_taken: bool,
    /// Whether the address is in a row that the application has deactivated.
    is_email_blocked: bool,
    /// Whether the rows with the address have been looked for.
    is_email_checked: bool,
    conflicts: u32,
    usernames: UsernameCandidates,
    username: Option<String>,
    changes: RowChanges,
    /// What happened so far, in order.
    pub events: Vec<SyncEvent>,
}

impl UserSync {
    /// Starts a sync. Returns it and what to do first. `row_key` is the key of the row that an earlier sync found for the user;
    /// used only for tables without a Clerk id column.
    ///
    /// # Errors
    ///
    /// [`Reason::LinkConflict`] if no column of the table identifies the user's row.
    pub fn start(snapshot: Snapshot, rules: SyncRules, row_key: Option<String>) -> (Self, Next) {
        let mut sync = UserSync {
            usernames: usernames(&snapshot.user, &rules.schema),
            snapshot,
            rules,
            state: State::Done,
            row: None,
            read_before: None,
            row_key: row_key.filter(|key| !key.is_empty()),
            is_linking: false,
            is_partial: false,
            is_email_taken: false,
            is_email_blocked: false,
            is_email_checked: false,
            conflicts: 0,
            username: None,
            changes: RowChanges::default(),
            events: Vec::new(),
        };
        let next = if may_own_row(sync.user(), &rules.schema) { sync.find() } else { Err(Reason::LinkConflict) };
        (sync, next)
    }

    /// Continues after [`Transition::FetchUser`] with the same user, fetched after the row was read.
    ///
    /// # Errors
    ///
    /// As for [`Self::start`] and [`Self::on_response`].
    pub fn resume(&mut self, snapshot: Snapshot) -> Next {
        self.usernames = usernames(&snapshot.user, &self.rules.schema);
        self.snapshot = snapshot;
        (self.is_email_blocked, self.is_email_checked) = (false, false);
        if !may_own_row(self.user(), &self.rules.schema) {
            return Err(Reason::LinkConflict);
        }
        match self.read_before.clone() {
            // The fetch took time, in which the row may have changed.
            Some(row) if self.owns(&row) => {
                self.row_key = Some(row.key);
                self.find()
            }
            _ => self.find_by_email(),
        }
    }

    fn fetch(&mut self, row: Option<Row>, is_older: bool) -> Next {
        (self.state, self.is_partial) = (State::Done, false);
        self.read_before = row.clone();
        Ok(Transition::FetchUser { row, is_older })
    }

    /// Takes the store's response to the last request. Returns what to do next.
    ///
    /// # Errors
    ///
    /// [`Reason::LinkConflict`] if the table has no row that may be used; [`Reason::UserInactive`] if the user's address is that of a
    /// deactivated row; [`Reason::StoreError`] if the response does not fit the request, or after too many conflicts.
    pub fn on_response(&mut self, response: StoreResponse) -> Next {
        match (self.state, response) {
            // Such a row could not be found again.
            (_, StoreResponse::Rows(rows)) if rows.iter().any(|row| row.key.is_empty()) => Err(Reason::StoreError),
            (State::FindByKey, StoreResponse::Rows(rows)) => self.on_rows_by_key(rows),
            (State::FindByClerkId, StoreResponse::Rows(rows)) => self.on_rows_by_clerk_id(rows),
            (State::FindByEmail, StoreResponse::Rows(rows)) => self.on_rows_by_email(rows),
            (State::CheckUsername, StoreResponse::Taken(taken)) => self.on_username(taken),
            (State::Write, StoreResponse::Created(key)) if self.row.is_none() => self.on_created(key),
            (State::Write, StoreResponse::Updated) => self.on_updated(),
            (State::Write, StoreResponse::Rows(rows)) => self.on_written_row(rows),
            (State::Write, StoreResponse::Conflict) => self.on_conflict(),
            _ => Err(Reason::StoreError),
        }
    }

    fn user(&self) -> &ClerkUser {
        &self.snapshot.user
    }

    fn is_fetched(&self) -> bool {
        self.snapshot.origin == Origin::Fetched
    }

    fn request(&mut self, state: State, request: StoreRequest) -> Next {
        self.state = state;
        Ok(Transition::Request(request))
    }

    fn done(&mut self, row: Row) -> Next {
        self.state = State::Done;
        Ok(Transition::Done(row))
    }

    fn find(&mut self) -> Next {
        match self.row_key.clone() {
            _ if self.rules.schema.clerk_id => {
                let clerk_id = self.user().id.clone();
                self.request(State::FindByClerkId, StoreRequest::FindByClerkId { clerk_id })
            }
            Some(key) => self.request(State::FindByKey, StoreRequest::FindByKey { key }),
            None => self.find_by_email(),
        }
    }

    fn on_rows_by_key(&mut self, rows: Vec<Row>) -> Next {
        match <[Row; 1]>::try_from(rows) {
            // A table may reuse keys.
            Ok([row]) if Some(&row.key) == self.row_key.as_ref() && self.owns(&row) => self.on_own_row(row),
            _ => self.find_by_email(),
        }
    }

    fn owns(&self, row: &Row) -> bool {
        RowOwner::from(self.user()).owns(row, &self.rules.schema)
    }

    fn on_rows_by_clerk_id(&mut self, rows: Vec<Row>) -> Next {
        match <[Row; 1]>::try_from(rows) {
            Ok([row]) if self.owns(&row) => self.on_own_row(row),
            Err(rows) if rows.is_empty() => self.find_by_email(),
            // The row of another user, or several rows.
            Ok(_) | Err(_) => Err(Reason::LinkConflict),
        }
    }

    /// The address to look for, if it counts and fits.
    fn email(&self) -> Option<&str> {
        let Schema { email, max_email_len, .. } = self.rules.schema;
        self.user().verified_primary_email().filter(|address| email && fits(address, max_email_len))
    }

    /// No row is known to be the user's: one is linked or created, which takes more than what is in a cache or in a late event.
    fn find_by_email(&mut self) -> Next {
        if !self.is_fetched() {
            return self.fetch(None, false);
        }
        match self.email().map(str::to_owned) {
            Some(email) => self.request(State::FindByEmail, StoreRequest::FindByEmail { email }),
            None => self.ask_username(),
        }
    }

    fn on_rows_by_email(&mut self, rows: Vec<Row>) -> Next {
        let schema = self.rules.schema;
        self.is_email_checked = true;
        let email = self.email().unwrap_or_default();
        let is_same = |row: &Row| is_email(row, email);
        let mut rows: Vec<Row> = rows.into_iter().filter(is_same).collect();
        let is_deactivated = |row: &Row| schema.is_active && !row.is_active && !row.banned_by_clerk;
        if let Some(own) = &self.row {
            rows.retain(|row| row.key != own.key);
            self.is_email_blocked = self.rules.block_deactivated_email && rows.iter().any(is_deactivated);
            // A ban is written nevertheless.
            if self.is_email_blocked && !self.user().is_blocked() {
                return Err(Reason::UserInactive);
            }
            self.is_email_taken = !rows.is_empty();
            return self.ask_username();
        }
        // Another request has just made or linked it.
        if let Some(at) = rows.iter().position(|row| schema.clerk_id && self.owns(row)) {
            return self.on_own_row(rows.swap_remove(at));
        }
        let is_linkable = rows.len() == 1 && rows[0].clerk_id.is_none() && self.rules.link == LinkByEmail::Verified;
        if let Some(row) = rows.pop_if(|_| is_linkable) {
            self.is_linking = schema.clerk_id;
            return self.on_own_row(row);
        }
        if self.rules.block_deactivated_email && rows.iter().any(is_deactivated) {
            return Err(Reason::UserInactive);
        }
        if !rows.is_empty() {
            // Without Clerk ids, the next sync could not tell a new row from the existing ones.
            if !schema.clerk_id {
                return Err(Reason::LinkConflict);
            }
            self.is_email_taken = true;
            self.record_link_conflict();
        }
        self.ask_username()
    }

    fn record_link_conflict(&mut self) {
        if !self.events.contains(&SyncEvent::LinkConflict) {
            self.events.push(SyncEvent::LinkConflict);
        }
    }

    /// Decides what the snapshot may write into the user's row.
    fn on_own_row(&mut self, row: Row) -> Next {
        let schema = self.rules.schema;
        let version = self.user().updated_at_ms;
        let row_version = row.clerk_updated_at_ms.filter(|_| schema.clerk_updated_at);
        if row_version.is_some_and(|own| own > version) {
            return self.fetch(Some(row), true);
        }
        let is_newer = row_version.is_some_and(|own| own < version);
        // Whether it may write at all, and whether it may lift a ban.
        let (may_write, may_lift) = match self.snapshot.origin {
            Origin::Fetched => (true, self.was_banned_before_the_fetch(&row, is_newer)),
            Origin::Event => (row_version.is_some(), is_newer),
            Origin::Cached => (is_newer, false),
        };
        if lifts_ban(&row, self.user(), &schema) && !may_lift {
            return self.fetch(Some(row), false);
        }
        if may_write {
            // The new address may be that of a row that the application has deactivated.
            let is_unchecked = self.rules.block_deactivated_email && schema.is_active && !self.is_email_checked;
            let has_new_email = is_unchecked && self.email().is_some_and(|new| !is_email(&row, new));
            self.row = Some(row);
            return if has_new_email || self.conflicts > 1 { self.find_email_holder() } else { self.ask_username() };
        }
        if diff(Some(&row), self.user(), &schema).is_empty() {
            return self.done(row);
        }
        self.changes = deactivation(&row, self.user(), &schema);
        if self.snapshot.origin == Origin::Event && !self.changes.is_empty() {
            self.is_partial = true;
            return self.update(row);
        }
        self.fetch(Some(row), false)
    }

    /// Whether a banned row was banned already when the snapshot was fetched.
    fn was_banned_before_the_fetch(&self, row: &Row, is_newer: bool) -> bool {
        self.read_before.as_ref().is_some_and(|read| {
            let is_unchanged = read.clerk_updated_at_ms == row.clerk_updated_at_ms;
            read.key == row.key && lifts_ban(read, self.user(), &self.rules.schema) && (is_unchanged || is_newer)
        })
    }

    /// Before an address is written, and after conflicts: whether it is another row's.
    fn find_email_holder(&mut self) -> Next {
        match self.email().map(str::to_owned) {
            Some(email) => self.request(State::FindByEmail, StoreRequest::FindByEmail { email }),
            None => self.ask_username(),
        }
    }

    /// Checks the current username candidate, or writes if none is needed.
    fn ask_username(&mut self) -> Next {
        // A row keeps its username if that may be what conflicts.
        if !self.rules.schema.username || (self.row.is_some() && self.conflicts > 1) {
            return self.write();
        }
        let username = self.usernames.current();
        if self.row.as_ref().and_then(|row| row.username.as_deref()) == Some(&username) {
            return self.write();
        }
        let except_key = self.row.as_ref().map(|row| row.key.clone());
        self.request(State::CheckUsername, StoreRequest::UsernameTaken { username, except_key })
    }

    fn on_username(&mut self, taken: bool) -> Next {
        let own = self.row.as_ref().and_then(|row| row.username.as_deref());
        if !taken {
            self.username = Some(self.usernames.current());
        } else if own.is_none_or(|own| !self.usernames.is_numbered_variant(own)) {
            if self.usernames.advance() {
                return self.ask_username();
            }
            if own.is_none_or(str::is_empty) {
                // A row that only its username identifies needs one that can be recognized again.
                if !self.rules.schema.clerk_id && self.user().verified_primary_email().is_none() {
                    return Err(Reason::LinkConflict);
                }
                self.username = Some(self.usernames.unpredictable());
            }
        }
        self.write()
    }

    fn write(&mut self) -> Next {
        self.changes = diff(self.row.as_ref(), self.user(), &self.rules.schema);
        self.changes.username = self.username.clone();
        if self.is_email_blocked {
            self.changes.email = None;
        } else if self.conflicts > 2 && self.is_email_taken && self.rules.schema.clerk_id {
            self.record_link_conflict();
            self.changes.email = self.row.is_none().then_some(None);
        }
        match self.row.take() {
            None => self.request(State::Write, StoreRequest::Create { changes: self.changes.clone() }),
            Some(row) if self.changes.is_empty() => self.done(row),
            Some(row) => self.update(row),
        }
    }

    fn update(&mut self, row: Row) -> Next {
        let condition = UpdateCondition {
            only_if_unlinked: self.is_linking,
            max_version: self.rules.schema.clerk_updated_at.then(|| self.user().updated_at_ms),
            // The application may deactivate the row at any moment.
            only_if_active: self.changes.is_active == Some(false),
            only_if_banned: self.changes.is_active == Some(true),
        };
        let (key, changes) = (row.key.clone(), self.changes.clone());
        self.row = Some(row);
        self.request(State::Write, StoreRequest::Update { key, changes, condition })
    }

    fn on_created(&mut self, key: String) -> Next {
        if key.is_empty() {
            return Err(Reason::StoreError);
        }
        let mut row = Row { key, is_active: true, ..Row::default() };
        self.changes.apply(&mut row);
        self.events.push(SyncEvent::Created);
        self.done(row)
    }

    fn on_updated(&mut self) -> Next {
        let mut row = self.row.take().ok_or(Reason::StoreError)?;
        self.changes.apply(&mut row);
        self.record_update();
        self.written(row)
    }

    fn written(&mut self, row: Row) -> Next {
        if self.is_partial && !diff(Some(&row), self.user(), &self.rules.schema).is_empty() {
            return self.fetch(Some(row), false);
        }
        self.done(row)
    }

    /// Takes the row as it is after the write: a table may decide itself who is active.
    fn on_written_row(&mut self, rows: Vec<Row>) -> Next {
        let [row] = <[Row; 1]>::try_from(rows).map_err(|_| Reason::StoreError)?;
        let is_other = self.row.as_ref().is_some_and(|own| own.key != row.key);
        if is_other || !self.owns(&row) {
            return Err(Reason::LinkConflict);
        }
        match self.row {
            None => self.events.push(SyncEvent::Created),
            Some(_) => self.record_update(),
        }
        self.written(row)
    }

    fn record_update(&mut self) {
        let is_version_only = RowChanges { clerk_updated_at_ms: None, ..self.changes.clone() }.is_empty();
        match self.is_linking {
            true => self.events.push(SyncEvent::Linked),
            false if is_version_only => {}
            false => self.events.push(SyncEvent::Updated),
        }
    }

    /// Handles a violated unique constraint, or a row that has changed: looks up the row again. After a second conflict a new row
    /// gets the username made of the Clerk id, after a third the address is left out if another row has it.
    fn on_conflict(&mut self) -> Next {
        self.conflicts += 1;
        if self.conflicts == MAX_CONFLICTS {
            return Err(Reason::StoreError);
        }
        self.usernames = usernames(self.user(), &self.rules.schema);
        if self.conflicts > 1 {
            self.usernames.skip_to_fallback();
        }
        (self.username, self.is_linking, self.is_partial, self.is_email_taken) = (None, false, false, false);
        if let Some(row) = self.row.take() {
            self.row_key = Some(row.key);
        }
        self.find()
    }
}

fn is_email(row: &Row, email: &str) -> bool {
    row.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(email))
}

fn usernames(user: &ClerkUser, schema: &Schema) -> UsernameCandidates {
    let email = user.verified_primary_email();
    UsernameCandidates::new(&user.id, user.username.as_deref(), email, schema.max_username_len)
}

#[cfg(test)]
mod tests;
