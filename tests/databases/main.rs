//! The ready-made user table on SQLite, PostgreSQL and MariaDB: one suite for the three.
//!
//! The servers are those of the system, started here. Run `tests/scale/sql.sh`, or with a part of a test's name:
//! `cargo test --features postgres,mysql --test databases -- kill`.

#![allow(unsafe_code, reason = "signals for the servers, and a fork")]

#[path = "../common/mod.rs"]
mod common;
mod failures;
mod processes;
mod refusals;
mod rows;
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clerk_auth::internals::open_database;
use clerk_auth::users::{RowChanges, StoreError, UserStore};
use server::{Database, Kind, Target};

/// The timeout of the stores.
const TIMEOUT: Duration = Duration::from_secs(5);

type Test = (&'static str, fn(&Target));

/// The name of a function and the function.
macro_rules! tests {
    ($list:ident: $($module:ident::{$($name:ident),+};)+) => {
        const $list: &[Test] = &[$($((stringify!($name), $module::$name),)+)+];
    };
}

tests! {
    EVERYWHERE:
    rows::{
        created_row_is_found_by_key_id_and_email, clerk_ids_are_compared_exactly, usernames_are_unique_without_case,
        emails_are_found_without_case, deactivated_holder_of_an_address_is_found, unicode_is_stored_as_it_is, application_row_is_linked_once,
        stale_version_writes_nothing, conditions_on_activation_are_checked, times_are_stored_in_milliseconds,
        second_row_of_a_user_is_a_conflict, sign_in_creates_links_and_updates, ban_and_deactivation_follow_the_rules, trigger_that_deactivates_rows_decides,
        application_reads_and_writes_the_columns, character_set_of_the_server_does_not_apply, generated_key_that_exists_is_named
    };
    refusals::{wrong_url_is_refused_with_the_setting_named, newer_schema_is_refused, other_table_is_refused};
    processes::{
        processes_start_at_once_on_an_empty_database, first_sign_ins_of_one_user_create_one_row,
        users_who_want_one_name_get_different_ones, killed_writers_lose_no_committed_row
    };
}

tests! {
    ON_SERVERS:
    refusals::{
        wrong_password_is_refused_and_not_shown, certificate_of_another_host_or_authority_is_refused,
        server_without_the_database_is_refused, missing_rights_are_refused, least_rights_are_enough,
        unreachable_server_is_refused_in_time, unix_socket_is_used, read_only_server_is_refused
    };
    failures::{
        stopped_server_does_not_hold_a_call, locked_row_does_not_hold_a_call, failover_is_survived,
        lost_response_of_a_write_is_read_back, deadlock_is_repeated, pool_is_bounded, authentication_ends_in_time
    };
    // A child that inherits an open SQLite connection is refused; tests/sqlite has the rules.
    processes::{forked_child_uses_its_own_connections};
}

fn open(database: &Database<'_>) -> Arc<dyn UserStore> {
    open_url(&database.url())
}

fn open_url(url: &str) -> Arc<dyn UserStore> {
    open_database(url, TIMEOUT).unwrap_or_else(|error| panic!("{error}"))
}

/// The message of a refusal at the start, which names the setting and contains no password.
#[track_caller]
fn refusal(url: &str) -> String {
    let Err(error) = open_database(url, TIMEOUT) else { panic!("{url} is accepted") };
    let message = error.to_string();
    assert_eq!(error.setting, "database");
    for secret in [server::PASSWORD, "s3cret", "w?rd", "w%3Frd"] {
        assert!(!message.contains(secret), "{message}");
    }
    message
}

fn user(name: &str) -> RowChanges {
    RowChanges {
        clerk_id: Some(format!("user_{name}")),
        email: Some(Some(format!("{name}@example.com"))),
        username: Some(name.into()),
        is_active: Some(true),
        banned_by_clerk: Some(false),
        clerk_updated_at_ms: Some(1),
        ..RowChanges::default()
    }
}

/// Writes as the library does.
fn create(store: &dyn UserStore, changes: &RowChanges) -> Result<String, StoreError> {
    store.begin()?;
    let created = store.create(changes).and_then(|key| store.commit().map(|()| key));
    if created.is_err() {
        store.rollback();
    }
    created
}

fn main() {
    if let Ok(job) = std::env::var(processes::JOB) {
        return processes::child(&job);
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let only = std::env::var("CLERK_AUTH_TEST_ENGINE").unwrap_or_default().to_lowercase();
    let (mut passed, mut failed) = (0, Vec::new());
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::Mariadb] {
        if !only.is_empty() && !format!("{kind:?}").to_lowercase().starts_with(&only) {
            continue;
        }
        let target = Target::new(kind);
        let on_server = if kind == Kind::Sqlite { &[] } else { ON_SERVERS };
        for (name, test) in EVERYWHERE.iter().chain(on_server).filter(|(name, _)| name.contains(&filter)) {
            let begun = Instant::now();
            let is_passed = catch_unwind(AssertUnwindSafe(|| test(&target))).is_ok();
            println!("{} {kind:?} {name} {:.1?}", if is_passed { "PASS" } else { "FAIL" }, begun.elapsed());
            if is_passed { passed += 1 } else { failed.push(format!("{kind:?} {name}")) }
        }
    }
    println!("{passed} passed, {} failed", failed.len());
    assert!(failed.is_empty() && passed > 0, "{failed:?}");
}
