//! Errors of SQLite as errors of the store, which name the file, the cause and what to do.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_BUSY, SQLITE_CONSTRAINT_UNIQUE, SQLITE_READONLY_DBMOVED};

use crate::users::StoreError;

/// Converts an error of a connection to the database at `path`.
pub fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    let Some(known) = error.sqlite_error() else { return StoreError::failed(-1, format!("{path}: {error}")) };
    if known.extended_code == SQLITE_CONSTRAINT_UNIQUE {
        return StoreError::Conflict;
    }
    let cause = match known.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => "locked by another connection or process for too long",
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            "read-only; the process must be able to write to the file and to its folder"
        }
        ErrorCode::CannotOpen => {
            "cannot be opened; the process must be able to write to the file and to its folder, and to open more files"
        }
        ErrorCode::DiskFull => "no space is left on the device",
        ErrorCode::SystemIoFailure => "input/output error, such as a full or failing device or a limit on file sizes",
        ErrorCode::DatabaseCorrupt => "the database is corrupted; restore a backup",
        ErrorCode::NotADatabase => "not an SQLite database, or a corrupted one",
        ErrorCode::FileLockingProtocolFailed => "the file system does not support file locks",
        _ => return StoreError::failed(known.extended_code, format!("{path}: {error}")),
    };
    StoreError::failed(known.extended_code, format!("{path}: {cause} (SQLite: {error})"))
}

/// Returns whether the cause may be a process that starts at the same time.
pub fn is_transient(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed { code, .. } if code & 0xff == SQLITE_BUSY || *code == SQLITE_READONLY_DBMOVED)
}

/// Returns whether the connection can be used after this error.
pub fn is_harmless(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict | StoreError::Failed { code: SQLITE_BUSY, .. })
}
