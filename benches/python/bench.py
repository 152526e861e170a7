"""Measures Python packages that verify tokens beside RSA and SHA-256 alone, in turns, by the CPU time of the process.

With CLERK_BENCH_POINTS, each result is appended to that file: kind, name, nanoseconds, ratio to the limit.
"""
import ctypes
import os
import platform
import statistics
import subprocess
import time

import django
import jwt
from clerk_backend_api import Clerk
from clerk_backend_api.security import authenticate_request, verify_token
from clerk_backend_api.security.types import AuthenticateRequestOptions, VerifyTokenOptions
from django.conf import settings

ROUNDS, TURN_NS, USER = 25, 20_000_000, "user_1"
PARTIES = ["https://app.example.com"]


def sim(*arguments):
    return subprocess.run([os.environ["CLERK_SIM"], *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


pem = sim("key", "--name", "k1", "--form", "pem")
token = sim("mint", "--user", USER, "--sid", "sess_1", "--azp", PARTIES[0], "--exp-in", "3600", "--org-id", "org_1", "--org-role",
            "admin", "--org-permissions", "org:invoices:create,org:invoices:read", "--claim", 'iss="https://clerk.example.com"')

library = ctypes.CDLL(os.environ["CLERK_ANCHOR"])
library.anchor_new.restype = ctypes.c_void_p
library.anchor_new.argtypes = [ctypes.c_char_p, ctypes.c_size_t] * 2
for function in (library.anchor_sha256, library.anchor_rs256):
    function.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
anchor = library.anchor_new(pem.encode(), len(pem), token.encode(), len(token))
assert anchor, "the anchor rejects the token"

settings.configure(
    SECRET_KEY="bench", INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CLERK_SECRET_KEY="sk_test_bench", CLERK_JWT_KEY=pem, CLERK_AUTH_PARTIES=PARTIES)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.cache import cache  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django_clerk_sdk.core.auth.clerk.service import REQUEST_RESULT_ATTR, get_cache_key, resolve_clerk_auth  # noqa: E402

call_command("migrate", verbosity=0)
row = User.objects.create(username=USER)
cache.set(get_cache_key(token), row.pk, 3600)
request = RequestFactory().get("/", headers={"Authorization": f"Bearer {token}"})
key = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).prepare_key(pem)
verify_options = VerifyTokenOptions(jwt_key=pem, authorized_parties=PARTIES)
request_options = AuthenticateRequestOptions(jwt_key=pem, authorized_parties=PARTIES)


def django_cached():
    if hasattr(request, REQUEST_RESULT_ATTR):
        delattr(request, REQUEST_RESULT_ATTR)
    result = resolve_clerk_auth(request)
    assert result.source == "cache"
    return result.user.username


def repeated(call):
    def run(times):
        for _ in range(times):
            assert call() == USER
    return run


# Kind, name, and what runs so many times; the first of each kind is the limit.
CANDIDATES = [
    ("cold", "RSA-2048 by aws-lc", lambda times: library.anchor_rs256(anchor, times)),
    ("warm", "SHA-256 of the token", lambda times: library.anchor_sha256(anchor, times)),
    ("cold", "PyJWT, key object", repeated(lambda: jwt.decode(token, key, algorithms=["RS256"])["sub"])),
    ("cold", "clerk-backend-api, verify_token", repeated(lambda: verify_token(token, verify_options)["sub"])),
    ("cold", "clerk-backend-api, authenticate_request",
     repeated(lambda: authenticate_request(request, request_options).payload["sub"])),
    ("warm", "django-clerk-sdk, cached", repeated(django_cached)),
]


def timed(run, times):
    before = time.process_time_ns()
    run(times)
    return time.process_time_ns() - before


def calibrated(run):
    times = 1
    while (taken := timed(run, times)) < TURN_NS / 4:
        times *= 2
    return max(1, round(times * TURN_NS / taken))


def main():
    counts = [calibrated(run) for *_, run in CANDIDATES]
    taken = [[] for _ in CANDIDATES]
    for turn in range(ROUNDS):
        for i in range(len(CANDIDATES)):
            i = (i + turn) % len(CANDIDATES)
            taken[i].append(timed(CANDIDATES[i][2], counts[i]) / counts[i])
    print(f"Python {platform.python_version()}, token of {len(token)} bytes; CPU time, median of {ROUNDS} turns")
    points = open(os.environ["CLERK_BENCH_POINTS"], "a") if "CLERK_BENCH_POINTS" in os.environ else None
    for i, (kind, name, _) in enumerate(CANDIDATES):
        limit = taken[[candidate[0] for candidate in CANDIDATES].index(kind)]
        ns, ratio = statistics.median(taken[i]), statistics.median(own / least for own, least in zip(taken[i], limit))
        print(f"{name:<46} {ns / 1000:10.2f} us {ratio:8.2f} × {'RSA' if kind == 'cold' else 'SHA-256'}")
        if points and i > 1:
            print(kind, f"{name} (Python)", round(ns), round(ratio, 3), sep="\t", file=points)


main()
