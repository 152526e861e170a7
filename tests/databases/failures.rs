//! Servers that are stopped, slow, restarted, or whose connections break in the middle of a write.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use clerk_auth::users::{RowChanges, StoreError, UpdateCondition};
use clerk_sim::{Fault, Sim};
use serde_json::json;

use super::common::{Fixture, SLACK, pem};
use super::server::{Database, Kind, Target};
use super::{create, open, open_url, user};

const SHORT: Duration = Duration::from_millis(700);

/// A client whose table is the database of the setting.
fn client(database: &Database<'_>) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    for name in ["ada", "bob"] {
        sim.put_user(json!({"id": format!("user_{name}"), "username": name}));
    }
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.set("database", &database.url()).unwrap();
        config.timeout_ms = SHORT.as_millis() as i64;
    })
}

/// Runs something that has to end by the deadline of a call.
#[track_caller]
fn in_time<T>(run: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = run();
    assert!(begun.elapsed() < SHORT + SLACK, "{:?}", begun.elapsed());
    done
}

pub fn stopped_server_does_not_hold_a_call(target: &Target) {
    let database = target.database();
    let f = client(&database);
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    target.signal(libc::SIGSTOP);
    let outcomes: Vec<String> =
        (0..2).flat_map(|_| ["user_ada", "user_bob"].map(|user| in_time(|| f.authenticate_new(user)))).collect();
    target.signal(libc::SIGCONT);
    assert_eq!(outcomes, ["unavailable store-error"; 4]);
    for user in ["user_ada", "user_bob"] {
        assert_eq!(f.authenticate_new(user), "in verified");
    }
}

pub fn locked_row_does_not_hold_a_call(target: &Target) {
    let database = target.database();
    let f = client(&database);
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    let (sleep, begun) = (if target.kind == Kind::Postgres { "pg_sleep(4)" } else { "SLEEP(4)" }, Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| database.sql(&format!("BEGIN; UPDATE clerk_user SET first_name = 'x'; SELECT {sleep}; COMMIT")));
        std::thread::sleep(Duration::from_millis(700));
        // The user has changed, so that the row has to be written.
        f.sim.put_user(
            json!({"id": "user_ada", "username": "ada", "first_name": "New", "updated_at": 1_900_000_000_000_i64}),
        );
        f.time.advance_s(400);
        assert_eq!(in_time(|| f.authenticate_new("user_ada")), "unavailable store-error");
        assert!(begun.elapsed() < Duration::from_secs(4));
    });
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    assert_eq!(database.sql("SELECT first_name FROM clerk_user"), "New");
}

pub fn failover_is_survived(target: &Target) {
    let database = target.database();
    let f = client(&database);
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    for signal in [if target.kind == Kind::Postgres { libc::SIGINT } else { libc::SIGTERM }, libc::SIGKILL] {
        target.stop(signal);
        assert_eq!(in_time(|| f.authenticate_new("user_ada")), "unavailable store-error");
        target.start();
        assert_eq!(in_time(|| f.authenticate_new("user_ada")), "in verified");
        // Connections were idle when the server was stopped and started: the next call, a write, works.
        let store = open(&database);
        store.find_by_key("1").unwrap();
        target.stop(signal);
        target.start();
        let key = create(&*store, &user(&format!("after{signal}"))).unwrap();
        assert!(store.find_by_key(&key).unwrap().is_some());
        assert_eq!(in_time(|| f.authenticate_new("user_bob")), "in verified");
    }
}

/// A proxy without TLS that breaks connections.
struct Breaker {
    port: u16,
    mode: Arc<AtomicU32>,
}

const PASS: u32 = 0;
/// The request does not reach the server.
const BREAK_BEFORE: u32 = 1;
/// The server executes the request, its response is lost.
const BREAK_AFTER: u32 = 2;

impl Breaker {
    /// Breaks the connection of the next request that contains `marker`.
    fn new(target: u16, marker: &'static [u8]) -> Breaker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mode = Arc::new(AtomicU32::new(PASS));
        let shared = mode.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", target)).unwrap();
                let mode = shared.clone();
                std::thread::spawn(move || relay(client, server, &mode, marker));
            }
        });
        Breaker { port, mode }
    }

    fn set(&self, mode: u32) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

fn relay(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU32, marker: &[u8]) {
    let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_cut = Arc::new(AtomicU32::new(0));
    let cut = is_cut.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = back_from.read(&mut buffer) {
            if cut.load(Ordering::SeqCst) != 0 || back_to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        drop(back_to.shutdown(Shutdown::Both));
    });
    let mut buffer = [0; 65536];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        let request = &buffer[..count];
        if request.windows(marker.len()).any(|window| window == marker) {
            match mode.swap(PASS, Ordering::SeqCst) {
                BREAK_BEFORE => break,
                BREAK_AFTER => is_cut.store(1, Ordering::SeqCst),
                _ => {}
            }
        }
        if server.write_all(request).is_err() {
            break;
        }
    }
    drop(client.shutdown(Shutdown::Both));
    drop(server.shutdown(Shutdown::Both));
}

pub fn lost_response_of_a_write_is_read_back(target: &Target) {
    let database = target.database();
    let breaker = Breaker::new(database.port(), b"user_lost");
    let store = open_url(&database.plain_url_at(breaker.port));
    for (at, mode) in [BREAK_BEFORE, BREAK_AFTER, BREAK_BEFORE, BREAK_AFTER].into_iter().enumerate() {
        let name = format!("lost{at}");
        breaker.set(mode);
        let key = create(&*store, &user(&name)).unwrap();
        assert_eq!(breaker.mode.load(Ordering::SeqCst), PASS, "the connection was not broken");
        let ids = format!("SELECT id FROM clerk_user WHERE clerk_user_id = 'user_{name}'");
        assert_eq!(database.sql(&ids), key);
        breaker.set(mode);
        let changes = RowChanges {
            clerk_id: Some(format!("user_{name}")),
            first_name: Some("Changed".into()),
            clerk_updated_at_ms: Some(2),
            ..RowChanges::default()
        };
        let condition = UpdateCondition { max_version: Some(2), ..UpdateCondition::default() };
        assert_eq!(store.update(&key, &changes, &condition), Ok(()));
        assert_eq!(store.find_by_key(&key).unwrap().unwrap().first_name.as_deref(), Some("Changed"));
        breaker.set(mode);
        // The condition is that of the first attempt: what another process wrote meanwhile stays.
        database.sql(&format!("UPDATE clerk_user SET clerk_updated_at_ms = 9, first_name = 'Newer' WHERE id = {key}"));
        assert_eq!(store.update(&key, &changes, &condition), Err(StoreError::Conflict));
        breaker.set(PASS);
        assert_eq!(store.find_by_key(&key).unwrap().unwrap().first_name.as_deref(), Some("Newer"));
    }
    assert_eq!(database.sql("SELECT count(*) FROM clerk_user"), "4");
}

pub fn deadlock_is_repeated(target: &Target) {
    let database = target.database();
    let codes: &[&str] = match target.kind {
        Kind::Postgres => &["40001", "40P01"],
        _ => &["1213", "1205", "1020"],
    };
    let store = open(&database);
    let key = create(&*store, &user("ada")).unwrap();
    for code in codes {
        // The counter survives the rollback.
        match target.kind {
            Kind::Postgres => database.sql(&format!(
                "CREATE SEQUENCE attempts; GRANT ALL ON SEQUENCE attempts TO app;
                 CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF nextval('attempts') < 4 THEN RAISE SQLSTATE '{code}'; END IF; RETURN NEW; END $$;
                 CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON clerk_user FOR EACH ROW EXECUTE FUNCTION fail()"
            )),
            _ => {
                database.sql("CREATE TABLE attempts (n INT) ENGINE = MyISAM; INSERT INTO attempts VALUES (0)");
                database.sql(&format!(
                    "DELIMITER //
                     CREATE TRIGGER fail BEFORE UPDATE ON clerk_user FOR EACH ROW BEGIN
                       UPDATE attempts SET n = n + 1;
                       IF (SELECT n FROM attempts) < 4 THEN SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = {code}; END IF;
                     END//"
                ))
            }
        };
        let changes = RowChanges { first_name: Some(format!("after {code}")), ..RowChanges::default() };
        assert_eq!(store.update(&key, &changes, &UpdateCondition::default()), Ok(()), "{code}");
        let attempts = match target.kind {
            Kind::Postgres => database.sql("SELECT last_value FROM attempts"),
            _ => database.sql("SELECT n FROM attempts"),
        };
        assert_eq!(attempts, "4");
        match target.kind {
            Kind::Postgres => {
                database.sql("DROP TRIGGER fail ON clerk_user; DROP FUNCTION fail; DROP SEQUENCE attempts")
            }
            _ => database.sql("DROP TRIGGER fail; DROP TABLE attempts"),
        };
        assert_eq!(store.find_by_key(&key).unwrap().unwrap().first_name, Some(format!("after {code}")));
    }
}

pub fn pool_is_bounded(target: &Target) {
    let database = target.database();
    let store = open_url(&format!("{}&pool_size=2", database.url()));
    let key = create(&*store, &user("ada")).unwrap();
    let end = Instant::now() + Duration::from_millis(900);
    let most = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while Instant::now() < end {
                    assert!(store.find_by_key(&key).unwrap().is_some());
                }
            });
        }
        let mut most = 0;
        while Instant::now() < end {
            let count = match target.kind {
                Kind::Postgres => target.admin(&format!(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND usename = 'app'",
                    database.name
                )),
                _ => target.admin(&format!(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{}' AND user = 'app'",
                    database.name
                )),
            };
            most = most.max(count.trim().parse().unwrap());
        }
        most
    });
    assert_eq!(most, 2);
}

pub fn authentication_ends_in_time(target: &Target) {
    let database = target.database();
    let f = client(&database);
    assert_eq!(f.authenticate_new("user_ada"), "in verified");
    // Clerk takes most of the time, and the database the rest.
    f.sim.fault(Fault::on("/users/*").delay_ms(500));
    f.time.advance_s(400);
    target.signal(libc::SIGSTOP);
    let outcome = in_time(|| f.authenticate_new("user_ada"));
    target.signal(libc::SIGCONT);
    assert_eq!(outcome, "unavailable store-error");
}
