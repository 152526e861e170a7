//! Single flight, cache, key store, rate limits and the whole client under random schedules (PCT, three preemptions): every lock
//! of the library is a point where another thread may run. `SHUTTLE_SCHEDULES` sets how many schedules each test takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use clerk_auth::internals::parts::{
    Cache, Deadline, Flight, Io, JwksFetcher, JwksStore, RateLimit, SingleFlight, Slots, TokenBucket,
};
use clerk_auth::transport::{Request as ApiRequest, Response, Transport, TransportError};
use clerk_auth::{Client, Event, Request, UserMode};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};

/// Runs a test under many schedules, half of them by PCT.
fn check(test: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("SHUTTLE_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let config = || {
        let mut config = Config::new();
        // RSA needs more than the default.
        config.stack_size = 1 << 20;
        config
    };
    let test = Arc::new(test);
    let (first, second) = (test.clone(), test);
    Runner::new(PctScheduler::new(3, schedules / 2), config()).run(move || first());
    Runner::new(RandomScheduler::new(schedules / 2), config()).run(move || second());
}

fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(3600))
}

fn all<T: Send + 'static>(threads: usize, run: impl Fn(usize) -> T + Send + Sync + 'static) -> Vec<T> {
    let run = Arc::new(run);
    let handles: Vec<_> = (0..threads)
        .map(|n| {
            let run = run.clone();
            thread::spawn(move || run(n))
        })
        .collect();
    handles.into_iter().map(|handle| handle.join().unwrap()).collect()
}

#[test]
fn one_fetch_runs_at_a_time_and_every_caller_gets_its_value() {
    check(|| {
        let (flight, running, fetches) =
            (SingleFlight::<u8, usize>::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let outcomes = all(3, move |_| {
            flight.run(&1, deadline(), || {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two fetches of one key at a time");
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                fetches.fetch_add(1, Ordering::SeqCst)
            })
        });
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Flight::Complete(n) if *n < 3)), "{outcomes:?}");
    });
}

#[test]
fn abandoned_fetch_wakes_its_waiters() {
    check(|| {
        let flight = Arc::new(SingleFlight::<u8, usize>::default());
        let (leader, waiter) = (flight.clone(), flight);
        let dropped = thread::spawn(move || {
            let joined = leader.join(&1, deadline(), || true);
            thread::yield_now();
            drop(joined);
        });
        let outcome = waiter.run(&1, deadline(), || 7);
        assert!(matches!(outcome, Flight::Complete(7) | Flight::Abandoned), "{outcome:?}");
        dropped.join().unwrap();
    });
}

/// An invalidation is recorded, then its entry is removed; a result from before must not be there afterwards.
#[test]
fn no_result_from_before_an_invalidation_stays_in_the_cache() {
    check(|| {
        let cache: Arc<Cache<u8, u8, std::hash::RandomState>> = Arc::new(Cache::new(8, Default::default()));
        let is_invalidated = Arc::new(AtomicBool::new(false));
        let (storing, stored) = (cache.clone(), is_invalidated.clone());
        let store = thread::spawn(move || {
            let _ = storing.put_if(1, 1, 1000, 0, |_| !stored.load(Ordering::SeqCst));
        });
        is_invalidated.store(true, Ordering::SeqCst);
        cache.remove(&1);
        store.join().unwrap();
        assert_eq!(cache.get(&1, 0), None);
    });
}

#[test]
fn limits_grant_no_more_than_they_allow() {
    check(|| {
        let (limit, bucket, slots) = (RateLimit::every_ms(10), TokenBucket::new(2, 10), Slots::new(2));
        let taken = AtomicUsize::new(0);
        let outcomes = all(3, move |_| {
            let slot = slots.try_acquire();
            if slot.is_some() {
                assert!(taken.fetch_add(1, Ordering::SeqCst) < 2, "more places than there are");
                thread::yield_now();
                taken.fetch_sub(1, Ordering::SeqCst);
            }
            drop(slot);
            (limit.try_acquire(5), bucket.try_acquire(5).is_ok())
        });
        assert_eq!(outcomes.iter().filter(|(limited, _)| *limited).count(), 1);
        assert_eq!(outcomes.iter().filter(|(_, in_bucket)| *in_bucket).count(), 2);
    });
}

const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn jwk_set(kid: &str) -> Vec<u8> {
    format!(r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"{MODULUS}","e":"AQAB"}}]}}"#).into_bytes()
}

/// Clerk rotates its key while unknown key ids are asked for: holders of the new key are accepted, and fetches do not overlap.
#[test]
fn rotated_key_is_found_beside_unknown_ones() {
    check(|| {
        let store = JwksStore::new(None, true, Box::new(|_| {}), Box::new(|_| {}));
        let (running, fetches) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcomes = all(3, move |n| {
            let fetch = |_: Deadline| {
                assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "two fetches at a time");
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                fetches.fetch_add(1, Ordering::SeqCst);
                Ok(jwk_set("new"))
            };
            let fetcher = JwksFetcher::new(&fetch, Io::Blocking(deadline()));
            let kid = if n == 0 { "unknown" } else { "new" };
            let is_found = store.keys_for(kid, 1000, &fetcher).is_ok();
            (n, is_found, fetches.load(Ordering::SeqCst))
        });
        for (n, is_found, fetches) in outcomes {
            assert_eq!(is_found, n != 0);
            assert!(fetches <= 2, "{fetches} fetches");
        }
    });
}

/// A user at Clerk, who may be banned.
struct Clerk {
    is_banned: AtomicBool,
}

impl Transport for Clerk {
    fn send(&self, _: &ApiRequest<'_>, _: Duration) -> Result<Response, TransportError> {
        let is_banned = self.is_banned.load(Ordering::SeqCst);
        thread::yield_now();
        let body = format!(r#"{{"id":"user_ada","banned":{is_banned}}}"#).into_bytes();
        Ok(Response { status: 200, retry_after: None, trace_id: None, body })
    }
    fn reset_after_fork(&self) -> bool {
        false
    }
    fn shutdown(&self) {}
}

/// Whatever is invalidated while requests are under way, no later request is answered from before, and each emits one event.
fn invalidated(invalidate: impl Fn(&Client, &Clerk) + Send + Sync + 'static) {
    let invalidate = Arc::new(invalidate);
    check(move || {
        let (jwt_key, token) = clerk_auth::internals::example();
        let (clerk, events) = (Arc::new(Clerk { is_banned: AtomicBool::new(false) }), Arc::new(AtomicI64::new(0)));
        let counter = events.clone();
        let client = Client::builder()
            .jwt_key(jwt_key)
            .secret_key("sk_test_shuttle")
            .user_mode(UserMode::Profile)
            .transport(clerk.clone())
            .clock(|| 1_800_000_000_000)
            .on_event(move |event| {
                let is_end = matches!(event, Event::AuthSuccess { .. } | Event::AuthFailed { .. });
                counter.fetch_add(i64::from(is_end), Ordering::SeqCst);
            })
            .build()
            .unwrap();
        let ask = move |client: &Client| {
            let line = format!("Bearer {token}");
            client.authenticate(Request::new().header(b"Authorization", line.as_bytes())).is_signed_in()
        };
        let handles: Vec<_> = (0..2)
            .map(|_| {
                let client = client.clone();
                thread::spawn(move || ask(&client))
            })
            .collect();
        invalidate(&client, &clerk);
        assert!(!ask(&client), "signed in after the invalidation");
        handles.into_iter().for_each(|handle| {
            let _ = handle.join().unwrap();
        });
        assert!(!ask(&client), "signed in from what an attempt from before has cached");
        assert_eq!(events.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn session_that_is_revoked_during_requests_stays_revoked() {
    invalidated(|client, _| assert!(client.revoke_session("sess_ada")));
}

#[test]
fn user_who_is_banned_during_requests_is_fetched_again() {
    invalidated(|client, clerk| {
        clerk.is_banned.store(true, Ordering::SeqCst);
        client.invalidate_user("user_ada");
    });
}

#[test]
fn everything_that_is_invalidated_during_requests_is_fetched_again() {
    invalidated(|client, clerk| {
        clerk.is_banned.store(true, Ordering::SeqCst);
        client.invalidate_all();
    });
}
