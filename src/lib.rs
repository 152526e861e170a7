//! clerk-auth tells a server who is calling.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod cache;
pub mod clock;
pub mod config;
pub mod jwt;
pub mod keys;
pub mod reason;
pub mod request;
pub mod token;
pub mod users;
