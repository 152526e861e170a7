//! Several clients and several processes with one shared cache, in a real Redis or Valkey: `make test-scale`.
//!
//! Clients of one process share nothing but the server: they behave as those of several processes do.

#![allow(missing_docs, reason = "a test")]

mod bench;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod processes;
mod revocations;
mod server;
mod start;
mod topology;
mod users;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clerk_auth::internals::{Config, builder};
use clerk_auth::{Client, LogLevel, UserMode};
use clerk_sim::{Sim, TokenSpec};
use serde_json::json;

use common::{EventLog, SECRET, bearer, word};
use server::Server;

/// A server, a fake Clerk API, and what its clients report.
pub struct World {
    pub server: Server,
    pub sim: Sim,
    pub event_log: EventLog,
    pub lines: Arc<Mutex<Vec<String>>>,
}

impl Default for World {
    fn default() -> World {
        World { server: Server::start(), sim: Sim::start(), event_log: EventLog::default(), lines: Arc::default() }
    }
}

impl World {
    pub fn new() -> World {
        World::default()
    }

    /// Makes users `user_0`, `user_1`, …
    pub fn users(&self, count: usize) -> &Self {
        self.sim.set_users((0..count).map(|i| {
            json!({"id": format!("user_{i}"), "first_name": format!("Ada{i}"), "updated_at": 1_700_000_000_000_i64})
        }));
        self
    }

    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.set("secret_key", SECRET).unwrap();
        config.set("api_url", &self.sim.url()).unwrap();
        config.set("shared_cache", &self.server.url()).unwrap();
        config.set("webhook_secrets", clerk_sim::DEFAULT_WEBHOOK_SECRET).unwrap();
        config.set("user_mode", "profile").unwrap();
        config
    }

    pub fn client(&self, tune: impl FnOnce(&mut Config)) -> Client {
        let mut config = self.config();
        tune(&mut config);
        self.build(config).unwrap()
    }

    pub fn build(&self, config: Config) -> Result<Client, clerk_auth::Error> {
        let lines = self.lines.clone();
        builder(config)
            .on_event(self.event_log.handler())
            .on_log(LogLevel::Warn, move |_, line| lines.lock().unwrap().push(line.to_owned()))
            .build()
    }

    pub fn claims_client(&self) -> Client {
        self.client(|config| config.user_mode = Some(UserMode::Claims))
    }

    pub fn token(&self, user: &str, session: &str) -> String {
        self.sim.mint_now(&TokenSpec::session(user).sid(session).exp_in(3600))
    }

    pub fn user_calls(&self) -> usize {
        self.sim.requests("/users/*")
    }

    /// Counts the log lines that contain a string.
    pub fn logged(&self, part: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

pub fn ask(client: &Client, token: &str) -> String {
    word(&bearer(client, token))
}

/// Waits until a condition holds; returns how long that took.
pub fn wait_for(what: &str, is_met: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_met() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
    begun.elapsed()
}
