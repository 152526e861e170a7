//! An engine that is slow, silent, gone or talks nonsense: requests go on without it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::tcp_proxy::{Route, TcpProxy};
use crate::common::timed;
use crate::{World, ask, wait_for};

/// A server that responds to each connection with a function, in a thread.
struct Liar {
    addr: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Liar {
    fn start(respond: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, stopped) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let (respond, stop) = (Arc::new(respond), stopped.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(mut stream), respond) = (stream, respond.clone()) else { continue };
                std::thread::spawn(move || respond(&mut stream));
            }
        });
        Liar { addr, stopped }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

/// Reads a request and sends the same reply, again and again.
fn replies(reply: &'static [u8]) -> impl Fn(&mut TcpStream) + Send + Sync + 'static {
    move |stream| {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).is_ok_and(|read| read > 0) && stream.write_all(reply).is_ok() {}
    }
}

/// What the time without the engine may add to a request: three connections, then no more.
const SLOWEST: Duration = Duration::from_millis(3 * 100 + 250);

#[test]
fn engine_that_lies_changes_no_verdict_and_holds_no_request() {
    let drip = |stream: &mut TcpStream| {
        for _ in 0..1000 {
            if stream.write_all(b"+").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let endless = |stream: &mut TcpStream| while stream.write_all(&[b'+'; 65_536]).is_ok() {};
    let endless_array = |stream: &mut TcpStream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"*100000\r\n");
        while stream.write_all(&b"$5\r\nvalue\r\n".repeat(1000)).is_ok() {}
    };
    let silent = |stream: &mut TcpStream| {
        let _ = stream.read(&mut [0; 1]);
        std::thread::sleep(Duration::from_secs(3));
    };
    let closing = |_: &mut TcpStream| ();
    let liars = [
        ("drip", Liar::start(drip)),
        ("endless", Liar::start(endless)),
        ("silent", Liar::start(silent)),
        ("closing", Liar::start(closing)),
        ("endless array", Liar::start(endless_array)),
        ("http", Liar::start(replies(b"HTTP/1.1 400 Bad Request\r\n\r\n"))),
        ("pong", Liar::start(replies(b"+PONG\r\n"))),
        ("ok", Liar::start(replies(b"+OK\r\n"))),
        ("nil", Liar::start(replies(b"$-1\r\n"))),
        ("int", Liar::start(replies(b":1\r\n"))),
        ("huge array", Liar::start(replies(b"*1000000000\r\n"))),
        ("huge string", Liar::start(replies(b"$9999999999\r\n"))),
        ("negative", Liar::start(replies(b"*-7\r\n$-7\r\n"))),
        ("nested", Liar::start(replies(b"*1\r\n".repeat(500).leak()))),
        ("attribute", Liar::start(replies(b"|1\r\n+a\r\n+b\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n"))),
        ("array", Liar::start(replies(b"*2\r\n$1\r\nx\r\n$1\r\ny\r\n"))),
        ("loading", Liar::start(replies(b"-LOADING Redis is loading the dataset in memory\r\n"))),
        ("moved", Liar::start(replies(b"-MOVED 1 127.0.0.1:1\r\n"))),
        ("binary", Liar::start(replies(&[0xff, 0, 0xfe, 13, 10, 13, 10]))),
    ];
    for (name, liar) in &liars {
        let world = World::new();
        world.users(4);
        let mut config = world.config();
        config.set("shared_cache", &format!("redis://{}", liar.addr)).unwrap();
        // What is refused for good is refused at the start.
        let (client, elapsed) = timed(|| world.build(config));
        assert!(elapsed < Duration::from_secs(3), "{name}: {elapsed:?}");
        let client = client.unwrap_or_else(|error| panic!("{name}: {error}"));
        for i in 0..4 {
            let (outcome, elapsed) = timed(|| ask(&client, &world.token(&format!("user_{i}"), "sess_1")));
            assert_eq!(outcome, "in verified", "{name}");
            assert!(elapsed < SLOWEST, "{name}: {elapsed:?}");
        }
        let ((), elapsed) = timed(|| drop(client.poll(Duration::from_millis(200))));
        assert!(elapsed < SLOWEST, "{name}: {elapsed:?}");
        let ((), elapsed) = timed(|| client.invalidate_user("user_0"));
        assert!(elapsed < SLOWEST, "{name}: {elapsed:?}");
        assert_eq!(ask(&client, &world.token("user_0", "sess_2")), "in verified", "{name}");
        let (stats, events) = (client.stats().shared_cache, world.event_log.take());
        let reports = events.iter().filter(|event| *event == "shared_cache_unavailable").count();
        let is_reported =
            reports == 1 && world.logged("the shared cache cannot be used") == 1 && stats.state as i32 == 2;
        // Arrays of strings are a reply of MGET: as many values, none of which is an entry.
        let is_rejected = ["array", "attribute", "endless array"].contains(name) && stats.rejected > 0;
        assert!(is_reported || is_rejected, "{name}: {reports} events, {stats:?}");
    }
}

#[test]
fn killed_engine_is_reported_once_and_used_again_when_it_is_back() {
    let mut world = World::new();
    world.users(30);
    let client = world.client(|_| ());
    assert_eq!(ask(&client, &world.token("user_0", "sess_1")), "in verified");
    world.event_log.take();
    world.server.kill();
    for i in 1..20 {
        let (outcome, elapsed) = timed(|| ask(&client, &world.token(&format!("user_{i}"), "sess_1")));
        assert_eq!(outcome, "in verified");
        assert!(elapsed < SLOWEST, "{elapsed:?}");
    }
    let count = |events: &[String], name: &str| events.iter().filter(|event| *event == name).count();
    let events = world.event_log.take();
    assert_eq!((count(&events, "shared_cache_unavailable"), count(&events, "shared_cache_available")), (1, 0));
    assert_eq!(world.logged("the shared cache cannot be used"), 1);
    assert_eq!(client.stats().shared_cache.state as i32, 2);
    world.server.restart();
    let mut i = 20;
    wait_for("it is used again", || {
        assert_eq!(ask(&client, &world.token("user_20", "sess_2")), "in verified");
        client.stats().shared_cache.state as i32 == 1
    });
    i += 1;
    let events = world.event_log.take();
    assert_eq!((count(&events, "shared_cache_unavailable"), count(&events, "shared_cache_available")), (0, 1));
    let other = world.client(|_| ());
    let calls = world.user_calls();
    assert_eq!(ask(&client, &world.token(&format!("user_{i}"), "sess_1")), "in verified");
    assert_eq!(ask(&other, &world.token(&format!("user_{i}"), "sess_1")), "in verified");
    assert_eq!(world.user_calls(), calls + 1);
}

#[test]
fn required_cache_that_is_gone_makes_requests_unavailable() {
    let mut world = World::new();
    world.users(2);
    let client = world.client(|config| config.shared_cache_required = true);
    let token = world.token("user_0", "sess_1");
    assert_eq!(ask(&client, &token), "in verified");
    world.server.kill();
    for _ in 0..5 {
        assert_eq!(ask(&client, &world.token("user_1", "sess_1")), "unavailable shared-cache-unavailable");
    }
    assert_eq!(ask(&client, &token), "in cache", "it needs no engine");
    world.server.restart();
    wait_for("it is back", || ask(&client, &world.token("user_1", "sess_1")) == "in verified");
}

#[test]
fn connections_that_are_cut_in_the_middle_are_replaced() {
    let world = World::new();
    world.users(40);
    let proxy = TcpProxy::new(Route::To(world.server.addr()));
    let client = world.client(|config| {
        config.set("shared_cache", &format!("redis://{}", proxy.addr)).unwrap();
        config.shared_cache_required = true;
    });
    for i in 0..40 {
        if i % 4 == 0 {
            proxy.set_route(Route::To(world.server.addr()));
        }
        assert_eq!(ask(&client, &world.token(&format!("user_{i}"), "sess_1")), "in verified");
    }
    assert_eq!(client.stats().shared_cache.errors, 0, "an idle connection that was closed is no failure");
    assert!(proxy.connections() >= 10);
}

#[test]
fn poller_that_waits_is_ended_by_shutdown() {
    let world = World::new();
    let client = world.claims_client();
    client.poll(Duration::ZERO).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| client.poll(Duration::from_secs(60))).1);
        std::thread::sleep(Duration::from_millis(300));
        client.shutdown();
        let waited = waiting.join().unwrap();
        assert!(waited < Duration::from_secs(2), "{waited:?}");
    });
}
