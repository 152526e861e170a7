//! DER and PEM: reads the numbers of an RSA private key, writes RSA public keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
/// `rsaEncryption` with its NULL parameter, as AlgorithmIdentifier.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The numbers of an RSA private key, big-endian without leading zeros.
pub struct RsaNumbers {
    /// Modulus
    pub n: Vec<u8>,
    /// Public exponent
    pub e: Vec<u8>,
    /// Private exponent
    pub d: Vec<u8>,
}

/// Splits off the first element: its tag, its content, the rest.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (digits, after) = rest.split_at(count);
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = after;
    }
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// Reads an RSA private key in PKCS#8; `None` if it is not one.
pub fn rsa_numbers(pkcs8: &[u8]) -> Option<RsaNumbers> {
    let (outer, _) = expect(SEQUENCE, pkcs8)?;
    let (_version, rest) = expect(INTEGER, outer)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (inner, _) = expect(OCTET_STRING, rest)?;
    let (fields, _) = expect(SEQUENCE, inner)?;
    let (_version, rest) = expect(INTEGER, fields)?;
    let (n, rest) = expect(INTEGER, rest)?;
    let (e, rest) = expect(INTEGER, rest)?;
    let (d, _) = expect(INTEGER, rest)?;
    let unsigned = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
    Some(RsaNumbers { n: unsigned(n), e: unsigned(e), d: unsigned(d) })
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

fn integer(number: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(number.len() + 1);
    // A leading 1 bit would make it negative.
    if number.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.push(0);
    }
    content.extend_from_slice(number);
    wrap(INTEGER, &content)
}

/// Returns the RSAPublicKey of PKCS#1.
pub fn rsa_public_pkcs1(n: &[u8], e: &[u8]) -> Vec<u8> {
    wrap(SEQUENCE, &[integer(n), integer(e)].concat())
}

/// Returns the SubjectPublicKeyInfo of an RSA key.
pub fn rsa_public_spki(n: &[u8], e: &[u8]) -> Vec<u8> {
    let bits = [vec![0], rsa_public_pkcs1(n, e)].concat();
    wrap(SEQUENCE, &[RSA_ALGORITHM.to_vec(), wrap(BIT_STRING, &bits)].concat())
}

/// Returns PEM with lines of 64 characters and a final newline.
pub fn to_pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        out.extend(line.iter().map(|byte| char::from(*byte)));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Returns the bytes of the first PEM block.
pub fn from_pem(pem: &str) -> Option<Vec<u8>> {
    let mut encoded = String::new();
    for line in pem.lines().skip_while(|line| !line.starts_with("-----BEGIN ")).skip(1) {
        if line.starts_with("-----END ") {
            return STANDARD.decode(encoded).ok();
        }
        encoded.push_str(line.trim());
    }
    None
}
