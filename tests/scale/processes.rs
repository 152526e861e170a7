//! Processes of this test binary, each with a client: revocations reach all, and a user is fetched once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clerk_auth::internals::{Config, builder};

use crate::bench::Load;
use crate::{World, ask};

const JOB: &str = "CLERK_AUTH_TEST_JOB";

/// A process that executes one line at a time.
pub struct Worker {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(world: &World) -> Worker {
        Self::with(world, "")
    }

    /// Starts a process with settings: `name=value`, separated by blanks.
    pub fn with(world: &World, settings: &str) -> Worker {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture", "--test-threads=1"])
            .env(JOB, format!("{} {} {settings}", world.sim.url(), world.server.url()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut worker = Worker { process, input, output };
        assert_eq!(worker.reply(), "ready");
        worker
    }

    pub fn send(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Returns the next line of the worker; others are those of the test runner.
    pub fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the process has ended");
            if let Some(reply) = line.trim_end().strip_prefix("> ") {
                return reply.to_owned();
            }
        }
    }

    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.reply()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let mut words = job.split_whitespace();
    let (api, cache) = (words.next().unwrap(), words.next().unwrap());
    let mut config = Config::new();
    for (name, value) in
        [("api_url", api), ("shared_cache", cache), ("secret_key", crate::common::SECRET), ("user_mode", "profile")]
    {
        config.set(name, value).unwrap();
    }
    for (name, value) in words.map(|word| word.split_once('=').unwrap()) {
        config.set(name, value).unwrap();
    }
    let client = builder(config).build().unwrap();
    let mut load = None;
    client.start_poller().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    println!("\n> ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let reply = match line.split_once(' ').unwrap_or((&line, "")) {
            ("auth", token) => ask(&client, token),
            ("revoke", user) => client.revoke_user(user).to_string(),
            // Asks until the token is refused; returns after how many milliseconds.
            ("until-refused", token) => {
                let begun = Instant::now();
                while ask(&client, token).starts_with("in ") {
                    assert!(begun.elapsed() < Duration::from_secs(30));
                    std::thread::sleep(Duration::from_millis(1));
                }
                begun.elapsed().as_millis().to_string()
            }
            ("load", file) => {
                load = Some(Load::start(&client, file));
                "started".to_owned()
            }
            ("expect", state) => {
                load.as_ref().unwrap().expect(state);
                "ok".to_owned()
            }
            ("stop", _) => load.take().unwrap().stop(),
            _ => panic!("{line}"),
        };
        println!("\n> {reply}");
    }
}

#[test]
fn revocation_reaches_every_process_within_a_second() {
    let world = World::new();
    let count = 60;
    world.users(count);
    let mut workers: Vec<_> = (0..4).map(|_| Worker::start(&world)).collect();
    let mut lags = Vec::new();
    for i in 0..count {
        let user = format!("user_{i}");
        let token = world.token(&user, "sess_1");
        for worker in &mut workers {
            assert_eq!(worker.ask(&format!("auth {token}")), "in verified");
            assert_eq!(worker.ask(&format!("auth {token}")), "in cache");
        }
        let revoking = i % workers.len();
        for (_, worker) in workers.iter_mut().enumerate().filter(|(at, _)| *at != revoking) {
            worker.send(&format!("until-refused {token}"));
        }
        assert_eq!(workers[revoking].ask(&format!("revoke {user}")), "true");
        for (_, worker) in workers.iter_mut().enumerate().filter(|(at, _)| *at != revoking) {
            lags.push(worker.reply().parse::<u64>().unwrap());
        }
        assert_eq!(workers[revoking].ask(&format!("auth {token}")), "out session-revoked");
    }
    lags.sort_unstable();
    let at = |part: usize| lags[(lags.len() - 1) * part / 100];
    println!("refused after: median {} ms, p99 {} ms, max {} ms", at(50), at(99), at(100));
    assert!(at(99) <= 1000, "{lags:?}");
    assert_eq!(world.user_calls(), count, "one fetch for all processes");
}
