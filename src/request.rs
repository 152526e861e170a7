//! From the raw header and cookie lines of a request to the one credential in them.
//!
//! `Authorization` is read per RFC 9110 §11.4 and RFC 6750 §2.1; cookies per RFC 6265 §5.4, tolerantly: a strange
//! foreign cookie never costs the session. A header that says Bearer decides alone, good or bad.

use memchr::memchr;
use smallvec::SmallVec;

use crate::reason::Reason;

/// The longest token that is looked at. A cookie cannot hold more than 4 KiB, a header of most servers not more than 8.
pub const LONGEST_TOKEN: usize = 16 * 1024;
/// The longest that all cookie lines together may be.
pub const LONGEST_COOKIES: usize = 64 * 1024;

type Lines<'a> = SmallVec<[&'a [u8]; 2]>;

/// The lines of a request that matter here; all others are passed over.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    authorization: Lines<'a>,
    cookies: Lines<'a>,
    method: &'a [u8],
    fetch_dest: Option<&'a [u8]>,
    accept: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A request without headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of one header line. Names are compared without case (RFC 9110 §5.1).
    pub fn header(&mut self, name: &[u8], value: &'a [u8]) -> &mut Self {
        match name.len() {
            6 if name.eq_ignore_ascii_case(b"cookie") => self.cookies.push(value),
            6 if name.eq_ignore_ascii_case(b"accept") => self.accept = Some(value),
            13 if name.eq_ignore_ascii_case(b"authorization") => self.authorization.push(value),
            14 if name.eq_ignore_ascii_case(b"sec-fetch-dest") => self.fetch_dest = Some(value),
            _ => {}
        }
        self
    }

    /// The request's method; only the hint `handshake_recommended` depends on it.
    pub fn method(&mut self, method: &'a [u8]) -> &mut Self {
        self.method = method;
        self
    }

    /// Whether a browser could be sent on a redirect for this request (a page load, not a call from a script).
    pub fn is_document(&self) -> bool {
        self.method == b"GET"
            && match self.fetch_dest {
                Some(dest) => dest == b"document" || dest == b"iframe",
                None => self.accept.is_some_and(|accept| accept.starts_with(b"text/html")),
            }
    }
}

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …`
    Header,
    /// `__session` or `__session_<suffix>`
    Cookie,
}

/// The one token of a request: a sub-slice of the lines given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token's bytes, as they stand: what is hashed, looked up, verified and cached.
    pub token: &'a [u8],
    /// Where it was found.
    pub carrier: TokenSource,
    /// Seconds since 1970 of the browser's last sign-in or sign-out, under the strict cookie policy.
    pub client_uat: Option<i64>,
}

/// What an unverified look into a session cookie tells; decides only which cookie is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peek {
    /// `iss`, if it is a text that is not empty.
    pub iss: Option<String>,
    /// `iss` is there, but no text.
    pub iss_is_odd: bool,
    /// `iat` in seconds.
    pub iat: Option<f64>,
    /// `exp` in seconds.
    pub exp: Option<f64>,
}

/// How credentials are read, settled once from the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The instance's own cookie suffix and frontend API host, known with a publishable key.
    pub instance: Option<Instance>,
    /// Whether `__client_uat` is heeded.
    pub check_client_uat: bool,
    /// Whether an `Authorization` value without a scheme is a token.
    pub allow_bare_token: bool,
    /// A look into a token without verifying it.
    pub peek: fn(&str) -> Option<Peek>,
}

/// What a publishable key says of its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Eight characters that set this instance's cookies apart from its neighbours'.
    pub suffix: String,
    /// Host of the frontend API, which issues the tokens.
    pub frontend_api: String,
    /// `pk_live_…`
    pub production: bool,
}

/// Finds the credential. `Ok(None)`: nothing was presented. `Err`: something was, and it is no good.
pub fn extract<'a>(request: &Request<'a>, rules: &Rules, now_s: i64) -> Result<Option<Credential<'a>>, Reason> {
    // RFC 9110 §5.3: Authorization is no list; two lines of it are a smuggling attempt or a broken proxy.
    if request.authorization.len() > 1 {
        return Err(Reason::TokenInvalid);
    }
    if let Some(line) = request.authorization.first()
        && let Some(token) = bearer(trim(line), rules.allow_bare_token)?
    {
        return Ok(Some(Credential { token, carrier: TokenSource::Header, client_uat: None }));
    }
    from_cookies(&request.cookies, rules, now_s)
}

impl<'a> Credential<'a> {
    /// The token as text, of the alphabet that tokens are made of (RFC 9110 §11.2). Looked at only when the cache does not
    /// know the token: the bytes of one that it knows have been good before.
    pub fn text(&self) -> Option<&'a str> {
        is_token68(self.token).then(|| std::str::from_utf8(self.token).ok()).flatten()
    }
}

/// `Ok(None)`: another scheme, which is somebody else's business.
fn bearer(value: &[u8], allow_bare_token: bool) -> Result<Option<&[u8]>, Reason> {
    if value.is_empty() {
        return Ok(None);
    }
    // RFC 9110 §11.4: blanks follow a scheme; with anything else behind it, it is another scheme.
    let (scheme, rest) = value.split_at(memchr(b' ', value).unwrap_or(value.len()));
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return sized(trim(rest)).map(Some).ok_or(Reason::TokenInvalid);
    }
    if allow_bare_token && rest.is_empty() && is_token68(value) {
        return sized(value).map(Some).ok_or(Reason::TokenInvalid);
    }
    Ok(None)
}

fn sized(token: &[u8]) -> Option<&[u8]> {
    (1..=LONGEST_TOKEN).contains(&token.len()).then_some(token)
}

/// RFC 9110 §11.2.
fn is_token68(value: &[u8]) -> bool {
    let body = value.iter().rposition(|b| *b != b'=').map_or(0, |last| last + 1);
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    body > 0 && value[..body].iter().all(plain)
}

fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |i| i + 1);
    &value[start..end]
}

/// The cookies of interest; of several with one name the first that is not empty counts.
#[derive(Default)]
struct Found<'a> {
    session: Option<&'a [u8]>,
    session_suffixed: Option<&'a [u8]>,
    uat: Option<&'a [u8]>,
    uat_suffixed: Option<&'a [u8]>,
    foreign_suffixed: usize,
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr(b';', line);
        rest = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

const SESSION: &[u8] = b"__session";
const CLIENT_UAT: &[u8] = b"__client_uat";

fn find_cookies<'a>(lines: &[&'a [u8]], suffix: Option<&str>) -> Found<'a> {
    let mut found = Found::default();
    for pair in lines.iter().flat_map(|line| pairs(line)) {
        let pair = trim(pair);
        if !pair.starts_with(b"__") {
            continue;
        }
        let Some(equals) = memchr(b'=', pair) else { continue };
        let (name, mut value) = (trim(&pair[..equals]), trim(&pair[equals + 1..]));
        if let [b'"', inner @ .., b'"'] = value {
            value = inner;
        }
        if value.is_empty() {
            continue;
        }
        let slot = match (name.strip_prefix(SESSION), name.strip_prefix(CLIENT_UAT)) {
            (Some(b""), _) => &mut found.session,
            (_, Some(b"")) => &mut found.uat,
            (Some([b'_', rest @ ..]), _) => match suffix {
                Some(own) if rest == own.as_bytes() => &mut found.session_suffixed,
                None if rest.len() == 8 => {
                    found.foreign_suffixed += 1;
                    &mut found.session_suffixed
                }
                _ => continue,
            },
            (_, Some([b'_', rest @ ..])) if suffix.is_some_and(|own| rest == own.as_bytes()) => &mut found.uat_suffixed,
            _ => continue,
        };
        slot.get_or_insert(value);
    }
    found
}

fn from_cookies<'a>(lines: &[&'a [u8]], rules: &Rules, now_s: i64) -> Result<Option<Credential<'a>>, Reason> {
    if lines.is_empty() && !rules.check_client_uat {
        return Ok(None);
    }
    if lines.iter().map(|line| line.len()).sum::<usize>() > LONGEST_COOKIES {
        return Err(Reason::TokenInvalid);
    }
    let found = find_cookies(lines, rules.instance.as_ref().map(|i| i.suffix.as_str()));
    let (token, uat) = match &rules.instance {
        Some(instance) if suffixed_wins(&found, instance, rules.peek, now_s) => {
            (found.session_suffixed, found.uat_suffixed)
        }
        // Clerk's rules count on the browser's state; where that is not heeded, our own cookie is ours by its name.
        Some(_) if !rules.check_client_uat => (found.session.or(found.session_suffixed), None),
        Some(_) => (found.session, found.uat),
        // Without a publishable key nobody can tell whose several suffixed cookies are.
        None => (found.session.or(found.session_suffixed.filter(|_| found.foreign_suffixed == 1)), found.uat),
    };
    let client_uat = match rules.check_client_uat {
        false => None,
        true => Some(uat.map_or(0, leading_integer)),
    };
    let refuse = match (client_uat, token) {
        (Some(0), None) => Some(Reason::SessionTokenAndUatMissing),
        (Some(0), Some(_)) => Some(Reason::SessionTokenButNoClientUat),
        (Some(_), None) => Some(Reason::ClientUatButNoSessionToken),
        _ => None,
    };
    if let Some(reason) = refuse {
        return Err(reason);
    }
    let Some(token) = token else { return Ok(None) };
    let token = sized(token).ok_or(Reason::TokenInvalid)?;
    Ok(Some(Credential { token, carrier: TokenSource::Cookie, client_uat }))
}

/// Clerk's own choice between the two session cookies, in its order (`usesSuffixedCookies` of `@clerk/backend`).
fn suffixed_wins(found: &Found<'_>, instance: &Instance, peek: fn(&str) -> Option<Peek>, now_s: i64) -> bool {
    // The usual case: a browser sends the same token under both names, or only one.
    if found.session.is_some() && found.session == found.session_suffixed && found.uat == found.uat_suffixed {
        return true;
    }
    let look = |cookie: Option<&[u8]>| cookie.and_then(|token| std::str::from_utf8(sized(token)?).ok()).and_then(peek);
    let plain = look(found.session);
    if found.session.is_some() {
        let Some(plain) = plain.as_ref().filter(|p| p.iss.is_some() || p.iss_is_odd) else { return false };
        let host = plain.iss.as_deref().map(|iss| {
            let iss = iss.strip_prefix("https://").or_else(|| iss.strip_prefix("http://")).unwrap_or(iss);
            iss == instance.frontend_api
        });
        if host != Some(true) {
            return true;
        }
    }
    if found.uat_suffixed.is_none() && found.session_suffixed.is_none() {
        return false;
    }
    let own = look(found.session_suffixed);
    let iat = |p: &Option<Peek>| p.as_ref().and_then(|p| p.iat).unwrap_or(0.0);
    let zero = |uat: Option<&[u8]>| uat == Some(b"0");
    let (uat_zero, own_uat_zero) = (zero(found.uat), zero(found.uat_suffixed));
    if !own_uat_zero && !uat_zero && iat(&plain) > iat(&own) {
        return false;
    }
    if own_uat_zero && !uat_zero {
        return false;
    }
    if !instance.production
        && !own_uat_zero
        && uat_zero
        && own.as_ref().and_then(|p| p.exp).is_some_and(|exp| exp <= now_s as f64)
    {
        return false;
    }
    !(found.uat_suffixed.is_none() && found.session_suffixed.is_some())
}

/// What JavaScript's `parseInt(text) || 0` makes of it, for numbers that a clock can show.
fn leading_integer(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let value = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b - b'0')));
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            instance: None,
            check_client_uat: false,
            allow_bare_token: false,
            // `us.9`: who has issued it, and when; `us.9-60`: until when as well; `?.9`: by a number.
            peek: |token| {
                let (iss, times) = token.split_once('.')?;
                let (iat, exp) = times.split_once('-').unwrap_or((times, ""));
                let iss_is_odd = iss == "?";
                Some(Peek {
                    iss: Some(iss.into()).filter(|_| !iss_is_odd),
                    iss_is_odd,
                    iat: iat.parse().ok(),
                    exp: exp.parse().ok(),
                })
            },
        }
    }

    fn own() -> Rules {
        let instance = Instance { suffix: "1Z8AzTQD".into(), frontend_api: "us".into(), production: true };
        Rules { instance: Some(instance), ..rules() }
    }

    fn header(value: &str, rules: &Rules) -> Result<Option<String>, Reason> {
        let mut request = Request::new();
        request.header(b"AUTHORIZATION", value.as_bytes());
        match extract(&request, rules, 0) {
            Ok(Some(c)) => c.text().map(|text| Some(text.to_owned())).ok_or(Reason::TokenInvalid),
            Ok(None) => Ok(None),
            Err(reason) => Err(reason),
        }
    }

    fn cookie(value: &str, rules: &Rules) -> Option<String> {
        let mut request = Request::new();
        request.header(b"cookie", value.as_bytes());
        extract(&request, rules, 0).unwrap().and_then(|c| c.text()).map(str::to_owned)
    }

    #[test]
    fn bearer_in_every_spelling_and_nothing_else() {
        for good in ["Bearer tok", "bearer tok", "BEARER   tok", "  Bearer tok \t"] {
            assert_eq!(header(good, &rules()), Ok(Some("tok".into())), "{good}");
        }
        for bad in ["Bearer", "Bearer ", "Bearer tok extra", "Bearer a,b", "Bearer \u{e9}", "Bearer =="] {
            assert_eq!(header(bad, &rules()), Err(Reason::TokenInvalid), "{bad}");
        }
        for other in ["", "   ", "Basic abc", "tok", "Bearertok", "Bearer\ttok", "Bearer,tok", "Bearer\u{a0}tok"] {
            assert_eq!(header(other, &rules()), Ok(None), "{other}");
        }
        assert_eq!(header("Bearer ak_a/b+c==", &rules()), Ok(Some("ak_a/b+c==".into())));
    }

    #[test]
    fn a_bare_token_only_by_option() {
        let bare = Rules { allow_bare_token: true, ..rules() };
        assert_eq!(header("tok", &bare), Ok(Some("tok".into())));
        assert_eq!(header("Basic abc", &bare), Ok(None));
    }

    #[test]
    fn two_authorization_lines_are_refused() {
        let mut request = Request::new();
        request.header(b"Authorization", b"Bearer a").header(b"authorization", b"Bearer a");
        assert_eq!(extract(&request, &rules(), 0), Err(Reason::TokenInvalid));
    }

    #[test]
    fn a_broken_bearer_does_not_fall_back_to_the_cookie() {
        let mut request = Request::new();
        request.header(b"Authorization", b"Bearer").header(b"Cookie", b"__session=tok");
        assert_eq!(extract(&request, &rules(), 0), Err(Reason::TokenInvalid));
    }

    #[test]
    fn odd_foreign_cookies_cost_nothing() {
        for line in [
            "theme={\"a\":1}; __session=tok",
            "utm=x y;; =; a; __session = tok ;\u{e9}=1",
            "__session=; __session=tok",
            "__session=\"tok\"",
        ] {
            assert_eq!(cookie(line, &rules()), Some("tok".into()), "{line}");
        }
        for line in ["__SESSION=tok", "session=tok", "__sessionx=tok", "__session", "x=__session=tok"] {
            assert_eq!(cookie(line, &rules()), None, "{line}");
        }
    }

    #[test]
    fn without_a_publishable_key_one_suffixed_cookie_will_do_and_two_will_not() {
        assert_eq!(cookie("__session_abcdefgh=a", &rules()), Some("a".into()));
        assert_eq!(cookie("__session_abcdefgh=a; __session_12345678=b", &rules()), None);
    }

    #[test]
    fn the_choice_between_the_two_cookies_is_clerks() {
        let both = |plain: &str, own_token: &str, rest: &str| {
            cookie(&format!("__session={plain}; __session_1Z8AzTQD={own_token}{rest}"), &own())
        };
        let uats = "; __client_uat=5; __client_uat_1Z8AzTQD=5";
        assert_eq!(both("garbage", "us.1", uats), Some("garbage".into()));
        assert_eq!(both("them.9", "us.1", uats), Some("us.1".into()));
        assert_eq!(both("us.9", "us.1", uats), Some("us.9".into()));
        assert_eq!(both("us.1", "us.9", uats), Some("us.9".into()));
        assert_eq!(both("us.1", "us.9", "; __client_uat=5; __client_uat_1Z8AzTQD=0"), Some("us.1".into()));
        assert_eq!(both("us.1", "us.9", ""), Some("us.1".into()));
        assert_eq!(cookie("__session=us.1", &own()), Some("us.1".into()));
        assert_eq!(cookie("__session=them.1", &own()), None);
        assert_eq!(cookie("__session_zzzzzzzz=us.1", &own()), None);
    }

    #[test]
    fn an_issuer_that_is_no_text_is_none_of_ours() {
        let uats = "; __client_uat=5; __client_uat_1Z8AzTQD=5";
        let line = format!("__session=?.9; __session_1Z8AzTQD=us.1{uats}");
        assert_eq!(cookie(&line, &own()), Some("us.1".into()));
    }

    #[test]
    fn in_development_an_own_token_that_is_over_gives_way_where_only_its_browser_is_signed_in() {
        let line = |own_token: &str, uat: &str| {
            format!("__session=us.1; __session_1Z8AzTQD={own_token}; __client_uat={uat}; __client_uat_1Z8AzTQD=5")
        };
        let choose = |production: bool, line: &str, now_s: i64| {
            let mut instance = own().instance.unwrap();
            instance.production = production;
            let rules = Rules { instance: Some(instance), ..rules() };
            let mut request = Request::new();
            request.header(b"cookie", line.as_bytes());
            extract(&request, &rules, now_s).unwrap().unwrap().text().unwrap().to_owned()
        };
        let over = line("us.9-60", "0");
        assert_eq!(choose(false, &over, 60), "us.1");
        assert_eq!(choose(false, &over, 59), "us.9-60");
        assert_eq!(choose(true, &over, 60), "us.9-60");
        assert_eq!(choose(false, &line("us.9-60", "5"), 60), "us.9-60");
        assert_eq!(choose(false, &line("us.9", "0"), 60), "us.9");
    }

    #[test]
    fn our_own_cookie_will_do_without_the_browsers_state() {
        for line in ["__session_1Z8AzTQD=us.1", "__session_1Z8AzTQD=us.1; __client_uat_1Z8AzTQD=0; __client_uat=5"] {
            assert_eq!(cookie(line, &own()), Some("us.1".into()), "{line}");
            let strict = Rules { check_client_uat: true, ..own() };
            let mut request = Request::new();
            request.header(b"cookie", line.as_bytes());
            assert!(extract(&request, &strict, 0).is_err(), "{line}");
        }
        assert_eq!(cookie("__session=them.1; __session_zzzzzzzz=us.1", &own()), None);
    }

    #[test]
    fn strict_policy_heeds_the_browsers_state() {
        let strict = Rules { check_client_uat: true, ..rules() };
        let outcome = |line: &str| {
            let mut request = Request::new();
            request.header(b"cookie", line.as_bytes());
            extract(&request, &strict, 0).map(|c| c.and_then(|c| c.client_uat))
        };
        assert_eq!(outcome("a=b"), Err(Reason::SessionTokenAndUatMissing));
        assert_eq!(outcome("__session=tok"), Err(Reason::SessionTokenButNoClientUat));
        assert_eq!(outcome("__client_uat=7"), Err(Reason::ClientUatButNoSessionToken));
        assert_eq!(outcome("__session=tok; __client_uat=7"), Ok(Some(7)));
    }

    #[test]
    fn several_cookie_lines_are_read_in_order() {
        let mut request = Request::new();
        request.header(b"cookie", b"a=b").header(b"cookie", b"__session=tok").header(b"cookie", b"__session=later");
        assert_eq!(extract(&request, &rules(), 0).unwrap().unwrap().token, b"tok");
    }

    #[test]
    fn only_page_loads_may_be_redirected() {
        let document = |method: &'static str, headers: &[(&str, &'static str)]| {
            let mut request = Request::new();
            request.method(method.as_bytes());
            for (name, value) in headers {
                request.header(name.as_bytes(), value.as_bytes());
            }
            request.is_document()
        };
        assert!(document("GET", &[("Sec-Fetch-Dest", "document")]));
        assert!(document("GET", &[("Accept", "text/html,*/*")]));
        assert!(!document("GET", &[("Sec-Fetch-Dest", "empty"), ("Accept", "text/html")]));
        assert!(!document("POST", &[("Accept", "text/html")]));
    }
}
