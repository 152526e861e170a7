//! Several processes on one table: simultaneous starts and first sign-ins, kill -9 of writers, fork.
//!
//! Each process is this test binary, which does one job. `CLERK_AUTH_CRASH_S` prolongs the loops (`make crash`).

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clerk_auth::internals::{Config, builder};
use clerk_auth::{Attribute, Secret};
use clerk_sim::{Sim, TokenSpec};
use serde_json::json;

use super::common::{NOW_S, SECRET, bearer, pem};
use super::server::{Kind, Target};
use super::{create, open, open_url, user};

/// The variable with the job of a child.
pub const JOB: &str = "CLERK_AUTH_TEST_JOB";
const PROCESSES: usize = 4;
const THREADS: usize = 8;

fn start(job: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(JOB, serde_json::to_string(job).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn wait_until(at: &str) {
    let at: u128 = at.parse().unwrap();
    while unix_ms() < at {
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn child(job: &str) {
    let words: Vec<String> = serde_json::from_str(job).unwrap();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        // Opens the database at a time and creates a row.
        ["start", at, name, url] => {
            wait_until(at);
            create(&*open_url(url), &user(name)).unwrap();
        }
        // Creates rows and prints the name of each after its commit, until it is killed.
        ["write", name, url] => {
            let store = open_url(url);
            for i in 0.. {
                let name = format!("{name}-{i}");
                create(&*store, &user(&name)).unwrap();
                println!("committed {name}");
            }
        }
        // Signs in with each token on several threads at once. Prints the outcomes.
        ["sign-in", at, url, api, key, ref tokens @ ..] => {
            let mut config = Config::new();
            config.api_url = api.into();
            config.secret_key = Some(Secret::new(SECRET));
            config.jwt_key = Some(key.into());
            config.set("database", url).unwrap();
            let client = builder(config).clock(|| NOW_S * 1000).build().unwrap();
            wait_until(at);
            std::thread::scope(|scope| {
                for token in tokens {
                    scope.spawn(|| {
                        let result = bearer(&client, token);
                        match result.identity().and_then(|identity| identity.get(Attribute::UserKey)) {
                            Some(key) => println!("in {key}"),
                            None => println!("{:?} {:?}", result.outcome(), result.error()),
                        }
                    });
                }
            });
        }
        _ => panic!("{job}"),
    }
}

/// Repeats a loop at least `rounds` times.
fn repeat(rounds: usize, mut run: impl FnMut(usize)) -> usize {
    let seconds = std::env::var("CLERK_AUTH_CRASH_S").map_or(0, |seconds| seconds.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0;
    while round < rounds || Instant::now() < end {
        run(round);
        round += 1;
    }
    round
}

pub fn processes_start_at_once_on_an_empty_database(target: &Target) {
    for _ in 0..3 {
        let database = target.database();
        let at = (unix_ms() + 300).to_string();
        let children: Vec<_> = (0..8).map(|i| start(&["start", &at, &format!("user{i}"), &database.url()])).collect();
        children.into_iter().for_each(|child| drop(finish(child)));
        assert_eq!(database.sql("SELECT count(*) FROM clerk_user"), "8");
        assert_eq!(
            database.sql("SELECT count(*), max(version) FROM clerk_schema").split('|').next(),
            Some(if target.kind == Kind::Sqlite { "2" } else { "1" })
        );
    }
}

/// Signs in from all processes and threads at once. Returns the keys of the rows.
fn sign_in(url: &str, sim: &Sim, user_of: impl Fn(usize, usize) -> String) -> Vec<String> {
    let (at, api, key) = ((unix_ms() + 1000).to_string(), sim.url(), pem(sim).unwrap());
    let start = |process: usize| {
        let tokens: Vec<String> =
            (0..THREADS).map(|thread| sim.mint(&TokenSpec::session(&user_of(process, thread)), NOW_S)).collect();
        let mut job = vec!["sign-in", &at, url, &api, &key];
        job.extend(tokens.iter().map(String::as_str));
        start(&job)
    };
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    let lines: Vec<String> =
        children.into_iter().flat_map(|child| finish(child).lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(lines.len(), PROCESSES * THREADS);
    lines.iter().map(|line| line.strip_prefix("in ").unwrap_or_else(|| panic!("{line}")).to_owned()).collect()
}

pub fn first_sign_ins_of_one_user_create_one_row(target: &Target) {
    for linked in [false, true] {
        let database = target.database();
        drop(open(&database));
        if linked {
            database.sql("INSERT INTO clerk_user (email, username) VALUES ('ADA@example.com', 'veteran')");
        }
        let sim = Sim::start();
        sim.put_user(json!({"id": "user_ada", "username": "ada", "first_name": "Ada",
            "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"}));
        let keys: BTreeSet<String> = sign_in(&database.url(), &sim, |_, _| "user_ada".into()).into_iter().collect();
        assert_eq!(keys.len(), 1, "{keys:?}");
        assert_eq!(
            database.sql("SELECT clerk_user_id, username, email FROM clerk_user"),
            "user_ada|ada|ada@example.com"
        );
    }
}

pub fn users_who_want_one_name_get_different_ones(target: &Target) {
    let database = target.database();
    drop(open(&database));
    let sim = Sim::start();
    let id = |process: usize, thread: usize| format!("user_{process}x{thread}");
    for process in 0..PROCESSES {
        for thread in 0..THREADS {
            // All want one name, in different cases.
            let name = ["ada", "Ada", "ADA", "aDA"][thread % 4];
            sim.put_user(json!({"id": id(process, thread), "username": name}));
        }
    }
    let keys: BTreeSet<String> = sign_in(&database.url(), &sim, id).into_iter().collect();
    assert_eq!(keys.len(), PROCESSES * THREADS);
    let counts =
        database.sql("SELECT count(*), count(DISTINCT lower(username)), count(DISTINCT clerk_user_id) FROM clerk_user");
    assert_eq!(counts, "32|32|32");
}

pub fn killed_writers_lose_no_committed_row(target: &Target) {
    const WRITERS: usize = 3;
    let database = target.database();
    drop(open(&database));
    let rows = || database.sql("SELECT count(*) FROM clerk_user").parse::<usize>().unwrap();
    let mut total = 0;
    let rounds = repeat(3, |round| {
        let mut writers: Vec<_> =
            (0..WRITERS).map(|i| start(&["write", &format!("{round}-{i}"), &database.url()])).collect();
        // However slow the machine is, each round kills processes that write.
        let (before, begun) = (rows(), Instant::now());
        while rows() < before + 10 && begun.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(50 + (round as u64 * 37) % 130));
        writers.iter_mut().for_each(|writer| writer.kill().unwrap());
        let store = open(&database);
        for mut writer in writers {
            let mut errors = String::new();
            writer.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            assert_eq!(errors, "");
            for line in BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok) {
                let Some(name) = line.strip_prefix("committed ") else { continue };
                assert!(store.find_by_clerk_id(&format!("user_{name}")).unwrap().is_some(), "{name} is lost");
                total += 1;
            }
            writer.wait().unwrap();
        }
    });
    let rows = rows();
    assert!(total > 10 && rows >= total && rows <= total + rounds * WRITERS, "{rows} rows, {total} committed");
    println!("     {rounds} rounds, {} processes killed, {total} committed rows, 0 lost", rounds * WRITERS);
}

pub fn forked_child_uses_its_own_connections(target: &Target) {
    let database = target.database();
    let store = open(&database);
    create(&*store, &user("ada")).unwrap();
    // SAFETY: no other thread of this process holds a lock: tests run one after the other.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let is_good = (0..50).all(|i| create(&*store, &user(&format!("child{i}"))).is_ok());
        drop(store);
        // SAFETY: ends the child without the destructors of the parent's objects.
        unsafe { libc::_exit(i32::from(!is_good)) };
    }
    for i in 0..50 {
        create(&*store, &user(&format!("parent{i}"))).unwrap();
    }
    let mut status = 0;
    // SAFETY: waits for the child from above.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status}");
    assert!(store.find_by_clerk_id("user_child49").unwrap().is_some());
    assert_eq!(database.sql("SELECT count(*) FROM clerk_user"), "101");
}
