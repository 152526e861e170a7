//! The user table in MySQL or MariaDB: the packets of `mysql_common` on a blocking socket with a deadline.

mod auth;
mod connection;
mod packets;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::sql::{
    Connection as _, DatabaseUrl, Dialect, Dialer, Engine, Failure, FailureKind, Statement, Tls, UrlRules, Value,
};
use crate::clock::Deadline;
use connection::MysqlConnection;

pub const URL: UrlRules = UrlRules { default_port: 3306, socket_name: "" };

/// A MySQL or MariaDB database.
pub struct Mysql {
    url: DatabaseUrl,
    tls: Option<Tls>,
    dialer: Dialer,
    /// How long the server waits for a lock on behalf of a client that has gone.
    timeout: Duration,
    /// The host to be tried first: after one that is up but refuses statements, the next one.
    first: Arc<AtomicUsize>,
}

impl Mysql {
    pub fn new(url: DatabaseUrl, timeout: Duration) -> Result<Self, Failure> {
        let tls = Tls::new(&url).map_err(Failure::of_transport)?;
        Ok(Mysql { url, tls, dialer: Dialer::default(), timeout, first: Arc::default() })
    }

    fn connect_to(&self, at: usize, deadline: Deadline) -> Result<MysqlConnection, Failure> {
        let channel = self.dialer.connect(&self.url.hosts[at], deadline)?;
        let mut connection = MysqlConnection::begin(channel, &self.url, self.tls.as_ref(), &self.url.hosts[at])?;
        let seconds = self.timeout.as_millis().div_ceil(1000).max(1);
        // In the collation of the columns, whatever the server's `init_connect` says: `LOWER` depends on it.
        let collation = if connection.is_mariadb() { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        let mut settings = format!(
            "SET NAMES utf8mb4 COLLATE {collation}, autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', \
             innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}"
        );
        if connection.is_mariadb() {
            settings.push_str(&format!(", max_statement_time = {seconds}"));
        }
        connection.run(&Statement::plain(settings), deadline)?;
        // Since MariaDB 12.0 the variable is a string.
        let read_only = Statement::plain("SELECT UPPER(CAST(@@global.read_only AS CHAR)) NOT IN ('0', 'OFF')");
        if self.url.hosts.len() > 1 && connection.run(&read_only, deadline)?.number() != Some(0) {
            return Err(Failure::new(FailureKind::ReadOnly, -1, "the server is read-only, such as a replica"));
        }
        Ok(connection)
    }
}

impl Engine for Mysql {
    type Connection = MysqlConnection;

    const NAME: &'static str = "mysql";

    const DIALECT: Dialect = Dialect {
        has_numbered_placeholders: false,
        read_time: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', last_active_at) DIV 1000",
        write_time: ("TIMESTAMPADD(MICROSECOND, 1000 * ", ", '1970-01-01')"),
        now: "UTC_TIMESTAMP(3)",
        email_is: ("email_key = LOWER(", ")"),
        username_is: ("username_key = LOWER(", ")"),
        // `LOWER` also makes other letters than those of ASCII equal.
        email_limit: 16,
    };

    const RETURNING: &'static str = "";

    /// The collations compare exactly, also blanks at the end; each server executes the comment that is for it. Statements that
    /// define tables are not rolled back: a migration that was interrupted is repeated.
    const MIGRATIONS: &'static [&'static [&'static str]] = &[&[
        "CREATE TABLE IF NOT EXISTS clerk_user (
            id                  BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
            clerk_user_id       VARCHAR(255) UNIQUE,
            email               VARCHAR(320),
            username            VARCHAR(150) NOT NULL,
            first_name          VARCHAR(255) NOT NULL DEFAULT '',
            last_name           VARCHAR(255) NOT NULL DEFAULT '',
            image_url           VARCHAR(2048),
            last_active_at      DATETIME(3),
            is_active           BOOLEAN NOT NULL DEFAULT TRUE,
            banned_by_clerk     BOOLEAN NOT NULL DEFAULT FALSE,
            created_at          DATETIME(3) NOT NULL DEFAULT (UTC_TIMESTAMP(3)),
            updated_at          DATETIME(3) NOT NULL DEFAULT (UTC_TIMESTAMP(3)),
            clerk_updated_at_ms BIGINT,
            email_key           VARCHAR(640) GENERATED ALWAYS AS (LOWER(email)) VIRTUAL,
            username_key        VARCHAR(300) GENERATED ALWAYS AS (LOWER(username)) VIRTUAL,
            UNIQUE KEY clerk_user_username (username_key),
            KEY clerk_user_email (email_key)
        ) ENGINE = InnoDB, CHARACTER SET = utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M!100203 COLLATE utf8mb4_nopad_bin */",
        "CREATE TABLE IF NOT EXISTS clerk_schema (version BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB",
    ]];

    const HAS_SCHEMA_TABLE: &'static str = "SELECT COUNT(*) FROM information_schema.tables \
        WHERE table_schema = DATABASE() AND table_name = 'clerk_schema'";

    const CHECKS: &'static [(&'static str, &'static str)] = &[
        (
            "SELECT COUNT(DISTINCT name) = 3 FROM (SELECT MIN(column_name) AS name FROM information_schema.statistics
              WHERE table_schema = DATABASE() AND table_name = 'clerk_user' AND non_unique = 0 AND sub_part IS NULL
              GROUP BY index_name HAVING COUNT(*) = 1) AS one WHERE name IN ('id', 'clerk_user_id', 'username_key')",
            "`id`, `clerk_user_id` and `username_key` are not UNIQUE",
        ),
        (
            "SELECT COUNT(*) = 2 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'clerk_user'
              AND ((column_name = 'email_key' AND generation_expression REGEXP '^[(]*l(ower|case)[(][^(,]*email[^a-z]*$')
                   OR (column_name = 'username_key' AND generation_expression REGEXP '^[(]*l(ower|case)[(][^(,]*username[^a-z]*$'))",
            "`email_key` and `username_key` are not generated from `LOWER(email)` and `LOWER(username)`",
        ),
        (
            "SELECT COUNT(*) = 0 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'clerk_user'
              AND ((character_set_name <> 'utf8mb4' AND column_name IN ('clerk_user_id', 'email', 'username', 'first_name',
                    'last_name', 'image_url', 'email_key', 'username_key'))
                   OR (collation_name NOT LIKE '%\\_bin' AND column_name IN ('clerk_user_id', 'email_key', 'username_key')))",
            "its columns are not `utf8mb4`, or `clerk_user_id`, `email_key` or `username_key` is not compared exactly (`…_bin`)",
        ),
    ];

    const GRANT: &'static str = "the store needs SELECT, INSERT and UPDATE on `clerk_user` and SELECT on `clerk_schema`; to \
        create or migrate the tables it also needs CREATE, ALTER and INDEX, and INSERT on `clerk_schema`";

    fn connect(&self, deadline: Deadline) -> Result<MysqlConnection, Failure> {
        let (hosts, mut last) = (&self.url.hosts, Failure::other("the host is missing"));
        let first = self.first.load(Ordering::Relaxed);
        for tried in 0..hosts.len() {
            let at = (first + tried) % hosts.len();
            match self.connect_to(at, deadline.share(hosts.len() - tried)) {
                Ok(mut connection) => {
                    connection.set_next_host(&self.first, at + 1);
                    return Ok(connection);
                }
                Err(failure) => last = Failure { message: format!("{}: {}", hosts[at], failure.message), ..failure },
            }
        }
        Err(last)
    }

    fn begin(&self, connection: &mut MysqlConnection, deadline: Deadline) -> Result<(), Failure> {
        // Names of locks are those of the server, and at most 64 characters.
        let lock = Statement {
            sql: "SELECT GET_LOCK(CONCAT('clerk_auth.', LEFT(SHA1(DATABASE()), 32)), ?)".into(),
            values: vec![Value::integer(i64::try_from(deadline.remaining().as_secs().max(1)).unwrap_or(1))],
        };
        match connection.run(&lock, deadline)?.number() {
            Some(1) => Ok(()),
            _ => Err(Failure::new(FailureKind::TimedOut, -1, "another process migrates the tables for too long")),
        }
    }

    fn commit(&self, connection: &mut MysqlConnection, deadline: Deadline) -> Result<(), Failure> {
        let unlock = "SELECT RELEASE_LOCK(CONCAT('clerk_auth.', LEFT(SHA1(DATABASE()), 32)))";
        connection.run(&Statement::plain(unlock), deadline).map(drop)
    }

    fn is_of_tables(failure: &Failure) -> bool {
        // ER_TABLE_EXISTS_ERROR, ER_BAD_FIELD_ERROR, ER_KEY_COLUMN_DOES_NOT_EXITS, ER_NO_SUCH_TABLE, views that cannot be written
        matches!(failure.code, 1050 | 1054 | 1072 | 1146 | 1288 | 1347 | 1471)
    }

    fn is_denied(failure: &Failure) -> bool {
        // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR, ER_SPECIFIC_ACCESS_DENIED_ERROR
        matches!(failure.code, 1044 | 1142 | 1143 | 1227)
    }
}
