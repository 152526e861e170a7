"""A real browser: signs in, is accepted, is protected from CSRF, signs out, is rejected."""

import re
import shutil
import subprocess

from harness import equal

PAGE = """<!doctype html><title>site</title><pre id="out"></pre><script>
const lines = [];
const say = (what, value) => { lines.push(what + "=" + value); document.getElementById("out").textContent = lines.join("\\n"); };
const app = async (what, options) => {
  const response = await fetch("/app", options);
  say(what, response.status);
  return response;
};
(async () => {
  await app("before");
  const { token } = await (await fetch("/sign-in", { method: "POST", body: JSON.stringify({ user: "user_ada", azp: location.origin }) })).json();
  document.cookie = "__session=" + token + "; path=/; SameSite=Lax";
  const seen = await (await app("after")).json();
  say("user", seen.headers.find(([name]) => name === "X-Clerk-User-Id")[1]);
  await app("post", { method: "POST", body: "own=1" });
  await new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.src = "OTHER";
    window.onmessage = (message) => { say("other", message.data); done(); };
    document.body.append(frame);
  });
  document.cookie = "__session=; path=/; max-age=0";
  await app("signed-out");
  say("end", "yes");
})().catch((e) => say("error", e));
</script>"""

OTHER = """<!doctype html><title>other</title><script>
fetch("APP", { method: "POST", credentials: "include", mode: "no-cors", body: "forged=1" })
  .then((r) => parent.postMessage(r.type, "*"), (e) => parent.postMessage("error " + e, "*"));
</script>"""


def browse(f, url):
    chromium = shutil.which("chromium")
    assert chromium, "chromium is missing; test.sh installs it"
    return subprocess.run(
        [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--disable-dev-shm-usage",
         f"--user-data-dir={f.directory}/profile", "--virtual-time-budget=15000", "--timeout=30000", "--dump-dom", url],
        capture_output=True, text=True, timeout=90, check=True).stdout


def test_browser_signs_in_is_protected_and_signs_out(f):
    site = f.directory / "site"
    site.mkdir()
    n = f.nginx(f"""clerk_auth_secret_key sk_test_nginx; clerk_auth_api_url {f.sim.url};
        server {{ listen 127.0.0.1:@port@; root {site};
        location = /app {{ clerk_auth on; clerk_auth_pass_headers on; {f.proxy()} }}
        location = /account {{ clerk_auth on; clerk_auth_login_redirect /login.html?from=$clerk_return_url; {f.proxy()} }}
        location = /sign-in {{ proxy_pass {f.sim.admin_url}/mint; }} }}
        server {{ listen 127.0.0.1:@portOther@; root {site}; }}""", level="info")
    other = f"http://127.0.0.1:{n.ports['Other']}"
    (site / "index.html").write_text(PAGE.replace("OTHER", f"{other}/other.html"))
    (site / "other.html").write_text(OTHER.replace("APP", f"http://127.0.0.1:{n.port}/app"))
    (site / "login.html").write_text("<title>please sign in</title>")

    dom = browse(f, f"http://127.0.0.1:{n.port}/index.html")
    out = re.search(r'<pre id="out">(.*?)</pre>', dom, re.DOTALL)[1]
    found = dict(line.split("=", 1) for line in out.splitlines())
    equal(found, {"before": "401", "after": "200", "user": "user_ada", "post": "200", "other": "opaque",
                  "signed-out": "401", "end": "yes"})
    # The other page's request had the cookie, and was rejected because of its origin.
    equal([s["method"] for s in f.application.seen if s["target"] == "/app"], ["GET", "POST"])
    assert "rejected with 403: csrf-failed" in n.log()

    assert "please sign in" in browse(f, f"http://127.0.0.1:{n.port}/account")
