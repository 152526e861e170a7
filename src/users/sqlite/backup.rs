//! A copy of a database that is in use.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::error::explain;
use super::file::{DatabaseFile, absolute, unusable};
use super::schema::connect;
use crate::users::StoreError;

/// Copies the database at `from` into a new file, which has its name only when it is complete.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = DatabaseFile::resolve(from)?;
    let to = &absolute(to).map_err(|error| unusable(to, &error))?;
    let failed =
        |error: io::Error| StoreError::failed(-1, format!("{}: cannot write the backup: {error}", to.display()));
    match fs::metadata(&source.path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(source.error("no such database")),
        Ok(about) if about.len() == 0 => return Err(source.error("the file is empty, which is no database")),
        _ => {}
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(failed(io::Error::from_raw_os_error(libc::EEXIST)));
    }
    let pooled = connect(&source, 0, source.id()?)?;
    let has_table = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'clerk_user'";
    let has_table = pooled.connection.query_row(has_table, [], |row| row.get::<_, i64>(0));
    if has_table.map_err(|error| explain(&source.path, &error))? == 0 {
        return Err(source.error("the database has no table clerk_user"));
    }
    let partial = partial_path(to);
    let name = partial.to_str().ok_or_else(|| source.error("the path of the backup is not UTF-8"))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial).map_err(failed)?;
    let copied = pooled.connection.execute("VACUUM INTO ?1", [name]).map_err(|error| {
        let is_of_source = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
            )
        );
        explain(if is_of_source { &source.path } else { to }, &error)
    });
    let finished = copied
        .and_then(|_| source.check(&pooled.files).and_then(|()| source.check_filled()))
        .and_then(|()| finish(&partial, to).map_err(failed));
    let _ = fs::remove_file(&partial);
    finished
}

/// A name beside the destination. A process that is killed leaves the file there.
fn partial_path(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".partial-{:016x}", RandomState::new().hash_one(0)));
    PathBuf::from(name)
}

/// Gives the complete copy its name, unless there is such a file.
fn finish(partial: &Path, to: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    match fs::hard_link(partial, to) {
        // A file system without hard links.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && fs::symlink_metadata(to).is_err() => {
            fs::rename(partial, to)?;
        }
        linked => linked?,
    }
    to.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
