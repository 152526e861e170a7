//! SHA-256 as a C function: the least that a cached result costs, for the benches of the bindings.

#![allow(unsafe_code, reason = "called from C")]

use sha2::{Digest, Sha256};

/// Hashes `len` bytes into 32 bytes.
///
/// # Safety
/// `data` points to `len` readable bytes, `hash` to 32 writable ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn anchor_sha256(data: *const u8, len: usize, hash: *mut [u8; 32]) {
    // SAFETY: the caller's contract.
    unsafe { hash.write(Sha256::digest(std::slice::from_raw_parts(data, len)).into()) }
}
