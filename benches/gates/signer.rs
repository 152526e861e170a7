//! Signs a million tokens within a minute: an RSA key of 2048 bits with 64 primes of 32 bits. Worthless as a key, but its
//! signatures are verified like any other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

const PRIMES: usize = 64;
const E: u64 = 65_537;
/// `DigestInfo` of SHA-256 (RFC 8017 §9.2).
const DIGEST_INFO: [u8; 19] =
    [0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20];

/// The key. Numbers are little-endian sequences of 32-bit words.
pub struct Signer {
    primes: Vec<u64>,
    /// The private exponent modulo p - 1, by prime.
    exponents: Vec<u64>,
    /// `inverses[i][j]`: the inverse of prime j modulo prime i, for j < i.
    inverses: Vec<Vec<u64>>,
    modulus: Vec<u32>,
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut result = 1;
    base %= modulus;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        exponent >>= 1;
    }
    result
}

fn is_prime(n: u64) -> bool {
    // These bases decide for all n below 2^32.
    let (twos, odd) = ((n - 1).trailing_zeros(), (n - 1) >> (n - 1).trailing_zeros());
    n % 2 == 1
        && [2, 7, 61].iter().all(|base| {
            let mut x = power(*base, odd, n);
            x == 1
                || x == n - 1
                || (1..twos).any(|_| {
                    x = x * x % n;
                    x == n - 1
                })
        })
}

/// Multiplies a number by a word and adds another.
fn multiply_add(number: &mut Vec<u32>, factor: u64, summand: u64) {
    let mut carry = summand;
    for word in number.iter_mut() {
        let value = u64::from(*word) * factor + carry;
        *word = value as u32;
        carry = value >> 32;
    }
    if carry > 0 {
        number.push(carry as u32);
    }
}

fn bytes(number: &[u32]) -> Vec<u8> {
    let mut padded = number.to_vec();
    padded.resize(PRIMES, 0);
    padded.iter().rev().flat_map(|word| word.to_be_bytes()).collect()
}

impl Signer {
    pub fn new() -> Signer {
        // `e` must be invertible modulo p - 1.
        let is_usable = |n: &u64| is_prime(*n) && !(*n - 1).is_multiple_of(E);
        let primes: Vec<u64> = (0..u64::from(u32::MAX)).rev().filter(is_usable).take(PRIMES).collect();
        let exponents =
            primes.iter().map(|p| (1..E).map(|k| 1 + k * (p - 1)).find(|n| n % E == 0).unwrap() / E).collect();
        let inverses =
            (0..PRIMES).map(|i| primes[..i].iter().map(|p| power(*p, primes[i] - 2, primes[i])).collect()).collect();
        let mut modulus = vec![1];
        primes.iter().for_each(|p| multiply_add(&mut modulus, *p, 0));
        Signer { primes, exponents, inverses, modulus }
    }

    /// Returns the public key as a JWK.
    pub fn jwk(&self) -> String {
        let n = URL_SAFE_NO_PAD.encode(bytes(&self.modulus));
        format!(r#"{{"kty":"RSA","alg":"RS256","use":"sig","kid":"bench","n":"{n}","e":"AQAB"}}"#)
    }

    /// Returns the signature by RS256 (RFC 8017 §8.2.1).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut padded = [0xff; 4 * PRIMES];
        padded[..2].copy_from_slice(&[0, 1]);
        padded[204] = 0;
        padded[205..224].copy_from_slice(&DIGEST_INFO);
        padded[224..].copy_from_slice(&Sha256::digest(message));
        let words: Vec<u64> = padded.chunks(4).map(|b| u64::from(u32::from_be_bytes(b.try_into().unwrap()))).collect();
        // Garner's algorithm: the digits of the signature in the mixed radix of the primes.
        let mut digits = [0; PRIMES];
        for (i, p) in self.primes.iter().enumerate() {
            let residue = words.iter().fold(0, |residue, word| ((residue << 32) | word) % p);
            let mut digit = power(residue, self.exponents[i], *p);
            for (known, inverse) in digits[..i].iter().zip(&self.inverses[i]) {
                digit = (digit + p - known % p) % p * inverse % p;
            }
            digits[i] = digit;
        }
        let mut signature = Vec::with_capacity(PRIMES);
        for (digit, p) in digits.iter().zip(&self.primes).rev() {
            multiply_add(&mut signature, *p, *digit);
        }
        bytes(&signature)
    }
}
