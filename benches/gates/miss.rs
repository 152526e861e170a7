//! A token of a user who is not cached, in `sync` mode: fetched over a connection that is kept alive, synchronized with a store
//! that does nothing. Only the CPU time of the calling thread counts, not the fake API's.
//!
//! Half of them are measured with both on one processor, and the better half counts. On two, the time of a request has a part
//! that no real API causes: on an idle virtual machine, to wake the processor of the fake API takes 10 to 20 µs, and the call
//! that sends the request pays for it. On one, other processes of a busy machine run between a request and its response.

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
use crate::table::Gate;

/// Each time.
const USERS: usize = 300;
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

/// Keeps this thread, and those that it starts, on the processor that it runs on; until it is dropped.
struct OneProcessor(libc::cpu_set_t);

impl OneProcessor {
    fn new() -> OneProcessor {
        // SAFETY: a set of zero bytes is an empty one; the pointers are valid during the calls.
        unsafe {
            let (mut before, mut one): (libc::cpu_set_t, libc::cpu_set_t) = (std::mem::zeroed(), std::mem::zeroed());
            assert_eq!(libc::sched_getaffinity(0, size_of_val(&before), &mut before), 0);
            libc::CPU_SET(libc::sched_getcpu() as usize, &mut one);
            assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &one), 0);
            OneProcessor(before)
        }
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // SAFETY: the set is valid during the call.
        unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &self.0) };
    }
}

/// Fetches a user's object and reads it, by `ureq` alone.
fn get(agent: &ureq::Agent, url: &str) {
    let response = agent.get(url).header("Authorization", "Bearer sk_test_bench").call();
    assert_ne!(response.unwrap().body_mut().read_to_vec().unwrap().len(), 0);
}

fn timed(operation: impl FnOnce()) -> f64 {
    let before = cpu_time();
    operation();
    (cpu_time() - before).as_nanos() as f64 / 1000.0
}

/// Measures the median of a miss, and the least miss beside the least verification and the least request of `ureq` together.
pub fn measure(library: Library, gates: &mut Vec<Gate>) {
    let two = sample(library);
    let one = {
        let _one = OneProcessor::new();
        sample(library)
    };
    for (processors, times) in [("two processors", &two), ("one processor", &one)] {
        let [least, median] = [least, median_of].map(|of| times.each_ref().map(|times| of(times)));
        println!(
            "{processors}: miss {:.1} µs at least, median {:.1}; verification {:.1}, {:.1}; request by ureq {:.1}, {:.1}",
            least[0], median[0], least[1], median[1], least[2], median[2]
        );
    }
    let [misses, verifications, requests] = if median_of(&one[0]) <= median_of(&two[0]) { one } else { two };
    gates.push(Gate::at_most("whole miss, CPU time", "µs", median_of(&misses), 35.0, 60.0));
    let ratio = least(&misses) / (least(&verifications) + least(&requests));
    gates.push(Gate::at_most("least miss / least verification and request", "×", ratio, 1.3, 1.5));
}

fn least(times: &[f64]) -> f64 {
    times.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median_of(times: &[f64]) -> f64 {
    median(times.to_vec())
}

/// Returns the times of misses, of verifications and of requests by `ureq`.
fn sample(library: Library) -> [Vec<f64>; 3] {
    let sim = Sim::start();
    let keys = sim.keys();
    let user = |i: usize| format!("user_2bench{i:021}");
    sim.set_users((0..USERS).map(|i| json!({"id": user(i), "first_name": "Ada", "last_name": "Lovelace"})));
    let pem = keys.pem("k1");
    let (client, verifier) = (sync_client(library, &sim, &pem), library.client(&[("jwt_key", &pem), PARTY], None));
    let agent = ureq::Agent::new_with_defaults();
    let values: Vec<String> = (0..USERS).map(|i| format!("Bearer {}", token(&keys, &user(i)))).collect();
    let mut times = [const { Vec::new() }; 3];
    for (i, value) in values.iter().enumerate() {
        let lines = lines("Authorization", value);
        let round = [
            timed(|| assert_eq!(client.blocking(&lines), CLERK_OK)),
            timed(|| assert_eq!(verifier.cached(&lines), CLERK_OK)),
            timed(|| get(&agent, &format!("{}/v1/users/{}", sim.url(), user(i)))),
        ];
        if i >= WARM_UP {
            times.iter_mut().zip(round).for_each(|(times, time)| times.push(time));
        }
    }
    times
}
