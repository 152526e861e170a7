//! The result cache by itself: index, limits, invalidation, and a model.

use super::*;
use crate::client::invalidations::Scope;
use crate::jwt::Claims;
use crate::token::TokenKind;

struct Fixture {
    cache: ResultCache,
    invalidations: Arc<Invalidations>,
}

const END_MS: i64 = 1_000_000;

fn at(ms: i64) -> Now {
    Now { wall_ms: ms, mono_ms: ms }
}

impl Fixture {
    fn new(capacity: usize) -> Fixture {
        let invalidations = Arc::new(Invalidations::default());
        Fixture { cache: ResultCache::new(capacity, invalidations.clone()), invalidations }
    }

    fn insert(&self, token: &str, subject: &str, begun: u64, now_ms: i64, end_ms: i64) -> Insertion {
        self.insert_in(token, subject, token, begun, now_ms, end_ms)
    }

    fn insert_in(
        &self,
        token: &str,
        subject: &str,
        session: impl std::fmt::Display,
        begun: u64,
        now_ms: i64,
        end_ms: i64,
    ) -> Insertion {
        let sid = format!("sess_{session}");
        let json = format!(r#"{{"sub":"{subject}","sid":"{sid}","org_id":"org_1"}}"#);
        let claims = Claims::parse(TokenKind::SessionToken, json.as_bytes()).unwrap();
        let identity = Identity::of_claims(TokenKind::SessionToken, &claims);
        let hash = TokenHash::of(token.as_bytes());
        let keys = self.invalidations.token_keys(&hash, subject, Some(&sid), Some("org_1"));
        let new = NewResult {
            identity: &identity,
            hash,
            keys,
            begun,
            ttl_ms: END_MS,
            not_before_ms: i64::MIN,
            expires_at_ms: end_ms,
            key_id: Some([1; 32]),
            row_verified_at_ms: 0,
        };
        self.cache.insert(new, at(now_ms))
    }

    fn put(&self, token: &str, subject: &str) {
        assert_eq!(self.insert(token, subject, self.invalidations.sequence(), 0, END_MS), Insertion::Stored);
    }

    fn has(&self, token: &str) -> bool {
        self.cache.get(&TokenHash::of(token.as_bytes()), at(0), |_, _| ()).is_some()
    }

    /// Returns how many places the entries have in lists of subjects, sessions and organizations, and checks all parts.
    fn places(&self) -> usize {
        let places = self.cache.shards.iter().map(|shard| shard.0.lock(LOOKUP_TIMEOUT).unwrap().check());
        let counted: u32 = self.cache.subjects.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
        let places = places.sum();
        assert_eq!(counted as usize, self.cache.len());
        places
    }

    fn key(&self, scope: Scope, id: &str) -> Key {
        self.invalidations.key(scope, id)
    }
}

/// Entries expire by the monotonic clock, which the clock of the tokens may be ahead of.
#[test]
fn result_is_current_until_the_token_expires_by_the_wall_clock() {
    let f = Fixture::new(10);
    assert_eq!(f.insert("a", "user_1", 0, 0, 100), Insertion::Stored);
    let is_current = |wall_ms| {
        let now = Now { wall_ms, mono_ms: 0 };
        f.cache.get(&TokenHash::of(b"a"), now, |entry, _| entry.entry.is_current(now))
    };
    assert_eq!([99, 100, 101].map(is_current), [Some(true), Some(false), Some(false)]);
}

#[test]
fn removal_by_scope_affects_that_scope_only() {
    let f = Fixture::new(100);
    for (token, subject) in [("a", "user_1"), ("b", "user_1"), ("c", "user_2")] {
        f.put(token, subject);
    }
    f.cache.remove_all_of(f.key(Scope::Session, "sess_b"));
    assert_eq!(["a", "b", "c"].map(|token| f.has(token)), [true, false, true]);
    f.cache.remove_all_of(f.key(Scope::Subject, "user_1"));
    assert_eq!(["a", "b", "c"].map(|token| f.has(token)), [false, false, true]);
    f.put("a", "user_1");
    f.cache.remove_all_of(f.key(Scope::Organization, "org_1"));
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}

#[test]
fn result_begun_before_an_invalidation_is_not_stored() {
    let f = Fixture::new(100);
    for scope in [(Scope::Subject, "user_1"), (Scope::Session, "sess_a"), (Scope::Organization, "org_1")] {
        let begun = f.invalidations.sequence();
        f.invalidations.record(f.key(scope.0, scope.1));
        assert_eq!(f.insert("a", "user_1", begun, 0, END_MS), Insertion::Invalidated);
        f.invalidations.record(f.key(Scope::Subject, "user_2"));
        assert_eq!((f.cache.len(), f.places()), (0, 0));
    }
    let begun = f.invalidations.sequence();
    f.put("b", "user_2");
    f.invalidations.record_all();
    assert_eq!(f.insert("a", "user_1", begun, 0, END_MS), Insertion::Invalidated);
    // An entry that is stored during an invalidation of everything is not found.
    assert!(!f.has("b") && f.places() == 0);
}

#[test]
fn subject_keeps_at_most_32_tokens_whatever_their_lifetimes() {
    let f = Fixture::new(10_000);
    for i in 0..640 {
        // Mixed with short-lived tokens: the index entry must not expire with the last token of its key.
        let end_ms = if i % 32 == 31 { i + 1 } else { END_MS };
        let token = i.to_string();
        assert_eq!(f.insert(&token, "user_1", 0, i, end_ms), Insertion::Stored);
        assert!(f.cache.get(&TokenHash::of(token.as_bytes()), at(i), |_, _| ()).is_some());
    }
    assert_eq!((f.cache.len(), f.places()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
    assert!(f.has("639") && f.has("608") && !f.has("607"));
}

#[test]
fn subject_keeps_at_most_32_tokens_under_concurrency() {
    let f = Fixture::new(10_000);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let f = &f;
            scope.spawn(move || (0..80).for_each(|i| f.put(&format!("{thread}-{i}"), "user_1")));
        }
    });
    assert_eq!((f.cache.len(), f.places()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
}

#[test]
fn token_verified_again_takes_no_second_place() {
    let f = Fixture::new(100);
    (0..MAX_PER_SUBJECT).for_each(|i| f.put(&i.to_string(), "user_1"));
    (0..10).for_each(|_| f.put("5", "user_1"));
    assert_eq!((f.cache.len(), f.places()), (MAX_PER_SUBJECT, 3 * MAX_PER_SUBJECT));
    assert!(f.has("0"));
}

#[test]
fn index_follows_eviction_expiry_and_key_removal() {
    let f = Fixture::new(10);
    (0..100).for_each(|i| f.put(&i.to_string(), &format!("user_{i}")));
    assert_eq!((f.cache.len(), f.places()), (10, 30));
    let last = TokenHash::of(b"99");
    assert!(f.cache.get(&last, at(END_MS), |_, _| ()).is_none());
    assert_eq!((f.cache.len(), f.places()), (9, 27));
    f.cache.retain_keys(&|id| *id != [1; 32]);
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}

#[test]
fn threads_that_insert_and_invalidate_leave_nothing_stale() {
    let f = Fixture::new(1000);
    let ada = f.key(Scope::Subject, "user_ada");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let f = &f;
            scope.spawn(move || {
                for i in 0..2000 {
                    let begun = f.invalidations.sequence();
                    let token = format!("{thread}-{}", i % 7);
                    f.insert(&token, "user_ada", begun, 0, END_MS);
                }
            });
        }
        for _ in 0..500 {
            f.invalidations.record(ada);
            f.cache.remove_all_of(ada);
        }
    });
    f.invalidations.record(ada);
    f.cache.remove_all_of(ada);
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}

/// Entries of one shard, the most recently used one first.
struct Model(Vec<(u32, i64, i64)>);

impl Model {
    fn get(&mut self, token: u32, now_ms: i64) -> bool {
        let Some(at) = self.0.iter().position(|(other, ..)| *other == token) else { return false };
        let (_, expires_ms, used_ms) = self.0[at];
        if expires_ms <= now_ms {
            self.0.remove(at);
            return false;
        }
        if now_ms - used_ms >= 1000 {
            self.0.remove(at);
            self.0.insert(0, (token, expires_ms, now_ms));
        }
        true
    }

    fn put(&mut self, token: u32, expires_ms: i64, now_ms: i64, capacity: usize) {
        self.0.retain(|(other, ..)| *other != token);
        self.0.truncate(capacity - 1);
        self.0.insert(0, (token, expires_ms, now_ms));
    }
}

/// Tokens of four subjects and eight sessions, in one organization: all parts agree after each operation.
#[test]
fn cache_agrees_with_a_model() {
    let (subject, session) = (|token: u32| format!("user_{}", token % 4), |token: u32| token % 8);
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    for capacity in [1, 2, 5, 12, 40] {
        let (f, mut model, mut now_ms) = (Fixture::new(capacity), Model(Vec::new()), 0);
        for _ in 0..3000 {
            let token = random(24) as u32;
            let is_of = |other: u32, key: u32| other % 8 == session(key);
            match random(12) {
                0 => now_ms += [1, 999, 1000, 5000][random(4) as usize],
                1..5 => {
                    let end_ms = now_ms + [1, 900, 4000, 100_000][random(4) as usize];
                    let name = format!("{token}");
                    let begun = f.invalidations.sequence();
                    assert_eq!(
                        f.insert_in(&name, &subject(token), session(token), begun, now_ms, end_ms),
                        Insertion::Stored
                    );
                    model.put(token, end_ms, now_ms, capacity);
                }
                5..9 => {
                    let found = f.cache.get(&TokenHash::of(token.to_string().as_bytes()), at(now_ms), |_, _| ());
                    assert_eq!(found.is_some(), model.get(token, now_ms));
                }
                9 => {
                    f.cache.remove_all_of(f.key(Scope::Subject, &subject(token)));
                    model.0.retain(|(other, ..)| subject(*other) != subject(token));
                }
                10 => {
                    f.cache.remove_all_of(f.key(Scope::Session, &format!("sess_{}", session(token))));
                    model.0.retain(|(other, ..)| !is_of(*other, token));
                }
                _ => {
                    f.cache.remove(&TokenHash::of(token.to_string().as_bytes()));
                    model.0.retain(|(other, ..)| *other != token);
                }
            }
            assert_eq!((f.cache.len(), f.places()), (model.0.len(), 3 * model.0.len()));
        }
    }
}

#[test]
fn tokens_of_one_role_share_their_strings_until_the_last_is_removed() {
    let f = Fixture::new(10);
    ["a", "b"].iter().for_each(|token| f.put(token, "user_1"));
    let result =
        |token: &str| f.cache.get(&TokenHash::of(token.as_bytes()), at(0), |result, _| result.clone()).unwrap();
    let [a, b] = ["a", "b"].map(result);
    let shared = |result: &AuthResult| result.identity().and_then(|identity| identity.shares().cloned()).unwrap();
    assert!(Arc::ptr_eq(&shared(&a), &shared(&b)));
    assert_eq!((a.get(Attribute::OrgId), a.get(Attribute::SessionId)), (Some("org_1"), Some("sess_a")));
    assert_eq!(a.key_id(), Some([1; 32]));
    f.cache.clear();
    // A result lives longer than its entry.
    assert_eq!((b.get(Attribute::OrgId), b.get(Attribute::Subject)), (Some("org_1"), Some("user_1")));
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}

#[test]
fn organization_with_many_tokens_is_removed_from_all_shards() {
    let f = Fixture::new(10_000);
    (0..5000).for_each(|i| f.put(&i.to_string(), &format!("user_{i}")));
    assert_eq!((f.cache.len(), f.places()), (5000, 15_000));
    f.cache.remove_all_of(f.key(Scope::Organization, "org_1"));
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}

#[test]
fn shard_locked_at_fork_is_skipped_or_invalidated() {
    let mut f = Fixture::new(10);
    f.put("a", "user_1");
    f.cache.shards[0].0.pretend_forked();
    let held = f.cache.shards[0].0.lock(LOOKUP_TIMEOUT);
    assert!(!f.has("a"));
    assert_eq!(f.insert("b", "user_2", 0, 0, END_MS), Insertion::NotCached);
    f.cache.remove_all_of(f.key(Scope::Subject, "user_1"));
    drop(held);
    assert!(!f.has("a"), "what cannot be removed is invalidated");
    assert_eq!((f.cache.len(), f.places()), (0, 0));
}
