"""A real browser: it signs in on a page of clerk-sim, is accepted, is protected from CSRF, signs out, is rejected."""

import sys
import urllib.parse

import harness

sys.path.insert(0, str(harness.ROOT / "tests/browser"))

import pages  # noqa: E402
from chromium import Chromium  # noqa: E402


def browser_signs_in_is_protected_and_signs_out(sim):
    upstream = harness.Upstream()

    def body(apache):
        other = harness.free_port()
        apache.other = f"http://127.0.0.1:{other}"
        return f"""
Listen 127.0.0.1:{other}
AddType text/html .html
<Location /app>
  AuthType Clerk
  Require valid-user
  ClerkPassHeaders On
  ClerkLoginURL {sim.url}/sign-in redirect_url
</Location>
ProxyPass /app {upstream.url}/app"""

    def check(apache):
        site = apache.origin
        (apache.docs / "other.html").write_text(
            f"<!doctype html><title>other</title><form method=post action={site}/app><button id=go>win</button></form>")
        with Chromium() as browser:
            browser.open(f"{site}/app?page=1")
            browser.wait_for(f"document.URL.startsWith('{sim.url}/sign-in?')")
            assert upstream.requests == []

            browser.click("#go")
            browser.wait_for(f"document.URL === '{site}/app?page=1'")
            assert dict(upstream.requests[-1]["headers"])["X-Clerk-User-Id"] == "user_ada", upstream.requests

            browser.open(f"{site}/index.html")
            assert browser.run("fetch('/app', {method: 'POST', body: 'own=1'}).then(r => r.status)") == 200
            count = len(upstream.requests)
            browser.open(f"{apache.other}/other.html")
            browser.click("#go")
            apache.logged("rejected: csrf-failed, status 403")
            assert len(upstream.requests) == count

            browser.open(f"{sim.url}/sign-out?redirect_url={urllib.parse.quote(site + '/index.html', safe='')}")
            browser.click("#go")
            browser.wait_for(f"document.URL === '{site}/index.html'")
            assert browser.run("fetch('/app').then(r => r.status)") == 401
            browser.open(f"{site}/app")
            browser.wait_for(f"document.URL.startsWith('{sim.url}/sign-in?')")
            assert len(upstream.requests) == count

    try:
        harness.serve(sim, body, check)
    finally:
        upstream.close()


def browser_stays_signed_in_on_pages(sim):
    upstream = harness.Upstream()
    body = f"""
ClerkPublishableKey {pages.PUBLISHABLE_KEY}
ClerkSetting proxy_url {sim.url}
ClerkLeeway 0
ClerkPages On
<Location /page>
  AuthType Clerk
  Require valid-user
  ClerkPassHeaders On
</Location>
ProxyPass /page {upstream.url}/page"""
    try:
        sim.admin("PUT", "/state", pages.frontend())
        harness.serve(sim, body, lambda apache: pages.check(sim, f"{apache.origin}/page"))
    finally:
        sim.admin("PUT", "/state", {"frontend": None})
        upstream.close()


def cases(sim):
    for case in (browser_signs_in_is_protected_and_signs_out, browser_stays_signed_in_on_pages):
        yield case.__name__, lambda case=case: case(sim)
