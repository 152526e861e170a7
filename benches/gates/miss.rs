//! A token of a user who is not cached, in `sync` mode: fetched over a connection that is kept alive, synchronized with a store
//! that does nothing. Only the CPU time of the calling thread counts, not the fake API's.

use std::ffi::c_void;
use std::sync::OnceLock;

use clerk_auth::internals::ffi::{
    CLERK_OK, CLERK_STORE_DECLINE, CLERK_STORE_OK, clerk_store_request, clerk_store_request_kind as Kind,
    clerk_store_response,
};
use clerk_sim::Sim;
use serde_json::json;

use crate::library::{Client, Library, to_str};
use crate::sample::{PARTY, lines, token};
use crate::slices::{cpu_time, median};

const USERS: usize = 400;
/// Misses that open the connection and fill the allocator's lists.
const WARM_UP: usize = 50;

static LIBRARY: OnceLock<Library> = OnceLock::new();

/// Finds no row, and gives each new row the same key.
unsafe extern "C" fn store(
    _: *mut c_void,
    request: *const clerk_store_request,
    response: *mut clerk_store_response,
) -> i32 {
    let Some(library) = LIBRARY.get() else { return -1 };
    // SAFETY: request and response are valid during the callback.
    unsafe {
        match (library.request_kind)(request) {
            kind if kind == Kind::CREATE as i32 => (library.set_created_key)(response, to_str("42")),
            kind if kind == Kind::USERNAME_TAKEN as i32 => (library.set_username_taken)(response, 0),
            kind if kind == Kind::BEGIN as i32 => CLERK_STORE_DECLINE,
            _ => CLERK_STORE_OK,
        }
    }
}

/// A client in `sync` mode with that store.
pub fn sync_client(library: Library, sim: &Sim, pem: &str) -> Client {
    LIBRARY.get_or_init(|| library);
    let url = sim.url();
    let settings = [
        ("jwt_key", pem),
        PARTY,
        ("user_mode", "sync"),
        ("secret_key", "sk_test_bench"),
        ("api_url", &url),
        // By default the store is asked on each hit, which is the application's time.
        ("row_check_ttl_s", "60"),
    ];
    library.client(&settings, Some(store))
}

/// Returns the median CPU time of a miss in microseconds.
pub fn measure(library: Library) -> f64 {
    let sim = Sim::start();
    let keys = sim.keys();
    let user = |i: usize| format!("user_2bench{i:021}");
    sim.set_users((0..USERS).map(|i| json!({"id": user(i), "first_name": "Ada", "last_name": "Lovelace"})));
    let client = sync_client(library, &sim, &keys.pem("k1"));
    let values: Vec<String> = (0..USERS).map(|i| format!("Bearer {}", token(&keys, &user(i)))).collect();
    let mut times = Vec::with_capacity(USERS);
    for value in &values {
        let (lines, before) = (lines("Authorization", value), cpu_time());
        assert_eq!(client.blocking(&lines), CLERK_OK);
        times.push((cpu_time() - before).as_nanos() as f64 / 1000.0);
    }
    median(times.split_off(WARM_UP))
}
