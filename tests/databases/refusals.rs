//! What is refused at the start, with the setting named and no password in the message.

use std::time::{Duration, Instant};

use super::common::SLACK;
use super::common::unresponsive_server::{Behavior, UnresponsiveServer};
use super::server::{Database, Kind, Target};
use super::{TIMEOUT, create, open, open_database, open_url, refusal, user};

const WRONG: &str = "app:s3cret-wrong";

/// The database with other parameters in its URL.
fn with(database: &Database<'_>, parameters: &str) -> String {
    format!("{}?{parameters}", database.url().split('?').next().unwrap())
}

pub fn wrong_url_is_refused_with_the_setting_named(target: &Target) {
    let database = target.database();
    for odd in [
        "",
        "users.db",
        "oracle://app:s3cret@h/db",
        "POSTGRES://app:s3cret@h/db",
        "postgres:app",
        "mysql:/x",
        "sqlite:",
    ] {
        refusal(odd);
    }
    if target.kind != Kind::Sqlite {
        for parameters in ["sslmode=allow", "sslmode=no", "sslmod=disable", "pool_size=0", "sslrootcert=/nonexistent"] {
            refusal(&with(&database, parameters));
        }
    }
}

pub fn wrong_password_is_refused_and_not_shown(target: &Target) {
    let database = target.database();
    let message = refusal(&database.url_of(WRONG, &format!("127.0.0.1:{}", database.port()), "sslmode=disable"));
    assert!(message.contains("app") && ["28P01", "1045"].iter().any(|code| message.contains(code)), "{message}");
    refusal(&database.url_of("other:s3cret", &format!("127.0.0.1:{}", database.port()), "sslmode=disable"));
    refusal(&database.url_of("app", &format!("127.0.0.1:{}", database.port()), "sslmode=disable"));
}

pub fn certificate_of_another_host_or_authority_is_refused(target: &Target) {
    let database = target.database();
    let (authority, unrelated) = (target.file("authority.pem"), target.file("unrelated.pem"));
    let by_address = |parameters: &str| with(&database, parameters).replace("@localhost:", "@127.0.0.1:");
    let verified = format!("sslrootcert={authority}");
    open_url(&with(&database, &verified));
    let message = refusal(&by_address(&verified));
    assert!(message.contains("certificate for another host"), "{message}");
    open_url(&by_address(&format!("{verified}&sslmode=verify-ca")));
    for untrusted in ["sslmode=verify-ca", ""] {
        let message = refusal(&with(&database, &format!("sslrootcert={unrelated}&{untrusted}")));
        assert!(message.contains("certificate"), "{message}");
    }
    // As libpq does: `require` with an authority verifies the chain, and without one nothing.
    refusal(&by_address(&format!("sslrootcert={unrelated}&sslmode=require")));
    open_url(&by_address("sslmode=require"));
    open_url(&by_address("sslmode=prefer"));
    // The system trusts no authority of a test.
    refusal(&with(&database, ""));
    let encrypted = |parameters: &str| {
        let store = open_url(&by_address(parameters));
        store.find_by_key("1").unwrap();
        let count = match target.kind {
            Kind::Postgres => database.sql(&format!(
                "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE ssl AND datname = '{}'",
                database.name
            )),
            _ => "".into(),
        };
        drop(store);
        count
    };
    if target.kind == Kind::Postgres {
        assert_eq!((encrypted("sslmode=require").as_str(), encrypted("sslmode=disable").as_str()), ("1", "0"));
    }
}

pub fn server_without_the_database_is_refused(target: &Target) {
    let database = target.database();
    let message = refusal(&database.plain_url().replace(&format!("/{}?", database.name), "/missing?"));
    assert!(message.contains("missing"), "{message}");
}

pub fn newer_schema_is_refused(target: &Target) {
    let database = target.database();
    drop(open(&database));
    database.sql("INSERT INTO clerk_schema (version) VALUES (99)");
    let message = refusal(&database.url());
    assert!(message.contains("schema version 99; this library supports up to"), "{message}");
}

pub fn other_table_is_refused(target: &Target) {
    let wrongs: &[&str] = match target.kind {
        Kind::Sqlite => &["DROP TABLE clerk_user; CREATE TABLE clerk_user (id INTEGER PRIMARY KEY)"],
        Kind::Postgres => &[
            "ALTER TABLE clerk_user DROP COLUMN image_url",
            "DROP INDEX clerk_user_username",
            "DROP INDEX clerk_user_username; CREATE UNIQUE INDEX ON clerk_user (username)",
            "ALTER TABLE clerk_user DROP CONSTRAINT clerk_user_clerk_user_id_key",
            "ALTER TABLE clerk_user ALTER COLUMN is_active DROP DEFAULT, ALTER COLUMN is_active TYPE TEXT",
        ],
        Kind::Mariadb => &[
            "ALTER TABLE clerk_user DROP COLUMN image_url",
            "ALTER TABLE clerk_user DROP INDEX clerk_user_username",
            "ALTER TABLE clerk_user DROP INDEX clerk_user_id",
            "ALTER TABLE clerk_user MODIFY clerk_user_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
            "ALTER TABLE clerk_user MODIFY first_name VARCHAR(255) CHARACTER SET latin1 NOT NULL",
            "ALTER TABLE clerk_user DROP COLUMN email_key, ADD COLUMN email_key VARCHAR(640)",
            "ALTER TABLE clerk_user DROP INDEX clerk_user_username, DROP COLUMN username_key,
               ADD COLUMN username_key VARCHAR(300), ADD UNIQUE KEY (username_key)",
            "ALTER TABLE clerk_user DROP INDEX clerk_user_username, DROP COLUMN username_key,
               ADD COLUMN username_key VARCHAR(300) AS (username) VIRTUAL, ADD UNIQUE KEY (username_key)",
            "ALTER TABLE clerk_user DROP COLUMN email_key, ADD COLUMN email_key VARCHAR(640) AS (LOWER(username)) VIRTUAL",
        ],
    };
    for wrong in wrongs {
        let database = target.database();
        drop(open(&database));
        database.sql(wrong);
        if let Ok(store) = open_database(&database.url(), TIMEOUT) {
            // A type that another one is converted to is found when a row is read.
            database.sql("INSERT INTO clerk_user (username, is_active) VALUES ('odd', 'maybe')");
            assert!(wrong.contains("TYPE TEXT") && store.find_by_key("1").is_err(), "{wrong}");
            continue;
        }
        let message = refusal(&database.url());
        assert!(message.contains("not those of this library"), "{wrong}: {message}");
    }
    let database = target.database();
    database.sql("CREATE TABLE clerk_user (id INTEGER PRIMARY KEY, name VARCHAR(20))");
    if target.kind == Kind::Postgres {
        database.sql("ALTER TABLE clerk_user OWNER TO app");
    }
    assert!(refusal(&database.url()).contains("not those of this library"));
    // Nothing remains of the refused start.
    database.sql("DROP TABLE clerk_user");
    create(&*open(&database), &user("ada")).unwrap();
}

/// Creates a second user with rights of its own. Returns its URL.
fn user_with(database: &Database<'_>, name: &str, grants: &[&str]) -> String {
    let target = database.target;
    let name = format!("{name}_{}", database.name);
    let (create, of) = match target.kind {
        Kind::Postgres => (format!("CREATE ROLE {name} LOGIN PASSWORD 's3cret'"), String::new()),
        _ => (format!("CREATE USER {name} IDENTIFIED BY 's3cret'"), format!("{}.", database.name)),
    };
    target.admin(&create);
    for grant in grants {
        let (rights, table) = grant.split_once(" ON ").unwrap();
        database.sql(&format!("GRANT {rights} ON {of}{table} TO {name}"));
    }
    database.url_of(&format!("{name}:s3cret"), &format!("127.0.0.1:{}", database.port()), "sslmode=disable")
}

pub fn missing_rights_are_refused(target: &Target) {
    let database = target.database();
    drop(open(&database));
    for (at, grants) in [
        &["SELECT ON clerk_schema", "SELECT, INSERT ON clerk_user"][..],
        &["SELECT ON clerk_schema", "SELECT, UPDATE ON clerk_user"],
        &["SELECT ON clerk_schema", "INSERT, UPDATE ON clerk_user"],
        &["SELECT, INSERT, UPDATE ON clerk_user"],
    ]
    .iter()
    .enumerate()
    {
        let message = refusal(&user_with(&database, &format!("poor{at}"), grants));
        assert!(message.contains("needs SELECT, INSERT and UPDATE on `clerk_user`"), "{grants:?}: {message}");
    }
    // Without tables, and without the right to create them.
    let empty = target.database();
    let message =
        refusal(&user_with(&empty, "poor", if target.kind == Kind::Postgres { &[] } else { &["SELECT ON *"] }));
    assert!(message.contains("CREATE"), "{message}");
}

pub fn least_rights_are_enough(target: &Target) {
    let database = target.database();
    drop(open(&database));
    let store =
        open_url(&user_with(&database, "least", &["SELECT, INSERT, UPDATE ON clerk_user", "SELECT ON clerk_schema"]));
    let key = create(&*store, &user("ada")).unwrap();
    store.update(&key, &user("bob"), &Default::default()).unwrap();
    assert_eq!(store.find_by_key(&key).unwrap().unwrap().username.as_deref(), Some("bob"));
}

pub fn unreachable_server_is_refused_in_time(target: &Target) {
    let database = target.database();
    let refused = |port: u16| {
        let begun = Instant::now();
        let Err(error) = open_database(&database.plain_url_at(port), Duration::from_millis(500)) else { panic!() };
        assert!(begun.elapsed() < Duration::from_millis(500) + SLACK, "{:?}", begun.elapsed());
        error.to_string()
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(refused(free).contains("connection refused"));
    let silent = UnresponsiveServer::start(Behavior::Silent);
    let message = refused(silent.addr.port());
    assert!(message.contains("in time"), "{message}");
    // A server that speaks something else.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"));
    });
    refused(port);
}

pub fn unix_socket_is_used(target: &Target) {
    let database = target.database();
    let store = open_url(&database.socket_url());
    let key = create(&*store, &user("ada")).unwrap();
    assert!(store.find_by_key(&key).unwrap().is_some());
}

pub fn read_only_server_is_refused(target: &Target) {
    let database = target.database();
    drop(open(&database));
    match target.kind {
        Kind::Postgres => {
            database.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
            let message = refusal(&database.url());
            assert!(message.contains("read-only"), "{message}");
        }
        _ => {
            target.admin("SET GLOBAL read_only = 1");
            let message = refusal(&database.url());
            target.admin("SET GLOBAL read_only = 0");
            assert!(message.contains("read-only"), "{message}");
        }
    }
}
