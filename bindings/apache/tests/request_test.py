"""Requests and their responses, under each MPM."""

import base64
import concurrent.futures
import contextlib
import json
import socket
import urllib.parse

import harness

MPMS = ("event", "worker", "prefork")

CHALLENGE = 'Bearer realm="Example"'


def config(sim, upstream):
    return f"""
ClerkSecretKey sk_test_x
ClerkAPIURL {sim.url}
ClerkAuthorizedParties https://app.example.com
MergeTrailers On
Header always set X-Seen-User "expr=%{{REMOTE_USER}}"
Header always set X-Seen-Id "%{{CLERK_USER_ID}}e"
Header always set X-Seen-Org "%{{CLERK_ORG_ID}}e"
Header always set X-Seen-Claims "%{{CLERK_CLAIMS}}e"
AliasMatch "^/(valid|optional|role|page|files|noenv|claims|login|legacy)" {'{docs}'}/open/index.html
<Location /valid>
  AuthType Clerk
  AuthName Example
  Require valid-user
</Location>
<Location /optional>
  AuthType Clerk
  AuthName Example
  ClerkOptional On
  Require all granted
</Location>
<Location /optional-valid>
  AuthType Clerk
  ClerkOptional On
  Require valid-user
</Location>
<Location /optional-role>
  AuthType Clerk
  AuthName Example
  ClerkOptional On
  Require clerk-role admin
</Location>
<Location /noenv>
  AuthType Clerk
  ClerkPassEnv Off
  Require valid-user
</Location>
<Location /claims>
  AuthType Clerk
  ClerkPassClaims On
  Require valid-user
</Location>
<Location /login>
  AuthType Clerk
  ClerkLoginURL https://accounts.example.com/sign-in?a=b redirect_url
  Require valid-user
</Location>
<Location /proxy/>
  AuthType Clerk
  ClerkPassHeaders On
  ClerkPassClaims On
  Require valid-user
  ProxyPass {upstream.url}/ keepalive=On
</Location>
<Location /optional-proxy/>
  AuthType Clerk
  ClerkPassHeaders On
  ClerkOptional On
  Require all granted
  ProxyPass {upstream.url}/
</Location>
<Location /public-proxy/>
  Require all granted
  ProxyPass {upstream.url}/
</Location>
<Location /header-only>
  AuthType Clerk
  ClerkTokenSource header
  Require valid-user
</Location>
"""


def started(mpm, sim, upstream):
    apache = harness.Apache(mpm, "", log_level="info auth_clerk:debug")
    apache.body = config(sim, upstream).replace("{docs}", str(apache.docs))
    return apache.start()


def token_missing_is_401_without_code(apache, sim, upstream):
    response = apache.request("/valid")
    assert response.status == 401 and response.all("WWW-Authenticate") == [CHALLENGE], response
    apache.logged("reason=session-token-missing")


def token_valid_is_200_without_challenge(apache, sim, upstream):
    for _ in range(3):
        response = apache.request("/valid", token=sim.mint())
        assert response.status == 200 and response.get("WWW-Authenticate") is None, response
        assert response.get("X-Seen-User") == response.get("X-Seen-Id") == "user_1", response


def cookie_valid_is_200(apache, sim, upstream):
    assert apache.request("/valid", cookie=sim.mint()).status == 200


def token_bad_is_401_invalid_token(apache, sim, upstream):
    good = sim.mint()
    bad = [sim.mint(spoil="expired"), sim.mint(spoil="not-yet"), sim.mint(spoil="wrong-key"), sim.mint(spoil="alg-none"),
           sim.mint(azp="https://evil.example"), good[:-4] + "AAAA", good + ".x", "garbage", "a.b.c"]
    for token in bad:
        response = apache.request("/valid", token=token)
        challenges = response.all("WWW-Authenticate")
        assert response.status == 401 and len(challenges) == 1, response
        assert challenges[0].startswith(CHALLENGE + ', error="invalid_token"'), response
        for text in (token, token.split(".")[-1]):
            assert len(text) < 3 or (text.encode() not in response.body and text not in challenges[0]), response


def authorization_odd_never_passes(apache, sim, upstream):
    token = sim.mint()
    for value in ("", "B", "Bearer", "Bearer ", "Bear", f"Basic {token}", f"Bearer {token} x", f"Bearer {token}, Bearer {token}", "\x80\xff",
                  "Bearer " + "a" * 7000, f"Bearer\t\x0b{token}"):
        response = apache.request("/valid", headers=[("Authorization", value)])
        assert response.status in (400, 401), (value, response)
    assert apache.request("/valid", headers=[("Authorization", f"Bearer {token}"), ("Authorization", "Bearer x")]).status == 401


def header_oversized_is_rejected(apache, sim, upstream):
    response = apache.request("/valid", headers=[("Authorization", "Bearer " + "a" * 9000)])
    assert response.status == 400, response
    assert b"aaaaaaaaaa" not in response.body
    assert apache.request("/valid", headers=[("Cookie", "__session=" + "a" * 20000)]).status == 400


def optional_lets_requests_without_credentials_pass(apache, sim, upstream):
    response = apache.request("/optional")
    assert response.status == 200 and response.get("X-Seen-User") == "", response
    response = apache.request("/optional-valid")
    assert response.status == 401, "valid-user requires a user"
    assert apache.request("/optional-valid", token=sim.mint()).status == 200


def optional_knows_signed_in_caller(apache, sim, upstream):
    response = apache.request("/optional", token=sim.mint(user="user_2"))
    assert response.status == 200 and response.get("X-Seen-User") == "user_2", response


def optional_still_rejects_invalid_token(apache, sim, upstream):
    assert apache.request("/optional", token=sim.mint(spoil="expired")).status == 401
    assert apache.request("/optional-proxy/", token="garbage").status == 401


def optional_with_role_demands_the_role(apache, sim, upstream):
    response = apache.request("/optional-role")
    assert response.status == 401 and response.all("WWW-Authenticate") == [CHALLENGE], response
    response = apache.request("/optional-role", token=sim.mint())
    assert response.status == 403 and response.all("WWW-Authenticate") == [CHALLENGE + ', error="insufficient_scope"'], response
    assert apache.request("/optional-role", token=sim.mint(org={"id": "org_1", "slug": "s", "role": "admin"})).status == 200


def env_off_passes_remote_user_only(apache, sim, upstream):
    response = apache.request("/noenv", token=sim.mint())
    assert response.status == 200 and response.get("X-Seen-User") == "user_1" and response.get("X-Seen-Id") == "(null)", response


def env_holds_organization_and_claims(apache, sim, upstream):
    org = {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["invoices:read"]}
    response = apache.request("/claims", token=sim.mint(org=org))
    assert response.get("X-Seen-Org") == "org_1" and json.loads(response.get("X-Seen-Claims"))["sub"] == "user_1", response


def login_url_redirects_pages_only(apache, sim, upstream):
    page = [("Accept", "text/html,*/*")]
    response = apache.request("/login?a=1&redirect_url=x", headers=page)
    back = urllib.parse.quote(f"http://127.0.0.1:{apache.port}/login?a=1&redirect_url=x", safe="")
    assert response.status == 302 and response.get("Location") == f"https://accounts.example.com/sign-in?a=b&redirect_url={back}", response
    assert response.get("WWW-Authenticate") is None and response.get("Cache-Control") == "no-store", response
    assert apache.request("/login", headers=[("Sec-Fetch-Mode", "navigate")]).status == 302
    assert apache.request("/login", cookie=sim.mint(spoil="expired"), headers=page).status == 302
    assert apache.request("/login", headers=[("Accept", "application/json")]).status == 401
    assert apache.request("/login", headers=[*page, ("Sec-Fetch-Mode", "cors")]).status == 401
    assert apache.request("/login", headers=page, method="POST", body=b"").status == 401
    assert apache.request("/login", headers=page, token="garbage").status == 401
    assert apache.request("/login", headers=page, token=sim.mint()).status == 200


def identity_lines(response):
    return {name.lower(): value for name, value in response.json()["headers"] if name.lower().replace("_", "-").startswith("x-clerk")}


def proxy_passes_identity_on(apache, sim, upstream):
    org = {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["invoices:read", "invoices:write"]}
    lines = identity_lines(apache.request("/proxy/", token=sim.mint(org=org)))
    claims = lines.pop("x-clerk-claims")
    assert json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"] == "user_1"
    session = lines.pop("x-clerk-session-id")
    assert session.startswith("sess_"), session
    assert lines == {"x-clerk-auth-status": "signed-in", "x-clerk-user-id": "user_1", "x-clerk-org-id": "org_1",
                     "x-clerk-org-slug": "acme", "x-clerk-org-role": "org:admin", "x-clerk-token-kind": "session_token",
                     "x-clerk-org-permissions": "org:invoices:read,org:invoices:write"}, lines


SPOOFED = ["X-Clerk-User-Id", "x-clerk-user-id", "X-CLERK-USER-ID", "X_Clerk_User_Id", "x_clerk-org_id", "X-Clerk_Role", "X-Clerk-Anything",
           "x-clerk-auth-status", "X-Clerk-", "X.Clerk.User.Id", "X-Clerk-Email", "X-Clerk~Org-Id"]


def identity_lines_of_clients_are_removed_everywhere(apache, sim, upstream):
    token = sim.mint()
    for path, kept in (("/public-proxy/", set()), ("/optional-proxy/", {"x-clerk-auth-status"})):
        for names in ([name] for name in SPOOFED):
            lines = identity_lines(apache.request(path, headers=[(name, "user_evil") for name in names]))
            assert set(lines) == kept and "user_evil" not in lines.values(), (path, names, lines)
    everything = [(name, "user_evil") for name in SPOOFED for _ in range(2)]
    for headers in (everything, [("A", "b"), *everything, ("C", "d")], everything + [("Z", "z")]):
        response = apache.request("/proxy/", token=token, headers=headers)
        assert "user_evil" not in response.body.decode(), response
        assert identity_lines(response)["x-clerk-user-id"] == "user_1"
        sent = {name.lower() for name, _ in headers if not name.lower().startswith("x")}
        assert sent <= {name.lower() for name, _ in response.json()["headers"]}, response


def identity_survives_connection_line(apache, sim, upstream):
    token = sim.mint()
    for value in ("X-Clerk-User-Id", "close, X-Clerk-User-Id", "x-clerk-user-id,X-Clerk-Session-Id", "close, x_clerk_user_id , te",
                  "close X-Clerk-User-Id", "close;X-Clerk-User-Id", 'close, "X-Clerk-User-Id"', "close,,X-CLERK-USER-ID,"):
        lines = identity_lines(apache.request("/proxy/", token=token, headers=[("Connection", value), ("X-Clerk-User-Id", "user_evil")]))
        assert lines.get("x-clerk-user-id") == "user_1" and "x-clerk-session-id" in lines, (value, lines)
    response = apache.request("/proxy/", token=token, headers=[("Connection", "close"), ("Connection", "X-Clerk-User-Id, A"), ("A", "b")])
    assert identity_lines(response).get("x-clerk-user-id") == "user_1", response
    assert "a" not in {name.lower() for name, _ in response.json()["headers"]}, "the other names of Connection still count"


def token_source_header_ignores_cookie(apache, sim, upstream):
    assert apache.request("/header-only", cookie=sim.mint()).status == 401


def bodies_reach_upstream_whole(apache, sim, upstream):
    token, body = sim.mint(), b"x" * (2 * 1024 * 1024)
    assert apache.request("/proxy/", token=token, method="POST", body=body).json()["body_len"] == len(body)
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"a" * 70000, b"b" * 3)) + b"0\r\nX-Clerk-User-Id: user_evil\r\n\r\n"
    response = apache.request("/proxy/", token=token, method="POST", body=chunked, headers=[("Transfer-Encoding", "chunked")])
    assert response.json()["body_len"] == 70003 and b"user_evil" not in response.body, response
    assert apache.request("/valid", method="POST", body=body).status == 401


def pipelined_requests_each_have_their_own_identity(apache, sim, upstream):
    one, two = sim.mint(user="user_1"), sim.mint(user="user_2")
    lines = [f"Authorization: Bearer {one}\r\n", "", f"Authorization: Bearer {two}\r\n", "Authorization: Bearer x\r\n"] * 3
    head = "".join(f"GET /valid HTTP/1.1\r\nHost: a\r\n{line}{'Connection: close' if i == 11 else 'A: b'}\r\n\r\n"
                   for i, line in enumerate(lines))
    with apache.connect() as s:
        s.sendall(head.encode())
        stream = s.makefile("rb")
        seen = [harness.read_response(stream) for _ in lines]
    assert [r.status for r in seen] == [200, 401, 200, 401] * 3, seen
    assert [r.get("X-Seen-User") for r in seen] == ["user_1", "", "user_2", ""] * 3, seen


def concurrent_callers_are_never_mixed_up(apache, sim, upstream):
    tokens = {f"user_{i}": sim.mint(user=f"user_{i}") for i in range(8)}

    def ask(i):
        user = f"user_{i % 8}"
        response = apache.request("/proxy/", token=tokens[user])
        return response.get("X-Seen-User") == user and identity_lines(response)["x-clerk-user-id"] == user

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(160)))


def aborted_clients_leave_the_server_well(apache, sim, upstream):
    token = sim.mint()
    head = f"GET /valid HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    for cut in (len(head), len(head) - 10, 20):
        for _ in range(20):
            with contextlib.suppress(OSError), apache.connect() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.sendall(head[:cut])
    assert apache.request("/valid", token=token).status == 200


def request_bytewise_is_answered(apache, sim, upstream):
    head = f"GET /valid HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {sim.mint()}\r\n\r\n".encode()
    with apache.connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(head)):
            s.sendall(head[i:i + 1])
        assert harness.read_response(s.makefile("rb")).status == 200


def log_has_a_line_for_each_rejection(apache, sim, upstream):
    apache.request("/valid", token=sim.mint(spoil="expired"))
    apache.logged("reason=token-expired")
    apache.logged("rejected: token-expired, status 401, request ")


def cache_shows_in_the_log(apache, sim, upstream):
    token = sim.mint(user="user_cache")
    for _ in range(40):
        apache.request("/valid", token=token)
    apache.logged("user=user_cache status=signed-in reason=- cache=miss")
    apache.logged("user=user_cache status=signed-in reason=- cache=hit")


def server_leaves_no_complaints(apache, sim, upstream):
    assert apache.stop() == 0
    assert not apache.complaints(), apache.complaints()


CASES = [value for name, value in list(globals().items())
         if callable(value) and getattr(value, "__code__", None) and value.__code__.co_varnames[:3] == ("apache", "sim", "upstream")]


def cases(sim):
    for mpm in MPMS:
        upstream = harness.Upstream()
        apache = started(mpm, sim, upstream)
        try:
            for case in CASES:
                yield f"{mpm}: {case.__name__}", lambda case=case: case(apache, sim, upstream)
        finally:
            apache.close()
            upstream.close()
