//! Several processes: simultaneous starts, kill -9 of writers, a changed working directory.
//!
//! Each process is this test binary, which runs `child` alone. `CLERK_AUTH_CRASH_S` prolongs the loops (`make crash`).

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clerk_auth::users::{RowChanges, SqliteStore, UpdateCondition, UserStore};

use super::common::TempDir;
use super::{create, find, open, outside};

const JOB: &str = "CLERK_AUTH_TEST_JOB";

/// Starts a process that does a job, with arguments separated by blanks.
fn start(job: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
        .env(JOB, format!("{job} {}", path.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let words: Vec<&str> = job.split(' ').collect();
    match words[..] {
        // Opens the database at a time and creates a row.
        ["start", at, name, path] => {
            let at: u128 = at.parse().unwrap();
            while unix_ms() < at {
                std::hint::spin_loop();
            }
            let store = SqliteStore::open(path).map_err(|error| error.to_string()).unwrap();
            create(&store, name).unwrap();
        }
        // Creates rows and prints the name of each after its commit, until it is killed; deactivates every second one and renames the one
        // before it, in one transaction.
        ["write", name, path] => {
            let store = open(path);
            let mut before = String::new();
            for i in 0.. {
                let name = format!("{name}-{i}");
                let key = create(&store, &name).unwrap();
                writeln!(std::io::stdout(), "committed {name}").unwrap();
                if i % 2 == 1 {
                    let inactive = RowChanges { is_active: Some(false), ..RowChanges::default() };
                    let renamed = RowChanges { first_name: Some("Eve".into()), ..RowChanges::default() };
                    store.begin().unwrap();
                    store.update(&key, &inactive, &UpdateCondition::default()).unwrap();
                    store.update(&before, &renamed, &UpdateCondition::default()).unwrap();
                    store.commit().unwrap();
                    writeln!(std::io::stdout(), "updated {name}").unwrap();
                }
                before = key;
            }
        }
        // Opens and closes the database, so that it is at times the last one to close it.
        ["look", path] => loop {
            outside(path).query_row("SELECT count(*) FROM clerk_user", [], |_| Ok(())).unwrap();
        },
        ["chdir", folder, path] => {
            let store = open(path);
            std::env::set_current_dir(folder).unwrap();
            for i in 0..20 {
                let name = format!("ada{i}");
                create(&store, &name).unwrap();
                let at_once: Vec<_> = std::thread::scope(|scope| {
                    let finds: Vec<_> =
                        (0..4).map(|_| scope.spawn(|| find(&store, &name).unwrap().is_some())).collect();
                    finds.into_iter().map(|find| find.join().unwrap()).collect()
                });
                assert_eq!(at_once, [true; 4]);
            }
        }
        _ => panic!("{job}"),
    }
}

/// Until when to repeat a loop that takes at least `rounds`.
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

#[test]
fn eight_processes_start_at_once_on_a_fresh_file() {
    const PROCESSES: usize = 8;
    let rounds = repeat(6, |round| {
        let dir = TempDir::new();
        let path = dir.join("users.db");
        // An existing empty file, as made by `touch` or `mktemp`, is new as well.
        if round % 3 == 2 {
            std::fs::write(&path, "").unwrap();
        }
        let at = unix_ms() + 150;
        let processes: Vec<_> = (0..PROCESSES).map(|i| start(&format!("start {at} user{i}"), &path)).collect();
        for process in processes {
            let output = process.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let store = open(&path);
        for i in 0..PROCESSES {
            assert!(find(&store, &format!("user{i}")).unwrap().is_some());
        }
    });
    println!("{rounds} rounds");
}

#[test]
fn killed_writers_lose_no_committed_row() {
    const WRITERS: usize = 3;
    let dir = TempDir::new();
    let path = dir.join("users.db");
    drop(open(&path));
    let (mut total, mut kills) = (0, 0);
    let rounds = repeat(8, |round| {
        let mut look = start("look", &path);
        let mut writers: Vec<_> = (0..WRITERS).map(|i| start(&format!("write {round}-{i}"), &path)).collect();
        std::thread::sleep(Duration::from_millis(120 + (round as u64 * 37) % 130));
        let (mut committed, mut updated) = (Vec::new(), Vec::new());
        for writer in writers.iter_mut().chain([&mut look]) {
            writer.kill().unwrap();
            kills += 1;
        }
        for mut writer in writers {
            let lines = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
            for line in lines {
                if let Some((_, name)) = line.split_once("committed ") {
                    committed.push(name.to_owned());
                } else if let Some((_, name)) = line.split_once("updated ") {
                    updated.push(name.to_owned());
                }
            }
            let mut errors = String::new();
            std::io::Read::read_to_string(&mut writer.stderr.take().unwrap(), &mut errors).unwrap();
            assert_eq!(errors, "");
            writer.wait().unwrap();
        }
        look.wait().unwrap();
        // A look from outside is often the first and last to close the database.
        let rows: i64 = outside(&path).query_row("SELECT count(*) FROM clerk_user", [], |row| row.get(0)).unwrap();
        let store = open(&path);
        // The last line may have been cut off.
        let row = |name: &str| find(&store, name).unwrap().unwrap_or_else(|| panic!("{name} of round {round} is lost"));
        let odd = |name: &str| name.rsplit_once('-').and_then(|(_, i)| i.parse::<u32>().ok()).filter(|i| i % 2 == 1);
        for name in &committed {
            let row_of_name = row(name);
            let Some(i) = odd(name) else { continue };
            let before = row(&format!("{}-{}", name.rsplit_once('-').unwrap().0, i - 1));
            assert_eq!(
                !row_of_name.is_active,
                before.first_name.as_deref() == Some("Eve"),
                "{name}: half of a transaction"
            );
        }
        assert!(updated.iter().all(|name| !row(name).is_active), "a deactivation of round {round} is lost");
        total += committed.len();
        assert!(rows as usize >= total);
    });
    let check: String = outside(&path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    assert!(total > rounds * 5, "{total} rows");
    println!("{rounds} rounds, {kills} processes killed, {total} committed rows, 0 lost");
}

#[test]
fn relative_path_is_resolved_at_the_start() {
    let dir = TempDir::new();
    std::fs::create_dir(dir.join("elsewhere")).unwrap();
    let exe = std::env::current_exe().unwrap();
    let output = Command::new(exe)
        .args(["--exact", "processes::child", "--nocapture"])
        .env(JOB, format!("chdir {} users.db", dir.join("elsewhere").display()))
        .current_dir(dir.join(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(find(&open(dir.join("users.db")), "ada19").unwrap().is_some());
    assert_eq!(super::names(&dir.join("elsewhere")), [""; 0]);
}
