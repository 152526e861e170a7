"""Authorization: Require, satisfy, redirects and subrequests, cross-site requests, users, outages."""

import sqlite3

import harness

ORG = {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["invoices:read"], "features": ["export"]}

# Require lines, additional claims of the token, and whether it is accepted.
REQUIRE = [
    ("valid-user", {}, True),
    ("user user_1", {}, True),
    ("user user_2", {}, False),
    ("clerk-role admin", {"org": ORG}, True),
    ("clerk-role org:admin", {"org": ORG}, True),
    ("clerk-role member", {"org": ORG}, False),
    ("clerk-role member admin", {"org": ORG}, True),
    ("clerk-role admi", {"org": ORG}, False),
    ("clerk-role admin", {}, False),
    ("clerk-permission invoices:read", {"org": ORG}, True),
    ("clerk-permission org:invoices:read", {"org": ORG}, True),
    ("clerk-permission invoices:write", {"org": ORG}, False),
    ("clerk-permission invoices", {"org": ORG}, False),
    ("clerk-org org_1", {"org": ORG}, True),
    ("clerk-org acme", {"org": ORG}, True),
    ("clerk-org org_2", {"org": ORG}, False),
    ("clerk-org acm", {"org": ORG}, False),
    ("clerk-org org_1", {}, False),
    ("clerk-feature export", {"org": ORG}, True),
    ("clerk-feature import", {"org": ORG}, False),
    ("clerk-plan free_user", {}, True),
    ("clerk-plan gold", {}, False),
    ("clerk-claim tier:gold", {"claims": {"tier": "gold"}}, True),
    ("clerk-claim tier:silver", {"claims": {"tier": "gold"}}, False),
    ("clerk-claim tier:gold", {"claims": {"tier": ["silver", "gold"]}}, True),
    ("clerk-claim tier:gold", {}, False),
    ("clerk-claim level:7", {"claims": {"level": 7}}, True),
    ("clerk-claim level:7", {"claims": {"level": 77}}, False),
    ("clerk-claim /meta/tier:gold", {"claims": {"meta": {"tier": "gold"}}}, True),
    ("clerk-claim /meta/tier:gold", {"claims": {"meta": ["tier", "gold"]}}, False),
    ('clerk-claim "https\\\\://a.example/tier:gold"', {"claims": {"https://a.example/tier": "gold"}}, True),
    ("clerk-claim tier:gold level:7", {"claims": {"level": 7}}, True),
    ("clerk-reverification lax", {"claims": {"fva": [0, -1]}}, True),
    ("clerk-reverification lax", {"claims": {"fva": [100000, -1]}}, False),
    ("not clerk-role member\n  Require valid-user", {"org": ORG}, True),
    ("not clerk-role admin\n  Require valid-user", {"org": ORG}, False),
]


def require_decides_as_its_table_says(sim):
    def body(apache):
        return "\n".join(f"Alias /r{i} {apache.docs}/index.html\n<Location /r{i}>\n  AuthType Clerk\n  <RequireAll>\n  Require {line}\n"
                         "  </RequireAll>\n</Location>" for i, (line, _, _) in enumerate(REQUIRE))

    def check(apache):
        wrong = []
        for i, (line, claims, accepted) in enumerate(REQUIRE):
            response = apache.request(f"/r{i}", token=sim.mint(**claims))
            anonymous = apache.request(f"/r{i}")
            expected = 200 if accepted else 403
            if response.status != expected or anonymous.status != 401 or (
                    not accepted and response.all("WWW-Authenticate") != ['Bearer realm="clerk", error="insufficient_scope"']):
                wrong.append((line, claims, response, anonymous))
        assert not wrong, wrong

    harness.serve(sim, body, check)


def any_all_and_satisfy_combine_with_addresses(sim):
    def body(apache):
        blocks = {
            "any-ip": "<RequireAny>\nRequire ip 127.0.0.1\nRequire valid-user\n</RequireAny>",
            "any-no-ip": "<RequireAny>\nRequire ip 192.0.2.1\nRequire valid-user\n</RequireAny>",
            "all-ip": "<RequireAll>\nRequire ip 127.0.0.1\nRequire valid-user\n</RequireAll>",
            "all-no-ip": "<RequireAll>\nRequire ip 192.0.2.1\nRequire valid-user\n</RequireAll>",
            "satisfy-any": "Satisfy Any\nOrder allow,deny\nAllow from 127.0.0.1\nRequire valid-user",
            "satisfy-any-denied": "Satisfy Any\nOrder deny,allow\nDeny from all\nRequire valid-user",
            "satisfy-all-denied": "Satisfy All\nOrder deny,allow\nDeny from all\nRequire valid-user",
            "any-role": "<RequireAny>\nRequire clerk-role admin\nRequire clerk-claim tier:gold\n</RequireAny>",
            "forbidden": "AuthzSendForbiddenOnFailure On\nRequire clerk-role admin",
            "denied": "Require all denied",
            "granted": "Require all granted",
            "limit": "<LimitExcept GET>\nRequire valid-user\n</LimitExcept>",
        }
        return "\n".join(f"Alias /{name} {apache.docs}/index.html\n<Location /{name}>\nAuthType Clerk\n{block}\n</Location>"
                         for name, block in blocks.items())

    def check(apache):
        token, admin = sim.mint(), sim.mint(org=ORG)
        for path, given, expected in (
                ("any-ip", None, 200), ("any-ip", "garbage", 200), ("any-no-ip", None, 401), ("any-no-ip", token, 200), ("all-ip", None, 401),
                ("all-ip", token, 200), ("all-no-ip", None, 403), ("all-no-ip", token, 403), ("satisfy-any", None, 200),
                ("satisfy-any-denied", None, 401), ("satisfy-any-denied", token, 200), ("satisfy-all-denied", None, 403),
                ("satisfy-all-denied", token, 403), ("any-role", token, 403), ("any-role", admin, 200), ("any-role", None, 401),
                ("forbidden", token, 403), ("forbidden", None, 401), ("denied", token, 403), ("denied", None, 403), ("granted", None, 200),
                ("granted", "garbage", 200)):
            response = apache.request(f"/{path}", token=given)
            assert response.status == expected, (path, given, response)
            assert (response.get("WWW-Authenticate") is not None) == (expected == 401 or (expected == 403 and path in ("any-role", "forbidden"))), (
                path, response)
        assert apache.request("/limit").status == 200
        assert apache.request("/limit", method="POST", body=b"").status == 401

    harness.serve(sim, body, check)


def other_auth_types_are_left_alone(sim):
    def body(apache):
        (apache.data / "passwd").write_text("ada:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n")  # "test"
        return f"""
Header always set X-Seen-User "expr=%{{REMOTE_USER}}"
Header always set X-Seen-Id "%{{CLERK_USER_ID}}e"
Alias /basic {apache.docs}/index.html
Alias /basic-role {apache.docs}/index.html
<Location /basic>
  AuthType Basic
  AuthName b
  AuthUserFile {apache.data}/passwd
  Require valid-user
</Location>
<Location /basic-role>
  AuthType Basic
  AuthName b
  AuthUserFile {apache.data}/passwd
  Require clerk-role admin
</Location>"""

    def check(apache):
        basic = [("Authorization", "Basic YWRhOnRlc3Q=")]
        response = apache.request("/basic", headers=basic)
        assert response.status == 200 and response.get("X-Seen-User") == "ada" and response.get("X-Seen-Id") == "(null)", response
        response = apache.request("/basic", token=sim.mint())
        assert response.status == 401 and response.get("WWW-Authenticate").startswith("Basic"), response
        assert apache.request("/basic-role", headers=basic).status == 401
        assert apache.request("/basic-role", headers=basic, cookie=sim.mint(org=ORG)).status == 401

    harness.serve(sim, body, check, modules=["auth_basic"] if "auth_basic" not in harness.MODULES else ())


def redirects_and_subrequests_keep_their_own_rules(sim):
    def body(apache):
        (apache.docs / "page.shtml").write_text('user=<!--#echo var="CLERK_USER_ID" --> [<!--#include virtual="/inner" -->]'
                                                '[<!--#include virtual="/inner-admin" -->][<!--#include virtual="/inner-audience" -->]\n')
        (apache.docs / "inner.txt").write_text("inner")
        (apache.docs / "sorry.html").write_text("please sign in\n")
        return f"""
AddType text/html .shtml
AddOutputFilter INCLUDES .shtml
Header always set X-Seen-User "expr=%{{REMOTE_USER}}"
Alias /inner-admin {apache.docs}/inner.txt
Alias /inner-audience {apache.docs}/inner.txt
Alias /inner {apache.docs}/inner.txt
Alias /custom {apache.docs}/index.html
RewriteEngine On
RewriteRule ^/moved$ /page.shtml [PT]
<LocationMatch "^/(page|inner)">
  AuthType Clerk
  Require valid-user
</LocationMatch>
<Location /inner-admin>
  AuthType Clerk
  Require clerk-role admin
</Location>
<Location /inner-audience>
  ClerkAudience https://other.example
  AuthType Clerk
  Require valid-user
</Location>
<Location /custom>
  AuthType Clerk
  Require valid-user
  ErrorDocument 401 /sorry.html
</Location>
<Location /valid>
  AuthType Clerk
  Require valid-user
</Location>
DirectoryIndex index.html
FallbackResource /page.shtml"""

    def check(apache):
        before = sim.count("/jwks")
        response = apache.request("/page.shtml", token=sim.mint())
        assert response.status == 200 and b"user=user_1 [inner][" in response.body, response
        assert response.body.count(b"[inner]") == 1, response
        response = apache.request("/page.shtml", token=sim.mint(org=ORG))
        assert response.body.count(b"[inner]") == 2, response
        response = apache.request("/page.shtml", token=sim.mint(org=ORG, aud="https://other.example"))
        assert response.body.count(b"[inner]") == 3, response
        assert apache.request("/moved").status == 401
        assert b"user=user_1" in apache.request("/moved", token=sim.mint()).body
        assert b"user=user_1" in apache.request("/no-such-page", token=sim.mint()).body
        assert apache.request("/no-such-page").status == 401
        response = apache.request("/custom")
        assert response.status == 401 and b"please sign in" in response.body, response
        assert response.all("WWW-Authenticate") == ['Bearer realm="clerk"'], response
        assert apache.request("/valid/", token=sim.mint()).body == b"valid\n"
        assert sim.count("/jwks") - before <= 6

    harness.serve(sim, body, check)


def directory_settings_make_verifiers_of_their_own(sim):
    def body(apache):
        return f"""
ClerkAuthorizedParties https://app.example.com
Alias /a {apache.docs}/index.html
Alias /b {apache.docs}/index.html
Alias /base {apache.docs}/index.html
<Location />
  AuthType Clerk
  Require valid-user
</Location>
<Location /a>
  ClerkAuthorizedParties https://a.example
</Location>
<Location /b>
  ClerkAudience https://b.example
</Location>"""

    def check(apache):
        plain, of_a, of_b = sim.mint(), sim.mint(azp="https://a.example"), sim.mint(aud="https://b.example")
        for _ in range(3):
            for path, token, expected in (("/base", plain, 200), ("/base", of_a, 401), ("/base", of_b, 200), ("/a", plain, 401), ("/a", of_a, 200),
                                          ("/b", plain, 401), ("/b", of_b, 200), ("/b", of_a, 401)):
                assert apache.request(path, token=token).status == expected, (path, expected)

    harness.serve(sim, body, check)


def server_policy_is_inherited_and_replaced(sim):
    def body(apache):
        return f"""
ClerkTokenSource header
ClerkCSRF Off
Alias /inherits {apache.docs}/index.html
Alias /replaces {apache.docs}/index.html
<Location />
  AuthType Clerk
  Require valid-user
</Location>
<Location /replaces>
  ClerkTokenSource cookie
</Location>"""

    def check(apache):
        token = sim.mint()
        assert apache.request("/inherits", token=token).status == 200
        assert apache.request("/inherits", cookie=token).status == 401
        assert apache.request("/replaces", cookie=token).status == 200
        assert apache.request("/replaces", token=token).status == 401
        assert apache.request("/replaces", cookie=token, method="POST", body=b"").status != 403

    harness.serve(sim, body, check)


def virtual_hosts_have_their_own_settings(sim):
    def body(apache):
        return f"""
<Location />
  AuthType Clerk
  Require valid-user
</Location>
<VirtualHost *:*>
  ServerName one.example
</VirtualHost>
<VirtualHost *:*>
  ServerName two.example
  ClerkAudience https://two.example
</VirtualHost>"""

    def check(apache):
        plain, of_two = sim.mint(), sim.mint(aud="https://two.example")
        for host, token, expected in (("one.example", plain, 200), ("two.example", plain, 401), ("two.example", of_two, 200)):
            head = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
            with apache.connect() as s:
                s.sendall(head.encode())
                assert harness.read_response(s.makefile("rb")).status == expected, host

    harness.serve(sim, body, check)


def cross_site_requests_with_cookie_are_rejected(sim):
    def body(apache):
        return f"""
ClerkAuthorizedParties https://app.example.com
Alias /form {apache.docs}/index.html
Alias /unchecked {apache.docs}/index.html
<Location />
  AuthType Clerk
  ClerkOptional On
  Require all granted
</Location>
<Location /unchecked>
  ClerkCSRF Off
</Location>"""

    def check(apache):
        token = sim.mint()
        own = f"http://127.0.0.1:{apache.port}"

        def status(method, headers=(), path="/form", **credential):
            return apache.request(path, headers=headers, method=method, body=b"a" if method != "GET" else None,
                                  **(credential or {"cookie": token})).status

        evil = [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")]
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert status(method) == 403, method
            assert status(method, evil) == 403, method
            assert status(method, [("Origin", own)]) != 403, method
            assert status(method, [("Sec-Fetch-Site", "same-origin")]) != 403, method
            assert status(method, [("Origin", "https://app.example.com"), ("Sec-Fetch-Site", "cross-site")]) != 403, method
            assert status(method, evil, token=token) != 403, "a header credential is no matter of this check"
            assert status(method, [*evil, ("Authorization", "Basic eDp4")], cookie=token) == 403
            assert status(method, evil, path="/unchecked") != 403, method
        assert status("GET", evil) == 200
        assert status("POST", evil, cookie=sim.mint(spoil="expired")) == 403, "before any verification"
        assert apache.request("/form", headers=[*evil, ("Cookie", "a=b")], method="POST", body=b"").status != 403, "no credential"
        assert status("POST", [("Origin", own.replace("http:", "https:"))]) != 403, "TLS may end in front of this server"
        websocket = [("Upgrade", "websocket"), ("Connection", "Upgrade")]
        assert status("GET", [*websocket, ("Origin", "https://evil.example")]) == 403
        assert status("GET", [*websocket, ("Origin", own)]) == 200
        apache.logged("reason=csrf-failed")

    harness.serve(sim, body, check)


def remote_user_is_what_is_asked_for(sim):
    sim.admin("PUT", "/users/user_ada", {"username": "ada", "email_addresses": ["ada@example.com"], "primary_email_address_id": "idn_0001"})
    sim.admin("PUT", "/users/user_bare", {"username": None, "email_addresses": []})

    def body(apache):
        kinds = ["user_id", "email", "username", "claim:tier", "claim:/o/id", "claim:nested"]
        return ('Header always set X-Seen-User "expr=%{REMOTE_USER}"\nClerkFetchUser On\n'
                + "\n".join(f"Alias /u{i} {apache.docs}/index.html\n<Location /u{i}>\nAuthType Clerk\nRequire valid-user\nClerkRemoteUser {kind}\n"
                            "</Location>" for i, kind in enumerate(kinds)))

    def check(apache):
        token = sim.mint(user="user_ada", org=ORG, claims={"tier": "g\u00f6ld", "nested": {"a": 1}})
        for i, expected in enumerate(["user_ada", "ada@example.com", "ada", "g\u00f6ld", "org_1", None]):
            response = apache.request(f"/u{i}", token=token)
            if expected is None:
                assert response.status == 403, response
            else:
                seen = response.get("X-Seen-User").encode("latin-1").decode("utf-8")
                assert response.status == 200 and seen == expected, response
        bare = sim.mint(user="user_bare", claims={"tier": "a\nb"})
        for i in (1, 2, 3, 4):
            assert apache.request(f"/u{i}", token=bare).status == 403, i

    harness.serve(sim, body, check)


def user_store_gives_the_local_id(sim):
    sim.admin("PUT", "/users/user_row", {"username": "row", "first_name": "J\u00f6rg%", "email_addresses": ["row@example.com"], "primary_email_address_id": "idn_0001"})
    upstream = harness.Upstream()

    def body(apache):
        return f"""
ClerkUserStore sqlite:data/users.db
ClerkSetting row_check_ttl_s 0
<Location />
  AuthType Clerk
  ClerkRemoteUser local_user_id
  ClerkPassHeaders On
  Require valid-user
  ProxyPass {upstream.url}/
</Location>"""

    def check(apache):
        token = sim.mint(user="user_row")
        seen = {}
        for _ in range(12):
            response = apache.request("/", token=token)
            assert response.status == 200, (response, apache.error_log[-2000:])
            lines = dict((n.lower(), v) for n, v in response.json()["headers"])
            seen[lines["x-clerk-local-user-id"]] = lines
        assert len(seen) == 1 and list(seen)[0], seen
        lines = list(seen.values())[0]
        assert lines["x-clerk-email"] == "row@example.com" and lines["x-clerk-username"] == "row", lines
        with sqlite3.connect(apache.data / "users.db") as db:
            assert db.execute("select count(*) from clerk_user").fetchone() == (1,)
            db.execute("update clerk_user set is_active = 0")
        response = apache.request("/", token=token)
        assert response.status == 403, response
        apache.logged("reason=user-inactive")

    try:
        harness.serve(sim, body, check)
    finally:
        upstream.close()


def outage_is_503_and_never_401(sim):
    def body(apache):
        blocks = {"default": "", "as401": "ClerkUnavailable 401", "as500": "ClerkUnavailable 500", "opt": "ClerkOptional On\nRequire all granted"}
        return ("ClerkTimeout 1\n" + "\n".join(f"Alias /{name} {apache.docs}/index.html\n<Location /{name}>\nAuthType Clerk\nRequire valid-user\n"
                                               f"{line}\n</Location>" for name, line in blocks.items()))

    def check(apache):
        token = sim.mint()
        response = apache.request("/default", token=token)
        assert response.status == 503 and int(response.get("Retry-After")) >= 1 and response.get("WWW-Authenticate") is None, response
        assert apache.request("/opt", token=token).status == 503
        assert apache.request("/opt").status == 200
        assert apache.request("/default").status == 401
        response = apache.request("/as401", token=token)
        assert response.status == 401 and response.all("WWW-Authenticate") == ['Bearer realm="clerk"'], response
        assert apache.request("/as500", token=token).status == 500
        sim.down(False)
        harness.wait_until(lambda: apache.request("/default", token=token).status == 200, 30, "recovery")

    sim.down()
    try:
        harness.serve(sim, body, check)
    finally:
        sim.down(False)


def public_health_check_needs_no_clerk(sim):
    def check(apache):
        assert apache.request("/open/").status == 200
        assert apache.request("/open/", token="garbage").status == 200

    sim.down()
    try:
        harness.serve(sim, "<Location />\nAuthType Clerk\nRequire valid-user\n</Location>\n<Location /open>\nRequire all granted\n</Location>", check)
    finally:
        sim.down(False)


def machine_tokens_need_to_be_accepted(sim):
    def body(apache):
        return f"""
Alias /m {apache.docs}/index.html
Alias /s {apache.docs}/index.html
Header always set X-Seen-Kind "%{{CLERK_TOKEN_KIND}}e"
Header always set X-Seen-User "expr=%{{REMOTE_USER}}"
<Location />
  AuthType Clerk
  Require valid-user
</Location>
<Location /m>
  ClerkAcceptToken session_token m2m_token
</Location>"""

    def check(apache):
        token = sim.mint(kind="m2m-jwt", user="mch_test")
        assert apache.request("/s", token=token).status == 401
        response = apache.request("/m", token=token)
        assert response.status == 200 and response.get("X-Seen-Kind") == "m2m_token" and response.get("X-Seen-User").startswith("mch_"), response
        assert apache.request("/m", token=sim.mint()).get("X-Seen-Kind") == "session_token"

    harness.serve(sim, body, check)


def cases(sim):
    for case in (require_decides_as_its_table_says, any_all_and_satisfy_combine_with_addresses, other_auth_types_are_left_alone,
                 redirects_and_subrequests_keep_their_own_rules, directory_settings_make_verifiers_of_their_own,
                 server_policy_is_inherited_and_replaced, virtual_hosts_have_their_own_settings, cross_site_requests_with_cookie_are_rejected, remote_user_is_what_is_asked_for,
                 user_store_gives_the_local_id, outage_is_503_and_never_401, public_health_check_needs_no_clerk,
                 machine_tokens_need_to_be_accepted):
        yield case.__name__, lambda case=case: case(sim)
