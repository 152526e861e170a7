"""Rounds of wrk over locations of one nginx worker; the median of the ratios to the unauthenticated location counts."""

import re
import statistics
import subprocess
import sys

import harness
from harness import equal, request

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 32

# Name, directives, the minimum ratio.
ROWS = [
    ("auth_request to return 204", "auth_request /allow;", None),
    ("cached", "clerk_auth on;", 0.80),
    ("cached, X-Clerk-* headers", "clerk_auth on; clerk_auth_pass_headers on;", None),
    ("cached, clerk_auth_endpoint", "auth_request /endpoint;", None),
    ("not cached, RS256", "clerk_auth on; clerk_auth_setting cache_ttl_s 0;", 0.19),
]


def rate(port, path, token):
    said = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"Authorization: Bearer {token}",
         f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


def main():
    failed = []
    with harness.fixture() as f:
        locations = "".join(f"location /{i} {{ {inside} empty_gif; }}\n" for i, (_, inside, _) in enumerate(ROWS))
        n = f.nginx(f"""{f.keys()} access_log off; server {{ listen 127.0.0.1:@port@; keepalive_requests 100000000;
            location /plain {{ empty_gif; }} {locations}
            location = /allow {{ internal; return 204; }} location = /endpoint {{ internal; clerk_auth_endpoint; }} }}""",
                    level="warn")
        token = f.sim.mint(exp_in=3600)
        for i in range(len(ROWS)):
            equal(request(n.port, f"/{i}", token=token).status, 200)
        plain, ratios = [], [[] for _ in ROWS]
        for _ in range(ROUNDS):
            plain.append(rate(n.port, "/plain", token))
            for i, found in enumerate(ratios):
                found.append(rate(n.port, f"/{i}", token) / plain[-1])
        print(f"nginx, one worker, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s; unauthenticated: "
              f"{statistics.median(plain):.0f} requests/s")
        for (name, _, promised), found in zip(ROWS, ratios):
            median = statistics.median(found)
            note = "" if promised is None else f"   at least {promised:.2f}"
            if promised is not None and median < promised:
                failed.append(name)
                note += ": missed"
            print(f"  {name:30} {median:.2f}   ({min(found):.2f} to {max(found):.2f}){note}")
    if failed:
        print("bench: missed " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
