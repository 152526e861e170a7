//! Sequences of calls of the C functions, in any order that the header allows, with NULL and invalid values.

#![allow(unsafe_code, reason = "the C ABI")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clerk_auth::internals::SETTINGS;
use clerk_auth::internals::ffi::*;

use crate::input::Input;
use crate::limits::watch;
use crate::second;
use crate::tokens::{self, NOW_S};

const SECRET: &[u8] = b"clerk-auth-fuzz";

fn str_of(text: &[u8]) -> clerk_str {
    clerk_str { data: text.as_ptr().cast(), len: text.len() }
}

/// A string of the library: UTF-8 with a NUL behind it, or NULL.
fn check_str(string: clerk_str) {
    if string.data.is_null() {
        return assert_eq!(string.len, 0);
    }
    // SAFETY: it points to `len` bytes and a NUL, as the header says.
    let bytes = unsafe { std::slice::from_raw_parts(string.data.cast::<u8>(), string.len + 1) };
    assert_eq!(bytes[string.len], 0, "no NUL behind a string");
    assert!(std::str::from_utf8(&bytes[..string.len]).is_ok());
}

fn check_c_string(string: *const c_char) {
    // SAFETY: the functions that return these never return NULL.
    assert!(!string.is_null() && unsafe { CStr::from_ptr(string) }.to_str().is_ok());
}

unsafe extern "C" fn now(userdata: *mut c_void) -> i64 {
    // SAFETY: `clerk_config_set_clock_callback` got this pointer.
    unsafe { &*userdata.cast::<AtomicI64>() }.load(Ordering::SeqCst)
}

/// Objects that are not freed yet.
struct World {
    clock: AtomicI64,
    configs: Vec<*mut clerk_config>,
    clients: Vec<*mut clerk_client>,
    results: Vec<*mut clerk_result>,
    pendings: Vec<*mut clerk_pending>,
}

fn pick<T: Copy>(input: &mut Input<'_>, list: &[T], none: T) -> T {
    match input.byte() {
        0..=9 => none,
        n if list.is_empty() => {
            let _ = n;
            none
        }
        n => list[usize::from(n) % list.len()],
    }
}

/// An error is set if and only if the status says so.
fn check_error(status: i32, error: *mut clerk_error) {
    let is_error = status < 0 || status == CLERK_UNAVAILABLE;
    assert_eq!(!error.is_null(), is_error, "status {status}");
    // SAFETY: the error is not freed yet, or NULL.
    unsafe {
        check_str(clerk_error_message(error));
        check_str(clerk_error_setting(error));
        check_str(clerk_error_trace_id(error));
        let _ = (clerk_error_retry_after_ms(error), clerk_error_http_status(error), clerk_error_store_code(error));
        assert!(error.is_null() || clerk_error_status(error) == status);
        clerk_error_free(error);
    }
    check_c_string(clerk_status_name(status));
}

/// Every function that reads a result.
fn read_result(input: &mut Input<'_>, result: *const clerk_result) {
    let (which, text) = (i32::from(input.byte()) - 8, input.string());
    let (mut needed, mut ages) = (0, [0; 2]);
    let mut buffer = vec![0_u8; input.below(40)];
    // SAFETY: the result is not freed yet, or NULL; the buffer has that many bytes.
    unsafe {
        let signed_in = clerk_result_status(result) == CLERK_OK;
        for string in [
            clerk_result_get(result, which),
            clerk_result_user_id(result),
            clerk_result_user_key(result),
            clerk_result_session_id(result),
            clerk_result_claims_json(result),
            clerk_result_token_hash(result),
        ] {
            check_str(string);
        }
        assert!(!signed_in || clerk_result_http_status(result) == 200);
        check_c_string(clerk_result_reason_name(result));
        check_c_string(clerk_result_public_reason(result));
        check_c_string(clerk_reason_name(clerk_result_reason(result)));
        let has = clerk_result_has(result, which, str_of(text.as_bytes()));
        assert!(has == 0 || (has == 1 && signed_in), "an authorization without a user");
        let _ = (clerk_result_retry_after_ms(result), clerk_result_expires_at_ms(result), clerk_result_source(result));
        let _ = (clerk_result_token_kind(result), clerk_result_handshake_recommended(result));
        let _ = clerk_result_factor_verification_age(result, &raw mut ages[0], &raw mut ages[1]);
        let place = if buffer.is_empty() { null_mut() } else { buffer.as_mut_ptr().cast() };
        let _ = clerk_result_claim(result, str_of(text.as_bytes()), place, buffer.len(), &raw mut needed);
        let _ = clerk_result_www_authenticate(result, str_of(text.as_bytes()), place, buffer.len(), &raw mut needed);
    }
}

fn drive(input: &mut Input<'_>, pending: *mut clerk_pending) {
    let text = input.string();
    // SAFETY: the pending object is not freed yet, or NULL; its request and response live as long as it does.
    unsafe {
        let _ = clerk_pending_next_action(pending);
        let (request, response) = (clerk_pending_request(pending), clerk_pending_response(pending));
        let (mut value, mut number) = (str_of(b""), 0);
        let column = i32::from(input.byte() % 14) - 1;
        check_str(clerk_store_request_value(request));
        check_str(clerk_store_request_key(request));
        let _ = clerk_store_request_get_kind(request);
        if clerk_store_request_string_column(request, column, &raw mut value) == 1 {
            check_str(value);
        }
        let _ = clerk_store_request_int_column(request, column, &raw mut number);
        let _ = clerk_store_request_max_version(request, &raw mut number);
        let _ = clerk_store_request_only_if_unlinked(request);
        for _ in 0..input.below(6) {
            let column = i32::from(input.byte() % 14) - 1;
            let _ = match input.below(6) {
                0 => clerk_store_response_add_row(response, str_of(text.as_bytes())),
                1 => clerk_store_response_add_row(response, str_of(b"1")),
                2 => clerk_store_response_set_string_column(response, column, str_of(text.as_bytes())),
                3 => clerk_store_response_set_int_column(response, column, i64::from(input.byte())),
                4 => clerk_store_response_set_username_taken(response, i32::from(input.byte() & 3)),
                _ => clerk_store_response_set_created_key(response, str_of(text.as_bytes())),
            };
        }
        let _ = match input.below(5) {
            0 => clerk_pending_fetch(pending),
            1 => {
                let _ = clerk_store_response_set_error(response, str_of(text.as_bytes()));
                clerk_pending_submit(pending, -1)
            }
            2 => clerk_pending_submit(pending, i32::from(input.byte())),
            _ => clerk_pending_submit(pending, 0),
        };
    }
}

/// Input: operations.
pub fn abi(data: &[u8]) {
    let mut input = Input(data);
    let mut world = World {
        clock: AtomicI64::new(NOW_S * 1000),
        configs: Vec::new(),
        clients: Vec::new(),
        results: Vec::new(),
        pendings: Vec::new(),
    };
    let clock: *mut c_void = (&raw const world.clock).cast_mut().cast();
    let mut count = 0;
    while !input.is_empty() && count < 100 {
        count += 1;
        step(&mut input, &mut world, clock, count);
    }
    // In another order than they were made: a pending object keeps its client.
    // SAFETY: each is freed once.
    unsafe {
        world.configs.into_iter().for_each(|config| clerk_config_free(config));
        world.clients.into_iter().for_each(|client| clerk_client_free(client));
        world.pendings.into_iter().for_each(|pending| clerk_pending_free(pending));
        world.results.into_iter().for_each(|result| clerk_result_free(result));
    }
}

fn new_client(input: &mut Input<'_>, world: &mut World, clock: *mut c_void) {
    let config = clerk_config_new();
    let mode = input.one_of(&[&b"claims"[..], b"profile", b"sync", b"other"]);
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    let key = tokens::public_jwk("k1");
    let settings = [
        (&b"jwt_key"[..], key.as_bytes()),
        (b"user_mode", mode),
        (b"webhook_secrets", secret.as_bytes()),
        // No server listens there.
        (b"api_url", b"http://127.0.0.1:1"),
        (b"secret_key", b"sk_test_fuzz"),
        (b"timeout_ms", b"50"),
        (b"accepts_token", b"any"),
    ];
    // SAFETY: the config is not freed yet; `error` and `client` are writable.
    unsafe {
        let _ = clerk_config_set_clock_callback(config, Some(now), clock, None);
        for (name, value) in settings {
            let mut error = null_mut();
            let status = clerk_config_set(config, str_of(name), str_of(value), &raw mut error);
            check_error(status, error);
        }
        let (mut client, mut error) = (null_mut(), null_mut());
        let status = clerk_client_new(config, &raw mut client, &raw mut error);
        check_error(status, error);
        assert_eq!(client.is_null(), status != CLERK_OK);
        if !client.is_null() {
            world.clients.push(client);
        }
    }
    world.configs.push(config);
}

fn step(input: &mut Input<'_>, world: &mut World, clock: *mut c_void, count: usize) {
    let client = pick(input, &world.clients, null_mut());
    let config = pick(input, &world.configs, null_mut());
    let mut error = null_mut();
    // SAFETY: objects are not freed yet, or NULL; strings and structures live during the calls.
    match input.below(16) {
        0 if world.clients.len() < 3 => new_client(input, world, clock),
        1 => unsafe {
            let (name, value) = (input.string(), input.string());
            let name = if input.flag() { SETTINGS[input.below(SETTINGS.len())].name } else { &name };
            let number = i64::from(input.byte()) - 3;
            let status = match input.below(3) {
                0 => clerk_config_set(config, str_of(name.as_bytes()), str_of(value.as_bytes()), &raw mut error),
                1 => clerk_config_add(config, str_of(name.as_bytes()), str_of(value.as_bytes()), &raw mut error),
                _ => clerk_config_set_int(config, str_of(name.as_bytes()), number, &raw mut error),
            };
            check_error(status, error);
        },
        2 => unsafe {
            if let Some(at) = (!world.configs.is_empty()).then(|| input.below(world.configs.len())) {
                clerk_config_free(world.configs.swap_remove(at));
            }
            clerk_config_free(null_mut());
        },
        3 => unsafe {
            let retained = clerk_client_retain(client);
            assert_eq!(retained, client);
            if !retained.is_null() && world.clients.len() < 8 {
                world.clients.push(retained);
            } else {
                clerk_client_free(retained);
            }
        },
        4 if world.clients.len() > 1 => unsafe {
            let at = input.below(world.clients.len());
            clerk_client_free(world.clients.swap_remove(at));
        },
        5..=8 => authenticate(input, world, client),
        9 => unsafe {
            let pool = tokens::pool();
            let token = &pool[input.below(pool.len())].token;
            let mut result = null_mut();
            let status =
                watch(|| clerk_verify_token(client, str_of(token.as_bytes()), &raw mut result, &raw mut error));
            check_error(status, error);
            keep(world, status, result);
        },
        10 => {
            let result = pick(input, &world.results, null_mut());
            read_result(input, result);
        }
        11 => unsafe {
            if let Some(result) = world.results.pop() {
                clerk_result_free(result);
            }
            clerk_result_free(null_mut());
        },
        12 => {
            let pending = pick(input, &world.pendings, null_mut());
            drive(input, pending);
        }
        13 => unsafe {
            if let Some(pending) = world.pendings.pop() {
                let mut result = null_mut();
                if input.flag() {
                    let status = clerk_pending_finish(pending, &raw mut result, &raw mut error);
                    check_error(status, error);
                    keep(world, status, result);
                }
                clerk_pending_free(pending);
            }
        },
        14 => webhook(input, world, client, count),
        _ => unsafe {
            let pool = tokens::pool();
            let session = &pool[input.below(pool.len())];
            let (text, user) = (input.string(), tokens::user_id(session.user));
            let (mut buffer, mut needed) = ([0; 600], 0);
            let _ = match input.below(9) {
                0 => clerk_client_revoke_session(client, str_of(session.sid.as_bytes())),
                1 => clerk_client_revoke_user(client, str_of(user.as_bytes())),
                2 => clerk_client_invalidate_user(client, str_of(text.as_bytes())),
                3 => clerk_client_invalidate_all(client),
                4 => clerk_client_export_revocations(client, buffer.as_mut_ptr(), input.below(600), &raw mut needed),
                5 => {
                    let status = clerk_client_import_revocations(client, str_of(text.as_bytes()), &raw mut error);
                    check_error(status, error);
                    status
                }
                6 => clerk_client_invalidate_token(client, str_of(session.token.as_bytes())),
                7 => clerk_client_shutdown(client),
                _ => {
                    world.clock.fetch_add(i64::from(input.byte()) * 500, Ordering::SeqCst);
                    0
                }
            };
        },
    }
}

fn keep(world: &mut World, status: i32, result: *mut clerk_result) {
    // SAFETY: the result is not freed yet, or NULL.
    let signed_in = unsafe { clerk_result_status(result) } == CLERK_OK && !result.is_null();
    assert_eq!(status == CLERK_OK, signed_in, "0 if and only if signed in");
    if !result.is_null() {
        world.results.push(result);
    }
}

fn authenticate(input: &mut Input<'_>, world: &mut World, client: *mut clerk_client) {
    let pool = tokens::pool();
    let text = input.string();
    let line = match input.below(4) {
        0 => text,
        1 => format!("__session={}", pool[input.below(pool.len())].token),
        _ => format!("Bearer {}", pool[input.below(pool.len())].token),
    };
    let is_cookie = line.starts_with("__session");
    let header = clerk_header {
        name: str_of(if is_cookie { b"Cookie" } else { b"Authorization" }),
        value: str_of(line.as_bytes()),
    };
    let none = str_of(b"");
    let mut request = clerk_request {
        struct_size: size_of::<clerk_request>() as u32,
        mark: u64::from(input.byte() & 1),
        flags: u32::from(input.byte() == 7),
        headers: null(),
        header_count: 0,
        authorization: none,
        cookie: none,
        method: str_of(b"GET"),
        host: none,
        origin: none,
        sec_fetch_site: none,
        scheme: none,
        target: none,
        accept: none,
        sec_fetch_dest: none,
        referer: none,
    };
    match input.byte() {
        0 => request.header_count = 1,
        1 => request.struct_size = u32::from(input.byte()),
        2 => {
            (request.scheme, request.target, request.accept) = (str_of(b"https"), header.value, str_of(b"text/html"));
            (request.sec_fetch_dest, request.referer) = (str_of(b"document"), header.value);
        }
        n if n & 1 == 1 => (request.headers, request.header_count) = (&raw const header, 1),
        _ if is_cookie => request.cookie = header.value,
        _ => request.authorization = header.value,
    }
    let (mut result, mut pending, mut error) = (null_mut(), null_mut(), null_mut());
    // SAFETY: as for `step`; a shorter structure is a prefix of this one.
    unsafe {
        match input.below(5) {
            0 => {
                let (mut token, mut source) = (none, 0);
                let _ = watch(|| clerk_request_credential(client, &raw const request, &raw mut token, &raw mut source));
            }
            1 => {
                let status = watch(|| clerk_authenticate_cached(client, &raw const request, &raw mut result));
                keep(world, status, result);
            }
            2 => {
                let begin = || {
                    clerk_authenticate_begin(
                        client,
                        &raw const request,
                        &raw mut result,
                        &raw mut pending,
                        &raw mut error,
                    )
                };
                let status = watch(begin);
                check_error(status, error);
                if pending.is_null() {
                    keep(world, status, result);
                } else {
                    assert!(result.is_null());
                    world.pendings.push(pending);
                }
            }
            _ => {
                let status = watch(|| clerk_authenticate(client, &raw const request, &raw mut result, &raw mut error));
                check_error(status, error);
                keep(world, status, result);
            }
        }
    }
}

fn webhook(input: &mut Input<'_>, world: &mut World, client: *mut clerk_client, count: usize) {
    let user = tokens::user_id(input.below(tokens::USERS));
    let body = match input.below(4) {
        0 => format!(r#"{{"type":"user.deleted","data":{{"id":"{user}"}}}}"#),
        1 => format!(r#"{{"type":"session.ended","data":{{"id":"sess_{}_0"}}}}"#, input.below(tokens::USERS)),
        _ => format!(
            r#"{{"type":"user.updated","data":{{"id":"{user}","username":"{user}","banned":{},"updated_at":{}}}}}"#,
            input.byte() & 3 == 3,
            input.byte()
        ),
    };
    let (id, now_s) = (format!("msg_{count}"), (world.clock.load(Ordering::SeqCst) / 1000).to_string());
    let tag = STANDARD.encode(second::hmac_sha256(SECRET, format!("{id}.{now_s}.{body}").as_bytes()));
    let signature = format!("v1,{tag}");
    let pairs = [("svix-id", &id), ("svix-timestamp", &now_s), ("svix-signature", &signature)];
    let headers =
        pairs.map(|(name, value)| clerk_header { name: str_of(name.as_bytes()), value: str_of(value.as_bytes()) });
    let length = input.one_of(&[3, 3, 3, 2, 0]);
    let (mut pending, mut error) = (null_mut(), null_mut());
    // SAFETY: as for `step`.
    unsafe {
        if input.flag() {
            let status = watch(|| {
                clerk_webhook_handle(client, headers.as_ptr(), length, str_of(body.as_bytes()), &raw mut error)
            });
            check_error(status, error);
        } else {
            let begin = || {
                clerk_webhook_begin(
                    client,
                    headers.as_ptr(),
                    length,
                    str_of(body.as_bytes()),
                    &raw mut pending,
                    &raw mut error,
                )
            };
            let status = watch(begin);
            check_error(status, error);
            if !pending.is_null() {
                world.pendings.push(pending);
            }
        }
    }
}
