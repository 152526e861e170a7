//! Many cached tokens: what a hit costs among them, what an entry takes in memory, and how hits scale with threads.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clerk_auth::internals::ffi::{CLERK_OK, clerk_header, clerk_str};

use crate::library::{Client, Library, to_str};
use crate::sample::{PARTY, lines, signing_input};
use crate::signer::Signer;
use crate::slices::{Slices, interleave, median};

const THREADS: usize = 2;
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
    /// Hits a second with one, two, four and eight threads.
    pub throughput: [f64; 4],
}

pub fn measure(library: Library, entries: usize) -> Growth {
    let signer = Signer::new();
    let jwk = signer.jwk();
    let capacity = entries.to_string();
    let settings = [("jwt_key", jwk.as_str()), PARTY, ("cache_ttl_s", "3600"), ("cache_capacity", &capacity)];
    let client = library.client(&settings, None);
    let mut values = vec![String::new(); entries];
    let chunk = entries.div_ceil(THREADS);
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
        let slices = hits_among(&client, &alone, &values[..inserted]);
        let [alone_ns, memory_ns, buffer_ns, copy_ns] = [0, 1, 2, 3].map(|i| slices.ns(i));
        println!(
            "{inserted} entries: hit of the only token {alone_ns:.0} ns; random hit {:.0} ns; if its bytes come from memory, too, {memory_ns:.0} ns",
            buffer_ns - copy_ns
        );
        hits.push((inserted, buffer_ns - copy_ns));
        hit_ratio = slices.ratio_without(2, 3, 0);
    }
    let entry_bytes = (resident() - before) as f64 / entries as f64;
    let payload = values[0].split('.').nth(1).unwrap();
    let hot = &values[..HOT.min(entries)];
    Growth {
        hit_ratio,
        hits,
        entry_bytes,
        payload_bytes: (payload.len() * 3 / 4) as f64,
        throughput: throughput(&client, hot),
    }
}

/// Measures in turn: a hit of the only entry; a random hit; a random hit of a token that was copied to a buffer, as a server has
/// just received it; and that copy alone. The bytes of a million tokens are a gigabyte, which no server reads from memory.
fn hits_among(client: &Client, alone: &Client, values: &[String]) -> Slices {
    let single = lines("Authorization", &values[0]);
    let mut requests = [single.clone(), single.clone()];
    let [request, received] = &mut requests;
    let (mut from_memory, mut from_buffer, mut copies) = (Random(1), Random(2), Random(3));
    let (mut buffer, mut other) = (vec![0; 4096], vec![0; 4096]);
    interleave(
        vec![
            Box::new(|n| (0..n).for_each(|_| _ = black_box(alone.cached(&single)))),
            Box::new(|n| {
                for _ in 0..n {
                    request[10].value = to_str(from_memory.of(values));
                    black_box(client.cached(request));
                }
            }),
            Box::new(|n| {
                for _ in 0..n {
                    received[10].value = receive(from_buffer.of(values), &mut buffer);
                    black_box(client.cached(received));
                }
            }),
            Box::new(|n| (0..n).for_each(|_| _ = black_box(receive(copies.of(values), &mut other)))),
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

/// Returns hits a second with one, two, four and eight threads. They take turns; of each the upper fifth of the ticks counts,
/// because other processes can only take time away.
fn throughput(client: &Client, hot: &[String]) -> [f64; 4] {
    let requests: Vec<Vec<clerk_header>> = hot.iter().map(|value| lines("Authorization", value)).collect();
    let requests = Requests(requests);
    let counts = [1, 2, 4, 8];
    let mut ticks: [Vec<f64>; 4] = Default::default();
    for _ in 0..TICKS {
        for (ticks, threads) in ticks.iter_mut().zip(counts) {
            ticks.push(tick(client, &requests, threads));
        }
    }
    ticks.map(|mut ticks| {
        ticks.sort_unstable_by(f64::total_cmp);
        median(ticks.split_off(TICKS * 4 / 5))
    })
}

struct Requests(Vec<Vec<clerk_header>>);

// SAFETY: the strings that the lines point to outlive all threads and do not change.
unsafe impl Sync for Requests {}

fn tick(client: &Client, requests: &Requests, threads: usize) -> f64 {
    let (stop, hits, barrier) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(threads + 1));
    let elapsed = std::thread::scope(|scope| {
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
        let begun = Instant::now();
        std::thread::sleep(TICK);
        stop.store(true, Ordering::Relaxed);
        begun.elapsed()
    });
    hits.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64()
}
