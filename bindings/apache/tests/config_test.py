"""`apachectl configtest` names each invalid directive."""

import json

import harness

LIVE = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
PAGES = f"ClerkSecretKey sk_test_x\nClerkPublishableKey {LIVE}\nClerkPages On"
# The configuration of the server, and a part of the expected message.
WRONG = {
    "no_key": ("ClerkAudience a", "ClerkSecretKeyFile"),
    "timeout": ("ClerkSecretKey sk_test_x\nClerkTimeout soon", "ClerkTimeout: must be a time"),
    "leeway_negative": ("ClerkSecretKey sk_test_x\nClerkLeeway -5", "ClerkLeeway: must be a time"),
    "timeout_out_of_range": ("ClerkSecretKey sk_test_x\nClerkTimeout 900", "ClerkTimeout"),
    "cache": ("ClerkSecretKey sk_test_x\nClerkCache many", "ClerkCache"),
    "cache_ttl": ("ClerkSecretKey sk_test_x\nClerkCache 10 forever", "ClerkCache"),
    "leeway": ("ClerkSecretKey sk_test_x\nClerkLeeway 1h", "ClerkLeeway"),
    "api_url": ("ClerkSecretKey sk_test_x\nClerkAPIURL ftp://example.com", "ClerkAPIURL"),
    "jwks_url": ("ClerkJWKSURL nonsense", "ClerkJWKSURL"),
    "missing_file": ("ClerkSecretKeyFile nowhere.txt", "ClerkSecretKeyFile: cannot open"),
    "pem": ("ClerkJWTKeyFile data/garbage.txt", "ClerkJWTKeyFile"),
    "jwks": ("ClerkJWKSFile data/garbage.txt", "ClerkJWKSFile"),
    "empty_file": ("ClerkSecretKeyFile data/empty.txt", "ClerkSecretKeyFile"),
    "binary_file": ("ClerkSecretKeyFile data/binary.txt", "ClerkSecretKeyFile"),
    "undefined_variable": ("ClerkSecretKey ${NOT_DEFINED_ANYWHERE}", "ClerkSecretKey: the value uses a variable"),
    "token_kind": ("ClerkSecretKey sk_test_x\nClerkAcceptToken session", "ClerkAcceptToken"),
    "fetch_user_without_secret": ("ClerkJWTKeyFile data/key.pem\nClerkFetchUser On", "secret_key"),
    "user_store": ("ClerkSecretKey sk_test_x\nClerkUserStore mysql:x", "ClerkUserStore"),
    "webhook_secret": ("ClerkSecretKey sk_test_x\nClerkWebhookSecret secret", "ClerkWebhookSecret"),
    "unknown_setting": ("ClerkSecretKey sk_test_x\nClerkSetting no_such_thing 1", "no_such_thing"),
    "setting_value": ("ClerkSecretKey sk_test_x\nClerkSetting user_ttl_s soon", "user_ttl_s"),
    "socache": ("ClerkSecretKey sk_test_x\nClerkSOCache nothing", "ClerkSOCache"),
    "secret_in_location": ("<Location />\nClerkSecretKey sk_test_x\n</Location>", "ClerkSecretKey"),
    "strip_in_location": ("<Location />\nClerkStripHeaders Off\n</Location>", "ClerkStripHeaders"),
    "unavailable": ("<Location />\nClerkUnavailable 200\n</Location>", "ClerkUnavailable"),
    "token_source": ("<Location />\nClerkTokenSource body\n</Location>", "ClerkTokenSource"),
    "remote_user": ("<Location />\nClerkRemoteUser sub\n</Location>", "ClerkRemoteUser"),
    "login_url": ('<Location />\nClerkLoginURL "%{nonsense:x}"\n</Location>', "ClerkLoginURL"),
    "login_parameter": ("<Location />\nClerkLoginURL /sign-in a=b\n</Location>", "ClerkLoginURL"),
    "role_without_value": ("<Location />\nRequire clerk-role\n</Location>", "Require"),
    "claim_without_value": ("<Location />\nRequire clerk-claim plan\n</Location>", "clerk-claim"),
    "reverification_unknown": ("<Location />\nRequire clerk-reverification strict second\n</Location>", "clerk-reverification: must be"),
    "reverification_zero": ("<Location />\nRequire clerk-reverification first_factor:0\n</Location>", "clerk-reverification: must be"),
    "pages_without_publishable_key": ("ClerkSecretKey sk_test_x\nClerkPages On", "ClerkPublishableKey: publishable_key: `handshake` needs it"),
    "pages_without_secret_key": (f"ClerkJWTKeyFile data/key.pem\nClerkPublishableKey {LIVE}\nClerkPages On", "ClerkSecretKey: secret_key: `handshake` needs"),
    "pages_in_location_without_key": ("ClerkSecretKey sk_test_x\n<Location /a>\nClerkPages On\n</Location>", "ClerkPublishableKey: publishable_key"),
    "pages_in_virtual_host_without_key": (
        "ClerkSecretKey sk_test_x\n<VirtualHost *>\n<Directory />\nClerkPages On\n</Directory>\n</VirtualHost>", "ClerkPublishableKey"),
    "public_origin": (f"{PAGES}\nClerkPublicOrigin app.example.com", "ClerkPublicOrigin: public_origin: not an origin"),
    "satellite_without_domain": (f"{PAGES}\nClerkSetting is_satellite true", "ClerkSetting domain: domain: a satellite"),
    "proxy_url": (f"{PAGES}\nClerkSetting proxy_url //evil.example", "ClerkSetting proxy_url"),
    "forwarded_without_origin": (f"{PAGES}\nClerkSetting trust_forwarded 1", "trust_forwarded: with ClerkPages it needs ClerkPublicOrigin"),
    "audience_in_location": ('<Location />\nClerkAudience ""\n</Location>', "ClerkAudience"),
}

SECRETS = ["ClerkSecretKey sk_test_x", "ClerkSecretKeyFile x", "ClerkJWTKeyFile x", "ClerkJWKSFile x", "ClerkJWKSURL https://x.example",
           "ClerkAPIURL http://127.0.0.1:1", "ClerkWebhookSecret whsec_eA==", "ClerkAudience x", "ClerkAuthorizedParties https://x.example",
           "ClerkIssuer x", "ClerkLeeway 300", "ClerkAcceptToken any", "ClerkStripHeaders Off", "ClerkLoginURL /x", "ClerkSetting jwt_key x",
           "ClerkUserStore sqlite:x", "ClerkMachineSecretKeyFile x", "ClerkFetchUser Off", "ClerkCSRF Off", "ClerkPages Off", "ClerkPublicOrigin https://x.example"]


def prepared(body, sim):
    apache = harness.Apache("event", body)
    (apache.data / "garbage.txt").write_text("garbage")
    (apache.data / "empty.txt").write_text("\n")
    (apache.data / "binary.txt").write_bytes(b"sk_test_\0x")
    (apache.data / "key.pem").write_text(sim.admin("GET", "/keys/k1")["pem"])
    return apache


def wrong_config(body, expected, sim):
    apache = prepared(body, sim)
    try:
        status, said = apache.check()
        assert status != 0 and expected in said, (status, said)
        assert "sk_test_x" not in said, said
    finally:
        apache.close()


def good_config(body, sim):
    apache = prepared(body, sim)
    try:
        status, said = apache.check()
        assert status == 0 and "Syntax OK" in said, said
    finally:
        apache.close()


def settings_around_virtual_hosts_need_no_key(sim):
    good_config("ClerkTimeout 2\n<VirtualHost *:*>\nServerName a.example\nClerkSecretKey sk_test_x\n</VirtualHost>", sim)
    good_config(f"<Location /a>\nClerkPages On\n</Location>\n<VirtualHost *:*>\nServerName a.example\nClerkSecretKey sk_test_x\n"
                f"ClerkPublishableKey {LIVE}\n</VirtualHost>", sim)


def pages_without_origin_are_warned_of(sim):
    for body, warns in ((PAGES, True), (f"{PAGES}\nClerkAuthorizedParties https://a.example", False), (f"{PAGES}\nClerkPages Off", False),
                        (f"{PAGES}\nClerkPublicOrigin https://a.example\n<Location /a>\nClerkLeeway 1\n</Location>", False),
                        (f"{PAGES}\nClerkPages Off\n<Location /a>\nClerkPages On\n</Location>", True)):
        apache = prepared(body, sim)
        try:
            status, said = apache.check()
            assert status == 0 and ("ClerkPages without ClerkPublicOrigin" in said) == warns, (body, said)
        finally:
            apache.close()


def every_directive_is_accepted(sim):
    good_config(f"""
ClerkSecretKey sk_test_x
ClerkPublishableKey pk_test_Y2xlcmsuZXhhbXBsZS5jb20k
ClerkJWTKeyFile data/key.pem
ClerkAPIURL {sim.url}
ClerkTimeout 1500ms
ClerkCache 100 30
ClerkWebhookSecret {harness.WEBHOOK_SECRET}
ClerkSOCache shmcb
ClerkUserStore sqlite:data/users.db
ClerkSetting user_ttl_s 60
ClerkPages Off
ClerkPublicOrigin https://a.example https://b.example
ClerkStripHeaders On
ClerkAuthorizedParties https://a.example https://b.example
ClerkOptional Off
ClerkCSRF On
ClerkPassHeaders On
ClerkPassEnv On
ClerkPassClaims Off
ClerkTokenSource header
ClerkUnavailable 503
ClerkRemoteUser email
ClerkLoginURL /sign-in
<Location />
  ClerkAudience a b
  ClerkPages On
  ClerkPublicOrigin https://a.example
  ClerkIssuer https://clerk.example.com
  ClerkLeeway 2
  ClerkAcceptToken session_token oauth_token
  ClerkOptional On
  ClerkCSRF Off
  ClerkPassHeaders On
  ClerkPassEnv Off
  ClerkPassClaims On
  ClerkTokenSource header cookie
  ClerkUnavailable 401
  ClerkRemoteUser claim:/o/id
  ClerkLoginURL "https://%{{HTTP_HOST}}/sign-in" redirect_url
  Require clerk-role admin org:member
  Require clerk-claim "https\\:a:b"
  Require clerk-reverification strict multi_factor:90
</Location>""", sim)


def public_secret_file_is_warned_about(sim):
    for mode, warned in ((0o644, True), (0o600, False)):
        apache = prepared("ClerkSecretKeyFile data/secret.txt", sim)
        try:
            (apache.data / "secret.txt").write_text("sk_test_x\n")
            (apache.data / "secret.txt").chmod(mode)
            status, said = apache.check()
            assert status == 0 and ("ClerkSecretKeyFile: all users can read" in said) == warned, said
        finally:
            apache.close()


def htaccess_cannot(directive, sim):
    apache = harness.Apache("event", f"ClerkSecretKey sk_test_x\nClerkAPIURL {sim.url}", log_level="info")
    try:
        (apache.docs / "open" / ".htaccess").write_text(directive + "\n")
        apache.start()
        response = apache.request("/open/")
        assert response.status == 500, response
        assert f"{directive.split()[0]} not allowed here" in apache.error_log, apache.error_log
    finally:
        apache.close()


def htaccess_demands_a_user(sim):
    apache = harness.Apache("event", f"ClerkSecretKey sk_test_x\nClerkAPIURL {sim.url}")
    try:
        (apache.docs / "open" / ".htaccess").write_text("AuthType Clerk\nAuthName x\nRequire valid-user\nClerkTokenSource header\n")
        apache.start()
        assert apache.request("/open/").status == 401
        assert apache.request("/open/", token=sim.mint()).status == 200
        assert apache.request("/open/", cookie=sim.mint()).status == 401
    finally:
        apache.close()


def authtype_without_key_is_500(sim):
    apache = harness.Apache("event", "<Location />\nAuthType Clerk\nRequire valid-user\n</Location>")
    try:
        apache.start()
        response = apache.request("/", token=sim.mint())
        assert response.status == 500 and "no verification key configured" in apache.error_log, response
    finally:
        apache.close()


def jwks_file_needs_no_network(sim):
    apache = harness.Apache("event", "ClerkJWKSFile data/jwks.json\n<Location />\nAuthType Clerk\nRequire valid-user\n</Location>")
    try:
        (apache.data / "jwks.json").write_text(json.dumps({"keys": [sim.admin("GET", "/keys/k1")["jwk"]]}))
        sim.admin("DELETE", "/counts")
        apache.start()
        assert apache.request("/", token=sim.mint()).status == 200
        assert apache.request("/", token=sim.mint(key="other")).status == 401
        assert sim.admin("GET", "/counts")["by_path"] == {}, sim.admin("GET", "/counts")
    finally:
        apache.close()


def secrets_do_not_reach_the_log(sim):
    apache = harness.Apache("event", f"ClerkSecretKey sk_test_verysecret\nClerkAPIURL {sim.url}\nClerkWebhookSecret {harness.WEBHOOK_SECRET}\n"
                            "<Location />\nAuthType Clerk\nRequire valid-user\n</Location>", log_level="trace8")
    try:
        apache.start()
        token = sim.mint()
        apache.request("/", token=token)
        apache.request("/", cookie=token[:-3] + "abc")
        log = "\n".join(line for line in apache.error_log.splitlines() if "auth_clerk:" in line)
        assert "verysecret" not in apache.error_log and harness.WEBHOOK_SECRET not in apache.error_log
        assert log and token.split(".")[1] not in log and token.split(".")[2] not in log, log
    finally:
        apache.close()


def cases(sim):
    for name, (body, expected) in WRONG.items():
        yield f"configtest_{name}_is_named", lambda body=body, expected=expected: wrong_config(body, expected, sim)
    for directive in SECRETS:
        yield f"htaccess_{directive.split()[0]}_is_rejected", lambda directive=directive: htaccess_cannot(directive, sim)
    for case in (settings_around_virtual_hosts_need_no_key, every_directive_is_accepted, pages_without_origin_are_warned_of, public_secret_file_is_warned_about,
                 htaccess_demands_a_user,
                 authtype_without_key_is_500, jwks_file_needs_no_network, secrets_do_not_reach_the_log):
        yield case.__name__, lambda case=case: case(sim)
