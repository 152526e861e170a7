"""What an attacker may try: none of it reaches an application with an identity that was not verified."""

import re

import harness


def with_proxy(sim, check, require="valid-user"):
    upstream = harness.Upstream()
    body = f"""
ClerkAuthorizedParties https://app.example.com
ProxyPass /app {upstream.url}/app
ProxyPass /admin {upstream.url}/admin
<LocationMatch "^/(app|admin)">
  AuthType Clerk
  Require {require}
  ClerkPassHeaders On
</LocationMatch>"""
    try:
        harness.serve(sim, body, lambda apache: check(apache, upstream))
    finally:
        upstream.close()


def path_tricks_do_not_leave_a_protected_location(sim):
    def check(apache, upstream):
        for path in ("/admin/", "//admin/x", "/a/../admin/x", "/%61dmin/x", "/./admin/x", "/admin/%2e%2e/admin/x", "/admin;x=1/y", "/app/../admin"):
            response = apache.request(path)
            assert response.status in (400, 401, 404), (path, response)
        assert upstream.requests == []

    with_proxy(sim, check)


def duplicate_credentials_never_choose_the_better_one(sim):
    def check(apache, upstream):
        good, other, bad = sim.mint(azp="https://app.example.com"), sim.mint(user="user_2"), sim.mint(spoil="expired")
        assert apache.request("/app", token=good).status == 200
        for first, second in ((good, bad), (bad, good), (good, other)):
            twice = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
            assert apache.request("/app", headers=twice).status in (400, 401)
            assert apache.request("/app", headers=[("Authorization", f"Bearer {first}, Bearer {second}")]).status == 401
        assert apache.request("/app", token=bad, cookie=good).status == 401, "the header decides"

    with_proxy(sim, check)


def smuggling_attempts_are_one_request_or_none(sim):
    def check(apache, upstream):
        token = sim.mint(azp="https://app.example.com")
        inner = b"GET /app/smuggled HTTP/1.1\r\nHost: x\r\nX-Clerk-User-Id: user_evil\r\n\r\n"
        for head in (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                     b"Content-Length: 5\r\nContent-Length: 0\r\n", b"Transfer-Encoding: xchunked\r\n", b"Content-Length: +5\r\n",
                     b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"):
            with apache.connect() as s:
                s.sendall(b"POST /app HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer " + token.encode() + b"\r\n" + head
                          + b"\r\n0\r\n\r\n" + inner)
                said = s.makefile("rb").read()
            assert len(re.findall(rb"HTTP/1\.1 \d+", said)) <= 1, (head, said)
            assert "user_evil" not in str(upstream.requests), upstream.requests

    with_proxy(sim, check)


def forged_host_is_not_trusted(sim):
    def check(apache, upstream):
        token = sim.mint(azp="https://app.example.com")
        evil = ("Origin", "https://evil.example")
        for more in ([("X-Forwarded-Host", "evil.example")], [("Forwarded", "host=evil.example")], [("X-Forwarded-Method", "GET")],
                     [("X-HTTP-Method-Override", "GET")], [("Host", "evil.example")]):
            response = apache.request("/app", cookie=token, headers=[evil, *more], method="POST", body=b"")
            assert response.status in (400, 403), (more, response)
        for head in (b"Host: a.test\r\nHost: evil.example\r\n", b"Host: evil.example\r\nHost: a.test\r\n", b""):
            with apache.connect() as s:
                s.sendall(b"POST /app HTTP/1.0\r\n" + head + b"Origin: https://evil.example\r\nContent-Length: 0\r\nCookie: __session="
                          + token.encode() + b"\r\n\r\n")
                assert harness.read_response(s.makefile("rb")).status in (400, 403), head
        assert upstream.requests == []

    with_proxy(sim, check)


def responses_echo_nothing_of_a_request(sim):
    mark = "q7zW3echo"

    def check(apache, upstream):
        token = sim.mint(claims={"mark": mark}, user=f"user_{mark}", azp="https://app.example.com")
        for credential in ([], [("Authorization", f"Bearer {mark}")], [("Authorization", f"Bearer {token}")], [("Authorization", f"Basic {mark}")],
                           [("Cookie", f"__session={mark}")], [("Cookie", f"__session={token}")], [("Authorization", f'Bearer "{mark}" {mark}')]):
            for method in ("GET", "POST"):
                headers = [*credential, ("Origin", f"https://{mark}.example"), ("User-Agent", mark), ("X-Clerk-User-Id", mark)]
                response = apache.request(f"/app?{mark}", method=method, headers=headers, body=b"" if method == "POST" else None)
                assert response.status in (401, 403) and mark not in str(response), (credential, response)

    with_proxy(sim, check, require="clerk-role admin")


def each_server_has_the_lines_of_its_own_requests(sim):
    def body(apache):
        apache.loud = harness.free_port()
        return f"""
Listen 127.0.0.1:{apache.loud}
<Location />
  AuthType Clerk
  Require valid-user
</Location>
LogLevel warn
<VirtualHost 127.0.0.1:{apache.loud}>
  ErrorLog {apache.directory}/loud.log
  LogLevel auth_clerk:debug
</VirtualHost>"""

    def check(apache):
        expired, main = sim.mint(spoil="expired"), apache.port
        assert apache.request("/", token=expired).status == 401
        apache.port = apache.loud
        assert apache.request("/", token=expired).status == 401
        apache.port = main
        loud = apache.directory / "loud.log"
        harness.wait_until(lambda: "rejected: token-expired, status 401, request " in loud.read_text(), what="the line")
        assert "rejected" not in apache.error_log, apache.error_log
        assert re.search(r"\[auth_clerk:debug\] .* clerk: rejected: token-expired: .*, request ", loud.read_text()), loud.read_text()
        assert not any(part in loud.read_text() for part in expired.split(".")[1:])

    harness.serve(sim, body, check)


def htaccess_cannot_weaken_a_location(sim):
    apache = harness.Apache("event", f"""
ClerkSecretKey sk_test_x
ClerkAPIURL {sim.url}
<Location /open>
  AuthType Clerk
  Require valid-user
</Location>""", log_level="info")
    try:
        (apache.docs / "open" / ".htaccess").write_text("AuthType None\nRequire all granted\nClerkOptional On\n")
        apache.start()
        response = apache.request("/open/")
        assert response.status == 401, (response, apache.error_log[-1500:])
        assert apache.request("/open/", token="x").status == 401
        assert apache.request("/open/", token=sim.mint()).status == 200
    finally:
        apache.close()


CASES = (path_tricks_do_not_leave_a_protected_location, duplicate_credentials_never_choose_the_better_one,
         smuggling_attempts_are_one_request_or_none, forged_host_is_not_trusted, responses_echo_nothing_of_a_request,
         each_server_has_the_lines_of_its_own_requests, htaccess_cannot_weaken_a_location)


def cases(sim):
    for case in CASES:
        yield case.__name__, lambda case=case: case(sim)
