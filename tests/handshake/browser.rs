//! A browser, the application and Clerk's Frontend API together: cookies are stored, redirects are followed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use clerk_auth::{AuthResult, Client, Request};
use clerk_sim::{Frontend, Sim};

use super::common::{pem, word};
use super::{LIVE_KEY, TEST_KEY};

const APP: &str = "http://127.0.0.1:9";

struct Site {
    sim: Sim,
    client: Client,
    cookies: BTreeMap<String, String>,
    /// Cookies whose names begin so are not stored.
    refused: &'static [&'static str],
    /// The redirects of the last visit, by who sent them.
    hops: Vec<&'static str>,
}

fn site(key: &str, change: impl FnOnce(&mut Frontend)) -> Site {
    let sim = Sim::start();
    let mut frontend = Frontend { publishable_key: key.into(), ..Frontend::default() };
    change(&mut frontend);
    sim.update(|state| state.frontend = Some(frontend));
    let client = Client::builder()
        .handshake("on")
        .publishable_key(key)
        .secret_key("sk_test_simulated")
        .jwt_key(pem(&sim).unwrap())
        .api_url(sim.url())
        .proxy_url(sim.url())
        .public_origin([APP])
        .clock_skew_ms(0)
        .build()
        .unwrap();
    Site { sim, client, cookies: BTreeMap::new(), refused: &[], hops: Vec::new() }
}

impl Site {
    fn cookie_line(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn store<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        for line in lines {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Expires=Thu, 01 Jan 1970") {
                self.cookies.remove(name);
            } else if !self.refused.iter().any(|prefix| name.starts_with(prefix)) {
                self.cookies.insert(name.into(), value.into());
            }
        }
    }

    /// Requests a page of the application or of Clerk, and follows redirects until the application responds itself.
    fn visit(&mut self, url: &str) -> Arc<AuthResult> {
        self.hops.clear();
        let mut url = url.to_owned();
        for _ in 0..20 {
            let location = match url.strip_prefix(APP) {
                Some(target) => {
                    let result = self.request(target);
                    let lines: Vec<String> = result.set_cookies().map(str::to_owned).collect();
                    self.store(lines.iter().map(String::as_str));
                    match result.redirect() {
                        None => return result,
                        Some(location) => {
                            self.hops.push("app");
                            location.to_owned()
                        }
                    }
                }
                None => {
                    self.hops.push("clerk");
                    self.get(&url)
                }
            };
            url = location;
        }
        panic!("a loop: {:?}", self.hops);
    }

    fn request(&self, target: &str) -> Arc<AuthResult> {
        let cookies = self.cookie_line();
        let mut request = Request::new();
        request.method(b"GET").scheme(b"http").target(target.as_bytes()).header(b"Host", b"127.0.0.1:9");
        request.header(b"Cookie", cookies.as_bytes()).header(b"Sec-Fetch-Dest", b"document");
        self.client.authenticate(&request)
    }

    /// Requests a page of Clerk; returns its `Location`.
    fn get(&mut self, url: &str) -> String {
        let target = url.strip_prefix(&self.sim.url()).unwrap_or_else(|| panic!("a redirect to {url}"));
        let mut stream = TcpStream::connect(self.sim.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let cookies = self.cookie_line();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: clerk\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let fields: Vec<(&str, &str)> = response.lines().filter_map(|line| line.split_once(": ")).collect();
        let values =
            |name: &str| fields.iter().filter(|(other, _)| *other == name).map(|(_, value)| *value).collect::<Vec<_>>();
        assert!(response.starts_with("HTTP/1.1 307 "), "{url}: {response}");
        self.store(values("Set-Cookie"));
        values("Location")[0].to_owned()
    }

    fn sign_in(&mut self) -> Arc<AuthResult> {
        let url = format!("{}/sign-in/submit?user=user_1&redirect_url={APP}/page", self.sim.url());
        self.visit(&url)
    }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(1200));
}

#[test]
fn production_session_is_renewed_after_each_pause() {
    for (token_format, refresh) in [(false, false), (true, false), (false, true)] {
        let mut site = site(LIVE_KEY, |frontend| {
            frontend.token_life_s = 1;
            (frontend.token_format, frontend.refresh) = (token_format, refresh);
        });
        assert_eq!(word(&site.visit("http://127.0.0.1:9/")), "none session-token-and-uat-missing");
        let signed_in = site.sign_in();
        assert_eq!(signed_in.identity().and_then(|identity| identity.user_id()), Some("user_1"));
        assert_eq!(site.hops, ["clerk", "app", "clerk"], "one redirect each way");
        assert!(!site.cookies.contains_key("__clerk_handshake_nonce"), "{:?}", site.cookies);
        pause();
        assert!(site.visit("http://127.0.0.1:9/page").is_signed_in());
        assert_eq!(site.hops, if refresh { vec![] } else { vec!["app", "clerk"] });
        assert!(site.visit("http://127.0.0.1:9/page").is_signed_in());
        assert_eq!(site.hops, [""; 0]);
    }
}

#[test]
fn development_browser_signs_in_by_the_address() {
    let mut site = site(TEST_KEY, |frontend| frontend.token_life_s = 2);
    assert_eq!(word(&site.visit("http://127.0.0.1:9/")), "none session-token-and-uat-missing");
    assert_eq!(site.hops, ["app", "clerk", "app"]);
    assert!(site.sign_in().is_signed_in());
    assert_eq!(site.hops, ["clerk", "app", "clerk", "app"]);
    std::thread::sleep(Duration::from_millis(2200));
    assert!(site.visit("http://127.0.0.1:9/page?tab=1").is_signed_in());
    assert_eq!(site.hops, ["app", "clerk", "app"]);
}

#[test]
fn sign_out_on_another_device_is_noticed_at_the_next_renewal() {
    let mut site = site(LIVE_KEY, |frontend| frontend.token_life_s = 1);
    assert!(site.sign_in().is_signed_in());
    site.sim.update(|state| {
        let frontend = state.frontend.as_mut().unwrap();
        frontend.browsers.values_mut().for_each(|browser| (browser.user, browser.session) = (None, None));
    });
    pause();
    let result = site.visit("http://127.0.0.1:9/page");
    assert_eq!((word(&result), result.http_status()), ("none session-token-missing".into(), 401));
    assert!(!site.cookies.contains_key("__session"), "{:?}", site.cookies);
    assert_eq!(word(&site.visit("http://127.0.0.1:9/page")), "none session-token-and-uat-missing");
    assert_eq!(site.hops, [""; 0]);
}

#[test]
fn keys_of_another_instance_end_after_three_redirects() {
    for token_format in [false, true] {
        let mut site = site(LIVE_KEY, |frontend| {
            (frontend.signing_key, frontend.token_format) = (Some("k2".into()), token_format);
        });
        let result = site.sign_in();
        assert_eq!((result.is_signed_in(), result.http_status()), (false, 401), "{}", word(&result));
        assert_eq!(site.hops.iter().filter(|hop| **hop == "app").count(), 3);
    }
}

// Threat H8.
#[test]
fn browser_that_refuses_cookies_does_not_loop() {
    let redirects = |site: &Site| site.hops.iter().filter(|hop| **hop == "app").count();
    for token_format in [false, true] {
        let mut site = site(LIVE_KEY, |frontend| frontend.token_format = token_format);
        site.refused = &["__"];
        assert_eq!(word(&site.sign_in()), "none session-token-and-uat-missing");
        assert_eq!(redirects(&site), 0);
        // Too long for a browser, such as a session with many claims.
        site.refused = &["__session"];
        for visit in 0..2 {
            let page = if visit == 0 { site.sign_in() } else { site.visit("http://127.0.0.1:9/page") };
            assert!(page.is_signed_in(), "{}", word(&page));
            assert_eq!(redirects(&site), 1);
            site.cookies.remove("__clerk_redirect_count");
        }
        site.refused = &["__session", "__clerk_handshake"];
        let page = site.visit("http://127.0.0.1:9/page");
        assert_eq!((word(&page), page.http_status()), ("out client-uat-but-no-session-token".into(), 401));
        assert_eq!(redirects(&site), 3);
    }
}
