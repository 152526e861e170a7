"""Two servers with one shared cache: what is revoked at one is rejected by the workers of the other."""

import os
import signal
import time

import redis_server
from harness import WEBHOOK_SECRET, equal, request, wait_until
from test_sync import deliver


def server(f, url, workers=2, listen="reuseport", inside=""):
    return f.nginx(f"""{f.keys()} clerk_auth_webhook_secret {WEBHOOK_SECRET}; clerk_auth_zone clerk:1m;
        clerk_auth_setting shared_cache {url}; clerk_auth_setting shared_cache_required true;
        server {{ listen 127.0.0.1:@port@ {listen}; location / {{ clerk_auth on; {inside} {f.proxy()} }}
        location = /webhook {{ clerk_auth_webhook; {inside} }} location = /metrics {{ clerk_auth_status prometheus; }} }}""", workers=workers)


def statuses(n, token, times=20):
    return {request(n.port, token=token).status for _ in range(times)}


def test_revocation_at_one_server_is_applied_by_the_workers_of_another(f):
    with redis_server.running() as url:
        one, other = server(f, url), server(f, url)
        for round in range(3):
            sid = f"sess_{round}"
            token = f.sim.mint(sid=sid, exp_in=300)
            equal((statuses(one, token), statuses(other, token)), ({200}, {200}))
            event = f.sim.webhook("session.ended", sid, data={"id": sid, "user_id": "user_1"})
            equal(deliver(one, event).status, 200)
            begun = time.monotonic()
            wait_until(lambda: statuses(other, token, 10) == {401}, 1, "the revocation at the other server")
            print(f"     applied after {time.monotonic() - begun:.3f} s")
        assert b"clerk_auth_shared_cache_available 1\n" in request(other.port, "/metrics").body


def test_worker_that_missed_deliveries_clears_its_own_caches_only(f):
    f.sim.user()
    with redis_server.running() as url:
        one, other = (server(f, url, listen="", inside="clerk_auth_fetch_user on;") for _ in range(2))
        token = f.sim.mint(exp_in=300)
        equal((statuses(other, token, 40), statuses(one, token, 40)), ({200}, {200}))
        fetches = lambda: sum(count for path, count in f.sim.counts().items() if "/users/" in path)
        equal(fetches(), 1)
        slow = one.worker_pids()[0]
        os.kill(slow, signal.SIGSTOP)
        try:
            for i in range(8):
                data = {"id": f"sess_{i}", "user_id": "user_2", "status": "ended", "padding": "x" * 100_000}
                equal(deliver(one, f.sim.webhook("session.ended", f"sess_{i}", data=data)).status, 200)
        finally:
            os.kill(slow, signal.SIGCONT)
        wait_until(lambda: "faster than this worker applied them" in one.log(), what="the worker clears its caches")
        time.sleep(0.5)
        for n in (one, other):
            equal(statuses(n, f.sim.mint(sid="sess_new", exp_in=300), 40), {200})
        equal(fetches(), 1, "the user of the shared cache is used")


def test_server_with_a_poll_under_way_ends_promptly(f):
    with redis_server.running() as url:
        for number in (signal.SIGQUIT, signal.SIGTERM):
            n = server(f, url)
            equal(statuses(n, f.sim.mint(), 4), {200})
            time.sleep(0.3)
            begun = time.monotonic()
            n.stop(number)
            took = time.monotonic() - begun
            assert took < 3, f"{took:.1f} s after signal {number}"


def test_revocation_without_the_engine_is_applied_by_all_workers(f):
    with redis_server.running() as url:
        n = server(f, url)
        token, other = (f.sim.mint(sid=f"sess_{name}", exp_in=300) for name in ("gone", "other"))
        equal((statuses(n, token, 40), statuses(n, other, 40)), ({200}, {200}))
    # Clerk has to send it again, because the engine does not have it; the workers of this machine do.
    event = f.sim.webhook("session.ended", "sess_gone", data={"id": "sess_gone", "user_id": "user_1"})
    equal(deliver(n, event).status, 503)
    wait_until(lambda: statuses(n, token, 40) == {401}, 1, "the revocation in all workers")
    equal(statuses(n, other, 40), {200})
