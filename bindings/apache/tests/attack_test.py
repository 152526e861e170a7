"""What an attacker may try: none of it reaches an application with an identity that was not verified."""

import json
import pathlib
import re
import socketserver
import struct
import sys
import threading
import time

import harness

sys.path.append(str(harness.ROOT / "bindings/nginx/tests"))

import http2  # noqa: E402


class FastCGI(socketserver.StreamRequestHandler):
    """An application that responds with its variables as JSON."""

    def handle(self):
        data, kind, size = b"", 0, 1
        while (kind, size) != (5, 0):
            _, kind, _, size, padding, _ = struct.unpack(">BBHHBB", self.rfile.read(8))
            content = self.rfile.read(size + padding)[:size]
            data += content if kind == 4 else b""
        variables = {}
        while data:
            lengths = []
            for _ in range(2):
                width = 4 if data[0] & 0x80 else 1
                lengths.append(int.from_bytes(data[:width], "big") & 0x7FFFFFFF)
                data = data[width:]
            name, data = data[:lengths[0]].decode(), data[lengths[0]:]
            variables[name], data = data[:lengths[1]].decode("latin-1"), data[lengths[1]:]
        said = b"Content-Type: application/json\r\n\r\n" + json.dumps(variables).encode()
        for kind, content in ((6, said), (6, b""), (3, bytes(8))):
            self.wfile.write(struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content)


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


def http2_post(apache, path, token, length):
    """The body of the response to a request with a body and trailers."""
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", path), ("authorization", f"Bearer {token}"),
            *([("content-length", length)] if length else [])]
    trailers = [("x-clerk-user-id", "user_evil"), ("x-kept", "kept")]
    fields = [b"".join(http2.field(name, value) for name, value in lines) for lines in (head, trailers)]
    with apache.connect() as s:
        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2.frame(4, 0, 0) + http2.frame(1, 4, 1, fields[0]) + http2.frame(0, 0, 1, b"x")
                  + http2.frame(1, 5, 1, fields[1]))
        stream, body = s.makefile("rb"), b""
        while (start := stream.read(9)):
            content = stream.read(int.from_bytes(start[:3], "big"))
            assert start[3] not in (3, 7), (start, content)
            body += content if start[3] == 0 else b""
            if start[3] in (0, 1) and start[4] & 1:
                break
        return body.decode()


def trailers_are_no_way_to_set_identity_headers(sim):
    body = b"1\r\nx\r\n0\r\nX-Clerk-User-Id: user_evil\r\nx_clerk_email: user_evil\r\nX-Kept: kept\r\n\r\n"
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), FastCGI) as application:
        application.daemon_threads = True
        threading.Thread(target=application.serve_forever, args=(0.05,), daemon=True).start()

        def check(apache):
            token = sim.mint(azp="https://app.example.com")
            for path, status, user in (("/public", None, None), ("/optional", "signed-out", None), ("/member", "signed-in", "user_1")):
                response = apache.request(path, method="POST", headers=[("Transfer-Encoding", "chunked"), ("X-Clerk-User-Id", "user_evil")],
                                          body=body, token=token if user else None)
                variables = response.json()
                assert "user_evil" not in response.body.decode(), (path, variables)
                assert variables.get("HTTP_X_CLERK_USER_ID") == user and variables.get("HTTP_X_CLERK_AUTH_STATUS") == status, variables
                assert variables["HTTP_X_KEPT"] == "kept", variables
            for path, length in (("/public", "1"), ("/public", None), ("/member", "1"), ("/member", None)):
                said = http2_post(apache, path, token, length)
                assert "user_evil" not in said and '"HTTP_X_KEPT": "kept"' in said, (path, length, said)

        harness.serve(sim, f"""
MergeTrailers On
Protocols h2c http/1.1
ClerkAuthorizedParties https://app.example.com
ProxyPass / fcgi://127.0.0.1:{application.server_address[1]}/
ClerkPassHeaders On
<Location /optional>
  AuthType Clerk
  ClerkOptional On
  Require all granted
</Location>
<Location /member>
  AuthType Clerk
  Require valid-user
</Location>""", check, modules=["proxy_fcgi", "http2"])
        application.shutdown()


def webdav_needs_the_rights_of_source_and_destination(sim):
    def body(apache):
        for name in ("mine", "theirs"):
            (apache.docs / name).mkdir()
            (apache.docs / name).chmod(0o777)
            (apache.docs / name / "x.txt").write_text(name)
        return f"""
ClerkAuthorizedParties https://app.example.com
DavLockDB {apache.data}/lock
<Location />
  Dav On
  AuthType Clerk
  Require valid-user
</Location>
<Location /theirs>
  Require clerk-role admin
</Location>"""

    def check(apache):
        token = sim.mint(azp="https://app.example.com")
        admin = sim.mint(azp="https://app.example.com", org={"id": "org_1", "slug": "a", "role": "admin"})
        for method in ("COPY", "MOVE"):
            for source, destination in (("mine", "theirs"), ("theirs", "mine")):
                to = [("Destination", f"{apache.origin}/{destination}/y.txt")]
                assert apache.request(f"/{source}/x.txt", method=method, headers=to).status == 401
                assert apache.request(f"/{source}/x.txt", method=method, headers=to, token=token).status == 403
                cross = [*to, ("Origin", "https://evil.example")]
                assert apache.request(f"/{source}/x.txt", method=method, headers=cross, cookie=admin).status == 403
                assert not (apache.docs / destination / "y.txt").exists()
        to = [("Destination", f"{apache.origin}/theirs/y.txt")]
        assert apache.request("/mine/x.txt", method="COPY", headers=to, token=admin).status == 201
        assert apache.request("/theirs/x.txt", method="PROPFIND", token=token).status == 403

    harness.serve(sim, body, check, modules=["dav", "dav_fs"])


def sections_and_rewrites_lead_to_no_weaker_rule(sim):
    upstream = harness.Upstream()

    def body(apache):
        (apache.docs / "open" / "a.secret").write_text("secret")
        (apache.docs / "valid" / "b.txt").write_text("secret")
        (apache.docs / "open" / "page.html").write_text('<!--#include virtual="/open/a.secret" -->')
        return f"""
ClerkAuthorizedParties https://app.example.com
RewriteEngine On
RewriteRule ^/proxied/(.*) {upstream.url}/$1 [P]
RewriteRule ^/passed/(.*) /open/$1 [PT]
RewriteRule ^/file/(.*) {apache.docs}/open/$1 [L]
AddType text/html .html
AddOutputFilter INCLUDES .html
ErrorDocument 401 /valid/b.txt
<Location /valid>
  AuthType Clerk
  Require clerk-role admin
</Location>
<Files "*.secret">
  AuthType Clerk
  Require clerk-role admin
</Files>
<Location /proxied>
  AuthType Clerk
  Require clerk-role admin
  ClerkPassHeaders On
</Location>
<Location /either>
  AuthType Clerk
  <If "%{{HTTP:X-Other}} == '1'">
    ClerkAuthorizedParties https://other.example.com
    Require valid-user
  </If>
  <Else>
    Require clerk-role admin
  </Else>
</Location>
<Location /limited>
  AuthType Clerk
  <Limit GET>
    Require valid-user
  </Limit>
  <LimitExcept GET>
    Require clerk-role admin
  </LimitExcept>
</Location>"""

    def check(apache):
        member, other = sim.mint(azp="https://app.example.com"), sim.mint(azp="https://other.example.com")
        admin = sim.mint(azp="https://app.example.com", user="user_2", org={"id": "org_1", "slug": "a", "role": "admin"})
        for path in ("/proxied/x", "/passed/a.secret", "/file/a.secret", "/open/a.secret", "/either"):
            for token, status in ((None, 401), (member, 403), (other, 401)):
                response = apache.request(path, token=token)
                assert response.status == status and b"secret" != response.body, (path, token, response)
            assert apache.request(path, token=admin).status in (200, 404), path
        assert apache.request("/open/page.html").body != b"secret"
        for token, status in ((member, 401), (admin, 401), (other, 404)):
            assert apache.request("/either", token=token, headers=[("X-Other", "1")]).status == status
        for method, status in (("GET", 404), ("HEAD", 404), ("POST", 403), ("BREW", 403), ("OPTIONS", 403)):
            assert apache.request("/limited", token=member, method=method).status == status, method
        assert len(upstream.requests) == 1, upstream.requests

    try:
        harness.serve(sim, body, check)
    finally:
        upstream.close()


def memory_of(apache):
    """The resident memory of all children, in bytes."""
    said = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in apache.children_pids()]
    return sum(int(line.split()[1]) for text in said for line in text.splitlines() if line.startswith("VmRSS:")) * 1024


def names_of_a_request_cost_time_and_memory_of_its_size(sim):
    requests = {
        "Connection": [("Connection", "a," * 4080)] * 8,
        "Connection with a reserved name": [("Connection", "close,X-Clerk-A"), *[("Connection", "a," * 4080)] * 8],
        "Connection of reserved names": [("Connection", "X-Clerk-A," * 815)] * 8,
        "reserved names": [(f"X-Clerk-{i}", "") for i in range(9000)],
    }

    def check(apache):
        for what, headers in requests.items():
            # As large, and not to be changed.
            other = [("A" * len(name), value) for name, value in headers]
            took = {}
            for kind, lines in (("other", other), ("reserved", headers)):
                before, took[kind] = memory_of(apache), []
                for _ in range(3):
                    began = time.monotonic()
                    response = apache.request("/open/", headers=[*lines, ("Connection", "close")])
                    took[kind].append(time.monotonic() - began)
                    assert response.status == 200, (what, response)
            grown = memory_of(apache) - before
            assert min(took["reserved"]) < min(took["other"]) + 0.05, (what, took)
            assert grown < 4 << 20, (what, grown)

    harness.serve(sim, "LimitRequestFieldSize 131072\nLimitRequestFields 20000", check, children=1, threads=2)


CASES = (names_of_a_request_cost_time_and_memory_of_its_size, trailers_are_no_way_to_set_identity_headers, webdav_needs_the_rights_of_source_and_destination,
         sections_and_rewrites_lead_to_no_weaker_rule, path_tricks_do_not_leave_a_protected_location, duplicate_credentials_never_choose_the_better_one,
         smuggling_attempts_are_one_request_or_none, forged_host_is_not_trusted, responses_echo_nothing_of_a_request,
         each_server_has_the_lines_of_its_own_requests, htaccess_cannot_weaken_a_location)


def cases(sim):
    for case in CASES:
        yield case.__name__, lambda case=case: case(sim)
