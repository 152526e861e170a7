//! Seals entries of the shared cache and names their keys: access to the engine discloses no id and makes no entry.
//!
//! An entry is `version ‖ key id ‖ nonce ‖ ciphertext ‖ tag` of AES-256-GCM-SIV. It is bound to its full key name, the version and
//! the instance, so that it cannot be moved to another key.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::engine::MAX_VALUE_LEN;
use crate::config::Secret;

/// The largest number of secrets.
pub const MAX_SECRETS: usize = 2;
/// The version of the format; part of each key name and each entry.
const VERSION: u8 = 1;
const HEADER_LEN: usize = 2 + NONCE_LEN;
const CONTEXT: &[u8] = b"clerk-auth shared cache v1";

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The snapshot of a user.
    User,
    /// The number that each invalidation of a user replaces.
    Generation,
    /// The right to fetch a user.
    Lease,
    /// The revocation of a user by the application.
    UserRevocation,
    /// The deletion of a user.
    UserDeletion,
    /// The ban of a user.
    UserBan,
    /// The end of a user's ban.
    UserBanEnd,
    /// The revocation of a session.
    SessionRevocation,
    /// The result of an opaque machine token.
    MachineToken,
    /// The number that each invalidation of a machine token replaces.
    MachineTokenGeneration,
    /// The JWK set.
    Jwks,
    /// A webhook delivery that was shared.
    Delivery,
}

impl EntryKind {
    fn suffix(self) -> &'static str {
        match self {
            EntryKind::User => "u",
            EntryKind::Generation => "g",
            EntryKind::Lease => "l",
            EntryKind::UserRevocation => "x",
            EntryKind::UserDeletion => "d",
            EntryKind::UserBan => "b",
            EntryKind::UserBanEnd => "e",
            EntryKind::SessionRevocation => "s",
            EntryKind::MachineToken => "m",
            EntryKind::MachineTokenGeneration => "t",
            EntryKind::Jwks => "k",
            EntryKind::Delivery => "w",
        }
    }
}

/// The keys that one secret makes.
struct Keys {
    id: u8,
    seal: RandomizedNonceKey,
    names: hmac::Key,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    fn new(secret: &Secret) -> Option<Self> {
        let key = Salt::new(HKDF_SHA256, CONTEXT).extract(secret.expose().as_bytes());
        let derive = |purpose: &'static [u8], length| {
            let mut bytes = Zeroizing::new(vec![0; length]);
            key.expand(&[purpose], Length(length)).and_then(|okm| okm.fill(&mut bytes)).ok().map(|()| bytes)
        };
        Some(Keys {
            id: *derive(b"id", 1)?.first()?,
            seal: RandomizedNonceKey::new(&AES_256_GCM_SIV, &derive(b"seal", 32)?).ok()?,
            names: hmac::Key::new(hmac::HMAC_SHA256, &derive(b"names", 32)?),
        })
    }
}

/// Seals, opens and names entries with one secret, or with two while it is rotated: the first seals, both open.
pub struct Sealer {
    keys: Vec<Keys>,
    /// Of the instance, in hexadecimal.
    instance: String,
}

impl Sealer {
    /// Returns `None` without a secret. `instance` is what processes of one Clerk instance have in common.
    pub fn new(secrets: &[Secret], instance: &str) -> Option<Self> {
        let keys: Option<Vec<_>> = secrets.iter().take(MAX_SECRETS).map(Keys::new).collect();
        let digest = Sha256::digest(instance.as_bytes());
        let instance = hex(digest.get(..8)?);
        keys.filter(|keys| !keys.is_empty()).map(|keys| Sealer { keys, instance })
    }

    /// Returns the name of an entry under each secret, the one to write first.
    pub fn names(&self, kind: EntryKind, id: &[u8]) -> Vec<String> {
        // A user and a session share no name even if their ids were equal; entries of one user share a cluster slot.
        let domain: &[u8] = match kind {
            EntryKind::SessionRevocation => b"session\0",
            EntryKind::MachineToken | EntryKind::MachineTokenGeneration => b"token\0",
            EntryKind::Jwks => b"jwks\0",
            _ => b"user\0",
        };
        let name = |keys: &Keys| {
            let mut context = hmac::Context::with_key(&keys.names);
            context.update(domain);
            context.update(id);
            let tag = context.sign();
            let hash = hex(tag.as_ref().get(..16).unwrap_or_default());
            format!("ck{VERSION}:{}:{{{hash}}}:{}", self.instance, kind.suffix())
        };
        self.keys.iter().map(name).collect()
    }

    /// Returns the name of the stream of revocations and invalidations.
    pub fn stream(&self) -> String {
        format!("ck{VERSION}:{}:inv", self.instance)
    }

    fn associated_data(&self, name: &str) -> Vec<u8> {
        [name.as_bytes(), &[0, VERSION], self.instance.as_bytes()].concat()
    }

    /// Seals an entry for its name. Returns `None` if it is too long.
    pub fn seal(&self, name: &str, plaintext: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.first()?;
        if plaintext.len() > MAX_VALUE_LEN - HEADER_LEN - MAX_TAG_LEN {
            return None;
        }
        let mut body = plaintext.to_vec();
        let nonce = keys.seal.seal_in_place_append_tag(Aad::from(self.associated_data(name)), &mut body).ok()?;
        Some([&[VERSION, keys.id][..], nonce.as_ref(), &body].concat())
    }

    /// Opens an entry. Returns `None` unless it was sealed for this name and this instance.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() > MAX_VALUE_LEN {
            return None;
        }
        let (header, body) = sealed.split_at_checked(HEADER_LEN)?;
        let (&[version, id], nonce) = header.split_first_chunk()?;
        if version != VERSION {
            return None;
        }
        let of_key = |keys: &Keys| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut body = body.to_vec();
            let length = keys.seal.open_in_place(nonce, Aad::from(self.associated_data(name)), &mut body).ok()?.len();
            body.truncate(length);
            Some(body)
        };
        self.keys.iter().filter(|keys| keys.id == id).find_map(of_key)
    }
}

// Neither keys nor secrets are shown.
impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("secrets", &self.keys.len()).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::engine::MAX_KEY_LEN;
    use super::*;

    fn sealer(secrets: &[&str], instance: &str) -> Sealer {
        Sealer::new(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>(), instance).unwrap()
    }

    #[test]
    fn entry_opens_under_its_own_name_and_instance_only() {
        let (own, other) = (sealer(&["one"], "ins_1"), sealer(&["one"], "ins_2"));
        let [name, second] = ["user_1", "user_2"].map(|id| own.names(EntryKind::User, id.as_bytes())[0].clone());
        let sealed = own.seal(&name, b"Ada").unwrap();
        assert_eq!(own.open(&name, &sealed).as_deref(), Some(&b"Ada"[..]));
        assert_eq!((own.open(&second, &sealed), other.open(&name, &sealed)), (None, None));
        assert_eq!(sealer(&["two"], "ins_1").open(&name, &sealed), None);
        assert_ne!(own.seal(&name, b"Ada").unwrap(), sealed, "a nonce of its own");
    }

    #[test]
    fn changed_or_truncated_entry_does_not_open() {
        let sealer = sealer(&["one"], "ins_1");
        let sealed = sealer.seal("name", b"content").unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(sealer.open("name", &changed), None, "bit {bit} of byte {at}");
            }
            assert_eq!(sealer.open("name", &sealed[..at]), None);
        }
        assert_eq!(sealer.open("name", &[&sealed[..], b"x"].concat()), None);
        assert_eq!(sealer.open("name", &vec![1; MAX_VALUE_LEN + 1]), None);
        assert_eq!(sealer.seal("name", &vec![1; MAX_VALUE_LEN]), None);
        let longest = MAX_VALUE_LEN - HEADER_LEN - MAX_TAG_LEN;
        assert_eq!(sealer.seal("name", &vec![1; longest]).unwrap().len(), MAX_VALUE_LEN);
    }

    #[test]
    fn rotation_opens_both_secrets_and_seals_with_the_first() {
        let [old, both, new] = [&["old"][..], &["new", "old"], &["new"]].map(|secrets| sealer(secrets, "ins_1"));
        let before = old.seal("name", b"1").unwrap();
        assert_eq!((both.open("name", &before), new.open("name", &before)), (Some(b"1".to_vec()), None));
        let after = both.seal("name", b"2").unwrap();
        assert_eq!((old.open("name", &after), new.open("name", &after)), (None, Some(b"2".to_vec())));
        let names = both.names(EntryKind::User, b"user_1");
        assert_eq!(names, [new.names(EntryKind::User, b"user_1"), old.names(EntryKind::User, b"user_1")].concat());
        assert_eq!(both.stream(), old.stream());
    }

    #[test]
    fn names_hide_ids_and_fit_every_engine() {
        let sealer = sealer(&["one"], "ins_1");
        let kinds = [
            EntryKind::User,
            EntryKind::Generation,
            EntryKind::Lease,
            EntryKind::UserRevocation,
            EntryKind::UserDeletion,
            EntryKind::UserBan,
            EntryKind::UserBanEnd,
            EntryKind::SessionRevocation,
            EntryKind::MachineToken,
            EntryKind::MachineTokenGeneration,
            EntryKind::Jwks,
            EntryKind::Delivery,
        ];
        let mut names: Vec<_> = kinds.iter().flat_map(|kind| sealer.names(*kind, b"user_1")).collect();
        for name in &names {
            assert!(name.len() <= MAX_KEY_LEN && name.starts_with("ck1:") && !name.contains("user_1"), "{name}");
        }
        let slot = |name: &str| name.split(['{', '}']).nth(1).unwrap().to_owned();
        assert!((1..7).all(|at| slot(&names[0]) == slot(&names[at])));
        assert_ne!(slot(&names[0]), slot(&names[7]));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), kinds.len());
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", sealer(&["hidden"], "ins_1")), "Sealer { secrets: 1, .. }");
    }
}
