"""What an attacker may try: none of it reaches an application with an identity that was not verified."""

import pathlib
import re
import time

import http2
from harness import PARTY, equal, raw, request, statuses, together, wait_until


def test_accel_redirect_evaluates_the_new_location(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location /app {{ proxy_pass http://127.0.0.1:@portApp@; }}
        location /own {{ clerk_auth on; proxy_pass http://127.0.0.1:@portApp@; }}
        location /files {{ internal; clerk_auth on; {f.proxy()} }}
        location /admin {{ internal; clerk_auth on; clerk_auth_require_role admin; {f.proxy()} }} }}
        server {{ listen 127.0.0.1:@portApp@; add_header X-Accel-Redirect $arg_to; location / {{ return 200; }} }}""")
    token = f.sim.mint()
    for path, to, credential, status in (("/app", "/files", None, 401), ("/app", "/files", token, 200), ("/own", "/files", token, 200),
                                         ("/own", "/admin", token, 403), ("/app", "/admin", token, 403), ("/app", "/admin", None, 401)):
        equal(request(n.port, f"{path}?to={to}", token=credential).status, status, f"{path} {to} {credential is not None}")
    equal([s["target"] for s in f.application.seen], ["/files", "/files"])
    equal(request(n.port, "/files", token=token).status, 404, "internal")


def test_path_tricks_do_not_leave_a_protected_location(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; merge_slashes on; location / {{ {f.proxy()} }}
        location /admin/ {{ clerk_auth on; {f.proxy()} }} }}""")
    for path in ("/admin/", "//admin/x", "/a/../admin/x", "/%61dmin/x", "/admin%2fx/../x", "/./admin/x", "/admin/%2e%2e/admin/x", "/admin/..//admin/"):
        response = raw(n.port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        # One that stays outside of the location is forwarded as nginx has understood it, or not at all.
        status = int(response.split()[1])
        assert status == 401 or path == "/admin%2fx/../x", (path, response[:200])


def test_duplicate_credentials_never_choose_the_better_one(f):
    n = f.simple()
    good, other, bad = f.sim.mint(), f.sim.mint(user="user_2"), f.sim.mint(spoil="expired")
    for first, second in ((good, bad), (bad, good), (good, other)):
        twice = request(n.port, headers=[("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")])
        assert twice.status in (400, 401), twice
        equal(request(n.port, headers=[("Authorization", f"Bearer {first}, Bearer {second}")]).status, 401)
        equal(request(n.port, token=bad, cookie=good).status, 401, "the header decides")


def test_smuggling_attempts_are_one_request_or_none(f):
    n = f.simple()
    token = f.sim.mint()
    request(n.port, token=token)
    inner = b"GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Clerk-User-Id: admin\r\n\r\n"
    auth = f"Authorization: Bearer {token}\r\n".encode()
    for head in (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                 b"Content-Length: 5\r\nContent-Length: 0\r\n", b"Transfer-Encoding: xchunked\r\n", b"Content-Length: +5\r\n",
                 b"Transfer-Encoding : chunked\r\n"):
        f.application.seen.clear()
        answer = raw(n.port, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + auth + head + b"\r\n0\r\n\r\n" + inner)
        assert len(re.findall(rb"HTTP/1\.1 \d+", answer)) <= 1, (head, answer)
        assert "admin" not in str(f.application.seen), f.application.seen


def test_http2_pseudo_headers_are_no_way_around(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@ http2; location / {{ clerk_auth on; clerk_auth_pass_headers on; {f.proxy()} }} }}""")
    token = f.sim.mint()
    base = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")]
    form = [(":method", "POST"), *base[1:], ("cookie", f"__session={token}")]
    rows = [
        ([*base, ("authorization", f"Bearer {token}")], {200}),
        (base, {401}),
        ([*base, ("x-clerk-user-id", "admin")], {401}),
        ([*base, (":x-clerk-user-id", "admin"), ("authorization", f"Bearer {token}")], {400, "RST_STREAM", "GOAWAY"}),
        ([*base, ("X-Clerk-User-Id", "admin"), ("authorization", f"Bearer {token}")], {200, 400, "RST_STREAM", "GOAWAY"}),
        ([*base, (":path", "/other"), ("authorization", f"Bearer {token}")], {400, "RST_STREAM", "GOAWAY"}),
        ([*base, ("authorization", f"Bearer {token}"), ("authorization", "Bearer x")], {400, 401}),
        (form, {403}),
        ([*form, ("origin", "http://a.test")], {200}),
        ([*form, ("origin", "http://evil.example")], {403}),
        ([*form, ("origin", "http://evil.example"), ("host", "evil.example")], {400, 403, "RST_STREAM"}),
        ([*form, ("host", "evil.example"), ("origin", "http://evil.example")], {400, 403, "RST_STREAM"}),
        ([*form, ("origin", PARTY)], {200}),
        ([*form, ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], {403}),
    ]
    for fields, allowed in rows:
        found = http2.status(n.port, fields)
        assert found in allowed, (found, fields)
    assert "admin" not in str(f.application.seen), f.application.seen


def test_forged_host_is_not_trusted(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; server_name own.test; location / {{ clerk_auth on;
        clerk_auth_login_redirect https://accounts.own.test/sign-in?redirect_url=https%3A%2F%2F$server_name$uri; {f.proxy()} }} }}""")
    cookie = f.sim.mint()
    for headers in ([("X-Forwarded-Host", "evil.example")], [("Forwarded", "host=evil.example")], [("X-Forwarded-Method", "GET")]):
        headers = [("Host", "own.test"), ("Origin", "https://evil.example"), *headers]
        equal(request(n.port, method="POST", cookie=cookie, headers=headers, body=b"").status, 403, str(headers))
    response = request(n.port, "/page", headers=[("Host", "evil.example"), ("Accept", "text/html")])
    equal(response.get("Location"), "https://accounts.own.test/sign-in?redirect_url=https%3A%2F%2Fown.test/page")
    equal(response.get("Cache-Control"), "no-store")


def test_responses_echo_nothing_of_a_request(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location / {{ clerk_auth on; clerk_auth_require_role admin; {f.proxy()} }}
        location = /endpoint {{ clerk_auth_endpoint; }} }}""")
    mark = "q7zW3echo"
    token = f.sim.mint(claims={"mark": mark}, user=f"user_{mark}")
    credentials = [[], [("Authorization", f"Bearer {mark}")], [("Authorization", f"Bearer {token}")], [("Authorization", f"Basic {mark}")],
                   [("Cookie", f"__session={mark}")], [("Cookie", f"__session={token}")], [("Authorization", f'Bearer "{mark}" {mark}')]]
    for path in ("/", "/endpoint"):
        for credential in credentials:
            for method in ("GET", "POST"):
                headers = [*credential, ("Origin", f"https://{mark}.example"), ("User-Agent", mark), ("X-Clerk-User-Id", mark), ("X-Forwarded-Method", mark)]
                response = request(n.port, f"{path}?{mark}", method=method, headers=headers, body=b"" if method == "POST" else None)
                if response.status != 200:
                    assert mark not in str(response), (path, credential, response)


def test_lines_of_the_log_cannot_be_forged(f):
    n = f.simple(level="debug")
    for value in ("Bearer a\tb", "Bearer \x7f", "Bearer a.b.c\u00e9", "Bearer " + "%0a[odd]"):
        request(n.port, headers=[("Authorization", value)])
    request(n.port, method="POST", headers=[("Cookie", "__session=a.b.c"), ("Origin", "https://a\tb")], body=b"")
    wait_until(lambda: n.log().count("rejected with") >= 5, what="a line for each")
    assert not any(line.startswith(("[", "b", "20")) and not re.match(r"\d{4}/", line) for line in n.log().splitlines())
    for line in n.log().splitlines():
        assert "clerk_auth: " not in line or re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(debug|info|notice|warn)\] ", line), line


def test_each_server_has_the_lines_of_its_own_requests(f):
    f.sim.user("user_slow")
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; error_log {f.directory}/quiet.log warn;
        location / {{ clerk_auth on; {f.proxy()} }} }}
        server {{ listen 127.0.0.1:@portLoud@; error_log {f.directory}/loud.log debug; location / {{ clerk_auth on; {f.proxy()} }}
        location /thread {{ clerk_auth on; clerk_auth_fetch_user on; {f.proxy()} }} }}""", level="info")
    expired, unknown = f.sim.mint(spoil="expired"), f.sim.mint(user="user_gone")
    for _ in range(3):
        equal(request(n.port, token=expired).status, 401)
    loud = n.ports["Loud"]
    equal(request(loud, token=expired).status, 401)
    equal(request(loud, "/thread", token=unknown).status, 401)
    wait_until(lambda: (f.directory / "loud.log").read_text().count("rejected with") == 2, what="both lines")
    equal((f.directory / "quiet.log").read_text(), "")
    assert "rejected" not in n.log(), n.log()
    lines = [line for line in (f.directory / "loud.log").read_text().splitlines() if "clerk_auth: " in line]
    assert all(re.search(r"request id [0-9a-f]{32}, client: 127\.0\.0\.1, server: ", line) for line in lines if "[info]" in line), lines
    for reason in ("token-expired", "user-not-found"):
        found = [line for line in lines if f"clerk_auth: rejected: {reason}: " in line or f"clerk_auth: rejected with 401: {reason}" in line]
        equal(["debug" if "[debug]" in line else "info" for line in found], ["debug", "info"], reason)
        equal(len({re.search(r", request id ([0-9a-f]{32})", line)[1] for line in found}), 1, f"{found}")
    for token in (expired, unknown):
        assert not any(part in line for part in token.split(".")[1:] for line in lines), lines


def test_flood_of_bad_tokens_does_not_disturb_known_users(f):
    n = f.simple()
    good = f.sim.mint(exp_in=300)
    equal(request(n.port, token=good).status, 200)
    fetches = f.sim.jwks_fetches()
    tokens = [f.sim.mint(kid=f"unknown_{i}") for i in range(40)] + [f.sim.mint(spoil="wrong-key") for _ in range(40)]
    equal(set(statuses(together(80, lambda i: request(n.port, token=tokens[i])))) - {401, 503}, set())
    equal(request(n.port, token=good).status, 200)
    assert f.sim.jwks_fetches() - fetches <= 8, f.sim.jwks_fetches()


def memory_of(nginx):
    said = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in nginx.worker_pids()]
    return sum(int(line.split()[1]) for text in said for line in text.splitlines() if line.startswith("VmRSS:")) * 1024


def test_names_of_a_request_cost_time_and_memory_of_its_size(f):
    n = f.nginx(f"""{f.keys()} large_client_header_buffers 64 64k; client_header_buffer_size 64k;
        server {{ listen 127.0.0.1:@port@; location / {{ return 200; }} }}""")
    requests = {
        "Connection": [("Connection", "a," * 4080)] * 8,
        "Connection with a reserved name": [("Connection", "close,X-Clerk-A"), *[("Connection", "a," * 4080)] * 8],
        "Connection of reserved names": [("Connection", "X-Clerk-A," * 3000)] * 8,
        "reserved names": [(f"X-Clerk-{i}", "") for i in range(900)],
        "every second name": [(f"X-Clerk-{i}" if i % 2 else f"A-{i}", "") for i in range(900)],
    }
    for what, headers in requests.items():
        # As large, and not to be changed.
        other, took = [("A" * len(name), value) for name, value in headers], {}
        for kind, lines in (("other", other), ("reserved", headers)):
            before, took[kind] = memory_of(n), []
            head = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "a"), *lines, ("Connection", "close")])
            for _ in range(3):
                began = time.monotonic()
                said = raw(n.port, f"GET / HTTP/1.1\r\n{head}\r\n".encode())
                took[kind].append(time.monotonic() - began)
                assert b" 200 " in said.splitlines()[0], (what, said)
        assert min(took["reserved"]) < min(took["other"]) + 0.05, (what, took)
        assert memory_of(n) - before < 4 << 20, (what, memory_of(n) - before)
