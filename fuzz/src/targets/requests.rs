//! What unauthenticated clients send: header lines, tokens, webhooks.

use clerk_auth::internals::parts::{ClerkInstance, Policy, SigningKeys, WebhookEvent, decode_permissions, verify};
use clerk_auth::internals::{
    Claims, Decoded, ExtractOptions, MAX_TOKEN_LEN, TokenSource, UnverifiedJwt, decode_unverified, extract,
};
use clerk_auth::{Reason, Request, Secret, TokenKind, WebhookError, WebhookHeaders};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::input::Input;
use crate::limits::{watch, watch_unauthenticated};
use crate::second::{self, Class, Rules, Tree};
use crate::tokens::NOW_S;

const SUFFIX: &str = "1Z8AzTQD";

fn options(bits: u8) -> ExtractOptions {
    let instance =
        ClerkInstance { suffix: SUFFIX.into(), frontend_api: "clerk.example.com".into(), production: bits & 16 != 0 };
    ExtractOptions {
        instance: (bits & 1 != 0).then_some(instance),
        check_client_uat: bits & 2 != 0,
        allow_bare_token: bits & 4 != 0,
        require_suffixed_cookie: bits & 9 == 9,
        ignore_cookies: bits & 32 != 0,
    }
}

/// Input: options, then lines `Name: value`.
pub fn request(data: &[u8]) {
    let mut input = Input(data);
    let options = options(input.byte());
    let mut lines: Vec<(&[u8], &[u8])> = Vec::new();
    while !input.is_empty() && lines.len() < 100 {
        let line = input.line();
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(line.len()));
        lines.push((name, value.get(1..).unwrap_or_default()));
    }
    let owned: Vec<(Vec<u8>, Vec<u8>)> = lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    let mut request = Request::new();
    for (name, value) in &owned {
        request.header(name, value);
    }
    let found = watch(|| extract(&request, &options, NOW_S));
    watch(|| request.is_document_request());

    let is = |name: &[u8], right: &str| name.eq_ignore_ascii_case(right.as_bytes());
    let authorizations = owned.iter().filter(|(name, _)| is(name, "authorization")).count();
    assert!(authorizations < 2 || found.is_err(), "two Authorization lines");
    if let Ok(Some(credential)) = &found {
        let from = if credential.source == TokenSource::Header { "authorization" } else { "cookie" };
        let inside = |value: &[u8]| {
            let (own, all) = (credential.token.as_ptr_range(), value.as_ptr_range());
            all.start <= own.start && own.end <= all.end
        };
        assert!(owned.iter().any(|(name, value)| is(name, from) && inside(value)), "a token from nowhere");
        assert!(!options.ignore_cookies || credential.source == TokenSource::Header);
        assert!((1..=MAX_TOKEN_LEN).contains(&credential.token.len()));
        assert!(credential.source == TokenSource::Cookie || credential.client_uat.is_none());
        assert!(authorizations == 0 || credential.source == TokenSource::Header || !has_scheme(&owned));
        if let Some(token) = credential.token_str() {
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b)), "not a token68");
        }
    }
    // Other headers, wherever they stand, change nothing.
    let mut padded = Request::new();
    padded.header(b"X-Forwarded-Authorization", b"Bearer forged");
    for (name, value) in &owned {
        padded.header(name, value).header(b"X-Cookie", b"__session=forged");
    }
    assert_eq!(extract(&padded, &options, NOW_S), found);
}

fn has_scheme(lines: &[(Vec<u8>, Vec<u8>)]) -> bool {
    lines.iter().any(|(name, value)| {
        let value = value.trim_ascii_start();
        name.eq_ignore_ascii_case(b"authorization") && value.len() > 6 && value[..7].eq_ignore_ascii_case(b"bearer ")
    })
}

/// Input: options, then cookie lines. A second splitter finds the values that may be chosen.
pub fn cookies(data: &[u8]) {
    let mut input = Input(data);
    let options = options(input.byte());
    let mut lines = Vec::new();
    while !input.is_empty() && lines.len() < 50 {
        lines.push(input.line());
    }
    let mut request = Request::new();
    for line in &lines {
        request.header(b"cookie", line);
    }
    let found = watch(|| extract(&request, &options, NOW_S));
    if options.ignore_cookies {
        assert_eq!(found, Ok(None));
        return;
    }
    let blank = |b: &u8| *b == b' ' || *b == b'\t';
    let trim = |mut value: &[u8]| -> Vec<u8> {
        while value.first().is_some_and(blank) {
            value = &value[1..];
        }
        while value.last().is_some_and(blank) {
            value = &value[..value.len() - 1];
        }
        value.to_vec()
    };
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in lines.iter().flat_map(|line| line.split(|b| *b == b';')) {
        let mut parts = pair.splitn(2, |b| *b == b'=');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        let (name, mut value) = (trim(name), trim(value));
        if value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"") {
            value = value[1..value.len() - 1].to_vec();
        }
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    let first = |name: &str| pairs.iter().find(|(own, _)| own == name.as_bytes()).map(|(_, value)| value.as_slice());
    let plain = first("__session");
    let suffixes: Vec<_> =
        pairs.iter().filter(|(name, _)| name.len() == 18 && name.starts_with(b"__session_")).map(|(_, v)| v).collect();
    let suffixed = match &options.instance {
        Some(_) => first(&format!("__session_{SUFFIX}")),
        None if suffixes.len() == 1 => Some(suffixes[0].as_slice()),
        None => None,
    };
    match &found {
        Ok(Some(credential)) => {
            assert_eq!(credential.source, TokenSource::Cookie);
            let is_plain = Some(credential.token) == plain && !options.require_suffixed_cookie;
            assert!(is_plain || Some(credential.token) == suffixed, "a value that is no candidate");
            assert_eq!(credential.client_uat.is_some(), options.check_client_uat);
            if let Some(uat) = credential.client_uat {
                assert_ne!(uat, 0, "signed out in the browser");
            }
        }
        Ok(None) => {
            assert!(!options.check_client_uat);
            let candidates = if options.require_suffixed_cookie { None } else { plain }.or(suffixed);
            // With an instance, Clerk's rules may choose a name that has no cookie.
            assert!(candidates.is_none() || options.instance.is_some(), "a session cookie that is not found");
        }
        Err(_) => {}
    }
}

/// Input: the token.
pub fn jws(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let (mut decoded, mut again) = (Decoded::default(), Decoded::default());
    let buffer = &mut decoded;
    let parsed = watch(move || UnverifiedJwt::parse(token, buffer));
    // A buffer that is used again holds nothing of the token before.
    let _ = UnverifiedJwt::parse("e30.e30.AAAA", &mut again);
    assert_eq!(
        UnverifiedJwt::parse(token, &mut again).map(|jwt| jwt.kind()),
        parsed.as_ref().map(UnverifiedJwt::kind).map_err(|e| *e)
    );
    watch(|| decode_unverified(token));
    let jws = second::jws(token);
    match (&parsed, jws.as_ref().and_then(second::class)) {
        (Ok(parsed), Some((class, is_contradictory))) => {
            assert_eq!(kind_of(class), parsed.kind());
            assert_eq!(is_contradictory, parsed.is_contradictory());
            let issued_at = jws.as_ref().and_then(|jws| jws.payload.get("iat")?.number());
            let issued_at_s = issued_at.filter(|s| s.abs() <= 9_007_199_254_740_992.0).map(|s| s.trunc() as i64);
            assert_eq!(parsed.issued_at_s(), issued_at_s);
        }
        (Err(reason), None) => {
            // Of a type that is not supported only if nothing else is wrong.
            assert!(*reason == Reason::TokenInvalid || jws.is_some_and(|jws| second::is_template(&jws)), "{reason:?}");
        }
        (parsed, second) => panic!("two readers of one token: {:?}, {second:?}", parsed.as_ref().map(|p| p.kind())),
    }
}

fn kind_of(class: Class) -> TokenKind {
    match class {
        Class::Session => TokenKind::SessionToken,
        Class::OauthToken => TokenKind::OauthToken,
        Class::Machine => TokenKind::M2mToken,
    }
}

/// Input: policy, clock, the header on one line, the claims on the rest.
pub fn claims(data: &[u8]) {
    let mut input = Input(data);
    let (bits, minutes) = (input.byte(), i64::from(input.byte()));
    let (header, payload) = (input.line(), input.0);
    let token = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let mut decoded = Decoded::default();
    let buffer = &mut decoded;
    let parsed = watch(|| UnverifiedJwt::parse(&token, buffer));
    let second = second::jws(&token).and_then(|jws| second::class(&jws).map(|(class, _)| (class, jws.payload)));
    let (parsed, (class, tree)) = match (parsed, second) {
        (Ok(parsed), Some(second)) => (parsed, second),
        (Err(_), None) => return,
        (parsed, _) => panic!("two readers of one token: {:?}", parsed.map(|p| p.kind())),
    };
    let kind = parsed.kind();
    assert_eq!(kind, kind_of(class));
    let claims = watch(|| parsed.into_claims());
    compare_claims(class, &claims, &tree);

    let list = |bit: u8, item: &str| if bits & bit != 0 { vec![item.to_owned(), "b".to_owned()] } else { Vec::new() };
    let policy = Policy {
        authorized_parties: list(1, "https://app.example.com"),
        accept_missing_azp: bits & 64 != 0,
        audience: list(2, "api"),
        issuer: list(4, "https://clerk.example.com"),
        clock_skew_ms: if bits & 8 != 0 { 5000 } else { 0 },
        treat_pending_as_signed_out: bits & 16 == 0,
        expected_machine_id: (bits & 32 != 0).then(|| "mch_api".to_owned()),
    };
    let rules = Rules {
        parties: policy.authorized_parties.clone(),
        accepts_missing_azp: policy.accept_missing_azp,
        audience: policy.audience.clone(),
        issuer: policy.issuer.clone(),
        skew_ms: policy.clock_skew_ms,
        pending_is_out: policy.treat_pending_as_signed_out,
        machine: policy.expected_machine_id.clone(),
    };
    let mut was_expired = false;
    for now_ms in [NOW_S * 1000 + minutes * 500 - 64_000, NOW_S * 1000 + minutes * 60_000, i64::MAX - 1] {
        let accepted = watch(|| policy.validate(kind, &claims, now_ms));
        assert_eq!(accepted.is_ok(), second::is_accepted(class, &tree, &rules, now_ms), "{accepted:?} at {now_ms}");
        assert!(!(was_expired && accepted.is_ok()), "valid again after it expired");
        was_expired |= accepted == Err(Reason::TokenExpired);
        if accepted.is_ok() {
            assert!(policy.expires_at_ms(&claims) > now_ms);
            assert!(policy.validate(kind, &claims, policy.expires_at_ms(&claims)).is_err(), "valid when it expires");
        }
    }
}

fn compare_claims(class: Class, claims: &Claims, tree: &Tree) {
    for (name, claim) in [("sub", &claims.sub), ("iss", &claims.iss), ("azp", &claims.azp), ("jti", &claims.jti)] {
        assert_eq!(claim.as_deref(), tree.text(name), "{name}");
    }
    for (name, claim) in [("exp", &claims.exp), ("nbf", &claims.nbf), ("iat", &claims.iat)] {
        assert_eq!(claim.get().copied(), tree.get(name).and_then(Tree::number), "{name}");
    }
    let strings = |all: &[std::borrow::Cow<'_, str>]| all.iter().map(|one| one.to_string()).collect::<Vec<_>>();
    assert_eq!(claims.aud.get().map(|all| strings(all)), tree.strings("aud"));
    assert_eq!(claims.scopes, second::scopes(class, tree));
    let is_session = class == Class::Session;
    let session_text = |name: &str| tree.text(name).filter(|_| is_session);
    assert_eq!(claims.sid.as_deref(), session_text("sid"));
    assert_eq!(claims.sts.as_deref(), session_text("sts"));
    assert_eq!(claims.features.as_deref(), session_text("fea"));
    assert_eq!(claims.plans.as_deref(), session_text("pla"));
    assert_eq!(claims.actor.as_deref(), tree.get("act").and_then(|act| act.text("sub")).filter(|_| is_session));
    assert_eq!(claims.client_id.as_deref(), tree.text("client_id").filter(|_| class == Class::OauthToken));
    let is_v2 = tree.get("v").and_then(Tree::number) == Some(2.0);
    let own = if is_v2 { tree.get("o") } else { Some(tree) };
    let names = if is_v2 { ["id", "slg", "rol"] } else { ["org_id", "org_slug", "org_role"] };
    let part = |name: &str| own.and_then(|own| own.text(name)).filter(|value| is_session && !value.is_empty());
    let organization = claims.organization.as_ref();
    assert_eq!(organization.map(|o| &*o.id), part(names[0]));
    if let Some(organization) = organization {
        assert_eq!(organization.slug(), part(names[1]));
        let role = part(names[2]).map(|role| if is_v2 { format!("org:{role}") } else { role.to_owned() });
        let mut own_role = String::new();
        let has_role = organization.push_role(&mut own_role);
        assert_eq!(has_role.then_some(own_role.as_str()), role.as_deref());
        let text = |name: &str| own.and_then(|own| own.text(name)).unwrap_or_default();
        let permissions = match is_v2 {
            true => second::permissions(tree.text("fea").unwrap_or_default(), text("per"), text("fpm")),
            false => tree.strings("org_permissions").unwrap_or_default(),
        };
        let mut own_permissions = String::new();
        organization.push_permissions(&mut own_permissions);
        assert_eq!(own_permissions, permissions.join(","));
    }
}

/// Input: features, permissions and masks, each on a line.
pub fn permissions(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    let mut lines = input.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (features, permissions, masks) = (line(), line(), line());
    let granted = watch(|| decode_permissions(features, permissions, masks));
    assert_eq!(granted, second::permissions(features, permissions, masks));
}

const SECRET: &[u8] = b"clerk-auth-fuzz-signing-key";

/// Input: whether to sign, the clock, header lines up to an empty one, the body.
pub fn webhook(data: &[u8]) {
    let mut input = Input(data);
    let (bits, offset_s) = (input.byte(), i64::from(input.byte()) * 5);
    let now_s = NOW_S + offset_s - 640;
    let mut lines: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while lines.len() < 20 {
        let line = input.line();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').unwrap_or(line.len()));
        lines.push((name.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
    }
    let body = input.0;
    let is = |name: &[u8], right: &str| name.eq_ignore_ascii_case(right.as_bytes());
    let of = |name: &str| lines.iter().filter(|(own, _)| is(own, name)).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    if bits & 1 == 1 {
        // Signed, so that what follows the signature is reached.
        let (id, timestamp) = (of("svix-id").pop().unwrap_or(b"msg_1".to_vec()), NOW_S.to_string().into_bytes());
        let message = [&id[..], b".", &timestamp, b".", body].concat();
        let tag = STANDARD.encode(second::hmac_sha256(SECRET, &message));
        lines = vec![
            (b"svix-id".to_vec(), id),
            (b"svix-timestamp".to_vec(), timestamp),
            (b"svix-signature".to_vec(), format!("v1,{tag}").into_bytes()),
        ];
    }
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    let keys = SigningKeys::parse(&[Secret::new("whsec_b3RoZXI="), Secret::new(secret)]).expect("two keys");
    let mut headers = WebhookHeaders::new();
    for (name, value) in &lines {
        headers.header(name, value);
    }
    // Anyone can send what is not signed.
    let verified = match bits & 1 {
        0 => watch_unauthenticated(|| verify(&keys, &headers, body, now_s)),
        _ => watch(|| verify(&keys, &headers, body, now_s)),
    };
    let delivery = match verified {
        Ok(delivery) => delivery,
        Err(error) => {
            assert!(
                bits & 1 == 0
                    || (now_s - NOW_S).abs() > 300
                    || body.len() > 1 << 20
                    || error == WebhookError::Malformed
            );
            return;
        }
    };
    let of = |name: &str| lines.iter().filter(|(own, _)| is(own, name)).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    let family = if of("svix-id").is_empty() { "webhook" } else { "svix" };
    let [id, timestamp, signature] = ["id", "timestamp", "signature"].map(|name| {
        let mut values = of(&format!("{family}-{name}"));
        assert_eq!(values.len(), 1, "accepted without one {name}");
        values.remove(0)
    });
    let sent_s: i64 = String::from_utf8(timestamp.clone()).expect("digits").parse().expect("digits");
    assert!((now_s - sent_s).abs() <= 300 && body.len() <= 1 << 20);
    let message = [&id[..], b".", &timestamp, b".", body].concat();
    let tags = [&b"other"[..], SECRET].map(|key| format!("v1,{}", STANDARD.encode(second::hmac_sha256(key, &message))));
    let signature = String::from_utf8_lossy(&signature).into_owned();
    assert!(signature.split(' ').any(|one| tags.iter().any(|tag| tag == one)), "accepted without a signature");
    // The same delivery at the ends of the tolerance, and with one of its lines twice.
    for (offset_s, is_accepted) in [(-301, false), (-300, true), (300, true), (301, false)] {
        assert_eq!(
            verify(&keys, &headers, body, sent_s + offset_s).is_ok(),
            is_accepted,
            "{offset_s} s after it was sent"
        );
    }
    for line in &lines {
        let mut twice = WebhookHeaders::new();
        for (name, value) in lines.iter().chain([line]) {
            twice.header(name, value);
        }
        let name = &line.0;
        let is_ours = name.to_ascii_lowercase().starts_with(format!("{family}-").as_bytes());
        assert!(!is_ours || verify(&keys, &twice, body, now_s).is_err(), "accepted with a line twice");
    }

    let event = watch(|| delivery.event());
    let Ok(event) = event else { return };
    // What is ignored in a signed event need not be a value that the second reader knows, such as 1e400.
    let Some(tree) = Tree::parse(body) else { return };
    assert_eq!(event.instance_id.as_deref(), tree.text("instance_id"));
    let (kind, data) = (tree.text("type").expect("a type"), tree.get("data").expect("data"));
    match event.event {
        WebhookEvent::User(user) => {
            assert!(kind == "user.created" || kind == "user.updated");
            assert_eq!(Some(user.id.as_str()), data.text("id"));
        }
        WebhookEvent::UserDeleted(id) => assert_eq!((kind, Some(id.as_str())), ("user.deleted", data.text("id"))),
        WebhookEvent::SessionEnded(id) | WebhookEvent::SessionPending(id) => {
            assert!(kind.starts_with("session."));
            assert_eq!(Some(id.as_str()), data.text("id"));
        }
        WebhookEvent::Membership { user_id } => {
            let member = data.get("public_user_data").expect("a member");
            assert_eq!(member.text("user_id"), Some(user_id.as_str()));
        }
        WebhookEvent::OrganizationChanged(id) => {
            let organization = data.get("organization").unwrap_or(data);
            assert_eq!(organization.text("id"), Some(id.as_str()));
        }
        WebhookEvent::RolesChanged => assert!(kind.starts_with("role.") || kind.starts_with("permission.")),
        WebhookEvent::Other => {
            assert!(!kind.starts_with("user.") || !["created", "updated", "deleted"].contains(&&kind[5..]))
        }
    }
}
