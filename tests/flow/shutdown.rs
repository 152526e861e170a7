//! A shutdown ends every wait of the calls that had begun before: they return at once and send nothing afterwards.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clerk_auth::internals::Config;
use clerk_auth::shared_cache::{Engine, EngineError, MemoryEngine, StreamRead};
use clerk_auth::{Client, TokenKind, UserMode};
use clerk_sim::{Fault, Sim, TokenSpec};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::common::{Fixture, SLACK, bearer, pem, timed, word};

const OUTAGE: &str = "unavailable server-error";
/// How long a cancelled call may take: waking its thread takes time on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(400);
const BEFORE_SHUTDOWN: Duration = Duration::from_millis(150);

fn fixture(tune: impl FnOnce(&mut Config)) -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    sim.put_user(json!({"id": "user_1"}));
    sim.put_session(json!({"id": "sess_1", "user_id": "user_1"}));
    sim.update(|state| {
        state.api_keys.insert("ak_good".into(), json!({"id": "ak_1", "subject": "org_1", "scopes": []}));
    });
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.user_mode = Some(UserMode::Profile);
        config.timeout_ms = 20_000;
        config.accepts_token = TokenKind::ALL.to_vec();
        tune(config);
    })
}

/// Shuts a client down while `threads` calls wait; each has to end at once with `expected`.
fn shut_down_during(client: &Client, threads: usize, has_begun: impl Fn() -> bool, call: impl Fn() -> String + Sync) {
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..threads).map(|_| scope.spawn(&call)).collect();
        while !has_begun() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(BEFORE_SHUTDOWN);
        assert!(calls.iter().all(|call| !call.is_finished()));
        let (outcomes, took) = timed(|| {
            client.shutdown();
            calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(outcomes.iter().all(|outcome| outcome.starts_with("unavailable ")), "{outcomes:?}");
        assert!(took < AT_ONCE, "took {took:?}");
    });
}

#[test]
fn shutdown_ends_the_pause_before_a_retry() {
    for (path, status) in [("/users/*", 503), ("/sessions/*", 500), ("/jwks", 503), ("/api_keys/verify", 503)] {
        for was_valid in [false, true] {
            let fixture = fixture(|config| {
                config.session_check_ttl_s = 1;
                config.user_ttl_s = 1;
                config.machine_cache_ttl_s = 1;
                if path == "/jwks" {
                    config.jwt_key = None;
                }
            });
            let ask = || match path {
                "/api_keys/verify" => fixture.ask("ak_good"),
                _ => fixture.ask(&fixture.mint(&TokenSpec::session("user_1").sid("sess_1"))),
            };
            if was_valid && path != "/jwks" {
                assert_eq!(ask(), "in verified", "{path}");
                fixture.time.advance_s(2);
                fixture.client.invalidate_user("user_1");
            }
            fixture.sim.fault(Fault::on(path).status(status).header("Retry-After", "3"));
            let before = fixture.sim.requests(path);
            let count = || fixture.sim.requests(path) - before;
            // Others join the call that pauses.
            shut_down_during(&fixture.client, 4, || count() == 1, ask);
            let sent = fixture.calls();
            fixture.sim.clear_faults();
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!((count(), fixture.calls()), (1, sent), "{path}");
            fixture.time.advance_s(10);
            assert_eq!(ask(), "in verified", "{path}: later calls connect again");
        }
    }
}

struct Fleet {
    sim: Sim,
}

impl Fleet {
    fn new() -> Fleet {
        let sim = Sim::start();
        sim.put_user(json!({"id": "user_1"}));
        Fleet { sim }
    }

    fn client(&self, engine: Arc<dyn Engine>) -> Client {
        Client::builder()
            .secret_key("sk_test_hidden")
            .jwt_key(pem(&self.sim).unwrap())
            .publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k")
            .api_url(self.sim.url())
            .user_mode(UserMode::Profile)
            .timeout_ms(20_000)
            .shared_cache_secret(["0123456789abcdef0123456789abcdef"])
            .shared_cache_engine(engine)
            .build()
            .unwrap()
    }

    fn ask(&self, client: &Client) -> String {
        word(&bearer(client, &self.sim.mint_now(&TokenSpec::session("user_1"))))
    }
}

/// Another process holds the lease of the user.
#[test]
fn shutdown_ends_the_wait_for_another_process() {
    let fleet = Fleet::new();
    let engine = Arc::new(MemoryEngine::new());
    let (a, b) = (fleet.client(engine.clone()), fleet.client(engine));
    fleet.sim.fault(Fault::on("/users/*").delay_ms(3000).times(1));
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fleet.ask(&a));
        while fleet.sim.requests("/users/*") == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        shut_down_during(&b, 2, || true, || fleet.ask(&b));
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(fleet.sim.requests("/users/*"), 1);
        assert_eq!(fetching.join().unwrap(), "in verified");
    });
    assert_eq!(fleet.ask(&b), "in verified");
}

/// An engine that is slow once it is armed.
#[derive(Default)]
struct SlowEngine {
    inner: MemoryEngine,
    is_slow: AtomicBool,
    slow_calls: AtomicUsize,
    slow_reads: AtomicUsize,
}

impl SlowEngine {
    fn wait(&self, timeout: Duration) {
        if self.is_slow.load(Ordering::SeqCst) {
            self.slow_calls.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(timeout.min(Duration::from_millis(200)));
        }
    }
}

impl Engine for SlowEngine {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        self.wait(timeout);
        self.inner.get(keys, timeout)
    }
    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        if_absent: bool,
        timeout: Duration,
    ) -> Result<bool, EngineError> {
        self.wait(timeout);
        self.inner.set(key, value, ttl, if_absent, timeout)
    }
    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError> {
        self.inner.delete(keys, timeout)
    }
    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        self.inner.append(stream, value, timeout)
    }
    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        if self.is_slow.load(Ordering::SeqCst) {
            self.slow_reads.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(SLOW_READ);
            return Err(EngineError::Unsupported);
        }
        self.inner.read(stream, after, wait, timeout)
    }
}

const SLOW_READ: Duration = Duration::from_millis(250);

/// A reader of changes is in a call of the engine, which cannot be interrupted; nothing follows it.
#[test]
fn shutdown_waits_for_one_read_of_changes_only() {
    for has_thread in [false, true] {
        // A busy machine may delay one of them.
        let took = (0..3).map(|_| {
            let engine = Arc::new(SlowEngine::default());
            let client = Fleet::new().client(engine.clone());
            client.poll(Duration::ZERO).unwrap();
            engine.is_slow.store(true, Ordering::SeqCst);
            std::thread::scope(|scope| {
                let reading = (!has_thread).then(|| scope.spawn(|| client.poll(Duration::from_secs(20)).is_err()));
                if has_thread {
                    client.start_poller().unwrap();
                }
                while engine.slow_reads.load(Ordering::SeqCst) == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let ((), took) = timed(|| {
                    client.shutdown();
                    reading.into_iter().for_each(|reading| assert!(reading.join().unwrap()));
                });
                assert_eq!(engine.slow_reads.load(Ordering::SeqCst), 1);
                took
            })
        });
        let took = took.min().unwrap();
        assert!(took < SLOW_READ + Duration::from_millis(150), "took {took:?}, has_thread: {has_thread}");
    }
}

/// The engine of the application cannot be interrupted, but nothing is sent to Clerk after it.
#[test]
fn call_that_waits_for_the_engine_sends_nothing_after_a_shutdown() {
    let fleet = Fleet::new();
    let engine = Arc::new(SlowEngine::default());
    let client = fleet.client(engine.clone());
    engine.is_slow.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let call = scope.spawn(|| fleet.ask(&client));
        while engine.slow_calls.load(Ordering::SeqCst) == 0 && !call.is_finished() {
            std::thread::sleep(Duration::from_millis(1));
        }
        client.shutdown();
        assert_eq!(call.join().unwrap(), OUTAGE);
    });
    assert_eq!(fleet.sim.requests("*"), 0);
    assert_eq!(fleet.ask(&client), "in verified");
}

/// A listener that accepts nothing and has no room for more connections: `connect` waits.
struct FullListener {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullListener {
    fn new() -> FullListener {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let waiting = (0..16).map_while(connect).collect();
        FullListener { listener, _waiting: waiting }
    }

    fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }
}

#[test]
fn shutdown_ends_calls_that_are_connecting() {
    for by_proxy in [false, true] {
        let full = FullListener::new();
        let address = format!("http://{}", full.address());
        let connecting = fixture(|config| match by_proxy {
            true => config.set("proxy", &address).unwrap(),
            false => config.api_url = address,
        });
        shut_down_during(&connecting.client, 3, || true, || connecting.authenticate_new("user_1"));
    }
}

#[test]
fn connection_that_is_not_accepted_ends_at_the_deadline() {
    let full = FullListener::new();
    let timeout = Duration::from_millis(300);
    let connecting = fixture(|config| {
        config.api_url = format!("http://{}", full.address());
        config.timeout_ms = 300;
    });
    let (outcome, took) = timed(|| connecting.authenticate_new("user_1"));
    assert_eq!(outcome, OUTAGE);
    assert!(took >= timeout - Duration::from_millis(20) && took < timeout + SLACK, "took {took:?}");
}
