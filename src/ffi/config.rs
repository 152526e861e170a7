//! `clerk_config`: the settings of a client to be.

use std::sync::Arc;

use super::events::{ClockHook, EventHook, LogHook};
use super::user_store::StoreChoice;
use super::{CLERK_E_PANIC, CLERK_OK, clerk_error, clerk_str, exclusive, guard, strings};
use crate::config::{Config, ConfigError};
use crate::events::Level;
use crate::users::Schema;

/// Settings and hooks, to make clients from. One thread at a time. A client copies it: the caller frees it.
#[derive(Default)]
pub struct clerk_config {
    pub(crate) config: Config,
    pub(crate) store: StoreChoice,
    pub(crate) schema: Schema,
    pub(crate) event: Option<Arc<EventHook>>,
    pub(crate) log: Option<(Level, Arc<LogHook>)>,
    pub(crate) clock: Option<Arc<ClockHook>>,
}

/// The defaults. Free it with `clerk_config_free`. NULL only when the library itself is at fault.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_config_new() -> *mut clerk_config {
    guard(std::ptr::null_mut(), || Box::into_raw(Box::default()))
}

/// Frees a config. NULL is fine. Clients made from it live on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_free(config: *mut clerk_config) {
    guard((), || {
        if !config.is_null() {
            // SAFETY: it was made by `clerk_config_new` and is freed once.
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
    guard(CLERK_E_PANIC, || {
        // SAFETY: handed on.
        unsafe { strings::clear(error) };
        // SAFETY: handed on.
        match unsafe { exclusive(config) }.and_then(|config| body(&mut config.config)) {
            Ok(Ok(())) => CLERK_OK,
            // SAFETY: handed on.
            Ok(Err(why)) => unsafe { clerk_error::from(&why).give(error) },
            Err(status) => status,
        }
    })
}

/// Sets any setting by its name; the README lists them all. Lists are separated by commas, an empty value clears an
/// optional setting. Everything is copied. `*error`, if wanted, names the setting and says what to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set(
    config: *mut clerk_config,
    name: clerk_str,
    value: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { change(config, error, |config| Ok(config.set(name.text()?, value.text()?))) }
}

/// Sets a number (or, with 0 and 1, a yes-or-no) by its name. Otherwise as `clerk_config_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_int(
    config: *mut clerk_config,
    name: clerk_str,
    value: i64,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { change(config, error, |config| Ok(config.set_int(name.text()?, value))) }
}

/// Adds one item to a list by its name; the item may hold commas. Otherwise as `clerk_config_set`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_add(
    config: *mut clerk_config,
    name: clerk_str,
    item: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { change(config, error, |config| Ok(config.add(name.text()?, item.text()?))) }
}

/// Takes over every setting whose environment variable is set and not empty (the README lists them). The environment
/// is read only here. Must not run while another thread calls `setenv`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_from_env(config: *mut clerk_config, error: *mut *mut clerk_error) -> i32 {
    // SAFETY: the header's rules.
    unsafe { change(config, error, |config| Ok(config.from_env())) }
}
