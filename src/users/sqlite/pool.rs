//! The open connections of this process, so that none is open while it forks.
//!
//! SQLite records in the process which locks it holds, and a forked child inherits the record without the locks: a child of a
//! process that had the file open would write without locks, and lose rows as soon as another process closes the database.
//! Therefore idle connections are closed before a fork, those in use are waited for, and a child that was forked
//! while one was open all the same is refused.

use std::cell::RefCell;
use std::fs;
use std::mem::{forget, take};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::ffi::SQLITE_MISUSE;

use super::file::{FileId, OpenFiles, count_descriptors};
use crate::users::StoreError;

/// The maximum number of idle connections of a store.
const MAX_IDLE: usize = 8;
/// How long a fork waits for connections in use, and a child for a lock that the parent may have held.
const FORK_TIMEOUT: Duration = Duration::from_millis(250);
const POLL: Duration = Duration::from_millis(1);
/// How often writes look for another SQLite library in the process.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the library's copy of SQLite is its own, invisible to the application.
static IS_PRIVATE_COPY: AtomicBool = AtomicBool::new(false);
static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    stores: Vec::new(),
    files: Vec::new(),
    idle: Vec::new(),
    transactions: Vec::new(),
    is_forking: false,
    is_open_elsewhere: false,
    inherited: None,
});
/// The process that the registry describes; 0 before the first use.
static PROCESS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Held from before a fork until after it.
    static HELD: RefCell<Option<MutexGuard<'static, Registry>>> = const { RefCell::new(None) };
}

struct Registry {
    /// The files of the stores.
    stores: Vec<(u64, FileId)>,
    files: Vec<FileUse>,
    idle: Vec<Pooled>,
    transactions: Vec<(ThreadId, Pooled)>,
    is_forking: bool,
    /// Whether the application had a database open at the last fork.
    is_open_elsewhere: bool,
    /// Why this forked process must not use SQLite.
    inherited: Option<&'static str>,
}

/// A file with connections that are open or being opened.
struct FileUse {
    file: FileId,
    open: usize,
    /// Connections opened since there was none: at least as many as SQLite has descriptors of the file.
    opened: usize,
    looked_at: Instant,
}

impl Registry {
    /// Discards what a forked child has inherited, without closing it.
    fn adopt(&mut self) {
        if !self.files.is_empty() {
            self.inherited = Some("a connection to the database was in use when this process was forked");
        } else if self.is_open_elsewhere {
            self.inherited = Some("the application had the database open when this process was forked");
        }
        self.files.clear();
        forget(take(&mut self.idle));
        forget(take(&mut self.transactions));
        (self.is_forking, self.is_open_elsewhere) = (false, false);
    }

    fn take_transaction(&mut self, store: u64) -> Option<Pooled> {
        let thread = thread::current().id();
        let at = self.transactions.iter().position(|(owner, pooled)| *owner == thread && pooled.store == store);
        at.map(|at| self.transactions.swap_remove(at).1)
    }

    fn uses(&mut self, file: FileId) -> Option<&mut FileUse> {
        self.files.iter_mut().find(|used| used.file == file)
    }
}

/// Counts a connection of this process from before it is opened until after it was closed.
struct Counted {
    file: FileId,
    process: u32,
}

impl Counted {
    fn new(file: FileId) -> Result<Self, StoreError> {
        let mut registry = enter(true)?;
        if let Some(used) = registry.uses(file) {
            used.open += 1;
            used.opened += 1;
        } else {
            registry.files.push(FileUse { file, open: 1, opened: 1, looked_at: Instant::now() });
        }
        Ok(Counted { file, process: std::process::id() })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // The registry of a forked child does not count it.
        if self.process != std::process::id() {
            return;
        }
        if let Some(mut registry) = lock() {
            if let Some(used) = registry.uses(self.file) {
                used.open -= 1;
            }
            registry.files.retain(|used| used.open > 0);
        }
    }
}

/// An open connection of a store.
pub struct Pooled {
    pub connection: Connection,
    pub files: OpenFiles,
    store: u64,
    // Dropped after the connection.
    _counted: Counted,
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // SQLite would copy the WAL into an emptied file and delete it; the rows in it are all that is left.
        let is_empty = |path: &str| fs::metadata(path).is_ok_and(|about| about.len() == 0);
        if self.connection.path().is_some_and(is_empty) {
            keep_wal(&self.connection);
        }
    }
}

/// Has the last connection to a database leave the WAL as it is.
fn keep_wal(connection: &Connection) {
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

/// Locks the registry. Returns `None` in a forked child if the lock was held at the fork.
fn lock() -> Option<MutexGuard<'static, Registry>> {
    let deadline = Instant::now() + FORK_TIMEOUT;
    loop {
        match REGISTRY.try_lock() {
            Ok(registry) => return Some(registry),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        let owner = PROCESS.load(Ordering::Relaxed);
        if owner == 0 || owner == std::process::id() {
            return Some(REGISTRY.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// Locks the registry to use connections. Waits until a fork is over, unless the caller has a connection.
fn enter(waits: bool) -> Result<MutexGuard<'static, Registry>, StoreError> {
    loop {
        let registry = lock().map(|mut registry| {
            let process = std::process::id();
            if ![0, process].contains(&PROCESS.swap(process, Ordering::Relaxed)) {
                registry.adopt();
            }
            registry
        });
        let inherited = match &registry {
            Some(registry) => registry.inherited,
            None => Some("another thread opened the database when this process was forked"),
        };
        if let Some(cause) = inherited {
            let advice = "it would lose rows; fork before the first request, or create the client in the child";
            return Err(StoreError::failed(SQLITE_MISUSE, format!("SQLite cannot be used: {cause}; {advice}")));
        }
        if let Some(registry) = registry.filter(|registry| !waits || !registry.is_forking) {
            return Ok(registry);
        }
        thread::sleep(POLL);
    }
}

/// Adds a store. Returns its number.
pub fn add_store(file: FileId) -> Result<u64, StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let store = NEXT.fetch_add(1, Ordering::Relaxed);
    enter(true)?.stores.push((store, file));
    Ok(store)
}

/// Removes a store, and closes its connections.
pub fn remove_store(store: u64) {
    let Ok(mut registry) = enter(false) else { return };
    registry.stores.retain(|(other, _)| *other != store);
    let idle: Vec<_> = registry.idle.extract_if(.., |pooled| pooled.store == store).collect();
    let transactions: Vec<_> = registry.transactions.extract_if(.., |(_, pooled)| pooled.store == store).collect();
    drop(registry);
    drop((idle, transactions));
}

/// Runs a function while no store of this process opens a connection.
pub fn exclusively<T>(run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let _registry = enter(true)?;
    run()
}

/// Opens a connection to a file.
pub fn open(
    store: u64,
    file: FileId,
    connect: impl FnOnce() -> Result<(Connection, OpenFiles), StoreError>,
) -> Result<Pooled, StoreError> {
    let counted = Counted::new(file)?;
    let (connection, files) = connect()?;
    let pooled = Pooled { connection, files, store, _counted: counted };
    look_for_other_copy(file)?;
    Ok(pooled)
}

/// Takes the connection of this thread's transaction.
pub fn take_transaction(store: u64) -> Result<Option<Pooled>, StoreError> {
    Ok(enter(false)?.take_transaction(store))
}

/// Takes the connection of this thread's transaction, or an idle one. Returns also whether it is in a transaction.
pub fn check_out(store: u64) -> Result<Option<(Pooled, bool)>, StoreError> {
    let mut registry = enter(false)?;
    if let Some(pooled) = registry.take_transaction(store) {
        return Ok(Some((pooled, true)));
    }
    if registry.is_forking {
        drop(registry);
        registry = enter(true)?;
    }
    let at = registry.idle.iter().rposition(|pooled| pooled.store == store);
    Ok(at.map(|at| (registry.idle.swap_remove(at), false)))
}

/// Keeps a connection for the next use, or closes it.
pub fn put_back(pooled: Pooled, is_in_transaction: bool) {
    let Some(mut registry) = lock() else { return };
    if is_in_transaction {
        registry.transactions.push((thread::current().id(), pooled));
    } else if !registry.is_forking
        && registry.idle.iter().filter(|other| other.store == pooled.store).count() < MAX_IDLE
    {
        registry.idle.push(pooled);
    } else {
        drop(registry);
        drop(pooled);
    }
}

/// Declares that the application does not see this copy of SQLite, so that its own connections are those of another copy.
pub fn set_private_copy() {
    IS_PRIVATE_COPY.store(true, Ordering::Relaxed);
}

/// Looks once in a while whether another copy of SQLite in this process has the file open.
pub fn check_sole_copy(file: FileId) -> Result<(), StoreError> {
    if !IS_PRIVATE_COPY.load(Ordering::Relaxed) {
        return Ok(());
    }
    let is_due = enter(false)?.uses(file).is_some_and(|used| used.looked_at.elapsed() >= LOOK_INTERVAL);
    if is_due { look_for_other_copy(file) } else { Ok(()) }
}

/// POSIX locks belong to the process: a second copy of SQLite in it would neither see the locks of the first nor keep them.
fn look_for_other_copy(file: FileId) -> Result<(), StoreError> {
    if !IS_PRIVATE_COPY.load(Ordering::Relaxed) {
        return Ok(());
    }
    let descriptors = count_descriptors(file);
    let mut registry = enter(false)?;
    let Some(used) = registry.uses(file) else { return Ok(()) };
    used.looked_at = Instant::now();
    if descriptors <= used.opened {
        return Ok(());
    }
    let message = "another part of this process has the database open, such as a second SQLite library, and would corrupt it: \
        use a database of its own, or a clerk-auth that is linked with the SQLite library of the system";
    Err(StoreError::failed(SQLITE_MISUSE, message))
}

/// Closes idle connections and waits a bounded time for the others. No connection is opened until [`after_fork`].
pub fn before_fork() {
    if PROCESS.load(Ordering::Relaxed) == 0 || HELD.try_with(|_| ()).is_err() {
        return;
    }
    let deadline = Instant::now() + FORK_TIMEOUT;
    loop {
        let Ok(mut registry) = enter(false) else { return };
        registry.is_forking = true;
        let idle = take(&mut registry.idle);
        if registry.files.is_empty() || (idle.is_empty() && Instant::now() >= deadline) {
            // Connections of another copy of SQLite are not in the records of this one.
            registry.is_open_elsewhere = !IS_PRIVATE_COPY.load(Ordering::Relaxed)
                && registry.files.is_empty()
                && registry.stores.iter().any(|(_, file)| count_descriptors(*file) > 0);
            let _ = HELD.try_with(|held| held.replace(Some(registry)));
            return;
        }
        drop(registry);
        let is_waiting = idle.is_empty();
        // Not the moment to copy the WAL into the database.
        idle.iter().for_each(|pooled| keep_wal(&pooled.connection));
        drop(idle);
        if is_waiting {
            thread::sleep(POLL);
        }
    }
}

/// Ends [`before_fork`], in the parent and in the child.
pub fn after_fork() {
    let Some(mut registry) = HELD.try_with(|held| held.take()).ok().flatten() else { return };
    let process = std::process::id();
    if PROCESS.swap(process, Ordering::Relaxed) != process {
        registry.adopt();
    }
    (registry.is_forking, registry.is_open_elsewhere) = (false, false);
}
