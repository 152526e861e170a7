//! A user store in memory, and one with faults.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clerk_auth::users::{Row, RowChanges, Schema, StoreError, StoreRequest, StoreResponse, UpdateCondition, UserStore};

/// Rows with unique Clerk ids and usernames; keys are numbers.
#[derive(Default)]
pub struct Table {
    pub rows: Mutex<Vec<Row>>,
    /// The number of requests so far.
    pub asked: AtomicUsize,
    /// Whether there is a column for the version of the user.
    pub has_versions: bool,
    /// Whether there is no column for Clerk ids.
    pub has_no_clerk_ids: bool,
}

impl Table {
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn change(&self, change: impl FnOnce(&mut Vec<Row>)) {
        change(&mut self.rows.lock().unwrap());
    }

    pub fn rows(&self) -> Vec<Row> {
        self.rows.lock().unwrap().clone()
    }

    fn find(&self, fits: impl Fn(&Row) -> bool) -> Vec<Row> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.rows.lock().unwrap().iter().filter(|row| fits(row)).cloned().collect()
    }
}

fn same(own: &Option<String>, other: &str) -> bool {
    own.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(other))
}

fn apply(changes: &RowChanges, row: &mut Row) {
    let RowChanges { clerk_id, email, username, first_name, last_name, image_url, last_active_at_ms, .. } =
        changes.clone();
    row.clerk_id = clerk_id.or(row.clerk_id.take());
    row.email = email.unwrap_or(row.email.take());
    row.username = username.or(row.username.take());
    row.first_name = first_name.or(row.first_name.take());
    row.last_name = last_name.or(row.last_name.take());
    row.image_url = image_url.unwrap_or(row.image_url.take());
    row.last_active_at_ms = last_active_at_ms.unwrap_or(row.last_active_at_ms);
    row.is_active = changes.is_active.unwrap_or(row.is_active);
    row.banned_by_clerk = changes.banned_by_clerk.unwrap_or(row.banned_by_clerk);
    row.clerk_updated_at_ms = changes.clerk_updated_at_ms.or(row.clerk_updated_at_ms);
}

impl UserStore for Table {
    fn schema(&self) -> Schema {
        Schema { clerk_updated_at: self.has_versions, clerk_id: !self.has_no_clerk_ids, ..Schema::default() }
    }

    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find(|row| row.key == key).pop())
    }

    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        Ok(self.find(|row| row.clerk_id.as_deref() == Some(clerk_id)).pop())
    }

    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        Ok(self.find(|row| same(&row.email, email)))
    }

    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        Ok(!self.find(|row| same(&row.username, username) && Some(row.key.as_str()) != except_key).is_empty())
    }

    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut row = Row { key: number.to_string(), is_active: true, ..Row::default() };
        apply(changes, &mut row);
        let mut rows = self.rows.lock().unwrap();
        let name = row.username.clone().unwrap_or_default();
        let is_same_user = |other: &Row| other.clerk_id.is_some() && other.clerk_id == row.clerk_id;
        if rows.iter().any(|other| is_same_user(other) || same(&other.username, &name)) {
            return Err(StoreError::Conflict);
        }
        rows.push(row);
        Ok(number.to_string())
    }

    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap();
        let row = rows.iter_mut().find(|row| row.key == key && condition.allows(row));
        row.map(|row| apply(changes, row)).ok_or(StoreError::Conflict)
    }
}

/// Executes one request with a store, like an application that executes the steps itself.
pub fn answer(store: &dyn UserStore, step: &StoreRequest) -> Result<StoreResponse, StoreError> {
    let answered = match step {
        StoreRequest::FindByKey { key } => {
            store.find_by_key(key).map(|row| StoreResponse::Rows(row.into_iter().collect()))
        }
        StoreRequest::FindByClerkId { clerk_id } => {
            store.find_by_clerk_id(clerk_id).map(|row| StoreResponse::Rows(row.into_iter().collect()))
        }
        StoreRequest::FindByEmail { email } => store.find_by_email(email).map(StoreResponse::Rows),
        StoreRequest::UsernameTaken { username, except_key } => {
            store.username_taken(username, except_key.as_deref()).map(StoreResponse::Taken)
        }
        StoreRequest::Create { changes } => store.create(changes).map(StoreResponse::Created),
        StoreRequest::Update { key, changes, condition } => {
            store.update(key, changes, condition).map(|()| StoreResponse::Updated)
        }
    };
    match answered {
        Err(StoreError::Conflict) => Ok(StoreResponse::Conflict),
        other => other,
    }
}

/// The fault of a [`FaultyStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None.
    None,
    /// This request fails.
    Fails(&'static str),
    /// Every write conflicts.
    Conflicts,
    /// Lookups by Clerk id return another user's row.
    OtherRowById,
    /// Lookups by key return another user's row.
    OtherRowByKey,
    /// New rows get an empty key.
    EmptyKey,
    /// Every username is taken.
    AllNamesTaken,
}

/// A store with a fault that can be changed.
pub struct FaultyStore {
    pub table: Table,
    pub fault: Mutex<Fault>,
}

impl FaultyStore {
    pub fn new(fault: Fault) -> FaultyStore {
        FaultyStore { table: Table::default(), fault: Mutex::new(fault) }
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault(&self, question: &str) -> Result<Fault, StoreError> {
        match *self.fault.lock().unwrap() {
            Fault::Fails(which) if which == question => Err(StoreError::failed(7, "disk full")),
            fault => Ok(fault),
        }
    }
}

fn other_row() -> Row {
    Row { key: "900".into(), clerk_id: Some("user_other".into()), is_active: true, ..Row::default() }
}

impl UserStore for FaultyStore {
    fn schema(&self) -> Schema {
        self.table.schema()
    }

    fn begin(&self) -> Result<(), StoreError> {
        self.fault("begin").map(|_| ())
    }

    fn commit(&self) -> Result<(), StoreError> {
        // A failed commit has no effect.
        self.fault("commit").map(|_| ()).inspect_err(|_| self.table.change(Vec::clear))
    }

    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        match self.fault("find_by_key")? {
            Fault::OtherRowByKey => Ok(Some(Row { key: key.into(), ..other_row() })),
            _ => self.table.find_by_key(key),
        }
    }

    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        match self.fault("find_by_clerk_id")? {
            Fault::OtherRowById => Ok(Some(other_row())),
            _ => self.table.find_by_clerk_id(clerk_id),
        }
    }

    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.fault("find_by_email")?;
        self.table.find_by_email(email)
    }

    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        match self.fault("username_taken")? {
            Fault::AllNamesTaken => Ok(true),
            _ => self.table.username_taken(username, except_key),
        }
    }

    fn create(&self, changes: &RowChanges) -> Result<String, StoreError> {
        match self.fault("create")? {
            Fault::Conflicts => Err(StoreError::Conflict),
            Fault::EmptyKey => Ok(String::new()),
            _ => self.table.create(changes),
        }
    }

    fn update(&self, key: &str, changes: &RowChanges, condition: &UpdateCondition) -> Result<(), StoreError> {
        match self.fault("update")? {
            Fault::Conflicts => Err(StoreError::Conflict),
            _ => self.table.update(key, changes, condition),
        }
    }
}
