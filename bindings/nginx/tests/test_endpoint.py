"""`clerk_auth_endpoint`: for auth_request, and for forward authentication of other proxies."""

import re
import shutil
import socket
import subprocess
import time

from harness import equal, free_port, request, wait_until

HEADERS = ("X-Clerk-Auth-Status", "X-Clerk-User-Id", "X-Clerk-Session-Id")


def endpoint(f, inside="", **options):
    return f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location = /auth {{ clerk_auth_endpoint; {inside} }}
        location /envoy/ {{ clerk_auth_endpoint; {inside} }} }}""", **options)


def test_endpoint_answers_with_headers_and_the_response_matrix(f):
    n = endpoint(f)
    good = request(n.port, "/auth", token=f.sim.mint(sid="sess_5"))
    equal((good.status, good.body, [good.get(h) for h in HEADERS]), (200, b"", ["signed-in", "user_1", "sess_5"]))
    equal(good.get("WWW-Authenticate"), None)
    bad = request(n.port, "/auth", token=f.sim.mint(spoil="expired"))
    equal((bad.status, bad.get("X-Clerk-User-Id")), (401, None))
    assert "invalid_token" in bad.get("WWW-Authenticate")
    none = request(n.port, "/auth")
    equal((none.status, none.get("WWW-Authenticate")), (401, 'Bearer realm="clerk"'))


def test_endpoint_unavailable_and_requirement(f):
    f.sim.faults({"path": "/jwks", "status": 500})
    n = endpoint(f, "clerk_auth_require_role admin;")
    response = request(n.port, "/auth", token=f.sim.mint())
    equal((response.status, response.get("Retry-After")), (503, "1"))
    f.sim.faults()
    n = endpoint(f, "clerk_auth_require_role admin;")
    equal(request(n.port, "/auth", token=f.sim.mint()).status, 403)


def test_optional_endpoint_names_the_anonymous(f):
    n = endpoint(f, "clerk_auth optional;")
    response = request(n.port, "/auth")
    equal((response.status, response.get("X-Clerk-Auth-Status"), response.get("X-Clerk-User-Id")),
          (200, "signed-out", None))


def test_any_method_with_a_body_is_answered(f):
    n = endpoint(f)
    token = f.sim.mint()
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
        equal(request(n.port, "/envoy/some/path?x=1", method=method, token=token, body=b"body").status, 200, method)


def with_auth_request(f, delay=0):
    if delay:
        f.sim.faults({"path": "/jwks", "delay_ms": delay})
    return f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location / {{ auth_request /auth; auth_request_set $user $clerk_user_id; auth_request_set $why $clerk_reason;
            auth_request_set $sent $sent_http_x_clerk_session_id;
            proxy_set_header X-User $user; proxy_set_header X-Sent $sent; add_header X-Why "$why" always; {f.proxy()} }}
        location = /auth {{ internal; clerk_auth_endpoint; }}
        location = /free {{ {f.proxy()} }} }}""")


def test_auth_request_inline_and_suspended(f):
    n = with_auth_request(f, delay=400)
    token = f.sim.mint(sid="sess_4")
    for _ in range(2):
        response = request(n.port, "/", token=token)
        equal(response.status, 200)
        equal((response.passed("X-User"), response.passed("X-Sent")), (["user_1"], ["sess_4"]))
    response = request(n.port, "/", token=f.sim.mint(spoil="expired"))
    equal((response.status, response.get("X-Why")), (401, "token-expired"))
    equal(len(response.all("WWW-Authenticate")), 1)
    equal(request(n.port, "/").status, 401)
    response = request(n.port, "/", method="POST", token=token, body=b"abc")
    equal((response.status, response.json()["length"]), (200, 3))


def test_auth_request_abort_while_suspended_reaches_no_application(f):
    n = with_auth_request(f, delay=600)
    for _ in range(8):
        s = socket.create_connection(("127.0.0.1", n.port))
        s.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {f.sim.mint()}\r\n\r\n".encode())
        time.sleep(0.02)
        s.close()
    time.sleep(1.2)
    equal(f.application.seen, [])
    equal(request(n.port, "/", token=f.sim.mint()).status, 200)


def test_auth_request_checks_the_origin_of_the_main_request(f):
    n = with_auth_request(f)
    token = f.sim.mint()
    equal(request(n.port, "/", method="POST", cookie=token, body=b"x").status, 403)
    equal(request(n.port, "/", method="POST", cookie=token, body=b"x", headers=[("Sec-Fetch-Site", "same-origin")]).status, 200)


def test_traefik_forward_auth_request(f):
    """As Traefik sends it: GET, the request's own headers, X-Forwarded-*."""
    n = endpoint(f, "clerk_auth_login_redirect https://accounts.example.com/sign-in?redirect_url=$clerk_return_url;")
    forwarded = lambda method: [("X-Forwarded-Method", method), ("X-Forwarded-Proto", "https"),
                                ("X-Forwarded-Host", "app.test"), ("X-Forwarded-Uri", "/orders?page=2"),
                                ("X-Forwarded-For", "10.0.0.9")]
    token = f.sim.mint()
    equal(request(n.port, "/auth", token=token, headers=forwarded("POST")).get("X-Clerk-User-Id"), "user_1")
    equal(request(n.port, "/auth", cookie=token, headers=forwarded("GET")).status, 200)
    equal(request(n.port, "/auth", cookie=token, headers=forwarded("POST")).status, 403)
    equal(request(n.port, "/auth", cookie=token,
                  headers=[*forwarded("POST"), ("Origin", "https://app.test")]).status, 200)
    equal(request(n.port, "/auth", cookie=token,
                  headers=[*forwarded("POST"), ("Origin", "https://evil.test")]).status, 403)
    response = request(n.port, "/auth", headers=[*forwarded("GET"), ("Accept", "text/html")])
    equal((response.status, response.get("Location")),
          (302, "https://accounts.example.com/sign-in?redirect_url=https%3A%2F%2Fapp.test%2Forders%3Fpage%3D2"))


def test_envoy_ext_authz_request(f):
    """As Envoy sends it with a path prefix: the request's own method and path, Content-Length 0."""
    n = endpoint(f)
    token = f.sim.mint()
    response = request(n.port, "/envoy/orders/7", method="DELETE", token=token, headers=[("Content-Length", "0")])
    equal((response.status, response.get("X-Clerk-User-Id")), (200, "user_1"))
    equal(request(n.port, "/envoy/orders/7", method="DELETE", cookie=token, headers=[("Content-Length", "0")]).status, 403)
    equal(request(n.port, "/envoy/orders/7", method="DELETE").status, 401)


def test_spoofed_headers_do_not_come_back_from_the_endpoint(f):
    n = endpoint(f, "clerk_auth optional;")
    response = request(n.port, "/auth", headers=[("X-Clerk-User-Id", "admin")])
    equal((response.status, response.get("X-Clerk-User-Id")), (200, None))


def test_caddy_forward_auth(f):
    caddy = shutil.which("caddy")
    assert caddy, "caddy is missing; test.sh installs it"
    n = endpoint(f)
    port = free_port()
    config = f.directory_file("Caddyfile", f"""{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    forward_auth 127.0.0.1:{n.port} {{
        uri /auth
        copy_headers X-Clerk-User-Id X-Clerk-Auth-Status
    }}
    reverse_proxy 127.0.0.1:{f.application.port}
}}
""")
    process = subprocess.Popen([caddy, "run", "--config", config, "--adapter", "caddyfile"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={"HOME": str(f.directory), "PATH": "/usr/bin:/bin"})
    try:
        def is_up():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        wait_until(is_up, seconds=20, what="caddy accepts connections")
        token = f.sim.mint()
        response = request(port, "/x", token=token, headers=[("X-Clerk-User-Id", "admin")])
        equal((response.status, response.passed("X-Clerk-User-Id")), (200, ["user_1"]))
        equal(request(port, "/x").status, 401)
        equal(request(port, "/x", method="POST", cookie=token, body=b"a").status, 403)
        equal(request(port, "/x", method="POST", cookie=token, body=b"a", headers=[("Sec-Fetch-Site", "same-origin")]).status, 200)
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()
