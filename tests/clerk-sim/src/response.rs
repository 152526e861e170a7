//! The responses of the Backend API: error envelopes and objects.

use crate::http::Response;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};

/// Returns a new trace id.
pub fn trace_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("sim{:029x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns an error in the envelope of the core endpoints, with a trace id.
pub fn error(status: u16, code: &str, message: &str, long_message: &str) -> Response {
    let trace = trace_id();
    let body = json!({
        "errors": [{"message": message, "long_message": long_message, "code": code}],
        "clerk_trace_id": trace,
    });
    let mut response = Response::json(status, &body);
    response.set_header("Clerk-Trace-Id", &trace);
    response
}

/// Returns an error in the envelope of the machine endpoints, whose body has no trace id.
pub fn machine_error(status: u16, code: &str, message: &str, long_message: &str) -> Response {
    let mut response = error(status, code, message, long_message);
    response.body =
        json!({"errors": [{"message": message, "long_message": long_message, "code": code}]}).to_string().into_bytes();
    response
}

/// Returns an object, with a trace id in the header.
pub fn object(body: &Value) -> Response {
    let mut response = Response::json(200, body);
    response.set_header("Clerk-Trace-Id", &trace_id());
    response
}

/// Returns the 404 error for an object of a kind.
pub fn not_found(kind: &str, id: &str) -> Response {
    error(404, "resource_not_found", "Resource not found", &format!("There is no {kind} with id {id}"))
}

/// Returns the error of the API with this status, for faults without a body.
pub fn for_status(status: u16) -> Response {
    let (code, message) = match status {
        400 => ("request_body_invalid", "Request body invalid"),
        401 => ("clerk_key_invalid", "Secret key invalid"),
        402 => ("unsupported_subscription_plan_features", "Not in the plan"),
        403 => ("authorization_invalid", "Not authorized"),
        404 => ("resource_not_found", "Resource not found"),
        409 => ("conflict", "Conflict"),
        410 => ("operation_deprecated", "Operation deprecated"),
        413 => ("request_body_too_large", "Request body too large"),
        422 => ("form_param_value_invalid", "Parameter invalid"),
        429 => ("too_many_requests", "Too many requests"),
        503 => ("service_unavailable", "Service unavailable"),
        status if status >= 500 => ("internal_clerk_error", "Internal error"),
        status if status >= 400 => ("bad_request", "Bad request"),
        _ => return Response { status, headers: Vec::new(), body: Vec::new() },
    };
    error(status, code, message, &format!("{message} (simulated fault)"))
}
