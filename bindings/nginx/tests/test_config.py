"""Directives: contexts, values, merging; `nginx -t` rejects invalid values and names the directive."""

import os
import re
import shutil
import subprocess

from harness import HERE, MODULE, ROOT, Nginx, equal, request


def rejected(f, http, pattern, main="", environment=()):
    n = Nginx(http, main=main, environment=environment, expect_failure=True)
    try:
        code, said = n.check()
        assert code != 0, f"accepted: {http}"
        assert "[emerg]" in said and re.search(pattern, said), f"{http}\n{said}"
        assert "sk_test_secret" not in said, said
    finally:
        n.discard()


def server(inside):
    return f"server {{ listen 127.0.0.1:@port@; {inside} }}"


def test_invalid_values_are_rejected_with_the_directive_named(f):
    good = "clerk_auth_secret_key sk_test_secret; "
    for directive in (
            "clerk_auth maybe", "clerk_auth_secret_key pk_test_x", "clerk_auth_secret_key env:CLERK_NOT_SET",
            "clerk_auth_secret_key file:/does/not/exist", "clerk_auth_secret_key file:/tmp",
            "clerk_auth_jwt_key garbage", "clerk_auth_jwt_key file:/dev/null", "clerk_auth_jwks_file /etc/hostname",
            "clerk_auth_jwks_file /does/not/exist", "clerk_auth_jwks_url not-a-url", "clerk_auth_jwks_url http://x.com/",
            "clerk_auth_api_url http://api.clerk.com", "clerk_auth_api_url ftp://x", "clerk_auth_timeout 0",
            "clerk_auth_timeout never", "clerk_auth_timeout 2h", "clerk_auth_leeway 1h", "clerk_auth_leeway x",
            "clerk_auth_cache entries=0", "clerk_auth_cache entries=x", "clerk_auth_cache ttl=2d",
            "clerk_auth_cache size=1", "clerk_auth_accept_token passport", "clerk_auth_fetch_user maybe",
            "clerk_auth_user_store mysql:/x", "clerk_auth_user_store oracle://app:x@h/db",
            "clerk_auth_user_store sqlite:", "clerk_auth_setting unknown 1",
            "clerk_auth_setting clock_skew_ms -1", "clerk_auth_webhook_secret whsec_!!",
            "clerk_auth_token_source body", "clerk_auth_token_source header header", "clerk_auth_require plain",
            "clerk_auth_require $host error=500", "clerk_auth_require error=401", "clerk_auth_require_role ''",
            "clerk_auth_unavailable 200", "clerk_auth_csrf maybe", "clerk_auth_pass_headers 1",
            "clerk_auth_strip_headers maybe", "clerk_auth_realm $unknown_variable"):
        name = directive.split()[0]
        prefix = "" if name == "clerk_auth_secret_key" else good
        rejected(f, prefix + server(f"{directive}; location / {{ clerk_auth on; }}"), rf'"{name}"|unknown "unknown_va')
        rejected(f, prefix + f"{directive}; " + server("location / { clerk_auth on; }"), rf'"{name}"|unknown "unknown_va')


def test_missing_settings_are_rejected(f):
    rejected(f, server("location / { clerk_auth on; }"), '"clerk_auth_secret_key": ')
    rejected(f, server("location / { clerk_auth optional; }"), '"clerk_auth_secret_key": ')
    rejected(f, server("location / { clerk_auth_endpoint; }"), '"clerk_auth_secret_key": ')
    pem = f.directory_file("k1.pem", f.sim.pem())
    rejected(f, f"clerk_auth_jwt_key file:{pem};" + server("location / { clerk_auth on; clerk_auth_fetch_user on; }"),
            '"clerk_auth_secret_key": ')
    rejected(f, f"clerk_auth_jwt_key file:{pem};"
            + server("location / { clerk_auth on; clerk_auth_user_store sqlite:users.db; }"),
            '"clerk_auth_(secret_key|user_store)": ')
    rejected(f, "clerk_auth_secret_key sk_test_secret;" + server("location / { clerk_auth_webhook; }"),
            '"clerk_auth_webhook" needs "clerk_auth_zone"')
    rejected(f, "clerk_auth_zone z:1m; clerk_auth_secret_key sk_test_secret;"
            + server("location / { clerk_auth_webhook; }"), '"clerk_auth_webhook" needs "clerk_auth_webhook_secret"')
    rejected(f, "clerk_auth_secret_key sk_test_secret;"
            + server("location / { clerk_auth on; clerk_auth_thread_pool none; }"), "unknown thread pool \"none\"")


def test_requirement_in_a_location_without_authentication_is_rejected(f):
    good = "clerk_auth_secret_key sk_test_secret; "
    for name, value in (("role", "admin"), ("permission", "a:b"), ("org", "acme"), ("feature", "x"), ("plan", "pro"), ("", "$host")):
        directive = f"clerk_auth_require_{name} {value};".replace("_ ", " ")
        named = rf'"{directive.split()[0]}" in location "/a" needs "clerk_auth on"'
        rejected(f, good + server(f"location /a {{ {directive} }}"), named)
        rejected(f, good + server(f"clerk_auth off; location /a {{ {directive} }}"), named)
        rejected(f, good + server(f"location /a {{ limit_except GET {{ {directive} }} }}"), named)
        for accepted in (f"clerk_auth on; location /a {{ {directive} }}", f"{directive} location /a {{ clerk_auth on; }}",
                         f"location /a {{ clerk_auth optional; {directive} }}", f"location /a {{ clerk_auth_endpoint; {directive} }}",
                         f"{directive} location /a {{ }}", f"location /a {{ clerk_auth off; {directive} }}"):
            n = Nginx(good + server(accepted), expect_failure=True)
            equal(n.check()[0], 0, accepted)
            n.discard()


def test_duplicates_and_wrong_contexts_are_rejected(f):
    for directive in ("clerk_auth on", "clerk_auth_realm a", "clerk_auth_token_source header", "clerk_auth_csrf off",
                      "clerk_auth_www_authenticate off", "clerk_auth_unavailable 401", "clerk_auth_issuer https://a",
                      "clerk_auth_leeway 1s", "clerk_auth_thread_pool default", "clerk_auth_login_redirect /x"):
        rejected(f, "clerk_auth_secret_key sk_test_secret;" + server(f"{directive}; {directive};"),
                rf'"{directive.split()[0]}"')
    for directive in ("clerk_auth_secret_key x", "clerk_auth_publishable_key x", "clerk_auth_jwks_url https://x",
                      "clerk_auth_api_url https://x", "clerk_auth_timeout 1s", "clerk_auth_cache off",
                      "clerk_auth_webhook_secret whsec_eA==", "clerk_auth_zone a:1m", "clerk_auth_set $x y"):
        rejected(f, server(f"location / {{ {directive}; }}"), rf'"{directive.split()[0]}" directive is not allowed here')
    for directive in ("clerk_auth_endpoint", "clerk_auth_webhook", "clerk_auth_status"):
        rejected(f, server(f"{directive};"), rf'"{directive}" directive is not allowed here')
        rejected(f, server(f"location / {{ empty_gif; {directive}; }}"), rf'"{directive}"')
    rejected(f, "clerk_auth_zone a:1m; clerk_auth_zone b:1m;" + server(""), '"clerk_auth_zone" directive is duplicate')
    for zone in ("a", "a:512k", ":1m", "a:x"):
        rejected(f, f"clerk_auth_zone {zone};" + server(""), '"clerk_auth_zone" directive takes name:size')
    for words in ("x y", "$x .y", "$x y."):
        rejected(f, f"clerk_auth_set {words};" + server(""), '"clerk_auth_set" directive takes')


def test_message_names_file_and_line(f):
    rejected(f, "clerk_auth_secret_key sk_test_secret;\n\n" + server("\nclerk_auth_leeway 1h;"), r"nginx\.conf:\d+")
    rejected(f, server(f"clerk_auth_jwks_url https://x.example;\nlocation / {{ clerk_auth on; clerk_auth_fetch_user on; }}"),
            r'"clerk_auth_secret_key": .* in .*nginx\.conf:\d+')


def test_secrets_come_from_value_environment_or_file(f):
    secret = f.directory_file("secret", "sk_test_right\n", 0o600)
    f.sim.admin("PUT", "/state", {"secret_keys": ["sk_test_right"]})
    for value in ("sk_test_right", "env:MY_KEY", f"file:{secret}"):
        n = f.nginx(f"clerk_auth_secret_key {value}; clerk_auth_api_url {f.sim.url};"
                    + server(f"location / {{ clerk_auth on; {f.proxy()} }}"),
                    environment={"MY_KEY": "sk_test_right"}, user="www-data")
        equal(request(n.port, token=f.sim.mint()).status, 200, value)
        n.reload()
        equal(request(n.port, token=f.sim.mint()).status, 200, value)
        assert "sk_test_right" not in n.log()


def test_secret_file_that_all_users_can_read_is_warned_about(f):
    pem = f.directory_file("k1.pem", f.sim.pem())
    for mode, is_warned in ((0o644, True), (0o640, False), (0o600, False)):
        secret = f.directory_file("secret", "sk_test_right\n", mode)
        n = Nginx(f"clerk_auth_secret_key file:{secret}; clerk_auth_jwt_key file:{pem};" + server("location / { clerk_auth on; }"),
                  expect_failure=True)
        code, said = n.check()
        equal((code, said.count(f'"clerk_auth_secret_key": all users can read "{secret}"'), said.count("all users")),
              (0, int(is_warned), int(is_warned)))
        n.discard()


def test_environment_of_the_server_does_not_configure_the_module(f):
    n = f.simple(environment={"CLERK_AUTH_PARTIES": "https://other.example.com", "CLERK_JWT_KEY": "x"})
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_off_cancels_inheritance_at_every_level(f):
    n = f.nginx(f"""{f.keys()} clerk_auth on;
        server {{ listen 127.0.0.1:@port@; location / {{ {f.proxy()} }}
            location /off {{ clerk_auth off; {f.proxy()} location /off/on {{ clerk_auth on; {f.proxy()} }} }} }}
        server {{ listen 127.0.0.1:@portB@; clerk_auth off; location / {{ {f.proxy()} }}
            location /on {{ clerk_auth on; {f.proxy()} }} }}""")
    equal([request(n.ports[p], path).status for p, path in
           (("", "/"), ("", "/off"), ("", "/off/on"), ("B", "/"), ("B", "/on"))], [401, 200, 401, 200, 401])


def test_limit_except_has_its_own_policy(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@;
        location /write {{ {f.proxy()} limit_except GET HEAD {{ clerk_auth on; }} }}
        location /admin {{ clerk_auth on; {f.proxy()} limit_except GET {{ clerk_auth_require_role admin; }} }} }}""")
    token = f.sim.mint()
    equal(request(n.port, "/write").status, 200)
    equal(request(n.port, "/write", method="POST", body=b"x").status, 401)
    equal(request(n.port, "/write", method="POST", body=b"x", token=token).status, 200)
    equal(request(n.port, "/admin", token=token).status, 200)
    equal(request(n.port, "/admin", token=token, method="DELETE").status, 403)


def test_lists_replace_those_of_the_outer_level(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on; clerk_auth_require_role admin;
        location /inherits {{ {f.proxy()} }}
        location /replaces {{ clerk_auth_require_role member; {f.proxy()} }}
        location /parties {{ clerk_auth_require_role member; clerk_auth_authorized_parties https://b.example.com; {f.proxy()} }}
        }}""")
    member = {"id": "org_1", "slug": "a", "role": "member"}
    token, other = f.sim.mint(org=member), f.sim.mint(org=member, azp="https://b.example.com")
    equal([request(n.port, p, token=token).status for p in ("/inherits", "/replaces", "/parties")], [403, 200, 401])
    equal([request(n.port, p, token=other).status for p in ("/inherits", "/replaces", "/parties")], [401, 401, 200])


def test_issuer_audience_and_leeway_are_enforced(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /issuer {{ clerk_auth_issuer https://a.example.com https://b.example.com; {f.proxy()} }}
        location /audience {{ clerk_auth_audience api; {f.proxy()} }}
        location /leeway {{ clerk_auth_leeway 1m; {f.proxy()} }} location / {{ {f.proxy()} }} }}""")
    equal(request(n.port, "/issuer", token=f.sim.mint()).status, 401)
    equal(request(n.port, "/issuer", token=f.sim.mint(iss="https://b.example.com")).status, 200)
    equal(request(n.port, "/audience", token=f.sim.mint()).status, 401)
    equal(request(n.port, "/audience", token=f.sim.mint(aud="api")).status, 200)
    late = f.sim.mint(exp_in=-20)
    equal([request(n.port, p, token=late).status for p in ("/leeway", "/")], [200, 401])


def test_machine_tokens_are_rejected_unless_accepted(f):
    f.sim.admin("PUT", "/state", {"oauth_tokens": {"oat_1": {"subject": "user_1"}}})
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; clerk_auth on;
        location /machine {{ clerk_auth_accept_token session_token oauth_token; {f.proxy()} }} location / {{ {f.proxy()} }} }}""")
    equal(request(n.port, "/", token="oat_1").status, 401)
    equal(request(n.port, "/machine", token=f.sim.mint()).status, 200)


def test_cache_off_verifies_every_time(f):
    n = f.nginx(f"""{f.keys("clerk_auth_cache off;")} server {{ listen 127.0.0.1:@port@;
        location / {{ clerk_auth on; proxy_set_header V $clerk_cache; {f.proxy()} }} }}""")
    token = f.sim.mint()
    request(n.port, token=token)
    equal([request(n.port, token=token).passed("V") for _ in range(2)], [["miss"], ["miss"]])


def test_module_that_is_loaded_and_not_used_changes_nothing(f):
    n = f.nginx(f"server {{ listen 127.0.0.1:@port@; location / {{ {f.proxy()} }} }}")
    equal(request(n.port, headers=[("X-Clerk-User-Id", "me")]).passed("X-Clerk-User-Id"), ["me"])


def test_only_the_symbols_of_a_module_are_exported(f):
    said = subprocess.run(["nm", "-D", "--defined-only", MODULE], capture_output=True, text=True, check=True).stdout
    equal(sorted(line.split()[-1] for line in said.splitlines()), ["ngx_module_names", "ngx_module_order", "ngx_modules"])


def test_two_modules_that_hold_the_library_use_each_its_own(f):
    """A second module is built from the same sources under other names; both serve one worker."""
    source = f.directory / "two"
    shutil.copytree(HERE.parent, source, ignore=shutil.ignore_patterns("tests", "examples"))
    for path in [source / "config", *(source / "src").iterdir()]:
        text = path.read_text().replace("ngx_http_clerk_auth", "ngx_http_clerk_two")
        path.write_text(re.sub(r'"clerk_', '"clerk2_', text))
        path.rename(path.with_name(path.name.replace("clerk_auth", "clerk_two")))
    subprocess.run(["make", "-f", HERE.parent / "Makefile", f"here={source}", f"OUT={f.directory}/out",
                    f"PREFIX={os.environ.get('CLERK_STAGE', ROOT / 'build/stage')}", f"MODULE={f.directory}/out/"
                    "ngx_http_clerk_two_module.so"], check=True, capture_output=True, timeout=120)
    n = f.nginx(f"""server {{ listen 127.0.0.1:@port@; {f.keys()} {f.keys().replace("clerk_", "clerk2_")}
        location /one {{ clerk_auth on; proxy_set_header V "$clerk_user_id|$clerk2_user_id"; {f.proxy()} }}
        location /two {{ clerk2_auth on; proxy_set_header V "$clerk_user_id|$clerk2_user_id"; {f.proxy()} }} }}""",
                modules=(MODULE, f.directory / "out/ngx_http_clerk_two_module.so"))
    token = f.sim.mint()
    for _ in range(3):
        equal(request(n.port, "/one", token=token).passed("V"), ["user_1|"])
        equal(request(n.port, "/two", token=token).passed("V"), ["|user_1"])
        equal(request(n.port, "/two", token=token + "x").status, 401)
