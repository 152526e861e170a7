"""Processes and threads: start, reload, stop, forks, slow and failed key set fetches, memory."""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import harness

MPMS = ("event", "worker", "prefork")

BODY = """
<Location />
  AuthType Clerk
  Require valid-user
</Location>"""


def with_apache(sim, mpm, check, body=BODY, **options):
    try:
        harness.serve(sim, body, check, mpm, **options)
    finally:
        sim.faults()


def slow_jwks(sim, delay_ms, times=100):
    sim.faults({"path": "/jwks", "delay_ms": delay_ms, "times": times})


def many(mpm):
    """The number of concurrent requests, and the processes for them."""
    return (8, {"children": 8}) if mpm == "prefork" else (64, {"children": 2, "threads": 40})


def in_background(apache, token, count):
    pool = concurrent.futures.ThreadPoolExecutor(count)
    futures = [pool.submit(lambda: apache.request("/", token=token, timeout=30).status) for _ in range(count)]
    pool.shutdown(wait=False)
    return futures


def parent_has_no_client(sim, mpm):
    def check(apache):
        assert apache.request("/", token=sim.mint()).status == 200
        apache.graceful()
        assert apache.request("/", token=sim.mint()).status == 200
        proc = pathlib.Path(f"/proc/{apache.process.pid}")
        assert len(list((proc / "task").iterdir())) == 1, "a thread in the parent"
        port = int(sim.url.rsplit(":", 1)[1].split("/")[0])
        inodes = {line.split()[9] for line in (proc / "net/tcp").read_text().splitlines()[1:]
                  if int(line.split()[2].split(":")[1], 16) == port}
        sockets = {os.readlink(fd) for fd in (proc / "fd").iterdir()}
        assert not any(f"socket:[{inode}]" in sockets for inode in inodes), "a connection of the parent to Clerk"
        assert not any("CLERK_E_FORKED" in line for line in apache.error_log.splitlines())

    with_apache(sim, mpm, check)


def overlapping_slow_key_fetches_all_end_well(sim, mpm):
    number, options = many(mpm)

    def check(apache):
        began = time.monotonic()
        futures = in_background(apache, sim.mint(), number)
        assert [f.result() for f in futures] == [200] * number
        assert time.monotonic() - began < 6

    slow_jwks(sim, 400)
    with_apache(sim, mpm, check, **options)


def unrelated_requests_do_not_wait(sim, mpm):
    def check(apache):
        futures = in_background(apache, sim.mint(), 4)
        time.sleep(0.2)
        waits = []
        for _ in range(20):
            began = time.monotonic()
            assert apache.request("/open/").status == 200
            waits.append(time.monotonic() - began)
        assert [f.result() for f in futures] == [200] * 4
        assert sorted(waits)[10] < 0.2, waits

    slow_jwks(sim, 1200)
    with_apache(sim, mpm, check, body=BODY + "\n<Location /open>\nAuthType None\nRequire all granted\n</Location>", children=8 if mpm == "prefork" else 2)


def graceful_reload_loses_no_request(sim, mpm):
    number, options = many(mpm)

    def check(apache):
        futures = in_background(apache, sim.mint(), number)
        time.sleep(0.3)
        apache.graceful()
        assert [f.result() for f in futures] == [200] * number
        assert apache.request("/", token=sim.mint()).status == 200

    slow_jwks(sim, 1000)
    with_apache(sim, mpm, check, **options)


def graceful_stop_loses_no_request(sim, mpm):
    number, options = many(mpm)

    def check(apache):
        futures = in_background(apache, sim.mint(), number)
        time.sleep(0.3)
        assert apache.stop(signal.SIGWINCH) == 0
        assert [f.result() for f in futures] == [200] * number

    slow_jwks(sim, 1000)
    with_apache(sim, mpm, check, **options)


def stop_does_not_wait_for_clerk(sim, mpm):
    def check(apache):
        futures = in_background(apache, sim.mint(), 4)
        time.sleep(0.4)
        began = time.monotonic()
        assert apache.stop(signal.SIGTERM) == 0
        took = time.monotonic() - began
        assert took < 2.5, took
        for future in futures:
            assert future.exception() is not None or future.result() in (200, 503), future

    slow_jwks(sim, 8000)
    with_apache(sim, mpm, check, body=BODY + "\nClerkTimeout 10", children=8 if mpm == "prefork" else 2,
                allow="exit signal Segmentation fault" if mpm == "event" else None)


def keys_rotate_without_reload(sim, mpm):
    def check(apache):
        assert apache.request("/", token=sim.mint()).status == 200
        rotated = sim.admin("POST", "/rotate", {"keep_old": True})
        try:
            token = sim.mint(key=rotated["key"])
            harness.wait_until(lambda: {apache.request("/", token=token).status for _ in range(8)} == {200}, 20, "new key")
        finally:
            sim.admin("PUT", "/jwks", ["k1"])
            sim.admin("PUT", "/state", {"signing_key": "k1"})

    with_apache(sim, mpm, check)


def unknown_kids_ask_clerk_little(sim, mpm):
    def check(apache):
        assert apache.request("/", token=sim.mint()).status == 200
        before, token = sim.count("/jwks"), sim.mint()
        for i in range(60):
            assert apache.request("/", token=sim.mint(kid=f"ins_made_up_{i}")).status in (401, 503)
        assert sim.count("/jwks") - before <= 3 * max(len(apache.children_pids()), 1)
        assert apache.request("/", token=token).status == 200

    with_apache(sim, mpm, check)


def memory_does_not_grow(sim, mpm):
    def check(apache):
        def resident():
            return {pid: int(line.split()[1]) for pid in apache.children_pids()
                    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")}

        def load(number, *more):
            done = subprocess.run(["ab", "-q", "-k", "-c", "2", "-n", str(number), *more, apache.origin + "/"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, timeout=300)
            assert f"Complete requests:      {number}" in done.stdout, done.stdout

        token = sim.mint(exp_in=3600)
        good, bad = ["-H", f"Authorization: Bearer {token}"], ["-H", "Authorization: Bearer garbage"]
        load(10000, *good)
        load(5000, *bad)
        before = resident()
        load(80000, *good)
        load(20000, *bad)
        after = resident()
        grown = [after[pid] - before[pid] for pid in before if pid in after]
        assert grown and max(grown) < 3072, f"{before} kB before, {after} kB after 100000 requests"

    with_apache(sim, mpm, check, body="LogLevel warn\n" + BODY, children=2)


def two_archives_in_one_server_do_not_mix(sim, mpm):
    """A second module from the same archive, under another name, runs in the same server."""
    second = harness.FOLDER / "build/second"
    shutil.rmtree(second, ignore_errors=True)
    shutil.copytree(harness.FOLDER / "src", second / "src")
    for path in (second / "src").iterdir():
        text = path.read_text()
        for old, new in (("auth_clerk_module", "auth_second_module"), ('"Clerk', '"Second'), ('"clerk-', '"second-'),
                         ("mod_auth_clerk.shared", "mod_auth_second.shared"), ('"auth-clerk"', '"auth-second"'),
                         ("APLOG_USE_MODULE(auth_clerk)", "APLOG_USE_MODULE(auth_second)")):
            text = text.replace(old, new)
        path.write_text(text)
    for name in ("Makefile", "exports.map"):
        (second / name).write_text((harness.FOLDER / name).read_text().replace("../..", "../../../..").replace("auth_clerk_module", "auth_second_module"))
    done = subprocess.run(["make", "-s", "-C", second, "OUT=build"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout

    def check(apache):
        token = sim.mint()
        for _ in range(4):
            assert apache.request("/", token=token).status == 200
            assert apache.request("/second", token=token).status == 401, "its key is another"
            assert apache.request("/second", token=sim.mint(key="other")).status == 404

    key = sim.admin("GET", "/keys/other")["pem"]
    body = BODY + f"\n<Location /second>\nAuthType Second\nRequire valid-user\n</Location>\nSecondSecretKey sk_test_y\nSecondAPIURL {sim.url}"
    (second / "key.pem").write_text(key)
    body += f"\nSecondJWTKeyFile {second}/key.pem"
    with_apache(sim, mpm, check, body=body, before=f"LoadModule auth_second_module {second}/build/mod_auth_clerk.so")


def child_that_is_killed_is_replaced(sim, mpm):
    def check(apache):
        token = sim.mint()
        assert apache.request("/", token=token).status == 200
        killed = apache.children_pids()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        harness.wait_until(lambda: apache.children_pids() and not set(killed) & set(apache.children_pids()), 15, "new children")
        assert apache.request("/", token=token).status == 200
        assert apache.stop() == 0
        log = apache.directory / "error.log"
        log.write_text("\n".join(line for line in apache.error_log.splitlines() if "exit signal Killed" not in line))

    with_apache(sim, mpm, check)


def requests_during_reloads_all_succeed(sim, mpm):
    def check(apache):
        token, statuses, done = sim.mint(exp_in=600), [], threading.Event()

        def ask():
            while not done.is_set():
                statuses.append(apache.request("/", token=token).status)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(4):
                apache.graceful()
                time.sleep(0.3)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert len(statuses) > 50 and set(statuses) == {200}, (len(statuses), set(statuses))

    with_apache(sim, mpm, check)


def children_that_start_together_share_one_new_user_table(sim, mpm):
    def check(apache):
        token = sim.mint(user="user_row")
        assert {apache.request("/", token=token).status for _ in range(30)} == {200}
        assert "no client" not in apache.error_log, apache.error_log

    sim.admin("PUT", "/users/user_row", {"email_addresses": ["row@example.com"], "primary_email_address_id": "idn_0001"})
    for _ in range(10):
        with_apache(sim, mpm, check, body="ClerkUserStore sqlite:data/users.db\n" + BODY, children=8)


def debug_mode_serves_in_one_process(sim, mpm):
    apache = harness.Apache(mpm, f"ClerkSecretKey sk_test_x\nClerkAPIURL {sim.url}\n" + BODY)
    apache.port = harness.free_port()
    apache.write_config()
    process = subprocess.Popen([harness.APACHE, "-f", apache.directory / "httpd.conf", "-X"], env=apache.environment(), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        harness.wait_until(apache.accepts, 15, "start")
        assert apache.request("/", token=sim.mint()).status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            apache.process = process
            apache.close()


def cases(sim):
    for mpm in MPMS:
        for case in (parent_has_no_client, overlapping_slow_key_fetches_all_end_well, unrelated_requests_do_not_wait, graceful_reload_loses_no_request,
                     graceful_stop_loses_no_request, stop_does_not_wait_for_clerk, keys_rotate_without_reload, unknown_kids_ask_clerk_little,
                     child_that_is_killed_is_replaced, requests_during_reloads_all_succeed):
            yield f"{mpm}: {case.__name__}", lambda case=case, mpm=mpm: case(sim, mpm)
    # A sanitizer quarantines freed memory.
    memory = () if harness.ASAN else (memory_does_not_grow,)
    for mpm in MPMS:
        for case in memory:
            yield f"{mpm}: {case.__name__}", lambda case=case, mpm=mpm: case(sim, mpm)
    for case, mpm in ((two_archives_in_one_server_do_not_mix, "event"), (debug_mode_serves_in_one_process, "prefork"),
                      (children_that_start_together_share_one_new_user_table, "prefork")):
        yield case.__name__, lambda case=case, mpm=mpm: case(sim, mpm)
