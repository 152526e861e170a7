//! Revocations: known in every process, through the stream or when a token is verified.

use std::time::Duration;

use crate::{World, ask, wait_for};

#[test]
fn revocation_is_found_without_a_poller_when_a_token_is_not_cached() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    let cached = world.token("user_0", "sess_0");
    assert_eq!(ask(&b, &cached), "in verified");
    a.revoke_session("sess_1");
    a.revoke_user("user_2");
    assert_eq!(ask(&b, &world.token("user_1", "sess_1")), "out session-revoked");
    assert_eq!(ask(&b, &world.token("user_2", "sess_2")), "out session-revoked");
    assert_eq!(ask(&b, &world.token("user_1", "sess_3")), "in verified");
    assert_eq!(ask(&b, &cached), "in cache");
}

#[test]
fn token_that_is_not_cached_is_not_accepted_without_io() {
    let world = World::new();
    let client = world.claims_client();
    client.warm_up().unwrap();
    let token = world.token("user_0", "sess_0");
    assert_eq!(crate::common::inline(&client, &token), None, "another process may have revoked it");
    assert_eq!(ask(&client, &token), "in verified");
    assert_eq!(crate::common::inline(&client, &token).as_deref(), Some("in cache"));
}

#[test]
fn poll_applies_revocations_to_cached_tokens() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    assert_eq!(b.poll(Duration::ZERO).unwrap(), 0);
    let tokens = [world.token("user_1", "sess_1"), world.token("user_2", "sess_2"), world.token("user_3", "sess_3")];
    tokens.iter().for_each(|token| assert_eq!(ask(&b, token), "in verified"));
    a.revoke_session("sess_1");
    a.revoke_user("user_2");
    let mut applied = 0;
    while applied < 2 {
        applied += b.poll(Duration::from_secs(5)).unwrap();
    }
    let outcomes = tokens.each_ref().map(|token| ask(&b, token));
    assert_eq!(outcomes, ["out session-revoked", "out session-revoked", "in cache"]);
    assert!(b.stats().shared_cache.revocation_lag_ms >= 0);
    // Its own changes are nothing new for the first one.
    assert_eq!(a.poll(Duration::ZERO).unwrap(), 0);
}

#[test]
fn poller_applies_revocations_until_the_client_is_dropped() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    b.start_poller().unwrap();
    b.start_poller().unwrap();
    // A thread sets its name itself.
    wait_for("one thread", || pollers() == 1);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(pollers(), 1);
    let token = world.token("user_1", "sess_1");
    assert_eq!(ask(&b, &token), "in verified");
    a.revoke_user("user_1");
    let lag = wait_for("the poller applies it", || ask(&b, &token) == "out session-revoked");
    assert!(lag < Duration::from_secs(1), "{lag:?}");
    b.shutdown();
    assert_eq!(pollers(), 0);
    b.start_poller().unwrap();
    let clone = b.clone();
    drop(b);
    wait_for("it goes on", || pollers() == 1);
    drop(clone);
    assert_eq!(pollers(), 0);
}

/// Counts the threads of pollers; tests that start some run one at a time.
fn pollers() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
    threads.map(name).filter(|name| name.trim() == "clerk-poll").count()
}

#[test]
fn trimmed_stream_empties_the_caches() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    b.poll(Duration::ZERO).unwrap();
    let token = world.token("user_1", "sess_1");
    assert_eq!((ask(&b, &token), ask(&b, &token)), ("in verified".into(), "in cache".into()));
    a.revoke_session("sess_1");
    let stream = world.server.cli(&["--scan", "--pattern", "ck1:*:inv"]);
    assert_eq!(world.server.cli(&["XTRIM", &stream, "MAXLEN", "0"]), "2");
    b.poll(Duration::ZERO).unwrap();
    assert_eq!(b.stats().cached_tokens, 0);
    assert_eq!(ask(&b, &token), "out session-revoked");
    // Reading goes on behind the gap.
    assert_eq!(ask(&b, &world.token("user_2", "sess_2")), "in verified");
    a.revoke_user("user_2");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    assert_eq!(ask(&b, &world.token("user_2", "sess_2")), "out session-revoked");
}

#[test]
fn revocations_survive_a_restart_of_the_engine_without_its_data() {
    let mut world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    b.poll(Duration::ZERO).unwrap();
    a.revoke_user("user_1");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    world.server.kill();
    assert!(b.poll(Duration::from_millis(100)).is_err());
    // Made while the engine is down: sent later.
    a.revoke_user("user_2");
    world.server.restart();
    let c = world.claims_client();
    wait_for("a sends what waits", || {
        a.poll(Duration::ZERO).is_ok() && ask(&c, &world.token("user_2", "s")).starts_with("out")
    });
    wait_for("b restores what it knows", || {
        b.poll(Duration::ZERO).is_ok() && ask(&c, &world.token("user_1", "sess_1")) == "out session-revoked"
    });
    wait_for("b has read it", || {
        let _ = b.poll(Duration::ZERO);
        ask(&b, &world.token("user_2", "sess_2")) == "out session-revoked"
    });
}

#[test]
fn reset_of_the_engine_is_noticed_by_a_reader_that_waits() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    b.start_poller().unwrap();
    wait_for("it reads", || world.server.cli(&["CLIENT", "LIST"]).contains("cmd=xread"));
    let token = world.token("user_1", "sess_1");
    a.revoke_session("sess_1");
    wait_for("b knows it", || ask(&b, &token) == "out session-revoked");
    let cached = world.token("user_3", "sess_3");
    assert_eq!(ask(&b, &cached), "in verified");
    // The reader waits meanwhile, and finds an entry after its last one.
    assert_eq!(world.server.cli(&["FLUSHALL"]), "OK");
    a.revoke_session("sess_2");
    let c = world.claims_client();
    wait_for("b stores it again", || ask(&c, &world.token("user_1", "sess_1")) == "out session-revoked");
    wait_for("b has emptied its caches", || ask(&b, &cached) == "in verified");
    b.shutdown();
}

#[test]
fn foreign_and_replayed_entries_are_ignored_counted_and_logged_once() {
    let world = World::new();
    let client = |secret: &str| {
        world.client(|config| {
            config.user_mode = Some(clerk_auth::UserMode::Claims);
            config.set("publishable_key", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k").unwrap();
            config.set("shared_cache_secret", secret).unwrap();
        })
    };
    let [a, b] = [(); 2].map(|()| client("the secret of thirty-two characters"));
    b.poll(Duration::ZERO).unwrap();
    a.revoke_user("user_1");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    let stream = world.server.cli(&["--scan", "--pattern", "ck1:*:inv"]);
    let entry = world.server.raw(&[b"XREVRANGE", stream.as_bytes(), b"+", b"-", b"COUNT", b"1"]);
    // The last bulk string of the reply is the sealed message.
    let body = entry.strip_suffix(b"\r\n").unwrap();
    let at = body.windows(2).enumerate().filter(|(_, w)| *w == b"m\r").map(|(i, _)| i).next().unwrap();
    let rest = &body[at + 3..];
    let length_end = rest.iter().position(|b| *b == b'\r').unwrap();
    let sealed = &rest[length_end + 2..];
    let mut changed = sealed.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    for value in [sealed, &changed[..], &sealed[..20], b"", b"garbage", &[0xff; 300]] {
        world.server.raw(&[b"XADD", stream.as_bytes(), b"*", b"m", value]);
    }
    world.server.raw(&[b"XADD", stream.as_bytes(), b"*", b"other", b"1", b"more", b"2"]);
    let other = client("another secret of thirty-two chars");
    other.revoke_user("user_3");
    assert_eq!(b.poll(Duration::from_millis(300)).unwrap(), 0);
    assert_eq!((b.stats().shared_cache.rejected, b.stats().shared_cache.errors), (8, 0));
    assert_eq!(ask(&b, &world.token("user_3", "sess_3")), "in verified");
    assert_eq!(world.logged("is not an entry of this instance"), 1);
}

#[test]
fn entries_that_are_too_long_are_skipped_and_counted() {
    let world = World::new();
    let (a, b) = (world.claims_client(), world.claims_client());
    b.poll(Duration::ZERO).unwrap();
    a.revoke_user("user_1");
    assert_eq!(b.poll(Duration::from_secs(5)).unwrap(), 1);
    let stream = world.server.cli(&["--scan", "--pattern", "ck1:*:inv"]);
    let append = |length: usize| {
        world.server.raw(&[b"XADD", stream.as_bytes(), b"*", b"m", &vec![b'x'; length]]);
    };
    // More than one reply may have, together and alone.
    (0..20).for_each(|_| append(60_000));
    (0..3).for_each(|_| append(4 << 20));
    append(100);
    a.revoke_user("user_2");
    assert_eq!(b.poll(Duration::from_secs(10)).unwrap(), 1);
    assert_eq!(ask(&b, &world.token("user_2", "sess_2")), "out session-revoked");
    assert_eq!((b.stats().shared_cache.rejected, b.stats().shared_cache.errors), (24, 0));
    assert_eq!(world.logged("is not an entry of this instance"), 1);
    // The last entry is too long: readers begin and continue after it.
    append(4 << 20);
    let c = world.claims_client();
    c.poll(Duration::ZERO).unwrap();
    assert_eq!(b.poll(Duration::from_millis(300)).unwrap(), 0);
    a.revoke_user("user_3");
    for client in [&b, &c] {
        assert_eq!(client.poll(Duration::from_secs(5)).unwrap(), 1);
        assert_eq!(ask(client, &world.token("user_3", "sess_3")), "out session-revoked");
    }
    assert_eq!((b.stats().shared_cache.rejected, c.stats().shared_cache.rejected), (25, 0));
    // Trimmed beyond it: something may have been missed, and is found on the next verification.
    append(4 << 20);
    assert_eq!(b.poll(Duration::from_millis(300)).unwrap(), 0);
    world.server.cli(&["XTRIM", &stream, "MAXLEN", "0"]);
    a.revoke_user("user_4");
    world.server.cli(&["XTRIM", &stream, "MAXLEN", "0"]);
    assert_eq!(ask(&b, &world.token("user_5", "sess_5")), "in verified");
    let _ = b.poll(Duration::from_millis(300));
    assert_eq!(b.stats().cached_tokens, 0);
    assert_eq!((b.stats().shared_cache.errors, b.stats().shared_cache.state as i32), (0, 1));
}
