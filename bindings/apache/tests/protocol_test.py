"""HTTP/2, WebSocket, and header lines that are not stripped."""

import subprocess

import harness


def http2_callers_are_recognized(sim):
    upstream = harness.Upstream()

    def check(apache):
        token = sim.mint()

        def ask(*more, path="/valid/"):
            return subprocess.run(["curl", "-s", "--noproxy", "*", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{http_version} %{http_code}",
                                   *more, apache.origin + path], stdout=subprocess.PIPE, text=True, timeout=20).stdout
        assert ask() == "2 401"
        assert ask("-H", f"Authorization: Bearer {token}") == "2 200"
        assert ask("-H", f"Cookie: a=b", "-H", f"Cookie: __session={token}") == "2 200"
        assert ask("-H", f"Authorization: Bearer {token}", "-d", "x" * 100000, path="/upload/") == "2 200"
        assert upstream.requests[-1]["body_len"] == 100000

    try:
        harness.serve(sim, "Protocols h2c http/1.1\n<LocationMatch ^/(valid|upload)>\nAuthType Clerk\nRequire valid-user\n</LocationMatch>\n"
                    f"ProxyPass /upload/ {upstream.url}/", check, modules=["http2"])
    finally:
        upstream.close()


def strip_headers_off_still_guards_passed_headers(sim):
    upstream = harness.Upstream()

    def check(apache):
        spoofed = [("X-Clerk-Org-Id", "org_evil"), ("X-Clerk-User-Id", "user_evil")]
        assert b"user_evil" in apache.request("/open-proxy/", headers=spoofed).body
        response = apache.request("/proxy/", headers=spoofed, token=sim.mint())
        assert response.status == 200 and b"evil" not in response.body, response

    try:
        harness.serve(sim, f"ClerkStripHeaders Off\nProxyPass /open-proxy/ {upstream.url}/\n<Location /proxy/>\nAuthType Clerk\nRequire valid-user\n"
                    f"ClerkPassHeaders On\nProxyPass {upstream.url}/\n</Location>", check)
    finally:
        upstream.close()


def websocket_upgrade_carries_the_identity(sim):
    upstream = harness.Upstream()

    def check(apache):
        assert apache.request("/ws/", headers=harness.WEBSOCKET).status == 401
        response = apache.open_websocket("/ws/", [("Authorization", f"Bearer {sim.mint()}"), ("X-Clerk-User-Id", "user_evil"),
                                                  ("Connection", "X-Clerk-User-Id")])
        assert response.status == 101 and response.get("X-Seen-User") == "user_1", response

    try:
        harness.serve(sim, f"<Location /ws/>\nAuthType Clerk\nRequire valid-user\nClerkPassHeaders On\nProxyPass ws://127.0.0.1:{upstream.port}/\n"
                      "</Location>", check)
    finally:
        upstream.close()


def cases(sim):
    for case in (http2_callers_are_recognized, strip_headers_off_still_guards_passed_headers, websocket_upgrade_carries_the_identity):
        yield case.__name__, lambda case=case: case(sim)
