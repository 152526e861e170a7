"""X-Clerk-* request headers of clients never reach an application."""

import random

from harness import equal, raw, request, wait_until

NAMES = ("X-Clerk-User-Id", "x-clerk-user-id", "X-CLERK-ORG-ROLE", "X_Clerk_User_Id", "X-Clerk_User-Id",
         "x_clerk_anything", "X-Clerk-Auth-Status", "X.Clerk.User.Id", "X-Clerk-New-Header")


def clerk_names(response):
    import re
    return [(n, v) for n, v in response.json()["headers"] if re.sub("[^a-z0-9]", "_", n.lower()).startswith("x_clerk")]


def test_spoofed_headers_are_removed_in_every_location(f):
    n = f.nginx(f"""{f.keys()} underscores_in_headers on; ignore_invalid_headers off; server {{ listen 127.0.0.1:@port@;
        location /on {{ clerk_auth on; {f.proxy()} }}
        location /off {{ {f.proxy()} }}
        location /optional {{ clerk_auth optional; clerk_auth_pass_headers on; {f.proxy()} }}
        location /named {{ try_files /none @named; }} location @named {{ {f.proxy()} }}
        location /rewrite {{ rewrite ^ /off last; }}
        location /variable {{ add_header Seen "=$http_x_clerk_user_id" always; return 200; }} }}""")
    token = f.sim.mint()
    for name in NAMES:
        for path in ("/on", "/off", "/named", "/rewrite"):
            response = request(n.port, path, token=token, headers=[(name, "admin"), ("X-Other", "kept")])
            equal(response.status, 200, path)
            equal(clerk_names(response), [], f"{path} {name}")
            equal(response.passed("X-Other"), ["kept"])
        response = request(n.port, "/optional", headers=[(name, "admin")])
        equal(clerk_names(response), [("X-Clerk-Auth-Status", "signed-out")], name)
        response = request(n.port, "/optional", token=token, headers=[(name, "admin")])
        assert "admin" not in str(clerk_names(response)), response
        equal(response.passed("X-Clerk-User-Id"), ["user_1"])
        equal(request(n.port, "/variable", headers=[(name, "admin")]).get("Seen"), "=")


def test_location_may_keep_headers_and_others_still_remove_them(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location /keeps {{ clerk_auth_strip_headers off; {f.proxy()} }}
        location /keeps-and-adds {{ clerk_auth on; clerk_auth_strip_headers off; clerk_auth_pass_headers on; {f.proxy()} }}
        location /removes {{ {f.proxy()} }} location /to {{ clerk_auth_strip_headers off; rewrite ^ /removes last; }}
        location /try {{ clerk_auth_strip_headers off; try_files /none @removes; }} location @removes {{ {f.proxy()} }} }}""")
    mine = [("X-Clerk-User-Id", "admin")]
    equal(request(n.port, "/keeps", headers=mine).passed("X-Clerk-User-Id"), ["admin"])
    equal(request(n.port, "/keeps-and-adds", headers=mine, token=f.sim.mint()).passed("X-Clerk-User-Id"), ["user_1"])
    for path in ("/removes", "/to", "/try"):
        equal(clerk_names(request(n.port, path, headers=mine)), [], path)


def test_subrequest_removes_what_the_main_location_keeps(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location /keeps {{ clerk_auth_strip_headers off; mirror /mirrored; {f.proxy()} }}
        location = /mirrored {{ internal; {f.proxy()} }} }}""")
    for count in (1, 18, 45):
        f.application.seen.clear()
        spoofed = [("X-Clerk-User-Id", "admin")] * count + [("X-Kept", "1")]
        equal(request(n.port, "/keeps", headers=spoofed).passed("X-Clerk-User-Id"), ["admin"] * count)
        wait_until(lambda: len(f.application.seen) == 2, what="the mirrored request")
        mirrored = next(s for s in f.application.seen if s["target"] == "/mirrored")
        names = [name for name, _ in mirrored["headers"]]
        assert "X-Kept" in names and "X-Clerk-User-Id" not in names, names


def test_headers_that_were_added_survive_a_redirect(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; clerk_auth_pass_headers on;
        location /a {{ try_files /none @b; }} location @b {{ {f.proxy()} }} location /keep {{ clerk_auth_strip_headers off; }}
        location /c {{ try_files /none @d; }} location @d {{ clerk_auth off; {f.proxy()} }}
        location /e {{ try_files /none @f; }} location @f {{ clerk_auth_pass_headers off; {f.proxy()} }} }}""")
    token = f.sim.mint()
    for path in ("/a", "/c"):
        equal(request(n.port, path, token=token).passed("X-Clerk-User-Id"), ["user_1"], path)
    equal(clerk_names(request(n.port, "/e", token=token)), [])


def test_connection_header_cannot_name_what_the_module_adds(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location / {{ clerk_auth on; clerk_auth_pass_headers on;
        proxy_pass http://127.0.0.1:{f.application.port}; proxy_http_version 1.1;
        proxy_set_header Connection $http_connection; }} }}""")
    for value, passed in (("close, X-Clerk-User-Id", ["close"]), ("X_Clerk_User_Id , keep-alive,x-clerk-org-id", ["keep-alive"]),
                          ("X-Clerk-User-Id", []), ("close", ["close"]), ("close X-Clerk-User-Id", ["close"]),
                          ("close;x-clerk-org-id", ["close"]), ('te, "X-Clerk-User-Id"', ["te"]), ("a,,X-CLERK-USER-ID,b", ["a, b"])):
        response = request(n.port, token=f.sim.mint(), headers=[("Connection", value)])
        equal(response.status, 200)
        equal(response.passed("Connection"), passed, value)
        equal(response.passed("X-Clerk-User-Id"), ["user_1"])


def test_random_header_sets_lose_reserved_names_and_nothing_else(f):
    n = f.nginx(f"""{f.keys()} underscores_in_headers on; ignore_invalid_headers off; large_client_header_buffers 8 16k;
        server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth optional; {f.proxy()} }}
        location /adds {{ clerk_auth on; clerk_auth_pass_headers on; {f.proxy()} }} }}""")
    token = f.sim.mint()
    request(n.port, "/adds", token=token)
    source = random.Random(7)
    own = ["X-Clerk-Auth-Status", "X-Clerk-User-Id", "X-Clerk-Session-Id", "X-Clerk-Token-Kind"]

    # nginx keeps twenty lines in a part; three more are sent: parts that are full, and nearly so.
    def one(i):
        count = source.choice([0, 1, 2, 5, 15, 16, 17, 18, 19, 20, 35, 36, 37, 38, 57])
        lines = [(source.choice(NAMES) if source.random() < source.choice([0.1, 0.5, 0.9, 1]) else f"X-Kept-{j}", str(j))
                 for j in range(count)]
        source.shuffle(lines)
        path = source.choice(["/", "/adds"])
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        data = (f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n")
        answer = raw(n.port, data.encode())
        assert answer.startswith(b"HTTP/1.1 200"), (data, answer[:300])
        import json
        seen = json.loads(answer.split(b"\r\n\r\n", 1)[1])["headers"]
        kept = [[name, value] for name, value in lines if name.startswith("X-Kept")]
        equal([h for h in seen if h[0].startswith("X-Kept")], kept)
        reserved = [name for name, _ in seen if name.lower().replace("_", "-").replace(".", "-").startswith("x-clerk")]
        equal(reserved, own if path == "/adds" else [])

    for i in range(800):
        one(i)


def test_http2_headers_are_removed_too(f):
    import subprocess
    import json
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@ http2; location / {{ clerk_auth on;
        clerk_auth_pass_headers on; {f.proxy()} }} }}""")
    said = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", f"http://127.0.0.1:{n.port}/", "-H", f"Authorization: Bearer {f.sim.mint()}",
         "-H", "X-Clerk-User-Id: admin", "-H", "X-Clerk-Evil: 1", "-H", "X-Kept: 1"], capture_output=True, check=True).stdout
    headers = json.loads(said)["headers"]
    equal([v for name, v in headers if name.lower() == "x-clerk-user-id"], ["user_1"])
    assert ["x-kept", "1"] in [[name.lower(), v] for name, v in headers]
    assert "evil" not in said.decode().lower()
