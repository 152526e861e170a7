"""Real servers for the tests: nginx with the module, clerk-sim, an application. All on ports that the kernel picks."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MODULE = pathlib.Path(os.environ.get("CLERK_AUTH_NGINX_MODULE", ROOT / "build/nginx/ngx_http_clerk_auth_module.so"))
NGINX = os.environ.get("NGINX_BINARY", "/usr/sbin/nginx")
SIM = pathlib.Path(os.environ.get("CLERK_SIM", ROOT / "target/release/clerk-sim"))
PRELOAD = os.environ.get("CLERK_AUTH_NGINX_PRELOAD")
PARTY = "https://app.example.com"
WEBHOOK_SECRET = "whsec_Y2xlcmstc2ltLXdlYmhvb2stc2VjcmV0LTAwMDE="
BAD_LOG = re.compile(r"\[alert\]|\[emerg\]|exited on signal|exited with fatal|exited with code [1-9]")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=10, what="condition"):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Sim:
    """clerk-sim and its admin API. It exits when its standard input is closed."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [SIM, "serve", "--exit-with-stdin", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.admin_url, self.https_url = ready["url"], ready["admin_url"], ready.get("https_url")

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)

    def admin(self, method, path, body=None):
        request = urllib.request.Request(
            self.admin_url + path, method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            data = response.read()
        return json.loads(data) if data else None

    def mint(self, user="user_1", **spec):
        spec = {"user": user, "azp": PARTY, **spec}
        return self.admin("POST", "/mint", {k: v for k, v in spec.items() if v is not None})["token"]

    def user(self, user="user_1", **members):
        self.admin("PUT", f"/users/{user}", {"first_name": "Ada", "email_addresses": [f"{user}@example.com"], "primary_email_address_id": "idn_0001",
                                             **members})

    def faults(self, *faults):
        self.admin("PUT", "/faults", list(faults))

    def counts(self):
        return self.admin("GET", "/counts")["by_path"]

    def jwks_fetches(self):
        return sum(count for path, count in self.counts().items() if "jwks" in path)

    def webhook(self, kind, id, **spec):
        return self.admin("POST", "/webhook", {"type": kind, "id": id, **spec})

    def pem(self, name="k1"):
        return self.admin("GET", f"/keys/{name}")["pem"]


class Application:
    """Responds with the received request, as JSON; a websocket upgrade is accepted and echoes lines."""

    def __init__(self):
        application = self
        self.seen = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                while self.one():
                    pass

            def one(self):
                line = self.rfile.readline()
                if not line.strip():
                    return False
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers = []
                while (line := self.rfile.readline().strip()):
                    name, _, value = line.decode("latin-1").partition(":")
                    headers.append([name, value.strip()])
                length = next((int(v) for n, v in headers if n.lower() == "content-length"), 0)
                body = self.rfile.read(length)
                seen = {"method": method, "target": target, "headers": headers, "length": len(body)}
                application.seen.append(seen)
                if any(n.lower() == "upgrade" for n, _ in headers):
                    self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                     b"Connection: Upgrade\r\n\r\n")
                    while (line := self.rfile.readline()):
                        self.wfile.write(b"echo " + line)
                    return False
                answer = json.dumps(seen).encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                                 + str(len(answer)).encode() + b"\r\n\r\n" + answer)
                return not any(n.lower() == "connection" and v.lower() == "close" for n, v in headers)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def get(self, name):
        return next(iter(self.all(name)), None)

    def json(self):
        return json.loads(self.body)

    def passed(self, name):
        """The values that the application received under a name, normalized as applications do."""
        fold = lambda n: re.sub("[^a-z0-9]", "_", n.lower())
        return [v for n, v in self.json()["headers"] if fold(n) == fold(name)]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


def request(port, path="/", token=None, method="GET", headers=(), body=None, cookie=None, timeout=15):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        has_host = any(name.lower() == "host" for name, _ in headers)
        connection.putrequest(method, path, skip_host=has_host, skip_accept_encoding=True)
        if token is not None:
            connection.putheader("Authorization", f"Bearer {token}")
        if cookie is not None:
            connection.putheader("Cookie", f"__session={cookie}")
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return Response(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def raw(port, data, timeout=15, until_close=True):
    """Sends bytes, returns the response until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        answer = b""
        while until_close and (chunk := s.recv(65536)):
            answer += chunk
        return answer


def together(count, function):
    """Runs function(i) in `count` threads at once; returns the results, including exceptions."""
    results = [None] * count

    def run(i):
        try:
            results[i] = function(i)
        except Exception as e:  # noqa: BLE001
            results[i] = e

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def statuses(results):
    counted = {}
    for result in results:
        key = result.status if isinstance(result, Response) else type(result).__name__
        counted[key] = counted.get(key, 0) + 1
    return counted


class Nginx:
    """nginx in its own directory. `server` is the content of a server block, `http` that of the http block."""

    def __init__(self, http_block, workers=1, main="", level="info", environment=(), user="root", modules=(MODULE,),
                 master=True, expect_failure=False):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="clerk-nginx-"))
        self.directory.chmod(0o755)
        self.log_path = self.directory / "error.log"
        self.workers, self.main, self.level, self.user = workers, main, level, user
        self.modules, self.master = modules, master
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("CLERK_", "NGINX"))} | dict(environment)
        self.environment["ASAN_OPTIONS"] = ("detect_leaks=0:detect_odr_violation=0:abort_on_error=1:"
                                            "quarantine_size_mb=1")
        if PRELOAD:
            self.environment["LD_PRELOAD"] = PRELOAD
        self.process = None
        self.write(http_block)
        if not expect_failure:
            self.start()

    @property
    def conf(self):
        return self.directory / "nginx.conf"

    def write(self, http_block):
        self.ports = {}

        def port(match):
            return str(self.ports.setdefault(match.group(1), free_port()))

        http_block = re.sub(r"@port(\w*)@", port, http_block)
        self.port = self.ports.get("", next(iter(self.ports.values()), None))
        load = "".join(f"load_module {module};\n" for module in self.modules)
        user = f"user {self.user};\n" if os.getuid() == 0 else ""
        temp = "".join(f"    {kind}_temp_path {self.directory}/{kind};\n"
                       for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.conf.write_text(
            f"{load}{user}daemon off;\nmaster_process {'on' if self.master else 'off'};\n"
            f"worker_processes {self.workers};\npid {self.directory}/pid;\nerror_log {self.log_path} {self.level};\n"
            f"{self.main}\nevents {{ worker_connections 1024; }}\nhttp {{\n    access_log {self.directory}/access.log;\n"
            f"{temp}{http_block}\n}}\n")

    def check(self):
        """`nginx -t`: its exit code and its output."""
        result = subprocess.run([NGINX, "-t", "-c", self.conf, "-p", self.directory, "-e", self.log_path],
                                capture_output=True, text=True, env=self.environment, timeout=20, check=False)
        return result.returncode, result.stderr

    def start(self):
        self.process = subprocess.Popen([NGINX, "-c", self.conf, "-p", self.directory, "-e", self.log_path],
                                        env=self.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def is_up():
            if self.process.poll() is not None:
                raise AssertionError(f"nginx ended: {self.process.stderr.read().decode()} {self.log()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return True
            except OSError:
                return False

        wait_until(is_up, what="nginx accepts connections")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def send(self, number):
        self.process.send_signal(number)

    def worker_pids(self):
        children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True,
                                  text=True, check=False).stdout
        return [int(line.split()[0]) for line in children.splitlines()
                if "worker process" in line and "shutting down" not in line]

    def reload(self):
        before = set(self.worker_pids())
        self.send(signal.SIGHUP)

        def is_done():
            now = set(self.worker_pids())
            return not now & before and len(now) >= self.workers

        wait_until(is_done, what="new workers")

    def stop(self, number=signal.SIGQUIT, seconds=15):
        if self.process is not None and self.process.poll() is None:
            self.send(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in self.worker_pids():
                    os.kill(pid, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"nginx did not end within {seconds} s") from None

    def close(self, allow=None):
        try:
            self.stop()
            bad = [line for line in self.log().splitlines()
                   if BAD_LOG.search(line) and not (allow and re.search(allow, line))]
            assert not bad, bad[:5]
        finally:
            self.discard()

    def discard(self):
        if self.process is not None and self.process.stderr:
            self.process.stderr.close()
        subprocess.run(["rm", "-rf", self.directory], check=False)


class Fixture:
    """The fixture of a test."""

    def __init__(self):
        self.sim = Sim()
        self.application = Application()
        self.servers = []
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="clerk-files-"))
        self.directory.chmod(0o755)

    def nginx(self, http_block, **options):
        server = Nginx(http_block, **options)
        server.allow = None
        self.servers.append(server)
        return server

    def keys(self, extra=""):
        """Directives for a server that uses this clerk-sim."""
        return (f"clerk_auth_secret_key sk_test_nginx;\nclerk_auth_api_url {self.sim.url};\n"
                f"clerk_auth_authorized_parties {PARTY};\n{extra}\n")

    def directory_file(self, name, content, mode=0o644):
        """A file in the directory of the servers."""
        path = self.directory / name
        path.write_text(content)
        path.chmod(mode)
        return path

    def proxy(self):
        return (f"proxy_pass http://127.0.0.1:{self.application.port}; proxy_http_version 1.1; "
                "proxy_set_header Connection '';")

    def simple(self, location="", server="", http="", **options):
        """One server whose only location is protected and proxied to the application."""
        return self.nginx(
            f"{self.keys()}{http}\nserver {{ listen 127.0.0.1:@port@; {server}\n"
            f"location / {{ clerk_auth on; clerk_auth_pass_headers on; {location} {self.proxy()} }} }}", **options)

    def close(self):
        problems = []
        for server in self.servers:
            try:
                server.close(server.allow)
            except AssertionError as e:
                problems.append(e)
        self.application.close()
        self.sim.close()
        subprocess.run(["rm", "-rf", self.directory], check=False)
        if problems:
            raise problems[0]


@contextlib.contextmanager
def fixture():
    f = Fixture()
    try:
        yield f
    except BaseException:
        for server in f.servers:
            log = server.log()
            print("    log: " + "\n    log: ".join(log.splitlines()[-15:]))
        with contextlib.suppress(AssertionError):
            f.close()
        raise
    f.close()


def cookie_suffix(publishable_key):
    digest = hashlib.sha1(publishable_key.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:8]


def equal(actual, expected, what=""):
    assert actual == expected, f"{what} expected {expected!r}, found {actual!r}"
