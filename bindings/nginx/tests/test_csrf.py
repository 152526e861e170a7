"""CSRF protection: cookie credentials on unsafe methods need evidence of the same origin."""

import subprocess

from harness import PARTY, equal, raw, request

HOST = ("Host", "app.test:8443")


def test_origin_matrix(f):
    n = f.simple()
    token = f.sim.mint()
    request(n.port, token=token)
    rows = [
        ([], False),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "none")], True),
        ([("Sec-Fetch-Site", "same-site")], False),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "SAME-ORIGIN")], False),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], False),
        ([("Origin", "https://app.test:8443")], True),
        ([("Origin", "http://app.test:8443")], True),
        ([("Origin", "https://APP.test:8443")], True),
        ([("Origin", "https://app.test")], False),
        ([("Origin", "https://app.test:8443.evil.example")], False),
        ([("Origin", "https://evil.example")], False),
        ([("Origin", "null")], False),
        ([("Origin", "")], False),
        ([("Origin", PARTY)], True),
        ([("Origin", PARTY + ".evil.example")], False),
        ([("Origin", PARTY), ("Origin", "https://evil.example")], False),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", PARTY)], True),
        ([("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")], False),
    ]
    for method in ("POST", "PUT", "PATCH", "DELETE", "PURGE"):
        for headers, passes in rows:
            response = request(n.port, method=method, cookie=token, headers=[*headers, HOST], body=b"a=b")
            equal(response.status, 200 if passes else 403, f"{method} {headers}")
            equal(response.get("WWW-Authenticate"), None)
    for method in ("GET", "HEAD", "OPTIONS"):
        equal(request(n.port, method=method, cookie=token, headers=[("Sec-Fetch-Site", "cross-site")]).status, 200)


def test_default_port_of_the_scheme_does_not_matter(f):
    n = f.simple()
    token = f.sim.mint()
    request(n.port, token=token)
    for host, origin, status in (("a.test:443", "https://a.test", 200), ("a.test", "https://a.test", 200),
                                 ("a.test:80", "http://a.test", 200), ("a.test:80", "https://a.test", 403)):
        response = request(n.port, method="POST", cookie=token, headers=[("Host", host), ("Origin", origin)], body=b"")
        equal(response.status, status, f"{host} {origin}")


def test_bearer_tokens_need_no_origin_and_basic_does_not_excuse(f):
    n = f.simple()
    token = f.sim.mint()
    equal(request(n.port, method="POST", token=token, body=b"x").status, 200)
    equal(request(n.port, method="POST", token=token, cookie=token, body=b"x").status, 200)
    equal(request(n.port, method="POST", headers=[("Authorization", "Basic dTpw")], cookie=token, body=b"x").status, 403)


def test_check_can_be_switched_off_per_location(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location / {{ {f.proxy()} }} location /exempt {{ clerk_auth_csrf off; {f.proxy()} }} }}""")
    token = f.sim.mint()
    equal(request(n.port, "/", method="POST", cookie=token, body=b"").status, 403)
    equal(request(n.port, "/exempt", method="POST", cookie=token, body=b"").status, 200)


def test_csrf_rejection_is_logged_and_not_forwarded(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location / {{ clerk_auth on;
        add_header X-Reason "$clerk_reason" always; {f.proxy()} }} }}""")
    response = request(n.port, method="POST", cookie=f.sim.mint(), body=b"x")
    equal((response.status, response.get("X-Reason")), (403, "csrf-failed"))
    equal(f.application.seen, [])


def test_http2_requests_are_checked_against_their_authority(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@ http2; location / {{ clerk_auth on; {f.proxy()} }} }}""")
    for origin, status in ((f"http://127.0.0.1:{n.port}", "200"), ("http://127.0.0.1:1", "403")):
        said = subprocess.run(["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_code}",
                               "-X", "DELETE", f"http://127.0.0.1:{n.port}/", "-H", f"Origin: {origin}", "-H",
                               f"Cookie: __session={f.sim.mint()}"], capture_output=True, text=True, check=True).stdout
        equal(said, status, origin)


def test_websocket_of_another_site_is_rejected(f):
    n = f.simple()
    token = f.sim.mint()
    upgrade = [("Upgrade", "WebSocket"), ("Connection", "Upgrade"), HOST]
    for origin, status in (("https://evil.example", 403), ("null", 403), ("https://app.test:8443", 200), (PARTY, 200)):
        headers = [*upgrade, ("Origin", origin)]
        equal(request(n.port, cookie=token, headers=headers).status, status, origin)
        equal(request(n.port, token=token, headers=headers).status, 200, "a bearer token")
    equal(request(n.port, cookie=token, headers=[*upgrade, ("Sec-Fetch-Site", "cross-site")]).status, 403)
    equal(request(n.port, cookie=token, headers=upgrade).status, 200, "not a browser: it always sends Origin")


def test_cookie_from_a_variable_is_checked_too(f):
    n = f.nginx(f"""{f.keys()} map $cookie_session $mapped {{ default $cookie_session; }} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /plain {{ clerk_auth_token_source $cookie_session; {f.proxy()} }}
        location /braces {{ clerk_auth_token_source "${{cookie_session}}"; {f.proxy()} }}
        location /map {{ clerk_auth_token_source $mapped; {f.proxy()} }}
        location /either {{ clerk_auth_token_source $http_x_token$cookie_session; {f.proxy()} }}
        location /text {{ clerk_auth_token_source "${{http_x_token}}$cookie_session"; {f.proxy()} }}
        location /set {{ set $copied $cookie_session; clerk_auth_token_source $copied; {f.proxy()} }}
        location /header {{ clerk_auth_token_source $http_x_token; {f.proxy()} }} }}""")
    token = f.sim.mint()
    mine = [("Cookie", f"a=b; session={token}")]
    for path in ("/plain", "/braces", "/map", "/either", "/text", "/set"):
        equal(request(n.port, path, headers=mine).status, 200, path)
        equal(request(n.port, path, method="POST", headers=mine, body=b"").status, 403, path)
        equal(request(n.port, path, method="POST", headers=[*mine, ("Sec-Fetch-Site", "same-origin")], body=b"").status, 200)
    equal(request(n.port, "/header", method="POST", headers=[("X-Token", token)], body=b"").status, 200)


def test_duplicate_host_or_method_of_a_proxy_is_no_evidence(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location = /auth {{ clerk_auth_endpoint; }} }}""")
    cookie = f.sim.mint()
    own = [("Origin", "https://app.test"), ("X-Forwarded-Host", "app.test")]
    rows = [
        ([], 200),
        ([("X-Forwarded-Method", "POST"), *own], 200),
        ([("X-Forwarded-Method", "POST"), *own, ("X-Forwarded-Host", "evil.example")], 403),
        ([("X-Forwarded-Method", "GET"), ("X-Forwarded-Method", "POST")], 403),
        ([("X-Forwarded-Method", "")], 403),
        ([("X-Forwarded-Method", "post")], 403),
        ([("X-Forwarded-Method", "GET")], 200),
    ]
    for headers, status in rows:
        equal(request(n.port, "/auth", cookie=cookie, headers=headers).status, status, str(headers))
    equal(request(n.port, "/auth", method="POST", cookie=cookie, headers=[("X-Forwarded-Method", "GET")]).status, 403)


def test_requests_without_one_host_have_no_own_origin(f):
    n = f.simple()
    cookie = f.sim.mint()
    for host, status in ((b"Host: a.test\r\n", b"200"), (b"", b"403"), (b"Host: evil.example\r\n", b"403")):
        said = raw(n.port, b"POST / HTTP/1.0\r\n" + host + b"Origin: https://a.test\r\nContent-Length: 0\r\nCookie: __session="
                   + cookie.encode() + b"\r\n\r\n")
        equal(said.split()[1], status, str(host))
    said = raw(n.port, b"POST / HTTP/1.1\r\nHost: a.test\r\nHost: evil.example\r\nOrigin: https://evil.example\r\n"
               b"Connection: close\r\nContent-Length: 0\r\nCookie: __session=" + cookie.encode() + b"\r\n\r\n")
    assert said.split()[1] in (b"400", b"403"), said
