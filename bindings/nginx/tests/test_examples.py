"""Each file in examples/ is started with its addresses and paths replaced, and otherwise unchanged."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

from harness import HERE, WEBHOOK_SECRET, cookie_suffix, equal, request, wait_until

EXAMPLES = HERE.parent / "examples"
PAGE = [("Accept", "text/html")]


def start(f, name, **paths):
    text = (EXAMPLES / f"{name}.conf").read_text()
    files = {"/etc/nginx/clerk/secret_key": "sk_test_example\n", "/etc/nginx/clerk/webhook_secret": WEBHOOK_SECRET + "\n"}
    for path, content in files.items():
        paths[path] = f.directory_file(path.rsplit("/", 1)[1], content, 0o600)
    for old, new in paths.items():
        text = text.replace(old, str(new))
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{f.application.port}")
    text = re.sub(r"listen (80|9000);", "listen 127.0.0.1:@port@;", text)
    return f.nginx(f"clerk_auth_api_url {f.sim.url};\n{text}", user="www-data", workers=2)


def test_every_example_is_started_by_a_test(f):
    source = (HERE / "test_examples.py").read_text()
    for path in EXAMPLES.iterdir():
        assert f'start(f, "{path.stem}"' in source, path


def test_static_site_behind_login(f):
    site = f.directory / "site"
    (site / "assets").mkdir(parents=True)
    (site / "index.html").write_text("secret page")
    (site / "assets/app.css").write_text("css")
    n = start(f, "static-login", **{"/var/www/site": site})
    response = request(n.port, "/", headers=PAGE)
    equal(response.status, 302)
    assert response.get("Location").startswith("https://accounts.example.com/sign-in?redirect_url=http%3A%2F%2F")
    equal(request(n.port, "/").status, 401)
    equal(request(n.port, "/assets/app.css").body, b"css")
    suffix = cookie_suffix("pk_test_Y2xlcmsuZXhhbXBsZS5jb20k")
    cookie = [("Cookie", f"__client_uat_{suffix}=1; __session_{suffix}={f.sim.mint()}")]
    equal(request(n.port, "/", headers=[*PAGE, *cookie]).body, b"secret page")
    equal(request(n.port, "/none", headers=cookie).status, 404)


def test_reverse_proxy_to_a_plain_application(f):
    n = start(f, "reverse-proxy")
    response = request(n.port, "/orders", token=f.sim.mint(), headers=[("x-clerk-user-id", "admin")])
    equal((response.status, response.passed("X-Clerk-User-Id")), (200, ["user_1"]))
    equal(request(n.port, "/orders").status, 401)


def test_pages_that_stay_signed_in(f):
    n = start(f, "pages")
    browser = [*PAGE, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "app.example.com")]
    stale = ("Cookie", f"__client_uat=1700000000; __session={f.sim.mint(spoil='expired')}")
    response = request(n.port, "/orders", headers=[*browser, stale])
    equal((response.status, response.get("Location")[:52]), (307, "https://clerk.example.com/v1/client/handshake?redire"))
    assert "redirect_url=https%3A%2F%2Fapp.example.com%2Forders&" in response.get("Location"), response
    equal([request(n.port, path, headers=[*headers, stale]).status for path, headers in
           (("/api/", browser), ("/orders", PAGE), ("/orders", [*browser[:2], ("X-Forwarded-Host", "evil.example")]))], [401, 401, 401])
    equal(request(n.port, "/orders", headers=browser).status, 302)
    equal(request(n.port, "/orders", cookie=f.sim.mint(), headers=browser).status, 307)
    equal(request(n.port, "/orders", headers=[*browser, ("Cookie", f"__client_uat=1; __session={f.sim.mint()}")]).status, 200)


def test_public_health_check(f):
    n = start(f, "health-check")
    equal([request(n.port, path).status for path in ("/healthz", "/welcome", "/", "/healthz/x")], [200, 200, 401, 401])
    equal(request(n.port, "/welcome").passed("X-Clerk-Auth-Status"), ["signed-out"])
    equal(request(n.port, "/welcome", token="bad").status, 401)
    equal(request(n.port, "/healthz", token="bad").status, 200)


def test_roles_per_location(f):
    n = start(f, "roles")
    member = f.sim.mint(org={"id": "org_1", "slug": "acme", "role": "member"})
    admin = f.sim.mint(org={"id": "org_2", "slug": "other", "role": "admin"}, claims={"metadata": {"beta": True}})
    writer = f.sim.mint(org={"id": "org_1", "slug": "acme", "role": "member", "features": ["invoices"],
                             "permissions": ["invoices:create"]})
    for token, expected in ((member, [200, 403, 200, 200, 403]), (admin, [200, 200, 200, 403, 200])):
        equal([request(n.port, path, token=token).status for path in ("/", "/admin/", "/invoices/", "/acme/", "/beta/")],
              expected)
    equal(request(n.port, "/invoices/", method="POST", token=member, body=b"x").status, 403)
    equal(request(n.port, "/invoices/", method="POST", token=writer, body=b"x").status, 200)


def test_jwks_only(f):
    n = start(f, "jwks-only", **{"https://clerk.example.com/.well-known/jwks.json": f"{f.sim.url}/.well-known/jwks.json"})
    equal(request(n.port, token=f.sim.mint(iss="https://clerk.example.com")).passed("X-User"), ["user_1"])
    equal(request(n.port, token=f.sim.mint(iss="https://other.example.com")).status, 401)


def test_auth_request(f):
    n = start(f, "auth-request")
    equal(request(n.port, token=f.sim.mint()).passed("X-User"), ["user_1"])
    equal(request(n.port).status, 401)
    equal(request(n.port, "/clerk", token=f.sim.mint()).status, 404)


def test_forward_auth(f):
    n = start(f, "forward-auth")
    for path in ("/clerk", "/envoy/any/path"):
        equal(request(n.port, path, token=f.sim.mint()).get("X-Clerk-User-Id"), "user_1")
        equal(request(n.port, path).status, 401)


def test_php_fpm(f):
    fpm = next((p for p in sorted(os.listdir("/usr/sbin"), reverse=True) if re.fullmatch(r"php-fpm[\d.]+", p)), None)
    assert fpm, "php-fpm is missing; test.sh installs it"
    site = f.directory / "php"
    site.mkdir()
    (site / "index.php").write_text('<?php echo json_encode(array_filter($_SERVER, fn($k) => str_contains($k, "CLERK"), ARRAY_FILTER_USE_KEY));')
    pool = "user = www-data\ngroup = www-data\nlisten.owner = www-data\n" if os.getuid() == 0 else ""
    config = f.directory_file("fpm.conf", f"[global]\nerror_log = {f.directory}/fpm.log\ndaemonize = no\n[www]\n{pool}"
                              f"listen = {f.directory}/php.sock\npm = static\npm.max_children = 1\n")
    process = subprocess.Popen([f"/usr/sbin/{fpm}", "-n", "-y", config], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (f.directory / "php.sock").exists(), what="php-fpm listens")
        n = start(f, "php-fpm", **{"/var/www/php": site, "unix:/run/php/php-fpm.sock": f"unix:{f.directory}/php.sock"})
        seen = request(n.port, "/index.php", token=f.sim.mint(sid="sess_1"), headers=[("X-Clerk-User-Id", "admin")]).json()
        equal((seen["CLERK_USER_ID"], seen["CLERK_SESSION_ID"], seen["CLERK_AUTH_STATUS"]), ("user_1", "sess_1", "signed-in"))
        equal(json.loads(seen["CLERK_CLAIMS"])["sub"], "user_1")
        equal([name for name in seen if name.startswith("HTTP_X")], [])
        seen = request(n.port, "/index.php", headers=[("Clerk-User-Id", "admin")]).json()
        equal((seen["CLERK_USER_ID"], seen["CLERK_AUTH_STATUS"], seen["HTTP_CLERK_USER_ID"]), ("", "signed-out", "admin"))
    finally:
        process.terminate()
        process.wait(10)


def test_websocket(f):
    n = start(f, "websocket")
    head = "GET /socket HTTP/1.1\r\nHost: app.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    cookie = f"Cookie: __session={f.sim.mint()}\r\n"
    own, foreign = "Origin: https://app.example.com\r\n", "Origin: https://evil.example.com\r\n"

    def first_line(lines):
        with socket.create_connection(("127.0.0.1", n.port), timeout=10) as s:
            s.sendall((head + lines + "\r\n").encode())
            answer = s.recv(4096)
            if b" 101 " in answer:
                s.sendall(b"hello\n")
                while not answer.endswith(b"echo hello\n"):
                    answer += s.recv(4096)
            return int(answer.split()[1])

    equal([first_line(lines) for lines in (cookie + own, cookie + foreign, cookie, own)], [101, 403, 101, 401])
    equal(len(f.application.seen), 2)
    assert ["X-Clerk-User-Id", "user_1"] in f.application.seen[0]["headers"]


def test_user_sync_and_webhooks(f):
    f.sim.user()
    store = f.directory / "application"
    store.mkdir()
    if os.getuid() == 0:
        shutil.chown(store, "www-data")
    n = start(f, "user-sync", **{"/var/lib/application": store})
    response = request(n.port, token=f.sim.mint())
    equal((response.passed("X-User-Key"), response.passed("X-User-Email")), (["1"], ["user_1@example.com"]))
    d = f.sim.webhook("session.revoked", "sess_1", data={"id": "sess_1", "user_id": "user_1"})
    headers = list(d["headers"].items())
    equal(request(n.port, "/clerk/webhook", method="POST", headers=headers, body=d["body"].encode()).status, 200)
    wait_until(lambda: {request(n.port, token=f.sim.mint()).status for _ in range(6)} == {401}, seconds=2, what="rejected")
    for path, line in (("/clerk/status", b"webhooks_applied 1\n"), ("/clerk/metrics", b"clerk_auth_webhooks_applied_total 1\n")):
        wait_until(lambda: line in request(n.port, path).body, what=path)


def test_readme_of_the_tests_names_existing_ones(f):
    here = pathlib.Path(__file__).parent
    sources = "".join(path.read_text() for path in here.glob("test_*.py"))
    rows = (here / "README.md").read_text().split("|---|---|")[1].splitlines()
    names = [name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row.rpartition(" | ")[2])]
    equal([name for name in names if f"def test_{name}(" not in sources], [])
    assert len(names) > 60, names
