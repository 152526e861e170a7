"""Reads the site in Chromium: no page scrolls sideways, search finds pages, nothing is loaded from elsewhere, both themes are readable."""

import base64
import functools
import http.server
import pathlib
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "build/site"
sys.path.insert(0, str(ROOT / "tests/browser"))

from chromium import Chromium  # noqa: E402

WIDTHS = {390: 844, 1280: 900}
# Pages that are looked at in both themes.
SHOWN = ("index.html", "tasks/troubleshoot.html", "tasks/choose.html", "tasks/rotate-keys.html", "tasks/pages.html", "reference/c/authenticate.html",
         "reference/settings.html", "reference/go-clerkauth.html", "reference/cpp.html", "start/c.html")

TOO_WIDE = """(() => {
    const page = document.documentElement;
    if (page.scrollWidth <= page.clientWidth) return '';
    const wide = [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > page.clientWidth + 1
        && getComputedStyle(e).position !== 'fixed');
    return page.scrollWidth + ' > ' + page.clientWidth + ': ' + wide.slice(0, 3).map(e => e.tagName + '.' + e.className).join(', ');
})()"""

# The smallest contrast (WCAG 2) of texts, links, code and pictures with the background that they are on.
CONTRAST = """(() => {
    const channels = color => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const color = channels(getComputedStyle(e).backgroundColor);
            if (color.length < 4 || color[3] > 0.5) return color;
        }
        return [255, 255, 255];
    };
    let worst = [99, ''];
    const compare = (e, color, back) => {
        const [a, b] = [light(channels(color)), light(back)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < worst[0]) worst = [ratio, e.tagName + ' ' + e.textContent.trim().slice(0, 40) + ' ' + color + ' on ' + back];
    };
    for (const e of document.querySelectorAll('article p, article li, article a, article td, article th, article h1, article pre span, article code'))
        if (e.textContent.trim() && !e.closest('.headerlink')) compare(e, getComputedStyle(e).color, behind(e));
    for (const box of document.querySelectorAll('svg.picture g.node')) {
        const shape = box.querySelector('path, polygon, ellipse');
        for (const text of box.querySelectorAll('text')) compare(text, getComputedStyle(text).fill, channels(getComputedStyle(shape).fill));
    }
    for (const text of document.querySelectorAll('svg.picture g.edge text')) compare(text, getComputedStyle(text).fill, behind(text.closest('div')));
    return worst;
})()"""


# The height of the smallest words of pictures, in pixels.
SMALLEST = "Math.min(99, ...[...document.querySelectorAll('svg.picture text')].map(t => t.getBoundingClientRect().height))"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Reader:
    def __init__(self, browser, pictures):
        self.browser, self.pictures, self.requested = browser, pictures, set()

    def size(self, width, theme):
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=WIDTHS[width], deviceScaleFactor=1, mobile=width < 500)
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def open(self, url):
        self.browser.open(url)
        self.note_requests()

    def note_requests(self):
        events = self.browser.events
        self.requested |= {e["params"]["request"]["url"] for e in events if e.get("method") == "Network.requestWillBeSent"}
        events.clear()

    def photograph(self, name):
        data = self.browser.call("Page.captureScreenshot", format="png")["data"]
        (self.pictures / f"{name}.png").write_bytes(base64.b64decode(data))

    def widths(self):
        """No page of this site scrolls sideways."""
        pages = sorted(path for path in SITE.rglob("*.html") if path.relative_to(SITE).parts[0] not in ("node", "rust"))
        found = []
        for width in WIDTHS:
            self.size(width, "light")
            for path in pages:
                self.open(path.as_uri())
                too_wide = self.browser.run(TOO_WIDE)
                if too_wide:
                    found.append(f"{path.relative_to(SITE)} at {width}: {too_wide}")
        assert not found, "\n".join(found)
        return len(pages)

    def themes(self):
        found = []
        for theme in ("light", "dark"):
            for width in WIDTHS:
                self.size(width, theme)
                for page in SHOWN:
                    self.open((SITE / page).as_uri())
                    ratio, what = self.browser.run(CONTRAST)
                    if ratio < 4.5:
                        found.append(f"{page}, {theme}: contrast {ratio:.2f}: {what}")
                    if (height := self.browser.run(SMALLEST)) < 9.5:
                        found.append(f"{page} at {width}: words of a picture are {height:.1f} pixels high")
                    self.photograph(f"{page.removesuffix('.html').replace('/', '-')}-{width}-{theme}")
            back = self.browser.run("getComputedStyle(document.body).backgroundColor")
            brightness = sum(map(int, back.removeprefix("rgb(").rstrip(")").split(",")))
            assert (brightness > 600) == (theme == "light"), (theme, back)
        assert not found, "\n".join(found)

    def search(self, base):
        """A reason, a C function and a setting: a page that one expects is among the first five results, and has the word."""
        expected = {"token-expired": "tasks/troubleshoot", "clerk_authenticate_cached": "reference/c/authenticate",
                    "user_stale_if_error_s": "tasks/choose"}
        for word, page in expected.items():
            self.open(f"{base}/search.html?q={word}")
            # The summary comes after the results.
            self.browser.wait_for("/found [1-9]/.test(document.querySelector('#search-results').innerText)")
            results = self.browser.run("[...document.querySelectorAll('#search-results li a')].map(a => a.href)")
            fit = [url for url in results[:5] if page in url]
            assert fit, (word, results)
            self.open(fit[0])
            assert word in self.browser.run("document.body.innerText"), (word, fit[0])


def run(pictures):
    handler = functools.partial(Quiet, directory=SITE)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pictures.mkdir(parents=True, exist_ok=True)
    origin = f"http://127.0.0.1:{server.server_port}"
    with Chromium() as browser:
        browser.call("Network.enable")
        browser.call("Page.enable")
        reader = Reader(browser, pictures)
        reader.size(1280, "light")
        for base in (SITE.as_uri(), origin):
            reader.search(base)
        reader.photograph("search-1280-light")
        reader.themes()
        count = reader.widths()
        reader.note_requests()
    server.shutdown()
    elsewhere = [url for url in reader.requested if not url.startswith((SITE.as_uri(), origin, "data:", "about:"))]
    assert not elsewhere and len(reader.requested) > count, elsewhere
    return f"{count} pages in {len(WIDTHS)} widths, {len(reader.requested)} requests, screenshots in {pictures}"
