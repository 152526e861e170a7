"""User sync, webhooks, shared memory of the workers, statistics."""

import base64
import os
import signal
import socket
import sqlite3
import time

import exposition
from harness import WEBHOOK_SECRET, equal, raw, request, statuses, together, wait_until


def users(f):
    with sqlite3.connect(f.directory / "store/users.db") as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("select * from clerk_user")]


def server(f, workers=2, inside="", store=True, http="", **options):
    store_directory = f.directory / "store"
    store_directory.mkdir(exist_ok=True)
    os.chmod(store_directory, 0o777)
    user_store = f"clerk_auth_user_store sqlite:{store_directory}/users.db;" if store else "clerk_auth_fetch_user on;"
    return f.nginx(f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET}; {http}
        server {{ listen 127.0.0.1:@port@ reuseport;
        location / {{ clerk_auth on; {user_store} clerk_auth_pass_headers on; {inside}
                      proxy_set_header V "$clerk_local_user_id|$clerk_email|$pid"; {f.proxy()} }}
        location = /webhook {{ clerk_auth_webhook; {user_store} }}
        location = /status {{ clerk_auth_status; }}
        location = /metrics {{ clerk_auth_status prometheus; }} }}""", workers=workers, **options)


def deliver(n, delivery, **options):
    return request(n.port, "/webhook", method="POST", headers=list(delivery["headers"].items()),
                   body=delivery["body"].encode(), **options)


def each_worker(f, n, token, tries=60):
    """The status from each worker: the kernel distributes connections."""
    found = {}
    for _ in range(tries):
        response = request(n.port, token=token)
        if response.status == 200:
            found.setdefault(response.passed("V")[0].split("|")[2], set()).add(200)
        else:
            found.setdefault("rejected", set()).add(response.status)
    return found


def status(n):
    return {k: float(v) for k, v in (line.split() for line in request(n.port, "/status").body.decode().splitlines())}


def test_local_user_id_is_the_key_of_the_row(f):
    f.sim.user()
    n = server(f, user="www-data")
    token = f.sim.mint()
    for _ in range(2):
        response = request(n.port, token=token)
        equal(response.status, 200)
        row = users(f)[0]
        equal(response.passed("V")[0].split("|")[:2], [str(row["id"]), "user_1@example.com"])
        equal(response.passed("X-Clerk-Local-User-Id"), [str(row["id"])])
    equal(len(users(f)), 1)
    equal(statuses(together(16, lambda i: request(n.port, token=f.sim.mint(user="user_1", sid=f"sess_{i}")))), {200: 16})
    equal(len(users(f)), 1)


def test_first_sign_ins_that_wait_for_a_thread_share_one_fetch(f):
    f.sim.user()
    f.sim.user("user_2")
    n = server(f, workers=1, main="thread_pool default threads=16;")
    equal(request(n.port, token=f.sim.mint(user="user_2")).status, 200)
    f.sim.faults({"path": "/users/*", "delay_ms": 20})
    tokens = [f.sim.mint(sid=f"sess_{i}") for i in range(64)]
    fetches = lambda: sum(count for path, count in f.sim.counts().items() if "/users/" in path)
    before = fetches()
    equal(statuses(together(64, lambda i: request(n.port, token=tokens[i]))), {200: 64})
    equal(fetches() - before, 1)
    equal(len(users(f)), 2)


def test_requests_that_wait_for_a_thread_end_within_twice_the_timeout(f):
    names = [f"user_{i}" for i in range(20)]
    for name in ["user_1", *names]:
        f.sim.user(name)
    n = server(f, workers=1, main="thread_pool default threads=2;", http="clerk_auth_timeout 1s;")
    equal(request(n.port, token=f.sim.mint()).status, 200)
    tokens = [f.sim.mint(user=name, sid=f"sess_{name}") for name in names[2:]]

    def timed(i):
        begun = time.monotonic()
        response = request(n.port, token=tokens[i])
        return response.status, response.get("Retry-After"), time.monotonic() - begun

    with sqlite3.connect(f.directory / "store/users.db", isolation_level=None) as lock:
        lock.execute("begin exclusive")
        results = together(len(tokens), timed)
        lock.execute("rollback")
    equal({result[:2] for result in results}, {(503, "1")})
    longest = max(seconds for _, _, seconds in results)
    print(f"     the longest took {longest:.2f} s")
    assert longest < 2.3, longest
    equal(request(n.port, token=tokens[0]).status, 200)


def test_request_whose_client_has_gone_uses_no_thread(f):
    names = [f"user_{i}" for i in range(8)]
    for name in names:
        f.sim.user(name)
    n = server(f, workers=1, store=False, main="thread_pool default threads=1;", http="clerk_auth_timeout 10s;")
    equal(request(n.port, token=f.sim.mint(user="user_0")).status, 200)
    f.sim.faults({"path": "/users/*", "delay_ms": 500})
    fetches = lambda: sum(count for path, count in f.sim.counts().items() if "/users/" in path)
    before = fetches()
    gone = []
    for name in names[1:7]:
        gone.append(socket.create_connection(("127.0.0.1", n.port)))
        gone[-1].sendall(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {f.sim.mint(user=name)}\r\n\r\n".encode())
    wait_until(lambda: fetches() > before, what="the first of them has the thread")
    for connection in gone:
        connection.close()
    begun = time.monotonic()
    equal(request(n.port, token=f.sim.mint(user="user_7")).status, 200)
    took = time.monotonic() - begun
    assert took < 1.5, f"{took:.1f} s"
    equal(fetches() - before, 2, "the first, and the one whose client waits")


def test_row_that_the_application_deactivated_is_403(f):
    f.sim.user()
    n = server(f, inside="clerk_auth_setting row_check_ttl_s 0;")
    token = f.sim.mint()
    equal(request(n.port, token=token).status, 200)
    with sqlite3.connect(f.directory / "store/users.db") as db:
        db.execute("update clerk_user set is_active = 0")
    response = request(n.port, token=token)
    equal(response.status, 403)
    assert 'error="insufficient_scope", error_description="user-inactive"' in response.get("WWW-Authenticate")


def test_store_that_cannot_be_opened_is_503_and_heals(f):
    f.sim.user()
    n = server(f, workers=1)
    n.stop()
    (f.directory / "store").rename(f.directory / "elsewhere")
    n.start()
    response = request(n.port, token=f.sim.mint())
    equal((response.status, response.get("Retry-After")), (503, "1"))
    assert "no client" in n.log()
    (f.directory / "elsewhere").rename(f.directory / "store")
    wait_until(lambda: request(n.port, token=f.sim.mint()).status == 200, seconds=15, what="the store is opened")


def test_ended_session_is_rejected_by_all_workers_within_a_second(f):
    f.sim.user()
    for store in (False, True):
        n = server(f, workers=4, store=store)
        token = f.sim.mint(sid=f"sess_{store}", exp_in=300)
        wait_until(lambda: len(each_worker(f, n, token)) >= 3, what="several workers have it in their caches")
        response = deliver(n, f.sim.webhook("session.revoked", f"sess_{store}",
                                            data={"id": f"sess_{store}", "user_id": "user_1", "status": "revoked"}))
        equal(response.status, 200)
        time.sleep(1)
        equal(each_worker(f, n, token), {"rejected": {401}})
        equal(request(n.port, token=f.sim.mint(sid="sess_other")).status, 200)
        n.reload()
        equal(each_worker(f, n, token), {"rejected": {401}}, "after a reload")


def test_killed_worker_is_replaced_by_one_that_knows_the_revocations(f):
    n = server(f, workers=2, store=False)
    n.allow = "exited on signal 9"
    f.sim.user()
    token = f.sim.mint(sid="sess_k", exp_in=300)
    equal(request(n.port, token=token).status, 200)
    d = f.sim.webhook("session.revoked", "sess_k", data={"id": "sess_k", "user_id": "user_1"})
    equal(deliver(n, d).status, 200)
    before = n.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: pid not in n.worker_pids() and len(n.worker_pids()) == 2, what="a new worker")
    time.sleep(0.5)
    equal(each_worker(f, n, token), {"rejected": {401}})
    wait_until(lambda: status(n)["workers"] == 2, what="both workers are counted")


def revoke(f, n, session, **spec):
    d = f.sim.webhook("session.revoked", session, data={"id": session, "user_id": "user_1", "status": "revoked"}, **spec)
    return deliver(n, d).status


def test_revocation_outlives_its_signature_and_reloads(f):
    n = server(f, workers=2, store=False)
    f.sim.user()
    token = f.sim.mint(sid="sess_old", exp_in=600)
    equal(request(n.port, token=token).status, 200)
    # Signatures are valid for five minutes, and this one is almost as old.
    equal(revoke(f, n, "sess_old", timestamp=int(time.time()) - 296), 200)
    time.sleep(6)
    for _ in range(2):
        n.reload()
        equal(each_worker(f, n, token), {"rejected": {401}}, "after a reload")
    equal(request(n.port, token=f.sim.mint(sid="sess_new")).status, 200)


def test_revocation_outlives_a_changed_size_or_name_of_the_zone(f):
    n = server(f, workers=2, store=False)
    f.sim.user()
    token = f.sim.mint(sid="sess_old", exp_in=600)
    equal(revoke(f, n, "sess_old"), 200)
    text = n.conf.read_text()
    for zone in ("clerk:2m", "other:2m", "other:1m", "clerk:8m"):
        n.conf.write_text(text.replace("clerk_auth_zone clerk:1m", f"clerk_auth_zone {zone}"))
        n.reload()
        equal(each_worker(f, n, token), {"rejected": {401}}, zone)
    equal(revoke(f, n, "sess_new"), 200)
    time.sleep(1)
    equal(each_worker(f, n, f.sim.mint(sid="sess_new")), {"rejected": {401}})


def test_webhook_that_cannot_be_handled_now_is_503_with_retry_after(f):
    n = server(f, workers=1)
    (f.directory / "store/users.db").unlink(missing_ok=True)
    (f.directory / "store/users.db").mkdir()
    d = f.sim.webhook("session.revoked", "sess_1", data={"id": "sess_1", "user_id": "user_1"})
    n.reload()
    response = deliver(n, d)
    equal((response.status, response.all("Retry-After")), (503, ["1"]))
    (f.directory / "store/users.db").rmdir()


def test_revocations_follow_the_rotation_of_the_secret(f):
    first, second, other = WEBHOOK_SECRET, "whsec_c2Vjb25kLXNlY3JldC1zZWNvbmQtc2VjcmV0", "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="
    block = f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret SECRETS;
        server {{ listen 127.0.0.1:@port@; location = /webhook {{ clerk_auth_webhook; }}
        location / {{ clerk_auth on; {f.proxy()} }} }}"""
    n = f.nginx(block.replace("SECRETS", first))
    token = f.sim.mint(sid="sess_rotated", exp_in=600)
    equal(revoke(f, n, "sess_rotated"), 200)

    def change(secrets):
        text = n.conf.read_text()
        n.conf.write_text(text[:text.index("clerk_auth_webhook_secret")] + f"clerk_auth_webhook_secret {secrets};"
                          + text[text.index("\n", text.index("clerk_auth_webhook_secret")):])
        n.reload()
        return request(n.port, token=token).status

    equal(change(f"{first} {second}"), 401)
    equal(change(second), 401)
    # Another instance's sessions are not affected.
    equal(change(other), 200)


def test_zone_too_small_for_the_revocations_rejects_older_tokens(f):
    # Each secret has its own copy of the revocations.
    secrets = " ".join(f"whsec_{base64.b64encode(bytes([i]) * 24).decode()}" for i in range(24))
    n = f.nginx(f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET} {secrets};
        server {{ listen 127.0.0.1:@port@; location = /webhook {{ clerk_auth_webhook; }}
        location / {{ clerk_auth on; {f.proxy()} }} }}""")
    older, i = f.sim.mint(exp_in=900), 0
    while "is too small for all revocations" not in n.log():
        equal(revoke(f, n, f"sess_{'x' * 110}{i}"), 200)
        i += 1
        assert i < 400, "the zone is not full"
    equal(request(n.port, token=older).status, 200, "this worker knows all of them")
    time.sleep(1)
    n.reload()
    equal(request(n.port, token=older).status, 401)
    time.sleep(6)
    equal(request(n.port, token=f.sim.mint()).status, 200, "issued later; Clerk's clock may be five seconds ahead")


def test_banned_user_is_rejected_by_all_workers_within_a_second(f):
    f.sim.user()
    n = server(f, workers=4)
    token = f.sim.mint(exp_in=300)
    wait_until(lambda: len(each_worker(f, n, token)) >= 3, what="several workers have it in their caches")
    f.sim.admin("PATCH", "/users/user_1", {"banned": True})
    equal(deliver(n, f.sim.webhook("user.updated", "user_1")).status, 200)
    time.sleep(1)
    equal(each_worker(f, n, token), {"rejected": {403}})
    equal(users(f)[0]["is_active"], 0)
    n.reload()
    equal(each_worker(f, n, token), {"rejected": {403}})


def test_deleted_user_is_rejected_and_updates_reach_the_row(f):
    f.sim.user()
    n = server(f, workers=2)
    token = f.sim.mint(exp_in=300)
    equal(request(n.port, token=token).status, 200)
    f.sim.admin("PATCH", "/users/user_1", {"first_name": "Grace"})
    equal(deliver(n, f.sim.webhook("user.updated", "user_1")).status, 200)
    equal(users(f)[0]["first_name"], "Grace")
    f.sim.admin("DELETE", "/users/user_1")
    equal(deliver(n, f.sim.webhook("user.deleted", "user_1")).status, 200)
    time.sleep(1)
    found = each_worker(f, n, token)
    assert set(found) == {"rejected"} and found["rejected"] <= {401, 403}, found


def test_locations_with_other_settings_learn_of_it_too(f):
    f.sim.user()
    n = f.nginx(f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET};
        server {{ listen 127.0.0.1:@port@; location = /webhook {{ clerk_auth_webhook; }}
        location /a {{ clerk_auth on; {f.proxy()} }}
        location /b {{ clerk_auth on; clerk_auth_audience api; {f.proxy()} }} }}""", workers=2)
    token = f.sim.mint(sid="sess_x", aud="api", exp_in=300)
    equal([request(n.port, p, token=token).status for p in ("/a", "/b")], [200, 200])
    equal(deliver(n, f.sim.webhook("session.ended", "sess_x", data={"id": "sess_x", "user_id": "user_1"})).status, 200)
    time.sleep(1)
    for _ in range(10):
        equal([request(n.port, p, token=token).status for p in ("/a", "/b")], [401, 401])


def test_deliveries_that_are_not_clerks_are_400(f):
    f.sim.user()
    n = server(f, inside="")
    good = f.sim.webhook("session.revoked", "sess_1", data={"id": "sess_1", "user_id": "user_1"})
    token = f.sim.mint(sid="sess_1")
    equal(request(n.port, token=token).status, 200)
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", bad_signature=True)).status, 400)
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", timestamp=int(time.time()) - 3600)).status, 400)
    equal(deliver(n, {**good, "body": good["body"] + " "}).status, 400)
    equal(request(n.port, "/webhook", method="POST", body=b"{}").status, 400)
    headers = list(good["headers"].items())
    equal(request(n.port, "/webhook", method="POST", headers=[*headers, ("svix-id", good["headers"]["svix-id"])], body=good["body"].encode()).status, 400)
    equal(request(n.port, "/webhook", headers=headers).status, 405)
    equal(request(n.port, "/webhook", method="POST", headers=headers, body=b"x" * 300_000).status, 413)
    equal(request(n.port, token=token).status, 200)
    equal(deliver(n, good).status, 200)
    equal(deliver(n, good).status, 200)
    time.sleep(1)
    equal(request(n.port, token=token).status, 401)


def test_delivery_in_pieces_chunked_and_from_a_temporary_file(f):
    f.sim.user()
    n = server(f, workers=1, http="client_body_buffer_size 128; client_body_in_file_only on;")
    for i, framing in enumerate(("length", "chunked")):
        d = f.sim.webhook("session.revoked", f"sess_{i}", data={"id": f"sess_{i}", "user_id": "user_1"})
        head = "".join(f"{k}: {v}\r\n" for k, v in d["headers"].items())
        body = d["body"].encode()
        if framing == "chunked":
            framed = b"".join(b"%x\r\n%s\r\n" % (len(body[j:j + 50]), body[j:j + 50]) for j in range(0, len(body), 50)) + b"0\r\n\r\n"
            head += "Transfer-Encoding: chunked\r\n"
        else:
            framed, head = body, head + f"Content-Length: {len(body)}\r\n"
        answer = raw(n.port, f"POST /webhook HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n".encode() + framed)
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        equal(request(n.port, token=f.sim.mint(sid=f"sess_{i}")).status, 401)


def test_protection_of_the_server_does_not_reject_webhooks(f):
    n = f.nginx(f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET};
        server {{ listen 127.0.0.1:@port@; clerk_auth on; location = /webhook {{ clerk_auth_webhook; }} }}""")
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", data={"id": "sess_1", "user_id": "user_1"})).status, 200)
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", bad_signature=True)).status, 400)


def test_variables_in_the_log_of_a_webhook_location_are_empty(f):
    n = f.nginx(f"""log_format clerk "$status =$clerk_status$clerk_user_id$clerk_claim_sub"; {f.keys()}
        clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET};
        server {{ listen 127.0.0.1:@port@; access_log {f.directory}/clerk.log clerk; clerk_auth on;
        location = /webhook {{ clerk_auth_webhook; }} }}""")
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", data={"id": "sess_1", "user_id": "user_1"})).status, 200)
    equal(deliver(n, f.sim.webhook("session.revoked", "sess_1", bad_signature=True)).status, 400)
    n.stop()
    equal((f.directory / "clerk.log").read_text(), "200 =---\n400 =---\n")


def test_many_deliveries_wrap_the_ring_and_all_arrive(f):
    n = f.nginx(f"""{f.keys()} clerk_auth_zone clerk:1m; clerk_auth_webhook_secret {WEBHOOK_SECRET};
        server {{ listen 127.0.0.1:@port@; location = /webhook {{ clerk_auth_webhook; }}
        location / {{ clerk_auth on; {f.proxy()} }} }}""", workers=2)
    pad = "x" * 12_000
    last = 0
    for i in range(120):
        d = f.sim.webhook("session.revoked", f"sess_{i}", data={"id": f"sess_{i}", "user_id": "user_1", "pad": pad})
        equal(deliver(n, d).status, 200)
        if i % 20 == 19:
            time.sleep(0.6)
            for j in range(last, i + 1, 5):
                token = f.sim.mint(sid=f"sess_{j}")
                equal({request(n.port, token=token).status for _ in range(8)}, {401}, str(j))
            last = i
    equal(request(n.port, token=f.sim.mint(sid="sess_free")).status, 200)


def test_largest_delivery_reaches_all_workers(f):
    n = server(f, workers=4, store=False)
    token = f.sim.mint(sid="sess_big", exp_in=300)
    d = f.sim.webhook("session.revoked", "sess_big", data={"id": "sess_big", "user_id": "user_1", "pad": "x" * 250_000})
    equal(deliver(n, d).status, 200)
    time.sleep(1)
    equal(each_worker(f, n, token), {"rejected": {401}})


def test_statistics_add_up_over_workers_and_survive_reload(f):
    f.sim.user()
    n = server(f, workers=2, store=False)
    token = f.sim.mint()
    for _ in range(20):
        request(n.port, token=token)
    for _ in range(5):
        request(n.port, token=f.sim.mint(spoil="expired"))
    request(n.port, method="POST", cookie=token, body=b"x")
    wait_until(lambda: status(n)["csrf_rejected"] == 1 and status(n)["signed_out"] == 6, what="numbers add up")
    found = status(n)
    equal((found["workers"], found["cache_hits"] + found["signed_in"]), (2, 20))
    assert 1 <= found["offloaded"] <= 4, found
    n.reload()
    wait_until(lambda: status(n)["workers"] == 2, what="old workers are gone")
    after = status(n)
    for name in ("cache_hits", "signed_in", "signed_out", "csrf_rejected", "offloaded"):
        assert after[name] >= found[name], (name, after, found)


def test_metrics_follow_the_prometheus_text_format(f):
    n = server(f, store=False)
    request(n.port)
    wait_until(lambda: status(n)["no_credentials"] == 1, what="the worker's count")
    response = request(n.port, "/metrics")
    equal(response.get("Content-Type"), "text/plain; version=0.0.4")
    values = exposition.check(response.body.decode())
    equal(values["clerk_auth_no_credentials_total"], 1)
    equal(values["clerk_auth_workers"], status(n)["workers"])
    equal(values['clerk_auth_clerk_calls_total{endpoint="users",status="success"}'], 0)
    equal(request(n.port, "/metrics", method="POST", body=b"").status, 405)


def test_status_without_a_zone_counts_this_worker(f):
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; location = /status {{ clerk_auth_status; }}
        location / {{ clerk_auth on; {f.proxy()} }} }}""")
    request(n.port, token=f.sim.mint())
    equal((status(n)["workers"], status(n)["signed_in"]), (1, 1))
