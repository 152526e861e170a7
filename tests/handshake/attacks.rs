//! What unauthenticated clients may try.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clerk_sim::{Fault, Kind, TokenSpec};
use serde_json::json;

use super::common::word;
use super::{Browser, development, handshake_token, lines, live, seen, session, set_cookies};

// Threat H1.
#[test]
fn forged_host_gets_no_redirect() {
    let fixture = live(|config| config.set("proxy_url", "/__clerk").unwrap());
    for host in [
        "evil.example",
        "app.example.com.evil.example",
        "app.example.com@evil.example",
        "evil.example/app.example.com",
        "app.example.com:8443",
        "app.example.com, evil.example",
        "app.example.com\tevil.example",
        "",
    ] {
        let mut page = Browser::document("/").expired(&fixture);
        page.host = host.to_owned();
        let result = page.send(&fixture.client);
        assert_eq!(seen(&result), ("out token-expired".into(), 0, false), "{host}");
    }
    for name in ["X-Forwarded-Host", "Forwarded", "X-Host", "X-Forwarded-Server"] {
        let page = Browser::document("/").expired(&fixture).header(name, "evil.example");
        let location = page.send(&fixture.client).redirect().unwrap().to_owned();
        assert!(
            location.starts_with("https://app.example.com/__clerk/v1/") && !location.contains("evil"),
            "{location}"
        );
    }
    let second = Browser::document("/").expired(&fixture).header("Host", "evil.example");
    assert!(second.send(&fixture.client).redirect().is_none());
}

// Threat H1.
#[test]
fn trusted_forwarded_host_is_checked_as_well() {
    let fixture = live(|config| config.trust_forwarded = true);
    let page = |host: &str, scheme: &str| {
        let page = Browser::document("//evil.example/x").expired(&fixture);
        let page = page.header("X-Forwarded-Host", host).header("X-Forwarded-Proto", scheme);
        page.send(&fixture.client).redirect().map(str::to_owned)
    };
    for (host, scheme) in [
        ("evil.example", "https"),
        ("app.example.com", "javascript"),
        ("app.example.com", "http"),
        ("evil, app.example.com", "https"),
    ] {
        assert_eq!(page(host, scheme), None, "{host} {scheme}");
    }
    let location = page("app.example.com", "https").unwrap();
    assert!(location.contains("redirect_url=https%3A%2F%2Fapp.example.com%2F%2Fevil.example%2Fx&"), "{location}");
}

// Threat H2.
#[test]
fn payload_lines_cannot_inject_headers_or_foreign_cookies() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    let mut payload = lines(&token);
    for line in [
        "__session=a\r\nSet-Cookie: admin=1",
        "__session=a\nX-Evil: 1",
        "__session=\0",
        "__session\r=a",
        "__session=\u{e9}",
        "sessionid=stolen; Path=/",
        "admin=1; __session=a",
        "=__session",
        "",
    ] {
        payload.as_array_mut().unwrap().insert(0, json!(line));
    }
    payload.as_array_mut().unwrap().push(json!(5));
    let dropped = payload.as_array().unwrap().len() - 3;
    let handshake = handshake_token(&fixture, &payload);
    fixture.sim.update(|state| {
        state.nonces.insert("n1".into(), payload.clone());
        state.refresh = json!({"cookies": payload});
    });
    fixture.event_log.take();
    for (page, source) in [
        (Browser::document("/").cookie("__clerk_handshake", handshake), "token"),
        (Browser::document("/").cookie("__clerk_handshake_nonce", "n1"), "nonce"),
        (Browser::document("/").expired(&fixture).cookie("__refresh_naoXFJnI", "rt_0"), "refresh"),
    ] {
        let result = page.send(&fixture.client);
        assert!(result.is_signed_in(), "{source}: {}", word(&result));
        assert_eq!(set_cookies(&result), serde_json::from_value::<Vec<String>>(lines(&token)).unwrap(), "{source}");
        let event = format!("handshake_resolved {source} {dropped}");
        assert!(fixture.event_log.take().contains(&event), "{event}");
    }
}

// Threat H2.
#[test]
fn request_cannot_inject_into_the_location() {
    let fixture = live(|_| {});
    for target in ["/a\r\nSet-Cookie: a=b", "/a\0", "/a b", "/a#b", "http://evil.example/", "*", "@evil.example/"] {
        let page = Browser::document(target).expired(&fixture);
        assert_eq!(seen(&page.send(&fixture.client)), ("out token-expired".into(), 0, false), "{target:?}");
    }
    let session = "a%0D%0Ab&redirect_url=https://evil.example\"\u{e9}";
    let page = Browser::document("/\u{e9}?&__clerk_hs_reason=x").cookie("__session", session);
    let result = page.send(&fixture.client);
    let location = result.redirect().unwrap();
    assert!(location.bytes().all(|b| b.is_ascii_graphic()), "{location}");
    assert_eq!(location.matches("redirect_url=").count(), 1, "{location}");
    assert_eq!(location.matches("__clerk_hs_reason=session-token-but-no-client-uat&").count(), 1, "{location}");
}

// Threat H3.
#[test]
fn token_that_is_no_handshake_of_the_instance_is_refused() {
    let fixture = live(|_| {});
    fixture.client.warm_up().unwrap();
    let token = fixture.mint(&session());
    let payload = json!({"handshake": lines(&token)});
    let with_payload = |mut spec: TokenSpec| {
        spec.claims.extend(payload.as_object().unwrap().clone());
        fixture.mint(&spec)
    };
    let of_kind = |kind, subject| TokenSpec::new(kind, subject);
    let mut without_cat = session();
    without_cat.header.insert("cat".into(), json!(null));
    let accepted = Browser::document("/").cookie("__clerk_handshake", with_payload(without_cat));
    assert_eq!(seen(&accepted.send(&fixture.client)), ("in verified".into(), 3, false));
    let calls = fixture.calls();
    for (name, token) in [
        ("template", with_payload(of_kind(Kind::Template, "user_ada"))),
        ("oauth", with_payload(of_kind(Kind::OauthJwt, "user_ada"))),
        ("machine", with_payload(of_kind(Kind::M2mJwt, "mch_1"))),
        ("wrong key", with_payload(session().key("k1_rotated"))),
        ("garbage", "a.b.c".to_owned()),
        ("one part", "abc".to_owned()),
        ("20 kB", "a".repeat(20_000)),
    ] {
        let page = Browser::document("/").cookie("__clerk_handshake", token);
        let result = page.send(&fixture.client);
        assert_eq!(seen(&result), ("none session-token-and-uat-missing".into(), 0, false), "{name}");
    }
    let huge = Browser::document("/").cookie("__clerk_handshake", "a".repeat(1_000_000));
    assert_eq!(seen(&huge.send(&fixture.client)), ("out token-invalid".into(), 0, false));
    assert!(fixture.calls() <= calls + 1, "at most one look for a new key");
}

// Threat H3.
#[test]
fn rejected_handshake_in_development_ends_without_a_redirect() {
    let fixture = development(|_| {});
    fixture.client.warm_up().unwrap();
    let other = fixture.mint(&TokenSpec {
        claims: json!({"handshake": []}).as_object().unwrap().clone(),
        ..session().key("k1_rotated")
    });
    for token in [other, "abc".into(), "a".repeat(1_000_000)] {
        let page = Browser::document(&format!("/?__clerk_handshake={token}")).cookie("__clerk_db_jwt", "dvb_1");
        let result = page.send(&fixture.client);
        assert!(!result.is_signed_in() && result.redirect().is_none(), "{}", word(&result));
        assert_eq!(result.set_cookies().len(), 0);
    }
}

// Threat H4.
#[test]
fn production_reads_no_response_from_the_query() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    let handshake = handshake_token(&fixture, &lines(&token));
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    for target in [format!("/?__clerk_handshake={handshake}"), "/?__clerk_handshake_nonce=n1".into()] {
        let result = Browser::document(&target).send(&fixture.client);
        assert_eq!(seen(&result), ("none session-token-and-uat-missing".into(), 0, false));
    }
    assert_eq!(fixture.sim.requests("/clients/handshake_payload"), 0);
}

// Threat H5.
#[test]
fn nonce_that_was_used_is_refused_to_another_browser() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.nonces.insert("n1".into(), lines(&token)));
    let own = Browser::document("/").cookie("__clerk_handshake_nonce", "n1").cookie("theme", "dark");
    assert_eq!(seen(&own.send(&fixture.client)), ("in verified".into(), 3, false));
    // A call of the same page, at the same time.
    assert!(own.send(&fixture.client).is_signed_in());
    let stolen = Browser::document("/").cookie("__clerk_handshake_nonce", "n1");
    assert_eq!(seen(&stolen.send(&fixture.client)), ("none session-token-missing".into(), 0, false));
    fixture.time.advance_s(6);
    assert_eq!(seen(&own.send(&fixture.client)), ("none session-token-missing".into(), 0, false));
    assert_eq!(fixture.sim.requests("/clients/handshake_payload"), 1);
}

// Threat H6.
#[test]
fn invented_nonces_cost_a_limited_number_of_calls() {
    let fixture = live(|_| {});
    for n in 0..200 {
        let page = Browser::document("/").cookie("__clerk_handshake_nonce", format!("n{n}"));
        let result = page.send(&fixture.client);
        assert!(!result.is_signed_in() && result.redirect().is_none());
    }
    assert!(fixture.sim.requests("/clients/handshake_payload") <= 55);
    // A browser with a session, though expired, is not refused for that.
    let token = fixture.mint(&session());
    fixture.client.warm_up().unwrap();
    fixture.sim.update(|state| state.nonces.insert("own".into(), lines(&token)));
    let own = Browser::document("/").expired(&fixture).cookie("__clerk_handshake_nonce", "own");
    assert_eq!(seen(&own.send(&fixture.client)), ("in verified".into(), 3, false));
    let calls = fixture.calls();
    for nonce in ["../users", "a b", "a%2Fb", "n?x=1", &"a".repeat(257)] {
        let page = Browser::document("/").cookie("__clerk_handshake_nonce", nonce);
        assert_eq!(word(&page.send(&fixture.client)), "none session-token-missing", "{nonce}");
    }
    assert_eq!(fixture.calls(), calls);
}

// Threat H6.
#[test]
fn invented_nonces_with_forged_sessions_cost_a_limited_number_of_calls() {
    let fixture = live(|_| {});
    fixture.client.warm_up().unwrap();
    for n in 0..200 {
        let forged = fixture.mint(&session().sid(&format!("sess_{n}")).key("k1_rotated"));
        let page = Browser::document("/").cookie("__session", forged).cookie("__client_uat", "1700000000");
        let _ = page.cookie("__clerk_handshake_nonce", format!("n{n}")).send(&fixture.client);
    }
    assert!(fixture.sim.requests("/clients/handshake_payload") <= 55);
}

// Threat H6.
#[test]
fn slow_clerk_blocks_few_threads_of_invented_nonces() {
    // Each of its own: a number of calls. A few that many send: a number of waiting callers.
    for (nonces, limit) in [(60, 8), (4, 32)] {
        let fixture = live(|config| config.timeout_ms = 5000);
        fixture.client.warm_up().unwrap();
        fixture.sim.fault(Fault::on("/clients/handshake_payload").status(404).delay_ms(3000));
        let slow = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for n in 0..60 {
                let (fixture, slow) = (&fixture, &slow);
                scope.spawn(move || {
                    let begun = Instant::now();
                    let page = Browser::document("/").cookie("__clerk_handshake_nonce", format!("n{}", n % nonces));
                    let _ = page.send(&fixture.client);
                    slow.fetch_add(usize::from(begun.elapsed() >= Duration::from_millis(1500)), Ordering::SeqCst);
                });
            }
        });
        assert_eq!(slow.into_inner(), limit, "{nonces}");
    }
}

// Threat H6.
#[test]
fn forged_session_costs_neither_redirect_nor_refresh() {
    let fixture = live(|_| {});
    fixture.client.warm_up().unwrap();
    let calls = fixture.calls();
    let forged = fixture.mint(&TokenSpec { iat_in: Some(-180), ..session().exp_in(-120).key("k1_rotated") });
    let page = Browser::document("/").cookie("__session", forged).cookie("__client_uat", "1700000000");
    let page = page.cookie("__refresh_naoXFJnI", "rt_0");
    assert_eq!(seen(&page.send(&fixture.client)), ("out token-invalid-signature".into(), 0, false));
    assert_eq!(fixture.sim.requests("/sessions/*/refresh"), 0);
    assert!(fixture.calls() <= calls + 1, "at most one look for a new key");
}

// Threat H6.
#[test]
fn refreshes_of_a_session_are_limited() {
    let fixture = live(|_| {});
    for n in 0..30 {
        let expired = fixture.mint(&TokenSpec { iat_in: Some(-200 - n), ..session().exp_in(-120) });
        let page = Browser::document("/").cookie("__session", expired).cookie("__client_uat", "1700000000");
        let result = page.cookie("__refresh_naoXFJnI", "rt_0").send(&fixture.client);
        assert_eq!(seen(&result), ("out token-expired".into(), 1, true));
    }
    assert_eq!(fixture.sim.requests("/sessions/*/refresh"), 5);
}

// Threat H7.
#[test]
fn expired_token_with_another_refresh_cookie_gets_no_refreshed_session() {
    let fixture = live(|_| {});
    let token = fixture.mint(&session());
    fixture.sim.update(|state| state.refresh = json!({"cookies": lines(&token)}));
    let expired = fixture.mint(&TokenSpec { iat_in: Some(-180), ..session().exp_in(-120) });
    let page = |refresh: &str| {
        let page = Browser::fetch("/").cookie("__session", expired.clone()).cookie("__client_uat", "1700000000");
        seen(&page.cookie("__refresh_naoXFJnI", refresh).send(&fixture.client))
    };
    assert_eq!(page("rt_0"), ("in verified".into(), 3, false));
    fixture.sim.update(|state| state.refresh = json!(null));
    assert_eq!(page("rt_invented"), ("out token-expired".into(), 0, false));
    assert_eq!(fixture.sim.requests("/sessions/*/refresh"), 2);
}

// Threat H7.
#[test]
fn refresh_of_another_user_or_session_is_refused() {
    let fixture = live(|config| config.set("authorized_parties", super::ORIGIN).unwrap());
    let bob = TokenSpec::session("user_bob").sid("sess_ada").azp(super::ORIGIN);
    let other_session = session().sid("sess_other");
    for (n, spec) in
        [bob, other_session, session().key("k1_rotated"), session().azp("https://evil.example")].iter().enumerate()
    {
        let token = fixture.mint(spec);
        fixture.sim.update(|state| state.refresh = json!({"cookies": lines(&token)}));
        let expired = fixture.mint(&TokenSpec { iat_in: Some(-300 - n as i64), ..session().exp_in(-120) });
        let page = Browser::fetch("/").cookie("__session", expired).cookie("__client_uat", "1700000000");
        let result = page.cookie("__refresh_naoXFJnI", "rt_0").send(&fixture.client);
        assert_eq!(seen(&result), ("out token-expired".into(), 0, false), "{n}");
    }
}

// Threat H8.
#[test]
fn redirects_stop_after_three() {
    let fixture = live(|_| {});
    let mut page = Browser::document("/").expired(&fixture);
    let mut redirects = 0;
    for _ in 0..10 {
        let result = page.send(&fixture.client);
        let Some(line) = set_cookies(&result).first().map(|line| (*line).to_owned()) else { break };
        assert!(result.redirect().is_some());
        redirects += 1;
        let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
        page.cookies.retain(|(other, _)| other != name);
        page.cookies.push((name.to_owned(), value.to_owned()));
    }
    let result = page.send(&fixture.client);
    assert_eq!((redirects, seen(&result)), (3, ("out token-expired".into(), 0, false)));
    assert!(!result.handshake_recommended());
}

// Threat H8.
#[test]
fn response_that_stays_in_a_cookie_does_not_loop_in_development() {
    let fixture = development(|_| {});
    let page = Browser::document("/").cookie("__clerk_handshake_nonce", "used").cookie("__clerk_db_jwt", "dvb_1");
    assert_eq!(seen(&page.send(&fixture.client)), ("none session-token-missing".into(), 0, true));
    assert_eq!(seen(&page.send(&fixture.client)), ("none session-token-missing".into(), 0, false));
}

// Threat H9.
#[test]
fn development_primary_passes_its_browser_to_known_satellites_only() {
    let fixture = development(|config| {
        config.set("satellite_origins", "https://satellite.example.net").unwrap();
    });
    let ask = |url: &str| {
        let page = Browser::document(&format!("/sign-in?__clerk_redirect_url={url}")).cookie("__clerk_db_jwt", "dvb_1");
        page.send(&fixture.client).redirect().map(str::to_owned)
    };
    assert_eq!(
        ask("https%3A%2F%2Fsatellite.example.net%2Fa%3F__clerk_synced%3Dfalse").as_deref(),
        Some("https://satellite.example.net/a?__clerk_synced=true&__clerk_db_jwt=dvb_1")
    );
    for url in [
        "https%3A%2F%2Fevil.example%2F",
        "https%3A%2F%2Fsatellite.example.net%40evil.example%2F",
        "https%3A%2F%2Fsatellite.example.net.evil.example%2F",
        "https%3A%2F%2Fsatellite.example.net%5C%40evil.example%2F",
        "%2F%2Fsatellite.example.net%2F",
        "javascript%3Aalert(1)",
        "http%3A%2F%2Fsatellite.example.net%2F",
        "https%3A%2F%2Fsatellite.example.net%2F%0D%0AX%3A+y",
    ] {
        assert_eq!(ask(url), None, "{url}");
    }
}

// Threat H10.
#[test]
fn long_address_loses_the_token_and_then_the_redirect() {
    let fixture = live(|_| {});
    let page = |len: usize| {
        let page = Browser::document(&format!("/{}", "a".repeat(len))).expired(&fixture);
        page.send(&fixture.client).redirect().map(|location| location.contains("&__session="))
    };
    assert_eq!((page(10), page(6500), page(8000)), (Some(true), Some(false), None));
}
