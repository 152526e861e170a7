"""Sends a few requests through nginx and prints their outcomes."""

import sys
import time

import harness
from harness import PARTY, WEBHOOK_SECRET, request

CONFIG = """
{keys}
clerk_auth_webhook_secret {secret};
clerk_auth_zone clerk:1m;
clerk_auth_user_store sqlite:{directory}/users.db;

server {{
    listen 127.0.0.1:@port@;
    clerk_auth on;
    clerk_auth_pass_headers on;

    location / {{ {proxy} }}
    location /admin {{ clerk_auth_require_role admin; {proxy} }}
    location = /healthz {{ clerk_auth off; {proxy} }}
    location = /clerk/webhook {{ clerk_auth_webhook; }}
    location = /clerk/status {{ clerk_auth off; clerk_auth_status; }}
}}
"""


def main():
    failed = []
    with harness.fixture() as f:
        f.sim.user("user_ada")
        f.directory.chmod(0o777)
        n = f.nginx(CONFIG.format(keys=f.keys(), secret=WEBHOOK_SECRET, directory=f.directory, proxy=f.proxy()), workers=2)
        print(f"nginx with the module, an application and clerk-sim are running; this is its configuration:\n{CONFIG}")

        def show(what, expected, *arguments, **options):
            response = request(n.port, *arguments, **options)
            lines = [f"{response.status}"]
            if response.get("WWW-Authenticate"):
                lines.append(f"WWW-Authenticate: {response.get('WWW-Authenticate')}")
            if response.status == 200 and response.get("Content-Type") == "application/json":
                lines += [f"the application saw {name}: {value}" for name, value in response.json()["headers"]
                          if name.lower().startswith("x-clerk")]
            print(f"{what}\n    -> " + "\n       ".join(lines))
            if response.status != expected:
                failed.append(what)

        token = f.sim.mint("user_ada", sid="sess_ada")
        admin = f.sim.mint("user_ada", sid="sess_admin", org={"id": "org_1", "slug": "acme", "role": "admin"})
        show("the health check, public", 200, "/healthz")
        show("without a token", 401, "/")
        show("with an expired token", 401, "/", token=f.sim.mint("user_ada", spoil="expired"))
        show("with a token: verified, and the user's row is made", 200, "/", token=token)
        show("with a spoofed header besides", 200, "/", token=token, headers=[("X-Clerk-User-Id", "user_root")])
        show("/admin without the role", 403, "/admin", token=token)
        show("/admin with it", 200, "/admin", token=admin)
        show("POST with the cookie, from another site", 403, "/", method="POST", cookie=token, body=b"x",
             headers=[("Origin", "https://evil.example.com")])
        show("POST with the cookie, from the application's own page", 200, "/", method="POST", cookie=token, body=b"x",
             headers=[("Origin", PARTY)])
        d = f.sim.webhook("session.revoked", "sess_ada", data={"id": "sess_ada", "user_id": "user_ada"})
        show("a webhook event: the session was revoked", 200, "/clerk/webhook", method="POST",
             headers=list(d["headers"].items()), body=d["body"].encode())
        time.sleep(1)
        show("the same token, a second later", 401, "/", token=token)
        print("clerk_auth_status:\n    " + request(n.port, "/clerk/status").body.decode().strip().replace("\n", "\n    "))
    print("demo-nginx: " + ("ok" if not failed else "failed: " + ", ".join(failed)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
