//! The database file: which one it is, and whether it is still the one that was opened.

use std::fmt::Display;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::ffi::SQLITE_READONLY_DBMOVED;

use crate::users::StoreError;

/// Symbolic links that are followed to a file that does not exist yet.
const MAX_LINKS: usize = 40;

/// Device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId(u64, u64);

impl From<&Metadata> for FileId {
    fn from(about: &Metadata) -> Self {
        FileId(about.dev(), about.ino())
    }
}

/// A database and the files that SQLite keeps beside it. The path is absolute and contains no symbolic links.
#[derive(Debug)]
pub struct DatabaseFile {
    pub path: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
}

/// The files that a connection has open. SQLite deletes none of them before the last connection is closed.
#[derive(Debug)]
pub struct OpenFiles {
    pub database: FileId,
    wal: Option<FileId>,
    shm: Option<FileId>,
}

impl From<FileId> for OpenFiles {
    fn from(database: FileId) -> Self {
        OpenFiles { database, wal: None, shm: None }
    }
}

impl DatabaseFile {
    /// Follows symbolic links now, so that neither a changed link nor a changed working directory leads to another database
    /// later. The file need not exist.
    pub fn resolve(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path).and_then(|path| follow_links(&path)).map_err(|error| unusable(path, &error))?;
        let beside = |suffix: &str| {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Ok(DatabaseFile { wal: beside("-wal"), shm: beside("-shm"), path })
    }

    /// An error that names the file.
    pub fn error(&self, cause: impl Display) -> StoreError {
        StoreError::failed(-1, format!("{}: {cause}", self.path.display()))
    }

    /// Creates the file, readable by its owner only because it contains personal data. Returns whether it did not exist.
    ///
    /// Closing a descriptor drops the locks that any SQLite connection of the process has on the same file: an existing file
    /// is never opened here.
    pub fn create_if_missing(&self) -> Result<bool, StoreError> {
        match fs::metadata(&self.path) {
            Ok(about) if about.is_file() => return Ok(false),
            Ok(_) => return Err(self.error("not a regular file")),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(self.error(error)),
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path) {
            Ok(_) => Ok(true),
            // Another process was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.error(format!("cannot create the file: {error}"))),
        }
    }

    /// Returns which file is at the path.
    pub fn id(&self) -> Result<FileId, StoreError> {
        match fs::metadata(&self.path) {
            Ok(about) => Ok(FileId::from(&about)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(moved(&self.path, "was deleted")),
            Err(error) => Err(self.error(error)),
        }
    }

    /// Returns the files of a connection that has read from `database`.
    pub fn opened(&self, database: FileId, is_wal: bool) -> Result<OpenFiles, StoreError> {
        let id = |path: &Path| match fs::metadata(path) {
            Ok(about) => Ok(FileId::from(&about)),
            Err(error) => {
                let message = format!("{}: {error}; is the database open by another name?", path.display());
                Err(StoreError::failed(-1, message))
            }
        };
        let beside = |path| is_wal.then(|| id(path)).transpose();
        let files = OpenFiles { database, wal: beside(&self.wal)?, shm: beside(&self.shm)? };
        self.check(&files)?;
        Ok(files)
    }

    /// Checks that the files of a connection are still those at the path: what is written to others is lost.
    pub fn check(&self, open: &OpenFiles) -> Result<(), StoreError> {
        let files = [(&self.path, Some(open.database)), (&self.wal, open.wal), (&self.shm, open.shm)];
        for (path, expected) in files {
            let Some(expected) = expected else { continue };
            match fs::metadata(path) {
                Ok(about) if FileId::from(&about) == expected => {}
                Ok(_) => return Err(moved(path, "was replaced")),
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(moved(path, "was deleted")),
                Err(error) => return Err(self.error(error)),
            }
        }
        Ok(())
    }

    /// Checks that a database which has tables is not empty: SQLite takes an empty file for a new database, and discards its WAL.
    pub fn check_filled(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(about) if about.len() == 0 => Err(moved(&self.path, "was emptied")),
            _ => Ok(()),
        }
    }

    /// Checks that an empty file has no WAL: it was a database, whose rows SQLite would discard.
    pub fn check_new(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(about) if about.len() == 0 && fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > 0) => {
                let wal = self.wal.display();
                Err(self.error(format!("the file is empty, but {wal} has rows; restore the database")))
            }
            _ => Ok(()),
        }
    }

    /// Returns what an operator should know about the files.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for path in [&self.path, &self.wal, &self.shm] {
            let Ok(about) = fs::metadata(path) else { continue };
            let mode = about.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let path = path.display();
                warnings.push(format!("{path} contains personal data and its mode is {mode:04o}; change it to 0600"));
            }
            if about.nlink() > 1 {
                let path = path.display();
                warnings.push(format!("{path} has several hard links; opened by another name it would be corrupted"));
            }
        }
        warnings
    }

    /// Removes the file at the path if it is this one and empty.
    pub fn remove_if_empty(&self, id: FileId) {
        if fs::metadata(&self.path).is_ok_and(|about| FileId::from(&about) == id && about.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn moved(path: &Path, happened: &str) -> StoreError {
    let advice = "while the database was in use; restore it and restart the server";
    StoreError::failed(SQLITE_READONLY_DBMOVED, format!("{} {happened} {advice}", path.display()))
}

/// Returns how many descriptors of this process refer to a file; none if `/proc` is not there.
pub fn count_descriptors(file: FileId) -> usize {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    entries.filter(|entry| fs::metadata(entry.path()).is_ok_and(|about| FileId::from(&about) == file)).count()
}

/// An error for a path that leads to no database.
pub fn unusable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::failed(-1, format!("{:?}: cannot be used: {error}", path.display()))
}

/// Makes a path of a database absolute, so that SQLite takes it for nothing but the path of a file.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let name = path.as_os_str().as_encoded_bytes();
    let refused = |why: &str| Err(io::Error::new(ErrorKind::InvalidInput, why));
    if name.contains(&0) {
        return refused("the path contains a NUL");
    }
    if name == b":memory:" || name.starts_with(b"file:") {
        return refused("not the path of a file; databases in memory and URIs are not supported");
    }
    if [&b"-wal"[..], b"-shm", b"-journal"].iter().any(|suffix| name.ends_with(suffix)) {
        return refused("SQLite uses this name for a file beside a database");
    }
    std::path::absolute(path)
}

fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            resolved => return resolved,
        }
        // No file yet, or a link to no file yet.
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { break };
        let folder = fs::canonicalize(folder)?;
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(folder.join(name)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}
