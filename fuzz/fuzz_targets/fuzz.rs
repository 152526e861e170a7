//! The one binary of all targets: the variable `FUZZ_TARGET` selects one.
#![no_main]

libfuzzer_sys::fuzz_target!(init: clerk_fuzz::begin(), |data: &[u8]| clerk_fuzz::run(data));
