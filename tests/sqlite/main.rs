//! The SQLite store and its files: links, modes, other tables, deleted and damaged files, several processes, kill -9.
#![cfg(feature = "sqlite")]

#[path = "../common/mod.rs"]
mod common;
mod faults;
mod files;
mod processes;

use std::path::Path;

use clerk_auth::users::{Row, RowChanges, SqliteStore, StoreError, UserStore};

fn user(name: &str) -> RowChanges {
    RowChanges { clerk_id: Some(format!("user_{name}")), username: Some(name.into()), ..RowChanges::default() }
}

/// Creates a row as the library does: in a transaction.
fn create(store: &SqliteStore, name: &str) -> Result<String, StoreError> {
    store.begin()?;
    let key = store.create(&user(name)).and_then(|key| store.commit().map(|()| key));
    if key.is_err() {
        store.rollback();
    }
    key
}

fn find(store: &SqliteStore, name: &str) -> Result<Option<Row>, StoreError> {
    store.find_by_clerk_id(&format!("user_{name}"))
}

fn open(path: impl AsRef<Path>) -> SqliteStore {
    SqliteStore::open(path).unwrap()
}

/// The message of a refusal to open.
fn refusal(path: impl AsRef<Path>) -> String {
    SqliteStore::open(path).unwrap_err().to_string()
}

/// A connection of another program.
fn outside(path: impl AsRef<Path>) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm"))
        .collect();
    names.sort();
    names
}
