//! What the ready-made SQL stores have in common: statements, values and rows. The engines differ in a [`Dialect`].
//!
//! Database servers also share connections, the pool, migrations, and the rules for repeating a statement: [`SqlStore`] on an
//! [`Engine`].

#[cfg(any(feature = "mysql", feature = "postgres"))]
mod channel;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod engine;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod failure;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod migration;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod pool;
mod statement;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod store;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod url;
mod value;

#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use self::channel::MAX_READ;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use self::{
    channel::{Channel, Dialer, Limits, Tls},
    engine::{Connection, Engine, Outcome},
    failure::{Failure, FailureKind},
    migration::prepare,
    store::SqlStore,
    url::{DatabaseUrl, Host, TlsMode, UrlRules},
};
pub use self::{
    statement::{Dialect, Statement, schema},
    value::{Value, row_of},
};
use crate::users::{StoreError, StoreRequest, StoreResponse, UserStore};

/// Executes a write, and reads the row as it is then: a trigger may have changed it, such as for accounts that await approval.
pub fn write_and_read(store: &dyn UserStore, request: &StoreRequest) -> Result<StoreResponse, StoreError> {
    let key = match request {
        StoreRequest::Create { changes } => &store.create(changes)?,
        StoreRequest::Update { key, changes, condition } => {
            store.update(key, changes, condition)?;
            key
        }
        _ => return Err(StoreError::failed(0, "not a write request")),
    };
    store.find_by_key(key)?.map(|row| StoreResponse::Rows(vec![row])).ok_or(StoreError::Conflict)
}
