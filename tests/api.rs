//! What users of the crate rely on without saying so: traits of the public types, and setters that do what `set` does.

use std::error::Error as StdError;
use std::fmt::Debug;

use clerk_auth::stepwise::{AuthProgress, PendingAuth, PendingWebhook, WebhookProgress};
use clerk_auth::transport::{Request as ApiRequest, Response, TransportError};
use clerk_auth::users::{Row, RowChanges, Schema, SqliteStore, StoreError, StoreRequest, StoreResponse, SyncError};
use clerk_auth::{
    Attribute, AuthResult, AuthorizationParams, Client, ClientBuilder, Error, Event, Identity, LinkByEmail, Outcome,
    Reason, Request, Secret, Stats, TokenHash, TokenKind, UserMode, WebhookError, WebhookHeaders, WebhookOutcome,
};

fn shared<T: Debug + Send + Sync>() {}
fn value<T: Debug + Clone + Send + Sync>() {}
fn error<T: StdError + Send + Sync + 'static>() {}

#[test]
fn public_types_have_the_usual_traits() {
    value::<Client>();
    value::<AuthResult>();
    value::<Identity>();
    value::<Outcome>();
    value::<Request<'_>>();
    value::<WebhookHeaders<'_>>();
    value::<WebhookOutcome>();
    value::<Event<'_>>();
    value::<(Attribute, Reason, TokenHash, TokenKind, UserMode, LinkByEmail, Secret, Stats)>();
    value::<AuthorizationParams<'_>>();
    value::<(Row, RowChanges, Schema, StoreRequest, StoreResponse)>();
    shared::<ClientBuilder>();
    shared::<(AuthProgress, WebhookProgress, PendingAuth, PendingWebhook)>();
    shared::<(ApiRequest<'_>, Response, TransportError, SqliteStore)>();
    error::<Error>();
    error::<StoreError>();
    error::<SyncError>();
    error::<WebhookError>();
}

#[test]
fn setters_do_what_set_does() {
    let by_setter = Client::builder()
        .secret_key("sk_test_a")
        .jwks_url("https://clerk.example.com/jwks")
        .accepts_token([TokenKind::ApiKey, TokenKind::SessionToken])
        .authorized_parties(vec![String::from("https://a"), String::from("https://b")])
        .audience(["replaced"])
        .audience(["x,y"])
        .clock_skew_ms(0)
        .check_client_uat(true)
        .user_mode(UserMode::Profile)
        .link_by_email(LinkByEmail::Never)
        .webhook_secrets(["whsec_YQ=="]);
    let by_name = [
        ("secret_key", "sk_test_a"),
        ("jwks_url", "https://clerk.example.com/jwks"),
        ("accepts_token", "session_token,api_key"),
        ("authorized_parties", "https://a,https://b"),
        ("audience", r#"["x,y"]"#),
        ("clock_skew_ms", "0"),
        ("check_client_uat", "true"),
        ("user_mode", "profile"),
        ("link_by_email", "never"),
        ("webhook_secrets", "whsec_YQ=="),
    ]
    .iter()
    .fold(Client::builder(), |builder, (name, value)| builder.set(name, value));
    assert_eq!(format!("{by_setter:?}"), format!("{by_name:?}"));
    assert_ne!(format!("{by_setter:?}"), format!("{:?}", Client::builder()));
    by_setter.build().unwrap();
}

#[test]
fn first_invalid_value_is_reported_by_build() {
    let first = |builder: ClientBuilder| builder.build().unwrap_err().to_string();
    let good = || Client::builder().secret_key("sk_test_a");
    assert_eq!(first(good().timeout_ms(0).set("nothing", "x")), "timeout_ms: 0 is out of range: 1 to 60000");
    assert!(
        first(good().set("nothing", "x").timeout_ms(0)).starts_with("unknown setting: no setting is named `nothing`")
    );
    assert_eq!(first(good().audience(["a", " "])), "audience: an item must not be empty");
    assert!(first(good().accepts_token([])).starts_with("accepts_token: must be one or more of"));
    assert_eq!(first(good().jwt_key("a\0b")), "jwt_key: must not contain a NUL byte");
    // A later valid value does not hide it.
    assert!(first(good().timeout_ms(0).timeout_ms(1)).starts_with("timeout_ms"));
}

#[test]
fn debug_output_of_a_builder_hides_secrets() {
    let builder = Client::builder().secret_key("sk_test_hidden").webhook_secrets(["whsec_hidden"]);
    let shown = format!("{builder:?}");
    assert!(!shown.contains("hidden") && shown.contains("has_user_store: false"), "{shown}");
}

#[test]
fn value_of_a_setting_is_in_no_error_and_no_log_line() {
    const SECRET: &str = "sk_live_hiddenhiddenhidden";
    let valid: &[(&str, &str)] = &[
        ("secret_key", "sk_test_x"),
        ("publishable_key", "pk_test_Y2xlYW4tbWF5Zmx5LTYyLmNsZXJrLmFjY291bnRzLmRldiQ="),
        ("jwt_key", clerk_auth::internals::example().0),
        ("authorized_parties", "https://app.example.com"),
        ("accepts_token", "session_token,m2m_token"),
        ("handshake", "on"),
    ];
    let mut rejected = 0;
    for setting in clerk_auth::internals::SETTINGS {
        for value in [
            SECRET.to_owned(),
            format!("https://{SECRET}@example.com/{SECRET}"),
            format!("/{SECRET}{{"),
            format!("/:{SECRET}?"),
            format!("-----BEGIN {SECRET}-----"),
            format!("{{\"keys\":\"{SECRET}\"}}"),
            format!("[\"{SECRET}\""),
            format!("{SECRET}\n\u{a0}"),
            format!("{SECRET} é"),
        ] {
            let log = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
            let lines = log.clone();
            let mut builder = Client::builder().on_log(clerk_auth::LogLevel::Debug, move |_, line| {
                lines.lock().unwrap().push_str(line);
            });
            for (name, valid) in valid {
                builder = builder.set(name, if *name == setting.name { &value } else { valid });
            }
            if valid.iter().all(|(name, _)| *name != setting.name) {
                builder = builder.set(setting.name, &value);
            }
            let outcome = builder.build();
            rejected += usize::from(outcome.is_err());
            let said =
                outcome.err().map(|error| format!("{error} {error:?}")).unwrap_or_default() + &log.lock().unwrap();
            assert!(!said.contains("hidden"), "{}: {said}", setting.name);
        }
    }
    assert!(rejected > 300, "{rejected}");
}
