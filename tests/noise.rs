//! What unauthenticated clients cost: calls to Clerk, threads, open circuits, and waiting time of known callers.

#[path = "noise/circuits.rs"]
mod circuits;
mod common;
#[path = "noise/jwks.rs"]
mod jwks;
#[path = "noise/opaque.rs"]
mod opaque;
#[path = "noise/rotation.rs"]
mod rotation;
