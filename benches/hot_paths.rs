//! The two hot paths, each with its lower bound, on the same token: a cache hit and SHA-256 of the token; a verification
//! without cache and one RSA-2048 verification by aws-lc.

#![allow(unsafe_code, reason = "a global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clerk_auth::{Client, Request};
use clerk_sim::{KeyStore, TokenSpec};
use criterion::{Criterion, criterion_group, criterion_main};
use sha2::{Digest, Sha256};

/// Counts the bytes that are in use, to measure what a cached token costs.
struct Counting;

static IN_USE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is forwarded to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: same contract as the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: same contract as the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HEADERS: [(&str, &str); 10] = [
    ("Host", "app.example.com"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "application/json"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Content-Type", "application/json"),
    ("Origin", "https://app.example.com"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("X-Request-Id", "7d1f3b1e-9c5e-4f57-9f6e-0d1a2b3c4d5e"),
];

fn token(keys: &KeyStore) -> String {
    token_of(keys, "user_2bench00000000000000000000001")
}

fn token_of(keys: &KeyStore, user: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let spec = TokenSpec::session(user).exp_in(3600);
    spec.mint(keys, "k1", now as i64).unwrap()
}

fn client(pem: &str, cache_ttl_s: u32) -> Client {
    let builder = Client::builder().jwt_key(pem).cache_ttl_s(cache_ttl_s);
    builder.authorized_parties(["https://app.example.com"]).build().unwrap()
}

fn request<'a>(name: &str, value: &'a str) -> Request<'a> {
    let mut request = Request::new();
    for (name, value) in HEADERS {
        request.header(name.as_bytes(), value.as_bytes());
    }
    request.header(name.as_bytes(), value.as_bytes());
    request
}

fn benches(c: &mut Criterion) {
    let keys = KeyStore::built_in();
    let pem = keys.pem("k1");
    let token = token(&keys);
    let bearer = format!("Bearer {token}");
    let cookie = format!("{}; __session={token}; theme=dark", "a".repeat(200));
    println!("token: {} bytes", token.len());

    let mut group = c.benchmark_group("cached");
    group.bench_function("limit: sha256 of the token", |b| b.iter(|| Sha256::digest(black_box(token.as_bytes()))));
    let warm = client(&pem, 300);
    for (name, header, value) in [("hit, header", "Authorization", &bearer), ("hit, cookie", "Cookie", &cookie)] {
        assert!(warm.authenticate_cached(&request(header, value)).unwrap().identity().is_some());
        group.bench_function(name, |b| b.iter(|| warm.authenticate_cached(&request(header, black_box(value)))));
    }
    group.finish();

    let mut group = c.benchmark_group("cold");
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let der = pem.lines().filter(|line| !line.starts_with("--")).collect::<String>();
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, STANDARD.decode(der).unwrap()).unwrap();
    group.bench_function("limit: RSA-2048 by aws-lc", |b| {
        b.iter(|| key.verify_sig(black_box(signing_input.as_bytes()), &signature).unwrap());
    });
    let cold = client(&pem, 0);
    group.bench_function("verification", |b| {
        b.iter(|| cold.authenticate_cached(&request("Authorization", black_box(&bearer))));
    });
    group.finish();

    memory(&keys, &pem);
}

/// Prints the bytes in use per cached token, including claims and overhead.
fn memory(keys: &KeyStore, pem: &str) {
    const TOKENS: usize = 500;
    let client = client(pem, 300);
    let tokens: Vec<String> = (0..TOKENS).map(|i| token_of(keys, &format!("user_2bench{i:022}"))).collect();
    let before = IN_USE.load(Ordering::Relaxed);
    for token in &tokens {
        let bearer = format!("Bearer {token}");
        assert!(client.authenticate_cached(&request("Authorization", &bearer)).unwrap().identity().is_some());
    }
    let bytes = IN_USE.load(Ordering::Relaxed) - before;
    println!("memory per cached token: {} bytes, claims included", bytes / TOKENS as isize);
}

criterion_group! {
    name = hot_paths;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = benches
}
criterion_main!(hot_paths);
