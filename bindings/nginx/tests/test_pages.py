"""`clerk_auth_pages`: redirects to Clerk, cookies on every response, and what gets neither. clerk-sim is Clerk and its Frontend API."""

import re
import subprocess
import time
import urllib.parse

from harness import cookie_suffix, equal, raw, request, together, wait_until
from test_config import rejected, server

LIVE_KEY = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
TEST_KEY = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"
PAGE = ("Sec-Fetch-Dest", "document")
HOST = ("Host", "app.example.com")
COUNT = "__clerk_redirect_count={}; SameSite=Lax; HttpOnly; Max-Age=2"
CLEARED = "__session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


def keys(f, key=LIVE_KEY, origin="http://app.example.com"):
    named = f"clerk_auth_public_origin {origin};\n" if origin else ""
    return (f"clerk_auth_secret_key sk_test_nginx;\nclerk_auth_api_url {f.sim.url};\nclerk_auth_publishable_key {key};\n"
            f"clerk_auth_setting proxy_url {f.sim.url};\n{named}clerk_auth_pages on;\n")


def site(f, location="", inside="", key=LIVE_KEY, origin="http://app.example.com", listen="", **options):
    """A guarded application, and a nonce `good` that signs user_1 in."""
    n = f.nginx(f"""{keys(f, key, origin)} server {{ listen 127.0.0.1:@port@ {listen}; {inside}
        location / {{ clerk_auth on; clerk_auth_pass_headers on; {location} {f.proxy()} }} }}""", **options)
    f.lines = [f"__session={f.sim.mint(azp=None)}; Path=/; Secure", "__client_uat=1700000000; Path=/; Domain=example.com"]
    f.sim.admin("PUT", "/state", {"nonces": {"good": f.lines, "out": [CLEARED, "__client_uat=0; Path=/"]}})
    return n


def stale(f, **spec):
    return f"__client_uat=1700000000; __session={f.sim.mint(spoil='expired', **spec)}"


def page(n, target="/", cookies="__client_uat=1700000000", headers=(PAGE, HOST), **more):
    return request(n.port, target, headers=[*headers, *([("Cookie", cookies)] if cookies else [])], **more)


def redirect_url(response):
    """The address that the browser is sent back to."""
    query = urllib.parse.urlsplit(response.get("Location")).query
    return dict(urllib.parse.parse_qsl(query))["redirect_url"]


def is_plain(response, status=401):
    """A refusal without a trace of the handshake."""
    return (response.status, response.get("Location"), response.all("Set-Cookie"), response.all("Cache-Control")) \
        == (status, None, [], [])


def exchanges(f):
    return sum(count for path, count in f.sim.counts().items() if "handshake_payload" in path)


def test_stale_page_goes_to_clerk_and_comes_back_signed_in(f):
    n = site(f)
    response = page(n, "/a?b=c%20d", stale(f))
    equal(response.status, 307)
    equal(response.all("Set-Cookie"), [COUNT.format(1)])
    equal(response.all("Cache-Control"), ["no-store"])
    assert response.get("Location").startswith(f"{f.sim.url}/v1/client/handshake?"), response
    equal(redirect_url(response), "http://app.example.com/a?b=c%20d")
    equal(f.application.seen, [])

    response = page(n, "/a", f"{stale(f)}; __clerk_handshake_nonce=good")
    equal(response.status, 200)
    equal(response.passed("X-Clerk-User-Id"), ["user_1"])
    equal(response.all("Set-Cookie"), f.lines)
    equal(response.all("Cache-Control"), ["no-store"])
    response = page(n, "/a", f.lines[0].split(";")[0] + "; __client_uat=1700000000")
    equal((response.status, response.all("Set-Cookie"), response.all("Cache-Control")), (200, [], []))
    assert "sk_test" not in n.log() and f.lines[0][10:40] not in n.log() and "/v1/client/handshake" not in n.log()
    assert "redirected: token-expired" in n.log()


def test_only_documents_are_redirected(f):
    n = site(f)
    cookies = stale(f)
    for method, headers in (
            ("HEAD", [PAGE]), ("POST", [PAGE]), ("PUT", [PAGE]), ("OPTIONS", [PAGE]), ("GET", []),
            ("GET", [("Sec-Fetch-Dest", "empty"), ("Accept", "text/html")]), ("GET", [("Sec-Fetch-Dest", "image")]),
            ("GET", [("Sec-Fetch-Dest", "frame")]), ("GET", [("Accept", "application/json, text/html")]),
            ("GET", [PAGE, ("Sec-Fetch-Dest", "empty")]), ("GET", [("Accept", "*/*"), ("Accept", "text/html")]),
            ("GET", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Origin", "http://app.example.com"), PAGE])):
        same_site = [("Sec-Fetch-Site", "same-origin")]
        response = page(n, "/", cookies, [HOST, *same_site, *headers], method=method)
        assert is_plain(response), (method, headers, response)
    for headers in ([("Accept", "text/html,*/*")], [("Sec-Fetch-Dest", "iframe")], [("Sec-Fetch-Dest", ""), ("Accept", "text/html")]):
        equal(page(n, "/", cookies, [HOST, *headers]).status, 307, headers)
    # Who comes back is signed in by any method.
    response = page(n, "/", f"{cookies}; __clerk_handshake_nonce=good", [HOST, ("Sec-Fetch-Site", "same-origin")], method="POST")
    equal((response.status, response.all("Set-Cookie")), (200, f.lines))
    equal(len(f.application.seen), 1)


def test_forged_host_gets_the_plain_refusal(f):
    forged = ["evil.example", "app.example.com.evil.example", "app.example.com@evil.example", "evil.example@app.example.com",
              "app.example.com:8443", "app.example.com:80@evil.example", "app.example.com:", "app.example.com:0PORT", "[::1]", "[::1]:PORT",
              "[::ffff:127.0.0.1]", "app.example.com.", "app.example.com.:PORT", "xapp.example.com", "app.example.com%2eevil.example",
              "app.example.com%00", "app.example.com,evil.example", "app.example.com\tevil.example", "app.example.com;evil", "127.0.0.1:PORT"]
    named = site(f)
    by_name = site(f, origin="", inside="server_name app.example.com;")
    for n in (named, by_name):
        for host in forged:
            host = host.replace("PORT", str(n.port))
            response = page(n, headers=[PAGE, ("Host", host)])
            # nginx itself rejects some with 400.
            assert response.status == 400 or is_plain(response), (host, response)
        for name in ("X-Forwarded-Host", "Forwarded", "X-Host", "X-Forwarded-Server", "X-Original-Host", "X-Rewrite-URL"):
            response = page(n, "/a", headers=[PAGE, HOST, (name, "evil.example"), ("X-Forwarded-Proto", "https")])
            equal((response.status, redirect_url(response)), (307, "http://app.example.com/a"), name)
        equal(redirect_url(page(n, headers=[PAGE, ("Host", "APP.Example.com")])), "http://app.example.com/")
    response = page(by_name, headers=[PAGE, ("Host", f"app.example.com:{by_name.port}")])
    equal(redirect_url(response), f"http://app.example.com:{by_name.port}/")
    assert "no redirect: not for this host, port or location" in by_name.log()
    # Two lines, or none, name no host.
    for head in (b"GET / HTTP/1.1\r\nHost: app.example.com\r\nHost: evil.example\r\n", b"GET / HTTP/1.0\r\n"):
        said = raw(named.port, head + b"Sec-Fetch-Dest: document\r\nCookie: __client_uat=1700000000\r\nConnection: close\r\n\r\n")
        assert re.match(rb"HTTP/1.1 40[01] ", said) and b"Location" not in said, said


def test_forged_target_never_names_a_host(f):
    for options in ({}, {"origin": "", "inside": "server_name app.example.com;"}):
        n = site(f, **options)
        for target in ("//evil.example/x", "/\\evil.example", "/%5cevil.example", "/@evil.example", "/%0d%0aLocation:%20//evil.example",
                       "/..//evil.example", "/%2f%2fevil.example", "/?redirect_url=//evil.example", "/.evil.example", "/%00", "///evil.example",
                       "/a;//evil.example", "/:80@evil.example", "/%zz?%zz", "/\xe9"):
            said = raw(n.port, f"GET {target} HTTP/1.1\r\nHost: app.example.com\r\nSec-Fetch-Dest: document\r\n"
                               f"Cookie: __client_uat=1700000000\r\nConnection: close\r\n\r\n".encode("latin-1"))
            location = re.search(rb"\r\nLocation: ([^\r\n]*)\r\n", said)
            if not location:
                assert re.match(rb"HTTP/1.1 40[01] ", said), (target, said)
                continue
            equal(len(re.findall(rb"\r\nLocation:", said)), 1, target)
            url = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(location.group(1).decode()).query))["redirect_url"]
            assert url.startswith("http://app.example.com/"), (target, url)
        for line in ("GET http://evil.example/x", "GET http://app.example.com/x", "GET http://evil.example:80@app.example.com/", "GET *",
                     "GET evil.example", "CONNECT evil.example:80", "GET /a\tb", "GET /\x01"):
            said = raw(n.port, f"{line} HTTP/1.1\r\nHost: app.example.com\r\nSec-Fetch-Dest: document\r\n"
                               f"Cookie: __client_uat=1700000000\r\nConnection: close\r\n\r\n".encode())
            assert re.match(rb"HTTP/1.1 40[0-9] |<html>", said) and b"Location" not in said, (line, said)


def test_server_names_of_every_form_are_compared(f):
    for names, own, foreign in (
            ("*.example.com", ("a.example.com", "a.b.EXAMPLE.com"), ("example.com", ".example.com", "a.example.com.evil.example", "aexample.com")),
            (".example.com", ("example.com", "a.example.com"), ("aexample.com", "evil.example")),
            ("www.example.*", ("www.example.org",), ("www.evil.example", "www.example", "example.www.example.org")),
            (r"~^(?<sub>\w+)\.example\.com$", ("a.example.com",), ("a.b.example.com", "evil.example")),
            ("a.example.com b.example.com", ("b.example.com",), ("c.example.com",)),
            ("_", (), ("evil.example", "app.example.com")), ("''", (), ("evil.example", "app.example.com"))):
        n = site(f, origin="", inside=f"server_name {names};")
        for host in own:
            equal(redirect_url(page(n, headers=[PAGE, ("Host", host)])), f"http://{host.lower()}/", names)
        for host in foreign:
            response = page(n, headers=[PAGE, ("Host", host)])
            assert response.status == 400 or is_plain(response), (names, host, response)
    # A party that is no origin allows no host either.
    n = site(f, origin="", inside="server_name app.example.com; clerk_auth_authorized_parties api;")
    assert is_plain(page(n))


def test_cookies_are_on_every_response(f):
    f.directory_file("index.html", "index")
    f.directory_file("refused.html", "refused")
    n = site(f, inside=f"""root {f.directory};
        location /files/ {{ alias {f.directory}/; clerk_auth on; add_header Cache-Control private; expires 1h; }}
        location /gone {{ clerk_auth on; error_page 404 /refused.html; root /nowhere; }}
        location /refused {{ clerk_auth on; error_page 401 403 /refused.html; clerk_auth_require_role org:none; }}
        location /named {{ clerk_auth on; try_files /none @app; }}
        location /intercept {{ clerk_auth on; proxy_intercept_errors on; error_page 502 =200 /refused.html; proxy_pass http://127.0.0.1:1; }}
        location /other {{ clerk_auth on; try_files /none @other; }}
        location @app {{ {f.proxy()} }}
        location @other {{ clerk_auth on; clerk_auth_leeway 1s; {f.proxy()} }}
        location = /refused.html {{ }}""")
    etag = request(n.port, "/refused.html", headers=[HOST]).get("ETag")
    number = 0

    def comes_back(target, lines, *headers):
        nonlocal number
        number += 1
        f.sim.admin("PUT", "/state", {"nonces": {f"n{number}": lines}})
        response = page(n, target, f"__client_uat=1700000000; __clerk_handshake_nonce=n{number}", [PAGE, HOST, *headers])
        equal(response.all("Set-Cookie"), lines, target)
        assert "no-store" in response.all("Cache-Control"), response
        equal(response.get("Location"), None, target)
        return response.status

    out = [CLEARED, "__client_uat=0; Path=/"]
    equal(comes_back("/files/index.html", f.lines), 200)
    equal(comes_back("/files/", out), 401)
    equal(comes_back("/files/none", f.lines), 404)
    equal(comes_back("/files/refused.html", f.lines, ("If-None-Match", etag)), 304)
    # A filter ends these two, which clears the headers of the first response.
    equal(comes_back("/files/refused.html", f.lines, ("If-Match", '"other"')), 412)
    equal(comes_back("/files/refused.html", f.lines, ("Range", "bytes=1000-")), 416)
    equal(comes_back("/gone", f.lines), 404)
    equal(comes_back("/refused", f.lines), 403)
    equal(comes_back("/refused", out), 401)
    equal(comes_back("/named", f.lines), 200)
    equal(comes_back("/intercept", f.lines), 200)
    # Settings of its own: verified again, by the cookies of the request, which are the old ones.
    equal(comes_back("/other", f.lines), 401)


def test_cache_keeps_no_cookies_of_a_visitor(f):
    n = f.nginx(f"""{keys(f)} proxy_cache_path {f.directory}/cache keys_zone=pages:1m; clerk_auth on;
        server {{ listen 127.0.0.1:@port@; location / {{ proxy_cache pages; proxy_cache_valid any 1m; add_header X-Cache $upstream_cache_status always;
        {f.proxy()} }} }}
        server {{ listen 127.0.0.1:@portFront@; location / {{ clerk_auth off; proxy_cache pages; proxy_cache_key front$uri; proxy_cache_valid any 1m;
        proxy_set_header Host app.example.com; proxy_pass http://127.0.0.1:@port@; }} }}""", user="root")
    lines = [f"__session={f.sim.mint(azp=None)}; Path=/", "__client_uat=1700000000; Path=/"]
    f.sim.admin("PUT", "/state", {"nonces": {f"n{i}": lines for i in range(4)}})
    signed_in = f"{lines[0].split(';')[0]}; __client_uat=1700000000"

    def get(cookies):
        response = page(n, "/a", cookies)
        return response.status, response.all("Set-Cookie"), response.get("X-Cache")

    equal(get("__clerk_handshake_nonce=n0; __client_uat=1"), (200, lines, "MISS"))
    equal(get(signed_in), (200, [], "HIT"))
    equal(get("__clerk_handshake_nonce=n1; __client_uat=1"), (200, lines, "HIT"))
    equal(get("__client_uat=1")[0], 307)
    # A cache in front stores neither the redirect nor a response with cookies.
    n.port = n.ports["Front"]
    equal([get(cookies)[:2] for cookies in ("__client_uat=1", "__clerk_handshake_nonce=n2; __client_uat=1", "__clerk_handshake_nonce=n3; __client_uat=1")],
          [(307, [COUNT.format(1)]), (200, lines), (200, lines)])


def test_only_the_browsers_own_request_is_redirected(f):
    f.directory_file("index.html", "index")
    n = site(f, inside=f"""root {f.directory};
        location /post {{ error_page 405 /page; alias {f.directory}/index.html; }}
        location /missing {{ error_page 404 /page; root /nowhere; }}
        location = /page {{ clerk_auth on; clerk_auth_leeway 2s; try_files /index.html =404; }}
        location /front {{ try_files /none /page; }}
        location /checked {{ auth_request /verify; try_files /index.html =404; }}
        location = /verify {{ clerk_auth_endpoint; }}""")
    assert is_plain(page(n, "/post", method="POST", headers=[PAGE, HOST, ("Sec-Fetch-Site", "same-origin")]))
    assert is_plain(page(n, "/missing"))
    equal(redirect_url(page(n, "/front?a=1")), "http://app.example.com/front?a=1")
    # A proxy that asks the endpoint cannot pass cookies on: it gets the plain refusal, and the nonce is not used up.
    for target in ("/checked", "/verify"):
        forwarded = [("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/a"), ("X-Forwarded-Host", "app.example.com")]
        response = page(n, target, "__client_uat=1700000000; __clerk_handshake_nonce=good", [PAGE, HOST, *forwarded])
        assert is_plain(response), (target, response)
    equal(exchanges(f), 0)


def test_satisfy_any_gets_no_redirect(f):
    n = site(f, location="satisfy any; allow 10.0.0.0/8; deny all;")
    assert is_plain(page(n))
    equal(page(n, cookies="__clerk_handshake_nonce=good").all("Set-Cookie"), f.lines)


def test_pages_are_merged_like_other_settings(f):
    n = f.nginx(f"""{keys(f)} clerk_auth on;
        server {{ listen 127.0.0.1:@port@; location / {{ }} location /off {{ clerk_auth_pages off; location /off/on {{ clerk_auth_pages on; }} }}
                  location /header {{ clerk_auth_token_source header; }} }}
        server {{ listen 127.0.0.1:@portB@; clerk_auth_pages off; location / {{ }} location /on {{ clerk_auth_pages on; }} }}""")
    for port, target, status in (("", "/", 307), ("", "/off", 401), ("", "/off/on", 307), ("", "/header", 401), ("B", "/", 401), ("B", "/on", 307)):
        n.port = n.ports[port]
        equal(page(n, target).status, status, target)


def test_configuration_errors_are_named(f):
    secret, key = "clerk_auth_secret_key sk_test_secret;", f"clerk_auth_publishable_key {LIVE_KEY};"
    guarded = server("location / { clerk_auth on; clerk_auth_pages on; }")
    rejected(f, secret + guarded, '"clerk_auth_publishable_key": publishable_key: `handshake` needs it')
    rejected(f, key + guarded, '"clerk_auth_secret_key": secret_key: `handshake` needs it')
    rejected(f, key + f"clerk_auth_jwt_key file:{f.directory_file('k.pem', f.sim.pem())};" + guarded, '"clerk_auth_secret_key": secret_key: `handshake`')
    rejected(f, "clerk_auth_pages maybe;" + guarded, '"clerk_auth_pages" directive takes "on" or "off"')
    rejected(f, server("clerk_auth_pages on; clerk_auth_pages on;"), '"clerk_auth_pages" is duplicate')
    rejected(f, secret + key + "clerk_auth_setting is_satellite true;" + guarded, '"clerk_auth_setting domain": domain: a satellite')
    for setting, value in (("proxy_url", "//evil.example"), ("proxy_url", "app/__clerk"), ("sign_in_url", "/sign-in"), ("domain", "https://a/")):
        rejected(f, secret + key + f"clerk_auth_setting {setting} {value};" + guarded, rf'"clerk_auth_setting": .*:\d+')
    rejected(f, secret + key + "clerk_auth_public_origin app.example.com;" + guarded, r'"clerk_auth_public_origin": public_origin: not an origin.*:\d+')
    forwarded = secret + key + "clerk_auth_setting trust_forwarded 1;"
    rejected(f, forwarded + guarded, r'trust_forwarded with "clerk_auth_pages" needs "clerk_auth_public_origin" in .*:\d+')
    warning = '"clerk_auth_pages" without "clerk_auth_public_origin": browsers are sent back to the names of "server_name" only'
    for http, warns in ((secret + key + guarded, True), (secret + key + "clerk_auth_authorized_parties https://a.example;" + guarded, False)):
        code, said = f.nginx(http).check()
        equal((code, warning in said), (0, warns), said)
    for http in (forwarded + "clerk_auth_public_origin https://app.example.com;" + guarded,
                 forwarded.replace("1;", "false;") + guarded, forwarded + guarded.replace("pages on", "pages off"),
                 "clerk_auth_pages on;" + secret + guarded.replace("pages on", "pages off")):
        n = f.nginx(http)
        equal(n.check()[0], 0, http)


def test_trusted_forwarded_host_is_one_of_the_origins(f):
    n = site(f, inside="clerk_auth_setting trust_forwarded true;", origin="https://app.example.com")
    https = ("X-Forwarded-Proto", "https")
    equal(redirect_url(page(n, "/a", headers=[PAGE, ("Host", "10.0.0.5"), https, ("X-Forwarded-Host", "app.example.com")])),
          "https://app.example.com/a")
    for headers in ([https, ("X-Forwarded-Host", "evil.example")], [https, ("X-Forwarded-Host", "evil.example, app.example.com")],
                    [https, ("X-Forwarded-Host", "app.example.com@evil.example")], [("X-Forwarded-Proto", "javascript")], []):
        assert is_plain(page(n, headers=[PAGE, HOST, *headers])), headers


def test_development_instance_comes_back_by_the_address(f):
    n = site(f, key=TEST_KEY)
    response = page(n, "/a?b=1", cookies="")
    equal(response.status, 307)
    assert "__clerk_hs_reason=dev-browser-missing" in response.get("Location"), response
    f.sim.admin("PUT", "/state", {"nonces": {"n1": f.lines, "n2": f.lines}})
    response = page(n, "/a?b=1&__clerk_handshake_nonce=n1&__clerk_db_jwt=d&c=%20", cookies="__clerk_db_jwt=d")
    equal((response.status, response.get("Location")), (307, "http://app.example.com/a?b=1&c=%20"))
    equal((response.all("Set-Cookie"), response.all("Cache-Control")), (f.lines, ["no-store"]))
    equal(f.application.seen, [])
    # A used nonce leaves the address, too; nothing may store that redirect.
    response = page(n, "/a?__clerk_handshake_nonce=used", cookies="__clerk_db_jwt=d")
    equal((response.status, response.get("Location")), (307, "http://app.example.com/a"))
    equal((response.all("Set-Cookie"), response.all("Cache-Control")), ([], ["no-store"]))
    # A form is not sent twice.
    response = page(n, "/a?__clerk_handshake_nonce=n2", "__clerk_db_jwt=d", [HOST, ("Sec-Fetch-Site", "same-origin")], method="POST")
    equal((response.status, response.get("Location"), response.all("Set-Cookie")), (200, None, f.lines))


def test_production_instance_reads_no_response_from_the_address(f):
    n = site(f)
    response = page(n, "/a?__clerk_handshake_nonce=good", cookies="")
    assert is_plain(response), response
    equal(exchanges(f), 0)


def test_outage_is_503_and_the_next_request_tries_again(f):
    n = site(f)
    wait_until(lambda: f.sim.jwks_fetches() == 1, what="keys")
    cookies = "__client_uat=1700000000; __clerk_handshake_nonce=good"
    for fault in ({"status": 500}, {"status": 401}, {"status": 429}, {"close": True}, {"body": {"$text": "<html>"}}):
        f.sim.faults({"path": "/clients/handshake_payload", **fault})
        response = page(n, cookies=cookies, timeout=30)
        equal(response.status, 500 if fault.get("status") == 401 else 503, fault)
        equal((response.get("Location"), response.all("Set-Cookie")), (None, []), fault)
        assert response.status == 500 or int(response.get("Retry-After")) >= 1, response
    f.sim.faults()
    wait_until(lambda: page(n, cookies=cookies).all("Set-Cookie") == f.lines, 30, "it heals")


def test_suspended_exchanges_survive_reload_and_quit(f):
    for end in ("reload", "stop"):
        n = site(f)
        wait_until(lambda: f.sim.jwks_fetches() > 0, what="keys")
        f.sim.admin("PUT", "/state", {"nonces": {f"n{i}": f.lines for i in range(8)}})
        f.sim.faults({"path": "/clients/handshake_payload", "delay_ms": 700})

        def ask(i, n=n):
            if i == 8:
                time.sleep(0.3)
                return getattr(n, end)()
            return page(n, cookies=f"__client_uat=1; __clerk_handshake_nonce=n{i}")

        responses = together(9, ask)[:8]
        equal([(response.status, response.all("Set-Cookie")) for response in responses], 8 * [(200, f.lines)], end)
        f.sim.faults()


def test_exchange_is_shared_and_aborts_are_harmless(f):
    n = site(f)
    f.sim.faults({"path": "/clients/handshake_payload", "delay_ms": 300})
    responses = together(20, lambda _: page(n, cookies="__client_uat=1; __clerk_handshake_nonce=good"))
    equal({(response.status, *response.all("Set-Cookie")) for response in responses}, {(200, *f.lines)})
    equal(exchanges(f), 1)
    before = len(f.application.seen)
    for i in range(5):
        raw(n.port, f"GET / HTTP/1.1\r\nHost: app.example.com\r\nCookie: __clerk_handshake_nonce=gone{i}\r\n\r\n".encode(), until_close=False)
    time.sleep(0.6)
    equal((page(n).status, len(f.application.seen)), (307, before))


def test_used_and_invented_nonces_are_refused_without_a_loop(f):
    n = site(f)
    browser = ("User-Agent", "one")
    equal(page(n, cookies="__clerk_handshake_nonce=good", headers=[PAGE, HOST, browser]).status, 200)
    for agent in ("other", "third"):
        response = page(n, cookies="__clerk_handshake_nonce=good; __client_uat=1700000000", headers=[PAGE, HOST, ("User-Agent", agent)])
        assert is_plain(response), response
    before = exchanges(f)
    for nonce in ("a.b", "%00", "../x", "n" * 300, "a%20b", "\xe9"):
        assert is_plain(page(n, cookies=f"__clerk_handshake_nonce={nonce}")), nonce
    equal(exchanges(f), before)
    answers = {page(n, cookies=f"__clerk_handshake_nonce=invented{i}").status for i in range(120)}
    assert answers <= {401, 503} and exchanges(f) - before < 80, (answers, exchanges(f))


def test_token_that_is_no_handshake_is_ignored_without_calls(f):
    n = site(f, inside="large_client_header_buffers 4 1100k; client_header_buffer_size 16k;")
    wait_until(lambda: f.sim.jwks_fetches() == 1, what="keys")
    claims = {"handshake": f.lines}
    good = f.sim.mint(claims=claims)
    equal(page(n, cookies=f"__clerk_handshake={good}").all("Set-Cookie"), f.lines)
    calls = sum(f.sim.counts().values())
    for name, token in (("template", f.sim.mint(kind="template", claims=claims)), ("machine", f.sim.mint("mch_1", kind="m2m-jwt", azp=None, claims=claims)),
                        ("other instance", f.sim.mint(key="k2", claims=claims)), ("garbage", "a.b.c"), ("20 kB", "a" * 20_000)):
        assert is_plain(page(n, cookies=f"__clerk_handshake={token}")), name
    response = page(n, cookies=f"__clerk_handshake={'a' * 1_000_000}")
    assert is_plain(response), response
    assert sum(f.sim.counts().values()) <= calls + 1, "at most one look for a new key"


def test_lines_of_clerk_inject_nothing(f):
    n = site(f)
    bad = ["__session=a\r\nX-Evil: 1", "__session=a\nX-Evil: 1", "__session=\0", "sessionid=1; Path=/", "", 5, "__session=\xe9"]
    f.sim.admin("PUT", "/state", {"nonces": {"n1": [*bad, *f.lines]}})
    response = page(n, cookies="__clerk_handshake_nonce=n1")
    equal((response.status, response.all("Set-Cookie"), response.get("X-Evil")), (200, f.lines, None))


def test_redirects_stop_after_three_and_not_at_the_sign_in_page(f):
    n = site(f, location="clerk_auth_login_redirect https://accounts.example.com/sign-in?to=$clerk_return_url;")
    cookies = stale(f)
    for count in range(3):
        response = page(n, cookies=f"{cookies}; __clerk_redirect_count={count}")
        equal((response.status, response.all("Set-Cookie")), (307, [COUNT.format(count + 1)]))
    for count in (3, 4, 999999999999):
        assert is_plain(page(n, cookies=f"{cookies}; __clerk_redirect_count={count}")), count
    # Who is signed out is sent to the sign-in page.
    for cookies in ("", "__clerk_handshake_nonce=out; __client_uat=1700000000"):
        response = page(n, cookies=cookies, headers=[PAGE, HOST, ("Accept", "text/html")])
        equal((response.status, response.get("Location")[:36]), (302, "https://accounts.example.com/sign-in"))


def test_optional_location_renews_sessions_and_serves_visitors(f):
    n = site(f, inside=f"""
        location /open {{ clerk_auth optional; clerk_auth_pass_headers on; {f.proxy()} }}""")
    equal(page(n, "/open", stale(f)).status, 307)
    equal(page(n, "/open", cookies="").passed("X-Clerk-Auth-Status"), ["signed-out"])
    # The session cookie has gone: the page is renewed, its images are served to a visitor. An expired token is refused.
    equal(page(n, "/open").status, 307)
    equal(page(n, "/open", headers=[HOST]).passed("X-Clerk-Auth-Status"), ["signed-out"])
    assert is_plain(page(n, "/open", stale(f), headers=[HOST]))
    # Signed out elsewhere: the page is served, and the browser's cookies are cleared.
    response = page(n, "/open", "__client_uat=1700000000; __clerk_handshake_nonce=out")
    equal((response.status, response.all("Set-Cookie")[0]), (200, CLEARED))


def test_refresh_needs_no_redirect_and_is_limited(f):
    n = site(f)
    suffix = cookie_suffix(LIVE_KEY)
    party = "http://app.example.com"
    f.sim.admin("PUT", "/state", {"refresh": {"cookies": [f"__session={f.sim.mint(sid='sess_1', azp=party)}; Path=/"]}})
    cookies = f"{stale(f, sid='sess_1', azp=party)}; __refresh_{suffix}=rt_1"
    for headers in ([PAGE], [("Sec-Fetch-Dest", "empty")]):
        response = page(n, cookies=cookies, headers=[HOST, *headers])
        equal((response.status, len(response.all("Set-Cookie")), response.get("Location")), (200, 1, None))
    for i in range(30):
        equal(page(n, cookies=cookies.replace("rt_1", f"rt_x{i}")).status in (200, 307), True)
    assert sum(count for path, count in f.sim.counts().items() if "/refresh" in path) <= 6, f.sim.counts()
    # By another host nothing is refreshed.
    assert is_plain(page(n, cookies=cookies, headers=[PAGE, ("Host", "evil.example")]))


def test_bearer_request_uses_no_cookie(f):
    n = site(f)
    response = page(n, cookies="__clerk_handshake_nonce=good; __client_uat=1700000000", token="a.b.c")
    assert is_plain(response), response
    expired = f.sim.mint(spoil="expired", azp=None)
    location = page(n, cookies=f.lines[0].split(";")[0], token=expired).get("Location")
    assert f"__session={expired}" in location, location
    equal(exchanges(f), 0)


def test_http2_page_is_redirected_and_gets_its_cookies(f):
    for options in ({}, {"origin": "", "inside": "server_name app.example.com;"}):
        n = site(f, listen="http2", **options)

        def curl(host, cookies):
            return subprocess.run(
                ["curl", "-sS", "-i", "--noproxy", "*", "--http2-prior-knowledge", f"http://127.0.0.1:{n.port}/a", "-H", f"Host: {host}",
                 "-H", "Sec-Fetch-Dest: document", "-b", cookies], capture_output=True, text=True, timeout=20, check=True).stdout

        said = curl("app.example.com", "__client_uat=1700000000")
        assert said.startswith("HTTP/2 307") and "redirect_url=http%3A%2F%2Fapp.example.com%2Fa&" in said, said
        said = curl("evil.example", "__client_uat=1700000000")
        assert said.startswith("HTTP/2 401") and "location" not in said, said
        said = curl("app.example.com", "__client_uat=1700000000; __clerk_handshake_nonce=good")
        equal(re.findall(r"(?m)^set-cookie: (.*?)\r?$", said), f.lines)
        f.sim.admin("PUT", "/state", {"nonces": {"good": f.lines}})
