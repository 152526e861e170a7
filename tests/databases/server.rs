//! Real servers: PostgreSQL and MariaDB, each as an ordinary user, in a temporary folder, on a port of the loopback interface.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::common::TempDir;

/// The password of the user `app`; it needs every kind of encoding in a URL.
pub const PASSWORD: &str = "s3cret/p@ss:w?rd#%ä";
const ENCODED: &str = "s3cret%2Fp%40ss%3Aw%3Frd%23%25%C3%A4";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    Mariadb,
}

/// Where user tables are created: a server, or a folder of files.
pub struct Target {
    pub kind: Kind,
    dir: TempDir,
    port: u16,
    databases: AtomicUsize,
}

/// A database of its own, empty at first.
pub struct Database<'a> {
    pub target: &'a Target,
    pub name: String,
}

/// Runs a program of the database's as its own user: servers refuse to run as root.
fn program(kind: Kind, name: &str) -> Command {
    let user = if kind == Kind::Postgres { "postgres" } else { "mysql" };
    let folders = glob("/usr/lib/postgresql").into_iter().map(|folder| folder.join("bin")).chain(["/usr/sbin".into()]);
    let path = folders.map(|folder| folder.join(name)).find(|path| path.exists()).unwrap_or_else(|| name.into());
    // SAFETY: has no arguments and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(&path) };
    // It may be a folder in which that user cannot write.
    command.env_remove("TMPDIR");
    if !is_root {
        return command;
    }
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(path);
    command
}

fn glob(folder: &str) -> Vec<PathBuf> {
    fs::read_dir(folder).map_or(Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Target {
    pub fn new(kind: Kind) -> Target {
        let dir = TempDir::new();
        let mut target = Target { kind, dir, port: 0, databases: AtomicUsize::new(0) };
        if kind == Kind::Sqlite {
            return target;
        }
        let user = if kind == Kind::Postgres { "postgres" } else { "mysql" };
        fs::create_dir(target.dir.join("data")).unwrap();
        run(Command::new("chmod").arg("755").arg(target.dir.join("")));
        target.make_certificates();
        // SAFETY: has no arguments and cannot fail.
        if unsafe { libc::geteuid() } == 0 {
            run(Command::new("chown").args(["-R", user]).arg(target.dir.join("")));
        }
        let data = target.dir.join("data");
        match kind {
            Kind::Sqlite => {}
            Kind::Postgres => {
                let pgdata = data.join("db");
                run(program(kind, "initdb").arg("--pgdata").arg(&pgdata).args([
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    "--username=test",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                ]));
            }
            Kind::Mariadb => {
                run(program(kind, "mariadb-install-db")
                    .arg("--no-defaults")
                    .arg(format!("--datadir={}/db", data.display()))
                    .args(["--auth-root-authentication-method=normal", "--skip-test-db"]));
            }
        }
        target.port = free_port();
        for attempt in 0.. {
            match target.try_start() {
                Ok(()) => break,
                // The port was taken meanwhile.
                Err(_) if attempt < 3 => target.port = free_port(),
                Err(log) => panic!("{kind:?} does not start: {log}"),
            }
        }
        match kind {
            Kind::Sqlite => {}
            Kind::Postgres => drop(target.admin(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"))),
            Kind::Mariadb => drop(target.admin(&format!("CREATE USER app IDENTIFIED BY '{PASSWORD}'"))),
        }
        target
    }

    /// An authority, and a certificate for `localhost`.
    fn make_certificates(&self) {
        let path = |name: &str| self.dir.join(name).display().to_string();
        let request = |name: &str| {
            let mut command = Command::new("openssl");
            command.args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-keyout",
                &path(&format!("{name}.key")),
            ]);
            command.args(["-out", &path(&format!("{name}.pem")), "-subj", &format!("/CN={name}")]);
            command
        };
        run(&mut request("authority"));
        run(&mut request("foreign"));
        run(request("server").args(["-CA", &path("authority.pem"), "-CAkey", &path("authority.key")]).args([
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ]));
        run(Command::new("chmod").arg("600").arg(path("server.key")));
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn socket(&self) -> String {
        match self.kind {
            Kind::Mariadb => self.file("data/socket"),
            _ => self.file("data"),
        }
    }

    fn try_start(&self) -> Result<(), String> {
        let log = fs::File::create(self.dir.join("log")).unwrap();
        let (data, port) = (self.file("data/db"), self.port);
        let [cert, key, authority] = ["server.pem", "server.key", "authority.pem"].map(|name| self.file(name));
        let mut server = program(self.kind, if self.kind == Kind::Postgres { "postgres" } else { "mariadbd" });
        match self.kind {
            Kind::Postgres => {
                server.args([
                    "-D",
                    &data,
                    "-p",
                    &port.to_string(),
                    "-h",
                    "127.0.0.1",
                    "-k",
                    &self.socket(),
                    "-c",
                    "fsync=off",
                ]);
                server.args(["-c", "max_connections=200", "-c", "ssl=on", "-c", "deadlock_timeout=100ms"]);
                server.args(["-c", &format!("ssl_cert_file={cert}"), "-c", &format!("ssl_key_file={key}")]);
            }
            _ => {
                server.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]);
                server.args([
                    format!("--datadir={data}"),
                    format!("--port={port}"),
                    format!("--socket={}", self.socket()),
                ]);
                server.args([format!("--pid-file={}", self.file("data/pid")), "--max-connections=200".into()]);
                server.args([
                    format!("--ssl-cert={cert}"),
                    format!("--ssl-key={key}"),
                    format!("--ssl-ca={authority}"),
                ]);
            }
        }
        // A session of its own: a signal for the tests does not reach it.
        let mut child = server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(status) = child.try_wait().unwrap() {
                return Err(format!("{status}: {}", fs::read_to_string(self.dir.join("log")).unwrap()));
            }
            if self.client("SELECT 1", "").output().unwrap().status.success() {
                // So that no zombie remains when `stop` has ended it.
                std::thread::spawn(move || child.wait());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        Err("not ready within a minute".into())
    }

    pub fn start(&self) {
        self.try_start().unwrap();
    }

    /// The process of the server.
    pub fn pid(&self) -> Option<i32> {
        let name = if self.kind == Kind::Postgres { "data/db/postmaster.pid" } else { "data/pid" };
        fs::read_to_string(self.dir.join(name)).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Every process of the server: PostgreSQL has one for each connection.
    fn processes(&self) -> Vec<i32> {
        let Some(server) = self.pid() else { return Vec::new() };
        let children = Command::new("pgrep").args(["-P", &server.to_string()]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        std::iter::once(server).chain(children.lines().map(|pid| pid.parse().unwrap())).collect()
    }

    pub fn signal(&self, signal: i32) {
        for pid in self.processes() {
            // SAFETY: signals processes of this test's own server.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// Stops the server and waits until it has ended.
    pub fn stop(&self, signal: i32) {
        let Some(pid) = self.pid() else { return };
        // SAFETY: signals this test's own server.
        unsafe { libc::kill(pid, signal) };
        let begun = Instant::now();
        // SAFETY: signal 0 only asks whether the process exists.
        while unsafe { libc::kill(pid, 0) } == 0 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if signal == libc::SIGKILL {
            for name in ["data/db/postmaster.pid", "data/pid"] {
                drop(fs::remove_file(self.dir.join(name)));
            }
        }
    }

    /// A client of the database's own, as its administrator.
    fn client(&self, sql: &str, database: &str) -> Command {
        let mut command;
        match self.kind {
            Kind::Postgres => {
                command = program(self.kind, "psql");
                command.args([
                    "-h",
                    &self.socket(),
                    "-p",
                    &self.port.to_string(),
                    "-U",
                    "test",
                    "-Atq",
                    "-v",
                    "ON_ERROR_STOP=1",
                ]);
                command.args(["-d", if database.is_empty() { "postgres" } else { database }, "-c", sql]);
            }
            _ => {
                command = Command::new("mariadb");
                command.args([
                    "--no-defaults",
                    "-u",
                    "root",
                    "-S",
                    &self.socket(),
                    "-BN",
                    "--default-character-set=utf8mb4",
                ]);
                command.args(["-D", if database.is_empty() { "mysql" } else { database }, "-e", sql]);
            }
        }
        command
    }

    pub fn admin(&self, sql: &str) -> String {
        run(&mut self.client(sql, ""))
    }

    /// Creates a database, in which the user `app` may do everything.
    pub fn database(&self) -> Database<'_> {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        match self.kind {
            Kind::Sqlite => {}
            Kind::Postgres => drop(self.admin(&format!("CREATE DATABASE {name} OWNER app"))),
            // An old default, which compares without case.
            Kind::Mariadb => {
                self.admin(&format!(
                    "CREATE DATABASE {name} CHARACTER SET latin1 COLLATE latin1_swedish_ci; GRANT ALL ON {name}.* TO app"
                ));
            }
        }
        Database { target: self, name }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.signal(libc::SIGCONT);
        self.stop(libc::SIGKILL);
    }
}

impl Database<'_> {
    pub fn scheme(&self) -> &'static str {
        match self.target.kind {
            Kind::Sqlite => "sqlite",
            Kind::Postgres => "postgres",
            Kind::Mariadb => "mysql",
        }
    }

    /// The URL, with TLS and a verified certificate on a server.
    pub fn url(&self) -> String {
        let roots = format!("sslrootcert={}", self.target.file("authority.pem"));
        self.url_of(&format!("app:{ENCODED}"), &format!("localhost:{}", self.target.port), &roots)
    }

    /// The URL without TLS.
    pub fn plain_url(&self) -> String {
        self.plain_url_at(self.target.port)
    }

    pub fn plain_url_at(&self, port: u16) -> String {
        self.url_of(&format!("app:{ENCODED}"), &format!("127.0.0.1:{port}"), "sslmode=disable")
    }

    pub fn port(&self) -> u16 {
        self.target.port
    }

    pub fn url_of(&self, user: &str, host: &str, parameters: &str) -> String {
        match self.target.kind {
            Kind::Sqlite => format!("sqlite:{}", self.target.file(&format!("{}.db", self.name))),
            _ => format!("{}://{user}@{host}/{}?{parameters}", self.scheme(), self.name),
        }
    }

    /// The URL of the Unix socket, with a parameter.
    pub fn socket_url(&self) -> String {
        let (path, port) = (self.target.socket(), self.target.port);
        let path_of_url = path.replace('/', "%2F");
        match self.target.kind {
            Kind::Postgres => format!("postgresql://app:{ENCODED}@{path_of_url}:{port}/{}", self.name),
            _ => format!("mysql://app:{ENCODED}@localhost/{}?socket={path}", self.name),
        }
    }

    /// Runs statements as the application would. Returns what they print, with bars between columns.
    pub fn sql(&self, sql: &str) -> String {
        match self.target.kind {
            Kind::Sqlite => {
                let db = rusqlite::Connection::open(self.target.file(&format!("{}.db", self.name))).unwrap();
                db.busy_timeout(Duration::from_secs(10)).unwrap();
                if !sql.trim_start().starts_with("SELECT") {
                    db.execute_batch(sql).unwrap();
                    return String::new();
                }
                let mut statement = db.prepare(sql).unwrap();
                let columns = statement.column_count();
                let rows = statement.query_map([], |row| {
                    let cell = |at| {
                        row.get::<_, rusqlite::types::Value>(at).map(|value| match value {
                            rusqlite::types::Value::Text(text) => text,
                            rusqlite::types::Value::Integer(number) => number.to_string(),
                            rusqlite::types::Value::Null => String::new(),
                            other => panic!("{other:?}"),
                        })
                    };
                    (0..columns).map(cell).collect::<Result<Vec<_>, _>>()
                });
                let rows: Vec<_> = rows.unwrap().map(|row| row.unwrap().join("|")).collect();
                rows.join("\n")
            }
            _ => run(&mut self.target.client(sql, &self.name)).trim_end().replace('\t', "|"),
        }
    }
}
