"""Requests per second of a static file: unauthenticated, behind mod_auth_clerk, and behind the modules that Debian has for bearer
tokens, all in one event MPM, in turns. A ratio is to the unauthenticated file of the same round; the processor time is that of the least disturbed round. It fails when the cached ratio's
median is below 0.85; CLERK_APACHE_LIMIT sets another limit, 0 disables it."""

import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "tests"))

import harness  # noqa: E402

ROUNDS, SECONDS, CONNECTIONS = int(os.environ.get("ROUNDS", 5)), int(os.environ.get("SECONDS_EACH", 2)), 16
LIMIT = float(os.environ.get("CLERK_APACHE_LIMIT", 0.85))


def config(apache, sim):
    """The measured locations: label -> (path, host)."""
    targets = {"unauthenticated": ("/plain/", "a.example"), "clerk, cached": ("/clerk/", "a.example"), "clerk, verified each time": ("/clerk/", "b.example")}
    body = f"""
ClerkSecretKey sk_test_x
ClerkAPIURL {sim.url}
AliasMatch "^/(plain|clerk|oidc|oauth2)/" {apache.docs}/small.txt
<Location /clerk>
  AuthType Clerk
  Require valid-user
</Location>
<VirtualHost *:*>
  ServerName a.example
</VirtualHost>
<VirtualHost *:*>
  ServerName b.example
  ClerkCache 10 0
</VirtualHost>
"""
    key = sim.admin("GET", "/keys/k1")
    if (harness.LIBEXEC / "mod_auth_openidc.so").exists():
        (apache.directory / "k1.pem").write_text(key["pem"])
        apache.modules.append("auth_openidc")
        body += f"""
OIDCOAuthVerifyCertFiles {key['kid']}#{apache.directory}/k1.pem
OIDCOAuthRemoteUserClaim sub
OIDCCryptoPassphrase bench
<Location /oidc>
  AuthType oauth20
  Require valid-user
</Location>"""
        targets["mod_auth_openidc, keys in memory"] = ("/oidc/", "a.example")
    if (harness.LIBEXEC / "mod_oauth2.so").exists():
        apache.modules.append("oauth2")
        body += f"""
<Location /oauth2>
  AuthType oauth2
  OAuth2TokenVerify jwk '{json.dumps(key['jwk'])}'
  Require valid-user
</Location>"""
        targets["mod_oauth2, cached"] = ("/oauth2/", "a.example")
    apache.body = body
    return targets


def cpu_seconds(apache):
    """The processor time that the children have used so far."""
    ticks = 0
    for pid in apache.children_pids():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rate(apache, path, host, token):
    """Requests per second, and microseconds of processor time per request."""
    before = cpu_seconds(apache)
    said = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"Host: {host}", "-H", f"Authorization: Bearer {token}",
                           apache.origin + path], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "Non-2xx" not in said, (path, host, said)
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", said).group(1)), (cpu_seconds(apache) - before) / requests * 1e6


def main():
    if not shutil.which("wrk"):
        print("missing: wrk", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory:
        sim = harness.Sim(directory)
        apache = harness.Apache("event", "", log_level="error", children=1, threads=32)
        (apache.docs / "small.txt").write_text("ok\n")
        try:
            targets = config(apache, sim)
            apache.start()
            token = sim.mint(exp_in=3600)
            for path, host in targets.values():
                rate(apache, path, host, token)
            rates = {label: [] for label in targets}
            for _ in range(ROUNDS):
                for label, (path, host) in targets.items():
                    rates[label].append(rate(apache, path, host, token))
        finally:
            apache.close()
            sim.close()
    cached = 0.0
    print(f"{'location':36}{'requests/s':>12}{'ratio':>8}{'CPU us':>8}   ratios of the rounds")
    for label, values in rates.items():
        ratios = [value / base for (value, _), (base, _) in zip(values, rates["unauthenticated"])]
        per_second, cpu = statistics.median(value for value, _ in values), min(used for _, used in values)
        print(f"{label:36}{per_second:12.0f}{statistics.median(ratios):8.2f}{cpu:8.1f}   {' '.join(f'{r:.2f}' for r in ratios)}")
        if label == "clerk, cached":
            cached = statistics.median(ratios)
    if cached < LIMIT:
        print(f"clerk, cached: {cached:.2f} is below {LIMIT}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
