//! An axum application whose pages need a signed-in user.
//!
//!     CLERK_SECRET_KEY=sk_test_… CLERK_AUTH_PARTIES=http://localhost:3000 cargo run --example axum
//!     curl -H "Authorization: Bearer $TOKEN" http://localhost:3000/

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use clerk_auth::{AuthResult, Client, ClientBuilder, WebhookHeaders};

/// The routes of the application.
pub fn app(client: Client) -> Router {
    let pages =
        Router::new().route("/", get(home)).route_layer(middleware::from_fn_with_state(client.clone(), require_user));
    pages.route("/webhooks/clerk", axum::routing::post(webhook)).with_state(client)
}

async fn home(Extension(auth): Extension<Arc<AuthResult>>) -> String {
    format!("hello, {}", auth.identity().map_or("", |identity| identity.subject()))
}

/// Lets signed-in requests pass, with the result as an extension.
async fn require_user(State(client): State<Client>, mut request: Request, next: Next) -> Response {
    let Some(auth) = authenticate(client, request.method(), request.headers()).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if auth.is_signed_in() {
        request.extensions_mut().insert(auth);
        return next.run(request).await;
    }
    if let Some(error) = auth.error().filter(|error| error.is_unavailable() || error.is_config()) {
        eprintln!("{error}"); // for the operator, not for the client
    }
    let status = StatusCode::from_u16(auth.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, auth.public_reason().unwrap_or_default()).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(wait) = auth.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().max(1).into());
    }
    response
}

/// Authenticates inline if the result is cached, else on a thread that may block. `None` if that thread panicked.
async fn authenticate(client: Client, method: &Method, headers: &HeaderMap) -> Option<Arc<AuthResult>> {
    if let Some(auth) = client.authenticate_cached(&credentials(method, headers)) {
        return Some(auth);
    }
    let (method, headers) = (method.clone(), headers.clone());
    let blocking = tokio::task::spawn_blocking(move || client.authenticate(&credentials(&method, &headers)));
    blocking.await.ok()
}

fn credentials<'a>(method: &'a Method, headers: &'a HeaderMap) -> clerk_auth::Request<'a> {
    let mut request = clerk_auth::Request::new();
    request.method(method.as_str().as_bytes());
    for (name, value) in headers {
        request.header(name.as_str().as_bytes(), value.as_bytes());
    }
    request
}

/// Applies webhook events, so that banned users and ended sessions are rejected at once.
async fn webhook(State(client): State<Client>, headers: HeaderMap, body: axum::body::Bytes) -> StatusCode {
    let apply = move || {
        let mut signed = WebhookHeaders::new();
        for (name, value) in &headers {
            signed.header(name.as_str().as_bytes(), value.as_bytes());
        }
        client.handle_webhook(&signed, &body).into_result()
    };
    match tokio::task::spawn_blocking(apply).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        Ok(Err(error)) if error.is_rejected() => StatusCode::BAD_REQUEST,
        // Clerk delivers it again.
        Ok(Err(_)) | Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = ClientBuilder::from_env().on_log(clerk_auth::LogLevel::Info, |_, line| eprintln!("{line}")).build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app(client)).await?;
    Ok(())
}
