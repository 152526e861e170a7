//! Many cached tokens: what a hit costs among them, what an entry takes in memory, and how hits scale with threads.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_auth::internals::ffi::{CLERK_OK, clerk_header, clerk_str};

use crate::library::{Client, Library, to_str};
use crate::sample::{PARTY, lines, signing_input};
use crate::signer::Signer;
use crate::slices::{Slices, interleave, median, process_time};

/// Threads that sign and insert.
const WORKERS: usize = 2;
/// The numbers of threads whose throughput is measured.
pub const THREADS: [usize; 4] = [1, 2, 4, 8];
/// A tick counts if its threads had this share of the CPU time that they could have had: other processes took nearly none of it.
const MIN_SHARE: f64 = 0.96;
const MIN_TICKS: usize = 8;
const HOT: usize = 10_000;
/// Ticks of a measurement of throughput.
const TICK: Duration = Duration::from_millis(20);
const TICKS: usize = 40;

pub struct Growth {
    /// A random hit among all entries over a hit of the only one.
    pub hit_ratio: f64,
    /// Nanoseconds of a random hit, by the number of entries.
    pub hits: Vec<(usize, f64)>,
    pub entry_bytes: f64,
    pub payload_bytes: f64,
    /// Hits a second, by [`THREADS`]; `None` if the machine was not idle.
    pub throughput: [Option<f64>; 4],
}

pub fn measure(library: Library, entries: usize) -> Growth {
    let signer = Signer::new();
    let jwk = signer.jwk();
    // Hashes spread tokens over the shards unevenly: a little more than their number, so that none is evicted.
    let capacity = (entries + entries / 60 + 1000).to_string();
    let settings = [("jwt_key", jwk.as_str()), PARTY, ("cache_ttl_s", "3600"), ("cache_capacity", &capacity)];
    let client = library.client(&settings, None);
    let mut values = vec![String::new(); entries];
    let chunk = entries.div_ceil(WORKERS);
    in_chunks(&mut values, chunk, |first, values| {
        values.iter_mut().enumerate().for_each(|(i, value)| *value = format!("Bearer {}", token(&signer, first + i)));
    });
    let before = resident();
    let alone = library.client(&settings, None);
    let single = lines("Authorization", &values[0]);
    assert_eq!(alone.cached(&single), CLERK_OK);
    let (mut inserted, mut hit_ratio, mut hits) = (0, 0.0, Vec::new());
    for stage in [1, 1000, 100_000, entries] {
        let stage = stage.clamp(inserted, entries);
        in_chunks(&mut values[inserted..stage], chunk, |_, values| {
            // Each token is verified and inserted.
            values.iter().for_each(|value| assert_eq!(client.cached(&lines("Authorization", value)), CLERK_OK));
        });
        inserted = stage;
        let slices = client.hits_only(|| alone.hits_only(|| hits_among(&client, &alone, &values[..inserted])));
        let [warm_ns, alone_ns, random_ns, memory_ns] = [0, 1, 2, 3].map(|i| slices.ns(i));
        println!(
            "{inserted} entries: hit of the only token over and over {warm_ns:.0} ns; after the copy of a random token, both included, \
             {alone_ns:.0} ns; hit of the token that was copied {random_ns:.0} ns; of one that is read from memory {memory_ns:.0} ns"
        );
        hits.push((inserted, warm_ns + random_ns - alone_ns));
        hit_ratio = slices.ratio_with_excess(2, 1, 0);
    }
    let entry_bytes = (resident() - before) as f64 / entries as f64;
    let payload = values[0].split('.').nth(1).unwrap();
    let hot = &values[..HOT.min(entries)];
    Growth {
        hit_ratio,
        hits,
        entry_bytes,
        payload_bytes: (payload.len() * 3 / 4) as f64,
        throughput: client.hits_only(|| throughput(&client, hot)),
    }
}

/// Measures in turn: the hit of the only entry; the copy of a random token to a buffer, as a server has just received it, and the
/// hit of the only entry; the same copy and the hit of the token that was copied; and the hit of a random token that is read
/// from memory, a gigabyte that no server reads. What the third takes more than the second is what the entries cost.
fn hits_among(client: &Client, alone: &Client, values: &[String]) -> Slices {
    let single = lines("Authorization", &values[0]);
    let mut requests = [single.clone(), single.clone()];
    let [received, request] = &mut requests;
    let mut random = [1, 2, 3].map(Random);
    let [beside, from_buffer, from_memory] = &mut random;
    let mut buffers = [[0; 4096]; 2];
    let [other, buffer] = &mut buffers;
    interleave(
        vec![
            Box::new(|n| (0..n).for_each(|_| _ = black_box(alone.cached(&single)))),
            Box::new(|n| {
                for _ in 0..n {
                    black_box(receive(beside.of(values), other));
                    black_box(alone.cached(&single));
                }
            }),
            Box::new(|n| {
                for _ in 0..n {
                    received[10].value = receive(from_buffer.of(values), buffer);
                    black_box(client.cached(received));
                }
            }),
            Box::new(|n| {
                for _ in 0..n {
                    request[10].value = to_str(from_memory.of(values));
                    black_box(client.cached(request));
                }
            }),
        ],
        400,
    )
}

fn in_chunks(values: &mut [String], chunk: usize, work: impl Fn(usize, &mut [String]) + Sync) {
    std::thread::scope(|scope| {
        for (i, values) in values.chunks_mut(chunk).enumerate() {
            let work = &work;
            scope.spawn(move || work(i * chunk, values));
        }
    });
}

/// Signs the token of a user.
fn token(signer: &Signer, number: usize) -> String {
    let input = signing_input("bench", &format!("user_2bench{number:021}"), number);
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// Copies a header value to where a server has just received it.
fn receive(value: &str, buffer: &mut [u8]) -> clerk_str {
    buffer[..value.len()].copy_from_slice(value.as_bytes());
    clerk_str { data: buffer.as_ptr().cast(), len: value.len() }
}

struct Random(u64);

impl Random {
    fn of<'a>(&mut self, values: &'a [String]) -> &'a str {
        self.0 = next(self.0);
        &values[(self.0 >> 33) as usize % values.len()]
    }
}

/// A linear congruential generator (Knuth's constants).
fn next(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

/// Returns the resident memory of this process in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Returns hits a second, by [`THREADS`]. They take turns.
fn throughput(client: &Client, hot: &[String]) -> [Option<f64>; 4] {
    let requests: Vec<Vec<clerk_header>> = hot.iter().map(|value| lines("Authorization", value)).collect();
    let requests = Requests(requests);
    let mut ticks: [Vec<f64>; 4] = Default::default();
    for _ in 0..TICKS {
        for (ticks, threads) in ticks.iter_mut().zip(THREADS) {
            ticks.extend(tick(client, &requests, threads));
        }
    }
    ticks.map(|ticks| (ticks.len() >= MIN_TICKS).then(|| median(ticks)))
}

struct Requests(Vec<Vec<clerk_header>>);

// SAFETY: the strings that the lines point to outlive all threads and do not change.
unsafe impl Sync for Requests {}

/// Returns hits a second, or `None` if other processes ran as well.
fn tick(client: &Client, requests: &Requests, threads: usize) -> Option<f64> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let (stop, hits, barrier) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(threads + 1));
    let (elapsed, used) = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (stop, hits, barrier) = (&stop, &hits, &barrier);
            scope.spawn(move || {
                let (mut at, mut count) = (thread as u64 + 1, 0);
                barrier.wait();
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..10 {
                        at = next(at);
                        black_box(client.cached(&requests.0[(at >> 33) as usize % requests.0.len()]));
                    }
                    count += 10;
                }
                hits.fetch_add(count, Ordering::Relaxed);
            });
        }
        barrier.wait();
        let (begun, used) = (Instant::now(), process_time());
        std::thread::sleep(TICK);
        stop.store(true, Ordering::Relaxed);
        (begun.elapsed(), process_time() - used)
    });
    let share = used.as_secs_f64() / (elapsed.as_secs_f64() * threads.min(cores) as f64);
    (share >= MIN_SHARE).then(|| hits.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64())
}
