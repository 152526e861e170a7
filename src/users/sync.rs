//! The rules that keep a row in step with its Clerk user: a state machine that asks questions and does no I/O.
//!
//! Found by Clerk id; else by an address that Clerk has verified, if the row is nobody's yet; else made. A sync may
//! deactivate a row, but re-activates none that Clerk did not deactivate.

use std::sync::Arc;

use super::username::Candidates;
use super::{Row, RowChanges, Schema};
use crate::api::ClerkUser;
use crate::config::LinkByEmail;
use crate::reason::Reason;

/// A question to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the same words as in `UserStore`
pub enum StoreRequest {
    FindByKey { key: String },
    FindByClerkId { clerk_id: String },
    FindByEmail { email: String },
    UsernameTaken { username: String, except_key: Option<String> },
    Create { fields: RowChanges },
    Update { key: String, fields: RowChanges },
}

/// The store's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreResponse {
    /// To the look-ups.
    Rows(Vec<Row>),
    /// To `UsernameTaken`.
    Taken(bool),
    /// To `Create`: the new row's key.
    Created(String),
    /// To `Update`.
    Updated,
    /// To `Create` and `Update`: a unique column is in the way.
    Conflict,
}

/// What comes after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Another question.
    Ask(StoreRequest),
    /// It is over, and this is the row.
    Done(Row),
}

/// What happened on the way, for the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncEvent {
    /// A row was made.
    Created,
    /// A row was changed.
    Updated,
    /// A row that was nobody's now belongs to the Clerk user.
    Linked,
    /// A row with the user's address belongs to another Clerk user, or several rows have it.
    LinkConflict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    ByKey,
    ByClerkId,
    ByEmail,
    Naming,
    Writing,
    Finished,
}

/// One synchronization.
#[derive(Debug)]
pub struct UserSync {
    user: Arc<ClerkUser>,
    schema: Schema,
    link: LinkByEmail,
    state: State,
    row: Option<Row>,
    own_key: Option<String>,
    linking: bool,
    withhold_email: bool,
    withhold_username: bool,
    conflicts: u32,
    names: Candidates,
    username: Option<String>,
    wanted: RowChanges,
    /// What happened, in order.
    pub notes: Vec<SyncEvent>,
}

impl UserSync {
    /// Begins, with the first question. `own_key` is the row that an earlier sync has given to the user; only a table
    /// without Clerk ids has need of it.
    pub fn start(
        user: Arc<ClerkUser>,
        schema: Schema,
        link: LinkByEmail,
        own_key: Option<String>,
    ) -> (Self, StoreRequest) {
        let names = Candidates::of(&user, schema.longest_username);
        let mut sync = UserSync {
            user,
            schema,
            link,
            state: State::Finished,
            row: None,
            own_key: None,
            linking: false,
            withhold_email: false,
            withhold_username: false,
            conflicts: 0,
            names,
            username: None,
            wanted: RowChanges::default(),
            notes: Vec::new(),
        };
        let step = match own_key.filter(|key| !key.is_empty()) {
            _ if schema.clerk_id => sync.by_clerk_id(),
            Some(key) => sync.by_key(key),
            None => sync.by_email(),
        };
        // Without a row there is always something to write.
        let step = step.unwrap_or_else(|| StoreRequest::Create { fields: sync.wanted() });
        (sync, step)
    }

    /// Takes an answer.
    pub fn reply(&mut self, reply: StoreResponse) -> Result<Transition, Reason> {
        let step = match (self.state, reply) {
            (State::ByKey, StoreResponse::Rows(rows)) => self.found_by_key(rows)?,
            (State::ByClerkId, StoreResponse::Rows(rows)) => self.found_by_clerk_id(rows)?,
            (State::ByEmail, StoreResponse::Rows(rows)) => self.found_by_email(rows)?,
            (State::Naming, StoreResponse::Taken(taken)) => self.named(taken),
            (State::Writing, StoreResponse::Created(key)) => self.created(key)?,
            (State::Writing, StoreResponse::Updated) => self.updated(),
            (State::Writing, StoreResponse::Rows(rows)) => self.written(rows)?,
            (State::Writing, StoreResponse::Conflict) => self.conflict()?,
            // An answer to a question that was not asked.
            _ => return Err(Reason::StoreError),
        };
        match (step, &self.row) {
            (Some(step), _) => Ok(Transition::Ask(step)),
            (None, Some(row)) => Ok(Transition::Done(row.clone())),
            (None, None) => Err(Reason::StoreError),
        }
    }

    fn by_key(&mut self, key: String) -> Option<StoreRequest> {
        self.state = State::ByKey;
        self.own_key = Some(key.clone());
        Some(StoreRequest::FindByKey { key })
    }

    fn found_by_key(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        match <[Row; 1]>::try_from(rows) {
            // Keys may be given out again: the row has to look like the user's.
            Ok([row]) if Some(&row.key) == self.own_key.as_ref() && self.has_address(&row) => {
                self.row = Some(row);
                Ok(self.name())
            }
            _ => Ok(self.by_email()),
        }
    }

    fn by_clerk_id(&mut self) -> Option<StoreRequest> {
        self.state = State::ByClerkId;
        Some(StoreRequest::FindByClerkId { clerk_id: self.user.id.clone() })
    }

    fn by_email(&mut self) -> Option<StoreRequest> {
        match &self.user.email {
            Some(email) if self.schema.email && self.fits(&email.address, self.schema.longest_email) => {
                self.state = State::ByEmail;
                Some(StoreRequest::FindByEmail { email: email.address.clone() })
            }
            _ => self.name(),
        }
    }

    fn found_by_clerk_id(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        match <[Row; 1]>::try_from(rows) {
            Ok([row]) if row.clerk_id.as_deref() == Some(&self.user.id) => {
                self.row = Some(row);
                Ok(self.name())
            }
            // A store that answers with somebody else's row, or with two.
            Ok(_) => Err(Reason::LinkConflict),
            Err(rows) if rows.is_empty() && self.conflicts > 0 => Ok(self.name()),
            Err(rows) if rows.is_empty() => Ok(self.by_email()),
            Err(_) => Err(Reason::LinkConflict),
        }
    }

    fn found_by_email(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        let Some(email) = self.user.email.clone() else { return Ok(self.name()) };
        let same = |row: &Row| row.email.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(&email.address));
        let mut rows: Vec<Row> = rows.into_iter().filter(same).collect();
        let provable = email.verified && self.user.email_is_primary && email.address.matches('@').count() == 1;
        let nobodys = rows.len() == 1 && rows[0].clerk_id.is_none();
        if nobodys && provable && self.link == LinkByEmail::Verified {
            self.row = rows.pop();
            self.linking = self.schema.clerk_id;
        } else if !rows.is_empty() {
            // Nothing else could tell the next time whose row a new one is.
            if !self.schema.clerk_id {
                return Err(Reason::LinkConflict);
            }
            self.note_conflict();
            // Nobody has seen that this address is theirs: it must not stand beside its owner's.
            self.withhold_email = !email.verified;
        }
        Ok(self.name())
    }

    fn has_address(&self, row: &Row) -> bool {
        match (&row.email, &self.user.email) {
            (Some(own), Some(email)) => own.eq_ignore_ascii_case(&email.address),
            (own, email) => own.as_deref().unwrap_or_default().is_empty() && email.is_none(),
        }
    }

    fn note_conflict(&mut self) {
        if !self.notes.contains(&SyncEvent::LinkConflict) {
            self.notes.push(SyncEvent::LinkConflict);
        }
    }

    /// Settles the unique name, then writes.
    fn name(&mut self) -> Option<StoreRequest> {
        if !self.schema.username || self.withhold_username {
            return self.write();
        }
        let candidate = self.names.current();
        if self.row.as_ref().and_then(|row| row.username.as_deref()) == Some(&candidate) {
            return self.write();
        }
        self.state = State::Naming;
        let except_key = self.row.as_ref().map(|row| row.key.clone());
        Some(StoreRequest::UsernameTaken { username: candidate, except_key })
    }

    fn named(&mut self, taken: bool) -> Option<StoreRequest> {
        if !taken {
            self.username = Some(self.names.current());
            return self.write();
        }
        let own = self.row.as_ref().and_then(|row| row.username.as_deref());
        if own.is_some_and(|own| self.names.has_number(own)) || !self.names.next() {
            return self.write();
        }
        self.name()
    }

    fn write(&mut self) -> Option<StoreRequest> {
        self.wanted = self.wanted();
        self.state = State::Writing;
        match &self.row {
            None => Some(StoreRequest::Create { fields: self.wanted.clone() }),
            Some(_) if self.wanted.is_empty() => {
                self.state = State::Finished;
                None
            }
            Some(row) => Some(StoreRequest::Update { key: row.key.clone(), fields: self.wanted.clone() }),
        }
    }

    fn created(&mut self, key: String) -> Result<Option<StoreRequest>, Reason> {
        if key.is_empty() {
            return Err(Reason::StoreError);
        }
        let mut row = Row { key, is_active: true, ..Row::default() };
        self.wanted.apply(&mut row);
        self.row = Some(row);
        self.notes.push(SyncEvent::Created);
        self.state = State::Finished;
        Ok(None)
    }

    fn updated(&mut self) -> Option<StoreRequest> {
        if let Some(row) = &mut self.row {
            self.wanted.apply(row);
        }
        self.notes.push(if self.linking { SyncEvent::Linked } else { SyncEvent::Updated });
        self.state = State::Finished;
        None
    }

    /// The store says what the row is now: a table may have its own mind about who is active.
    fn written(&mut self, rows: Vec<Row>) -> Result<Option<StoreRequest>, Reason> {
        let [row] = <[Row; 1]>::try_from(rows).map_err(|_| Reason::StoreError)?;
        let is_other = self.row.as_ref().is_some_and(|own| own.key != row.key);
        if row.key.is_empty() || is_other || (self.schema.clerk_id && row.clerk_id.as_deref() != Some(&self.user.id)) {
            return Err(Reason::LinkConflict);
        }
        match self.row.is_none() {
            true => self.notes.push(SyncEvent::Created),
            false => self.notes.push(if self.linking { SyncEvent::Linked } else { SyncEvent::Updated }),
        }
        self.row = Some(row);
        self.state = State::Finished;
        Ok(None)
    }

    /// Somebody was faster, and the row is there now; or a value belongs to another row, and it is done without.
    fn conflict(&mut self) -> Result<Option<StoreRequest>, Reason> {
        self.conflicts += 1;
        self.names = Candidates::of(&self.user, self.schema.longest_username);
        self.username = None;
        match self.conflicts {
            1 => {
                self.linking = false;
                return Ok(match (self.schema.clerk_id, self.row.take()) {
                    (true, _) => self.by_clerk_id(),
                    (false, Some(row)) => self.by_key(row.key),
                    (false, None) => self.by_email(),
                });
            }
            2 => self.withhold_email = true,
            // A new row cannot do without its name.
            3 if self.row.is_some() => self.withhold_username = true,
            _ => return Err(Reason::LinkConflict),
        }
        self.note_conflict();
        Ok(self.name())
    }

    fn fits(&self, text: &str, longest: u32) -> bool {
        longest == 0 || text.chars().count() <= longest as usize
    }

    /// What differs between the row and what it should be.
    fn wanted(&self) -> RowChanges {
        let (user, schema) = (&*self.user, &self.schema);
        let blank = Row::default();
        let is_new = self.row.is_none();
        let row = self.row.as_ref().unwrap_or(&blank);
        let cut = |text: &Option<String>| -> String {
            let longest = if schema.longest_name == 0 { usize::MAX } else { schema.longest_name as usize };
            text.as_deref().unwrap_or_default().chars().take(longest).collect()
        };
        let name = |has: bool, wanted: String, own: &Option<String>| {
            (has && (is_new || own.as_deref() != Some(&wanted))).then_some(wanted)
        };
        // Half an address leads nowhere: what does not fit is left out.
        let whole = |has: bool, wanted: Option<&str>, longest: u32, own: &Option<String>| {
            let wanted = wanted.filter(|text| self.fits(text, longest));
            (has && (is_new || own.as_deref().filter(|t| !t.is_empty()) != wanted)).then(|| wanted.map(str::to_owned))
        };
        let address = user.email.as_ref().map(|email| email.address.as_str());
        let email = match self.withhold_email {
            true if is_new && schema.email => Some(None),
            true => None,
            false => whole(schema.email, address, schema.longest_email, &row.email),
        };
        let kept_out = user.is_blocked();
        let (is_active, banned_by_clerk) = if is_new {
            (Some(!kept_out), Some(kept_out))
        } else if kept_out && row.is_active {
            (Some(false), Some(true))
        } else if !kept_out && !row.is_active && row.banned_by_clerk && schema.banned_by_clerk {
            (Some(true), Some(false))
        } else {
            (None, None)
        };
        let last_active = user.last_active_at_ms;
        RowChanges {
            clerk_id: (schema.clerk_id && row.clerk_id.as_deref() != Some(&user.id)).then(|| user.id.clone()),
            email,
            username: self.username.clone().filter(|_| schema.username && !self.withhold_username),
            first_name: name(schema.first_name, cut(&user.first_name), &row.first_name),
            last_name: name(schema.last_name, cut(&user.last_name), &row.last_name),
            image_url: whole(schema.image_url, user.image_url.as_deref(), schema.longest_image_url, &row.image_url),
            last_active_at_ms: (schema.last_active_at && (is_new || row.last_active_at_ms != last_active))
                .then_some(last_active),
            is_active: is_active.filter(|_| schema.is_active),
            banned_by_clerk: banned_by_clerk.filter(|_| schema.banned_by_clerk),
        }
    }
}

#[cfg(test)]
mod tests {
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

    /// A table in memory with unique names and ids, driven by the rules.
    fn run(user: ClerkUser, rows: &mut Vec<Row>) -> (Result<Row, Reason>, Vec<SyncEvent>) {
        run_in(Schema::default(), user, None, rows)
    }

    fn run_in(
        schema: Schema,
        user: ClerkUser,
        own_key: Option<&str>,
        rows: &mut Vec<Row>,
    ) -> (Result<Row, Reason>, Vec<SyncEvent>) {
        let own_key = own_key.map(str::to_owned);
        let (mut sync, mut step) = UserSync::start(Arc::new(user), schema, LinkByEmail::Verified, own_key);
        for _ in 0..400 {
            let same = |a: &Option<String>, b: &str| a.as_deref().is_some_and(|a| a.eq_ignore_ascii_case(b));
            let reply = match &step {
                StoreRequest::FindByKey { key } => {
                    StoreResponse::Rows(rows.iter().filter(|r| r.key == *key).cloned().collect())
                }
                StoreRequest::FindByClerkId { clerk_id } => StoreResponse::Rows(
                    rows.iter().filter(|r| r.clerk_id.as_ref() == Some(clerk_id)).cloned().collect(),
                ),
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
                        (schema.clerk_id && r.clerk_id == row.clerk_id)
                            || same(&r.username, row.username.as_ref().unwrap())
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
            match sync.reply(reply) {
                Ok(Transition::Ask(next)) => step = next,
                Ok(Transition::Done(row)) => return (Ok(row), sync.notes),
                Err(reason) => return (Err(reason), sync.notes),
            }
        }
        panic!("the rules do not come to an end");
    }

    #[test]
    fn a_new_user_gets_a_row_and_the_second_time_nothing_is_written() {
        let mut rows = Vec::new();
        let (made, notes) = run(ada(), &mut rows);
        assert_eq!((made.unwrap(), notes), (rows[0].clone(), vec![SyncEvent::Created]));
        let (again, notes) = run(ada(), &mut rows);
        assert_eq!((again.unwrap(), notes), (rows[0].clone(), vec![]));
    }

    #[test]
    fn u4_rows_are_linked_by_a_verified_address_only_and_only_if_they_are_nobodys() {
        let linked = |user: ClerkUser, row: Row| {
            let mut rows = vec![row.clone()];
            let (made, _) = run(user, &mut rows);
            let first_unchanged = rows[0] == row;
            (made.unwrap().key == "1", first_unchanged)
        };
        let nobodys = row("1", None, "ADA@example.com", "ada");
        assert_eq!(linked(ada(), nobodys.clone()), (true, false));
        let mut unverified = ada();
        unverified.email.as_mut().unwrap().verified = false;
        assert_eq!(linked(unverified, nobodys.clone()), (false, true));
        let not_primary = ClerkUser { email_is_primary: false, ..ada() };
        assert_eq!(linked(not_primary, nobodys.clone()), (false, true));
        assert_eq!(linked(ada(), row("1", Some("user_bob"), "ada@example.com", "bob")), (false, true));
        let mut two_ats = ada();
        two_ats.email.as_mut().unwrap().address = "a@b@example.com".into();
        assert_eq!(linked(two_ats, row("1", None, "a@b@example.com", "bob")), (false, true));
    }

    #[test]
    fn u4_an_unverified_address_does_not_stand_beside_its_owners() {
        let mut rows = vec![row("1", None, "ada@example.com", "boss")];
        let mut user = ada();
        user.email.as_mut().unwrap().verified = false;
        let (made, notes) = run(user, &mut rows);
        assert_eq!((made.unwrap().email, notes), (None, vec![SyncEvent::LinkConflict, SyncEvent::Created]));
    }

    #[test]
    fn two_rows_with_the_address_link_neither() {
        let mut rows = vec![row("1", None, "ada@example.com", "a"), row("2", None, "Ada@example.com", "b")];
        let (made, notes) = run(ada(), &mut rows);
        assert_eq!((made.unwrap().key.as_str(), notes), ("3", vec![SyncEvent::LinkConflict, SyncEvent::Created]));
    }

    #[test]
    fn names_are_numbered_and_kept() {
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
    fn a_sync_never_lets_in_whom_the_host_keeps_out() {
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

    #[test]
    fn h2_a_store_that_answers_with_another_row_signs_nobody_in() {
        for rows in
            [vec![row("1", Some("user_bob"), "b", "b")], vec![row("1", None, "b", "b")], vec![Row::default(); 2]]
        {
            let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
            assert_eq!(sync.reply(StoreResponse::Rows(rows)).unwrap_err(), Reason::LinkConflict);
        }
        let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
        assert_eq!(sync.reply(StoreResponse::Updated).unwrap_err(), Reason::StoreError);
    }

    #[test]
    fn a_row_made_by_somebody_faster_is_found_and_brought_up_to_date() {
        let (mut sync, _) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
        let mut next = |reply| sync.reply(reply).unwrap();
        assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Ask(StoreRequest::FindByEmail { .. })));
        assert!(matches!(next(StoreResponse::Rows(vec![])), Transition::Ask(StoreRequest::UsernameTaken { .. })));
        assert!(matches!(next(StoreResponse::Taken(false)), Transition::Ask(StoreRequest::Create { .. })));
        assert!(matches!(next(StoreResponse::Conflict), Transition::Ask(StoreRequest::FindByClerkId { .. })));
        let faster = Row { first_name: Some("Other".into()), ..row("9", Some("user_ada"), "ada@example.com", "ada") };
        let Transition::Ask(StoreRequest::Update { key, fields }) = next(StoreResponse::Rows(vec![faster])) else {
            panic!()
        };
        assert_eq!((key.as_str(), fields.first_name.as_deref()), ("9", Some("Ada")));
        assert!(
            matches!(next(StoreResponse::Updated), Transition::Done(row) if row.first_name.as_deref() == Some("Ada"))
        );
    }

    #[test]
    fn conflicts_without_end_are_refused() {
        let (mut sync, mut step) = UserSync::start(Arc::new(ada()), Schema::default(), LinkByEmail::Verified, None);
        let mut without_email = false;
        let refused = (0..50).find_map(|_| {
            let reply = match &step {
                StoreRequest::UsernameTaken { .. } => StoreResponse::Taken(false),
                StoreRequest::Create { fields } => {
                    without_email |= fields.email == Some(None);
                    StoreResponse::Conflict
                }
                _ => StoreResponse::Rows(vec![]),
            };
            match sync.reply(reply) {
                Ok(Transition::Ask(next)) => {
                    step = next;
                    None
                }
                other => Some(other),
            }
        });
        assert_eq!((refused, without_email), (Some(Err(Reason::LinkConflict)), true));
    }

    #[test]
    fn what_does_not_fit_is_cut_or_left_out() {
        let schema = Schema { longest_name: 2, longest_email: 5, longest_image_url: 3, ..Schema::default() };
        let user = ClerkUser { image_url: Some("http://long".into()), ..ada() };
        let (mut sync, step) = UserSync::start(Arc::new(user), schema, LinkByEmail::Verified, None);
        assert!(matches!(step, StoreRequest::FindByClerkId { .. }));
        assert!(matches!(
            sync.reply(StoreResponse::Rows(vec![])).unwrap(),
            Transition::Ask(StoreRequest::UsernameTaken { .. })
        ));
        let Transition::Ask(StoreRequest::Create { fields }) = sync.reply(StoreResponse::Taken(false)).unwrap() else {
            panic!()
        };
        assert_eq!(
            (fields.first_name.as_deref(), fields.email, fields.image_url),
            (Some("Ad"), Some(None), Some(None))
        );
    }

    #[test]
    fn u4_in_a_table_without_ids_a_row_is_never_made_beside_one_that_may_be_the_users() {
        let in_table = |user: ClerkUser, own_key: Option<&str>, rows: &mut Vec<Row>| {
            run_in(Schema { clerk_id: false, ..Schema::default() }, user, own_key, rows).0.map(|row| row.key)
        };
        let unverified =
            ClerkUser { email: Some(EmailAddress { address: "ada@example.com".into(), verified: false }), ..ada() };
        let not_primary = ClerkUser { email_is_primary: false, ..ada() };
        for user in [unverified, not_primary] {
            let mut rows = Vec::new();
            assert_eq!(in_table(user.clone(), None, &mut rows), Ok("1".into()));
            assert_eq!(in_table(user.clone(), None, &mut rows), Err(Reason::LinkConflict));
            // Whom an earlier sync has given the row to has it still, unless it looks like another's by now.
            assert_eq!(in_table(user.clone(), Some("1"), &mut rows), Ok("1".into()));
            rows[0].email = Some("bob@example.com".into());
            assert_eq!(in_table(user, Some("1"), &mut rows), Ok("2".into()));
            assert_eq!(rows[0].email.as_deref(), Some("bob@example.com"));
        }
        let mut rows = Vec::new();
        let nameless = ClerkUser { email: None, ..ada() };
        assert_eq!(in_table(nameless.clone(), None, &mut rows), Ok("1".into()));
        assert_eq!(in_table(nameless, Some("1"), &mut rows), Ok("1".into()));
        assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
        assert_eq!(in_table(ada(), None, &mut rows), Ok("2".into()));
    }

    #[test]
    fn in_a_table_without_ids_a_name_that_was_taken_meanwhile_costs_no_address() {
        let (mut sync, _) = UserSync::start(
            Arc::new(ada()),
            Schema { clerk_id: false, ..Schema::default() },
            LinkByEmail::Verified,
            None,
        );
        assert!(matches!(
            sync.reply(StoreResponse::Rows(vec![])).unwrap(),
            Transition::Ask(StoreRequest::UsernameTaken { .. })
        ));
        assert!(matches!(
            sync.reply(StoreResponse::Taken(false)).unwrap(),
            Transition::Ask(StoreRequest::Create { .. })
        ));
        let Transition::Ask(StoreRequest::FindByEmail { .. }) = sync.reply(StoreResponse::Conflict).unwrap() else {
            panic!()
        };
        assert!(matches!(
            sync.reply(StoreResponse::Rows(vec![])).unwrap(),
            Transition::Ask(StoreRequest::UsernameTaken { .. })
        ));
        assert!(matches!(
            sync.reply(StoreResponse::Taken(true)).unwrap(),
            Transition::Ask(StoreRequest::UsernameTaken { .. })
        ));
        let Transition::Ask(StoreRequest::Create { fields }) = sync.reply(StoreResponse::Taken(false)).unwrap() else {
            panic!()
        };
        assert_eq!(fields.username.as_deref(), Some("ada-2"));
        assert_eq!(fields.email, Some(Some("ada@example.com".into())));
    }

    #[test]
    fn a_name_made_of_the_id_goes_when_there_is_a_better_one() {
        let mut rows = vec![row("1", Some("user_bob"), "bob@example.com", "ada")];
        rows.push(row("2", Some("user_ada"), "ada@example.com", "clerk_user_ada"));
        assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-2"));
        assert_eq!(run(ada(), &mut rows).0.unwrap().username.as_deref(), Some("ada-2"));
    }

    #[test]
    fn only_columns_that_are_there_are_written() {
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
        let Transition::Ask(StoreRequest::Create { fields }) = sync.reply(StoreResponse::Rows(vec![])).unwrap() else {
            panic!()
        };
        assert_eq!(fields, RowChanges { clerk_id: Some("user_ada".into()), ..RowChanges::default() });
    }
}
