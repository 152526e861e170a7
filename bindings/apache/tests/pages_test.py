"""`ClerkPages`: redirects to Clerk, cookies on every response, and what gets neither. clerk-sim is Clerk and its Frontend API."""

import re
import subprocess
import urllib.parse

import harness

LIVE_KEY = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
TEST_KEY = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"
SUFFIX = "naoXFJnI"  # of the cookies of LIVE_KEY
PAGE = ("Sec-Fetch-Dest", "document")
HOST = "app.example.com"
UAT = "__client_uat=1700000000"
COUNT = "__clerk_redirect_count={}; SameSite=Lax; HttpOnly; Max-Age=2"
CLEARED = "__session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
OUT = [CLEARED, "__client_uat=0; Path=/"]
GUARDED = "AuthType Clerk\n  Require valid-user\n  ClerkPassHeaders On\n"


class Site:
    """Apache with a guarded application at /app, and a nonce `good` that signs user_1 in."""

    def __init__(self, sim, apache, upstream):
        self.sim, self.apache, self.upstream = sim, apache, upstream
        self.lines = [f"__session={sim.mint(azp=None)}; Path=/; Secure", "__client_uat=1700000000; Path=/; Domain=example.com"]
        sim.faults()
        sim.admin("DELETE", "/counts")
        self.nonces(good=self.lines, out=OUT)

    def nonces(self, **lines):
        self.sim.admin("PUT", "/state", {"nonces": lines})

    def stale(self, **spec):
        return f"{UAT}; __session={self.sim.mint(spoil='expired', **spec)}"

    def page(self, target="/app", cookies=UAT, headers=(PAGE,), host=HOST, **more):
        cookie = [("Cookie", cookies)] if cookies else []
        return self.apache.request(target, headers=[*headers, *cookie], host=host, **more)

    def exchanges(self):
        return self.sim.count("handshake_payload")


def serve(sim, check, body="", inside="", key=LIVE_KEY, origin=f"http://{HOST}", **options):
    upstream = harness.Upstream()
    named = f"ClerkPublicOrigin {origin}\n" if origin else ""

    def configuration(apache):
        return f"""
ClerkPublishableKey {key}
ClerkSetting proxy_url {sim.url}
ClerkPages On
{named}
<Location /app>
  {GUARDED}{inside}
</Location>
ProxyPass /app {upstream.url}/app
{body(apache) if callable(body) else body}"""

    try:
        harness.serve(sim, configuration, lambda apache: check(Site(sim, apache, upstream)), **options)
    finally:
        sim.faults()
        upstream.close()


def redirect_url(response):
    """The address that the browser is sent back to."""
    assert response.status == 307, response
    query = urllib.parse.urlsplit(response.get("Location")).query
    return dict(urllib.parse.parse_qsl(query))["redirect_url"]


def is_plain(response, status=401):
    """A refusal without a trace of the handshake."""
    found = (response.status, response.get("Location"), response.all("Set-Cookie"), response.all("Cache-Control"))
    return found == (status, None, [], [])


def stale_page_goes_to_clerk_and_comes_back_signed_in(sim, mpm):
    def check(site):
        response = site.page("/app?b=c%20d", site.stale())
        assert redirect_url(response) == f"http://{HOST}/app?b=c%20d"
        assert (response.all("Set-Cookie"), response.all("Cache-Control")) == ([COUNT.format(1)], ["no-store"]), response
        assert response.get("Location").startswith(f"{sim.url}/v1/client/handshake?"), response
        assert site.upstream.requests == []

        response = site.page(cookies=f"{site.stale()}; __clerk_handshake_nonce=good")
        assert response.status == 200 and dict(response.json()["headers"])["X-Clerk-User-Id"] == "user_1", response
        assert (response.all("Set-Cookie"), response.all("Cache-Control")) == (site.lines, ["no-store"]), response
        response = site.page(cookies=site.lines[0].split(";")[0] + f"; {UAT}")
        assert (response.status, response.all("Set-Cookie"), response.all("Cache-Control")) == (200, [], []), response
        site.apache.logged("redirected: token-expired")
        assert "/v1/client/handshake" not in site.apache.error_log and site.lines[0][10:40] not in site.apache.error_log

    serve(sim, check, mpm=mpm)


def only_documents_are_redirected(sim):
    def check(site):
        cookies, same_site = site.stale(), ("Sec-Fetch-Site", "same-origin")
        for method, headers in (
                ("HEAD", [PAGE]), ("POST", [PAGE]), ("PUT", [PAGE]), ("OPTIONS", [PAGE]), ("GET", []),
                ("GET", [("Sec-Fetch-Dest", "empty"), ("Accept", "text/html")]), ("GET", [("Sec-Fetch-Dest", "image")]),
                ("GET", [("Sec-Fetch-Dest", "frame")]), ("GET", [("Accept", "application/json, text/html")]),
                ("GET", [PAGE, ("Sec-Fetch-Dest", "empty")]), ("GET", [("Accept", "*/*"), ("Accept", "text/html")]),
                ("GET", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Origin", f"http://{HOST}"), PAGE])):
            assert is_plain(site.page(cookies=cookies, headers=[same_site, *headers], method=method)), (method, headers)
        for headers in ([("Accept", "text/html,*/*")], [("Sec-Fetch-Dest", "iframe")], [("Sec-Fetch-Dest", ""), ("Accept", "text/html")]):
            assert site.page(cookies=cookies, headers=headers).status == 307, headers
        # Who comes back is signed in by any method.
        response = site.page(cookies=f"{cookies}; __clerk_handshake_nonce=good", headers=[same_site], method="POST")
        assert (response.status, response.all("Set-Cookie")) == (200, site.lines), response

    serve(sim, check)


FORGED = ["evil.example", "app.example.com.evil.example", "app.example.com@evil.example", "evil.example@app.example.com", "app.example.com:8443",
          "app.example.com:80@evil.example", "app.example.com:", "app.example.com:0PORT", "[::1]", "[::1]:PORT", "[::ffff:127.0.0.1]",
          "app.example.com.", "app.example.com.:PORT", "xapp.example.com", "app.example.com%2eevil.example", "app.example.com,evil.example",
          "app.example.com\tevil.example", "app.example.com;evil", "app.example.com evil.example", "other.example.net:PORT"]


def forged_host_gets_the_plain_refusal(sim):
    def check(site):
        port = str(site.apache.port)
        for host in FORGED:
            response = site.page(host=host.replace("PORT", port))
            # Apache itself rejects some with 400.
            assert response.status == 400 or is_plain(response), (host, response)
        for name in ("X-Forwarded-Host", "Forwarded", "X-Host", "X-Forwarded-Server", "X-Original-Host", "X-Rewrite-URL"):
            response = site.page(headers=[PAGE, (name, "evil.example"), ("X-Forwarded-Proto", "https")])
            assert redirect_url(response) == f"http://{HOST}/app", name
        assert redirect_url(site.page(host="APP.Example.com")) == f"http://{HOST}/app"
        # Two lines, or none, name no host.
        for head in (f"GET /app HTTP/1.1\r\nHost: {HOST}\r\nHost: evil.example\r\n", "GET /app HTTP/1.0\r\n"):
            with site.apache.connect() as s:
                s.sendall(f"{head}Sec-Fetch-Dest: document\r\nCookie: {UAT}\r\nConnection: close\r\n\r\n".encode())
                said = s.makefile("rb").read()
            assert re.match(rb"HTTP/1.1 40[01] ", said) and b"Location" not in said, said

    def check_names(site):
        check(site)
        port = site.apache.port
        assert redirect_url(site.page(host=f"{HOST}:{port}")) == f"http://{HOST}:{port}/app"
        for host in ("www.example.org", "a.example.org", "A.B.example.org"):
            assert redirect_url(site.page(host=host)) == f"http://{host.lower()}/app"
        for host in ("example.org", "www.example.org.evil.example", "wwwxexample.org"):
            assert is_plain(site.page(host=host)), host
        site.apache.logged("no redirect: not for this host, port or location")

    def check_party(site):
        assert is_plain(site.page())

    serve(sim, check)
    serve(sim, check_names, origin="", body=f"""
<VirtualHost *:*>
  ServerName {HOST}
  ServerAlias www.example.org *.example.org
</VirtualHost>""")
    # A party that is no origin allows no host either.
    serve(sim, check_party, origin="", body=f"ServerName {HOST}\nClerkAuthorizedParties api")


def forged_target_never_names_a_host(sim):
    def check(site):
        def location(line):
            with site.apache.connect() as s:
                s.sendall(f"{line} HTTP/1.1\r\nHost: {HOST}\r\nSec-Fetch-Dest: document\r\nCookie: {UAT}\r\nConnection: close\r\n\r\n"
                          .encode("latin-1"))
                said = s.makefile("rb").read()
            found = re.findall(rb"\r\nLocation: ([^\r\n]*)\r\n", said)
            assert len(found) == (1 if said.startswith(b"HTTP/1.1 307 ") else 0), (line, said)
            assert found or re.match(rb"HTTP/1.1 40[0-9] ", said), (line, said)
            return found[0].decode() if found else None

        for target in ("//evil.example/app", "/\\evil.example/app", "/app/%5cevil.example", "/app@evil.example", "/app/%0d%0aLocation:%20//evil.example",
                       "/app/..//evil.example", "/app%2f%2fevil.example", "/app?redirect_url=//evil.example", "/app.evil.example", "/app/%00",
                       "///evil.example/app", "/app;//evil.example", "/app/:80@evil.example", "/app?%zz", "/app?\xe9", "//app", "/./app"):
            to = location(f"GET {target}")
            if to:
                url = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(to).query))["redirect_url"]
                assert url.startswith(f"http://{HOST}/"), (target, url)
        assert location("GET /app?a=//evil.example")
        for line in ("GET http://evil.example/app", f"GET http://{HOST}/app", f"GET http://evil.example:80@{HOST}/app", "GET *", "GET evil.example",
                     "CONNECT evil.example:80", "GET /app\tb", "GET /app\x01", "GET app"):
            assert location(line) is None, line

    serve(sim, check)
    serve(sim, check, origin="", body=f"ServerName {HOST}")


def cookies_are_on_every_response(sim):
    def check(site):
        (site.apache.docs / "refused.html").write_text("refused\n")
        number = 0

        def comes_back(target, lines, *headers):
            nonlocal number
            number += 1
            site.nonces(**{f"n{number}": lines})
            response = site.page(target, f"{UAT}; __clerk_handshake_nonce=n{number}", [PAGE, *headers])
            assert response.all("Set-Cookie") == lines and response.get("Location") is None, (target, response)
            assert "no-store" in ", ".join(response.all("Cache-Control")), response
            return response.status

        assert comes_back("/valid/", site.lines) == 200
        assert comes_back("/valid/", OUT) == 401
        assert comes_back("/valid/none", site.lines) == 404
        etag = site.apache.request("/refused.html").get("ETag")
        assert comes_back("/files/refused.html", site.lines, ("If-None-Match", etag)) == 304
        assert comes_back("/files/refused.html", site.lines, ("If-Match", '"other"')) == 412
        assert comes_back("/files/refused.html", site.lines, ("Range", "bytes=1000-")) == 416
        assert comes_back("/refused", site.lines) == 403
        assert comes_back("/refused", OUT) == 401
        assert comes_back("/rewritten", site.lines) == 200
        assert comes_back("/down", site.lines) == 503

    serve(sim, check, body=lambda apache: f"""
Alias /files {apache.docs}
<LocationMatch "^/(valid|files|rewritten|down)">
  {GUARDED}
</LocationMatch>
<Location /refused>
  AuthType Clerk
  Require clerk-role org:none
  ErrorDocument 401 /refused.html
  ErrorDocument 403 /refused.html
</Location>
ProxyPass /down http://127.0.0.1:1/
ProxyErrorOverride On
<Location /rewritten>
  RewriteEngine On
  RewriteRule ^ /valid/index.html
  Header set Cache-Control "private"
</Location>""")


def cache_keeps_no_cookies_of_a_visitor(sim):
    def check(site):
        (site.apache.docs / "cached.txt").write_text("cached\n")
        signed_in = f"{site.lines[0].split(';')[0]}; {UAT}"
        response = site.page("/cached.txt", f"{UAT}; __clerk_handshake_nonce=good")
        assert (response.status, response.all("Set-Cookie"), response.all("X-Cache")) == (200, site.lines, ["MISS from stored"]), response
        assert site.page("/cached.txt").status == 307
        for stored in ("MISS", "HIT"):
            response = site.page("/cached.txt", signed_in)
            assert (response.status, response.all("Set-Cookie"), response.all("X-Cache")) == (200, [], [f"{stored} from stored"]), response
        # A stored page is sent with the cookies of the one who comes back.
        site.nonces(n1=site.lines)
        response = site.page("/cached.txt", f"{UAT}; __clerk_handshake_nonce=n1")
        assert (response.status, response.all("Set-Cookie"), response.all("X-Cache")) == (200, site.lines, ["HIT from stored"]), response
        assert site.page("/cached.txt").status == 307

    serve(sim, check, modules=["cache", "cache_disk"], children=1, body=lambda apache: f"""
ServerName stored
CacheQuickHandler Off
CacheRoot {apache.data}
CacheEnable disk /cached.txt
CacheHeader On
<Location /cached.txt>
  {GUARDED}
  Header set Cache-Control "max-age=60"
</Location>""")


def only_the_browsers_own_request_is_redirected(sim):
    def check(site):
        (site.apache.docs / "page.html").write_text("page\n")
        (site.apache.docs / "open" / ".htaccess").write_text("RewriteEngine On\nRewriteRule ^front /page.html\n")
        (site.apache.docs / "all.html").write_text('<!--#include virtual="/page.html" -->')
        assert is_plain(site.page("/none"), 404)
        assert is_plain(site.page("/none", method="POST", headers=[PAGE, ("Sec-Fetch-Site", "same-origin")]), 404)
        assert site.page("/all.html", f"{UAT}; __clerk_handshake_nonce=good").all("Set-Cookie") == []
        assert redirect_url(site.page("/open/front?a=1")) == f"http://{HOST}/open/front?a=1"
        assert site.exchanges() == 0

    serve(sim, check, body=lambda apache: f"""
ErrorDocument 404 /page.html
AddOutputFilter INCLUDES .html
<Directory {apache.docs}>
  AllowOverride All
  Options FollowSymLinks Includes
</Directory>
<Location /page.html>
  {GUARDED}
</Location>""")


def pages_are_merged_like_other_settings(sim):
    def check(site):
        for target, status in (("/app", 307), ("/app/off", 401), ("/app/off/on", 307), ("/app/header", 401)):
            assert site.page(target).status == status, target

    serve(sim, check, body="""
<Location /app/off>
  ClerkPages Off
</Location>
<Location /app/off/on>
  ClerkPages On
</Location>
<Location /app/header>
  ClerkTokenSource header
</Location>""")


def trusted_forwarded_host_is_one_of_the_origins(sim):
    def check(site):
        https = ("X-Forwarded-Proto", "https")
        response = site.page(host="10.0.0.5", headers=[PAGE, https, ("X-Forwarded-Host", HOST)])
        assert redirect_url(response) == f"https://{HOST}/app"
        for headers in ([https, ("X-Forwarded-Host", "evil.example")], [https, ("X-Forwarded-Host", f"evil.example, {HOST}")],
                        [https, ("X-Forwarded-Host", f"{HOST}@evil.example")], [("X-Forwarded-Proto", "javascript")], []):
            assert is_plain(site.page(headers=[PAGE, *headers])), headers

    def check_scheme(site):
        assert redirect_url(site.page()) == f"https://{HOST}/app"

    serve(sim, check, origin=f"https://{HOST}", body="ClerkSetting trust_forwarded true")
    # ServerName may name the scheme that a proxy in front of Apache serves.
    serve(sim, check_scheme, origin="", body=f"ServerName https://{HOST}")


def development_instance_comes_back_by_the_address(sim):
    def check(site):
        response = site.page(cookies="")
        assert response.status == 307 and "__clerk_hs_reason=dev-browser-missing" in response.get("Location"), response
        site.nonces(n1=site.lines, n2=site.lines)
        response = site.page("/app?b=1&__clerk_handshake_nonce=n1&__clerk_db_jwt=d&c=%20", cookies="__clerk_db_jwt=d")
        assert (response.status, response.get("Location")) == (307, f"http://{HOST}/app?b=1&c=%20"), response
        assert (response.all("Set-Cookie"), response.all("Cache-Control")) == (site.lines, ["no-store"]), response
        assert site.upstream.requests == []
        # A form is not sent twice.
        response = site.page("/app?__clerk_handshake_nonce=n2", "__clerk_db_jwt=d", [("Sec-Fetch-Site", "same-origin")], method="POST")
        assert (response.status, response.get("Location"), response.all("Set-Cookie")) == (200, None, site.lines), response

    serve(sim, check, key=TEST_KEY)


def production_instance_reads_no_response_from_the_address(sim):
    def check(site):
        assert is_plain(site.page("/app?__clerk_handshake_nonce=good", cookies="")) and site.exchanges() == 0

    serve(sim, check)


def outage_is_503_and_the_next_request_tries_again(sim):
    def check(site):
        cookies = f"{UAT}; __clerk_handshake_nonce=good"
        harness.wait_until(lambda: site.page(cookies=site.lines[0].split(";")[0] + f"; {UAT}").status == 200)
        for fault in ({"status": 500}, {"status": 401}, {"status": 429}, {"close": True}, {"body": {"$text": "<html>"}}):
            sim.faults({"path": "/clients/handshake_payload", **fault})
            response = site.page(cookies=cookies, timeout=30)
            assert response.status == (500 if fault.get("status") == 401 else 503), (fault, response)
            assert (response.get("Location"), response.all("Set-Cookie")) == (None, []), response
            assert response.status == 500 or int(response.get("Retry-After")) >= 1, response
        sim.faults()
        harness.wait_until(lambda: site.page(cookies=cookies).all("Set-Cookie") == site.lines)

    serve(sim, check, children=1)


def used_and_invented_nonces_are_refused_without_a_loop(sim):
    def check(site):
        cookies = f"{UAT}; __clerk_handshake_nonce=good"
        assert site.page(cookies=cookies, headers=[PAGE, ("User-Agent", "one")]).status == 200
        for agent in ("other", "third"):
            assert is_plain(site.page(cookies=cookies, headers=[PAGE, ("User-Agent", agent)])), agent
        before = site.exchanges()
        for nonce in ("a.b", "%00", "../x", "n" * 300, "a%20b", "\xe9"):
            assert is_plain(site.page(cookies=f"__clerk_handshake_nonce={nonce}")), nonce
        assert site.exchanges() == before
        answers = {site.page(cookies=f"__clerk_handshake_nonce=invented{i}").status for i in range(120)}
        assert answers <= {401, 503} and site.exchanges() - before < 80, (answers, site.exchanges())

    serve(sim, check, children=1)


def token_that_is_no_handshake_is_ignored_without_calls(sim):
    def check(site):
        claims = {"handshake": site.lines}
        assert site.page(cookies=f"__clerk_handshake={sim.mint(claims=claims)}").all("Set-Cookie") == site.lines
        calls = sim.admin("GET", "/counts")["total"]
        for name, token in (("template", sim.mint(kind="template", claims=claims)), ("machine", sim.mint(user="mch_1", kind="m2m-jwt", claims=claims)),
                            ("other instance", sim.mint(key="k2", claims=claims)), ("garbage", "a.b.c"), ("20 kB", "a" * 20_000),
                            ("1 MB", "a" * 1_000_000)):
            assert is_plain(site.page(cookies=f"__clerk_handshake={token}")), name
        assert sim.admin("GET", "/counts")["total"] <= calls + 1, "at most one look for a new key"

    serve(sim, check, children=1, before="LimitRequestFieldSize 1100000")


def lines_of_clerk_inject_nothing(sim):
    def check(site):
        bad = ["__session=a\r\nX-Evil: 1", "__session=a\nX-Evil: 1", "__session=\0", "sessionid=1; Path=/", "", 5, "__session=\xe9"]
        site.nonces(n1=[*bad, *site.lines])
        response = site.page(cookies="__clerk_handshake_nonce=n1")
        assert (response.status, response.all("Set-Cookie"), response.get("X-Evil")) == (200, site.lines, None), response

    serve(sim, check)


def redirects_stop_after_three_and_not_at_the_sign_in_page(sim):
    def check(site):
        cookies = site.stale()
        for count in range(3):
            response = site.page(cookies=f"{cookies}; __clerk_redirect_count={count}")
            assert (response.status, response.all("Set-Cookie")) == (307, [COUNT.format(count + 1)]), response
        for count in (3, 4, 999999999999):
            assert is_plain(site.page(cookies=f"{cookies}; __clerk_redirect_count={count}", headers=[PAGE, ("Accept", "text/html")])), count
        # Who is signed out is sent to the sign-in page.
        for cookies in ("", f"__clerk_handshake_nonce=out; {UAT}"):
            response = site.page(cookies=cookies, headers=[PAGE, ("Accept", "text/html")])
            assert (response.status, response.get("Location")[:36]) == (302, "https://accounts.example.com/sign-in"), response

    serve(sim, check, inside="ClerkLoginURL https://accounts.example.com/sign-in to")


def optional_location_renews_sessions_and_serves_visitors(sim):
    def check(site):
        assert site.page(cookies=site.stale()).status == 307
        assert dict(site.page(cookies="").json()["headers"])["X-Clerk-Auth-Status"] == "signed-out"
        # The session cookie has gone: the page is renewed, its images are served to a visitor. An expired token is refused.
        assert site.page().status == 307
        assert dict(site.page(headers=[]).json()["headers"])["X-Clerk-Auth-Status"] == "signed-out"
        assert is_plain(site.page(cookies=site.stale(), headers=[]))
        # Signed out elsewhere: the page is served, and the browser's cookies are cleared.
        response = site.page(cookies=f"{UAT}; __clerk_handshake_nonce=out")
        assert (response.status, response.all("Set-Cookie")) == (200, OUT), response

    serve(sim, check, inside="Require all granted\nClerkOptional On")


def refresh_needs_no_redirect_and_is_limited(sim):
    def check(site):
        party = f"http://{HOST}"
        sim.admin("PUT", "/state", {"refresh": {"cookies": [f"__session={sim.mint(sid='sess_1', azp=party)}; Path=/"]}})
        cookies = f"{site.stale(sid='sess_1', azp=party)}; __refresh_{SUFFIX}=rt_1"
        for headers in ([PAGE], [("Sec-Fetch-Dest", "empty")]):
            response = site.page(cookies=cookies, headers=headers)
            assert (response.status, len(response.all("Set-Cookie")), response.get("Location")) == (200, 1, None), response
        for i in range(30):
            assert site.page(cookies=cookies.replace("rt_1", f"rt_x{i}")).status in (200, 307)
        assert sim.count("/refresh") <= 6
        # By another host nothing is refreshed.
        assert is_plain(site.page(cookies=cookies, host="evil.example"))

    serve(sim, check, children=1)


def bearer_request_uses_no_cookie(sim):
    def check(site):
        assert is_plain(site.page(cookies=f"__clerk_handshake_nonce=good; {UAT}", token="a.b.c"))
        expired = sim.mint(spoil="expired")
        location = site.page(cookies=site.lines[0].split(";")[0], token=expired).get("Location")
        assert f"__session={expired}" in location, location
        assert site.exchanges() == 0

    serve(sim, check)


def http2_page_is_redirected_and_gets_its_cookies(sim):
    def check(site):
        def curl(host, cookies):
            return subprocess.run(["curl", "-sS", "-i", "--noproxy", "*", "--http2-prior-knowledge", f"{site.apache.origin}/app", "-H", f"Host: {host}",
                                   "-H", "Sec-Fetch-Dest: document", "-b", cookies], capture_output=True, text=True, timeout=20, check=True).stdout

        said = curl(HOST, UAT)
        assert said.startswith("HTTP/2 307") and "redirect_url=http%3A%2F%2Fapp.example.com%2Fapp&" in said, said
        said = curl("evil.example", UAT)
        assert said.startswith("HTTP/2 401") and "location" not in said, said
        said = curl(HOST, f"{UAT}; __clerk_handshake_nonce=good")
        assert re.findall(r"(?m)^set-cookie: (.*?)\r?$", said) == site.lines, said

    for origin, body in ((f"http://{HOST}", ""), ("", f"ServerName {HOST}")):
        serve(sim, check, origin=origin, body=f"Protocols h2c http/1.1\n{body}", modules=["http2"])


def cases(sim):
    for mpm in ("event", "prefork"):
        yield f"stale_page_goes_to_clerk_and_comes_back_signed_in {mpm}", lambda mpm=mpm: stale_page_goes_to_clerk_and_comes_back_signed_in(sim, mpm)
    for case in (only_documents_are_redirected, forged_host_gets_the_plain_refusal, forged_target_never_names_a_host, cookies_are_on_every_response,
                 cache_keeps_no_cookies_of_a_visitor,
                 only_the_browsers_own_request_is_redirected, pages_are_merged_like_other_settings, trusted_forwarded_host_is_one_of_the_origins,
                 development_instance_comes_back_by_the_address, production_instance_reads_no_response_from_the_address,
                 outage_is_503_and_the_next_request_tries_again, used_and_invented_nonces_are_refused_without_a_loop,
                 token_that_is_no_handshake_is_ignored_without_calls, lines_of_clerk_inject_nothing,
                 redirects_stop_after_three_and_not_at_the_sign_in_page, optional_location_renews_sessions_and_serves_visitors,
                 refresh_needs_no_redirect_and_is_limited, bearer_request_uses_no_cookie, http2_page_is_redirected_and_gets_its_cookies):
        yield case.__name__, lambda case=case: case(sim)
