"""A real redis-server on a loopback port that the kernel picks, for the tests of the server modules."""

import contextlib
import socket
import subprocess
import tempfile
import time


def _ping(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as s:
        s.sendall(b"PING\r\n")
        return s.recv(16) == b"+PONG\r\n"
    return False


@contextlib.contextmanager
def running():
    """Yields the URL of a server that ends with the context."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                                  stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 10
            while not _ping(port):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("redis-server has not started")
                time.sleep(0.01)
            yield f"redis://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
