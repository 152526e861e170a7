"""Requests that wait in threads: reload, quit, stop, aborts, a full queue, outages and slow responses of Clerk, helper processes, memory."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from harness import PRELOAD, Sim, equal, raw, request, statuses, together, wait_until

THREADS = "thread_pool default threads=8 max_queue=65536;"
COUNT = 64


def suspended(f, n, count=COUNT, delay_ms=300, path="/", prefix="user_"):
    """Starts `count` requests that each wait for Clerk; returns a function that joins them."""
    f.sim.faults({"path": "/users/*", "delay_ms": delay_ms})
    tokens = [f.sim.mint(user=f"{prefix}{i}") for i in range(count)]
    results = [None] * count

    def run(i):
        try:
            results[i] = request(n.port, path, token=tokens[i], timeout=30)
        except Exception as e:  # noqa: BLE001
            results[i] = e

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()

    def join(seconds=None):
        for thread in threads:
            thread.join(seconds)
        return list(results)

    return join


def slow_server(f, **options):
    for i in range(COUNT):
        f.sim.user(f"user_{i}")
    # Without nginx's own check for disconnected clients, proxy_pass shows what this module forwards.
    n = f.simple(location="clerk_auth_fetch_user on; proxy_ignore_client_abort on;", main=options.pop("main", THREADS),
                 server=f"location /free {{ {f.proxy()} }}", **options)
    f.sim.user("user_warm")
    request(n.port, token=f.sim.mint(user="user_warm"))
    f.application.seen.clear()
    return n


# In a process of its own: the threads of the waiting requests would delay it.
PROBE = """
import socket, sys, time
slowest = 0
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    for _ in range(250):
        begun = time.monotonic()
        s.sendall(b"HEAD /nothing-here HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
        assert b" 404 " in s.recv(4096)
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.004)
print(slowest)
"""


def test_unrelated_requests_are_not_delayed_by_suspended_ones(f):
    n = f.simple(location="clerk_auth_fetch_user on;", main=THREADS, server="location /nothing-here { }")
    slowest = []
    # A delay that the module causes is in every round. The machine delays processes, too, but not in all of them.
    for number in range(10):
        prefix = f"user_{number}_"
        for i in range(COUNT):
            f.sim.user(f"{prefix}{i}")
        join = suspended(f, n, prefix=prefix)
        time.sleep(0.3)
        probe = subprocess.run([sys.executable, "-c", PROBE, str(n.port)], capture_output=True, text=True, timeout=30, check=True)
        waiting = [result is None for result in join(0)]
        equal(statuses(join()), {200: COUNT})
        slowest.append(float(probe.stdout))
        if any(waiting) and slowest[-1] < 0.005:
            return
    raise AssertionError(slowest)


def test_reload_loses_no_suspended_request(f):
    n = slow_server(f)
    old = n.worker_pids()
    join = suspended(f, n)
    time.sleep(0.3)
    n.reload()
    results = join()
    equal(statuses(results), {200: COUNT})
    equal([r.passed("X-Clerk-User-Id") for r in results], [[f"user_{i}"] for i in range(COUNT)])
    equal(len(f.application.seen), COUNT)
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in old), what="the old worker leaves")
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_quit_answers_all_suspended_requests(f):
    n = slow_server(f)
    join = suspended(f, n)
    time.sleep(0.3)
    n.stop(signal.SIGQUIT)
    equal(statuses(join()), {200: COUNT})
    equal(len(f.application.seen), COUNT)


def test_stop_is_fast_and_forwards_nothing(f):
    n = slow_server(f, main="thread_pool default threads=4 max_queue=65536;")
    join = suspended(f, n, delay_ms=500)
    time.sleep(0.2)
    begun = time.monotonic()
    n.stop(signal.SIGTERM)
    took = time.monotonic() - begun
    seen = len(f.application.seen)
    assert took < 1.5, took
    join()
    assert seen <= 4, seen


def test_aborted_requests_reach_no_application(f):
    n = slow_server(f)
    f.sim.faults({"path": "/users/*", "delay_ms": 400})
    for kind in ("close", "reset", "half"):
        f.application.seen.clear()
        sockets = []
        tokens = [f.sim.mint(user=f"user_{i}", sid=f"sess_{kind}") for i in range(48)]
        for i, token in enumerate(tokens):
            s = socket.create_connection(("127.0.0.1", n.port))
            first, body = ("GET", "") if i % 2 else ("POST", "abc")
            s.sendall(f"{first} / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                      f"Authorization: Bearer {token}\r\n\r\n{body}".encode())
            sockets.append(s)
        time.sleep(0.1)
        for s in sockets:
            if kind == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            if kind == "half":
                s.shutdown(socket.SHUT_WR)
            else:
                s.close()
        # 48 fetches of 400 ms by 8 threads.
        time.sleep(3)
        equal(len(f.application.seen), 0, kind)
        for s in sockets:
            s.close()
        n.reload()
    f.sim.faults()
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_http2_aborts_reach_no_application_and_leak_nothing(f):
    for i in range(COUNT):
        f.sim.user(f"user_{i}")
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@ http2; location / {{ clerk_auth on;
        clerk_auth_fetch_user on; proxy_ignore_client_abort on; {f.proxy()} }} }}""", main=THREADS)
    f.sim.faults({"path": "/users/*", "delay_ms": 500})
    fds = lambda: len(os.listdir(f"/proc/{n.worker_pids()[0]}/fd"))
    curl = ["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", "-o", "/dev/null"]
    subprocess.run([*curl, f"http://127.0.0.1:{n.port}/", "-H", f"Authorization: Bearer {f.sim.mint(user='user_0')}"], check=True)
    before = fds()
    f.application.seen.clear()
    running = [subprocess.Popen([*curl, "-m", "0.2", f"http://127.0.0.1:{n.port}/", "-H",
                                 f"Authorization: Bearer {f.sim.mint(user=f'user_{i}', sid='sess_h2')}"],
                                stderr=subprocess.DEVNULL) for i in range(1, 21)]
    equal({p.wait() for p in running}, {28})
    time.sleep(1.5)
    equal(len(f.application.seen), 0)
    # Connections to Clerk may stay open in the library's pool.
    assert fds() <= before + 10, (before, fds())


def test_queue_full_is_503_with_retry_after(f):
    n = slow_server(f, main="thread_pool default threads=2 max_queue=4;")
    n.allow = r"queue overflow|clerk_auth"
    results = suspended(f, n, count=40)()
    found = statuses(results)
    equal(set(found), {200, 503})
    assert found[200] >= 6 and found[503] >= 10, found
    refused = next(r for r in results if r.status == 503)
    equal(refused.get("Retry-After"), "1")
    equal(len(f.application.seen), found[200])
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_overlapping_slow_key_fetches_all_finish_with_one_fetch(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 700})
    n = f.simple()
    equal(statuses(together(4, lambda i: request(n.port, token=f.sim.mint(user=f"user_{i}")))), {200: 4})
    equal(f.sim.jwks_fetches(), 1)


def test_clerk_down_is_503_within_the_timeout_and_recovers(f):
    n = f.simple(http="clerk_auth_timeout 700ms;")
    f.sim.admin("PUT", "/down", {"down": True})
    begun = time.monotonic()
    n.reload()
    equal(request(n.port, token=f.sim.mint()).status, 503)
    assert time.monotonic() - begun < 3
    f.sim.admin("PUT", "/down", {"down": False})
    wait_until(lambda: request(n.port, token=f.sim.mint()).status == 200, seconds=30, what="recovery")


def test_hanging_clerk_costs_no_more_than_the_timeout(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 20000})
    n = f.simple(http="clerk_auth_timeout 500ms;")
    begun = time.monotonic()
    results = together(16, lambda i: request(n.port, token=f.sim.mint()))
    equal(statuses(results), {503: 16})
    assert time.monotonic() - begun < 4


def test_warm_keys_outlive_an_outage(f):
    n = f.simple()
    equal(request(n.port, token=f.sim.mint()).status, 200)
    f.sim.admin("PUT", "/down", {"down": True})
    equal(request(n.port, token=f.sim.mint(user="user_2")).status, 200)


def test_key_rotation_is_followed(f):
    n = f.simple()
    equal(request(n.port, token=f.sim.mint()).status, 200)
    f.sim.admin("PUT", "/jwks", ["k1", "k2"])
    token = f.sim.mint(key="k2")
    wait_until(lambda: request(n.port, token=token).status == 200, seconds=15, what="the new key is fetched")
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_unknown_key_ids_cause_few_fetches(f):
    n = f.simple()
    request(n.port, token=f.sim.mint())
    before = f.sim.jwks_fetches()
    together(16, lambda i: [request(n.port, token=f.sim.mint(kid=f"ins_{i}_{j}")) for j in range(8)])
    assert f.sim.jwks_fetches() - before <= 3, f.sim.jwks_fetches() - before
    equal(request(n.port, token=f.sim.mint(user="user_3")).status, 200)


def test_master_and_helpers_make_no_client(f):
    cache = f.directory / "cache"
    cache.mkdir()
    n = f.simple(http=f"proxy_cache_path {cache} keys_zone=c:1m;", level="debug", workers=2)
    equal(request(n.port, token=f.sim.mint()).status, 200)
    # A process that creates a client warms it up in a thread; without threads there is no client.
    status = lambda pid: int(re.search(r"Threads:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])
    equal(status(n.process.pid), 1)
    children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(n.process.pid)], capture_output=True, text=True,
                              check=True).stdout
    helpers = [int(line.split()[0]) for line in children.splitlines() if "cache" in line]
    assert helpers
    equal([status(pid) for pid in helpers], [1] * len(helpers))
    n.reload()
    equal(status(n.process.pid), 1)
    # One key fetch per worker and generation at most: none by the master or a helper.
    assert f.sim.jwks_fetches() <= 4, f.sim.jwks_fetches()


def test_single_process_mode_works(f):
    n = f.simple(master=False)
    equal(request(n.port, token=f.sim.mint()).status, 200)
    equal(request(n.port).status, 401)


def test_bodies_pass_and_chunked_and_expect_work_while_suspended(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 300})
    n = f.simple(server="client_max_body_size 10m; client_body_buffer_size 16k;")
    response = request(n.port, token=f.sim.mint(), method="POST", body=b"x" * 5_000_000)
    equal((response.status, response.json()["length"]), (200, 5_000_000))
    chunks = b"".join(b"1000\r\n" + b"y" * 4096 + b"\r\n" for _ in range(50)) + b"0\r\n\r\n"
    head = (f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            f"Authorization: Bearer {f.sim.mint(user='user_2')}\r\n\r\n").encode()
    answer = raw(n.port, head + chunks)
    assert b"200 OK" in answer and b'"length": 204800' in answer, answer[:300]


def test_expect_continue_is_answered_after_verification(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 300})
    n = f.simple()

    def upload(authorization):
        with socket.create_connection(("127.0.0.1", n.port), timeout=10) as s:
            s.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n"
                      f"{authorization}\r\n".encode())
            answer = s.recv(4096)
            if not answer.startswith(b"HTTP/1.1 100"):
                return [answer.split()[1]]
            s.sendall(b"hello")
            while (chunk := s.recv(65536)):
                answer += chunk
            return re.findall(rb"HTTP/1\.1 (\d+)", answer)

    equal(upload(f"Authorization: Bearer {f.sim.mint()}\r\n"), [b"100", b"200"])
    equal(upload(""), [b"401"])


def test_reloads_do_not_grow_the_master(f):
    n = f.simple()
    resident = lambda: int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{n.process.pid}/status").read_text())[1])
    for _ in range(5):
        n.reload()
    before = resident()
    for _ in range(20):
        n.reload()
    assert resident() - before < (65536 if PRELOAD else 512), (before, resident())
    equal(request(n.port, token=f.sim.mint()).status, 200)


def test_http2_upload_while_suspended(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 300})
    body = f.directory / "body"
    body.write_bytes(b"z" * 1_000_000)
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@ http2; client_max_body_size 10m;
        location / {{ clerk_auth on; {f.proxy()} }} }}""")
    said = subprocess.run(["curl", "-sS", "--noproxy", "*", "--http2-prior-knowledge", f"http://127.0.0.1:{n.port}/",
                           "-H", f"Authorization: Bearer {f.sim.mint()}", "--data-binary", f"@{body}"],
                          capture_output=True, check=True).stdout
    assert b'"length": 1000000' in said, said[:300]


def test_pipelined_requests_wait_for_each_other(f):
    f.sim.faults({"path": "/jwks", "delay_ms": 300})
    n = f.simple()
    token = f.sim.mint()
    one = f"GET /%d HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    data = "".join(one % i + "\r\n" for i in range(4)) + one % 4 + "Connection: close\r\n\r\n"
    answer = raw(n.port, data.encode())
    equal(re.findall(rb'"target": "/(\d)"', answer), [b"0", b"1", b"2", b"3", b"4"])


def test_slow_client_and_cut_off_headers_are_harmless(f):
    n = f.simple()
    token = f.sim.mint()
    with socket.create_connection(("127.0.0.1", n.port), timeout=10) as s:
        data = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        for i in range(0, len(data), 37):
            s.sendall(data[i:i + 37])
            time.sleep(0.005)
        equal(s.recv(12), b"HTTP/1.1 200")
    for cut in (10, 60, 200):
        with socket.create_connection(("127.0.0.1", n.port)) as s:
            s.sendall(data[:cut])
    equal(request(n.port, token=token).status, 200)


def test_memory_is_steady_over_100000_requests(f):
    n = f.nginx(f"""{f.keys()} access_log off; server {{ listen 127.0.0.1:@port@; keepalive_requests 1000000;
        location / {{ clerk_auth on; empty_gif; }} }}""", level="warn")
    resident = lambda: int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{n.worker_pids()[0]}/status").read_text())[1])
    good, bad = f.sim.mint(exp_in=600), f.sim.mint(spoil="expired")

    def load(count):
        lines = "".join(f"GET / HTTP/1.1\r\nHost: x\r\n{auth}\r\n" for auth in
                        (f"Authorization: Bearer {good}\r\n", f"Cookie: __session={good}\r\n",
                         f"Authorization: Bearer {bad}\r\n", "", "Authorization: Bearer x\r\n")).encode()
        with socket.create_connection(("127.0.0.1", n.port), timeout=30) as s:
            answered = 0
            for _ in range(count // 50):
                s.sendall(lines * 10)
                end = 50
                while end > 0:
                    end -= s.recv(1 << 20).count(b"HTTP/1.1 ")
                answered += 50
        return answered

    load(10_000)
    before = resident()
    equal(load(100_000), 100_000)
    # AddressSanitizer quarantines freed memory.
    assert resident() - before < (65536 if PRELOAD else 1024), (before, resident())


def test_tls_of_nginx_and_of_the_library_work_in_one_process(f):
    """nginx serves with OpenSSL while the module fetches keys with rustls."""
    certificate, key, ca = (f.directory / name for name in ("cert.pem", "key.pem", "ca.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-subj", "/CN=127.0.0.1", "-days", "1"], check=True, capture_output=True)
    sim = Sim("--https", "--ca-file", str(ca))
    try:
        n = f.nginx(f"""clerk_auth_secret_key sk_test_x; clerk_auth_api_url {sim.https_url};
            clerk_auth_setting ca_pem file:{ca}; server {{ listen 127.0.0.1:@port@ ssl http2;
            ssl_certificate {certificate}; ssl_certificate_key {key};
            location / {{ clerk_auth on; clerk_auth_pass_headers on; {f.proxy()} }} }}""")
        token = sim.mint()

        def get(i):
            return subprocess.run(["curl", "-sS", "-k", "--noproxy", "*", f"https://127.0.0.1:{n.port}/", "-H",
                                   f"Authorization: Bearer {token}"], capture_output=True, text=True, check=True).stdout

        assert all('"X-Clerk-User-Id", "user_1"' in said for said in together(8, get))
        n.reload()
        assert '"X-Clerk-User-Id", "user_1"' in get(0)
    finally:
        sim.close()
