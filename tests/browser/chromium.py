"""Drives Debian's Chromium, headless, over the DevTools protocol: messages of JSON, each ended by a NUL, through two pipes."""

import json
import os
import shutil
import subprocess
import tempfile
import time

OPTIONS = ("--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-proxy-server --no-first-run "
           "--disable-features=BackForwardCache --disable-background-networking --disable-component-update --remote-debugging-pipe").split()


class Chromium:
    """A browser with one tab and an empty profile; a context manager."""

    def __enter__(self):
        binary = shutil.which("chromium")
        assert binary, "chromium is missing: apt-get install chromium"
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        to_read, self.write_end = os.pipe()
        self.read_end, to_write = os.pipe()

        # Chromium reads from descriptor 3 and writes to 4.
        command = f'exec {binary} "$@" 3<&{to_read} 4>&{to_write}'
        self.process = subprocess.Popen(["bash", "-c", command, "chromium", *OPTIONS, f"--user-data-dir={self.profile.name}"],
                                        pass_fds=(to_read, to_write), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.number, self.received, self.session, self.events = 0, b"", None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_end)
        os.close(self.read_end)
        self.profile.cleanup()

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.received:
            os.set_blocking(self.read_end, False)
            try:
                data = os.read(self.read_end, 1 << 20)
            except BlockingIOError:
                assert time.monotonic() < end, "chromium does not respond"
                time.sleep(0.01)
                continue
            assert data, "chromium has ended"
            self.received += data
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def call(self, method, seconds=60, **parameters):
        """Returns the result of a DevTools method."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        while True:
            said = self.receive(seconds)
            if said.get("id") == self.number:
                assert "error" not in said, said
                return said["result"]
            self.events.append(said)

    def run(self, script):
        """Returns the value of a JavaScript expression in the page; a promise is awaited."""
        said = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait_for(self, script, seconds=30):
        """Waits until a JavaScript expression is true. A page that is being left fails, and is tried again."""
        end = time.monotonic() + seconds
        while True:
            try:
                if self.run(script):
                    return
            except AssertionError as e:
                assert "chromium" not in str(e), e
            assert time.monotonic() < end, f"not within {seconds} s: {script}; {self.run('document.URL + document.body.innerText')}"
            time.sleep(0.05)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && document.URL !== 'about:blank'")

    def redirects(self, action):
        """Runs `action`, which leaves the page, and waits for the next one. Returns the URLs that redirected on the way."""
        self.call("Network.enable")
        self.run("window.isLeft = true")
        self.events.clear()
        action()
        self.wait_for("!window.isLeft && document.readyState === 'complete' && document.URL !== 'about:blank'")
        requests = (event["params"] for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [request["redirectResponse"]["url"] for request in requests
                if request.get("type") == "Document" and "redirectResponse" in request]

    def status(self):
        """The status of the response that the page is."""
        return self.run("performance.getEntriesByType('navigation')[0].responseStatus")

    def click(self, selector):
        """Clicks an element with the mouse, as a user does."""
        self.wait_for(f"!!document.querySelector({selector!r})")
        place = self.run(f"(b => [b.x + b.width / 2, b.y + b.height / 2])(document.querySelector({selector!r}).getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
