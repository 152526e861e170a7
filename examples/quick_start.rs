//! Verifies the token in the environment variable TOKEN.
//!
//!     CLERK_SECRET_KEY=sk_test_… TOKEN=eyJ… cargo run --example quick_start

use clerk_auth::{ClientBuilder, Error, Outcome, Request};

fn main() -> Result<(), Error> {
    let client = ClientBuilder::from_env().on_log(clerk_auth::LogLevel::Info, |_, line| eprintln!("{line}")).build()?;
    let authorization = format!("Bearer {}", std::env::var("TOKEN").unwrap_or_default());
    let mut request = Request::new();
    request.method(b"GET").header(b"Authorization", authorization.as_bytes());

    let result = client.authenticate(&request);
    match result.outcome() {
        Outcome::SignedIn { .. } => println!("{}", result.identity().map_or("", |identity| identity.subject())),
        Outcome::SignedOut { reason } | Outcome::NoCredentials { reason } => println!("not signed in: {reason}"),
        // An outage at Clerk: retry, the token may be valid.
        Outcome::Unavailable { .. } => result.error().map_or(Ok(()), Err)?,
    }
    Ok(())
}
