//! `clerk_config`: the settings and callbacks of future clients.

use std::sync::Arc;

use super::events::{ClockCallback, EventCallback, LogCallback};
use super::user_store::StoreChoice;
use super::{CLERK_OK, as_mut, clerk_error, clerk_str, guard, report};
use crate::config::{Config, ConfigError};
use crate::events::Level;
use crate::shared_cache::Engine;
use crate::users::Schema;

/// Settings and callbacks to create clients from. One thread at a time. A client copies it; the caller frees it.
#[derive(Default)]
pub struct clerk_config {
    pub(crate) config: Config,
    pub(crate) store: StoreChoice,
    pub(crate) schema: Schema,
    pub(crate) event: Option<Arc<EventCallback>>,
    pub(crate) log: Option<(Level, Arc<LogCallback>)>,
    pub(crate) clock: Option<Arc<ClockCallback>>,
    pub(crate) engine: Option<Arc<dyn Engine>>,
}

/// Creates a config with all settings at their defaults.
///
/// Returns the config, which the caller frees with `clerk_config_free`; NULL after an internal error. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_config_new() -> *mut clerk_config {
    guard(std::ptr::null_mut(), || Box::into_raw(Box::default()))
}

/// Frees a config. NULL is ignored. Clients created from it stay valid. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_free(config: *mut clerk_config) {
    guard((), || {
        if !config.is_null() {
            // SAFETY: made by `clerk_config_new`, freed once.
            drop(unsafe { Box::from_raw(config) });
        }
    });
}

/// # Safety
/// As for the exported functions.
unsafe fn change(
    config: *mut clerk_config,
    error: *mut *mut clerk_error,
    body: impl FnOnce(&mut Config) -> Result<Result<(), ConfigError>, i32>,
) -> i32 {
    // SAFETY: same contract as the caller.
    unsafe {
        report(error, || {
            body(&mut as_mut(config)?.config)??;
            Ok(CLERK_OK)
        })
    }
}

/// Sets a setting by its name. The README lists all settings.
///
/// Items of a list are separated by commas. An empty value clears an optional setting. Both strings are copied.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` for an unknown name or an invalid
/// value. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set(
    config: *mut clerk_config,
    name: clerk_str,
    value: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { change(config, error, |config| Ok(config.set(name.to_str()?, value.to_str()?))) }
}

/// Sets an integer setting by its name. A boolean setting takes 0 or 1.
///
/// Returns as `clerk_config_set` does. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_int(
    config: *mut clerk_config,
    name: clerk_str,
    value: i64,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { change(config, error, |config| Ok(config.set_int(name.to_str()?, value))) }
}

/// Appends one item to a list setting by its name. The item may contain commas.
///
/// Returns as `clerk_config_set` does. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_add(
    config: *mut clerk_config,
    name: clerk_str,
    item: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { change(config, error, |config| Ok(config.add(name.to_str()?, item.to_str()?))) }
}

/// Sets every setting whose environment variable is set and not empty. The README lists the variables.
///
/// No other function reads settings from the environment. Must not run while another thread calls `setenv`.
///
/// Returns as `clerk_config_set` does. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_from_env(config: *mut clerk_config, error: *mut *mut clerk_error) -> i32 {
    // SAFETY: the header's contract.
    unsafe { change(config, error, |config| Ok(config.from_env())) }
}
