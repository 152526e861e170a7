"""Starts clerk-sim, Apache and upstream servers for the tests: real programs, on 127.0.0.1, on ports that the kernel picks."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE.parent
ROOT = FOLDER.parent.parent
# With AddressSanitizer: `make -C bindings/apache test-asan`.
ASAN = "CLERK_APACHE_ASAN" in os.environ
MODULE = pathlib.Path(os.environ.get("CLERK_APACHE_MODULE", FOLDER / ("build/asan" if ASAN else "build") / "mod_auth_clerk.so"))
SIM = pathlib.Path(os.environ.get("CLERK_SIM", ROOT / "target/release/clerk-sim"))
APACHE = "/usr/sbin/apache2"
LIBEXEC = pathlib.Path(os.environ.get("APACHE_LIBEXEC", "/usr/lib/apache2/modules"))
MODULES = (
    "authn_core authz_core authz_user authz_host authn_file auth_basic access_compat alias env setenvif headers rewrite dir mime "
    "include socache_shmcb proxy proxy_http proxy_wstunnel unique_id request"
).split()


def wait_until(condition, seconds=30.0, what="condition"):
    """Returns the first true value of `condition`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} not reached within {seconds} s")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sim:
    """The fake Clerk API."""

    def __init__(self, directory):
        ready = pathlib.Path(directory) / "sim.json"
        self.process = subprocess.Popen(
            [SIM, "serve", "--exit-with-stdin", "--ready-file", ready],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: ready.exists() and ready.stat().st_size, what="clerk-sim")
        urls = json.loads(ready.read_text())
        self.url, self.admin_url = urls["url"], urls["admin_url"]
        self.admin("PUT", "/state", {"secret_keys": ["*"], "webhook_secret": WEBHOOK_SECRET})

    def admin(self, method, path, body=None):
        request = urllib.request.Request(self.admin_url + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as response:
            said = response.read()
        return json.loads(said) if said else None

    def mint(self, **specification):
        specification.setdefault("user", "user_1")
        return self.admin("POST", "/mint", specification)["token"]

    def webhook(self, **specification):
        made = self.admin("POST", "/webhook", specification)
        headers = made["headers"]
        pairs = list(headers.items()) if isinstance(headers, dict) else [tuple(pair) for pair in headers]
        return pairs, made["body"].encode() if isinstance(made["body"], str) else json.dumps(made["body"]).encode()

    def faults(self, *faults):
        self.admin("PUT", "/faults", list(faults))

    def down(self, is_down=True):
        self.admin("PUT", "/down", {"down": is_down})

    def count(self, path):
        return sum(n for p, n in self.admin("GET", "/counts")["by_path"].items() if path in p)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


WEBHOOK_SECRET = "whsec_dGVzdCB0ZXN0IHRlc3QgdGVzdA=="


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), None)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


def read_response(stream, method="GET"):
    line = stream.readline()
    if not line:
        raise ConnectionError("no response")
    status, headers = int(line.split()[1]), []
    while (line := stream.readline().rstrip(b"\r\n")):
        name, _, value = line.partition(b":")
        headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    response = Response(status, headers, b"")
    if method == "HEAD" or status in (101, 204, 304):
        return response
    if (response.get("Transfer-Encoding") or "").lower() == "chunked":
        while (size := int(stream.readline().split(b";")[0], 16)):
            response.body += stream.read(size)
            stream.readline()
        stream.readline()
    elif response.get("Content-Length") is not None:
        response.body = stream.read(int(response.get("Content-Length")))
    else:
        response.body = stream.read()
    return response


class Upstream:
    """An application behind the proxy: responds with the received request as JSON."""

    def __init__(self):
        self.requests = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    body = b""
                    while (size := int(self.rfile.readline().split(b";")[0], 16)):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = {"method": self.command, "path": self.path, "headers": list(self.headers.items()), "body_len": len(body)}
                outer.requests.append(asked)
                if self.headers.get("Upgrade", "").lower() == "websocket":
                    self.send_response_only(101)
                    for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"),
                                        ("X-Seen-User", self.headers.get("X-Clerk-User-Id", "none"))):
                        self.send_header(name, value)
                    self.end_headers()
                    while (data := self.connection.recv(4096)):
                        self.connection.sendall(data)
                    self.close_connection = True
                    return
                said = json.dumps(asked).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Apache:
    """Debian's apache2 with a generated configuration in its own directory."""

    def __init__(self, mpm, body, modules=(), log_level="warn", before="", children=2, threads=8):
        self.mpm, self.directory = mpm, pathlib.Path(tempfile.mkdtemp(prefix="mod-auth-clerk-"))
        self.directory.chmod(0o755)
        self.docs, self.data = self.directory / "docs", self.directory / "data"
        for folder in (self.docs, self.data, self.directory / "run"):
            folder.mkdir()
        for name in "open valid optional".split():
            (self.docs / name).mkdir()
            (self.docs / name / "index.html").write_text(f"{name}\n")
        (self.docs / "index.html").write_text("index\n")
        self.body, self.modules, self.log_level, self.before = body, list(modules), log_level, before
        self.children, self.threads, self.process, self.port = children, threads, None, 0
        if os.getuid() == 0:
            shutil.chown(self.data, "www-data", "www-data")

    @property
    def error_log(self):
        path = self.directory / "error.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def access_log(self):
        return (self.directory / "access.log").read_text("utf-8", "replace")

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.port}"

    def write_config(self, body=None):
        if body is not None:
            self.body = body
        workers = self.children if self.mpm == "prefork" else self.children * self.threads
        limits = [f"ServerLimit {max(self.children, 4) * (4 if self.mpm == 'prefork' else 1)}", f"StartServers {self.children}"]
        if self.mpm == "prefork":
            limits += [f"MinSpareServers {self.children}", f"MaxSpareServers {self.children * 2}", f"MaxRequestWorkers {max(workers, 8)}"]
        else:
            limits += [f"ThreadsPerChild {self.threads}", f"ThreadLimit {max(self.threads, 64)}",
                       f"MinSpareThreads {workers}", f"MaxSpareThreads {workers * 2}", f"MaxRequestWorkers {workers}"]
        lines = [
            f"ServerRoot {self.directory}", f"DefaultRuntimeDir {self.directory}/run", f"PidFile {self.directory}/run/pid",
            f"Listen 127.0.0.1:{self.port}", f"ServerName 127.0.0.1:{self.port}", "KeepAliveTimeout 5", "Timeout 20",
            f"LoadModule mpm_{self.mpm}_module {LIBEXEC}/mod_mpm_{self.mpm}.so", *limits,
            *("User www-data\nGroup www-data".split("\n") if os.getuid() == 0 else ()),
            *(f"LoadModule {name}_module {LIBEXEC}/mod_{name}.so" for name in MODULES + self.modules),
            f"LoadModule auth_clerk_module {MODULE}",
            f"LogLevel {self.log_level}", f"ErrorLog {self.directory}/error.log",
            'LogFormat "%r %>s user=%u status=%{CLERK_STATUS}e reason=%{CLERK_REASON}e cache=%{CLERK_CACHE}e" tests',
            f"CustomLog {self.directory}/access.log tests",
            "TypesConfig /dev/null", f"DocumentRoot {self.docs}",
            f"<Directory {self.docs}>", "  Options +Includes", "  AllowOverride AuthConfig", "  Require all granted", "</Directory>",
            self.before, self.body,
        ]
        (self.directory / "httpd.conf").write_text("\n".join(lines) + "\n")

    def environment(self):
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        if ASAN:
            libraries = (subprocess.run(["cc", f"-print-file-name={name}"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
                         for name in ("libasan.so", "libubsan.so"))
            log = f"log_path={self.data}/sanitizer"
            # Leaks of Apache itself are ignored; each dynamic module defines the same names.
            env |= {"LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": f"detect_leaks=0:detect_odr_violation=0:{log}", "UBSAN_OPTIONS": log}
        return env

    def command(self, *arguments):
        return subprocess.run([APACHE, "-f", self.directory / "httpd.conf", *arguments], env=self.environment(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)

    def check(self):
        """Like `apachectl configtest`: its exit status and output."""
        self.port = self.port or free_port()
        self.write_config()
        done = self.command("-t")
        return done.returncode, done.stdout

    def start(self):
        for _ in range(5):
            self.port = free_port()
            self.write_config()
            # In a process group of its own: Apache signals its whole group when it stops.
            with open(self.directory / "said.txt", "w") as said:
                self.process = subprocess.Popen([APACHE, "-f", self.directory / "httpd.conf", "-DFOREGROUND"], env=self.environment(),
                                                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)
            with contextlib.suppress(AssertionError):
                # Apache listens before it is ready, and another program may listen on the port.
                wait_until(lambda: self.process.poll() is not None or self.is_ready() and self.accepts(), 60, "start")
            if self.process.poll() is None and self.is_ready():
                return self
            self.stop(signal.SIGKILL)
            said = (self.directory / "said.txt").read_text() + self.error_log
            if "could not bind" not in said:
                break
        raise AssertionError(f"apache2 does not start: {said[-3000:]}")

    def is_ready(self):
        return "resuming normal operations" in self.error_log

    def accepts(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def children_pids(self):
        said = subprocess.run(["pgrep", "-P", str(self.process.pid)], stdout=subprocess.PIPE, text=True)
        return [int(pid) for pid in said.stdout.split()]

    def send_signal(self, number):
        self.process.send_signal(number)

    def graceful(self):
        """Reloads, and waits until the new generation of children serves."""
        before = self.error_log.count("resuming normal operations")
        self.send_signal(signal.SIGUSR1)
        wait_until(lambda: self.error_log.count("resuming normal operations") > before, 60, "reload")

    def stop(self, number=signal.SIGWINCH):
        """Stops gracefully: at SIGTERM mod_mpm_event closes connections that its threads are using, and may crash."""
        if self.process and self.process.poll() is None:
            self.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("apache2 did not stop within 20 s")
        return self.process.returncode if self.process else 0

    def logged(self, text, since=0):
        """Waits for a line of a log: Apache writes them after the response."""
        return wait_until(lambda: text in self.access_log or text in self.error_log[since:], 10, f"{text!r} in a log")

    def complaints(self):
        """Lines of the error log that must not occur."""
        odd = re.compile(r":(alert|emerg)\]|exit signal|exited on signal|AH00045|still did not exit|double free|panicked")
        return [line for line in self.error_log.splitlines() if odd.search(line)] + [
            path.read_text() for path in self.data.glob("sanitizer*")]

    def close(self):
        try:
            self.stop(signal.SIGTERM)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self, timeout=15):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def request(self, path, token=None, cookie=None, headers=(), method="GET", body=None, timeout=15, host=None):
        lines = [("Host", host or f"127.0.0.1:{self.port}"), *headers]
        if token is not None:
            lines.append(("Authorization", f"Bearer {token}"))
        if cookie is not None:
            lines.append(("Cookie", f"__session={cookie}"))
        if not any(name.lower() == "connection" for name, _ in lines):
            lines.append(("Connection", "close"))
        if body is not None and not any(name.lower() == "transfer-encoding" for name, _ in lines):
            lines.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        with self.connect(timeout) as s:
            s.sendall(head.encode("latin-1") + (body or b""))
            return read_response(s.makefile("rb"), method)

    def open_websocket(self, path, headers):
        """Upgrades, sends a message and receives it back; returns the response to the upgrade."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "a"), *WEBSOCKET, *headers])
        with self.connect() as s:
            s.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
            stream = s.makefile("rb")
            response = read_response(stream)
            if response.status == 101:
                s.sendall(b"ping")
                assert stream.read(4) == b"ping"
            stream.close()
        # Apache itself waits for open tunnels when it stops.
        self.logged(f"GET {path} HTTP/1.1 {response.status}")
        return response


WEBSOCKET = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "eA=="), ("Sec-WebSocket-Version", "13")]


def serve(sim, body, check, mpm="event", allow=None, **options):
    """Starts Apache with a configuration (or a function that returns one), runs the checks, and stops it; its log must be clean."""
    apache = Apache(mpm, "", log_level="info auth_clerk:debug", **options)
    try:
        apache.body = f"ClerkSecretKey sk_test_x\nClerkAPIURL {sim.url}\n" + (body(apache) if callable(body) else body)
        apache.start()
        check(apache)
        assert apache.stop() == 0
        complaints = [line for line in apache.complaints() if not (allow and allow in line)]
        assert not complaints, complaints
    finally:
        apache.close()
