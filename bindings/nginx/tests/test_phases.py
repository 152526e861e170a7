"""The module in nginx's phases: satisfy, redirects, subrequests, other access modules."""

import time

from harness import WEBHOOK_SECRET, equal, request, wait_until

PASSWORDS = "u:{PLAIN}p\n"
BASIC = [("Authorization", "Basic dTpw")]


def test_satisfy_all_and_any_with_allow_and_deny(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /all-deny {{ satisfy all; deny all; {f.proxy()} }}
        location /all-allow {{ satisfy all; allow 127.0.0.1; deny all; {f.proxy()} }}
        location /any-deny {{ satisfy any; deny all; {f.proxy()} }}
        location /any-allow {{ satisfy any; allow 127.0.0.1; deny all; {f.proxy()} }} }}""")
    token = f.sim.mint()
    expected = {"/all-deny": (403, 403, 403), "/all-allow": (401, 200, 401), "/any-deny": (401, 200, 401),
                "/any-allow": (200, 200, 200)}
    for path, wanted in expected.items():
        found = tuple(request(n.port, path, token=t).status for t in (None, token, "bad"))
        equal(found, wanted, path)
    equal(request(n.port, "/any-allow").get("WWW-Authenticate"), None)
    # Denied by address: the token was not verified.
    hits = f.sim.jwks_fetches()
    request(n.port, "/all-deny", token=f.sim.mint(kid="unknown"))
    equal(f.sim.jwks_fetches(), hits)


def test_satisfy_any_with_basic_accepts_either_and_leaves_no_challenge(f):
    users = f.directory_file("users", PASSWORDS)
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; auth_basic site;
        auth_basic_user_file {users};
        location /any {{ satisfy any; {f.proxy()} }} location /all {{ satisfy all; {f.proxy()} }} }}""")
    good = request(n.port, "/any", token=f.sim.mint())
    equal((good.status, good.get("WWW-Authenticate")), (200, None))
    good = request(n.port, "/any", headers=BASIC)
    equal((good.status, good.get("WWW-Authenticate")), (200, None))
    equal(request(n.port, "/any").status, 401)
    equal(request(n.port, "/all", token=f.sim.mint()).status, 401)
    equal(request(n.port, "/all", headers=BASIC, cookie=f.sim.mint()).status, 200)
    equal(request(n.port, "/all", headers=BASIC).status, 401)


def test_satisfy_any_with_auth_request(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location / {{ satisfy any; clerk_auth on; auth_request /check; {f.proxy()} }}
        location = /check {{ internal; if ($http_let) {{ return 204; }} return 401; }} }}""")
    equal(request(n.port, "/").status, 401)
    equal(request(n.port, "/", token=f.sim.mint()).status, 200)
    equal(request(n.port, "/", headers=[("Let", "1")]).status, 200)


def test_optional_does_not_satisfy_any_by_itself(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location / {{ satisfy any; clerk_auth optional; deny all; {f.proxy()} }} }}""")
    equal(request(n.port).status, 403)
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_variables_survive_every_kind_of_internal_redirect(f):
    seen = 'proxy_set_header V "$clerk_user_id|$clerk_cache|$clerk_claim_sub";'
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; root {f.directory};
        location /try {{ try_files /none @app; }}
        location /error {{ error_page 404 = @app; }}
        location /index/ {{ index none; error_page 403 404 = /plain; }}
        location /off {{ try_files /none @off; }}
        location /plain {{ {seen} {f.proxy()} }}
        location @off {{ clerk_auth off; {seen} {f.proxy()} }}
        location @app {{ {seen} {f.proxy()} }}
        location /rewritten {{ rewrite ^ /plain last; }} }}""")
    token = f.sim.mint()
    for path in ("/try", "/error", "/index/", "/off", "/rewritten"):
        response = request(n.port, path, token=token)
        equal(response.status, 200, path)
        equal(response.passed("V")[0].replace("miss", "hit").replace("offload", "hit"), "user_1|hit|user_1", path)
        equal(request(n.port, path).status, 401, path)


def test_redirect_verifies_once_and_evaluates_the_new_location(f):
    n = f.nginx(f"""{f.keys("clerk_auth_cache off;")} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        root {f.directory}; location = /status {{ clerk_auth off; clerk_auth_status; }}
        location /a {{ try_files /none @admin; }} location /b {{ try_files /none @same; }}
        location @admin {{ clerk_auth_require_role admin; {f.proxy()} }} location @same {{ {f.proxy()} }} }}""")
    token = f.sim.mint()
    request(n.port, "/b", token=token)
    before = dict(line.split() for line in request(n.port, "/status").body.decode().splitlines())
    equal(request(n.port, "/b", token=token).status, 200)
    after = dict(line.split() for line in request(n.port, "/status").body.decode().splitlines())
    equal(int(after["signed_in"]) - int(before["signed_in"]), 1)
    equal(request(n.port, "/a", token=token).status, 403)
    equal(request(n.port, "/a", token=f.sim.mint(org={"id": "org_1", "slug": "a", "role": "admin"})).status, 200)


def test_redirect_into_other_settings_verifies_again(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; root {f.directory};
        location / {{ try_files /none @other; }}
        location @other {{ clerk_auth_audience api; {f.proxy()} }} }}""")
    equal(request(n.port, token=f.sim.mint()).status, 401)
    equal(request(n.port, token=f.sim.mint(aud="api")).status, 200)


def test_error_page_sees_the_reason(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location / {{ error_page 401 = @denied; {f.proxy()} }}
        location @denied {{ clerk_auth off; add_header X-Reason "$clerk_status $clerk_reason" always;
                            add_header X-User "=$clerk_user_id" always; return 401; }} }}""")
    response = request(n.port, token=f.sim.mint(spoil="expired"))
    equal((response.status, response.get("X-Reason"), response.get("X-User")),
          (401, "invalid token-expired", "="))
    equal(request(n.port).get("X-Reason"), "signed-out session-token-missing")


def test_error_page_into_a_protected_location_sends_one_challenge(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; recursive_error_pages on;
        location / {{ error_page 401 /again; {f.proxy()} }} location /again {{ error_page 401 /more; }}
        location /more {{ {f.proxy()} }} }}""")
    response = request(n.port)
    equal(response.status, 401)
    equal(len(response.all("WWW-Authenticate")), 1)


def test_subrequests_see_the_identity_of_the_main_request(f):
    f.directory_file("page.html", "x")
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth on; mirror /mirrored; {f.proxy()} }}
        location = /mirrored {{ internal; proxy_set_header V "$clerk_user_id"; {f.proxy()} }} }}""")
    equal(request(n.port, "/", token=f.sim.mint()).status, 200)
    mirrored = lambda: [s for s in f.application.seen if s["target"] == "/mirrored"]
    wait_until(mirrored, what="the mirrored request")
    assert ["V", "user_1"] in mirrored()[0]["headers"]
    f.application.seen.clear()
    equal(request(n.port, "/").status, 401)
    time.sleep(0.2)
    equal(f.application.seen, [])


def test_ssi_includes_are_made_for_the_signed_in_only(f):
    f.directory_file("page.shtml", '<!--#include virtual="/part" -->')
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; root {f.directory};
        location /page.shtml {{ ssi on; ssi_types *; clerk_auth on; }}
        location /part {{ internal; proxy_set_header V "$clerk_user_id"; {f.proxy()} }} }}""")
    response = request(n.port, "/page.shtml", token=f.sim.mint())
    equal(response.status, 200)
    assert b'"V", "user_1"' in response.body, response
    equal(request(n.port, "/page.shtml").status, 401)


def test_if_and_limit_except_serve_what_their_location_serves(f):
    for name in ("auth", "webhook", "status"):
        f.directory_file(name, "a file")
    for i in range(9):
        f.sim.user(f"user_{i}")
    n = f.nginx(f"""{f.keys()} clerk_auth_zone z:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET};
        server {{ listen 127.0.0.1:@port@; root {f.directory};
        location = /auth {{ clerk_auth_endpoint; clerk_auth_fetch_user on; if ($arg_x) {{ set $y 1; }}
                            limit_except GET {{ clerk_auth_require_role admin; }} }}
        location /app {{ auth_request /auth; {f.proxy()} }}
        location = /webhook {{ clerk_auth_webhook; if ($arg_x) {{ set $y 1; }} limit_except POST {{ allow all; }} }}
        location = /status {{ clerk_auth_status; if ($arg_x) {{ set $y 1; }} limit_except GET {{ allow all; }} }}
        location = /other {{ clerk_auth_endpoint; if ($arg_x) {{ return 204; }} }} }}""")
    tokens = [f.sim.mint(user=f"user_{i}") for i in range(9)]
    for query in ("", "?x=1"):
        equal(request(n.port, "/auth" + query).status, 401, query)
        equal(request(n.port, "/auth" + query, token=tokens.pop()).get("X-Clerk-Auth-Status"), "signed-in", query)
        equal(request(n.port, "/app" + query).status, 401, query)
        equal(request(n.port, "/app" + query, token=tokens.pop()).status, 200, query)
        equal(request(n.port, "/auth" + query, token=tokens.pop(), method="POST", body=b"").status, 403)
        equal(request(n.port, "/webhook" + query, method="POST", body=b"{}").status, 400, query)
        equal(request(n.port, "/webhook" + query).status, 405, query)
        assert b"signed_in" in request(n.port, "/status" + query).body, query
        equal(request(n.port, "/status" + query, method="POST", body=b"").status, 405, query)
    equal([request(n.port, path).status for path in ("/other", "/other?x=1")], [401, 204])


def test_variable_that_was_read_before_verification_is_read_again(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location / {{ set $early "$clerk_user_id$clerk_status";
        clerk_auth on; proxy_set_header V "$early|$clerk_user_id|$clerk_status"; {f.proxy()} }} }}""")
    equal(request(n.port, token=f.sim.mint()).passed("V"), ["|user_1|signed-in"])


def test_access_log_shows_status_reason_and_cache(f):
    n = f.nginx(f"""log_format clerk "$status $clerk_status $clerk_reason $clerk_cache $clerk_user_id"; {f.keys()}
        server {{ listen 127.0.0.1:@port@; access_log logs clerk; location / {{ clerk_auth on; {f.proxy()} }} }}"""
                .replace("access_log logs", f"access_log {f.directory}/clerk.log"))
    token = f.sim.mint()
    for t in (token, token, None):
        request(n.port, token=t)
    n.stop()
    equal((f.directory / "clerk.log").read_text().split("\n")[1:3],
          ["200 signed-in - hit user_1", "401 signed-out session-token-missing miss -"])
