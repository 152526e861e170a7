"""Webhook deliveries reach every process; the status handler counts for all of them."""

import concurrent.futures
import re
import shutil
import sqlite3
import time

import exposition
import harness

MPMS = ("event", "worker", "prefork")


def body(sim, more=""):
    return f"""
ClerkSecretKey sk_test_x
ClerkAPIURL {sim.url}
ClerkWebhookSecret {harness.WEBHOOK_SECRET}
{more}
<Location />
  AuthType Clerk
  Require valid-user
</Location>
<Location /webhooks/clerk>
  AuthType None
  Require all granted
  SetHandler clerk-webhook
</Location>
<Location /clerk-status>
  AuthType None
  Require ip 127.0.0.1
  SetHandler clerk-status
</Location>"""


def with_apache(sim, mpm, check, more="", **options):
    apache = harness.Apache(mpm, "", log_level="info auth_clerk:debug", **{"children": 4, "threads": 4, **options})
    started = min(2, apache.children)
    apache.body = body(sim, more(apache) if callable(more) else more)
    try:
        apache.start()
        harness.wait_until(lambda: len(apache.children_pids()) >= started, what="children")
        check(apache)
        assert apache.stop() == 0
        assert not apache.complaints(), apache.complaints()
    finally:
        apache.close()


def deliver(sim, apache, **event):
    headers, payload = sim.webhook(**event)
    return apache.request("/webhooks/clerk", headers=headers, method="POST", body=payload)


def accepted(apache, token, times=40):
    return [apache.request("/", token=token).status for _ in range(times)]


def ended_session_is_rejected_by_every_process(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_1"
        token, other = sim.mint(sid=sid), sim.mint(sid=f"sess_{mpm}_2")
        assert set(accepted(apache, token)) == {200}
        response = deliver(sim, apache, type="session.ended", id=sid)
        assert response.status == 200 and response.body == b"ok\n", response
        since = len(apache.error_log)
        assert set(accepted(apache, token)) == {401}, "at once, in all processes"
        refusing = set(re.findall(r"pid (\d+).*rejected: session-revoked", apache.error_log[since:]))
        assert len(refusing) >= 2, apache.error_log[since:]
        assert set(accepted(apache, other)) == {200}, "other sessions go on"

    with_apache(sim, mpm, check)


def deleted_user_is_rejected_by_every_process(sim, mpm):
    def check(apache):
        user = f"user_{mpm}_gone"
        token = sim.mint(user=user)
        assert set(accepted(apache, token)) == {200}
        assert deliver(sim, apache, type="user.deleted", id=user).status == 200
        assert 200 not in accepted(apache, token)

    with_apache(sim, mpm, check)


def revocation_survives_reload(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_reload"
        token = sim.mint(sid=sid)
        assert apache.request("/", token=token).status == 200
        assert deliver(sim, apache, type="session.ended", id=sid).status == 200
        for _ in range(2):
            apache.graceful()
            assert set(accepted(apache, token, 20)) == {401}
        assert deliver(sim, apache, type="session.ended", id=sid + "_x").status == 200

    with_apache(sim, mpm, check)


def revocation_outlives_its_signature_and_reloads(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_old"
        token = sim.mint(sid=sid, exp_in=600)
        # Signatures are valid for five minutes, and this one is almost as old.
        assert deliver(sim, apache, type="session.ended", id=sid, timestamp=int(time.time()) - 296).status == 200
        time.sleep(6)
        for _ in range(2):
            apache.graceful()
            assert set(accepted(apache, token, 20)) == {401}
        assert set(accepted(apache, sim.mint(sid=sid + "_new"), 20)) == {200}

    with_apache(sim, mpm, check)


def revocations_follow_the_rotation_of_the_secret(sim, mpm):
    second, other = "whsec_c2Vjb25kLXNlY3JldC1zZWNvbmQtc2VjcmV0", "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="

    def check(apache):
        sid = f"sess_{mpm}_rotated"
        token = sim.mint(sid=sid, exp_in=600)
        assert deliver(sim, apache, type="session.ended", id=sid).status == 200
        for secrets, status in ((f"{harness.WEBHOOK_SECRET} {second}", 401), (second, 401), (other, 200)):
            apache.write_config(re.sub("ClerkWebhookSecret .*", f"ClerkWebhookSecret {secrets}", apache.body))
            apache.graceful()
            harness.wait_until(lambda: set(accepted(apache, token, 10)) == {status}, 5, f"{status} with {secrets}")

    with_apache(sim, mpm, check)


def cache_too_small_for_the_revocations_rejects_older_tokens(sim, mpm):
    def check(apache):
        older, i = sim.mint(exp_in=900), 0
        while "too small for all revocations" not in apache.error_log:
            assert deliver(sim, apache, type="session.ended", id=f"sess_{'x' * 110}{i}").status == 200
            i += 1
            assert i < 2000, "the cache is not full"
        apache.graceful()
        harness.wait_until(lambda: set(accepted(apache, older, 10)) == {401}, 5, "rejected")
        time.sleep(6)
        assert apache.request("/", token=sim.mint()).status == 200, "issued later; Clerk's clock may be five seconds ahead"

    with_apache(sim, mpm, check, more="ClerkSOCache shmcb:run/small(65536)", children=1)


def revocation_reaches_processes_that_start_later(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_late"
        token = sim.mint(sid=sid)
        assert deliver(sim, apache, type="session.ended", id=sid).status == 200
        before = set(apache.children_pids())
        for _ in range(200):
            assert apache.request("/", token=token).status == 401
            if not before & set(apache.children_pids()):
                break
        else:
            raise AssertionError("no process was replaced")
        assert set(accepted(apache, token, 20)) == {401}

    with_apache(sim, mpm, check, more="MaxConnectionsPerChild 10", children=2)


def delivery_that_is_not_clerks_is_400_and_changes_nothing(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_forged"
        token = sim.mint(sid=sid)
        for event in ({"bad_signature": True}, {"secret": "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="}, {"timestamp": int(time.time()) - 3600}):
            response = deliver(sim, apache, type="session.ended", id=sid, **event)
            assert response.status == 400, (event, response)
        headers, payload = sim.webhook(type="session.ended", id=sid)
        assert apache.request("/webhooks/clerk", headers=[], method="POST", body=payload).status == 400
        assert apache.request("/webhooks/clerk", headers=headers, method="POST", body=payload[:-1] + b" ").status == 400
        assert apache.request("/webhooks/clerk", headers=headers, method="POST", body=b"").status == 400
        assert apache.request("/webhooks/clerk").status == 405
        assert apache.request("/webhooks/clerk", headers=headers, method="POST", body=b"x" * (129 * 1024)).status == 413
        assert set(accepted(apache, token, 20)) == {200}
        assert deliver(sim, apache, type="email.created", data={"id": "ema_1", "object": "email"}).status == 200

    with_apache(sim, mpm, check)


def large_deliveries_are_carried_whole(sim, mpm):
    def check(apache):
        sid = f"sess_{mpm}_large"
        token = sim.mint(sid=sid)
        for i in range(12):
            data = {"id": f"user_large_{i}", "object": "user", "public_metadata": {"x": "y" * 60000}}
            assert deliver(sim, apache, type="user.updated", data=data).status == 200, apache.error_log[-2000:]
        assert deliver(sim, apache, type="session.ended", id=sid).status == 200
        assert set(accepted(apache, token)) == {401}

    with_apache(sim, mpm, check)


def missed_deliveries_drop_cached_results(sim, mpm):
    def check(apache):
        token = sim.mint()
        assert set(accepted(apache, token)) == {200}
        # More than fits into the small cache, each received by any process, while the others are idle.
        for i in range(20):
            data = {"id": f"user_missed_{i}", "object": "user", "public_metadata": {"x": "y" * 20000}}
            assert deliver(sim, apache, type="user.updated", data=data).status == 200
        assert set(accepted(apache, token)) == {200}
        apache.logged("webhook deliveries were missed; the cached results of this process are removed")

    with_apache(sim, mpm, check, more="ClerkSOCache shmcb:run/small(65536)")


def locked_user_table_holds_no_request_past_its_timeout(sim, mpm):
    user = {"id": "user_lock", "object": "user", "username": "lock", "email_addresses": []}
    sim.admin("PUT", "/users/user_lock", {"username": "lock"})

    def more(apache):
        # With a table of the application it has a rollback journal: nothing is read while another program commits.
        path = apache.data / "users.db"
        with sqlite3.connect(path) as db:
            db.execute("create table own (x)")
        if apache.data.owner() != path.owner():
            shutil.chown(path, apache.data.owner(), apache.data.group())
        return "ClerkUserStore sqlite:data/users.db\nClerkSetting row_check_ttl_s 0\nClerkTimeout 1"

    def check(apache):
        token = sim.mint(user="user_lock")
        assert set(accepted(apache, token)) == {200}
        newer = int(time.time() * 1000)
        for i in range(8):
            data = {**user, "first_name": f"Ada {i}", "updated_at": newer + i}
            assert deliver(sim, apache, type="user.updated", data=data).status == 200, apache.error_log[-2000:]
        other = sqlite3.connect(apache.data / "users.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")

        def ask(_):
            began = time.monotonic()
            return apache.request("/", token=token, timeout=30).status, time.monotonic() - began

        try:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                asked = list(pool.map(ask, range(16)))
        finally:
            other.close()
        assert {status for status, _ in asked} == {503}, asked
        assert max(took for _, took in asked) < 2.5, asked
        assert set(accepted(apache, token)) == {200}

    with_apache(sim, mpm, check, more=more)


def status_counts_for_all_processes(sim, mpm):
    def check(apache):
        def numbers():
            lines = apache.request("/clerk-status").body.decode().splitlines()
            assert lines[0].startswith("clerk-auth "), lines
            return {name: float(value) for name, value in (line.split() for line in lines[1:])}

        assert set(accepted(apache, sim.mint(), 60)) == {200}
        for _ in range(20):
            apache.request("/", token="garbage")
        harness.wait_until(lambda: numbers()["cache_hits"] + numbers()["cache_misses"] >= 60, what="counts")

        def settled():
            apache.request("/", token="garbage")
            time.sleep(0.11)
            seen = numbers()
            return seen["signed_in"] + seen["cache_hits"] >= 60 and seen["signed_out"] >= 20 and seen
        seen = harness.wait_until(settled, 20, "counts")
        assert seen["jwks_fetches"] >= 1 and seen["cached_tokens"] >= 1 and seen["jwks_age_seconds"] >= 0, seen
        before = seen["signed_in"]
        apache.graceful()
        assert numbers()["signed_in"] >= before, "a reload keeps the counts"
        harness.wait_until(lambda: numbers()["cached_tokens"] == 0, what="the old caches' end")
        text = apache.request("/clerk-status?format=prometheus")
        assert text.get("Content-Type").startswith("text/plain; version=0.0.4"), text
        values = exposition.check(text.body.decode())
        assert values["clerk_auth_signed_in_total"] >= before, values
        assert values['clerk_auth_clerk_calls_total{endpoint="jwks",status="success"}'] >= 1, values
        assert apache.request("/clerk-status", method="POST", body=b"").status == 405

    with_apache(sim, mpm, check)


def webhook_without_socache_is_a_startup_error(sim):
    apache = harness.Apache("event", "", log_level="info")
    apache.body = body(sim)
    kept = list(harness.MODULES)
    harness.MODULES.remove("socache_shmcb")
    try:
        try:
            apache.start()
            raise SystemError("it has started")
        except AssertionError:
            pass
        assert "load mod_socache_shmcb" in apache.error_log + (apache.directory / "said.txt").read_text()
    finally:
        harness.MODULES[:] = kept
        apache.close()


def cases(sim):
    for mpm in MPMS:
        for case in (ended_session_is_rejected_by_every_process, deleted_user_is_rejected_by_every_process, revocation_survives_reload,
                     revocation_reaches_processes_that_start_later, delivery_that_is_not_clerks_is_400_and_changes_nothing,
                     revocation_outlives_its_signature_and_reloads, status_counts_for_all_processes):
            yield f"{mpm}: {case.__name__}", lambda case=case, mpm=mpm: case(sim, mpm)
    for case in (locked_user_table_holds_no_request_past_its_timeout, large_deliveries_are_carried_whole, missed_deliveries_drop_cached_results,
                 revocations_follow_the_rotation_of_the_secret, cache_too_small_for_the_revocations_rejects_older_tokens):
        yield case.__name__, lambda case=case: case(sim, "event")
    yield webhook_without_socache_is_a_startup_error.__name__, lambda: webhook_without_socache_is_a_startup_error(sim)
