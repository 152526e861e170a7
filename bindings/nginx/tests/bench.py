"""Rounds of wrk over locations of one nginx worker; the median of the ratios to the unauthenticated location counts."""

import re
import statistics
import subprocess
import sys

import harness
from harness import equal, request

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 32
PEER_MODULE = harness.MODULE.parent.parent / "nginx-peer/ngx_http_peer_jwt_module.so"

# Name, directives, the minimum ratio.
# How many RSA verifications fit into the time of a plain request depends on the machine: the peer's row shows it.
PEER = "not cached, RS256: OpenSSL, jansson"
ROWS = [
    ("auth_request to return 204", "auth_request /allow;", None),
    ("cached", "clerk_auth on;", 0.80),
    ("cached, X-Clerk-* headers", "clerk_auth on; clerk_auth_pass_headers on;", None),
    ("cached, clerk_auth_endpoint", "auth_request /endpoint;", None),
    (PEER, "peer_jwt_key @key@;", None),
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
        key = str(f.directory_file("key.pem", f.sim.pem()))
        locations = "".join(f"location /{i} {{ {inside.replace('@key@', key)} empty_gif; }}\n"
                            for i, (_, inside, _) in enumerate(ROWS))
        n = f.nginx(f"""{f.keys()} access_log off; server {{ listen 127.0.0.1:@port@; keepalive_requests 100000000;
            location /plain {{ empty_gif; }} {locations}
            location = /allow {{ internal; return 204; }} location = /endpoint {{ internal; clerk_auth_endpoint; }} }}""",
                    level="warn", modules=(harness.MODULE, PEER_MODULE))
        token = f.sim.mint(exp_in=3600)
        for i, (name, _, promised) in enumerate(ROWS):
            equal(request(n.port, f"/{i}", token=token).status, 200)
            if name == PEER or promised is not None:
                equal(request(n.port, f"/{i}", token=token[:-9] + "AAAAAAAAA").status, 401)
        plain, ratios = [], {name: [] for name, _, _ in ROWS}
        for _ in range(ROUNDS):
            plain.append(rate(n.port, "/plain", token))
            for i, found in enumerate(ratios.values()):
                found.append(rate(n.port, f"/{i}", token) / plain[-1])
        print(f"nginx, one worker, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s; unauthenticated: "
              f"{statistics.median(plain):.0f} requests/s")
        medians = {name: statistics.median(found) for name, found in ratios.items()}
        for name, _, promised in ROWS:
            note = "" if promised is None else f"   at least {promised:.2f}"
            if promised is not None and medians[name] < promised:
                failed.append(name)
                note += ": missed"
            print(f"  {name:35} {medians[name]:.3f}   ({min(ratios[name]):.3f} to {max(ratios[name]):.3f}){note}")
    if failed:
        print("bench: missed " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
