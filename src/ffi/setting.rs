//! `clerk_setting`: the description of a setting.

use std::ffi::CStr;

use super::{CLERK_E_NOT_FOUND, CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_STRUCT_SIZE, CLERK_OK, clerk_str, guard};
use crate::config::{Group, Kind, SETTINGS, Setting};

/// The type of a setting's value.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_setting_type {
    /// A UTF-8 string.
    STRING = 1,
    /// Strings, separated by commas; `clerk_config_add` appends one.
    LIST = 2,
    /// An integer from `minimum` to `maximum`; `clerk_config_set_int` takes it as a number.
    INTEGER = 3,
    /// "true" or "false"; 1 or 0 for `clerk_config_set_int`.
    BOOLEAN = 4,
    /// One of the allowed values.
    ENUMERATION = 5,
    /// One or more of the allowed values, separated by commas.
    ENUMERATION_SET = 6,
}

/// The description of a setting. The strings are static and followed by a NUL byte; `data` is NULL where there is none.
#[repr(C)]
pub struct clerk_setting {
    /// `sizeof(clerk_setting)`, set by the caller.
    pub struct_size: u32,
    /// A `clerk_setting_type`.
    pub value_type: i32,
    /// The name that `clerk_config_set` takes.
    pub name: clerk_str,
    /// The group of the README's table, such as "token_checks".
    pub group: clerk_str,
    /// The default, as `clerk_config_set` takes it.
    pub default_value: clerk_str,
    /// The smallest value of an `INTEGER`, else 0.
    pub minimum: i64,
    /// The largest value of an `INTEGER`, else 0.
    pub maximum: i64,
    /// The variable that `clerk_config_from_env` reads.
    pub environment: clerk_str,
    /// The allowed values of an `ENUMERATION` or `ENUMERATION_SET`, separated by commas.
    pub allowed_values: clerk_str,
    /// The description, in one line of Markdown.
    pub description: clerk_str,
    /// 1 if the value must not be shown, else 0.
    pub is_secret: i32,
    /// 0.
    pub reserved: u32,
}

type Joined = [u8; 96];

/// Joins names with commas, NUL bytes behind the last. Longer lists do not compile.
const fn joined(names: &[&str]) -> Joined {
    let mut bytes = [0; size_of::<Joined>()];
    let (mut end, mut i) = (0, 0);
    while i < names.len() {
        if i > 0 {
            bytes[end] = b',';
            end += 1;
        }
        let name = names[i].as_bytes();
        let mut j = 0;
        while j < name.len() {
            bytes[end] = name[j];
            (end, j) = (end + 1, j + 1);
        }
        i += 1;
    }
    assert!(end < bytes.len());
    bytes
}

static ALLOWED: [Joined; SETTINGS.len()] = {
    let mut all = [[0; size_of::<Joined>()]; SETTINGS.len()];
    let mut i = 0;
    while i < SETTINGS.len() {
        if let Kind::Enum(names) | Kind::EnumSet(names) = SETTINGS[i].kind {
            all[i] = joined(names);
        }
        i += 1;
    }
    all
};

static GROUPS: [Joined; Group::ALL.len()] = {
    let mut all = [[0; size_of::<Joined>()]; Group::ALL.len()];
    let mut i = 0;
    while i < Group::ALL.len() {
        all[i] = joined(&[<Group as strum::VariantNames>::VARIANTS[i]]);
        i += 1;
    }
    all
};

/// A view of a string with a NUL behind it; none for an empty one.
fn view(bytes: &'static [u8]) -> clerk_str {
    match CStr::from_bytes_until_nul(bytes) {
        Ok(text) if !text.is_empty() => clerk_str { data: text.as_ptr(), len: text.count_bytes() },
        _ => clerk_str::NONE,
    }
}

fn info(index: usize, setting: &Setting, struct_size: u32) -> clerk_setting {
    let text = |text: &'static str| clerk_str::nul_terminated(Some(text).filter(|text| !text.is_empty()));
    let (kind, minimum, maximum) = match setting.kind {
        Kind::String | Kind::Secret => (clerk_setting_type::STRING, 0, 0),
        Kind::List | Kind::SecretList => (clerk_setting_type::LIST, 0, 0),
        Kind::Int { min, max } => (clerk_setting_type::INTEGER, min, max),
        Kind::Bool => (clerk_setting_type::BOOLEAN, 0, 0),
        Kind::Enum(_) => (clerk_setting_type::ENUMERATION, 0, 0),
        Kind::EnumSet(_) => (clerk_setting_type::ENUMERATION_SET, 0, 0),
    };
    clerk_setting {
        struct_size,
        value_type: kind as i32,
        name: text(setting.name),
        group: view(&GROUPS[setting.group as usize]),
        default_value: text(setting.default),
        minimum,
        maximum,
        environment: text(setting.env),
        allowed_values: view(&ALLOWED[index]),
        description: text(setting.doc),
        is_secret: matches!(setting.kind, Kind::Secret | Kind::SecretList).into(),
        reserved: 0,
    }
}

/// Describes the setting at `index`, from 0 in the order of the README's tables.
///
/// Fills `*info` up to its `struct_size`.
///
/// Returns `CLERK_OK`, `CLERK_E_NOT_FOUND` after the last setting, `CLERK_E_NULL` or `CLERK_E_STRUCT_SIZE`. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_setting_info(index: usize, info: *mut clerk_setting) -> i32 {
    guard(CLERK_E_PANIC, || {
        if info.is_null() {
            return CLERK_E_NULL;
        }
        // SAFETY: every version of the structure begins with its size.
        let given = unsafe { info.cast::<u32>().read() };
        if !(16..=4096).contains(&given) {
            return CLERK_E_STRUCT_SIZE;
        }
        let Some(setting) = SETTINGS.get(index) else { return CLERK_E_NOT_FOUND };
        let filled = self::info(index, setting, given);
        let len = size_of::<clerk_setting>().min(given as usize);
        // SAFETY: `given` writable bytes are the caller's contract.
        unsafe { std::ptr::copy_nonoverlapping((&raw const filled).cast::<u8>(), info.cast(), len) };
        CLERK_OK
    })
}
