"""Two servers with one shared cache: what is revoked at one is rejected by the processes of the other."""

import time

import harness
import redis_server
from webhook_test import MPMS, accepted, body, deliver


def server(sim, mpm, url, more=""):
    apache = harness.Apache(mpm, "", log_level="info auth_clerk:debug", children=2, threads=4)
    apache.body = body(sim, f"ClerkSetting shared_cache {url}\nClerkSetting shared_cache_required true\n{more}")
    apache.start()
    harness.wait_until(lambda: len(apache.children_pids()) >= 2, what="children")
    return apache


def revocation_is_applied_by_another_server(sim, mpm):
    servers = []
    try:
        with redis_server.running() as url:
            servers = [server(sim, mpm, url), server(sim, mpm, url)]
            one, other = servers
            for round in range(2):
                sid = f"sess_shared_{mpm}_{round}"
                token = sim.mint(sid=sid, exp_in=300)
                assert set(accepted(one, token, 10) + accepted(other, token, 20)) == {200}
                assert deliver(sim, one, type="session.ended", id=sid).status == 200
                harness.wait_until(lambda: set(accepted(other, token, 10)) == {401}, 1, "the revocation at the other server")
            begun = time.monotonic()
            assert [apache.stop() for apache in servers] == [0, 0]
            assert time.monotonic() - begun < 6, "both end although their polls wait"
            assert not one.complaints() and not other.complaints(), (one.complaints(), other.complaints())
    finally:
        for apache in servers:
            apache.close()


def revocation_without_the_engine_is_applied_by_all_processes(sim, mpm):
    apache = None
    try:
        with redis_server.running() as url:
            apache = server(sim, mpm, url)
            token, other = [sim.mint(sid=f"sess_{name}_{mpm}", exp_in=300) for name in ("gone", "other")]
            assert set(accepted(apache, token, 40) + accepted(apache, other, 40)) == {200}
        # Clerk has to send it again, because the engine does not have it; the processes of this machine do.
        assert deliver(sim, apache, type="session.ended", id=f"sess_gone_{mpm}").status == 503
        # A process that the server starts meanwhile has nothing cached and accepts nothing: it has no client without the engine (500).
        statuses = accepted(apache, token, 40)
        assert set(statuses) <= {401, 500, 503} and statuses.count(401) >= 10, statuses
        statuses = accepted(apache, other, 40)
        assert set(statuses) <= {200, 500, 503} and statuses.count(200) >= 10, ("what is cached stays", statuses)
    finally:
        if apache:
            apache.close()


def process_that_missed_deliveries_clears_its_own_caches_only(sim, mpm):
    servers = []
    try:
        with redis_server.running() as url:
            servers = [server(sim, mpm, url, "ClerkFetchUser On") for _ in range(2)]
            one, other = servers
            user = f"user_missed_{mpm}"
            sim.admin("PUT", f"/users/{user}", {})
            token = lambda sid: sim.mint(user=user, sid=f"sess_{sid}_{mpm}", exp_in=300)
            assert set(accepted(one, token("first"), 20) + accepted(other, token("first"), 20)) == {200}
            fetches = sim.count("/users/")
            for i in range(300):
                assert deliver(sim, one, type="session.ended", id=f"sess_old_{mpm}_{i}").status == 200
            assert set(accepted(one, token("second"), 10)) == {200}
            assert one.logged("deliveries were missed")
            time.sleep(0.5)
            assert set(accepted(one, token("third"), 10) + accepted(other, token("third"), 10)) == {200}
            assert sim.count("/users/") == fetches, "the user of the shared cache is used"
    finally:
        for apache in servers:
            apache.close()


def cases(sim):
    name = "process_that_missed_deliveries_clears_its_own_caches_only"
    yield f"shared cache: {name}", lambda: process_that_missed_deliveries_clears_its_own_caches_only(sim, "event")
    for mpm in MPMS:
        name = "revocation_without_the_engine_is_applied_by_all_processes"
        yield f"{mpm}: shared cache: {name}", lambda mpm=mpm: revocation_without_the_engine_is_applied_by_all_processes(sim, mpm)
        yield f"{mpm}: shared cache: revocation_is_applied_by_another_server", lambda mpm=mpm: revocation_is_applied_by_another_server(sim, mpm)
