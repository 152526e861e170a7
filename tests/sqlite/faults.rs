//! Files that are deleted, replaced, damaged or locked while the store uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use clerk_auth::users::{RowChanges, SqliteStore, StoreError, UpdateCondition, UserStore};

use super::common::TempDir;
use super::{create, find, names, open, outside, refusal};

/// The message of a failure, which names a file.
#[track_caller]
fn failure<T: std::fmt::Debug>(outcome: Result<T, StoreError>, file: &Path) -> String {
    let StoreError::Failed { message, .. } = outcome.unwrap_err() else { panic!("a conflict") };
    assert!(message.contains(file.to_str().unwrap()), "{message}");
    message
}

#[test]
fn deleted_database_is_an_error_and_no_new_file_appears() {
    for suffix in ["", "-wal", "-shm"] {
        let dir = TempDir::new();
        let path = dir.join("users.db");
        let store = open(&path);
        create(&store, "ada").unwrap();
        let deleted = dir.join(format!("users.db{suffix}"));
        fs::rename(&deleted, dir.join("away")).unwrap();
        let before = names(&dir.join(""));
        for _ in 0..3 {
            assert!(failure(create(&store, "bob"), &deleted).contains("deleted"));
            assert!(failure(find(&store, "ada"), &deleted).contains("deleted"));
        }
        assert_eq!(names(&dir.join("")), before);
        drop(store);
        fs::rename(dir.join("away"), &deleted).unwrap();
        let store = open(&path);
        assert!(find(&store, "ada").unwrap().is_some() && find(&store, "bob").unwrap().is_none());
        create(&store, "bob").unwrap();
    }
}

#[test]
fn replaced_database_is_an_error_until_the_restart() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    let key = create(&store, "ada").unwrap();
    let other = open(dir.join("other.db"));
    drop(other);
    fs::rename(dir.join("other.db"), &path).unwrap();
    for _ in 0..3 {
        assert!(failure(create(&store, "bob"), &path).contains("replaced"));
        assert!(failure(find(&store, "ada"), &path).contains("replaced"));
        assert!(failure(store.find_by_key(&key), &path).contains("replaced"));
        let update = store.update(&key, &RowChanges::default(), &UpdateCondition::default());
        assert!(failure(update, &path).contains("replaced"));
    }
    drop(store);
    // The WAL of the old database must not be applied to the new one.
    fs::remove_file(dir.join("users.db-wal")).unwrap();
    fs::remove_file(dir.join("users.db-shm")).unwrap();
    let store = open(&path);
    assert!(find(&store, "ada").unwrap().is_none());
    create(&store, "bob").unwrap();
}

/// A database of no length is a new one for SQLite, which then discards the WAL.
#[test]
fn emptied_database_is_an_error_until_the_restart() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    let key = create(&store, "ada").unwrap();
    store.begin().unwrap();
    store.create(&super::user("eve")).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    failure(store.commit(), &path);
    store.rollback();
    for _ in 0..3 {
        failure(create(&store, "bob"), &path);
        failure(find(&store, "ada"), &path);
        failure(store.find_by_key(&key), &path);
    }
    // Neither a backup nor a process that starts uses it as a new database, and the rows in the WAL stay.
    drop(store);
    let wal = fs::read(dir.join("users.db-wal")).unwrap();
    for _ in 0..2 {
        let message = SqliteStore::backup(&path, dir.join("copy.db")).unwrap_err().to_string();
        assert!(message.contains("empty") && !dir.join("copy.db").exists(), "{message}");
        let message = SqliteStore::open(&path).unwrap_err().to_string();
        assert!(message.contains("users.db-wal") && message.contains("restore"), "{message}");
    }
    assert!(fs::metadata(&path).unwrap().len() == 0 && fs::read(dir.join("users.db-wal")).unwrap() == wal);
    assert!(wal.len() > 1000);
    // An empty file by itself is a new database.
    fs::write(dir.join("new.db"), b"").unwrap();
    create(&open(dir.join("new.db")), "ada").unwrap();
}

/// What is acknowledged after another process has shortened a file is there after a restart.
#[test]
fn shortened_files_lose_no_acknowledged_row() {
    for (suffix, part) in [("", 2), ("-wal", 0), ("-wal", 2), ("-wal", 3)] {
        let dir = TempDir::new();
        let path = dir.join("users.db");
        let store = open(&path);
        (0..5).for_each(|n| drop(create(&store, &format!("ada{n}")).unwrap()));
        let file = fs::OpenOptions::new().write(true).open(dir.join(format!("users.db{suffix}"))).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(len.checked_div(part).unwrap_or_default()).unwrap();
        let after: Vec<bool> = (0..5).map(|n| create(&store, &format!("bob{n}")).is_ok()).collect();
        drop(store);
        let Ok(store) = SqliteStore::open(&path) else { continue };
        let lost = (0..5).filter(|n| after[*n] && !find(&store, &format!("bob{n}")).is_ok_and(|row| row.is_some()));
        assert_eq!(lost.count(), 0, "users.db{suffix}, 1/{part}: {after:?}");
    }
}

#[test]
fn commit_to_a_deleted_file_is_not_acknowledged() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    create(&store, "ada").unwrap();
    store.begin().unwrap();
    store.create(&super::user("bob")).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(failure(store.commit(), &path).contains("deleted"));
    store.rollback();
    assert!(failure(find(&store, "bob"), &path).contains("deleted"));
}

#[test]
fn write_fails_after_two_seconds_while_the_database_is_locked() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    create(&store, "ada").unwrap();
    let other = outside(&path);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    assert!(failure(create(&store, "bob"), &path).contains("locked"));
    assert!((2..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(find(&store, "ada").unwrap().is_some());
    other.execute_batch("ROLLBACK").unwrap();
    create(&store, "bob").unwrap();
}

#[test]
fn start_on_a_locked_database_is_bounded() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let other = outside(&path);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begun = Instant::now();
    let message = refusal(&path);
    assert!(message.contains("locked") && message.contains("users.db"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    other.execute_batch("ROLLBACK").unwrap();
    create(&open(&path), "ada").unwrap();
}

#[test]
fn damaged_database_is_an_error_and_no_row_is_invented() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    for i in 0..200 {
        create(&store, &format!("ada{i}")).unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();
    let pages = good.len() / 4096;
    assert!(pages > 5);
    let mut errors = 0;
    for page in 0..pages {
        let mut bad = good.clone();
        bad[page * 4096..][..4096].fill(0x5a);
        fs::write(&path, &bad).unwrap();
        let Ok(store) = SqliteStore::open(&path) else {
            errors += 1;
            continue;
        };
        for i in 0..200 {
            match find(&store, &format!("ada{i}")) {
                Ok(Some(row)) => assert_eq!(row.username.as_deref(), Some(format!("ada{i}").as_str())),
                // A row that is not found is created from Clerk's user, and conflicts.
                Ok(None) => {}
                outcome => {
                    let message = failure(outcome, &path);
                    assert!(message.contains("corrupted") || message.contains("not an SQLite"), "{message}");
                    errors += 1;
                }
            }
        }
    }
    assert!(errors > pages / 2, "{errors}");
}

#[test]
fn flag_that_is_neither_0_nor_1_is_an_error() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    create(&store, "ada").unwrap();
    outside(&path).execute_batch("PRAGMA ignore_check_constraints = 1; UPDATE clerk_user SET is_active = 2").unwrap();
    failure(find(&store, "ada"), &path);
}

/// The database as a power failure leaves it: what was synchronized, and a part of the WAL.
#[test]
fn truncated_wal_keeps_what_was_committed_before() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    for i in 0..20 {
        create(&store, &format!("ada{i}")).unwrap();
    }
    let (database, wal) = (fs::read(&path).unwrap(), fs::read(dir.join("users.db-wal")).unwrap());
    drop(store);
    let mut counts = Vec::new();
    // Sectors of the last 64 KiB, and less of what comes before.
    let last = wal.len().saturating_sub(64 * 1024) / 512 * 512;
    let ends = (0..last).step_by(8 * 512).chain((last..wal.len()).step_by(512)).chain([wal.len()]);
    for (step, end) in ends.enumerate() {
        let copy = dir.join(format!("copy{step}.db"));
        fs::write(&copy, &database).unwrap();
        // The last bytes are lost, or never reached the device.
        let mut torn = wal[..end].to_vec();
        let lost = torn.len().saturating_sub(if end == wal.len() { 0 } else { 100 * (step % 2) });
        torn[lost..].fill(0);
        fs::write(dir.join(format!("copy{step}.db-wal")), torn).unwrap();
        let store = open(&copy);
        let rows = (0..20).filter(|i| find(&store, &format!("ada{i}")).unwrap().is_some()).count();
        assert!((0..rows).all(|i| find(&store, &format!("ada{i}")).unwrap().is_some()), "not the first {rows}");
        create(&store, "bob").unwrap();
        drop(store);
        let check: String = outside(&copy).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        counts.push(rows);
    }
    assert!(counts.is_sorted() && counts[0] == 0 && counts.ends_with(&[20]) && counts.len() > 100, "{counts:?}");
    assert!((0..20).all(|rows| counts.contains(&rows)), "{counts:?}");
}

#[test]
fn backup_has_every_row_and_a_plain_copy_has_not() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    outside(&path).execute_batch("CREATE TABLE own (x); INSERT INTO own VALUES (7)").unwrap();
    for i in 0..20 {
        create(&store, &format!("ada{i}")).unwrap();
    }
    fs::copy(&path, dir.join("plain.db")).unwrap();
    SqliteStore::backup(&path, dir.join("backup.db")).unwrap();
    assert_eq!(fs::metadata(dir.join("backup.db")).unwrap().permissions().mode() & 0o777, 0o600);
    create(&store, "bob").unwrap();
    let rows =
        |name: &str| (0..20).filter(|i| find(&open(dir.join(name)), &format!("ada{i}")).unwrap().is_some()).count();
    assert_eq!((rows("plain.db"), rows("backup.db")), (0, 20));
    let own: i64 = outside(dir.join("backup.db")).query_row("SELECT x FROM own", [], |row| row.get(0)).unwrap();
    assert_eq!(own, 7);
    let before = names(&dir.join(""));
    for (from, to, cause) in [
        ("users.db", "backup.db", "File exists"),
        ("no.db", "copy.db", "no such database"),
        ("users.db", "no/copy.db", "No such file"),
        ("", "copy.db", ""),
    ] {
        let message = SqliteStore::backup(dir.join(from), dir.join(to)).unwrap_err().to_string();
        assert!(message.contains(cause), "{message}");
    }
    assert_eq!(names(&dir.join("")), before);
    outside(dir.join("other.db")).execute_batch("CREATE TABLE own (x)").unwrap();
    let message = SqliteStore::backup(dir.join("other.db"), dir.join("copy.db")).unwrap_err().to_string();
    assert!(message.contains("clerk_user"), "{message}");
    // A damaged source is named, and no copy is left.
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 2 / 4096 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let message = SqliteStore::backup(&path, dir.join("copy.db")).unwrap_err().to_string();
    assert!(message.contains("users.db") && message.contains("corrupted") && !message.contains("copy.db"), "{message}");
    assert!(names(&dir.join("")).iter().all(|name| !name.contains("copy")));
}

/// A copy that is not complete does not look like one.
#[test]
fn killed_backup_leaves_no_file_with_its_name() {
    if let Ok(folder) = std::env::var("CLERK_TEST_BACKUP") {
        let folder = std::path::PathBuf::from(folder);
        SqliteStore::backup(folder.join("users.db"), folder.join("copy.db")).unwrap();
        return;
    }
    let dir = TempDir::new();
    let store = open(dir.join("users.db"));
    create(&store, "ada").unwrap();
    let own = "CREATE TABLE own (x); WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) \
        INSERT INTO own SELECT randomblob(8000) FROM n";
    outside(dir.join("users.db")).execute_batch(own).unwrap();
    let mut killed = 0;
    for ms in 0..30 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::killed_backup_leaves_no_file_with_its_name"])
            .env("CLERK_TEST_BACKUP", dir.join(""))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(ms * 3));
        let _ = child.kill();
        killed += u32::from(!child.wait().unwrap().success());
        if dir.join("copy.db").exists() {
            assert!(find(&open(dir.join("copy.db")), "ada").unwrap().is_some());
            let count: i64 =
                outside(dir.join("copy.db")).query_row("SELECT count(*) FROM own", [], |row| row.get(0)).unwrap();
            assert_eq!(count, 3000);
            names(&dir.join(""))
                .iter()
                .filter(|name| name.starts_with("copy"))
                .for_each(|name| fs::remove_file(dir.join(name)).unwrap());
        }
    }
    assert!(killed > 3);
    SqliteStore::backup(dir.join("users.db"), dir.join("copy.db")).unwrap();
}
