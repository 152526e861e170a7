#!/usr/bin/env python3
"""`run.py NAME COMMAND...`: visits the page that a program serves, with a browser. The program prints its address."""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import pages

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Sim:
    """clerk-sim. It ends when its standard input is closed."""

    def __init__(self):
        command = [os.environ.get("CLERK_SIM", ROOT / "target/release/clerk-sim"), "serve", "--exit-with-stdin"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = json.loads(self.process.stdout.readline())
        self.url, self.admin_url = ready["url"], ready["admin_url"]

    def admin(self, method, path, body=None):
        request = urllib.request.Request(self.admin_url + path, method=method, data=None if body is None else json.dumps(body).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            said = response.read()
        return json.loads(said) if said else None


def main(name, *command):
    sim = Sim()
    program = None
    try:
        sim.admin("PUT", "/state", pages.frontend())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLERK_")} | {
            "CLERK_SECRET_KEY": "sk_live_pages", "CLERK_PUBLISHABLE_KEY": pages.PUBLISHABLE_KEY, "CLERK_API_URL": sim.url,
            "CLERK_PROXY_URL": sim.url, "CLERK_CLOCK_SKEW_IN_MS": "0"}
        program = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        pages.check(sim, program.stdout.readline().strip() + "/")
        print(f"ok browser stays signed in: {name}")
    finally:
        if program:
            program.kill()
            program.wait()
        sim.process.stdin.close()
        sim.process.wait(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
