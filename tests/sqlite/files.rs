//! Which file is opened, its mode, and what else it contains.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clerk_auth::users::{SqliteStore, StoreError};
use clerk_auth::{Client, LogLevel};

use super::common::TempDir;
use super::{create, find, names, open, outside, refusal};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn symbolic_links_lead_to_one_database() {
    let dir = TempDir::new();
    // As a deployment with releases, and as a volume of Kubernetes.
    fs::create_dir_all(dir.join("releases/1")).unwrap();
    symlink("releases/1", dir.join("current")).unwrap();
    let real = dir.join("releases/1/users.db");
    let through_folder = open(dir.join("current/users.db"));
    create(&through_folder, "ada").unwrap();
    symlink("current/users.db", dir.join("link.db")).unwrap();
    symlink(dir.join("link.db"), dir.join("again.db")).unwrap();
    for path in [dir.join("link.db"), dir.join("again.db"), dir.join("current/../1/users.db"), real.clone()] {
        assert!(find(&open(&path), "ada").unwrap().is_some(), "{}", path.display());
    }
    // Pointed elsewhere, the link does not lead an open store to another database.
    fs::create_dir(dir.join("releases/2")).unwrap();
    fs::remove_file(dir.join("current")).unwrap();
    symlink("releases/2", dir.join("current")).unwrap();
    create(&through_folder, "bob").unwrap();
    assert!(find(&open(&real), "bob").unwrap().is_some());
    assert_eq!(names(&dir.join("releases/2")), [""; 0]);
}

#[test]
fn link_to_no_file_yet_creates_its_target() {
    let dir = TempDir::new();
    fs::create_dir(dir.join("data")).unwrap();
    symlink("data/users.db", dir.join("first.db")).unwrap();
    symlink(dir.join("first.db"), dir.join("second.db")).unwrap();
    create(&open(dir.join("second.db")), "ada").unwrap();
    assert_eq!(names(&dir.join("data")), ["users.db"]);
    assert!(find(&open(dir.join("data/users.db")), "ada").unwrap().is_some());
    assert_eq!(mode(&dir.join("data/users.db")), 0o600);
}

#[test]
fn refused_path_leaves_no_file_and_names_the_cause() {
    let dir = TempDir::new();
    fs::create_dir(dir.join("folder")).unwrap();
    let _socket = UnixListener::bind(dir.join("socket")).unwrap();
    symlink("loop", dir.join("loop")).unwrap();
    symlink("no/such.db", dir.join("dangling")).unwrap();
    symlink("folder", dir.join("to-folder")).unwrap();
    fs::write(dir.join("junk"), [7; 8192]).unwrap();
    let before = names(&dir.join(""));
    for (name, cause) in [
        ("folder", "not a regular file"),
        ("to-folder", "not a regular file"),
        ("socket", "not a regular file"),
        ("/dev/null", "not a regular file"),
        ("loop", "symbolic links"),
        ("dangling", "No such file"),
        ("no/such.db", "No such file"),
        ("junk/users.db", "Not a directory"),
        ("junk", "not an SQLite database"),
    ] {
        let message = refusal(dir.join(name));
        assert!(message.contains(cause) && message.contains(name.trim_start_matches("to-")), "{name}: {message}");
    }
    assert_eq!(names(&dir.join("")), before);
    assert_eq!(fs::read(dir.join("junk")).unwrap(), [7; 8192]);
}

// Threat R3.
#[test]
fn database_and_its_files_are_private() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    let store = open(&path);
    create(&store, "ada").unwrap();
    for name in ["users.db", "users.db-wal", "users.db-shm"] {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

#[test]
fn wider_mode_of_an_existing_file_is_logged_once() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    drop(open(&path));
    let log = |path: &Path| {
        let store = Arc::new(open(path));
        let lines = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..2 {
            let lines = lines.clone();
            let builder = Client::builder().secret_key("sk_test_x").user_store(store.clone());
            let log = move |level, line: &str| {
                if line.contains("users.db") {
                    lines.lock().unwrap().push(format!("{level:?} {line}"));
                }
            };
            builder.on_log(LogLevel::Debug, log).build().unwrap();
        }
        std::mem::take(&mut *lines.lock().unwrap())
    };
    assert_eq!(log(&path), [""; 0]);
    for wide in [0o644, 0o660, 0o604] {
        fs::set_permissions(&path, Permissions::from_mode(wide)).unwrap();
        let lines = log(&path);
        assert!(
            lines.len() == 1 && lines[0].starts_with("Warn ") && lines[0].contains(&format!("{wide:04o}")),
            "{lines:?}"
        );
        assert_eq!(mode(&path), wide);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, dir.join("other.db")).unwrap();
    let lines = log(&path);
    assert!(lines.len() == 1 && lines[0].contains("hard links"), "{lines:?}");
}

#[test]
fn journal_mode_of_the_applications_database_is_kept() {
    let dir = TempDir::new();
    let journal_mode =
        |path: &Path| -> String { outside(path).query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap() };
    for (mode, object) in [("delete", "TABLE own (x)"), ("wal", "TABLE own (x)"), ("delete", "VIEW own AS SELECT 1")] {
        let path = dir.join(format!("{mode}-{}.db", object.len()));
        let own = outside(&path);
        let _: String = own.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |row| row.get(0)).unwrap();
        own.execute_batch(&format!("CREATE {object}")).unwrap();
        drop(own);
        for name in ["ada", "bob"] {
            let store = open(&path);
            create(&store, name).unwrap();
            assert!(find(&store, name).unwrap().is_some());
            drop(store);
            assert_eq!(journal_mode(&path), mode);
        }
        outside(&path).execute_batch("SELECT * FROM own").unwrap();
    }
    // A database without other tables is the library's own.
    fs::write(dir.join("empty.db"), "").unwrap();
    for name in ["empty.db", "new.db"] {
        drop(open(dir.join(name)));
        assert_eq!(journal_mode(&dir.join(name)), "wal");
    }
}

#[test]
fn newer_schema_is_refused() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    drop(open(&path));
    outside(&path).execute("INSERT INTO clerk_schema VALUES (99)", []).unwrap();
    let message = refusal(&path);
    assert!(message.contains("version 99") && message.contains("users.db"), "{message}");
}

#[test]
fn name_that_is_no_path_of_a_database_is_refused_and_leaves_no_file() {
    let dir = TempDir::new();
    drop(open(dir.join("users.db")));
    let before = names(&dir.join(""));
    let in_folder = |name: &str| dir.join(name).display().to_string();
    for (name, cause) in [
        (":memory:".to_owned(), "databases in memory"),
        ("file:users.db?mode=ro".to_owned(), "URIs"),
        (format!("file:{}", in_folder("users.db")), "URIs"),
        (in_folder("other.db-wal"), "beside a database"),
        (in_folder("other.db-shm"), "beside a database"),
        (in_folder("users.db-journal"), "beside a database"),
        (String::new(), "empty path"),
    ] {
        let message = refusal(&name);
        assert!(message.contains(cause) && message.contains(&format!("{name:?}")), "{name}: {message}");
        let message = SqliteStore::backup(dir.join("users.db"), &name).unwrap_err().to_string();
        assert!(message.contains(cause) && message.contains(&format!("{name:?}")), "{name}: {message}");
        assert!(!Path::new(&name).exists());
    }
    assert_eq!(names(&dir.join("")), before);
}

#[test]
fn tables_of_the_application_by_the_same_names_are_refused_unchanged() {
    const OWN: &str = "clerk_user_id TEXT UNIQUE, email TEXT, username TEXT NOT NULL UNIQUE, first_name TEXT, last_name TEXT, \
        image_url TEXT, last_active_at TEXT, is_active INTEGER, banned_by_clerk INTEGER, clerk_updated_at_ms INTEGER, \
        updated_at TEXT)";
    const CURRENT: &str =
        "CREATE TABLE clerk_schema (version INTEGER NOT NULL); INSERT INTO clerk_schema VALUES (1), (2);";
    for (sql, cause) in [
        ("CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, name TEXT)".to_owned(), "already exists"),
        ("CREATE TABLE own (x); CREATE VIEW clerk_user AS SELECT * FROM own".to_owned(), "already exists"),
        ("CREATE TABLE clerk_schema (v TEXT)".to_owned(), "no such column"),
        (
            "CREATE TABLE clerk_schema (version); INSERT INTO clerk_schema VALUES ('a')".to_owned(),
            "Invalid column type",
        ),
        (CURRENT.to_owned(), "no such table"),
        (format!("{CURRENT} CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, username TEXT)"), "no such column"),
        (format!("{CURRENT} CREATE TABLE clerk_user (id TEXT PRIMARY KEY, {OWN}"), "`id` is not"),
        (format!("{CURRENT} CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, {OWN} WITHOUT ROWID"), "rowid"),
        (
            format!("{CURRENT} CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, {}", OWN.replace(" UNIQUE", "")),
            "UNIQUE",
        ),
        (
            format!(
                "{CURRENT} CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, {}; CREATE UNIQUE INDEX i ON clerk_user \
                 (clerk_user_id) WHERE is_active",
                OWN.replace("id TEXT UNIQUE", "id TEXT")
            ),
            "UNIQUE",
        ),
    ] {
        let dir = TempDir::new();
        let path = dir.join("app.db");
        outside(&path).execute_batch(&sql).unwrap();
        let before = fs::read(&path).unwrap();
        let message = refusal(&path);
        assert!(message.contains("not those of this library") && message.contains(cause), "{sql}: {message}");
        assert_eq!(fs::read(&path).unwrap(), before, "{sql}");
        assert_eq!(names(&dir.join("")), ["app.db"]);
    }
}

#[test]
fn columns_and_triggers_that_the_application_adds_are_kept() {
    let dir = TempDir::new();
    let path = dir.join("users.db");
    drop(open(&path));
    outside(&path)
        .execute_batch(
            "CREATE TABLE log (n INTEGER PRIMARY KEY, name TEXT); INSERT INTO log VALUES (500, '');
             ALTER TABLE clerk_user ADD COLUMN tenant TEXT NOT NULL DEFAULT 'a';
             ALTER TABLE clerk_user ADD COLUMN full_name TEXT AS (first_name || last_name);
             CREATE TRIGGER logged AFTER INSERT ON clerk_user BEGIN INSERT INTO log (name) VALUES (new.username); END",
        )
        .unwrap();
    let store = open(&path);
    let key = create(&store, "ada").unwrap();
    assert_eq!((key.as_str(), find(&store, "ada").unwrap().unwrap().key.as_str()), ("1", "1"));
}

#[test]
fn row_that_a_trigger_discards_is_an_error() {
    for trigger in [
        "BEFORE INSERT ON clerk_user BEGIN SELECT raise(ignore); END",
        "AFTER INSERT ON clerk_user BEGIN DELETE FROM clerk_user WHERE id = new.id; END",
        "AFTER INSERT ON clerk_user BEGIN UPDATE clerk_user SET clerk_user_id = NULL WHERE id = new.id; END",
    ] {
        let dir = TempDir::new();
        let path = dir.join("users.db");
        let store = open(&path);
        outside(&path).execute_batch(&format!("CREATE TRIGGER odd {trigger}")).unwrap();
        let StoreError::Failed { message, .. } = create(&store, "ada").unwrap_err() else { panic!("{trigger}") };
        assert!(message.contains("trigger") && message.contains("users.db"), "{message}");
        assert!(find(&store, "ada").unwrap().is_none(), "{trigger}");
    }
}
