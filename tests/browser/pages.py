"""A browser on a page that stays signed in: the same visits for every server, with clerk-sim as Clerk and as its Frontend API."""

import contextlib
import http.client
import time
import urllib.parse

from chromium import Chromium

PUBLISHABLE_KEY = "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"
LIFE_S = 3


def frontend(**members):
    """The state of clerk-sim: a production instance with short sessions."""
    return {"frontend": {"publishable_key": PUBLISHABLE_KEY, "token_life_s": LIFE_S, **members}, "nonces": {}}


class Visit:
    """`page` is guarded, shows the user's id and has the origin `app`. The server tolerates no difference of clocks."""

    def __init__(self, browser, sim, page):
        self.browser, self.sim, self.page = browser, sim, page
        self.app = urllib.parse.urlsplit(page).netloc
        self.clerk = urllib.parse.urlsplit(sim.url).netloc

    def go(self, action, hops, status, user=None):
        """Leaves the page by `action`; `hops` names who redirects, in order."""
        names = {self.app: "app", self.clerk: "clerk"}
        found = [names[urllib.parse.urlsplit(url).netloc] for url in self.browser.redirects(action)]
        text = self.browser.run("document.body.innerText")
        assert (found, self.browser.status()) == (hops, status), (found, self.browser.status(), self.browser.run("document.URL"), text)
        assert user is None or user in text, text

    def open(self, url, *expected):
        self.go(lambda: self.browser.call("Page.navigate", url=url), *expected)

    def reload(self, *expected):
        self.go(lambda: self.browser.call("Page.reload"), *expected)

    def sign_in(self, *expected):
        self.browser.open(f"{self.sim.url}/sign-in?redirect_url={urllib.parse.quote(self.page, safe='')}")
        self.go(lambda: self.browser.click("button"), *expected)

    def change(self, change):
        """Changes the Frontend API."""
        state = self.sim.admin("GET", "/state")["frontend"]
        change(state)
        self.sim.admin("PUT", "/state", {"frontend": state})

    def forget_cookies(self):
        self.browser.call("Network.clearBrowserCookies")

    def cookie(self, name, value):
        self.browser.call("Network.setCookie", name=name, value=value, url=self.page)

    def nonce(self):
        """A nonce for the session of the only browser that is signed in, as a thief would see it."""
        browsers = self.sim.admin("GET", "/state")["frontend"]["browsers"]
        client = next(id for id, browser in browsers.items() if browser["user"])
        with contextlib.closing(http.client.HTTPConnection(self.clerk, timeout=10)) as connection:
            query = urllib.parse.urlencode({"redirect_url": self.page, "format": "nonce"})
            connection.request("GET", f"/v1/client/handshake?{query}", headers={"Cookie": f"__client={client}"})
            lines = connection.getresponse().headers.get_all("Set-Cookie")
        return next(line for line in lines if line.startswith("__clerk_handshake_nonce=")).split(";")[0].split("=")[1]


def pause():
    time.sleep(LIFE_S + 0.3)


def stays_signed_in(visit):
    once = ["app", "clerk"]
    visit.open(visit.page, [], 401)
    visit.sign_in(["clerk", *once], 200, "user_1")
    visit.reload([], 200, "user_1")
    pause()
    visit.reload(once, 200, "user_1")
    visit.reload([], 200, "user_1")

    # Back and forward, before and after the end of a session's life.
    visit.open(f"{visit.page}?second=%20x", [], 200, "user_1")
    visit.go(lambda: visit.browser.run("history.back()"), [], 200, "user_1")
    pause()
    visit.open(f"{visit.page}?third", once, 200, "user_1")
    pause()
    # The browser may show the page that it has, or ask for it again: then Clerk is asked once.
    hops = visit.browser.redirects(lambda: visit.browser.run("history.back()"))
    assert len(hops) in (0, 2) and "user_1" in visit.browser.run("document.body.innerText"), hops
    visit.reload([] if hops else once, 200, "user_1")

    # Signed out on another device.
    visit.change(lambda state: state.update(browsers={}))
    pause()
    visit.reload(once, 401)
    visit.reload([], 401)
    visit.sign_in(["clerk", *once], 200, "user_1")


def keys_of_another_instance_stop_after_three(visit):
    visit.forget_cookies()
    visit.change(lambda state: state.update(signing_key="k2"))
    visit.sign_in(["clerk", *3 * ["app", "clerk"]], 401)
    visit.reload([], 401)
    visit.change(lambda state: state.update(signing_key=None))
    visit.forget_cookies()
    visit.sign_in(["clerk", "app", "clerk"], 200, "user_1")


def stolen_nonce_is_refused_the_second_time(visit):
    nonce = visit.nonce()
    visit.forget_cookies()
    visit.cookie("__clerk_handshake_nonce", nonce)
    visit.open(f"{visit.page}?first", [], 200, "user_1")
    visit.forget_cookies()
    # Another browser, with another cookie.
    visit.cookie("__clerk_handshake_nonce", nonce)
    visit.cookie("theme", "dark")
    visit.open(f"{visit.page}?second", [], 401)
    visit.reload([], 401)


FORGED = ["evil.example", "{own}.evil.example", "{own}@evil.example", "evil.example@{own}", "{name}:1", "{name}.:{port}", "[::1]:{port}",
          "{name}:0{port}", "{own}%00.evil.example", "{own},evil.example", "{own}/evil.example", "{own}\\evil.example", "{own}#evil.example"]
TARGETS = ["//evil.example{path}", "{path}\\evil.example", "{path}?a=//evil.example", "{path}@evil.example", "{path}%0d%0aLocation:%20//evil.example",
           "http://evil.example{path}", "http://{own}@evil.example{path}", "{path}//evil.example"]


def forged_address_redirects_nowhere_else(page):
    """Requests that no browser sends: what they get names no host but the page's."""
    own = urllib.parse.urlsplit(page)
    words = {"own": own.netloc, "name": own.hostname, "port": own.port, "path": own.path}

    def location(host, target, *headers):
        with contextlib.closing(http.client.HTTPConnection(own.netloc, timeout=10)) as connection:
            connection.putrequest("GET", target.format(**words), skip_host=True)
            for header in (("Host", host.format(**words)), ("Sec-Fetch-Dest", "document"), ("Cookie", "__client_uat=1700000000"), *headers):
                connection.putheader(*header)
            connection.endheaders()
            response = connection.getresponse()
        return response.headers.get("Location") if response.status == 307 else None

    def redirect_url(*request):
        query = urllib.parse.urlsplit(location(*request) or "").query
        return dict(urllib.parse.parse_qsl(query)).get("redirect_url", "")

    assert redirect_url("{own}", "{path}") == page
    for host in FORGED:
        assert location(host, "{path}") is None, host
    for name in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host"):
        assert redirect_url("{own}", "{path}", (name, "evil.example"), ("X-Forwarded-Proto", "https")) == page, name
    for target in TARGETS:
        url = redirect_url("{own}", target)
        assert not url or url.startswith(f"http://{own.netloc}/"), (target, url)


def check(sim, page):
    """All visits, with a browser of their own."""
    forged_address_redirects_nowhere_else(page)
    with Chromium() as browser:
        visit = Visit(browser, sim, page)
        stays_signed_in(visit)
        keys_of_another_instance_stop_after_three(visit)
        stolen_nonce_is_refused_the_second_time(visit)
