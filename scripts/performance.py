#!/usr/bin/env python3
"""Runs all benches, draws the plots of docs/performance.md and writes its table of other libraries. `make bench` calls it.

    performance.py FOLDER

FOLDER receives what was measured: `points`, one result a line, and the output of each bench. A gate that is missed does not end the
measurement. A result that is missing does, unless the toolchain of its language is missing.
"""
import html
import json
import math
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLOTS = ROOT / "docs/site/static/performance"
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"
WIDTH, LEFT, BAR = 720, 300, 26

# The toolchain, the bench, and the names of the results that it must have.
BENCHES = [
    ("c++", ["bindings/cpp/bench.sh"], ["clerk-auth (C++)", "cpp-jwt, key from PEM each time (C++)", "libjwt, key from PEM each time (C)", "liboauth2 (C)"]),
    ("go", ["bindings/go/bench.sh"], ["clerk-auth (Go)", "clerk-sdk-go, key given (Go)", "golang-jwt, key given (Go)"]),
    ("node", ["bindings/node/bench.sh"], ["clerk-auth (Node)", "fast-jwt with its cache (Node)", "fast-jwt (Node)", "jose (Node)", "@clerk/backend, key given (Node)"]),
    ("python3", ["benches/python/bench.sh"], ["PyJWT, key object (Python)", "clerk-backend-api, verify_token (Python)", "clerk-backend-api, authenticate_request (Python)", "django-clerk-sdk, cached (Python)"]),
]
# Others that bench-quick has measured in its own process.
RUST = ["clerk-auth (C)", "jsonwebtoken, key given (Rust)"]


def bars(title, unit, rows):
    """A bar for each name and value; logarithmic for ratios, which differ by a factor of hundreds."""
    scale = math.log if unit == "×" else float
    most, height = scale(max(value for _, value in rows)), 50 + BAR * len(rows)
    lines = [f'<text x="10" y="22" font-weight="bold">{html.escape(title)}</text>']
    for i, (name, value) in enumerate(rows):
        y, width = 36 + BAR * i, (WIDTH - LEFT - 90) * scale(value) / most
        color = "#9a9a9a" if unit == "×" and not name.startswith("clerk-auth") else "#3b6ea5"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{html.escape(str(name))}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{max(width, 1):.1f}" height="{BAR - 6}" fill="{color}"/>',
            f'<text x="{LEFT + width + 6:.1f}" y="{y + 15}">{value:,.2f} {unit}</text>',
        ]
    return svg(title, height, lines)


def line(title, x_label, unit, points):
    """A line through points; x is logarithmic, y begins at 0."""
    height, bottom, right = 300, 250, WIDTH - 40
    most = max(y for _, y in points) * 1.1
    span = math.log10(max(x for x, _ in points)) or 1
    at = [(70 + (right - 70) * math.log10(x) / span, bottom - 200 * y / most) for x, y in points]
    lines = [
        f'<text x="10" y="22" font-weight="bold">{html.escape(title)}</text>',
        f'<path d="M70 40V{bottom}H{right}" fill="none" stroke="#666"/>',
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}" fill="none" stroke="#3b6ea5" stroke-width="2"/>',
        f'<text x="{(70 + right) / 2}" y="{height - 8}" text-anchor="middle">{html.escape(x_label)}</text>',
    ]
    for (x, y), (px, py) in zip(points, at):
        lines += [
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="4" fill="#3b6ea5"/>',
            f'<text x="{px:.1f}" y="{py - 10:.1f}" text-anchor="middle">{y:,.2f} {unit}</text>',
            f'<text x="{px:.1f}" y="{bottom + 18}" text-anchor="middle">{x:,}</text>',
        ]
    return svg(title, height, lines)


def svg(title, height, lines):
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" '
            f'font-size="13"><title>{html.escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>')
    return "\n".join([head, *lines, "</svg>\n"])


def version(*command):
    try:
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout.split("\n")[0].strip()
    except (OSError, subprocess.CalledProcessError):
        return "not installed"


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    commit = version("git", "rev-parse", "--short", "HEAD")
    cores = len(re.findall(r"^processor", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    return (f"{cpu}, {cores} cores, {platform.system()} {platform.release()}, {version('rustc', '--version')}, "
            f"{version('go', 'version')}, Node {version('node', '--version')}, {version('gcc', '--version')}; commit {commit}.")


def peer_versions():
    """Returns name and version of what is compared, as the files that pin them say."""
    node = json.loads((ROOT / "bindings/node/package.json").read_text())["devDependencies"]
    found = [f"{name} {node[name]}" for name in ("@clerk/backend", "fast-jwt", "jose")]
    lock = (ROOT / "Cargo.lock").read_text()
    found += [f"{name} " + re.findall(rf'name = "{name}"\nversion = "(.*?)"', lock)[-1] for name in ("aws-lc-rs", "jsonwebtoken", "sha2")]
    modules = re.findall(r"(clerk-sdk-go|golang-jwt)/\S* v(\S+)", (ROOT / "bindings/go/bench/go.mod").read_text())
    found += [f"{name} {number}" for name, number in modules]
    python = (ROOT / "benches/python/requirements.txt").read_text() + (ROOT / "benches/python/bench.sh").read_text()
    found += [" ".join(pin) for pin in re.findall(r"(PyJWT|cryptography|clerk-backend-api|Django|django-clerk-sdk)==([\d.]+)", python)]
    for package in ("libcpp-jwt-dev", "libjwt-dev", "liboauth2-dev"):
        found.append(f"{package} " + version("dpkg-query", "--show", "--showformat", "${Version}", package))
    return ", ".join(found)


def run(command, log, **environment):
    """Runs a bench, prints what it prints, and keeps it in a file."""
    print("+", *command, flush=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env={**os.environ, **environment}) as bench, log.open("w") as file:
        for line in bench.stdout:
            print(line, end="", flush=True)
            file.write(line)
    return log.read_text()


def measure(folder):
    """Returns the results by kind, the output of `invalidation`, and the toolchains that are missing."""
    points, make = folder / "points", [os.environ.get("MAKE", "make"), "--no-print-directory"]
    points.unlink(missing_ok=True)
    run([*make, "bench-quick", f"DATA={points}"], folder / "gates.log")
    missing, expected = [], list(RUST)
    for toolchain, command, names in BENCHES:
        if shutil.which(toolchain) is None:
            missing.append(toolchain)
            continue
        run(command, folder / f"{toolchain}.log", CLERK_BENCH_POINTS=str(points))
        expected += names
    series = {}
    for row in points.read_text().splitlines():
        kind, name, *values = row.split("\t")
        series.setdefault(kind, []).append((name, *map(float, values)))
    measured = {name for kind in ("warm", "cold") for name, *_ in series.get(kind, [])}
    if absent := [name for name in expected if name not in measured]:
        sys.exit("not measured, see above: " + "; ".join(absent))
    return series, run([*make, "bench-webhooks"], folder / "invalidation.log"), missing


def main():
    folder, load = pathlib.Path(sys.argv[1]).resolve(), os.getloadavg()[0]
    folder.mkdir(parents=True, exist_ok=True)
    series, events_log, missing = measure(folder)
    ratios = {kind: sorted(((name, ratio) for name, _, ratio in series[kind] if " alone" not in name), key=lambda row: row[1])
              for kind in ("warm", "cold")}
    latencies = [("with events" if int(events) else "without events", int(ns) / 1000)
                 for events, ns in re.findall(r"^(\d+) events: .*? p99 (\d+) ns", events_log, re.MULTILINE)]
    plots = {
        "warm": bars("Cached result, CPU time, as a multiple of SHA-256 of the token (logarithmic)", "×", ratios["warm"]),
        "cold": bars("Verification, CPU time, as a multiple of RSA-2048 by aws-lc (logarithmic)", "×", ratios["cold"]),
        "entries": line("Random hit", "cached tokens", "µs", [(int(n), ns / 1000) for n, ns in series["hit"]]),
        "memory": bars("Memory of a cached token", "bytes", series["memory"]),
        "webhooks": bars("Hit beside 1,000 webhook events a second, 99th percentile", "µs", latencies),
    }
    if "threads" in series:
        plots["threads"] = bars("Hits a second, 10,000 tokens", "M", [(f"{n} threads", hits / 1e6) for n, hits in series["threads"]])
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        (PLOTS / f"{name}.svg").write_text(plot)
    table = ["| | cached result | × SHA-256 | verification | × RSA |", "|---|---|---|---|---|"]
    results = {(kind, name): (ns, ratio) for kind in ("warm", "cold") for name, ns, ratio in series[kind]}
    for name in dict.fromkeys(name for kind in ("cold", "warm") for name, _ in ratios[kind]):
        cells = [results.get((kind, name)) for kind in ("warm", "cold")]
        table.append(f"| {name} | " + " | ".join(f"{cell[0] / 1000:.2f} µs | {cell[1]:.2f}" if cell else "– | –" for cell in cells) + " |")
    images = [f"![{re.search('<title>(.*?)</title>', plot)[1]}](site/static/performance/{name}.svg)" for name, plot in plots.items()]
    notes = [f"Measured by `make bench` on: {machine()} Load average when it began: {load:.1f}."]
    notes.append(f"Versions: {peer_versions()}.")
    if missing:
        notes.append("Left out, because the toolchain is missing: " + ", ".join(missing) + ".")
    if "threads" not in series:
        notes.append("Throughput by threads was not measured, because the machine was not idle.")
    page = PAGE.read_text()
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    measured = "\n".join([" ".join(notes), "", *table, "", *images, ""])
    PAGE.write_text(page[:before] + "\n" + measured + "\n" + page[after:])


main()
