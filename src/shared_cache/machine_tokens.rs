//! The results of opaque machine tokens that processes share.

use super::entries::WireMachineToken;
use super::seal::EntryKind;
use super::{GENERATION_MARGIN_MS, SharedCache, Unavailable, new_generation};
use crate::api::MachineToken;
use crate::clock::Deadline;
use crate::json::Object;

/// How long the result of a machine token is shared at most.
const MAX_MACHINE_TTL_MS: i64 = 30_000;

/// Which result of a machine token: Clerk's response depends on the secret.
#[derive(Clone, Copy)]
pub(crate) struct MachineTokenId<'a> {
    /// The kind of the token.
    pub kind: &'a str,
    /// The SHA-256 of the token.
    pub hash: &'a [u8; 32],
    /// The SHA-256 of the secret that it is verified with.
    pub verifier: &'a [u8; 32],
}

impl MachineTokenId<'_> {
    fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        let (verifier, hash) = bytes.split_at_mut(32);
        verifier.copy_from_slice(self.verifier);
        hash.copy_from_slice(self.hash);
        bytes
    }
}

/// What the shared cache knows of a machine token.
#[derive(Default)]
pub(crate) struct FoundMachineToken {
    /// The token, and when its verification began.
    pub token: Option<(MachineToken, i64)>,
    /// The generation of the token, for what is stored after a call. `None` if it could not be read: then nothing is stored.
    pub generation: Option<String>,
}

impl SharedCache {
    /// Returns the result of a machine token, and the generation to verify it for.
    pub fn machine_token(&self, id: &MachineTokenId<'_>, deadline: Deadline) -> FoundMachineToken {
        if self.lifetimes.machine_ttl_ms <= 0 {
            return FoundMachineToken::default();
        }
        let results = self.sealer.names(EntryKind::MachineToken, &id.to_bytes());
        let generations = self.generation_names(EntryKind::MachineTokenGeneration, id.hash);
        let keys = [&results[..], &generations].concat();
        let Ok(mut values) = self.get(&keys, deadline) else {
            return FoundMachineToken::default();
        };
        let now_ms = self.clock.now().wall_ms;
        let opened = values.split_off(results.len().min(values.len()));
        let generation = self.open_generation("", &generations, opened, deadline);
        let token = results.iter().zip(values).find_map(|(name, value)| {
            let Object(wire) =
                self.open::<Object<WireMachineToken>>(EntryKind::MachineToken, name, id.kind, &value?)?;
            let verified_at_ms = wire.verified_at_ms.min(now_ms);
            let is_current = generation.as_ref() == Some(&wire.generation);
            wire.into_token(id.kind, now_ms).filter(|_| is_current).map(|token| (token, verified_at_ms))
        });
        FoundMachineToken { token, generation }
    }

    /// Stores the result of a machine token that was verified for this generation.
    pub fn put_machine_token(
        &self,
        id: &MachineTokenId<'_>,
        token: &MachineToken,
        verified_at_ms: i64,
        generation: String,
        deadline: Deadline,
    ) {
        let now_ms = self.clock.now().wall_ms;
        let left_ms = token.expires_at_ms.map_or(i64::MAX, |at| at.saturating_sub(now_ms));
        let age_ms = now_ms.saturating_sub(verified_at_ms);
        let ttl_ms = self.lifetimes.machine_ttl_ms.min(MAX_MACHINE_TTL_MS).saturating_sub(age_ms).min(left_ms);
        let wire = WireMachineToken::new(id.kind, token, verified_at_ms, generation);
        let _ = self.put(EntryKind::MachineToken, &id.to_bytes(), id.kind, &wire, ttl_ms, deadline);
    }

    /// Makes all results of a machine token useless, also those of other secrets and of calls that are running.
    pub fn invalidate_machine_token(&self, hash: &[u8; 32], deadline: Deadline) -> Result<(), Unavailable> {
        let generation = new_generation()?;
        self.put(EntryKind::MachineTokenGeneration, hash, "", &generation, GENERATION_MARGIN_MS, deadline)
    }
}
