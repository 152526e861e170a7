#!/usr/bin/env python3
"""Draws the plots of docs/performance.md and writes its table of peers, from what `make bench` has measured.

    performance.py POINTS LOG...

POINTS is what bench-quick has written with DATA; the logs are the outputs of the benches of the bindings and of
`invalidation`. The names in a log begin with `clerk-auth` or a peer's name, and end with a time.
"""
import html
import math
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLOTS = ROOT / "docs/site/static/performance"
PAGE = ROOT / "docs/performance.md"
BEGIN, END = "<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"
WIDTH, LEFT, BAR = 720, 300, 26

# What a line of a log measures: the pattern, whether a cached result is measured, and the name in table and plot.
PEERS = [
    (r"^cached, C\+\+, authenticate +([\d.]+) ns", "warm", "clerk-auth, from C++"),
    (r"^Go, Authenticate +([\d.]+) ns", "warm", "clerk-auth, from Go"),
    (r"^clerk-auth: authenticateCached\(req\), userId +([\d.]+) us", "warm", "clerk-auth, from Node"),
    (r"^fast-jwt with its cache: verify\(token\) +([\d.]+) us", "warm", "fast-jwt with its cache"),
    (r"^verified, C\+\+ +([\d.]+) ns", "cold", "clerk-auth, from C++"),
    (r"^clerk-auth: await authenticate\(req\), cache disabled +([\d.]+) us", "cold", "clerk-auth, from Node"),
    (r"^verified, cpp-jwt .*? ([\d.]+) ns", "cold", "cpp-jwt, key from PEM each time"),
    (r"^clerk-sdk-go, jwt.Verify with a given key +([\d.]+) ns", "cold", "clerk-sdk-go, key given"),
    (r"^@clerk/backend: verifyToken\(.*?\) +([\d.]+) us", "cold", "@clerk/backend, key given"),
]


def bars(title, unit, rows):
    """A bar for each name and value."""
    most, height = max(value for _, value in rows), 50 + BAR * len(rows)
    lines = [f'<text x="10" y="22" font-weight="bold">{html.escape(title)}</text>']
    for i, (name, value) in enumerate(rows):
        y, width = 36 + BAR * i, (WIDTH - LEFT - 90) * value / most
        color = "#3b6ea5" if name.startswith("clerk-auth") or len({n for n, _ in rows}) < 3 else "#9a9a9a"
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


def main():
    series = {}
    for row in pathlib.Path(sys.argv[1]).read_text().splitlines():
        kind, name, value = row.split("\t")
        series.setdefault(kind, []).append((name, float(value)))
    text = "\n".join(pathlib.Path(log).read_text() for log in sys.argv[2:])
    for pattern, kind, name in PEERS:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            sys.exit(f"no log has a line for {name}")
        series[kind].append((name, float(found[1]) * (1000 if pattern.endswith("us") else 1)))
    micro = {kind: sorted(((name, ns / 1000) for name, ns in series[kind]), key=lambda row: row[1]) for kind in ("warm", "cold")}
    latencies = [("with events" if int(events) else "without events", int(ns) / 1000)
                 for events, ns in re.findall(r"^(\d+) events: .*? p99 (\d+) ns", text, re.MULTILINE)]
    plots = {
        "warm": bars("Cached result", "µs", micro["warm"]),
        "cold": bars("Verification without a cache", "µs", micro["cold"]),
        "entries": line("Random hit", "cached tokens", "µs", [(int(n), ns / 1000) for n, ns in series["hit"]]),
        "threads": bars("Hits a second, 10,000 tokens, 2 cores", "M", [(f"{n} threads", hits / 1e6) for n, hits in series["threads"]]),
        "memory": bars("Memory of a cached token", "bytes", series["memory"]),
    }
    plots["webhooks"] = bars("Hit beside 1,000 webhook events a second, 99th percentile", "µs", latencies)
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, plot in plots.items():
        (PLOTS / f"{name}.svg").write_text(plot)
    table = ["| | cached result | verification |", "|---|---|---|"]
    names = dict.fromkeys(name for kind in ("warm", "cold") for name, _ in micro[kind])
    cell = lambda kind, name: next((f"{us:.2f} µs" for other, us in micro[kind] if other == name), "–")
    table += [f"| {name} | {cell('warm', name)} | {cell('cold', name)} |" for name in names]
    images = [f"![{re.search('<title>(.*?)</title>', plot)[1]}](site/static/performance/{name}.svg)" for name, plot in plots.items()]
    measured = "\n".join([f"Measured by `make bench` on: {machine()}", "", *table, "", *images, ""])
    page = PAGE.read_text()
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:before] + "\n" + measured + "\n" + page[after:])


main()
