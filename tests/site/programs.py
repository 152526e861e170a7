"""Compiles and runs the programs of docs/site/code with clerk-sim as Clerk."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
import urllib.request

USER, SESSION, SECRET = "user_ada", "sess_1", "whsec_ZGVtbyBkZW1vIGRlbW8gZGVtbw=="


class Clerk:
    """clerk-sim with one user; a context manager. It exits when its standard input is closed."""

    def __init__(self, root, work):
        self.binary = os.environ.get("CLERK_SIM", f"{root}/target/release/clerk-sim")
        self.process = subprocess.Popen([self.binary, "serve", "--exit-with-stdin"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.admin_url, self.work = ready["url"], ready["admin_url"], work
        self.admin("PUT", "/state", {"secret_keys": ["*"]})
        self.admin("PUT", f"/users/{USER}", {"first_name": "Ada"})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def admin(self, method, path, body):
        request = urllib.request.Request(self.admin_url + path, json.dumps(body).encode(), method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)

    def bearer(self):
        command = [self.binary, "mint", "--user", USER, "--sid", SESSION]
        return "Bearer " + subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def event_loop(program, clerk):
    """The first request waits for Clerk, the next one with the same token does not."""
    process = program.start()
    line = clerk.bearer()
    process.stdin.write(line + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == f"1 waited 200 {USER}\n"
    rest, _ = process.communicate(f"{line}\nBearer x.y.z\nBasic a\n", timeout=30)
    assert rest.splitlines() == [f"2 inline 200 {USER}", "3 inline 401 token-invalid", "4 inline 401 session-token-missing"], rest
    assert process.returncode == 0


def stepwise(program, clerk):
    table = f"{clerk.work}/app.db"
    for _ in range(2):
        assert program.run([table, clerk.bearer()]) == (0, f"signed in: {USER}, account 1\n")
    assert program.run([table, "Bearer x.y.z"]) == (1, "not signed in: token-invalid\n")


def prefork(program, clerk):
    assert program.run([clerk.bearer()]) == (0, "CLERK_OK\nCLERK_OK\n")
    assert program.run(["Bearer x.y.z"])[0] != 0


def webhook(program, clerk):
    sent = clerk.admin("POST", "/webhook", {"type": "session.ended", "data": {"id": SESSION}, "secret": SECRET})
    headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent["headers"].items()}
    assert program.run([], sent["body"], headers) == (0, "Status: 200\n\n")
    assert program.run([], sent["body"] + " ", headers) == (0, "Status: 400\n\n")


def copy_revocations(program, clerk):
    assert program.run([SESSION, clerk.bearer()]) == (0, "CLERK_OK \nCLERK_SIGNED_OUT session-revoked\n")


def check_version(program, _):
    status, output = program.run([])
    assert status == 0 and output.startswith("clerk-auth "), output


CASES = {case.__name__: case for case in (event_loop, stepwise, prefork, webhook, copy_revocations, check_version)}


class Program:
    def __init__(self, root, source, work, environment):
        self.path, self.environment = f"{work}/{source.stem}", environment
        libraries = subprocess.run(["pkg-config", "--cflags", "--libs", "clerk-auth", "sqlite3"], env=environment,
                                   capture_output=True, text=True, check=True).stdout.split()
        flags = ["-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{root}/examples"]
        subprocess.run(["cc", *flags, "-o", self.path, source, *libraries, "-lpthread"], check=True)

    def start(self, arguments=(), environment=None):
        process = subprocess.Popen([self.path, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                                   stderr=subprocess.DEVNULL, env={**self.environment, **(environment or {})})
        killer = threading.Timer(30, process.kill)
        killer.daemon = True
        killer.start()
        return process

    def run(self, arguments, standard_input="", environment=None):
        process = self.start(arguments, environment)
        output, _ = process.communicate(standard_input, timeout=30)
        return process.returncode, output


def check_types(root, source):
    """The names and types that a module uses are those of the packages that it imports."""
    modules = pathlib.Path(root, "build/docs/typedoc/node_modules")
    with tempfile.TemporaryDirectory(dir=modules.parent) as folder:
        package = modules / "clerk-auth"
        if not package.exists():
            package.symlink_to(pathlib.Path(root, "bindings/node"))
        path = shutil.copy(source, folder)
        flags = "--noEmit --allowJs --checkJs --skipLibCheck --module nodenext --target es2022 --preserveSymlinks".split()
        done = subprocess.run([modules / ".bin/tsc", *flags, path], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def run(root, environment):
    sources = sorted(pathlib.Path(root, "docs/site/code").iterdir())
    # The caller's Clerk settings must not apply.
    plain = {name: value for name, value in environment.items() if not name.startswith("CLERK_")}
    with tempfile.TemporaryDirectory() as work, Clerk(root, work) as clerk:
        settings = {"CLERK_SECRET_KEY": "sk_test_x", "CLERK_API_URL": clerk.url, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET}
        for source in sources:
            if source.suffix == ".mjs":
                check_types(root, source)
                continue
            assert source.suffix == ".c" and source.stem in CASES, f"nothing runs {source}"
            CASES[source.stem](Program(root, source, work, {**plain, **settings}), clerk)
    return sources
