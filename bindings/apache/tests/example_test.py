"""Starts each file of examples/ and sends requests."""

import contextlib
import json
import pathlib
import subprocess

import harness

EXAMPLES = harness.FOLDER / "examples"
APP = "https://www.example.com"


def with_example(sim, name, check, modules=(), prepare=None):
    upstream = harness.Upstream()
    apache = harness.Apache("event", "", modules=modules, log_level="info auth_clerk:debug")
    clerk_dir = apache.directory / "clerk"
    clerk_dir.mkdir()
    for file, content in (("secret_key", "sk_test_x\n"), ("webhook_secret", harness.WEBHOOK_SECRET + "\n"),
                          ("jwks.json", json.dumps({"keys": [sim.admin("GET", "/keys/k1")["jwk"]]}))):
        (clerk_dir / file).write_text(content)
        (clerk_dir / file).chmod(0o600)
    defines = {"clerk_dir": clerk_dir, "site": apache.docs, "app": upstream.url, "ws": f"ws://127.0.0.1:{upstream.port}", "data_dir": apache.data}
    try:
        defines.update(prepare(apache) if prepare else {})
        apache.body = "\n".join(f"Define {key} {value}" for key, value in defines.items()) + f"\nClerkAPIURL {sim.url}\nInclude {EXAMPLES / name}"
        apache.start()
        check(apache)
        assert apache.stop() == 0
        assert not apache.complaints(), apache.complaints()
    finally:
        apache.close()
        upstream.close()


def static_site(sim):
    def check(apache):
        response = apache.request("/members/open/", headers=[("Accept", "text/html")])
        assert response.status == 302 and response.get("Location").startswith("https://accounts.example.com/sign-in?redirect_url=http"), response
        assert apache.request("/members/open/").status == 401
        assert apache.request("/members/open/", cookie=sim.mint(azp=APP)).body == b"open\n"
        assert apache.request("/members/open/", cookie=sim.mint(azp="https://evil.example")).status == 401

    with_example(sim, "static-site.conf", check)


def pages(sim):
    def check(apache):
        browser = [("Accept", "text/html"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.example.com")]
        stale = ("Cookie", f"__client_uat=1700000000; __session={sim.mint(spoil='expired', azp=APP)}")
        response = apache.request("/app/a", headers=[*browser, stale])
        assert response.status == 307 and response.get("Location").startswith("https://clerk.example.com/v1/client/handshake?"), response
        assert "redirect_url=https%3A%2F%2Fwww.example.com%2Fapp%2Fa&" in response.get("Location"), response
        assert apache.request("/app/api", headers=[*browser, stale]).status == 302, "the sign-in page, as without ClerkPages"
        for path, headers in (("/app/a", browser[:1]), ("/app/a", [*browser[:2], ("X-Forwarded-Host", "evil.example")])):
            assert apache.request(path, headers=[*headers, stale]).status == 401, (path, headers)
        assert apache.request("/app/a", headers=browser).status == 302
        signed_in = ("Cookie", f"__client_uat=1; __session={sim.mint(azp=APP)}")
        assert apache.request("/app/a", headers=[*browser, signed_in]).status == 200

    with_example(sim, "pages.conf", check)


def reverse_proxy(sim):
    def check(apache):
        spoofed = [("X-Clerk-User-Id", "user_evil")]
        assert apache.request("/app/", headers=spoofed).status == 401
        for path, user in (("/app/", "user_1"), ("/welcome/", "user_1")):
            lines = dict((n.lower(), v) for n, v in apache.request(path, headers=spoofed, token=sim.mint(azp=APP)).json()["headers"])
            assert lines["x-clerk-user-id"] == user, lines
        lines = dict((n.lower(), v) for n, v in apache.request("/welcome/", headers=spoofed).json()["headers"])
        assert "x-clerk-user-id" not in lines and lines["x-clerk-auth-status"] == "signed-out", lines
        response = apache.request("/healthz", headers=spoofed)
        assert response.status == 200 and b"evil" not in response.body, response

    with_example(sim, "reverse-proxy.conf", check)


def roles(sim):
    def check(apache):
        def org(**members):
            return sim.mint(azp=APP, org={"id": "org_1", "slug": "acme", "role": "member", **members})

        for path, token, expected in (
                ("/members", sim.mint(azp=APP), 200), ("/admin", org(), 403), ("/admin", org(role="admin"), 200), ("/admin", org(role="owner"), 200),
                ("/invoices", org(permissions=["invoices:read"]), 200), ("/invoices", org(), 403), ("/acme", org(), 200),
                ("/acme", org(slug="other"), 403), ("/export", org(features=["export"]), 200), ("/export", org(), 403), ("/gold", org(), 403),
                ("/gold", sim.mint(azp=APP, claims={"tier": "gold"}), 200)):
            assert apache.request(path, token=token).status == expected, (path, expected)
            assert apache.request(path).status == 401, path
        post = {"method": "POST", "body": b""}
        assert apache.request("/invoices", token=org(permissions=["invoices:read"]), **post).status == 403
        assert apache.request("/invoices", token=org(permissions=["invoices:read", "invoices:write"]), **post).status != 403

    with_example(sim, "roles.conf", check)


def jwks_only(sim):
    def check(apache):
        assert apache.request("/open/", token=sim.mint(azp=APP)).status == 200
        assert apache.request("/open/", token=sim.mint(azp=APP, key="other")).status == 401
        assert apache.request("/open/").status == 401

    with_example(sim, "jwks-only.conf", check)


def php_fpm(sim):
    binary = next(iter(sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))), None)
    assert binary, "php-fpm is missing"
    stack = contextlib.ExitStack()

    def prepare(apache):
        socket_path = apache.data / "fpm.sock"
        (apache.docs / "who.php").write_text("<?php echo json_encode(array_filter($_SERVER, fn($k) => preg_match('/CLERK|REMOTE_USER/', $k), ARRAY_FILTER_USE_KEY));")
        config = apache.directory / "fpm.conf"
        config.write_text(f"[global]\nerror_log = {apache.directory}/fpm.log\ndaemonize = no\n[www]\nuser = www-data\ngroup = www-data\n"
                          f"listen = {socket_path}\nlisten.owner = www-data\nlisten.group = www-data\npm = static\npm.max_children = 2\n")
        process = subprocess.Popen([binary, "-y", config, "-F"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        harness.wait_until(socket_path.exists, what="php-fpm")
        return {"fpm": f'"unix:{socket_path}|fcgi://localhost"'}

    def check(apache):
        assert apache.request("/php/who.php").status == 401
        token = sim.mint(azp=APP, org={"id": "org_1", "slug": "acme", "role": "admin"})
        response = apache.request("/php/who.php", token=token, headers=[("X-Clerk-User-Id", "user_evil"), ("Clerk-User-Id", "user_evil")])
        seen = response.json()
        assert seen["REMOTE_USER"] == seen["CLERK_USER_ID"] == "user_1" and seen["CLERK_ORG_ROLE"] == "org:admin", seen
        assert "HTTP_X_CLERK_USER_ID" not in seen, seen

    with stack:
        with_example(sim, "php-fpm.conf", check, modules=["proxy_fcgi"], prepare=prepare)


def websocket(sim):
    def check(apache):
        token = sim.mint(azp=APP)
        assert apache.request("/ws/", headers=harness.WEBSOCKET).status == 401
        assert apache.request("/ws/", headers=[*harness.WEBSOCKET, ("Origin", "https://evil.example")], cookie=token).status == 403
        response = apache.open_websocket("/ws/", [("Origin", APP), ("Cookie", f"__session={token}")])
        assert response.status == 101 and response.get("X-Seen-User") == "user_1", response

    with_example(sim, "websocket.conf", check)


def webhooks(sim):
    sim.admin("PUT", "/users/user_hook", {"first_name": "Ada", "email_addresses": ["webhook@example.com"], "primary_email_address_id": "idn_0001"})

    def check(apache):
        token = sim.mint(azp=APP, user="user_hook", sid="sess_hook")
        response = apache.request("/app/", token=token)
        assert response.status == 200, (response, apache.error_log[-2000:])
        lines = dict((n.lower(), v) for n, v in response.json()["headers"])
        assert lines["x-clerk-local-user-id"] == "1" and lines["x-clerk-email"] == "webhook@example.com", lines
        headers, payload = sim.webhook(type="session.ended", id="sess_hook")
        assert apache.request("/webhooks/clerk", headers=headers, method="POST", body=payload).status == 200
        assert {apache.request("/app/", token=token).status for _ in range(12)} == {401}
        assert b"clerk_auth_signed_in_total" in apache.request("/clerk-status?format=prometheus").body

    with_example(sim, "webhooks.conf", check)


def every_example_is_tested(_sim):
    tested = {case.__name__.replace("_", "-") + ".conf" for case in CASES}
    assert tested == {path.name for path in EXAMPLES.glob("*.conf")}, tested


CASES = [static_site, pages, reverse_proxy, roles, jwks_only, php_fpm, websocket, webhooks]


def cases(sim):
    for case in [*CASES, every_example_is_tested]:
        yield f"example: {case.__name__}", lambda case=case: case(sim)
