//! The simulation: requests of users reach processes; a process looks into its own cache, then into the shared one, then calls
//! Clerk. `docs/scaling.md` describes the policy.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use clerk_auth::internals::rate_limit::TokenBucket;
use lru::LruCache;

use crate::args::{Args, Sharing};
use crate::clerk::Clerk;
use crate::latency::{Distribution, Histogram};
use crate::queue::{Queue, Time};

const SECOND: Time = 1_000_000;
/// An operation of the engine that takes longer has failed.
const OPERATION_TIMEOUT: Time = 20_000;
/// How long one process may fetch a user for all others.
const LEASE: Time = 1_500_000;
/// When a process that waits for the one with the lease looks again, 400 ms in all.
const LEASE_POLLS: [Time; 6] = [25_000, 50_000, 100_000, 100_000, 100_000, 25_000];
/// How long after its end a user is used while another process fetches it.
const GRACE: Time = 1_500_000;
/// In the last part of the ttl, at most for `GRACE`, a process may fetch early.
const EARLY_PARTS: Time = 50;
const MAX_ENGINE_FAILURES: u32 = 3;
const MIN_PAUSE: Time = SECOND;
const MAX_PAUSE: Time = 30 * SECOND;
/// How long after an outage the budget holds for all fetches: as long as the outage, within these limits.
const MIN_RECOVERY: Time = 10 * SECOND;
const MAX_RECOVERY: Time = 3600 * SECOND;
/// How long a session token is valid, and how often a browser has a new one.
const TOKEN_LIFE: Time = 60 * SECOND;
const TOKEN_PERIOD: Time = 50 * SECOND;
/// `timeout_ms`, and what an answer may be later than that.
const LATE: Time = 5_000_000 + 250_000;
const NEVER: Time = Time::MIN / 4;

type Process = u32;
type User = u32;

/// A shared entry, as the engine stores it.
#[derive(Clone, Copy)]
struct Entry {
    fetched_at: Time,
    lease_until: Time,
}

/// A user in the cache of a process.
#[derive(Clone, Copy)]
struct Local {
    fetched_at: Time,
    fresh_until: Time,
    /// The token whose result is cached.
    token: Time,
}

struct Node {
    users: LruCache<User, Local>,
    budget: TokenBucket,
    engine_failures: u32,
    pause: Time,
    /// When the engine may be used again; `NEVER` while the circuit is closed.
    retry_at: Time,
    /// When the circuit opened, and until when the budget holds for all fetches.
    opened_at: Time,
    recovered_at: Time,
    /// Until when a 429 stops calls to Clerk.
    clerk_open_until: Time,
    /// Number of revocations of the stream that this process has applied.
    applied: usize,
    is_reading: bool,
    /// Whether the reader waits until the circuit lets it try again.
    is_waiting: bool,
}

/// Requests for one user in one process that share the work for the first of them.
struct Flight {
    begun: Vec<Time>,
    /// A stale user in the shared cache.
    stale_at: Time,
    polls: usize,
}

#[derive(Clone, Copy)]
enum Step {
    /// Reads the revocations of the user and the session.
    Revocations,
    Get,
    Lease,
}

enum Event {
    Request,
    Engine { process: Process, user: User, step: Step, is_success: bool },
    Poll { process: Process, user: User },
    Fetched { process: Process, user: User, retry_after: Option<Time> },
    Update,
    Revocation,
    Appended,
    Read { process: Process },
    ReadDone { process: Process, upto: usize },
    OutageEnd,
    End,
}

/// Where the user of an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Local,
    LocalStale,
    SharedFresh,
    SharedStale,
    Fetched,
    Unavailable,
}

pub const ANSWERS: [(Answer, &str); 6] = [
    (Answer::Local, "cache of the process"),
    (Answer::SharedFresh, "shared cache, fresh"),
    (Answer::SharedStale, "shared cache, stale while one refreshes"),
    (Answer::Fetched, "fetched from Clerk"),
    (Answer::LocalStale, "cache of the process, stale"),
    (Answer::Unavailable, "503"),
];

/// Counts of a part of the simulation.
#[derive(Clone)]
pub struct Counts {
    pub answers: [u64; 6],
    pub latencies: Histogram,
    pub late: u64,
    pub lags: Histogram,
    pub engine_operations: u64,
}

impl Counts {
    fn new() -> Self {
        Counts { answers: [0; 6], latencies: Histogram::new(), late: 0, lags: Histogram::new(), engine_operations: 0 }
    }

    /// Returns the share of an answer.
    pub fn share(&self, answer: Answer) -> f64 {
        self.answers[answer as usize] as f64 / self.answers.iter().sum::<u64>().max(1) as f64
    }
}

/// The outcome of a simulation.
pub struct Report {
    pub clerk: Clerk,
    /// While the engine works, and while it does not.
    pub up: Counts,
    pub down: Counts,
    pub events: u64,
    /// How many sessions were revoked.
    pub revocations: usize,
    /// Calls for a user less than `ttl_s` after the last one for the same user.
    pub early_calls: u64,
}

struct Fleet {
    args: Args,
    queue: Queue<Event>,
    rng: fastrand::Rng,
    engine: Distribution,
    clerk: Clerk,
    nodes: Vec<Node>,
    shared: Vec<Entry>,
    flights: HashMap<(Process, User), Flight>,
    /// When each revocation happened, and how many are in the stream.
    revocations: Vec<Time>,
    appended: usize,
    /// The begin of the last call about each user.
    last_calls: Vec<Time>,
    early_calls: u64,
    up: Counts,
    down: Counts,
    ttl: Time,
    stale: Time,
    outage: std::ops::Range<Time>,
}

fn micros(seconds: f64) -> Time {
    (seconds * SECOND as f64) as Time
}

/// Decides whether a user is fetched before its end, with a probability that rises to the end.
fn is_due_early(ttl: Time, age: Time, random: f64) -> bool {
    let window = (ttl / EARLY_PARTS).min(GRACE);
    let left = ttl - age;
    left < window && random * window as f64 >= left as f64
}

/// Runs a simulation.
pub fn run(args: &Args) -> Report {
    let mut fleet = Fleet::new(args);
    fleet.start();
    let mut events = 0;
    while let Some(event) = fleet.queue.take() {
        events += 1;
        if matches!(event, Event::End) {
            break;
        }
        fleet.handle(event);
    }
    Report {
        clerk: fleet.clerk,
        up: fleet.up,
        down: fleet.down,
        events,
        revocations: fleet.revocations.len(),
        early_calls: fleet.early_calls,
    }
}

impl Fleet {
    fn new(args: &Args) -> Self {
        let capacity = NonZeroUsize::new(args.local_users).unwrap_or(NonZeroUsize::MIN);
        let node = |_| Node {
            users: LruCache::new(capacity),
            budget: TokenBucket::per_second(args.budget_per_s()),
            engine_failures: 0,
            pause: 0,
            retry_at: NEVER,
            opened_at: NEVER,
            recovered_at: NEVER,
            clerk_open_until: NEVER,
            applied: 0,
            is_reading: false,
            is_waiting: false,
        };
        let outage_at = micros(args.outage_at_s);
        Fleet {
            queue: Queue::new(),
            rng: fastrand::Rng::with_seed(args.seed),
            engine: Distribution::measured(),
            clerk: Clerk::new(args.limit),
            nodes: (0..args.processes).map(node).collect(),
            shared: vec![Entry { fetched_at: NEVER, lease_until: NEVER }; args.users as usize],
            flights: HashMap::new(),
            revocations: Vec::new(),
            appended: 0,
            last_calls: vec![NEVER; args.users as usize],
            early_calls: 0,
            up: Counts::new(),
            down: Counts::new(),
            ttl: micros(args.ttl_s),
            stale: micros(args.stale_s()),
            outage: outage_at..outage_at + micros(args.outage_s),
            args: args.clone(),
        }
    }

    /// Fills the caches as those of a fleet that has run for long, and adds the first events.
    fn start(&mut self) {
        if !self.args.is_cold && self.args.sharing == Sharing::Shared {
            let period = self.ttl + micros(1.0 / self.args.rate);
            for entry in &mut self.shared {
                entry.fetched_at = -self.rng.i64(0..period);
            }
            self.fill_local_caches();
        }
        if self.args.sharing == Sharing::Shared {
            for process in 0..self.args.processes {
                self.queue.add(0, Event::Read { process });
            }
            if !self.outage.is_empty() {
                self.queue.add(self.outage.end, Event::OutageEnd);
            }
            self.add_revocation();
            self.add_update();
        }
        self.add_request();
        self.queue.add(micros(self.args.seconds), Event::End);
    }

    /// Gives each process the users that it has seen last.
    fn fill_local_caches(&mut self) {
        let rate = self.args.rate / f64::from(self.args.processes);
        for process in 0..self.args.processes as usize {
            let mut seen: Vec<_> = (0..self.args.users).map(|user| (self.exponential(rate), user)).collect();
            seen.sort_unstable_by(|one, other| other.cmp(one));
            let stale = self.stale;
            for (_, user) in seen.into_iter().filter(|(age, _)| *age < stale) {
                let fetched_at = self.shared[user as usize].fetched_at;
                let fresh_until = fetched_at + self.ttl;
                self.nodes[process].users.put(user, Local { fetched_at, fresh_until, token: NEVER });
            }
        }
    }

    fn exponential(&mut self, rate_per_s: f64) -> Time {
        micros(-(1.0 - self.rng.f64()).ln() / rate_per_s)
    }

    fn add_request(&mut self) {
        let delay = self.exponential(f64::from(self.args.users) * self.args.rate);
        self.queue.add(delay, Event::Request);
    }

    fn add_revocation(&mut self) {
        if self.args.revocations > 0.0 {
            let delay = self.exponential(self.args.revocations);
            self.queue.add(delay, Event::Revocation);
        }
    }

    fn add_update(&mut self) {
        let rate = self.args.updates * f64::from(self.args.users) / 86_400.0;
        if rate > 0.0 {
            let delay = self.exponential(rate);
            self.queue.add(delay, Event::Update);
        }
    }

    fn is_engine_down(&self) -> bool {
        self.outage.contains(&self.queue.now())
    }

    fn counts(&mut self) -> &mut Counts {
        if self.is_engine_down() { &mut self.down } else { &mut self.up }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request => {
                self.add_request();
                let user = self.rng.u32(0..self.args.users);
                let process = self.rng.u32(0..self.args.processes);
                self.request(process, user);
            }
            Event::Engine { process, user, step, is_success } => self.engine_done(process, user, step, is_success),
            Event::Poll { process, user } => self.use_engine(process, user, Step::Get),
            Event::Fetched { process, user, retry_after } => self.fetched(process, user, retry_after),
            Event::Update => {
                self.add_update();
                let user = self.rng.u32(0..self.args.users);
                self.update(user);
            }
            Event::Revocation => {
                self.add_revocation();
                self.revocations.push(self.queue.now());
                self.append();
            }
            Event::Appended => {
                self.appended = self.revocations.len();
                for process in 0..self.args.processes {
                    self.read(process, true);
                }
            }
            Event::Read { process } => self.read(process, false),
            Event::ReadDone { process, upto } => self.read_done(process, upto),
            // Clerk delivers the events again that no process could append.
            Event::OutageEnd => {
                if self.args.is_lost {
                    self.shared.fill(Entry { fetched_at: NEVER, lease_until: NEVER });
                }
                self.append();
            }
            Event::End => {}
        }
    }

    /// The time for which the browser of a user has the same token. Users are not in step.
    fn token(&self, user: User) -> Time {
        let offset = Time::from(user) * 7919 * 1000 % TOKEN_PERIOD;
        (self.queue.now() + offset) / TOKEN_PERIOD
    }

    fn request(&mut self, process: Process, user: User) {
        let (now, token) = (self.queue.now(), self.token(user));
        let sharing = self.args.sharing;
        let known = self.nodes[process as usize].users.get(&user).copied();
        let is_cached = known.is_some_and(|known| known.token == token);
        if is_cached || sharing == Sharing::Process && known.is_some_and(|known| now < known.fresh_until) {
            return self.answer(now, Answer::Local);
        }
        if let Some(flight) = self.flights.get_mut(&(process, user)) {
            flight.begun.push(now);
            return;
        }
        self.flights.insert((process, user), Flight { begun: vec![now], stale_at: NEVER, polls: 0 });
        match sharing {
            Sharing::Shared => self.use_engine(process, user, Step::Revocations),
            Sharing::Token | Sharing::Process => self.fetch(process, user),
        }
    }

    /// Sends an operation, unless the circuit is open.
    fn use_engine(&mut self, process: Process, user: User, step: Step) {
        let now = self.queue.now();
        let node = &mut self.nodes[process as usize];
        if node.retry_at > now {
            return self.without_engine(process, user);
        }
        if node.retry_at != NEVER {
            // One operation tries the engine again.
            node.retry_at = now + MIN_PAUSE;
        }
        let latency = self.engine.at(self.rng.f64());
        let is_success = !self.is_engine_down() && latency < OPERATION_TIMEOUT;
        self.counts().engine_operations += 1;
        let delay = if is_success { latency } else { OPERATION_TIMEOUT };
        self.queue.add(delay, Event::Engine { process, user, step, is_success });
    }

    fn engine_done(&mut self, process: Process, user: User, step: Step, is_success: bool) {
        let (now, random) = (self.queue.now(), self.rng.f64());
        self.record_engine(process, is_success);
        if !is_success {
            return self.without_engine(process, user);
        }
        let entry = &mut self.shared[user as usize];
        let age = now - entry.fetched_at;
        match step {
            Step::Revocations => {
                if !self.use_local(process, user) {
                    self.use_engine(process, user, Step::Get);
                }
            }
            Step::Get if age < self.ttl && !is_due_early(self.ttl, age, random) => {
                let fetched_at = entry.fetched_at;
                self.complete(process, user, fetched_at, Answer::SharedFresh);
            }
            Step::Get => {
                if age < self.stale
                    && let Some(flight) = self.flights.get_mut(&(process, user))
                {
                    flight.stale_at = entry.fetched_at;
                }
                let node = &self.nodes[process as usize];
                if now < node.recovered_at && node.budget.wait_ms(now / 1000).is_some() {
                    return self.fall_back(process, user);
                }
                self.use_engine(process, user, Step::Lease);
            }
            Step::Lease if entry.lease_until <= now => {
                entry.lease_until = now + LEASE;
                match now < self.nodes[process as usize].recovered_at {
                    true => self.fetch_within_budget(process, user),
                    false => self.fetch(process, user),
                }
            }
            Step::Lease => self.wait_for_other(process, user),
        }
    }

    /// Uses the user in the cache of the process, if it is fresh.
    fn use_local(&mut self, process: Process, user: User) -> bool {
        let now = self.queue.now();
        let known = self.nodes[process as usize].users.peek(&user).copied();
        let Some(known) = known.filter(|known| now < known.fresh_until) else { return false };
        self.complete(process, user, known.fetched_at, Answer::Local);
        true
    }

    /// Another process has the lease: uses a user that has just become stale, or looks again.
    fn wait_for_other(&mut self, process: Process, user: User) {
        let now = self.queue.now();
        let Some(flight) = self.flights.get_mut(&(process, user)) else { return };
        let stale_at = flight.stale_at;
        if stale_at != NEVER && now - stale_at < self.ttl + GRACE {
            return self.complete(process, user, stale_at, Answer::SharedStale);
        }
        let Some(delay) = LEASE_POLLS.get(flight.polls).copied() else {
            return self.fetch_within_budget(process, user);
        };
        flight.polls += 1;
        self.queue.add(delay, Event::Poll { process, user });
    }

    fn record_engine(&mut self, process: Process, is_success: bool) {
        let now = self.queue.now();
        let jitter = self.rng.f64();
        let node = &mut self.nodes[process as usize];
        if is_success {
            if node.retry_at != NEVER {
                let recovery = if self.args.is_lost { self.ttl } else { now - node.opened_at };
                node.recovered_at = now + recovery.clamp(MIN_RECOVERY, MAX_RECOVERY);
                if self.args.is_lost {
                    // The stream has a gap.
                    node.users.iter_mut().for_each(|(_, local)| (local.fresh_until, local.token) = (NEVER, NEVER));
                }
            }
            (node.engine_failures, node.pause, node.retry_at) = (0, 0, NEVER);
            return;
        }
        node.engine_failures += 1;
        if node.engine_failures >= MAX_ENGINE_FAILURES {
            if node.retry_at == NEVER {
                node.opened_at = now;
            }
            node.pause = (node.pause * 2).clamp(MIN_PAUSE, MAX_PAUSE);
            node.retry_at = now + (node.pause as f64 * (1.0 - jitter / 5.0)) as Time;
        }
    }

    /// Goes on as a single process would, within the budget.
    fn without_engine(&mut self, process: Process, user: User) {
        if !self.use_local(process, user) {
            self.fetch_within_budget(process, user);
        }
    }

    fn fetch_within_budget(&mut self, process: Process, user: User) {
        let now_ms = self.queue.now() / 1000;
        if self.nodes[process as usize].budget.try_acquire(now_ms).is_ok() {
            self.fetch(process, user);
        } else {
            self.fall_back(process, user);
        }
    }

    /// Uses a stale user, the newer of those that are known.
    fn fall_back(&mut self, process: Process, user: User) {
        let now = self.queue.now();
        let local_at = self.nodes[process as usize].users.peek(&user).map_or(NEVER, |local| local.fetched_at);
        let shared_at = self.flights.get(&(process, user)).map_or(NEVER, |flight| flight.stale_at);
        let is_usable = |at: Time| at != NEVER && now - at < self.stale;
        let is_sharing = self.args.sharing != Sharing::Token;
        if is_usable(shared_at) && shared_at >= local_at {
            self.complete(process, user, shared_at, Answer::SharedStale);
        } else if is_sharing && is_usable(local_at) {
            self.complete(process, user, local_at, Answer::LocalStale);
        } else {
            self.complete(process, user, NEVER, Answer::Unavailable);
        }
    }

    fn fetch(&mut self, process: Process, user: User) {
        let now = self.queue.now();
        if self.nodes[process as usize].clerk_open_until > now {
            return self.fall_back(process, user);
        }
        let (latency, retry_after) = self.clerk.call(now, &mut self.rng);
        if retry_after.is_none() {
            let last = &mut self.last_calls[user as usize];
            self.early_calls += u64::from(*last != NEVER && now - *last < self.ttl);
            *last = now;
        }
        self.queue.add(latency, Event::Fetched { process, user, retry_after });
    }

    fn fetched(&mut self, process: Process, user: User, retry_after: Option<Time>) {
        let now = self.queue.now();
        if let Some(retry_after) = retry_after {
            self.nodes[process as usize].clerk_open_until = now + retry_after.max(MIN_PAUSE);
            return self.fall_back(process, user);
        }
        if self.args.sharing == Sharing::Shared
            && !self.is_engine_down()
            && self.nodes[process as usize].retry_at <= now
        {
            self.shared[user as usize].fetched_at = now;
        }
        self.complete(process, user, now, Answer::Fetched);
    }

    /// Answers all requests of a flight with a user that was fetched at this time.
    fn complete(&mut self, process: Process, user: User, fetched_at: Time, answer: Answer) {
        let token = self.token(user);
        if fetched_at != NEVER {
            let fresh_until = fetched_at + self.ttl;
            self.nodes[process as usize].users.put(user, Local { fetched_at, fresh_until, token });
        }
        for begun in self.flights.remove(&(process, user)).into_iter().flat_map(|flight| flight.begun) {
            self.answer(begun, answer);
        }
    }

    fn answer(&mut self, begun: Time, answer: Answer) {
        let took = self.queue.now() - begun;
        let counts = self.counts();
        counts.answers[answer as usize] += 1;
        counts.latencies.record(took);
        counts.late += u64::from(took > LATE);
    }

    /// A webhook event has the whole user: it is stored without a call, and leaves the caches of the processes.
    fn update(&mut self, user: User) {
        if self.is_engine_down() {
            return;
        }
        self.shared[user as usize].fetched_at = self.queue.now();
        for node in &mut self.nodes {
            node.users.pop(&user);
        }
    }

    /// Appends the revocations that are not in the stream yet.
    fn append(&mut self) {
        if !self.is_engine_down() {
            let latency = self.engine.at(self.rng.f64());
            self.queue.add(latency, Event::Appended);
        }
    }

    /// Reads the stream; an idle reader waits until something is appended.
    fn read(&mut self, process: Process, woken: bool) {
        let (is_down, now) = (self.is_engine_down(), self.queue.now());
        let latency = self.engine.at(self.rng.f64());
        let node = &mut self.nodes[process as usize];
        if node.is_reading || node.is_waiting && woken {
            return;
        }
        node.is_waiting = false;
        if is_down && node.retry_at <= now {
            self.record_engine(process, false);
        }
        let node = &mut self.nodes[process as usize];
        if is_down || node.retry_at > now {
            // Tries again after the pause of its circuit.
            node.is_waiting = true;
            self.queue.add((node.retry_at - now).max(MIN_PAUSE / 10), Event::Read { process });
            return;
        }
        if node.applied < self.appended {
            node.is_reading = true;
            self.queue.add(latency, Event::ReadDone { process, upto: self.appended });
        }
    }

    fn read_done(&mut self, process: Process, upto: usize) {
        let now = self.queue.now();
        self.record_engine(process, true);
        let node = &mut self.nodes[process as usize];
        node.is_reading = false;
        let applied = node.applied..upto;
        node.applied = upto;
        for number in applied {
            let revoked_at = self.revocations[number];
            // A revoked session gets no new tokens: the last one expires.
            let lag = (now - revoked_at).min(TOKEN_LIFE);
            let counts = if self.outage.contains(&revoked_at) { &mut self.down } else { &mut self.up };
            counts.lags.record(lag);
        }
        self.read(process, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Args {
        Args { users: 500, processes: 8, ttl_s: 60.0, seconds: 600.0, outage_s: 0.0, updates: 0.0, ..Args::default() }
    }

    #[test]
    fn calls_are_at_most_one_per_user_and_ttl() {
        for (seed, is_cold) in [(1, false), (2, true), (3, true)] {
            let report = run(&Args { seed, is_cold, rate: 1.0, ..small() });
            assert!(report.clerk.accepted > 3000, "{} calls", report.clerk.accepted);
            // Some are fetched up to a fiftieth of the ttl early.
            let users = 500.0 * 600.0 / 60.0;
            assert!(report.clerk.accepted as f64 <= users * 1.02, "seed {seed}: {} calls", report.clerk.accepted);
            assert_eq!(report.up.answers[Answer::Unavailable as usize], 0);
        }
    }

    #[test]
    fn caches_of_processes_need_more_calls_than_one_per_user_and_ttl() {
        let report = run(&Args { sharing: Sharing::Process, ..small() });
        assert!(report.early_calls > 1000);
    }

    #[test]
    fn outage_of_the_engine_costs_no_more_than_the_budget() {
        let args = Args { outage_at_s: 300.0, outage_s: 60.0, calls_per_s: Some(2), rate: 1.0, ..small() };
        let report = run(&args);
        let (calls, _) = report.clerk.rate(301, 360);
        assert!(calls > 0.0 && calls <= 2.0 * 8.0 * 1.05, "{calls}");
        assert_eq!((report.up.late, report.down.late), (0, 0));
        // As long afterwards as the outage was, for those whose circuit has closed.
        let (calls, _) = report.clerk.rate(361, 420);
        assert!(calls <= 2.0 * 8.0 * 1.05, "{calls}");
        // Afterwards everything is as before.
        let (calls, _) = report.clerk.rate(420, 600);
        assert!(calls <= 500.0 / 60.0, "{calls}");
        assert_eq!(report.down.lags.count() + report.up.lags.count(), report.revocations as u64 * 8);
    }

    #[test]
    fn engine_that_lost_its_data_costs_no_more_than_the_budget() {
        let args =
            Args { outage_at_s: 300.0, outage_s: 20.0, calls_per_s: Some(2), rate: 1.0, is_lost: true, ..small() };
        let report = run(&args);
        let (calls, most) = report.clerk.rate(321, 380);
        assert!(calls > 5.0 && calls <= 2.0 * 8.0 * 1.05 && most <= 2 * 8 * 2, "{calls}, {most}");
        assert!(report.up.share(Answer::Unavailable) < 0.001, "{}", report.up.share(Answer::Unavailable));
    }

    #[test]
    fn revocation_is_known_everywhere_within_a_second() {
        let report = run(&small());
        assert_eq!(report.up.lags.count(), report.revocations as u64 * 8);
        assert!(report.up.lags.max() < SECOND);
    }

    #[test]
    fn equal_seeds_give_equal_simulations() {
        let summary = |seed| {
            let report = run(&Args { seed, outage_s: 30.0, ..small() });
            (report.events, report.clerk.accepted, report.up.answers, report.down.answers, report.up.latencies.max())
        };
        assert_eq!(summary(7), summary(7));
        assert_ne!(summary(7), summary(8));
    }
}
