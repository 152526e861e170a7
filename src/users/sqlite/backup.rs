//! A copy of a database that is in use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::explain;
use super::file::{DatabaseFile, absolute, unusable};
use super::schema::connect;
use crate::users::StoreError;

/// Copies the database at `from` into a new file.
pub fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = DatabaseFile::resolve(from)?;
    let to = &absolute(to).map_err(|error| unusable(to, &error))?;
    let failed =
        |error: io::Error| StoreError::failed(-1, format!("{}: cannot write the backup: {error}", to.display()));
    if fs::metadata(&source.path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Err(source.error("no such database"));
    }
    let pooled = connect(&source, 0, source.id()?)?;
    let name = to.to_str().ok_or_else(|| source.error("the path of the backup is not UTF-8"))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let copied = pooled.connection.execute("VACUUM INTO ?1", [name]).map_err(|error| explain(to, &error));
    let copied = copied.and_then(|_| source.check(&pooled.files)).and_then(|()| sync(to).map_err(failed));
    if copied.is_err() {
        let _ = fs::remove_file(to);
    }
    copied
}

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
