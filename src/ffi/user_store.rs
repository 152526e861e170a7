//! The host's user table behind one hook, and its schema.

use std::ffi::c_void;
use std::sync::Arc;

use super::hook::{Hook, clerk_destroy_fn};
use super::{
    CLERK_E_ARGUMENT, CLERK_E_PANIC, clerk_column, clerk_config, clerk_error, clerk_store_request,
    clerk_store_request_kind, clerk_store_response, clerk_str, exclusive, guard, status,
};
use crate::users::{Row, RowChanges, Schema, StoreError, StoreRequest, StoreResponse, UserStore};

/// Answers a step: fills the reply and returns `CLERK_STORE_OK`, `CLERK_STORE_CONFLICT` or `CLERK_STORE_DECLINE`; a negative
/// number is the host's own failure (negate a database's code), comes back untouched, and signs nobody in. Runs on the thread of the call, several
/// at once, with no lock held; two calls may ask about one user at the same time. Must return: no exception, no
/// `longjmp`, no panic may leave it.
pub type clerk_user_store_fn = Option<
    unsafe extern "C" fn(
        userdata: *mut c_void,
        step: *const clerk_store_request,
        reply: *mut clerk_store_response,
    ) -> i32,
>;

type Function = unsafe extern "C" fn(*mut c_void, *const clerk_store_request, *mut clerk_store_response) -> i32;

pub(crate) type UserStoreHook = Hook<Function>;

/// The columns are kept apart from the hook, so that both can be set in either order.
pub(crate) struct HookStore {
    pub hook: Arc<UserStoreHook>,
    pub schema: Schema,
}

impl HookStore {
    fn ask(&self, step: &clerk_store_request) -> Result<StoreResponse, StoreError> {
        let mut reply = clerk_store_response::default();
        // SAFETY: the host's own function; step and reply live until it returns.
        let returned = unsafe { (self.hook.function)(self.hook.userdata(), step, &mut reply) };
        reply.judge(step.kind, returned)
    }

    fn rows(&self, step: StoreRequest) -> Result<Vec<Row>, StoreError> {
        match self.ask(&clerk_store_request::new(&step))? {
            StoreResponse::Rows(rows) => Ok(rows),
            _ => Err(StoreError::failed(0, "the hook's answer does not fit the step")),
        }
    }

    fn one(&self, step: StoreRequest) -> Result<Option<Row>, StoreError> {
        let mut rows = self.rows(step)?;
        match rows.len() {
            0 | 1 => Ok(rows.pop()),
            _ => Err(StoreError::failed(0, "the hook found several rows where there can be one")),
        }
    }

    fn bare(&self, kind: clerk_store_request_kind) -> Result<(), StoreError> {
        self.ask(&clerk_store_request::bare(kind)).map(drop)
    }
}

impl UserStore for HookStore {
    fn schema(&self) -> Schema {
        self.schema
    }
    fn begin(&self) -> Result<(), StoreError> {
        self.bare(clerk_store_request_kind::BEGIN)
    }
    fn commit(&self) -> Result<(), StoreError> {
        self.bare(clerk_store_request_kind::COMMIT)
    }
    fn rollback(&self) {
        // The failure before it is the one that counts.
        let _ = self.bare(clerk_store_request_kind::ROLLBACK);
    }
    fn find_by_key(&self, key: &str) -> Result<Option<Row>, StoreError> {
        self.one(StoreRequest::FindByKey { key: key.into() })
    }
    fn find_by_clerk_id(&self, clerk_id: &str) -> Result<Option<Row>, StoreError> {
        self.one(StoreRequest::FindByClerkId { clerk_id: clerk_id.into() })
    }
    fn find_by_email(&self, email: &str) -> Result<Vec<Row>, StoreError> {
        self.rows(StoreRequest::FindByEmail { email: email.into() })
    }
    fn username_taken(&self, username: &str, except_key: Option<&str>) -> Result<bool, StoreError> {
        let step = StoreRequest::UsernameTaken { username: username.into(), except_key: except_key.map(Into::into) };
        Ok(self.ask(&clerk_store_request::new(&step))? == StoreResponse::Taken(true))
    }
    fn create(&self, fields: &RowChanges) -> Result<String, StoreError> {
        match self.write(&StoreRequest::Create { fields: fields.clone() })? {
            StoreResponse::Created(key) => Ok(key),
            _ => Err(StoreError::failed(0, "the hook's answer does not fit the step")),
        }
    }
    fn update(&self, key: &str, fields: &RowChanges) -> Result<(), StoreError> {
        self.write(&StoreRequest::Update { key: key.into(), fields: fields.clone() }).map(drop)
    }
    fn write(&self, step: &StoreRequest) -> Result<StoreResponse, StoreError> {
        self.ask(&clerk_store_request::new(step))
    }
}

/// Where the users live.
#[derive(Clone, Default)]
pub(crate) enum StoreChoice {
    #[default]
    None,
    Hook(Arc<UserStoreHook>),
    Ready(Arc<dyn UserStore>),
}

/// Has the host's user table asked and changed through `function`. NULL takes the store away. See `clerk_destroy_fn` for
/// `destroy`, which may be NULL; it runs also when this call fails or `function` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_store(
    config: *mut clerk_config,
    function: clerk_user_store_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let choice = Hook::new(function, userdata, destroy).map_or(StoreChoice::None, StoreChoice::Hook);
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.map(|config| config.store = choice))
    })
}

/// Says which columns the host's table has: a sum of `1 << clerk_column`. All of them, unless this is called. A table
/// without `CLERK_ID` is matched by verified addresses alone; one without `BANNED_BY_CLERK` gets nobody back in after a
/// ban.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_columns(config: *mut clerk_config, columns: u32) -> i32 {
    guard(CLERK_E_PANIC, || {
        if columns >> <clerk_column as strum::VariantArray>::VARIANTS.len() != 0 || columns & 0b11 == 0 {
            return CLERK_E_ARGUMENT;
        }
        let has = |column: clerk_column| columns & 1 << column as u32 != 0;
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.map(|config| {
            let schema = &mut config.schema;
            schema.clerk_id = has(clerk_column::CLERK_ID);
            schema.email = has(clerk_column::EMAIL);
            schema.username = has(clerk_column::USERNAME);
            schema.first_name = has(clerk_column::FIRST_NAME);
            schema.last_name = has(clerk_column::LAST_NAME);
            schema.image_url = has(clerk_column::IMAGE_URL);
            schema.last_active_at = has(clerk_column::LAST_ACTIVE_AT_MS);
            schema.is_active = has(clerk_column::IS_ACTIVE);
            schema.banned_by_clerk = has(clerk_column::BANNED_BY_CLERK);
        }))
    })
}

/// Says how many characters fit into a text column (a `clerk_column`); 0 is no limit. Names are cut, addresses and
/// pictures that do not fit are left out. The limit of `FIRST_NAME` and `LAST_NAME` is one and the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_user_column_length(
    config: *mut clerk_config,
    column: i32,
    characters: u32,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.and_then(|config| {
            let schema = &mut config.schema;
            match clerk_column::from_repr(column) {
                // A number needs room behind a name, and a name something to stand on.
                Some(clerk_column::USERNAME) if characters == 0 || characters >= 8 => {
                    schema.longest_username = characters;
                }
                Some(clerk_column::EMAIL) => schema.longest_email = characters,
                Some(clerk_column::FIRST_NAME | clerk_column::LAST_NAME) => schema.longest_name = characters,
                Some(clerk_column::IMAGE_URL) => schema.longest_image_url = characters,
                _ => return Err(CLERK_E_ARGUMENT),
            }
            Ok(())
        }))
    })
}

/// Keeps the users in the table `clerk_user` of the SQLite file at `path` (UTF-8), which is made if need be, readable by
/// its owner only. Opened at once; `*error`, if wanted, says why it cannot be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_sqlite_path(
    config: *mut clerk_config,
    path: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        unsafe { super::strings::clear(error) };
        // SAFETY: the header's rules.
        let (config, path) = match unsafe { exclusive(config).and_then(|config| Ok((config, path.text()?))) } {
            Ok(given) => given,
            Err(status) => return status,
        };
        match open_sqlite(path) {
            Ok(store) => {
                config.store = StoreChoice::Ready(store);
                super::CLERK_OK
            }
            // SAFETY: the header's rules.
            Err(why) => unsafe { clerk_error::config(&why).give(error) },
        }
    })
}

#[cfg(feature = "sqlite")]
fn open_sqlite(path: &str) -> Result<Arc<dyn UserStore>, crate::ConfigError> {
    Ok(Arc::new(crate::users::SqliteStore::open(path)?))
}

#[cfg(not(feature = "sqlite"))]
fn open_sqlite(_: &str) -> Result<Arc<dyn UserStore>, crate::ConfigError> {
    Err(crate::ConfigError::new("sqlite", "this library was built without the feature `sqlite`"))
}
