"""A real browser: it signs in on a page of clerk-sim, is accepted, is protected from CSRF, signs out, is rejected."""

import sys
import urllib.parse

from harness import ROOT, equal, wait_until

sys.path.insert(0, str(ROOT / "tests/browser"))

import pages  # noqa: E402
from chromium import Chromium  # noqa: E402


def test_browser_signs_in_is_protected_and_signs_out(f):
    f.directory_file("index.html", "<!doctype html><title>own</title>")
    n = f.nginx(f"""{f.keys()} server {{ listen 127.0.0.1:@port@; root {f.directory}; clerk_auth_authorized_parties http://127.0.0.1:@port@;
        location = /app {{ clerk_auth on; clerk_auth_pass_headers on; clerk_auth_login_redirect {f.sim.url}/sign-in?redirect_url=$clerk_return_url;
                           {f.proxy()} }} }}
        server {{ listen 127.0.0.1:@portOther@; root {f.directory}; }}""")
    site, other = f"http://127.0.0.1:{n.port}", f"http://127.0.0.1:{n.ports['Other']}"
    f.directory_file("other.html", f"<!doctype html><title>other</title><form method=post action={site}/app><button id=go>win</button></form>")
    fetch = "fetch('/app', {OPTIONS}).then(r => r.status)"
    with Chromium() as browser:
        browser.open(f"{site}/app?page=1")
        browser.wait_for(f"document.URL.startsWith('{f.sim.url}/sign-in?')")
        equal(f.application.seen, [])

        browser.click("#go")
        browser.wait_for(f"document.URL === '{site}/app?page=1'")
        seen = f.application.seen[-1]
        equal([value for name, value in seen["headers"] if name == "X-Clerk-User-Id"], ["user_ada"])

        browser.open(f"{site}/index.html")
        equal(browser.run(fetch.replace("OPTIONS", "method: 'POST', body: 'own=1'")), 200)
        count = len(f.application.seen)
        browser.open(f"{other}/other.html")
        browser.click("#go")
        # The form of the other site was sent with the cookie.
        wait_until(lambda: "rejected with 403: csrf-failed" in n.log(), what="the form is rejected")
        equal(len(f.application.seen), count)

        browser.open(f"{f.sim.url}/sign-out?redirect_url={urllib.parse.quote(site + '/index.html', safe='')}")
        browser.click("#go")
        browser.wait_for(f"document.URL === '{site}/index.html'")
        equal(browser.run(fetch.replace("OPTIONS", "redirect: 'manual'")), 401)
        browser.open(f"{site}/app")
        browser.wait_for(f"document.URL.startsWith('{f.sim.url}/sign-in?')")
        equal(len(f.application.seen), count)


def test_browser_stays_signed_in_on_pages(f):
    f.sim.admin("PUT", "/state", pages.frontend())
    n = f.nginx(f"""clerk_auth_secret_key sk_live_nginx; clerk_auth_publishable_key {pages.PUBLISHABLE_KEY}; clerk_auth_leeway 0;
        clerk_auth_api_url {f.sim.url}; clerk_auth_setting proxy_url {f.sim.url}; clerk_auth_pages on; types {{ text/html html; }}
        server {{ listen 127.0.0.1:@port@; server_name 127.0.0.1; location /page {{ clerk_auth on; clerk_auth_pass_headers on; {f.proxy()} }} }}""")
    pages.check(f.sim, f"http://127.0.0.1:{n.port}/page")
