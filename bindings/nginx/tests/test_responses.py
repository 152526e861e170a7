"""The response matrix: status, challenge, variables, headers for the application."""

import base64
import json
import re

from harness import PARTY, cookie_suffix, equal, raw, request, wait_until

CHALLENGE = 'Bearer realm="clerk"'


def test_signed_in_passes_with_headers_and_no_challenge(f):
    n = f.simple()
    response = request(n.port, token=f.sim.mint(sid="sess_9", org={"id": "org_1", "slug": "acme", "role": "admin"}))
    equal(response.status, 200)
    equal(response.get("WWW-Authenticate"), None)
    equal(response.passed("X-Clerk-User-Id"), ["user_1"])
    equal(response.passed("X-Clerk-Session-Id"), ["sess_9"])
    equal(response.passed("X-Clerk-Org-Id"), ["org_1"])
    equal(response.passed("X-Clerk-Org-Role"), ["org:admin"])
    equal(response.passed("X-Clerk-Auth-Status"), ["signed-in"])
    equal(response.passed("X-Clerk-Claims"), [])


def test_missing_token_is_401_without_error_code(f):
    n = f.simple()
    response = request(n.port)
    equal(response.status, 401)
    equal(response.all("WWW-Authenticate"), [CHALLENGE])
    equal(f.application.seen, [])


def test_bad_tokens_are_401_invalid_token_and_echo_nothing(f):
    n = f.simple()
    good = f.sim.mint()
    bad = {
        "token-expired": f.sim.mint(spoil="expired"),
        "token-not-active-yet": f.sim.mint(spoil="not-yet"),
        "token-invalid-signature": f.sim.mint(spoil="tampered"),
        "token-invalid-authorized-parties": f.sim.mint(azp="https://evil.example.com"),
    }
    for reason, token in bad.items():
        response = request(n.port, token=token)
        equal(response.status, 401, reason)
        equal(response.all("WWW-Authenticate"),
              [f'{CHALLENGE}, error="invalid_token", error_description="{reason}"'])
        assert token.split(".")[2].encode() not in response.body
    for value in ("Bearer", "Bearer ", "Bearer x", "Bearer a.b.c", f"Bearer {good} x", "Bearer " + "A" * 7000,
                  'Bearer "quoted"', "Bearer <script>"):
        response = request(n.port, headers=[("Authorization", value)])
        equal(response.status, 401, value[:20])
        assert 'error="invalid_token"' in response.get("WWW-Authenticate"), value[:20]
        assert "<script" not in str(response.headers) and b"quoted" not in response.body and b"<script" not in response.body
    equal(f.application.seen, [])


def test_authorization_twice_is_rejected(f):
    n = f.simple()
    token = f.sim.mint()
    for second in (token, "other"):
        response = request(n.port, token=token, headers=[("Authorization", f"Bearer {second}")])
        assert response.status in (400, 401), response
    equal(f.application.seen, [])


def test_other_scheme_falls_back_to_the_cookie(f):
    n = f.simple()
    response = request(n.port, headers=[("Authorization", "Basic dTpw")], cookie=f.sim.mint())
    equal(response.status, 200)
    equal(request(n.port, headers=[("Authorization", "Basic dTpw")]).status, 401)


def test_oversized_headers_are_rejected(f):
    n = f.simple()
    for size in (8 * 1024, 16 * 1024, 100 * 1024):
        response = request(n.port, token="A" * size)
        assert response.status in (400, 401), response
        equal(f.application.seen, [])
    token = f.sim.mint(claims={"pad": "x" * 9000})
    assert request(n.port, token=token).status in (400, 401)


def test_outage_is_503_with_retry_after_and_no_challenge(f):
    f.sim.faults({"path": "/jwks", "status": 500})
    n = f.simple()
    response = request(n.port, token=f.sim.mint())
    equal(response.status, 503)
    assert int(response.get("Retry-After")) >= 1
    equal(response.get("WWW-Authenticate"), None)
    equal(f.application.seen, [])


def test_unavailable_401_and_500_are_taken_from_the_directive(f):
    f.sim.faults({"path": "/jwks", "status": 500})
    for status in (401, 500):
        n = f.simple(location=f"clerk_auth_unavailable {status};")
        response = request(n.port, token=f.sim.mint())
        equal(response.status, status)
        equal(response.get("Retry-After"), None)


def test_rejected_secret_key_is_500(f):
    f.sim.admin("PUT", "/state", {"secret_keys": ["sk_test_other"]})
    n = f.simple()
    equal(request(n.port, token=f.sim.mint()).status, 500)


def test_failed_requirement_is_403_insufficient_scope(f):
    n = f.simple(location="clerk_auth_require_role admin;")
    response = request(n.port, token=f.sim.mint(org={"id": "org_1", "slug": "a", "role": "member"}))
    equal(response.status, 403)
    equal(response.all("WWW-Authenticate"),
          [f'{CHALLENGE}, error="insufficient_scope", error_description="role-missing"'])
    equal(request(n.port).status, 401)
    equal(request(n.port).all("WWW-Authenticate"), [CHALLENGE])
    equal(request(n.port, token=f.sim.mint(org={"id": "org_1", "slug": "a", "role": "admin"})).status, 200)


def test_requirements_of_every_kind(f):
    n = f.nginx(f"""{f.keys()}
        server {{ listen 127.0.0.1:@port@; clerk_auth on;
            location /permission {{ clerk_auth_require_permission invoices:create org:x:y; {f.proxy()} }}
            location /org {{ clerk_auth_require_org org_1 acme; {f.proxy()} }}
            location /both {{ clerk_auth_require_org acme; clerk_auth_require_role admin; {f.proxy()} }}
            location /two-roles {{ clerk_auth_require_role admin; clerk_auth_require_role member; {f.proxy()} }}
            location /feature {{ clerk_auth_require_feature reports; {f.proxy()} }}
            location /plan {{ clerk_auth_require_plan free_user; {f.proxy()} }}
            location /value {{ clerk_auth_require $clerk_claim_paid; {f.proxy()} }}
            location /value401 {{ clerk_auth_require $clerk_claim_paid error=401; {f.proxy()} }}
        }}""")
    org = {"id": "org_1", "slug": "acme", "role": "admin", "permissions": ["invoices:create"], "features": ["invoices"]}
    admin = f.sim.mint(org=org, claims={"paid": 1})
    plain = f.sim.mint(claims={"paid": 0})
    for path, status in {"/permission": 403, "/org": 403, "/both": 403, "/two-roles": 403, "/feature": 403,
                         "/plan": 200, "/value": 403, "/value401": 401}.items():
        equal(request(n.port, path, token=plain).status, status, path)
    for path, status in {"/org": 200, "/both": 200, "/two-roles": 403, "/value": 200, "/value401": 200}.items():
        equal(request(n.port, path, token=admin).status, status, path)


def test_optional_accepts_anonymous_and_rejects_invalid_tokens(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth optional; clerk_auth_pass_headers on;
                      proxy_set_header X-Seen "$clerk_user_id|$clerk_status"; {f.proxy()} }} }}""")
    response = request(n.port)
    equal(response.status, 200)
    equal(response.passed("X-Seen"), ["|signed-out"])
    equal(response.passed("X-Clerk-Auth-Status"), ["signed-out"])
    equal(response.passed("X-Clerk-User-Id"), [])
    equal(request(n.port, token=f.sim.mint(spoil="expired")).status, 401)
    equal(request(n.port, token=f.sim.mint()).passed("X-Seen"), ["user_1|signed-in"])


def test_realm_is_quoted_and_challenge_can_be_replaced(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /quoted {{ clerk_auth_realm 'a "b" \\\\c $arg_r'; }}
        location /off {{ clerk_auth_www_authenticate off; }}
        location /own {{ clerk_auth_www_authenticate 'Bearer resource_metadata="https://x"'; }} }}""")
    equal(request(n.port, "/quoted?r=x%22").get("WWW-Authenticate"), 'Bearer realm="a \\"b\\" \\\\c x%22"')
    equal(request(n.port, "/off").get("WWW-Authenticate"), None)
    equal(request(n.port, "/own").all("WWW-Authenticate"), ['Bearer resource_metadata="https://x"'])


def test_variables_hold_what_was_verified_and_nothing_else(f):
    names = ("status reason user_id session_id org_id org_slug org_role org_permissions azp exp claims claim_sub "
             "claim_list claim_evil claim_text claim_flag").split()
    seen = "".join(f'proxy_set_header V-{name.replace("_", "-")} "=$clerk_{name}"; ' for name in names)
    n = f.nginx(f"""{f.keys()} clerk_auth_set $deep metadata.team.name; clerk_auth_set $fva fva;
        server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth optional; {seen} proxy_set_header V-Deep "=$deep"; proxy_set_header V-Fva "=$fva";
                      {f.proxy()} }} }}""")
    claims = {"list": ["a", 1, True], "evil": "a\r\nX-Evil: 1", "text": 'q"\u00e9\\', "flag": True,
              "metadata": {"team": {"name": "core"}}}
    response = request(n.port, token=f.sim.mint(sid="sess_7", claims=claims,
                                                org={"id": "org_1", "slug": "acme", "role": "admin"}))
    value = lambda name: response.passed(f"V-{name}")[0][1:]
    equal(response.status, 200)
    equal(value("status"), "signed-in")
    equal(value("reason"), "")
    equal(value("user_id"), "user_1")
    equal(value("session_id"), "sess_7")
    equal(value("org_id"), "org_1")
    equal(value("org_slug"), "acme")
    equal(value("org_role"), "org:admin")
    equal(value("azp"), PARTY)
    equal(value("claim_sub"), "user_1")
    equal(value("claim_list"), "a,1,true")
    equal(value("claim_evil"), "")
    equal(value("claim_text").encode("latin-1").decode(), 'q"\u00e9\\')
    equal(value("claim_flag"), "true")
    equal(value("Deep"), "core")
    equal(value("Fva"), "0,-1")
    equal(json.loads(value("claims").encode("latin-1"))["sub"], "user_1")
    equal(int(value("exp")), json.loads(value("claims").encode("latin-1"))["exp"])
    equal(response.passed("X-Evil"), [])
    response = request(n.port)
    for name in names:
        if name not in ("status", "reason"):
            equal(response.passed(f"V-{name}"), ["="], name)


def test_claims_header_is_base64url_json(f):
    n = f.simple(location="clerk_auth_pass_claims on;")
    value = request(n.port, token=f.sim.mint()).passed("X-Clerk-Claims")[0]
    equal(json.loads(base64.urlsafe_b64decode(value + "=="))["sub"], "user_1")


def test_token_source_selects_header_cookie_or_variable(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /header {{ clerk_auth_token_source header; {f.proxy()} }}
        location /cookie {{ clerk_auth_token_source cookie; {f.proxy()} }}
        location /both {{ {f.proxy()} }}
        location /variable {{ clerk_auth_token_source $arg_access_token; {f.proxy()} }} }}""")
    token = f.sim.mint()
    equal([request(n.port, p, token=token).status for p in ("/header", "/cookie", "/both", "/variable")],
          [200, 401, 200, 401])
    equal([request(n.port, p, cookie=token).status for p in ("/header", "/cookie", "/both", "/variable")],
          [401, 200, 200, 401])
    equal(request(n.port, f"/variable?access_token={token}").status, 200)
    equal(request(n.port, f"/variable?access_token={token}x").status, 401)


def test_suffixed_cookie_of_the_instance_is_read(f):
    key = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k"
    n = f.simple(http=f"clerk_auth_publishable_key {key};")
    headers = [("Cookie", f"__client_uat_{cookie_suffix(key)}=1; __session_{cookie_suffix(key)}={f.sim.mint()}")]
    equal(request(n.port, headers=headers).status, 200)


def test_login_redirect_is_for_browser_pages_only(f):
    n = f.simple(location="clerk_auth_login_redirect https://accounts.example.com/sign-in?redirect_url=$clerk_return_url;")
    page = [("Accept", "text/html,*/*"), ("Host", "app.example.com")]
    response = request(n.port, "/a?b=c&d=1", headers=page[:1])
    equal(response.status, 302)
    equal(response.get("Location"), "https://accounts.example.com/sign-in?redirect_url="
          f"http%3A%2F%2F127.0.0.1%3A{n.port}%2Fa%3Fb%3Dc%26d%3D1")
    equal(request(n.port).status, 401)
    equal(request(n.port, method="POST", headers=page[:1], body=b"x").status, 401)
    equal(request(n.port, headers=page[:1], token=f.sim.mint()).status, 200)


def test_fetch_user_fills_email_and_username(f):
    f.sim.user(username="ada")
    n = f.simple(location='clerk_auth_fetch_user on; proxy_set_header V "$clerk_email $clerk_username $clerk_cache";')
    token = f.sim.mint()
    equal(request(n.port, token=token).passed("V"), ["user_1@example.com ada offload"])
    equal(request(n.port, token=token).passed("V"), ["user_1@example.com ada hit"])


def test_header_values_are_percent_encoded(f):
    f.sim.user(username="ada%love\u00e9")
    n = f.simple(location="clerk_auth_fetch_user on;")
    response = request(n.port, token=f.sim.mint(org={"id": "org_1", "slug": "a\u00e9 b", "role": "admin",
                                                     "features": ["x"], "permissions": ["x:read"]}))
    equal([response.passed(f"X-Clerk-{name}") for name in
           ("Username", "Org-Slug", "Email", "Org-Role", "Org-Permissions", "Token-Kind")],
          [["ada%25love%C3%A9"], ["a%C3%A9 b"], ["user_1@example.com"], ["org:admin"], ["org:x:read"], ["session_token"]])


def test_two_servers_with_other_keys_do_not_share(f):
    pem = f.directory_file("k2.pem", f.sim.pem("k2"))
    n = f.nginx(f"""server {{ listen 127.0.0.1:@port@; {f.keys()} location / {{ clerk_auth on; {f.proxy()} }} }}
        server {{ listen 127.0.0.1:@portB@; clerk_auth_jwt_key file:{pem}; location / {{ clerk_auth on; {f.proxy()} }} }}""")
    first, second = f.sim.mint(), f.sim.mint(key="k2")
    for _ in range(2):
        equal([request(n.ports[p], token=t).status for p in ("", "B") for t in (first, second)], [200, 401, 401, 200])


def test_networkless_pem_never_asks_clerk(f):
    pem = f.directory_file("k1.pem", f.sim.pem())
    n = f.nginx(f"""clerk_auth_jwt_key file:{pem}; server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth on; proxy_set_header V $clerk_cache; {f.proxy()} }} }}""")
    token = f.sim.mint()
    equal(request(n.port, token=token).passed("V"), ["miss"])
    equal(request(n.port, token=token).passed("V"), ["hit"])
    equal(f.sim.jwks_fetches(), 0)


def test_rejections_are_logged_without_the_token(f):
    n = f.simple(level="debug")
    token = f.sim.mint(spoil="expired")
    request(n.port, token=token)
    wait_until(lambda: "clerk_auth: rejected with 401: token-expired, request id " in n.log(), what="a line in the log")
    ours = [line for line in n.log().splitlines() if "clerk_auth" in line]
    assert not any(token in line or token.split(".")[2] in line for line in ours)


def test_good_token_after_garbage_on_one_connection(f):
    n = f.simple()
    token = f.sim.mint()
    request(n.port, token=token)
    data = (f"GET /1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            "GET /2 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bad\r\n\r\n"
            f"GET /3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
    answer = raw(n.port, data.encode())
    equal(re.findall(rb"HTTP/1\.1 (\d+) ", answer), [b"200", b"401", b"200"])
